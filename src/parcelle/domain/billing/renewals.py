"""Renewals: the order of the next period, made some days before it begins, and what its payment brings.

A period is asked for once, and begins where the one before ends. Whoever pays after their service was suspended
gets a whole period from that moment instead.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from parcelle.core import events
from parcelle.core.money import Money
from parcelle.core.states import move
from parcelle.domain.billing import (
    baskets,
    calendars,
    coupons,
    entitlement,
    gateways,
    ledger,
    order_states,
    orders,
    payment_states,
    periods,
    price_changes,
    revenue,
    saved_methods,
    sellers,
    states,
    subscriptions,
    taxes,
    usage,
)
from parcelle.domain.billing.baskets import Basket
from parcelle.domain.billing.errors import GatewayUnusable, NotRenewable, PaymentOpen
from parcelle.domain.billing.events import (
    DebtSettled,
    RenewalAsked,
    RenewalTooLate,
    SubscriptionChanged,
    SubscriptionRenewed,
)
from parcelle.domain.billing.models import Order, Subscription
from parcelle.domain.billing.orders import Buyer
from parcelle.domain.billing.quotes import quote
from parcelle.domain.catalog.models import Coupon, Price
from parcelle.domain.tenancy import queries as organizations
from parcelle.domain.tenancy.models import Organization

_CHANGES = (Order.CHANGE, Order.SWITCH)
PAID = (order_states.PAID, order_states.FULFILLED)
# States from which a payment leads back to a paid period.
_RENEWABLE = {state: frozenset({states.ACTIVE}) for state in (states.ACTIVE, states.PAST_DUE, states.SUSPENDED)}


def due(now: datetime) -> QuerySet[Subscription]:
    return Subscription.objects.filter(state=states.ACTIVE, cancel_at=None, renews_at__lte=now)


def to_renew(now: datetime) -> Iterator[UUID]:
    """Subscriptions whose next period should be asked for, the oldest first."""
    yield from due(now).order_by("renews_at").values_list("pk", flat=True).iterator(chunk_size=2000)


@transaction.atomic
def renew(subscription_id: UUID, *, now: datetime) -> bool:
    """Asks for every period that should have been asked for by `now`; false when there was none.

    What costs nothing, or less than the customer's credit, is paid at once. Each order is dated when it was due, so
    that a late run makes what a run each day would have made.
    """
    subscription = lock(subscription_id)
    made = False
    while _is_due(subscription, now):
        assert subscription.renews_at is not None
        _ask(subscription, at=subscription.renews_at)
        made = True
    return made


def lock(subscription_id: UUID) -> Subscription:
    """Whoever locks an order as well locks the order first."""
    rows = Subscription.objects.select_related(
        "plan__product", "price__plan__product", "next_price__plan__product", "organization"
    )
    return rows.select_for_update(of=("self",)).get(pk=subscription_id)


def _is_due(subscription: Subscription, now: datetime) -> bool:
    asked = subscription.renews_at is not None and subscription.renews_at <= now
    return asked and subscription.state == states.ACTIVE and subscription.cancel_at is None


def _ask(subscription: Subscription, *, at: datetime) -> None:
    assert subscription.period_end is not None and subscription.price is not None
    due_at = subscription.period_end
    order = _place(
        subscription, following(subscription, due_at), at=at, starts_at=due_at, anchor_day=subscription.anchor_day
    )
    _set(subscription, renews_at=None, problem="")
    record_asked(order, now=at)
    if pay_by_credit(order, now=at):
        fulfil(order.pk, now=at)
        subscription.refresh_from_db()


def following(subscription: Subscription, at: datetime) -> Basket:
    """What a period that begins at this moment consists of."""
    assert subscription.price is not None
    price = price_changes.price_at(subscription.next_price or subscription.price, at)
    return Basket(price, baskets.next_extras(subscription))


def record_asked(order: Order, *, now: datetime) -> None:
    assert order.organization_id is not None and order.subscription_id is not None and order.due_at is not None
    events.record(
        RenewalAsked(
            organization_id=order.organization_id,
            subscription_id=order.subscription_id,
            order_id=order.pk,
            due_at=order.due_at,
        ),
        now=now,
    )


def pay_by_credit(order: Order, *, now: datetime) -> bool:
    """Uses the customer's credit; whether nothing is left to pay."""
    if order.total_minor:
        assert order.organization_id is not None
        used = _credit_for(order)
        if used:
            ledger.apply_credit(
                organization_id=order.organization_id,
                amount=used,
                key=f"credit:{order.pk}",
                reference=order.number,
                now=now,
            )
            order.credit_minor = used.minor
            order.save(update_fields=["credit_minor"])
        if order.due:
            return False
    orders.mark_paid(order, now=now)
    return True


def _credit_for(order: Order) -> Money:
    """All that there is; where it does not suffice, so much is left to pay that every rail takes it."""
    assert order.organization_id is not None
    credit = ledger.credit_to_use(order.organization_id, order.currency)
    if credit >= order.total:
        return order.total
    least = Money.of(1, order.currency)
    return max(min(credit, order.total - least), Money.zero(order.currency))


def _place(
    subscription: Subscription, basket: Basket, *, at: datetime, starts_at: datetime, anchor_day: int | None
) -> Order:
    before = last_order(subscription)
    order = draft_renewal(
        subscription,
        basket,
        known=known_of(subscription, before, coupon=_coupon(subscription, before, basket)),
        number=orders.new_number(at),
        at=at,
        starts_at=starts_at,
        anchor_day=anchor_day,
        # What a customer must approve each time takes them longer.
        by_hand=pays_by_hand(before) and saved_methods.of(subscription.organization_id) is None,
        calendar=calendars.of(basket.price.plan),
    )
    order.save(force_insert=True)
    return order


def draft_renewal(
    subscription: Subscription,
    basket: Basket,
    *,
    known: Known,
    number: str,
    at: datetime,
    starts_at: datetime,
    anchor_day: int | None,
    by_hand: bool,
    calendar: calendars.Calendar,
) -> Order:
    """The order of one period, not stored. Asks the database nothing."""
    price = basket.price
    anchor = anchor_day or periods.anchor_of(starts_at)
    grace_until = calendar.grace_until(starts_at, by_hand=by_hand)
    return _draft(
        subscription,
        price,
        known=known,
        number=number,
        subtotal=basket.amount,
        extras=baskets.whole(basket.extras),
        kind=Order.RENEWAL,
        created_at=at,
        period_start=starts_at,
        period_end=periods.next_start(starts_at, interval=price.interval, anchor_day=anchor),
        due_at=starts_at,
        grace_until=grace_until,
        next_step_at=at,
        charge_at=calendar.charged_at(starts_at, after=at),
        # Payable as long as the customer's data is kept.
        expires_at=grace_until + timedelta(days=price.plan.retention_days),
    )


def place(
    subscription: Subscription,
    basket: Basket,
    *,
    before: Order | None,
    kind: str,
    now: datetime,
    starts_at: datetime,
    ends_at: datetime,
    subtotal: Money,
    **columns: Any,
) -> Order:
    """An order for a customer who has one already, with what is known of them."""
    order = _draft(
        subscription,
        basket.price,
        known=known_of(subscription, before, coupon=None),
        number=orders.new_number(now),
        subtotal=subtotal,
        kind=kind,
        created_at=now,
        period_start=starts_at,
        period_end=ends_at,
        **columns,
    )
    order.save(force_insert=True)
    return order


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the next order of a customer takes over from the one before, and who sells."""

    seller: taxes.Seller
    buyer: Buyer
    user_id: UUID | None
    coupon: Coupon | None


def known_of(
    subscription: Subscription, before: Order | None, *, coupon: Coupon | None, seller: taxes.Seller | None = None
) -> Known:
    return Known(
        seller=seller or sellers.current().for_taxes(),
        buyer=_buyer(subscription.organization, before),
        user_id=before.user_id if before else None,
        coupon=coupon,
    )


def _draft(
    subscription: Subscription, price: Price, *, known: Known, number: str, subtotal: Money, **columns: Any
) -> Order:
    buyer = known.buyer
    decision = orders.decide_tax(buyer, price.plan.product, seller=known.seller)
    sum_ = quote(subtotal, coupon=known.coupon, decision=decision)
    return Order(
        number=number,
        request_id=columns.pop("request_id", None) or uuid.uuid4(),
        plan=price.plan,
        price=price,
        coupon=known.coupon,
        buyer=asdict(buyer),
        email=buyer.email,
        language=subscription.organization.language,
        currency=price.currency,
        subtotal_minor=sum_.subtotal.minor,
        discount_minor=sum_.discount.minor,
        tax_minor=sum_.tax.minor,
        total_minor=sum_.total.minor,
        tax=sum_.decision.stored(),
        user_id=known.user_id,
        organization=subscription.organization,
        subscription=subscription,
        **columns,
    )


def last_order(subscription: Subscription) -> Order | None:
    """The customer's newest order that was paid, for who they are and how they pay."""
    return _last(subscription.orders.exclude(kind=Order.RECOVERY))


def _last(rows: QuerySet[Order]) -> Order | None:
    paid = rows.filter(state__in=PAID)
    return paid.select_related("coupon").order_by("-created_at").first()


def _buyer(organization: Organization, before: Order | None) -> Buyer:
    if before is not None:
        return Buyer(**before.buyer)
    owner = organizations.owner_of(organization.pk)
    return Buyer(first_name=owner.first_name, last_name=owner.last_name, company=organization.name, email=owner.email)


def pays_by_hand(before: Order | None) -> bool:
    """Whether the customer approves each payment themselves, as far as is known."""
    paid = before.payments.filter(state=payment_states.PAID) if before else None
    gateway = paid.values_list("gateway", flat=True).first() if paid is not None else None
    return gateway is not None and is_by_hand(gateway)


def is_by_hand(gateway: str) -> bool:
    """Whether each payment this way takes the customer; so does one that is no longer set up."""
    try:
        return gateways.open_gateway(gateway).abilities.prepaid
    except GatewayUnusable:
        return True


def _coupon(subscription: Subscription, before: Order | None, basket: Basket) -> Coupon | None:
    """The coupon of the first payment, as long as it counts for more of them."""
    if before is not None and before.kind not in (Order.NEW, Order.RENEWAL):
        # A change has its coupon in its amount.
        before = _last(subscription.orders.filter(kind__in=(Order.NEW, Order.RENEWAL)))
    coupon = before.coupon if before else None
    if coupon is None or not coupons.goes_on(coupon, plan=basket.price.plan, subtotal=basket.amount):
        return None
    if coupon.payments is None:
        return coupon
    used = coupon_uses().filter(subscription=subscription, coupon=coupon).count()
    return coupon if used < coupon.payments else None


def coupon_uses() -> QuerySet[Order]:
    """Payments for which a coupon may have counted."""
    return Order.objects.filter(state__in=PAID).exclude(kind__in=_CHANGES)


# --- what the payment brings --------------------------------------------------------------------------------


@transaction.atomic
def fulfil(order_id: UUID, *, now: datetime) -> bool:
    """Gives the customer what a paid renewal or change is for; false when that was done, or is no longer possible."""
    order = Order.objects.select_for_update(of=("self",)).select_related("price__plan", "plan").get(pk=order_id)
    if order.state != order_states.PAID or order.subscription_id is None:
        return False
    subscription = lock(order.subscription_id)
    if not _may_have(order, subscription):
        _keep_as_credit(order, now=now)
        return False
    was = subscription.state
    if order.kind == Order.RECOVERY:
        settle(subscription, now=now)
    elif order.kind in _CHANGES:
        _change(order, subscription, now=now)
    else:
        _extend(order, subscription, now=now)
    revenue.note(subscription, now=now)
    orders.fulfil(order, organization=subscription.organization, subscription=subscription, instance_id=None, now=now)
    _record(order, subscription, resumed=was == states.SUSPENDED, now=now)
    return True


def settle(subscription: Subscription, *, now: datetime) -> None:
    """What had been taken back is there again: who was behind is not any more, and who was suspended for it has what
    was left of their period. Under the subscription's lock."""
    if subscription.state == states.SUSPENDED and subscription.suspended_for == states.UNPAID:
        assert subscription.period_end is not None and subscription.suspended_at is not None
        left = max(subscription.period_end - subscription.suspended_at, timedelta(0))
        subscriptions.move_along(subscription, until=now + left)
    elif subscription.state == states.PAST_DUE:
        move(subscription, states.ACTIVE, table=_RENEWABLE, read_only_at=None)


def _may_have(order: Order, subscription: Subscription) -> bool:
    if order.kind == Order.RECOVERY:
        return True
    if order.kind in _CHANGES:
        return subscription.state in {states.ACTIVE, states.PAST_DUE}
    if subscription.state == states.SUSPENDED:
        return True
    # Another order may have begun another period meanwhile: only what follows the present one extends it.
    return subscription.state in _RENEWABLE and order.period_start == subscription.period_end


def _extend(order: Order, subscription: Subscription, *, now: datetime) -> None:
    assert order.period_start is not None and order.period_end is not None
    begins, ends, anchor = order.period_start, order.period_end, subscription.anchor_day
    if subscription.state == states.SUSPENDED:
        begins = order.paid_at or now
        anchor = periods.anchor_of(begins)
        ends = periods.next_start(begins, interval=order.price.interval, anchor_day=anchor)
        Order.objects.filter(pk=order.pk).update(period_start=begins, period_end=ends)
        order.period_start, order.period_end = begins, ends
    _move_on(subscription, order, begins=begins, ends=ends, anchor_day=anchor or periods.anchor_of(begins), now=now)


def _move_on(
    subscription: Subscription, order: Order, *, begins: datetime, ends: datetime, anchor_day: int, now: datetime
) -> None:
    price = order.price
    # What was decided to be cancelled stays cancelled while it runs; after that a payment is a new beginning.
    cancel_at = subscription.cancel_at if subscription.state != states.SUSPENDED else None
    calendar = calendars.of(price.plan)
    # Whoever pays early is still in the period before: `roll` goes on to the next one when it begins.
    early = begins > now and subscription.period_start is not None
    move(
        subscription,
        states.ACTIVE,
        table=_RENEWABLE,
        **(_later if early and _is_other(order, subscription) else _from_now_on)(order, subscription),
        period_start=subscription.period_start if early else begins,
        period_end=ends,
        anchor_day=anchor_day,
        renews_at=None if cancel_at else calendar.announced_at(ends, price.interval),
        cancel_at=cancel_at,
        suspended_at=None,
        suspended_for="",
        paused_left=None,
        read_only_at=None,
        problem="",
    )
    usage.open_period(subscription)


def _is_other(order: Order, subscription: Subscription) -> bool:
    """Whether a period brings another plan or other add-ons; another price of the same plan is neither."""
    return order.plan_id != subscription.plan_id or baskets.bare(order.extras) != subscription.extras


def _from_now_on(order: Order, _subscription: Subscription) -> dict[str, Any]:
    return {
        "plan": order.price.plan,
        "price": order.price,
        "extras": baskets.bare(order.extras),
        "next_price": None,
        "next_extras": None,
    }


def _later(order: Order, subscription: Subscription) -> dict[str, Any]:
    """What is paid for begins when its period does: until then the customer has what they paid for before."""
    return {
        "next_price": order.price if order.price_id != subscription.price_id else None,
        "next_extras": baskets.bare(order.extras),
    }


def paid_ahead(subscription: Subscription, *, now: datetime) -> Order | None:
    """The paid order of a period that has not begun and brings something else than the present one."""
    if subscription.next_price_id is None and subscription.next_extras is None:
        return None
    ahead = subscription.orders.filter(state=order_states.FULFILLED, period_start__gt=now)
    ahead = ahead.exclude(kind__in=(Order.CHANGE, Order.RECOVERY)).order_by("period_start")
    return next((order for order in ahead if _brings_what_follows(order, subscription)), None)


def _brings_what_follows(order: Order, subscription: Subscription) -> bool:
    extras = subscription.extras if subscription.next_extras is None else subscription.next_extras
    price_id = subscription.next_price_id or subscription.price_id
    return (order.price_id, baskets.bare(order.extras)) == (price_id, extras) and _is_other(order, subscription)


def to_roll(now: datetime) -> Iterator[UUID]:
    """Subscriptions whose next period was paid early and has begun."""
    begun = Order.objects.filter(
        subscription=OuterRef("pk"),
        state=order_states.FULFILLED,
        period_start__gt=OuterRef("period_start"),
        period_start__lte=now,
    ).exclude(kind__in=(Order.CHANGE, Order.RECOVERY))
    rows = Subscription.objects.filter(Exists(begun), state__in=(states.ACTIVE, states.PAST_DUE))
    yield from rows.values_list("pk", flat=True).iterator(chunk_size=2000)


@transaction.atomic
def roll(subscription_id: UUID, *, now: datetime) -> bool:
    """Goes on to the newest paid period that has begun; false when that is the present one already."""
    subscription = lock(subscription_id)
    begun = subscription.orders.filter(state=order_states.FULFILLED, period_start__lte=now).exclude(
        kind__in=(Order.CHANGE, Order.RECOVERY)
    )
    newest = begun.select_related("price__plan").order_by("-period_start").first()
    if newest is None or newest.period_start is None or newest.period_start == subscription.period_start:
        return False
    changes = _from_now_on(newest, subscription) if _brings_what_follows(newest, subscription) else {}
    _set(subscription, period_start=newest.period_start, **changes)
    usage.open_period(subscription)
    revenue.note(subscription, now=now)
    return True


def _change(order: Order, subscription: Subscription, *, now: datetime) -> None:
    """Another plan from now on: for the rest of what is paid, or as a new period where the interval is another."""
    assert subscription.price is not None and order.period_end is not None
    calendar = calendars.of(order.plan)
    drop_open_renewals(subscription, now=now)
    if order.kind == Order.SWITCH:
        begins, anchor = order.period_start or now, periods.anchor_of(order.period_start or now)
        # What was left of the periods before was reckoned with; one that was paid early never begins.
        before = subscription.orders.exclude(pk=order.pk).filter(period_end__gt=begins)
        before.filter(period_start__gt=begins).update(period_start=begins)
        before.update(period_end=begins)
        _move_on(subscription, order, begins=begins, ends=order.period_end, anchor_day=anchor, now=now)
        return
    assert subscription.period_end is not None
    announced = calendar.announced_at(subscription.period_end, order.price.interval)
    _set(
        subscription,
        plan=order.plan,
        price=order.price,
        extras=baskets.bare(order.extras),
        # More of an add-on leaves a plan that is chosen for later as it is.
        next_price=subscription.next_price if order.price_id == subscription.price_id else None,
        next_extras=baskets.still_fewer(subscription, order),
        renews_at=None if subscription.cancel_at else announced,
    )
    usage.change_period(subscription)


def drop_open_renewals(subscription: Subscription, *, now: datetime) -> None:
    """Renewals that were asked for and are not paid are no longer what the customer agreed to.

    Raises PaymentOpen while money for one may be on its way.
    """
    for order in subscription.orders.filter(state=order_states.OPEN, kind=Order.RENEWAL):
        if order.payments.filter(state__in=payment_states.BLOCKING).exists():
            raise PaymentOpen
        orders.give_up(order, now=now)


def _keep_as_credit(order: Order, *, now: datetime) -> None:
    """The money came when there was nothing left to renew or change: it is the customer's to use or get back."""
    assert order.organization_id is not None
    key = f"too-late:{order.pk}"
    if order.total_minor and not ledger.is_booked(key):
        ledger.keep_as_credit(
            organization_id=order.organization_id, amount=order.total, key=key, reference=order.number, now=now
        )
        events.record(
            RenewalTooLate(organization_id=order.organization_id, order_id=order.pk, number=order.number), now=now
        )


def _record(order: Order, subscription: Subscription, *, resumed: bool, now: datetime) -> None:
    assert subscription.period_end is not None
    kind: Any = SubscriptionChanged if order.kind in _CHANGES else SubscriptionRenewed
    if order.kind == Order.RECOVERY:
        kind = DebtSettled
    events.record(
        kind(
            organization_id=subscription.organization_id,
            subscription_id=subscription.pk,
            order_id=order.pk,
            plan_id=subscription.plan_id,
            paid_until=subscription.period_end,
            resumed=resumed,
        ),
        now=now,
    )


# --- coming back --------------------------------------------------------------------------------------------


@transaction.atomic
def offer(subscription_id: UUID, *, now: datetime) -> Order:
    """The order whose payment brings a suspended subscription back, or renews one that runs; made if need be.

    Raises NotRenewable for a trial, and for what is over.
    """
    subscription = lock(subscription_id)
    if subscription.price is None or entitlement.of(subscription, now=now) == entitlement.Right.NOTHING:
        raise NotRenewable
    waiting = subscription.orders.filter(kind__in=Order.DUNNED, state=order_states.OPEN, expires_at__gt=now)
    found = waiting.order_by("-created_at").first()
    if found is not None:
        return found
    if subscription.state != states.SUSPENDED or subscription.suspended_for == states.PAUSED:
        raise NotRenewable
    order = _place(subscription, following(subscription, now), at=now, starts_at=now, anchor_day=None)
    until = entitlement.kept_until(subscription)
    Order.objects.filter(pk=order.pk).update(next_step_at=None, charge_at=None, expires_at=until or order.expires_at)
    return order


def _set(subscription: Subscription, **changes: Any) -> None:
    Subscription.objects.filter(pk=subscription.pk).update(**changes)
    for name, value in changes.items():
        setattr(subscription, name, value)


def note_problem(subscription_id: UUID, text: str) -> None:
    """Why a subscription could not be renewed, for the operator."""
    Subscription.objects.filter(pk=subscription_id).update(problem=text[:500])


__all__ = [
    "Known",
    "coupon_uses",
    "draft_renewal",
    "drop_open_renewals",
    "due",
    "following",
    "fulfil",
    "is_by_hand",
    "known_of",
    "last_order",
    "lock",
    "note_problem",
    "offer",
    "paid_ahead",
    "pay_by_credit",
    "pays_by_hand",
    "place",
    "record_asked",
    "renew",
    "roll",
    "settle",
    "to_renew",
    "to_roll",
]
