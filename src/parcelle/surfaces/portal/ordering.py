"""Who may see an order, and the words for what can be refused."""

from __future__ import annotations

from uuid import UUID

from django.core import signing
from django.http import Http404, HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from parcelle.domain.billing.models import Order
from parcelle.domain.tenancy.queries import is_member

_SESSION_KEY = "own_orders"
_REMEMBERED = 20
_SALT = "parcelle.order"
LINK_DAYS = 14

COUPONS: dict[str, Promise] = {
    "unknown": _("We do not know this code. Check how it is spelt."),
    "not_yet": _("This code is not valid yet."),
    "over": _("This code is no longer valid."),
    "used_up": _("This code has been used up."),
    "used_by_you": _("You have used this code already."),
    "other_plan": _("This code is for another plan."),
    "other_currency": _("This code is for another currency."),
    "too_small": _("This code needs a larger order."),
}

# Why a payment was declined, and what the customer can do.
DECLINES: dict[str, Promise] = {
    "declined": _("Your bank or payment service declined the payment. Try again, or choose another way to pay."),
    "refused_by_payer": _("The payment was not approved in time. Nothing was charged: you can try again."),
    "not_enough_funds": _("There is not enough money on the account. Top it up and try again, or pay another way."),
    "limit_reached": _("This payment is over the account’s limit. Choose another way to pay, or ask your bank."),
    "no_account": _("This number or account cannot pay. Check it, or choose another way to pay."),
    "seller_setup": _(
        "This way to pay does not work at the moment, and it is our fault. We know about it. Please choose another one."
    ),
    "service_down": _(
        "The payment service did not answer. Nothing was charged: try again in a moment, or pay another way."
    ),
    "blocked": _("The payment service refused this payment. Please choose another way to pay."),
    "expired": _("The payment was not finished. Nothing was charged: you can try again."),
}


def coupon_sentence(code: str) -> str:
    return str(COUPONS.get(code, COUPONS["unknown"]))


def decline_sentence(code: str) -> str:
    return str(DECLINES.get(code, DECLINES["declined"]))


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
