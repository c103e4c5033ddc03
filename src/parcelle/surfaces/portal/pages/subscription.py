"""`/subscriptions/<id>`: what a customer has, until when it is paid, and how to change, pause or leave it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from parcelle.domain.billing import baskets, entitlement, order_states, renewals, saved_methods, states
from parcelle.domain.billing import queries as billing
from parcelle.domain.billing.errors import (
    AddOnRefused,
    ChangeRefused,
    NotActive,
    NotOnSale,
    NotRenewable,
    PaymentOpen,
)
from parcelle.domain.billing.models import Order, Subscription
from parcelle.domain.billing.plan_changes import Change
from parcelle.domain.catalog import offers
from parcelle.domain.catalog.models import AddOnPrice, Price
from parcelle.domain.provisioning.models import Instance
from parcelle.domain.tenancy import permissions
from parcelle.journeys import cancellation, change_plan
from parcelle.surfaces import current
from parcelle.surfaces.current import Current
from parcelle.surfaces.portal.access import require
from parcelle.surfaces.refusals import ADD_ONS

_REFUSALS: dict[type[Exception], Promise] = {
    PaymentOpen: _("A payment for the next period is on its way. Wait until it has arrived, then try again."),
    NotActive: _("That is not possible any more: the subscription has changed in the meantime."),
    NotRenewable: _("There is nothing to pay for this subscription at the moment."),
    NotOnSale: _("This plan is no longer on sale. Choose another one."),
    ChangeRefused: _("This plan cannot be chosen for this subscription."),
    AddOnRefused: ADD_ONS["too_many"],
}
_WHY_NO_CHANGE: dict[str, Promise] = {
    "same": _("Nothing changes: that is what you have already."),
    "overdue": _("Pay the period that is due first, then change what you have."),
    "add_ons": ADD_ONS["not_with_plan"],
    "paid_ahead": _("What you have chosen is paid and begins with your next period. Change it from then on."),
    "scheduled": _("Another interval is noted for the end of your period. Change your add-ons after that."),
}


@dataclass(frozen=True)
class Offer:
    """Another plan or interval, and what going there would mean, or why it cannot be had."""

    price: Price
    change: Change | None
    why: Promise | None = None


@dataclass(frozen=True)
class AddOnLine:
    """An add-on that they have or can have: how many, from the next period on, and what one more costs now."""

    price: AddOnPrice
    quantity: int
    following: int
    one_more: Change | None


@login_required
@never_cache
@require_safe
def subscription(request: HttpRequest, subscription_id: UUID) -> HttpResponse:
    found, here = _admit(request, subscription_id)
    may_change = here.may(permissions.CHANGE_SUBSCRIPTION)
    now = timezone.now()
    waiting = found.orders.filter(kind__in=Order.DUNNED, state=order_states.OPEN, expires_at__gt=now)
    ahead = renewals.paid_ahead(found, now=now)
    context = {
        "subscription": found,
        "ahead": ahead,
        "following_from": ahead.period_start if ahead else found.period_end,
        "may_change": may_change,
        "may_pay": here.may(permissions.PAY),
        "waiting": waiting.order_by("-created_at").first(),
        "offers": _offers(found, now=now) if may_change else [],
        "extras": baskets.read(found.extras),
        "add_ons": _add_ons(found, now=now),
        "saved": saved_methods.of(found.organization_id),
        "kept_until": entitlement.kept_until(found),
        "read_only": Instance.objects.filter(subscription_id=found.pk, read_only=True).exists(),
        "paused": found.suspended_for == states.PAUSED,
        "running": found.state in {states.ACTIVE, states.PAST_DUE},
        "request_id": uuid.uuid4(),
    }
    return render(request, "portal/subscription.html", context)


def _admit(request: HttpRequest, subscription_id: UUID) -> tuple[Subscription, Current]:
    """Raises Http404 for strangers: for them it does not exist."""
    found = billing.subscription(subscription_id)
    if found is None:
        raise Http404
    return found, current.enter(request, found.organization_id)


def _offers(found: Subscription, *, now: datetime) -> list[Offer]:
    """What else of the same product can be had in the same currency."""
    if found.price is None or found.state != states.ACTIVE:
        return []
    prices = Price.objects.filter(
        plan__product=found.plan.product, plan__enabled=True, retired_at=None, currency=found.price.currency
    ).exclude(pk__in=[found.price_id, found.next_price_id])
    rows = prices.select_related("plan__product").order_by("interval", "amount_minor")
    return [offer for price in rows if (offer := _offer(found, price, now=now)) is not None]


def _offer(found: Subscription, price: Price, *, now: datetime) -> Offer | None:
    try:
        return Offer(price, change_plan.preview(found, price, now=now))
    except ChangeRefused as refused:
        # A plan without the add-ons they have is one they may be looking for; the rest says nothing to them.
        return Offer(price, None, _WHY_NO_CHANGE["add_ons"]) if refused.code == "add_ons" else None


def _add_ons(found: Subscription, *, now: datetime) -> list[AddOnLine]:
    """What is sold beside their plan, and what they have of it, also where it is no longer sold."""
    if found.price is None or found.state not in {states.ACTIVE, states.PAST_DUE}:
        return []
    has = {extra.price.add_on_id: extra for extra in baskets.read(found.extras)}
    following = {extra.price.add_on_id: extra.quantity for extra in baskets.next_extras(found)}
    sold = {one.add_on_id: one for one in offers.add_ons(found.price)}
    lines = []
    for key in [*sold, *(key for key in has if key not in sold)]:
        quantity = has[key].quantity if key in has else 0
        price = has[key].price if key in has else sold[key]
        lines.append(AddOnLine(price, quantity, following.get(key, 0), _one_more(found, key, quantity, now=now)))
    return lines


def _one_more(found: Subscription, add_on_id: UUID, quantity: int, *, now: datetime) -> Change | None:
    try:
        return change_plan.preview_add_ons(found, {add_on_id: quantity + 1}, now=now)
    except (AddOnRefused, ChangeRefused):
        return None


@login_required
@require_POST
def act(request: HttpRequest, subscription_id: UUID, verb: str) -> HttpResponse:
    found, here = _admit(request, subscription_id)
    if verb not in _VERBS:
        raise Http404
    require(here, permissions.CHANGE_SUBSCRIPTION)
    try:
        order = _VERBS[verb](request, found, timezone.now())
    except tuple(_REFUSALS) as refused:
        code = refused.code if isinstance(refused, ChangeRefused) else ""
        messages.error(request, str(_WHY_NO_CHANGE.get(code, _REFUSALS[type(refused)])))
        order = None
    if order is not None and order.state == order_states.OPEN:
        return redirect("order", order_id=order.pk)
    return redirect("subscription", subscription_id=subscription_id)


def _actor(request: HttpRequest) -> str:
    return f"user:{request.user.pk}"


def _change(request: HttpRequest, found: Subscription, now: datetime) -> Order | None:
    try:
        price_id, request_id = UUID(request.POST["price"]), UUID(request.POST["request"])
    except (KeyError, ValueError):
        raise Http404 from None
    order = change_plan.change(
        found.pk,
        price_id=price_id,
        request_id=request_id,
        actor=_actor(request),
        now=now,
        at_once=request.POST.get("when") == "now",
    )
    if order is not None and order.state == order_states.FULFILLED:
        messages.success(request, gettext("Done: your new plan counts from now on."))
    if order is None and price_id == found.price_id:
        messages.success(request, gettext("Noted: you keep your present plan."))
    elif order is None:
        messages.success(request, gettext("Noted: the change counts from the end of the period that is paid."))
    return order


def _change_add_ons(request: HttpRequest, found: Subscription, now: datetime) -> Order | None:
    try:
        add_on_id, request_id = UUID(request.POST["add_on"]), UUID(request.POST["request"])
        quantity = int(request.POST["quantity"])
    except (KeyError, ValueError):
        raise Http404 from None
    had = {extra.price.add_on_id: extra.quantity for extra in baskets.read(found.extras)}
    order = change_plan.change_add_ons(
        found.pk,
        quantities={add_on_id: quantity},
        request_id=request_id,
        actor=_actor(request),
        now=now,
        at_once=request.POST.get("when") == "now",
    )
    if order is not None and order.state == order_states.FULFILLED:
        messages.success(request, gettext("Done: your add-ons count from now on."))
    if order is None and quantity == had.get(add_on_id, 0):
        messages.success(request, gettext("Noted: you keep your present add-ons."))
    elif order is None:
        messages.success(request, gettext("Noted: the change counts from the end of the period that is paid."))
    return order


def _cancel(request: HttpRequest, found: Subscription, now: datetime) -> None:
    at_once = request.POST.get("when") == "now"
    reason = " ".join(request.POST.get("reason", "").split())[:500]
    cancellation.cancel(found.pk, at_once=at_once, reason=reason, actor=_actor(request), now=now)
    messages.success(request, gettext("Your subscription is cancelled. You will receive a mail that confirms it."))


def _take_back(request: HttpRequest, found: Subscription, now: datetime) -> None:
    cancellation.take_back(found.pk, actor=_actor(request), now=now)
    messages.success(request, gettext("Good to have you with us: your subscription goes on."))


def _pause(request: HttpRequest, found: Subscription, now: datetime) -> None:
    cancellation.pause(found.pk, actor=_actor(request), now=now)
    messages.success(request, gettext("Your space is paused. What you have paid for is kept until you go on."))


def _go_on(request: HttpRequest, found: Subscription, now: datetime) -> None:
    cancellation.go_on(found.pk, actor=_actor(request), now=now)
    messages.success(request, gettext("Your space is being started again."))


def _come_back(_request: HttpRequest, found: Subscription, now: datetime) -> Order:
    return cancellation.come_back(found.pk, now=now)


_VERBS: dict[str, Callable[[HttpRequest, Subscription, datetime], Order | None]] = {
    "change": _change,
    "add-ons": _change_add_ons,
    "cancel": _cancel,
    "take-back": _take_back,
    "pause": _pause,
    "go-on": _go_on,
    "come-back": _come_back,
}
