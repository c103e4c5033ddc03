"""Instances follow what their customers have a right to, whatever happened to either of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

import structlog
from django.db import transaction
from django.utils import timezone

from parcelle.core.models import Fact
from parcelle.core.states import IllegalTransition
from parcelle.domain.billing import entitlement
from parcelle.domain.billing import states as billing
from parcelle.domain.billing.entitlement import Right
from parcelle.domain.billing.models import Subscription
from parcelle.domain.provisioning import actions as provisioning
from parcelle.domain.provisioning import states
from parcelle.domain.provisioning.errors import InstanceBusy
from parcelle.domain.provisioning.models import Instance

logger = structlog.get_logger(__name__)

_RUNNING = (states.LIVE, states.SLEEPING)
_HELD = (*_RUNNING, states.SUSPENDED, states.FAILED)
# Why an instance was suspended for its subscription: what a person suspended, only a person resumes.
_REASONS = {
    billing.TRIAL: "trial_ended",
    billing.UNPAID: "unpaid",
    billing.CANCELLED: "cancelled",
    billing.PAUSED: "paused",
}
_OURS = frozenset(_REASONS.values())


def converge(*, now: datetime, only: UUID | None = None) -> int:
    """Suspends, resumes and archives the instances that are not as their subscription says; how many.

    Looks at states instead of reacting to changes alone, so that an instance that was busy at that moment, or still
    being created, is not forgotten. Running it twice changes nothing.
    """
    changed = 0
    for subscription in _suspects(only):
        held = Instance.objects.select_related("product").filter(subscription_id=subscription.pk, state__in=_HELD)
        for instance in held:
            changed += _bring(instance, subscription, now=now)
    return changed


def _suspects(only: UUID | None) -> Iterator[Subscription]:
    """Subscriptions with an instance that does something else than their state says at first sight."""
    rows = Subscription.objects.select_related("plan")
    if only is not None:
        yield from rows.filter(pk=only)
        return
    with_instance = Instance.objects.filter(subscription_id__isnull=False)
    stopped = with_instance.filter(state=states.SUSPENDED, reason__in=_OURS).values("subscription_id")
    running = with_instance.filter(state__in=_RUNNING).values("subscription_id")
    held = with_instance.filter(state__in=_HELD).values("subscription_id")
    live = with_instance.filter(state=states.LIVE)
    restricted = live.filter(read_only=True).values("subscription_id")
    unrestricted = live.filter(read_only=False).values("subscription_id")
    yield from rows.filter(state__in=billing.LIVE, pk__in=stopped)
    yield from rows.filter(state__in=billing.LIVE, read_only_at=None, pk__in=restricted)
    yield from rows.filter(state=billing.PAST_DUE, read_only_at__isnull=False, pk__in=unrestricted)
    yield from rows.filter(state=billing.SUSPENDED, pk__in=running)
    yield from rows.filter(state=billing.ENDED, pk__in=held)


def _wanted(instance: Instance, subscription: Subscription, *, now: datetime) -> str:
    """What has to be done to the instance; empty when it is as it should be."""
    right = entitlement.of(subscription, now=now)
    if right in {Right.RUNNING, Right.READ_ONLY}:
        if instance.state == states.SUSPENDED:
            return "resume" if instance.reason in _OURS else ""
        return _restriction(instance, wanted=right == Right.READ_ONLY)
    # The end is decided by the subscription's own state, which says so in a fact: until then data is kept.
    if right == Right.KEPT or subscription.state != billing.ENDED:
        return "suspend" if instance.state in _RUNNING else ""
    return "archive"


def _restriction(instance: Instance, *, wanted: bool) -> str:
    """A stage that the blueprint knows no way to is passed over."""
    if instance.state != states.LIVE or instance.read_only == wanted:
        return ""
    if wanted and not provisioning.can_be_read_only(instance):
        return ""
    return "restrict" if wanted else "unrestrict"


def _bring(instance: Instance, subscription: Subscription, *, now: datetime) -> int:
    """1 where something had to be done and was asked for; one that cannot be helped keeps no other one waiting."""
    try:
        with transaction.atomic():
            kind = _wanted(instance, subscription, now=now)
            if kind:
                _change(instance, kind, _REASONS.get(subscription.suspended_for, "trial_ended"), now=now)
    except (InstanceBusy, IllegalTransition):
        return 0
    except Exception:
        logger.exception("an instance could not be brought to its subscription", instance_id=str(instance.pk))
        return 0
    return int(bool(kind))


def _change(instance: Instance, kind: str, why: str, *, now: datetime) -> None:
    if kind in {"restrict", "unrestrict"}:
        provisioning.set_read_only(instance, kind == "restrict", actor="system", now=now)
        return
    reason = {"suspend": why, "archive": "retention_ended"}.get(kind, "")
    provisioning.change(instance, kind, reason=reason, actor="system", now=now)


def follow_instance(fact: Fact) -> None:
    """Who pays after a suspension can change things again as soon as the instance is back."""
    assert fact.instance_id is not None
    instance = Instance.objects.get(pk=fact.instance_id)
    if instance.subscription_id is not None:
        converge(now=timezone.now(), only=instance.subscription_id)


def follow(fact: Fact) -> None:
    """At once, when something happened to a subscription: who pays is back within seconds."""
    converge(now=timezone.now(), only=UUID(fact.data["subscription_id"]))
