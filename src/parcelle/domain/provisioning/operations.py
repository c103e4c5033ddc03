"""Asking for operations: the row and its steps, in the caller's transaction. The row is what workers take."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import IntegrityError

from parcelle.core import dispatch
from parcelle.domain.provisioning import specs
from parcelle.domain.provisioning.errors import InstanceBusy
from parcelle.domain.provisioning.models import Finding, Instance, Operation, Step, Template
from parcelle.domain.provisioning.providers.base import Provider
from parcelle.domain.provisioning.runner import workflow_of

SOURCE = "operations"


def request_operation(
    instance: Instance, kind: str, *, now: datetime, actor: str = "system", finding: Finding | None = None
) -> Operation:
    """Records that `instance` should be changed and hands it to a worker; called inside a transaction.

    `finding` is what the change repairs. Raises InstanceBusy while another operation on this instance is unfinished.
    """
    provider = specs.provider_of(instance.target)
    return _request(kind, provider, now=now, actor=actor, instance=instance, finding=finding)


def request_template_operation(
    template: Template, *, now: datetime, actor: str = "system", finding: Finding | None = None
) -> Operation:
    provider = specs.provider_of(template.target)
    return _request("build_template", provider, now=now, actor=actor, template=template, finding=finding)


def request_finding_operation(finding: Finding, kind: str, *, now: datetime, actor: str) -> Operation:
    """The same for something on a target that belongs to no row."""
    return _request(kind, specs.provider_of(finding.target), now=now, actor=actor, finding=finding)


def _request(kind: str, provider: Provider, *, now: datetime, actor: str, **subject: Any) -> Operation:
    workflow = workflow_of(kind)
    try:
        operation = Operation.objects.create(
            kind=kind, actor=actor, created_at=now, deadline_at=workflow.deadline(now), **subject
        )
    except IntegrityError as error:
        raise InstanceBusy from error
    Step.objects.bulk_create(
        Step(operation=operation, position=position, name=work.name)
        for position, work in enumerate(workflow.steps(provider))
    )
    dispatch.wake(SOURCE)
    return operation
