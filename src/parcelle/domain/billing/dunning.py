"""What happens around the day a renewal is due: reminders, the grace, and the suspension of who does not pay."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from parcelle.core import events
from parcelle.core.states import move
from parcelle.domain.billing import (
    calendars,
    order_states,
    payment_states,
    recoveries,
    renewals,
    saved_methods,
    states,
    subscriptions,
)
from parcelle.domain.billing.events import RenewalReminderDue, SubscriptionPastDue, SubscriptionReadOnly
from parcelle.domain.billing.models import DunningStep, Order, Subscription
from parcelle.domain.billing.renewals import lock

# Money may be on its way although the grace is over: looked at again after so long.
_LOOK_AGAIN = timedelta(minutes=10)


def to_step(now: datetime) -> Iterator[UUID]:
    """Renewals about which something is due."""
    due = Order.objects.filter(kind__in=Order.DUNNED, state=order_states.OPEN, next_step_at__lte=now)
    yield from due.order_by("next_step_at").values_list("pk", flat=True).iterator(chunk_size=2000)


@transaction.atomic
def step(order_id: UUID, *, now: datetime) -> bool:
    """Everything about one unpaid renewal that is due at `now`; safe to call twice."""
    order = _lock_order(order_id)
    if order.state != order_states.OPEN or order.kind not in Order.DUNNED or order.subscription_id is None:
        return False
    if order.kind == Order.RECOVERY and (payment := recoveries.won(order)) is not None:
        if not recoveries.win(payment.pk, now=now):
            Order.objects.filter(pk=order.pk).update(next_step_at=now + _LOOK_AGAIN)
        return True
    subscription = lock(order.subscription_id)
    assert order.due_at is not None and order.grace_until is not None
    if order.due_at <= now and subscription.state == states.ACTIVE:
        _fall_behind(order, subscription, now=now)
    blocked = False
    if order.grace_until <= now and subscription.state == states.PAST_DUE:
        blocked = _money_may_come(order, now)
        if not blocked:
            subscriptions.suspend(subscription, states.UNPAID, now=now)
    if _may_only_read(order, subscription, now=now):
        _restrict(order, subscription, now=now)
    if subscription.state in {states.ACTIVE, states.PAST_DUE}:
        _remind(order, subscription, now=now)
    following = now + _LOOK_AGAIN if blocked else _next(order, subscription, now)
    Order.objects.filter(pk=order.pk).update(next_step_at=following)
    if subscription.problem:
        renewals.note_problem(subscription.pk, "")
    return True


def _lock_order(order_id: UUID) -> Order:
    return Order.objects.select_for_update(of=("self",)).select_related("price__plan").get(pk=order_id)


def note_problem(order_id: UUID, text: str) -> None:
    """Why nothing could be done about an unpaid renewal, for the operator."""
    subscription_id = Order.objects.values_list("subscription_id", flat=True).get(pk=order_id)
    if subscription_id is not None:
        renewals.note_problem(subscription_id, text)


def _fall_behind(order: Order, subscription: Subscription, *, now: datetime) -> None:
    move(subscription, states.PAST_DUE, table=states.TRANSITIONS)
    events.record(
        SubscriptionPastDue(
            organization_id=subscription.organization_id, subscription_id=subscription.pk, order_id=order.pk
        ),
        now=now,
    )


def _may_only_read(order: Order, subscription: Subscription, *, now: datetime) -> bool:
    """Whether the day has come from which it can only be read; not while money may be on its way."""
    since = _read_only_from(order)
    if since is None or since > now or subscription.state != states.PAST_DUE or subscription.read_only_at is not None:
        return False
    return not _money_may_come(order, now)


def _read_only_from(order: Order) -> datetime | None:
    day = calendars.of(order.price.plan).read_only
    return None if day is None else _at(order, day)


def _restrict(order: Order, subscription: Subscription, *, now: datetime) -> None:
    Subscription.objects.filter(pk=subscription.pk).update(read_only_at=now)
    subscription.read_only_at = now
    events.record(
        SubscriptionReadOnly(
            organization_id=subscription.organization_id, subscription_id=subscription.pk, order_id=order.pk
        ),
        now=now,
    )


def _money_may_come(order: Order, now: datetime) -> bool:
    """An attempt begun inside the grace that nobody knows the outcome of yet, or one that is overdue itself.

    The schedule may have stood still for longer than the grace: who left a method is not suspended before it was tried.
    """
    if order.charge_at is not None and order.charge_at <= now and saved_methods.of(order.organization_id) is not None:
        return True
    open_ones = order.payments.filter(state__in=payment_states.BLOCKING)
    return open_ones.filter(created_at__lt=order.grace_until).exists()


def _remind(order: Order, subscription: Subscription, *, now: datetime) -> None:
    """Records the reminder that is due, once; of several that are due the last is sent, the others passed over."""
    due = [day for day in _steps(order) if _at(order, day) <= now]
    missing = _not_noted(order, due)
    if not missing:
        return
    send = missing[-1] == due[-1]
    DunningStep.objects.bulk_create(
        DunningStep(order=order, days=day, at=now, sent=send and day == due[-1]) for day in missing
    )
    if send:
        events.record(
            RenewalReminderDue(
                organization_id=subscription.organization_id,
                subscription_id=subscription.pk,
                order_id=order.pk,
                days=due[-1],
            ),
            now=now,
        )


def _not_noted(order: Order, due: list[int]) -> list[int]:
    noted = set(order.dunning_steps.values_list("days", flat=True))
    return [day for day in due if day not in noted]


def _steps(order: Order) -> tuple[int, ...]:
    calendar = calendars.of(order.price.plan)
    # A payment that was taken back was told of when it happened.
    return calendar.after if order.kind == Order.RECOVERY else calendar.steps(order.price.interval)


def _at(order: Order, day: int) -> datetime:
    assert order.due_at is not None
    return order.due_at + timedelta(days=day)


def _next(order: Order, subscription: Subscription, now: datetime) -> datetime | None:
    """When there is something to do again; never for who is suspended."""
    if subscription.state not in {states.ACTIVE, states.PAST_DUE}:
        return None
    assert order.due_at is not None and order.grace_until is not None
    moments = [*(_at(order, day) for day in _steps(order)), order.due_at, order.grace_until, _read_only_from(order)]
    following = [moment for moment in moments if moment is not None and moment > now]
    if _read_only_waits(order, subscription, now):
        following.append(now + _LOOK_AGAIN)
    return min(following, default=None)


def _read_only_waits(order: Order, subscription: Subscription, now: datetime) -> bool:
    """Its day has come while money was on its way."""
    since = _read_only_from(order)
    return since is not None and since <= now and subscription.read_only_at is None
