"""The link by which whoever ordered comes back to the order, without being signed in: signed, and good for a time."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.core import signing

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
        return UUID(signing.loads(token, salt=_SALT, max_age=LINK_DAYS * 24 * 3600))
    except (signing.BadSignature, ValueError):
        return None
