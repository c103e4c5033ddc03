"""Starting a sleeping instance for the visitor who is looking at its waiting page."""

from __future__ import annotations

from parcelle.core import events
from parcelle.core.states import move
from parcelle.domain.provisioning import routes, states
from parcelle.domain.provisioning.events import InstanceWoken
from parcelle.domain.provisioning.runner import Run, Work, Workflow
from parcelle.domain.provisioning.workflows.common import rest_route, starting

# Nobody looks at a waiting page for longer.
SECONDS = 120


def succeed(run: Run) -> None:
    now = run.now()
    move(run.instance, states.LIVE, table=states.INSTANCE_TRANSITIONS, last_seen_at=now)
    events.record(
        InstanceWoken(
            instance_id=run.instance.pk,
            organization_id=run.instance.organization_id,
            operation_id=run.operation.pk,
            seconds=round((now - run.operation.created_at).total_seconds(), 3),
        ),
        now=now,
        actor=run.operation.actor,
    )


def back_to_sleep(run: Run) -> None:
    serves, by_name = "application" in run.provider.capabilities, routes.supports("hosts")
    if serves and by_name:
        rest_route(run)
    run.provider.stop(run.instance.ref)
    if serves and not by_name:
        rest_route(run)


def fail(_run: Run, _code: str, _detail: str) -> None:
    """The instance goes on sleeping; who opens its address is told that it did not wake."""


WORKFLOW = Workflow(
    kind="wake", steps=starting, succeed=succeed, fail=fail, undo=(Work("undo_wake", back_to_sleep),), seconds=SECONDS
)
