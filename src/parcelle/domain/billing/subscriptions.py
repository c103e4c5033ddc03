"""What happens to a subscription whatever it began as."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q

from parcelle.core import events
from parcelle.core.states import IllegalTransition, move
from parcelle.domain.billing import (
    baskets,
    calendars,
    order_states,
    orders,
    payment_states,
    periods,
    revenue,
    states,
    usage,
)
from parcelle.domain.billing.errors import NotActive, PaymentOpen
from parcelle.domain.billing.events import (
    CancellationTakenBack,
    SubscriptionCancelled,
    SubscriptionEnded,
    SubscriptionResumed,
    SubscriptionStarted,
    SubscriptionSuspended,
)
from parcelle.domain.billing.models import Order, Subscription
from parcelle.domain.catalog.models import Plan, Price
from parcelle.domain.tenancy.models import Organization

_RUNNING = (states.TRIALING, states.ACTIVE, states.PAST_DUE)


@transaction.atomic
def end(subscription_id: UUID, *, reason: str, now: datetime) -> bool:
    """Ends a subscription now; false when it had ended already."""
    subscription = Subscription.objects.select_related("price").get(pk=subscription_id)
    try:
        move(subscription, states.ENDED, table=states.TRANSITIONS, ended_at=now, renews_at=None)
    except IllegalTransition:
        return False
    revenue.note(subscription, now=now)
    events.record(
        SubscriptionEnded(organization_id=subscription.organization_id, subscription_id=subscription.pk, reason=reason),
        now=now,
    )
    return True


@transaction.atomic(savepoint=False)
def activate(
    *,
    organization: Organization,
    plan: Plan,
    price: Price,
    now: datetime,
    actor: str = "system",
    extras: baskets.Stored | None = None,
) -> Subscription:
    """A paid subscription from `now` on: a trial of the same product becomes it, and keeps what it has.

    Likewise one that is suspended, while its data is kept. `extras` are those of the order.
    """
    kept = (
        Subscription.objects.select_for_update(of=("self",))
        .filter(organization=organization, plan__product_id=plan.product_id)
        .filter(Q(state=states.TRIALING, price=None) | Q(state=states.SUSPENDED))
        .order_by("-created_at")
        .first()
    )
    anchor = periods.anchor_of(now)
    until = periods.next_start(now, interval=price.interval, anchor_day=anchor)
    paid = {
        "plan": plan,
        "price": price,
        "extras": baskets.bare(extras or []),
        "anchor_day": anchor,
        "period_start": now,
        "period_end": until,
        "renews_at": calendars.of(plan).announced_at(until, price.interval),
    }
    if kept is not None:
        subscription = kept
        fresh = {"suspended_at": None, "suspended_for": "", "cancel_at": None, "next_price": None, "paused_left": None}
        move(
            subscription,
            states.ACTIVE,
            table=states.TRANSITIONS,
            next_extras=None,
            read_only_at=None,
            **fresh,
            **paid,
        )
    else:
        subscription = Subscription.objects.create(
            organization=organization, state=states.ACTIVE, created_at=now, **paid
        )
    usage.open_period(subscription)
    revenue.note(subscription, now=now)
    events.record(
        SubscriptionStarted(
            organization_id=organization.pk, subscription_id=subscription.pk, plan_id=plan.pk, paid_until=until
        ),
        now=now,
        actor=actor,
    )
    return subscription


def suspend(subscription: Subscription, why: str, *, now: datetime, actor: str = "system") -> None:
    """Inside the caller's transaction and under the subscription's lock. Raises IllegalTransition."""
    move(
        subscription,
        states.SUSPENDED,
        table=states.TRANSITIONS,
        suspended_at=now,
        suspended_for=why,
        renews_at=None,
        problem="",
    )
    revenue.note(subscription, now=now)
    events.record(
        SubscriptionSuspended(
            organization_id=subscription.organization_id, subscription_id=subscription.pk, reason=why
        ),
        now=now,
        actor=actor,
    )


# --- leaving ------------------------------------------------------------------------------------------------


@transaction.atomic
def cancel(subscription_id: UUID, *, at_once: bool, reason: str, actor: str, now: datetime) -> datetime:
    """Ends the service when what is paid ends, or now; from when on. Its data is kept for a while.

    Raises NotActive, and PaymentOpen while money for the next period may be on its way.
    """
    subscription = _lock_without_renewals(subscription_id, now=now)
    if subscription.state not in _RUNNING:
        raise NotActive
    ends_at = subscription.trial_ends_at if subscription.state == states.TRIALING else subscription.period_end
    # Whoever owes the running period has nothing paid to wait for.
    if at_once or ends_at is None or ends_at <= now:
        ends_at = now
    Subscription.objects.filter(pk=subscription.pk).update(
        cancel_at=ends_at, cancel_reason=reason[:500], renews_at=None
    )
    subscription.cancel_at = ends_at
    events.record(
        SubscriptionCancelled(
            organization_id=subscription.organization_id, subscription_id=subscription.pk, ends_at=ends_at
        ),
        now=now,
        actor=actor,
    )
    if ends_at <= now:
        suspend(subscription, states.CANCELLED, now=now)
    return ends_at


@transaction.atomic
def take_back(subscription_id: UUID, *, actor: str, now: datetime) -> None:
    """Whoever cancelled stays after all. Raises NotActive for what is over already."""
    subscription = _lock(subscription_id)
    if subscription.state not in _RUNNING or subscription.cancel_at is None or subscription.cancel_at <= now:
        raise NotActive
    Subscription.objects.filter(pk=subscription.pk).update(
        cancel_at=None, cancel_reason="", renews_at=_renews_at(subscription)
    )
    events.record(
        CancellationTakenBack(organization_id=subscription.organization_id, subscription_id=subscription.pk),
        now=now,
        actor=actor,
    )


def to_close(now: datetime) -> Iterator[UUID]:
    """Cancelled subscriptions whose last day is over."""
    due = Subscription.objects.filter(state__in=_RUNNING, cancel_at__lte=now)
    yield from due.order_by("cancel_at").values_list("pk", flat=True).iterator(chunk_size=2000)


@transaction.atomic
def close(subscription_id: UUID, *, now: datetime) -> bool:
    subscription = _lock(subscription_id)
    if subscription.state not in _RUNNING or subscription.cancel_at is None or subscription.cancel_at > now:
        return False
    suspend(subscription, states.CANCELLED, now=now)
    return True


# --- pausing ------------------------------------------------------------------------------------------------


@transaction.atomic
def pause(subscription_id: UUID, *, actor: str, now: datetime) -> None:
    """The instance rests, and what is paid and not used is kept for later. Raises NotActive and PaymentOpen."""
    subscription = _lock_without_renewals(subscription_id, now=now)
    if subscription.state != states.ACTIVE or subscription.period_end is None or subscription.period_end <= now:
        raise NotActive
    Subscription.objects.filter(pk=subscription.pk).update(paused_left=subscription.period_end - now)
    suspend(subscription, states.PAUSED, now=now, actor=actor)


@transaction.atomic
def go_on(subscription_id: UUID, *, actor: str, now: datetime) -> None:
    """Raises NotActive for what is not paused."""
    subscription = _lock(subscription_id)
    if subscription.state != states.SUSPENDED or subscription.suspended_for != states.PAUSED:
        raise NotActive
    assert subscription.paused_left is not None
    move_along(subscription, until=now + subscription.paused_left)
    revenue.note(subscription, now=now)
    events.record(
        SubscriptionResumed(organization_id=subscription.organization_id, subscription_id=subscription.pk),
        now=now,
        actor=actor,
    )


def move_along(subscription: Subscription, *, until: datetime) -> None:
    """A suspended subscription goes on with what was left of its period, which ends then. Under its lock."""
    stopped_at = subscription.suspended_at
    move(
        subscription,
        states.ACTIVE,
        table=states.TRANSITIONS,
        period_end=until,
        anchor_day=periods.anchor_of(until),
        paused_left=None,
        read_only_at=None,
        suspended_at=None,
        suspended_for="",
    )
    Subscription.objects.filter(pk=subscription.pk).update(renews_at=_renews_at(subscription))
    # What was paid for is moved along, so that a change of plan reckons with what is left: the period that was running,
    # and the one after it for who had paid early.
    paid = subscription.orders.filter(state=order_states.FULFILLED, period_end__isnull=False)
    newest = paid.exclude(kind__in=(Order.CHANGE, Order.RECOVERY)).order_by("-period_end")
    shift: timedelta | None = None
    # The last one first: no two periods begin at the same time.
    for order in newest:
        assert order.period_end is not None
        if shift is None:
            shift = until - order.period_end
        elif stopped_at is None or order.period_end <= stopped_at:
            break
        Order.objects.filter(pk=order.pk).update(
            period_start=F("period_start") + shift, period_end=F("period_end") + shift
        )


# --- locks --------------------------------------------------------------------------------------------------


def _lock(subscription_id: UUID) -> Subscription:
    rows = Subscription.objects.select_related("plan", "price").select_for_update(of=("self",))
    return rows.get(pk=subscription_id)


def _lock_without_renewals(subscription_id: UUID, *, now: datetime) -> Subscription:
    """The subscription, after what was asked for its next period is given up. Raises PaymentOpen.

    Orders first: whoever locks both locks them in this order.
    """
    asked = Order.objects.filter(subscription_id=subscription_id, state=order_states.OPEN)
    asked = asked.exclude(kind__in=(Order.NEW, Order.RECOVERY))
    for order in asked.select_for_update(of=("self",)):
        if order.payments.filter(state__in=payment_states.BLOCKING).exists():
            raise PaymentOpen
        orders.give_up(order, now=now)
    return _lock(subscription_id)


def _renews_at(subscription: Subscription) -> datetime | None:
    if subscription.period_end is None or subscription.price is None:
        return None
    return calendars.of(subscription.plan).announced_at(subscription.period_end, subscription.price.interval)
