"""Who signs up or buys: the person behind an address, the names they give, and a short name for their instance."""

from __future__ import annotations

import unicodedata
from dataclasses import fields, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models.functions import Lower

from parcelle.domain.accounts.models import User, normalise_email
from parcelle.domain.billing.models import Order
from parcelle.domain.billing.orders import Buyer
from parcelle.domain.tenancy import actions as tenancy
from parcelle.domain.tenancy import queries as organizations
from parcelle.domain.tenancy.models import Organization
from parcelle.domain.tenancy.names import slugify


def one_line(text: str) -> str:
    """Names are one line: whoever puts line breaks into them wants to write somebody else's mail."""
    # Cc: control characters, NUL among them; Cs: halves of characters. PostgreSQL stores neither.
    return " ".join("".join(" " if unicodedata.category(c) in {"Cc", "Cs"} else c for c in text).split())


def tidy_buyer(buyer: Buyer) -> Buyer:
    said = {field.name: getattr(buyer, field.name) for field in fields(buyer)}
    tidied: dict[str, Any] = {name: one_line(value) for name, value in said.items() if isinstance(value, str)}
    return replace(buyer, **{**tidied, "email": normalise_email(buyer.email), "country": buyer.country.upper()})


def person(
    email: str, *, first_name: str, last_name: str, phone: str, language: str, user_id: UUID | None, now: datetime
) -> tuple[User, bool]:
    """The person behind the address, and whether they are new.

    Only somebody who is signed in, as `user_id`, may change what is known about them.
    """
    details = {"first_name": first_name, "last_name": last_name, "phone": phone}
    new = User.objects.create_unless_known(email, language=language, date_joined=now, **details)
    if new is not None:
        return new, True
    user = User.objects.alias(lower=Lower("email")).get(lower=normalise_email(email))
    if user.pk == user_id:
        User.objects.filter(pk=user.pk).update(**details)
    return user, False


def of_order(order: Order, *, now: datetime) -> User:
    """Who ordered: whoever was signed in, or the person behind the address."""
    if order.user_id is not None:
        known = User.objects.filter(pk=order.user_id).first()
        if known is not None:
            return known
    buyer = order.buyer
    user, _new = person(
        order.email,
        first_name=buyer["first_name"],
        last_name=buyer["last_name"],
        phone=buyer["phone"],
        language=order.language,
        user_id=None,
        now=now,
    )
    return user


def organization_of_order(order: Order, user: User, *, now: datetime) -> Organization:
    """The organization this person owns, or a new one by the name they gave."""
    known = organizations.owned_organization(user)
    if known is not None:
        return known
    name = order.buyer["company"] or f"{order.buyer['first_name']} {order.buyer['last_name']}"
    return tenancy.create_organization(
        name=name, slug=slugify(name), owner=user, language=order.language, now=now, actor="visitor"
    )
