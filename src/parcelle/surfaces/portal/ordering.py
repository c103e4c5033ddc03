"""Who may see an order."""

from __future__ import annotations

from uuid import UUID

from django.core import signing
from django.http import Http404, HttpRequest

from parcelle.domain.billing.models import Order
from parcelle.domain.tenancy.queries import is_member

_SESSION_KEY = "own_orders"
_REMEMBERED = 20
_SALT = "parcelle.order"
LINK_DAYS = 14


def remember(request: HttpRequest, order_id: UUID) -> None:
    """Lets this browser see the order without being signed in."""
    known = [text for text in request.session.get(_SESSION_KEY, []) if text != str(order_id)]
    request.session[_SESSION_KEY] = [*known, str(order_id)][-_REMEMBERED:]


def link_token(order_id: UUID) -> str:
    """What a mailed link carries, so that whoever reads the mail may go on with the order."""
    return signing.dumps(str(order_id), salt=_SALT)


def admit_by_token(request: HttpRequest, token: str) -> UUID:
    """The order of a mailed link. Raises Http404 for one that is old or made up."""
    try:
        order_id = UUID(signing.loads(token, salt=_SALT, max_age=LINK_DAYS * 24 * 3600))
    except (signing.BadSignature, ValueError):
        raise Http404 from None
    remember(request, order_id)
    return order_id


def admit(request: HttpRequest, order_id: UUID) -> Order:
    """Raises Http404 for strangers: for them the order does not exist."""
    order = Order.objects.select_related("plan__product", "price", "coupon").filter(pk=order_id).first()
    if order is None:
        raise Http404
    mine = request.user.is_authenticated and (
        order.user_id == request.user.pk or is_member(request.user, order.organization_id)
    )
    if mine or str(order_id) in request.session.get(_SESSION_KEY, []):
        return order
    raise Http404
