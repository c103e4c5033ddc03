"""Bringing a suspended instance back under its address."""

from __future__ import annotations

from parcelle.core import events
from parcelle.core.states import move
from parcelle.domain.provisioning import states
from parcelle.domain.provisioning.events import InstanceResumed
from parcelle.domain.provisioning.runner import Run, Workflow
from parcelle.domain.provisioning.workflows.common import starting


def succeed(run: Run) -> None:
    now = run.now()
    move(run.instance, states.LIVE, table=states.INSTANCE_TRANSITIONS, reason="", url=run.instance.url)
    events.record(
        InstanceResumed(
            instance_id=run.instance.pk,
            organization_id=run.instance.organization_id,
            operation_id=run.operation.pk,
        ),
        now=now,
        actor=run.operation.actor,
    )


def fail(_run: Run, _code: str, _detail: str) -> None:
    """The instance stays suspended; the failed operation is shown to the operator."""


WORKFLOW = Workflow(kind="resume", steps=starting, succeed=succeed, fail=fail)
