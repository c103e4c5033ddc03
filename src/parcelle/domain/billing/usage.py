"""Usage counters: how much of what a plan limits was used in one period of a subscription.

A period is counted from its own rows, opened when the subscription's dates are set: one per metric the plan
counts, with the limit as it was sold, add-ons included. A new period begins at zero; the old one stays for the books.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Greatest

from parcelle.core.compiled import Compiled, Given
from parcelle.domain.billing import baskets
from parcelle.domain.billing.errors import LimitReached
from parcelle.domain.billing.models import Subscription, UsageCounter
from parcelle.domain.catalog.models import PlanFeature


@transaction.atomic(savepoint=False)
def open_period(subscription: Subscription) -> list[UsageCounter]:
    """The counters of the subscription's present period, made if they are not there yet.

    A plan that changed within the period brings its own limits; what was used stays.
    """
    begin_period(subscription)
    start = period_of(subscription)
    return list(UsageCounter.objects.filter(subscription=subscription, period_start=start).order_by("metric"))


def begin_period(subscription: Subscription) -> None:
    """The same, for who does not want to see them."""
    start = period_of(subscription)
    limits = _raised(dict(_included(plan=subscription.plan_id)), subscription)
    UsageCounter.objects.bulk_create(
        [
            UsageCounter(subscription=subscription, period_start=start, metric=key, limit=amount)
            for key, amount in limits.items()
        ],
        update_conflicts=True,
        unique_fields=["subscription", "period_start", "metric"],
        update_fields=["limit"],
    )


_included = Compiled(
    lambda: PlanFeature.objects.filter(plan_id=Given("plan"), counted=True).values_list("feature__key", "amount")
)


def change_period(subscription: Subscription) -> None:
    """The same after another plan or fewer add-ons within the period: what is no longer included has a limit of 0."""
    begin_period(subscription)
    included = dict(PlanFeature.objects.filter(plan_id=subscription.plan_id).values_list("feature__key", "counted"))
    limits = _raised({key: 0 for key, counted in included.items() if counted}, subscription)
    rest = UsageCounter.objects.filter(subscription=subscription, period_start=period_of(subscription))
    rest = rest.exclude(metric__in=limits)
    rest.filter(metric__in=included).update(limit=None)
    rest.exclude(metric__in=included).update(limit=0)


def _raised(limits: dict[str, int | None], subscription: Subscription) -> dict[str, int | None]:
    """What the plan includes, and what was bought beside it; what is unlimited stays so."""
    for extra in baskets.read(subscription.extras):
        key = extra.price.add_on.feature.key
        included = limits.get(key, 0)
        limits[key] = None if included is None else included + extra.allows
    return limits


def period_of(subscription: Subscription) -> datetime:
    """Where the present period begins; a trial is one period."""
    return subscription.period_start or subscription.created_at


def current(subscription: Subscription) -> list[UsageCounter]:
    """The counters of the present period, by metric, whoever opened it."""
    counters = list(
        UsageCounter.objects.filter(subscription=subscription, period_start=period_of(subscription)).order_by("metric")
    )
    return counters or open_period(subscription)


def add(subscription: Subscription, metric: str, amount: int, *, now: datetime) -> None:
    """Counts what was used up, such as sent messages. Raises LimitReached, and counts nothing, when it is too much.

    One statement: however many add at once, the limit holds. A metric the plan does not count is free.
    """
    rows = _row(subscription, metric)
    fits = Q(limit=None) | Q(limit__gte=F("used") + amount)
    new = F("used") + amount
    if not rows.filter(fits).update(used=new, most=Greatest("most", new), measured_at=now) and rows.exists():
        raise LimitReached(metric)


def measure(subscription: Subscription, metric: str, amount: int, *, now: datetime) -> None:
    """Notes how much there is, such as users or gigabytes: measured, so it may be over the limit.

    `most` keeps the highest of the period. An older measurement changes nothing.
    """
    rows = _row(subscription, metric).filter(Q(measured_at=None) | Q(measured_at__lte=now))
    rows.update(used=amount, most=Greatest("most", amount), measured_at=now)


def left(subscription: Subscription, metric: str) -> int | None:
    """How much may still be used in this period; None when it is unlimited or not counted."""
    counter = _row(subscription, metric).first()
    if counter is None or counter.limit is None:
        return None
    return max(0, counter.limit - counter.used)


def over_limit() -> list[UUID]:
    """Subscriptions that use more than their plan allows, in any period that is the present one."""
    start = Q(period_start=F("subscription__period_start")) | Q(
        subscription__period_start=None, period_start=F("subscription__created_at")
    )
    rows = UsageCounter.objects.filter(start, used__gt=F("limit"))
    return list(rows.order_by("subscription_id").values_list("subscription_id", flat=True).distinct())


def _row(subscription: Subscription, metric: str) -> QuerySet[UsageCounter]:
    return UsageCounter.objects.filter(subscription=subscription, period_start=period_of(subscription), metric=metric)
