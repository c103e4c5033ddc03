"""Asking for operations: the row and its steps, in the caller's transaction. The row is what workers take."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import IntegrityError, connection

from parcelle.core import dispatch
from parcelle.domain.provisioning import specs
from parcelle.domain.provisioning.errors import InstanceBusy
from parcelle.domain.provisioning.models import Finding, Instance, Operation, Template
from parcelle.domain.provisioning.providers.base import Provider
from parcelle.domain.provisioning.runner import workflow_of

SOURCE = "operations"

_COLUMNS = ("id", "kind", "instance_id", "template_id", "finding_id", "state", "actor", "created_at", "deadline_at")
# The row, its steps and the news for idle workers, in one statement.
_ASK = """
    WITH asked AS (
        INSERT INTO provisioning_operation (id, kind, instance_id, template_id, finding_id, state, actor, created_at,
            deadline_at, worker, error_code, error_detail)
        VALUES (%(id)s, %(kind)s, %(instance_id)s, %(template_id)s, %(finding_id)s, %(state)s, %(actor)s,
            %(created_at)s, %(deadline_at)s, '', '', '')
        RETURNING id
    ), steps AS (
        INSERT INTO provisioning_step (operation_id, position, name, state, attempt, note, error, output)
        SELECT asked.id, step.number - 1, step.name, 'pending', 0, '', '', ''
        FROM asked, unnest(%(steps)s::text[]) WITH ORDINALITY AS step (name, number)
    )
    SELECT pg_notify(%(channel)s, %(source)s) FROM asked
"""


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
    operation = Operation(kind=kind, actor=actor, created_at=now, deadline_at=workflow.deadline(now), **subject)
    values = {name: getattr(operation, name) for name in _COLUMNS}
    steps = [work.name for work in workflow.steps(provider)]
    try:
        with connection.cursor() as cursor:
            cursor.execute(_ASK, {**values, "steps": steps, "channel": dispatch.CHANNEL, "source": SOURCE})
    except IntegrityError as error:
        if "one_unfinished_operation" not in str(error):
            raise
        raise InstanceBusy from error
    operation._state.adding, operation._state.db = False, connection.alias
    return operation
