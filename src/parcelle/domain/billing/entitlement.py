"""What a customer has a right to now: a function of their subscription and the clock, and of nothing else. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from parcelle.domain.billing import states
from parcelle.domain.billing.models import Subscription


class Right(StrEnum):
    """To a running instance; to one that can be read; to have its data kept; to nothing any more."""

    RUNNING = "running"
    READ_ONLY = "read_only"
    KEPT = "kept"
    NOTHING = "nothing"


def of(subscription: Subscription, *, now: datetime) -> Right:
    """`subscription` with its plan. What is overdue keeps running until somebody decided to suspend it."""
    if subscription.state == states.ENDED:
        return Right.NOTHING
    if subscription.state == states.SUSPENDED:
        return Right.NOTHING if _is_over(subscription, now) else Right.KEPT
    ends = subscription.trial_ends_at if subscription.state == states.TRIALING else subscription.cancel_at
    if ends is not None and ends <= now:
        return Right.KEPT
    read_only = subscription.state == states.PAST_DUE and subscription.read_only_at is not None
    return Right.READ_ONLY if read_only else Right.RUNNING


def kept_until(subscription: Subscription) -> datetime | None:
    """Until when the data of a suspended subscription are kept; None while it is not, or is only paused."""
    if subscription.suspended_at is None or subscription.suspended_for == states.PAUSED:
        return None
    return subscription.suspended_at + timedelta(days=subscription.plan.retention_days)


def _is_over(subscription: Subscription, now: datetime) -> bool:
    until = kept_until(subscription)
    return until is not None and until <= now
