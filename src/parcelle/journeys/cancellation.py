"""A customer leaves, takes that back, pauses, or comes back."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from parcelle.core.context import Platform, as_platform
from parcelle.core.models import Fact
from parcelle.domain.billing import queries as billing
from parcelle.domain.billing import renewals, subscriptions
from parcelle.domain.billing.models import Order
from parcelle.journeys.renewal import tell_subscriber


@as_platform(Platform.CHANGE)
def cancel(subscription_id: UUID, *, at_once: bool, reason: str, actor: str, now: datetime) -> datetime:
    """Ends a subscription when its period does, or now; from when on. Raises NotActive and PaymentOpen.

    Its data is kept for as long as the plan says, and whoever pays again meanwhile has everything back.
    """
    return subscriptions.cancel(subscription_id, at_once=at_once, reason=reason, actor=actor, now=now)


@as_platform(Platform.CHANGE)
def take_back(subscription_id: UUID, *, actor: str, now: datetime) -> None:
    """The customer stays after all. Raises NotActive when it is over already: then `come_back`."""
    subscriptions.take_back(subscription_id, actor=actor, now=now)


@as_platform(Platform.CHANGE)
def come_back(subscription_id: UUID, *, now: datetime) -> Order:
    """The order whose payment brings a suspended subscription and its instance back. Raises NotRenewable."""
    return renewals.offer(subscription_id, now=now)


@as_platform(Platform.CHANGE)
def pause(subscription_id: UUID, *, actor: str, now: datetime) -> None:
    """What is paid and not used yet is kept for later. Raises NotActive and PaymentOpen."""
    subscriptions.pause(subscription_id, actor=actor, now=now)


@as_platform(Platform.CHANGE)
def go_on(subscription_id: UUID, *, actor: str, now: datetime) -> None:
    """Raises NotActive for what is not paused."""
    subscriptions.go_on(subscription_id, actor=actor, now=now)


def tell_cancelled(fact: Fact) -> None:
    """Until when the service goes on, for who cancelled at the end of the period."""
    subscription = billing.subscription(UUID(fact.data["subscription_id"]))
    if subscription is not None and subscription.cancel_at is not None:
        key = f"cancellation:{subscription.pk}:{fact.pk}"
        tell_subscriber(subscription, "subscription_ending", key, ends_at=fact.data["ends_at"])
