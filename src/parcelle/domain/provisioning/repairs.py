"""Repairing what drifted: one operation per finding, chosen by what is wrong and how it should be."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from parcelle.core.states import move
from parcelle.domain.provisioning import pool, states
from parcelle.domain.provisioning.errors import ChangedMeanwhile, NothingToDo
from parcelle.domain.provisioning.models import Finding, Instance, Operation
from parcelle.domain.provisioning.operations import (
    request_finding_operation,
    request_operation,
    request_template_operation,
)

_OF_A_CUSTOMER = {
    states.MISSING: "repair",
    states.HALF_MADE: "repair",
    states.STOPPED: "restart",
    states.AWAKE: "rest",
}
# Operations after which something is gone for good.
REMOVING = frozenset({"clear", "remove_unknown", "discard_standby"})


def kind_of_repair(finding: Finding) -> str:
    """The kind of operation that repairs the finding, as things stand."""
    instance = finding.instance
    if finding.template_id is not None:
        return "build_template"
    if instance is None:
        return "remove_unknown"
    if instance.state == states.STANDBY or (instance.state == states.FAILED and instance.organization_id is None):
        return "discard_standby"
    if instance.state in {states.LIVE, states.SLEEPING, states.SUSPENDED}:
        return _OF_A_CUSTOMER[finding.kind]
    return "clear"


@transaction.atomic
def repair(finding_id: UUID, *, shown: list[str] | None = None, actor: str, now: datetime) -> Operation:
    """Asks for the repair of an open finding.

    `shown` are the parts that somebody agreed to lose: when a later look found others, nothing is done.
    Raises InstanceBusy while something changes it already, NothingToDo or ChangedMeanwhile when it is not as it was.
    """
    rows = Finding.objects.select_for_update(of=("self",)).select_related("instance__target", "template__target")
    finding = rows.get(pk=finding_id)
    if finding.closed_at is not None:
        raise NothingToDo("this is as it should be by now: there is nothing to repair")
    kind = kind_of_repair(finding)
    if kind in REMOVING and shown is not None and shown != finding.parts:
        raise ChangedMeanwhile("what would be removed has changed since it was shown: look at it again")
    return _ask(finding, kind, actor=actor, now=now)


def _ask(finding: Finding, kind: str, *, actor: str, now: datetime) -> Operation:
    if finding.template is not None:
        move(finding.template, states.BUILDING, table=states.TEMPLATE_TRANSITIONS)
        return request_template_operation(finding.template, now=now, actor=actor, finding=finding)
    if finding.instance is None:
        return request_finding_operation(finding, kind, now=now, actor=actor)
    # Nobody claims a standby that is being put aside.
    instance = Instance.objects.select_for_update(of=("self",)).select_related("target").get(pk=finding.instance.pk)
    if instance.state != finding.instance.state:
        raise ChangedMeanwhile("the instance has changed since it was looked at: look again")
    if instance.state == states.STANDBY:
        return pool.replace(instance, now=now, actor=actor, finding=finding)
    return request_operation(instance, kind, now=now, actor=actor, finding=finding)
