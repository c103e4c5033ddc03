"""Standby instances of the warm pool: running, proven, and nobody's yet."""

from __future__ import annotations

from collections.abc import Sequence

from parcelle.core import events
from parcelle.core.states import move
from parcelle.domain.provisioning import drift, states
from parcelle.domain.provisioning.events import StandbyReady
from parcelle.domain.provisioning.providers.base import Provider
from parcelle.domain.provisioning.runner import Run, Work, Workflow
from parcelle.domain.provisioning.workflows.common import UNDO_DEPLOYING, deploying, destroy, release


def _begin(run: Run) -> None:
    if run.instance.state == states.REQUESTED:
        move(run.instance, states.PROVISIONING, table=states.INSTANCE_TRANSITIONS)


def prepare_steps(provider: Provider) -> Sequence[Work]:
    return [Work("begin", _begin), *deploying(provider)]


def prepared(run: Run) -> None:
    move(run.instance, states.STANDBY, table=states.INSTANCE_TRANSITIONS)
    events.record(
        StandbyReady(instance_id=run.instance.pk, operation_id=run.operation.pk, product_id=run.instance.product_id),
        now=run.now(),
    )


def not_prepared(run: Run, _code: str, _detail: str) -> None:
    move(run.instance, states.FAILED, table=states.INSTANCE_TRANSITIONS)


def discard_steps(_provider: Provider) -> Sequence[Work]:
    return [Work("destroy", destroy), Work("release", release)]


def discarded(run: Run) -> None:
    move(run.instance, states.ARCHIVED, table=states.INSTANCE_TRANSITIONS, archived_at=run.now(), secrets={})
    drift.settle(run.operation, now=run.now())


def not_discarded(_run: Run, _code: str, _detail: str) -> None:
    """The row stays failed; the pool's keeper asks again."""


PREPARE = Workflow(
    kind="prepare_standby", steps=prepare_steps, succeed=prepared, fail=not_prepared, undo=UNDO_DEPLOYING
)
DISCARD = Workflow(kind="discard_standby", steps=discard_steps, succeed=discarded, fail=not_discarded)
