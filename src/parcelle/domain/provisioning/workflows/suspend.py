"""Stopping an instance while keeping everything of it; its address says why."""

from __future__ import annotations

from collections.abc import Sequence

from parcelle.core import events
from parcelle.core.states import move
from parcelle.domain.provisioning import routes, states
from parcelle.domain.provisioning.events import InstanceSuspended
from parcelle.domain.provisioning.providers.base import Provider
from parcelle.domain.provisioning.runner import Run, Work, Workflow
from parcelle.domain.provisioning.workflows.common import hold_route


def steps(provider: Provider) -> Sequence[Work]:
    stop, hold = Work("stop", lambda run: run.provider.stop(run.instance.ref)), Work("hold_route", hold_route)
    if "application" not in provider.capabilities:
        return [stop]
    # Where the address is the application's own port, the page can only answer once that is free.
    return [hold, stop] if routes.supports("hosts") else [stop, hold]


def succeed(run: Run) -> None:
    now = run.now()
    move(run.instance, states.SUSPENDED, table=states.INSTANCE_TRANSITIONS)
    events.record(
        InstanceSuspended(
            instance_id=run.instance.pk,
            organization_id=run.instance.organization_id,
            operation_id=run.operation.pk,
            reason=run.instance.reason,
        ),
        now=now,
        actor=run.operation.actor,
    )


def fail(_run: Run, _code: str, _detail: str) -> None:
    """The instance keeps its state; the failed operation is shown to the operator."""


WORKFLOW = Workflow(kind="suspend", steps=steps, succeed=succeed, fail=fail)
