"""A customer's instance: from a claimed standby if there is one, otherwise from the template."""

from __future__ import annotations

from collections.abc import Sequence

from parcelle.core import events
from parcelle.core.states import move
from parcelle.domain.provisioning import application, pool, states
from parcelle.domain.provisioning.application import CallRefused
from parcelle.domain.provisioning.events import InstanceCreationFailed, InstanceReady
from parcelle.domain.provisioning.providers.base import Provider
from parcelle.domain.provisioning.runner import Run, Work, Workflow
from parcelle.domain.provisioning.workflows.common import UNDO_DEPLOYING, deploying, publish_route


def steps(provider: Provider) -> Sequence[Work]:
    works = [Work("claim_standby", claim_standby, quick=True), *deploying(provider)]
    if "application" in provider.capabilities:
        works += [
            Work("personalise", personalise),
            Work("check_sign_in", check_sign_in),
            Work("publish_route", publish_route),
        ]
    return works


def claim_standby(run: Run) -> None:
    """Takes over a running standby; the steps that follow then find their work done."""
    if run.instance.state == states.REQUESTED:
        move(run.instance, states.PROVISIONING, table=states.INSTANCE_TRANSITIONS)
    pool.claim(run.instance, run.operation, now=run.now())


def personalise(run: Run) -> None:
    """Makes the application the customer's, through its own interface."""
    spec = run.spec()
    try:
        application.perform(run.provider.endpoint(spec), spec.blueprint.personalise, {**spec.variables, **spec.secrets})
    except application.CallRefused:
        # Done before the last worker died, perhaps. Asked only now: a sign-in that may fail makes
        # applications slow down the ones that follow.
        if run.attempt == 1 or not _signs_in(run):
            raise


def check_sign_in(run: Run) -> None:
    """Ready means proven: the customer's first user signs in."""
    spec = run.spec()
    application.perform(run.provider.endpoint(spec), spec.blueprint.sign_in, {**spec.variables, **spec.secrets})


def _signs_in(run: Run) -> bool:
    """No answer is not a "no": TryAgain goes through, because personalising twice would be refused."""
    try:
        check_sign_in(run)
    except CallRefused:
        return False
    return True


def succeed(run: Run) -> None:
    now = run.now()
    instance = run.instance
    move(instance, states.LIVE, table=states.INSTANCE_TRANSITIONS, url=instance.url, live_at=now)
    events.record(
        InstanceReady(
            instance_id=instance.pk,
            organization_id=instance.organization_id,
            operation_id=run.operation.pk,
            seconds=round((now - run.operation.created_at).total_seconds(), 3),
            from_standby=instance.from_standby,
        ),
        now=now,
    )


def fail(run: Run, code: str, detail: str) -> None:
    now = run.now()
    instance = run.instance
    move(instance, states.FAILED, table=states.INSTANCE_TRANSITIONS, template=None, from_standby=False)
    events.record(
        InstanceCreationFailed(
            instance_id=instance.pk,
            organization_id=instance.organization_id,
            operation_id=run.operation.pk,
            code=code,
            detail=detail,
        ),
        now=now,
    )


WORKFLOW = Workflow(kind="create", steps=steps, succeed=succeed, fail=fail, undo=UNDO_DEPLOYING)
