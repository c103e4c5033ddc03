"""Another plan, or another interval: upwards at once for the difference, downwards when the period ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from parcelle.core import events
from parcelle.core.money import Money
from parcelle.domain.billing import (
    coupons,
    invoicing,
    ledger,
    order_states,
    orders,
    proration,
    quotes,
    renewals,
    states,
)
from parcelle.domain.billing import periods as calendar
from parcelle.domain.billing.errors import ChangeRefused
from parcelle.domain.billing.events import ChangeScheduled
from parcelle.domain.billing.invoicing import queries as documents
from parcelle.domain.billing.models import Order, Subscription
from parcelle.domain.billing.taxes import Decision
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
    same_interval: bool = True

    @property
    def may_be_now(self) -> bool:
        """A step down that need not wait: the rest of the difference is given back as credit."""
        return not self.at_once and self.cost.minor < 0 and self.same_interval


def preview(subscription: Subscription, price: Price, *, now: datetime) -> Change:
    """Raises ChangeRefused."""
    old = subscription.price
    if old is None or subscription.period_end is None or subscription.state not in {states.ACTIVE, states.PAST_DUE}:
        raise ChangeRefused("not_active")
    if subscription.state == states.PAST_DUE:
        # Nothing is paid that a difference could be reckoned of, and what is owed stays owed.
        raise ChangeRefused("overdue")
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
        same_interval=same_interval,
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
def change(
    subscription_id: UUID, *, price_id: UUID, request_id: UUID, actor: str, now: datetime, at_once: bool = False
) -> Order | None:
    """Asks for another price. A step up is an order, which counts once it is paid; a step down waits for the period's
    end, and then there is none. With `at_once` it counts now, and what is left of the difference becomes credit.

    Raises ChangeRefused, NotOnSale, and PaymentOpen while money for the next period is on its way.
    """
    earlier = Order.objects.filter(request_id=request_id).first()
    if earlier is not None:
        return earlier
    price = orders.price_on_sale(price_id)
    _drop_open_changes(subscription_id, now=now)
    subscription = renewals.lock(subscription_id)
    wanted = preview(subscription, price, now=now)
    if not wanted.at_once and at_once and wanted.may_be_now:
        return _step_down(subscription, wanted, request_id=request_id, now=now)
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
    if renewals.pay_by_credit(order, now=now):
        renewals.fulfil(order.pk, now=now)
        order.refresh_from_db()
    return order


def _step_down(subscription: Subscription, wanted: Change, *, request_id: UUID, now: datetime) -> Order:
    """Less from now on: an order that costs nothing, and credit notes for what is left of the difference."""
    order = renewals.place(
        subscription,
        wanted.price,
        before=renewals.last_order(subscription),
        kind=Order.CHANGE,
        now=now,
        starts_at=now,
        ends_at=wanted.paid_until,
        subtotal=Money.zero(wanted.price.currency),
        coupon=None,
        request_id=request_id,
        expires_at=now + _STANDS_FOR,
    )
    _give_back(subscription, order, wanted.price, now=now)
    orders.mark_paid(order, now=now)
    renewals.fulfil(order.pk, now=now)
    order.refresh_from_db()
    return order


def _give_back(subscription: Subscription, change: Order, price: Price, *, now: datetime) -> None:
    """Credit for the rest of what is paid, tax included, and never more than was invoiced for it."""
    assert subscription.price is not None
    for paid in _paid_periods(subscription, now):
        assert paid.period_start is not None and paid.period_end is not None
        old, new = _net(subscription.price, paid.coupon), _net(price, paid.coupon)
        span = {"start": paid.period_start, "end": paid.period_end, "now": now}
        net = -proration.difference(old, new, **span)
        rate = Decision.read(paid.tax).rate
        left = net + net.times(rate / 100)
        # What was paid on top in the same period was invoiced on its own, and later.
        same = subscription.orders.filter(state=order_states.FULFILLED, period_end=paid.period_end)
        for each in same.order_by("-fulfilled_at"):
            left -= _credit(each, left, change=change, now=now)


def _credit(paid: Order, wanted: Money, *, change: Order, now: datetime) -> Money:
    """A credit note on the invoice of an order, for as much as it has; what it comes to is the customer's credit."""
    invoice = invoicing.draft_for_order(paid.pk, now=now) if wanted.minor > 0 else None
    amount = min(wanted, documents.left_to_credit(invoice)) if invoice is not None else None
    if invoice is None or amount is None or not amount:
        return Money.zero(wanted.currency)
    key = f"step-down:{change.pk}:{paid.pk}"
    invoicing.credit(invoice.pk, key=key, amount=amount, reason="", now=now)
    ledger.keep_as_credit(
        organization_id=invoice.organization_id, amount=amount, key=key, reference=change.number, now=now
    )
    return amount


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
