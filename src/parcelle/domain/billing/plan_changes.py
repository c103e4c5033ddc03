"""Another plan, or another interval: upwards at once for the difference, downwards when the period ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from parcelle.core import events
from parcelle.core.money import Money
from parcelle.domain.billing import coupons, order_states, orders, proration, quotes, renewals, states
from parcelle.domain.billing import periods as calendar
from parcelle.domain.billing.errors import ChangeRefused
from parcelle.domain.billing.events import ChangeScheduled
from parcelle.domain.billing.models import Order, Subscription
from parcelle.domain.catalog.models import Coupon, Price

# How long the difference is as it was reckoned.
_STANDS_FOR = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Change:
    """What going to a price would mean: `cost` is the difference without tax, negative when it is a step down.

    A step up counts at once, from its payment on; a step down from `effective_at`.
    """

    price: Price
    cost: Money
    at_once: bool
    effective_at: datetime
    paid_until: datetime


def preview(subscription: Subscription, price: Price, *, now: datetime) -> Change:
    """Raises ChangeRefused."""
    old = subscription.price
    if old is None or subscription.period_end is None or subscription.state not in {states.ACTIVE, states.PAST_DUE}:
        raise ChangeRefused("not_active")
    if price.pk == old.pk:
        raise ChangeRefused("same")
    if price.currency != old.currency:
        raise ChangeRefused("other_currency")
    if price.plan.product_id != old.plan.product_id:
        raise ChangeRefused("other_product")
    same_interval = price.interval == old.interval
    cost = (
        _difference(subscription, old, price, now=now) if same_interval else _begin_anew(subscription, price, now=now)
    )
    up = cost.minor > 0 or (not cost and price.amount >= old.amount)
    until = subscription.period_end
    if up and not same_interval:
        until = calendar.next_start(now, interval=price.interval, anchor_day=calendar.anchor_of(now))
    return Change(
        price=price,
        cost=cost,
        at_once=up,
        effective_at=now if up else subscription.period_end,
        paid_until=until,
    )


def _paid_periods(subscription: Subscription, now: datetime) -> list[Order]:
    """What is paid and not over: the running period, and the next one for who paid early."""
    paid = subscription.orders.filter(state=order_states.FULFILLED, period_end__gt=now).exclude(kind=Order.CHANGE)
    return list(paid.select_related("coupon").order_by("period_start"))


def _net(price: Price, coupon: Coupon | None) -> Money:
    """A price less what the coupon of the same period takes off it."""
    if coupon is None or not coupons.goes_on(coupon, plan=price.plan, subtotal=price.amount):
        return price.amount
    return price.amount - quotes.reduction(price.amount, coupon)


def _difference(subscription: Subscription, old: Price, new: Price, *, now: datetime) -> Money:
    total = Money.zero(old.currency)
    for order in _paid_periods(subscription, now):
        assert order.period_start is not None and order.period_end is not None
        total += proration.difference(
            _net(old, order.coupon),
            _net(new, order.coupon),
            start=order.period_start,
            end=order.period_end,
            now=now,
        )
    return total


def _begin_anew(subscription: Subscription, new: Price, *, now: datetime) -> Money:
    """A whole new period less what is left of those that are paid."""
    assert subscription.price is not None
    left = Money.zero(new.currency)
    for order in _paid_periods(subscription, now):
        assert order.period_start is not None and order.period_end is not None
        left += proration.worth(
            _net(subscription.price, order.coupon), start=order.period_start, end=order.period_end, now=now
        )
    return new.amount - left


@transaction.atomic
def change(subscription_id: UUID, *, price_id: UUID, request_id: UUID, actor: str, now: datetime) -> Order | None:
    """Asks for another price. A step up is an order, which counts once it is paid; a step down waits for the period's
    end, and then there is none.

    Raises ChangeRefused, NotOnSale, and PaymentOpen while money for the next period is on its way.
    """
    earlier = Order.objects.filter(request_id=request_id).first()
    if earlier is not None:
        return earlier
    price = orders.price_on_sale(price_id)
    _drop_open_changes(subscription_id, now=now)
    subscription = renewals.lock(subscription_id)
    wanted = preview(subscription, price, now=now)
    if not wanted.at_once:
        _schedule(subscription, price, actor=actor, now=now)
        return None
    assert subscription.price is not None
    order = renewals.place(
        subscription,
        price,
        before=renewals.last_order(subscription),
        kind=Order.CHANGE if price.interval == subscription.price.interval else Order.SWITCH,
        now=now,
        starts_at=now,
        ends_at=wanted.paid_until,
        subtotal=wanted.cost,
        coupon=None,
        request_id=request_id,
        expires_at=min(now + _STANDS_FOR, max(subscription.period_end or now, now + timedelta(hours=1))),
    )
    if not order.total_minor:
        orders.mark_paid(order, now=now)
        renewals.fulfil(order.pk, now=now)
    return order


def _drop_open_changes(subscription_id: UUID, *, now: datetime) -> None:
    """One change at a time: an earlier one that was not paid is forgotten."""
    asked = Order.objects.filter(subscription_id=subscription_id, kind__in=(Order.CHANGE, Order.SWITCH))
    for order in asked.filter(state=order_states.OPEN).select_for_update():
        orders.give_up(order, now=now)


def _schedule(subscription: Subscription, price: Price, *, actor: str, now: datetime) -> None:
    assert subscription.period_end is not None
    renewals.drop_open_renewals(subscription, now=now)
    # What was announced is announced again, with the new amount.
    announce = subscription.renews_at or now
    Subscription.objects.filter(pk=subscription.pk).update(
        next_price=price, renews_at=None if subscription.cancel_at else announce
    )
    events.record(
        ChangeScheduled(
            organization_id=subscription.organization_id,
            subscription_id=subscription.pk,
            price_id=price.pk,
            effective_at=subscription.period_end,
        ),
        now=now,
        actor=actor,
    )
