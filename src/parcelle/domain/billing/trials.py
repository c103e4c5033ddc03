"""Trials: beginning, reminding, ending, and the end of what is kept afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import DateTimeField, ExpressionWrapper, F, Value

from parcelle.core import events
from parcelle.core.rows import insert
from parcelle.core.states import IllegalTransition, move
from parcelle.domain.billing import states, usage
from parcelle.domain.billing.events import RetentionEnded, TrialEnded, TrialReminderDue, TrialStarted
from parcelle.domain.billing.models import Subscription, TrialReminder
from parcelle.domain.catalog.models import Plan
from parcelle.domain.tenancy.models import Organization

# How many days before its end a trial is reminded of.
REMINDER_DAYS = (7, 3, 1)


@transaction.atomic(savepoint=False)
def start(*, organization: Organization, plan: Plan, now: datetime, actor: str) -> Subscription:
    """A trial of the plan's length from `now` on."""
    ends_at = now + timedelta(days=plan.trial_days)
    subscription = Subscription(
        organization=organization, plan=plan, state=states.TRIALING, created_at=now, trial_ends_at=ends_at
    )
    insert(subscription)
    usage.begin_period(subscription)
    events.record(
        TrialStarted(
            organization_id=organization.pk, subscription_id=subscription.pk, plan_id=plan.pk, ends_at=ends_at
        ),
        now=now,
        actor=actor,
    )
    return subscription


def to_remind(now: datetime) -> Iterator[UUID]:
    """Subscriptions whose trial ends within the first reminder's reach."""
    reach = now + timedelta(days=max(REMINDER_DAYS))
    due = Subscription.objects.filter(state=states.TRIALING, trial_ends_at__gt=now, trial_ends_at__lte=reach)
    yield from due.values_list("pk", flat=True).iterator()


def remind_at(subscription: Subscription, days: int) -> datetime | None:
    """When a trial is reminded of for the time that comes so many days before its end."""
    if subscription.state != states.TRIALING or subscription.trial_ends_at is None:
        return None
    return subscription.trial_ends_at - timedelta(days=days)


@transaction.atomic(savepoint=False)
def remind(subscription_id: UUID, *, now: datetime) -> bool:
    """Records the reminder that is due, once; true when there was one.

    When the clock jumped over several, only the last one that is due is sent; the others are noted as passed
    over, so that nobody is told "7 days" after "1 day".
    """
    subscription = Subscription.objects.select_for_update().get(pk=subscription_id)
    if subscription.state != states.TRIALING or subscription.trial_ends_at is None or subscription.trial_ends_at <= now:
        return False
    left = subscription.trial_ends_at - now
    due = sorted(days for days in REMINDER_DAYS if left <= timedelta(days=days))
    noted = set(subscription.trial_reminders.values_list("days_before", flat=True))
    missing = [days for days in due if days not in noted]
    if not missing:
        return False
    send = missing[0] == due[0]
    TrialReminder.objects.bulk_create(
        TrialReminder(subscription=subscription, days_before=days, at=now, sent=send and days == due[0])
        for days in missing
    )
    if send:
        events.record(
            TrialReminderDue(
                organization_id=subscription.organization_id, subscription_id=subscription.pk, days_before=due[0]
            ),
            now=now,
        )
    return send


def to_end(now: datetime) -> Iterator[UUID]:
    """Subscriptions whose trial is over."""
    due = Subscription.objects.filter(state=states.TRIALING, trial_ends_at__lte=now)
    yield from due.values_list("pk", flat=True).iterator()


@transaction.atomic(savepoint=False)
def end(subscription_id: UUID, *, now: datetime) -> bool:
    """Suspends a subscription whose trial is over; false when somebody else did, or it was paid meanwhile."""
    subscription = Subscription.objects.select_related("plan").select_for_update(of=("self",)).get(pk=subscription_id)
    if subscription.state != states.TRIALING or subscription.trial_ends_at is None or subscription.trial_ends_at > now:
        return False
    move(subscription, states.SUSPENDED, table=states.TRANSITIONS, suspended_at=now, suspended_for=states.TRIAL)
    events.record(
        TrialEnded(
            organization_id=subscription.organization_id,
            subscription_id=subscription.pk,
            keep_until=now + timedelta(days=subscription.plan.retention_days),
        ),
        now=now,
    )
    return True


def to_archive(now: datetime) -> Iterator[UUID]:
    """Suspended subscriptions whose retention is over."""
    kept_until = ExpressionWrapper(
        F("suspended_at") + F("plan__retention_days") * Value(timedelta(days=1)), output_field=DateTimeField()
    )
    suspended = Subscription.objects.filter(state=states.SUSPENDED).exclude(suspended_for=states.PAUSED)
    due = suspended.annotate(kept_until=kept_until)
    yield from due.filter(kept_until__lte=now).values_list("pk", flat=True).iterator()


@transaction.atomic(savepoint=False)
def end_retention(subscription_id: UUID, *, now: datetime) -> bool:
    """Ends a subscription whose data need no longer be kept; false when it already ended."""
    subscription = Subscription.objects.get(pk=subscription_id)
    try:
        move(subscription, states.ENDED, table={states.SUSPENDED: frozenset({states.ENDED})}, ended_at=now)
    except IllegalTransition:
        return False
    events.record(
        RetentionEnded(organization_id=subscription.organization_id, subscription_id=subscription.pk), now=now
    )
    return True
