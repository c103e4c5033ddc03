"""Another plan or interval, or more or less of an add-on: upwards at once for the difference, downwards when the
period ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from parcelle.core import events
from parcelle.core.money import Money
from parcelle.domain.billing import (
    baskets,
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
from parcelle.domain.billing.baskets import Basket, Extras
from parcelle.domain.billing.errors import AddOnRefused, ChangeRefused
from parcelle.domain.billing.events import ChangeScheduled, ChangeTakenBack
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
    extras: Extras
    cost: Money
    at_once: bool
    effective_at: datetime
    paid_until: datetime
    same_interval: bool = True
    # Refunds may have taken from the invoices what a step down would give back.
    creditable: bool = True

    @property
    def may_be_now(self) -> bool:
        """A step down that need not wait: the rest of the difference is given back as credit."""
        return not self.at_once and self.cost.minor < 0 and self.same_interval and self.creditable


def preview(subscription: Subscription, price: Price, *, now: datetime, extras: Extras | None = None) -> Change:
    """What it would be with these add-ons, or with the ones it has. Raises ChangeRefused."""
    old = subscription.price
    if old is None or subscription.period_end is None or subscription.state not in {states.ACTIVE, states.PAST_DUE}:
        raise ChangeRefused("not_active")
    if subscription.state == states.PAST_DUE:
        # Nothing is paid that a difference could be reckoned of, and what is owed stays owed.
        raise ChangeRefused("overdue")
    if price.currency != old.currency:
        raise ChangeRefused("other_currency")
    if price.plan.product_id != old.plan.product_id:
        raise ChangeRefused("other_product")
    _check_nothing_waits(subscription, now=now)
    has = baskets.of(subscription)
    same_interval = price.interval == old.interval
    if extras is None:
        # A period of another length is a new one, for which fewer may have been chosen.
        extras = _carried(has.extras if same_interval else baskets.next_extras(subscription), price)
    wanted = Basket(price, extras)
    if wanted == has:
        raise ChangeRefused("same")
    cost = (
        _difference(subscription, has, wanted, now=now) if same_interval else _begin_anew(subscription, wanted, now=now)
    )
    up = cost.minor > 0 or (not cost and wanted.amount >= has.amount)
    until = subscription.period_end
    if up and not same_interval:
        until = calendar.next_start(now, interval=price.interval, anchor_day=calendar.anchor_of(now))
    return Change(
        price=price,
        extras=wanted.extras,
        cost=cost,
        at_once=up,
        effective_at=now if up else subscription.period_end,
        paid_until=until,
        same_interval=same_interval,
        creditable=up or not same_interval or _is_creditable(subscription, wanted, now=now),
    )


def _check_nothing_waits(subscription: Subscription, *, now: datetime) -> None:
    """What is paid and has not begun cannot be reckoned with what is there now."""
    if renewals.paid_ahead(subscription, now=now) is not None:
        raise ChangeRefused("paid_ahead")


def _paid_periods(subscription: Subscription, now: datetime) -> list[Order]:
    """What is paid and not over: the running period, and the next one for who paid early."""
    paid = subscription.orders.filter(state=order_states.FULFILLED, period_end__gt=now).exclude(
        kind__in=(Order.CHANGE, Order.RECOVERY)
    )
    return list(paid.select_related("coupon").order_by("period_start"))


def _carried(extras: Extras, price: Price) -> Extras:
    try:
        return baskets.carry(extras, price)
    except AddOnRefused:
        raise ChangeRefused("add_ons") from None


def _net(basket: Basket, coupon: Coupon | None) -> Money:
    """What a period costs less what the coupon of the same period takes off it."""
    amount = basket.amount
    if coupon is None or not coupons.goes_on(coupon, plan=basket.price.plan, subtotal=amount):
        return amount
    return amount - quotes.reduction(amount, coupon)


def _difference(subscription: Subscription, old: Basket, new: Basket, *, now: datetime) -> Money:
    total = Money.zero(old.price.currency)
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


def _worth(subscription: Subscription, amount: Money, *, now: datetime) -> Money:
    """What is left of it in what is paid."""
    total = Money.zero(amount.currency)
    for order in _paid_periods(subscription, now):
        assert order.period_start is not None and order.period_end is not None
        total += proration.worth(amount, start=order.period_start, end=order.period_end, now=now)
    return total


def _begin_anew(subscription: Subscription, new: Basket, *, now: datetime) -> Money:
    """A whole new period less what is left of those that are paid."""
    has = baskets.of(subscription)
    left = Money.zero(new.price.currency)
    for order in _paid_periods(subscription, now):
        assert order.period_start is not None and order.period_end is not None
        worth = proration.worth(_net(has, order.coupon), start=order.period_start, end=order.period_end, now=now)
        # What was refunded is no longer there to be reckoned with.
        rate, most = Decision.read(order.tax).rate, _left_of_invoices(subscription, order)
        left += worth if _taxed(worth, rate) <= most else most.times(1 / (1 + Fraction(rate) / 100))
    return new.amount - left


@transaction.atomic
def change(
    subscription_id: UUID, *, price_id: UUID, request_id: UUID, actor: str, now: datetime, at_once: bool = False
) -> Order | None:
    """Asks for another price. A step up is an order, which counts once it is paid; a step down waits for the period's
    end, and then there is none. With `at_once` it counts now, and what is left of the difference becomes credit.

    The present price again takes back what was asked for the period's end. Raises ChangeRefused, NotOnSale, and
    PaymentOpen while money for the next period is on its way.
    """
    earlier = Order.objects.filter(request_id=request_id).first()
    if earlier is not None:
        return earlier
    _drop_open_changes(subscription_id, now=now)
    subscription = renewals.lock(subscription_id)
    _check_nothing_waits(subscription, now=now)
    if price_id == subscription.price_id and subscription.next_price_id is not None:
        _stay(subscription, next_price=None, actor=actor, now=now)
        return None
    wanted = preview(subscription, orders.price_on_sale(price_id), now=now)
    return _carry_out(subscription, wanted, request_id=request_id, actor=actor, now=now, at_once=at_once)


@transaction.atomic
def change_add_ons(
    subscription_id: UUID,
    *,
    quantities: Mapping[UUID, int],
    request_id: UUID,
    actor: str,
    now: datetime,
    at_once: bool = False,
) -> Order | None:
    """Asks for so many of each add-on named, by the rules of `change`. The present number again takes back what was
    asked for the period's end.

    Raises AddOnRefused, ChangeRefused and PaymentOpen.
    """
    earlier = Order.objects.filter(request_id=request_id).first()
    if earlier is not None:
        return earlier
    _drop_open_changes(subscription_id, now=now)
    subscription = renewals.lock(subscription_id)
    wanted = preview_add_ons(subscription, quantities, now=now)
    if wanted is None:
        _stay(subscription, next_price=subscription.next_price, actor=actor, now=now)
        return None
    return _carry_out(subscription, wanted, request_id=request_id, actor=actor, now=now, at_once=at_once)


def preview_add_ons(subscription: Subscription, quantities: Mapping[UUID, int], *, now: datetime) -> Change | None:
    """None where it only takes back what was asked for the period's end. Raises AddOnRefused and ChangeRefused."""
    if subscription.price is None:
        raise ChangeRefused("not_active")
    _check_nothing_waits(subscription, now=now)
    has = baskets.of(subscription).extras
    extras = baskets.choose(subscription.price, quantities, have=has)
    following = subscription.next_price
    if following is not None and following.interval != subscription.price.interval:
        raise ChangeRefused("scheduled")
    if following is not None:
        _carried(extras, following)
    if extras == has and subscription.next_extras is not None:
        return None
    return preview(subscription, subscription.price, now=now, extras=extras)


def _carry_out(
    subscription: Subscription, wanted: Change, *, request_id: UUID, actor: str, now: datetime, at_once: bool
) -> Order | None:
    if not wanted.at_once and at_once and wanted.may_be_now:
        return _step_down(subscription, wanted, request_id=request_id, now=now)
    if not wanted.at_once:
        _schedule(subscription, wanted, actor=actor, now=now)
        return None
    order = _place(
        subscription,
        wanted,
        subtotal=wanted.cost,
        request_id=request_id,
        expires_at=min(now + _STANDS_FOR, max(subscription.period_end or now, now + timedelta(hours=1))),
        now=now,
    )
    if renewals.pay_by_credit(order, now=now):
        renewals.fulfil(order.pk, now=now)
        order.refresh_from_db()
    return order


def _place(subscription: Subscription, wanted: Change, *, subtotal: Money, now: datetime, **columns: Any) -> Order:
    has, basket = baskets.of(subscription), Basket(wanted.price, wanted.extras)
    extras = baskets.whole(basket.extras)
    if wanted.same_interval:
        worth = partial(_worth, subscription, now=now)
        extras = baskets.changed(has, basket, subtotal=subtotal, worth=worth)
    return renewals.place(
        subscription,
        basket,
        before=renewals.last_order(subscription),
        kind=Order.CHANGE if wanted.same_interval else Order.SWITCH,
        now=now,
        starts_at=now,
        ends_at=wanted.paid_until,
        subtotal=subtotal,
        extras=extras,
        **columns,
    )


def _step_down(subscription: Subscription, wanted: Change, *, request_id: UUID, now: datetime) -> Order:
    """Less from now on: an order that costs nothing, and credit notes for what is left of the difference."""
    zero = Money.zero(wanted.price.currency)
    order = _place(subscription, wanted, subtotal=zero, request_id=request_id, expires_at=now + _STANDS_FOR, now=now)
    _give_back(subscription, order, Basket(wanted.price, wanted.extras), now=now)
    orders.mark_paid(order, now=now)
    renewals.fulfil(order.pk, now=now)
    order.refresh_from_db()
    return order


def _give_back(subscription: Subscription, change: Order, basket: Basket, *, now: datetime) -> None:
    """Credit for the rest of what is paid, tax included, and never more than was invoiced for it."""
    for paid, wanted in _to_give_back(subscription, basket, now=now):
        left = wanted
        for each in _invoiced_for(subscription, paid):
            left -= _credit(each, left, change=change, now=now)


def _to_give_back(subscription: Subscription, basket: Basket, *, now: datetime) -> Iterator[tuple[Order, Money]]:
    """Each period that is paid, and how much less the rest of it costs with this basket, tax included.

    Tax is rounded on the sum, as it is where a step up is paid for all of them: up and down again costs nothing.
    """
    has = baskets.of(subscription)
    nets: dict[Decimal, Money] = {}
    for paid in _paid_periods(subscription, now):
        assert paid.period_start is not None and paid.period_end is not None
        old, new = _net(has, paid.coupon), _net(basket, paid.coupon)
        rate = Decision.read(paid.tax).rate
        before = nets.get(rate, Money.zero(old.currency))
        after = before - proration.difference(old, new, start=paid.period_start, end=paid.period_end, now=now)
        nets[rate] = after
        yield paid, _taxed(after, rate) - _taxed(before, rate)


def _taxed(net: Money, rate: Decimal) -> Money:
    return net + net.times(rate / 100)


def _invoiced_for(subscription: Subscription, paid: Order) -> QuerySet[Order]:
    """What was paid on top in the same period was invoiced on its own, and later."""
    same = subscription.orders.filter(state=order_states.FULFILLED, period_end=paid.period_end)
    return same.order_by("-fulfilled_at")


def _is_creditable(subscription: Subscription, basket: Basket, *, now: datetime) -> bool:
    """Whether what would be given back is still there to be given."""
    given_back = _to_give_back(subscription, basket, now=now)
    return all(wanted <= _left_of_invoices(subscription, paid) for paid, wanted in given_back)


def _left_of_invoices(subscription: Subscription, paid: Order) -> Money:
    """What was paid in a period, tax included, less what credit notes have taken back of it."""
    invoiced = list(_invoiced_for(subscription, paid))
    total = Money.total((Money(each.total_minor, each.currency) for each in invoiced), paid.currency)
    return total - documents.credited([each.pk for each in invoiced], paid.currency)


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


def _schedule(subscription: Subscription, wanted: Change, *, actor: str, now: datetime) -> None:
    """With the next period; what was asked for then about add-ons or the plan stays asked for."""
    assert subscription.period_end is not None
    if wanted.price == subscription.price:
        _announce_anew(subscription, now=now, next_extras=baskets.stored(wanted.extras))
    else:
        extras = _carried(baskets.next_extras(subscription), wanted.price)
        _announce_anew(subscription, now=now, next_price=wanted.price, next_extras=baskets.stored(extras))
    events.record(
        ChangeScheduled(
            organization_id=subscription.organization_id,
            subscription_id=subscription.pk,
            price_id=(subscription.next_price or wanted.price).pk,
            effective_at=subscription.period_end,
        ),
        now=now,
        actor=actor,
    )


def _stay(subscription: Subscription, *, next_price: Price | None, actor: str, now: datetime) -> None:
    """What was asked for the end of the period is taken back; the plan from then on is this one."""
    _announce_anew(subscription, now=now, next_price=next_price, next_extras=None)
    events.record(
        ChangeTakenBack(organization_id=subscription.organization_id, subscription_id=subscription.pk),
        now=now,
        actor=actor,
    )


def _announce_anew(subscription: Subscription, *, now: datetime, **changes: Any) -> None:
    """What was announced is announced again, with the new amount."""
    renewals.drop_open_renewals(subscription, now=now)
    announce = None if subscription.cancel_at else subscription.renews_at or now
    Subscription.objects.filter(pk=subscription.pk).update(renews_at=announce, **changes)
    for name, value in changes.items():
        setattr(subscription, name, value)
