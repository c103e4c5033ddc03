"""What a visitor orders, and who may see an order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest

from parcelle.domain.billing import order_links, orders
from parcelle.domain.billing.models import Order
from parcelle.domain.catalog import offers
from parcelle.domain.catalog.models import Price
from parcelle.domain.tenancy import permissions
from parcelle.surfaces import current
from parcelle.surfaces.portal.access import require

_SESSION_KEY = "own_orders"
_CHOSEN = "chosen_price"
_REMEMBERED = 20


def choose(request: HttpRequest, price_id: UUID) -> None:
    """Keeps what the visitor wants to order, also over a sign-in."""
    if request.session.get(_CHOSEN) != str(price_id):
        request.session[_CHOSEN] = str(price_id)


def chosen(request: HttpRequest) -> str:
    return str(request.session.get(_CHOSEN, ""))


def quantities(said: Mapping[str, Any], price: Price) -> dict[UUID, int]:
    """How many of each add-on were asked for beside a plan, as far as there may be so many."""
    asked = {name: typed for name in said if name.startswith("add_on_") and (typed := str(said[name] or "").strip())}
    found = {}
    for one in offers.add_ons(price) if asked else ():
        typed = asked.get(f"add_on_{one.add_on_id}", "")
        number = int(typed) if typed.isdecimal() and len(typed) < 8 else 0
        if number:
            found[one.add_on_id] = min(number, one.add_on.most)
    return found


def remember(request: HttpRequest, order_id: UUID) -> None:
    """Lets this browser see the order without being signed in."""
    known = [text for text in request.session.get(_SESSION_KEY, []) if text != str(order_id)]
    request.session[_SESSION_KEY] = [*known, str(order_id)][-_REMEMBERED:]


def admit_by_token(request: HttpRequest, token: str) -> UUID:
    """The order of a mailed link. Raises Http404 for one that is old or made up."""
    order_id = order_links.read(token)
    if order_id is None:
        raise Http404
    remember(request, order_id)
    return order_id


def admit(request: HttpRequest, order_id: UUID) -> Order:
    """Raises Http404 for strangers: for them the order does not exist."""
    order = orders.with_plan(order_id)
    if order is None:
        raise Http404
    mine = request.user.is_authenticated and order.user_id == request.user.pk
    if order.organization_id is not None and request.user.is_authenticated:
        try:
            current.enter(request, order.organization_id)
        except Http404:
            # Who ordered for an organization and has left it has the order in this browser's memory all the same.
            if mine or not _remembers(request, order_id):
                raise
        return order
    if mine or _remembers(request, order_id):
        return order
    raise Http404


def may_pay(request: HttpRequest, order: Order) -> bool:
    """Of whoever `admit` lets in: who ordered it, who has its link, and members whose role is enough."""
    here = _here(request, order)
    return here is None or here.may(permissions.PAY)


def admit_to_pay(request: HttpRequest, order_id: UUID) -> Order:
    """Raises Http404 for strangers, and RoleRefused for members whose role is too small."""
    order = admit(request, order_id)
    here = _here(request, order)
    if here is not None:
        require(here, permissions.PAY)
    return order


def _here(request: HttpRequest, order: Order) -> current.Current | None:
    """What whoever asks is in the order's organization; None for others, who have its link."""
    if order.organization_id is None or not request.user.is_authenticated:
        return None
    try:
        return current.enter(request, order.organization_id)
    except Http404:
        return None


def _remembers(request: HttpRequest, order_id: UUID) -> bool:
    return str(order_id) in request.session.get(_SESSION_KEY, [])
