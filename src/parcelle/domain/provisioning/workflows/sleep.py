"""Stopping an instance that nobody uses, until somebody opens its address again."""

from __future__ import annotations

import time
from collections.abc import Sequence

from parcelle.core import events
from parcelle.core.states import move
from parcelle.domain.provisioning import routes, states
from parcelle.domain.provisioning.errors import ProvisioningError
from parcelle.domain.provisioning.events import InstanceAsleep
from parcelle.domain.provisioning.ingress import RouteState
from parcelle.domain.provisioning.providers.base import Provider
from parcelle.domain.provisioning.runner import Run, Work, Workflow
from parcelle.domain.provisioning.workflows.common import check_health, publish_route

# How long somebody who came at the last moment gets to be answered.
DRAIN_SECONDS = 10.0


def steps(provider: Provider) -> Sequence[Work]:
    stop = Work("stop", lambda run: run.provider.stop(run.instance.ref))
    if "application" not in provider.capabilities:
        return [stop]
    route = Work("sleep_route", sleep_route)
    if not routes.supports("hosts"):
        # The page can only answer once the application has let go of its port.
        return [stop, route]
    # Who comes from here on wakes it again, so nobody finds a stopped application.
    return [route, Work("drain", drain), stop]


def sleep_route(run: Run) -> None:
    routes.publish(run.instance, RouteState.SLEEPING, now=run.now())


def drain(run: Run) -> None:
    give_up = time.monotonic() + DRAIN_SECONDS
    while routes.is_visited(run.instance.ref):
        if time.monotonic() > give_up:
            raise ProvisioningError("somebody is using it")
        time.sleep(0.2)


def succeed(run: Run) -> None:
    move(run.instance, states.SLEEPING, table=states.INSTANCE_TRANSITIONS)
    events.record(
        InstanceAsleep(
            instance_id=run.instance.pk,
            organization_id=run.instance.organization_id,
            operation_id=run.operation.pk,
        ),
        now=run.now(),
        actor=run.operation.actor,
    )


def stay_awake(run: Run) -> None:
    routes.make_way(run.instance)
    run.provider.start(run.instance.ref)
    if "application" in run.provider.capabilities:
        check_health(run)
        publish_route(run)


def fail(_run: Run, _code: str, _detail: str) -> None:
    """The instance stays live."""


WORKFLOW = Workflow(kind="sleep", steps=steps, succeed=succeed, fail=fail, undo=(Work("undo_sleep", stay_awake),))
