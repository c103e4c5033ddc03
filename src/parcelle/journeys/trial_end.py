"""A trial goes by: reminders, the end, and the end of what is kept afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.utils import timezone

from parcelle.core.models import Fact
from parcelle.domain.billing import queries as billing
from parcelle.domain.billing import trials
from parcelle.domain.provisioning.models import Instance
from parcelle.domain.tenancy import queries as organizations
from parcelle.journeys import entitlement
from parcelle.journeys.telling import tell

logger = structlog.get_logger(__name__)


def run(*, now: datetime) -> dict[str, int]:
    """Everything about trials that is due at `now`; returns how many of each. Running it twice changes nothing.

    Each subscription has its own transaction: one that cannot be dealt with never stops the others.
    """
    return {
        "ended": _each(trials.to_end(now), trials.end, now=now),
        "reminded": _each(trials.to_remind(now), trials.remind, now=now),
        "archived": _each(trials.to_archive(now), trials.end_retention, now=now),
        "converged": entitlement.converge(now=now),
    }


def _each(subscriptions: Iterator[UUID], act: Callable[..., bool], *, now: datetime) -> int:
    done = 0
    for subscription_id in list(subscriptions):
        try:
            done += act(subscription_id, now=now)
        except Exception:
            logger.exception("a trial could not be dealt with", subscription_id=str(subscription_id))
    return done


def remind(fact: Fact) -> None:
    _tell(fact, "trial_reminder", f"trial-reminder:{fact.data['subscription_id']}:{fact.data['days_before']}")


def suspend(fact: Fact) -> None:
    entitlement.converge(now=timezone.now(), only=UUID(fact.data["subscription_id"]))
    _tell(fact, "trial_suspended", f"trial-suspended:{fact.data['subscription_id']}")


def archive(fact: Fact) -> None:
    entitlement.converge(now=timezone.now(), only=UUID(fact.data["subscription_id"]))
    _tell(fact, "instance_archived", f"archived:{fact.data['subscription_id']}")


def _tell(fact: Fact, kind: str, key: str) -> None:
    subscription = billing.subscription(UUID(fact.data["subscription_id"]))
    if subscription is None:
        return
    instance = Instance.objects.filter(subscription_id=subscription.pk).first()
    keep_until = (subscription.suspended_at or fact.at) + timedelta(days=subscription.plan.retention_days)
    tell(
        subscription.organization,
        organizations.owner_of(subscription.organization_id),
        key=key,
        kind=kind,
        product=subscription.plan.product.name,
        url=instance.url if instance else "",
        instance_id=instance.pk if instance else None,
        days_left=fact.data.get("days_before"),
        trial_ends_at=subscription.trial_ends_at.isoformat() if subscription.trial_ends_at else None,
        keep_until=keep_until.isoformat(),
    )
