"""The link by which whoever ordered comes back to the order, without being signed in: signed, and good for a time.

That is some days, or for as long as the order can still be paid: a yearly renewal is announced a month before.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.utils import timezone

from parcelle.domain.billing import order_states
from parcelle.domain.billing.models import Order

_SALT = "parcelle.order"
LINK_DAYS = 14


def link_of(order_id: UUID) -> str:
    """The whole address, for a mail."""
    return f"{settings.PUBLIC_URL}/orders/resume/{token_of(order_id)}"


def token_of(order_id: UUID) -> str:
    return signing.dumps(str(order_id), salt=_SALT)


def read(token: str) -> UUID | None:
    """The order a token is for; None for one that is old or made up."""
    try:
        order_id = UUID(signing.loads(token, salt=_SALT))
    except (signing.BadSignature, ValueError):
        return None
    try:
        signing.loads(token, salt=_SALT, max_age=timedelta(days=LINK_DAYS))
    except signing.SignatureExpired:
        payable = Order.objects.filter(pk=order_id, state=order_states.OPEN, expires_at__gt=timezone.now())
        return order_id if payable.exists() else None
    return order_id
