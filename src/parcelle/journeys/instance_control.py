"""Suspending, resuming, archiving and retrying by hand."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from parcelle.core.context import Platform, as_platform
from parcelle.core.models import Fact
from parcelle.domain.billing import subscriptions
from parcelle.domain.provisioning import actions, states
from parcelle.domain.provisioning.errors import ProvisioningError
from parcelle.domain.provisioning.models import Instance, Operation


@as_platform(Platform.CHANGE)
def suspend_instance(instance_id: UUID, *, reason: str, actor: str, now: datetime) -> Operation:
    """Raises InstanceBusy or IllegalTransition when that is not possible now; likewise the other two."""
    return _change(instance_id, "suspend", reason=reason, actor=actor, now=now)


@as_platform(Platform.CHANGE)
def resume_instance(instance_id: UUID, *, reason: str, actor: str, now: datetime) -> Operation:
    return _change(instance_id, "resume", reason=reason, actor=actor, now=now)


@as_platform(Platform.CHANGE)
def archive_instance(instance_id: UUID, *, reason: str, actor: str, now: datetime) -> Operation:
    return _change(instance_id, "archive", reason=reason, actor=actor, now=now)


def _change(instance_id: UUID, kind: str, *, reason: str, actor: str, now: datetime) -> Operation:
    instance = Instance.objects.get(pk=instance_id)
    return actions.change(instance, kind, reason=reason, actor=actor, now=now)


def end_subscription(fact: Fact) -> None:
    """An archived instance is gone for good: nobody goes on having a right to it, and its owner may start anew."""
    assert fact.instance_id is not None
    instance = Instance.objects.get(pk=fact.instance_id)
    if instance.subscription_id is None:
        return
    siblings = Instance.objects.filter(subscription_id=instance.subscription_id)
    if not siblings.exclude(state=states.ARCHIVED).exists():
        subscriptions.end(instance.subscription_id, reason=fact.data["reason"], now=fact.at)


def retry_last(instance_id: UUID, *, actor: str, now: datetime) -> None:
    """Asks again for the newest operation of the instance, which must have failed.

    Raises what `actions.retry_operation` raises.
    """
    rows = Operation.objects.filter(instance_id=instance_id).select_related("instance")
    # A standby that was taken over brings its own history along.
    newest = rows.exclude(kind="prepare_standby").order_by("-created_at").first()
    if newest is None:
        raise ProvisioningError("nothing was asked of this instance yet")
    actions.retry_operation(newest, actor=actor, now=now)
