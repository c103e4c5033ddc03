"""Repairs of what drifted from how it should be. None has a way back: each can be asked for again."""

from __future__ import annotations

import time
from collections.abc import Sequence

from parcelle.core import events
from parcelle.core.states import move
from parcelle.domain.provisioning import application, drift, states, templates
from parcelle.domain.provisioning.application import CallRefused
from parcelle.domain.provisioning.drift import Wish
from parcelle.domain.provisioning.errors import ChangedMeanwhile, TryAgain
from parcelle.domain.provisioning.events import InstanceRepaired
from parcelle.domain.provisioning.models import Instance
from parcelle.domain.provisioning.providers.base import Provider
from parcelle.domain.provisioning.runner import Run, Work, Workflow
from parcelle.domain.provisioning.workflows.common import (
    check_health,
    destroy,
    ensuring,
    make_way,
    publish_route,
    refuse_unless,
    release,
    reserve,
    rest_route,
)

PATIENCE_SECONDS = 10.0
KEPT = (states.LIVE, states.SLEEPING, states.SUSPENDED)
GIVEN_UP = (states.REQUESTED, states.PROVISIONING, states.FAILED, states.ARCHIVED)


# --- converging again: what is missing is made, what is there stays --------------------------------------------


def repair_steps(provider: Provider) -> Sequence[Work]:
    serves = "application" in provider.capabilities
    works = [Work("withdraw_page", withdraw_page)] if serves else []
    works.append(Work("reserve", reserve))
    if "template" in provider.capabilities:
        works.append(Work("await_template", await_template))
    works += [ensuring(phase) for phase in provider.phases]
    if serves:
        works += [Work("check_health", check_health), Work("personalise", personalise_if_new)]
    return [*works, Work("restore_state", restore_state), Work("look_again", look_again)]


def withdraw_page(run: Run) -> None:
    """The page that stands in for an application may hold the port on which it will answer."""
    refuse_unless(run, *KEPT)
    if drift.wish_of(run.instance) is Wish.RESTING:
        make_way(run)


def await_template(run: Run) -> None:
    """What is made again is made from the present template, whichever it was made from before."""
    template = templates.ready(run.target, run.blueprint, since=run.operation.created_at, now=run.now())
    Instance.objects.filter(pk=run.instance.pk).update(template=template)
    run.instance.template = template


def personalise_if_new(run: Run) -> None:
    """An application whose data were gone is the template's again; one that kept them refuses the first call."""
    spec = run.spec()
    known = {**spec.variables, **spec.secrets}
    try:
        application.perform(run.provider.endpoint(spec), spec.blueprint.personalise, known)
    except CallRefused as refused:
        if refused.number > 1:
            raise
    else:
        application.perform(run.provider.endpoint(spec), spec.blueprint.sign_in, known)


def restore_state(run: Run) -> None:
    """Running, or at rest with the page that says why."""
    serves = "application" in run.provider.capabilities
    if drift.wish_of(run.instance) is Wish.RESTING:
        run.provider.stop(run.instance.ref)
        if serves:
            rest_route(run)
    elif serves:
        publish_route(run)


def look_again(run: Run) -> None:
    """Repaired means found as it should be; what has just been started is given a moment to be called so."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while wrong := drift.verdict(run.instance, run.provider):
        if time.monotonic() > give_up:
            raise TryAgain(f"it is still found {wrong.replace('_', ' ')}")
        time.sleep(0.2)


# --- starting and stopping what is there ------------------------------------------------------------------------


def restart_steps(provider: Provider) -> Sequence[Work]:
    works = [Work("start", start)]
    if "application" in provider.capabilities:
        works.append(Work("check_health", check_health))
    return [*works, Work("restore_state", restore_state), Work("look_again", look_again)]


def start(run: Run) -> None:
    refuse_unless(run, *KEPT)
    run.provider.start(run.instance.ref)


def rest_steps(_provider: Provider) -> Sequence[Work]:
    return [Work("restore_state", restore_state), Work("look_again", look_again)]


def repaired(run: Run) -> None:
    now = run.now()
    Instance.objects.filter(pk=run.instance.pk).update(url=run.instance.url)
    drift.settle(run.operation, now=now)
    events.record(
        InstanceRepaired(
            instance_id=run.instance.pk,
            organization_id=run.instance.organization_id,
            operation_id=run.operation.pk,
            kind=run.operation.kind,
        ),
        now=now,
        actor=run.operation.actor,
    )


# --- removing what should not be there ---------------------------------------------------------------------------


def clear_steps(_provider: Provider) -> Sequence[Work]:
    return [Work("destroy", destroy_leftovers), Work("look_again", look_again), Work("release", release)]


def destroy_leftovers(run: Run) -> None:
    refuse_unless(run, *GIVEN_UP)
    destroy(run)


def cleared(run: Run) -> None:
    if run.instance.state in {states.REQUESTED, states.PROVISIONING}:
        # Nobody worked on it any more: its creation can be asked for again.
        move(run.instance, states.FAILED, table=states.INSTANCE_TRANSITIONS, template=None, from_standby=False)
    drift.settle(run.operation, now=run.now())


def remove_steps(_provider: Provider) -> Sequence[Work]:
    return [
        Work("recognise", recognise),
        Work("destroy", destroy_unknown),
        Work("look_again", look_for_unknown),
        Work("release", lambda run: drift.release(run.finding)),
    ]


def recognise(run: Run) -> None:
    """Nothing is removed but what was shown, and nothing that has come to belong to somebody."""
    finding = run.finding
    if drift.owner_of(finding) is not None:
        raise ChangedMeanwhile("it belongs to an instance by now: look again")
    more = sorted(drift.parts_of(finding, run.provider) - set(finding.parts))
    if more:
        raise ChangedMeanwhile(f"there is more than was shown ({', '.join(more)[:300]}): look again")


def destroy_unknown(run: Run) -> None:
    run.provider.destroy(run.finding.ref)


def look_for_unknown(run: Run) -> None:
    left = drift.parts_of(run.finding, run.provider)
    if left:
        raise TryAgain(f"still there: {', '.join(sorted(left))[:300]}")


def removed(run: Run) -> None:
    drift.settle(run.operation, now=run.now())


def fail(_run: Run, _code: str, _detail: str) -> None:
    """The finding stays open; the failed operation is shown to the operator."""


REPAIR = Workflow(kind="repair", steps=repair_steps, succeed=repaired, fail=fail)
RESTART = Workflow(kind="restart", steps=restart_steps, succeed=repaired, fail=fail)
REST = Workflow(kind="rest", steps=rest_steps, succeed=repaired, fail=fail)
CLEAR = Workflow(kind="clear", steps=clear_steps, succeed=cleared, fail=fail)
REMOVE = Workflow(kind="remove_unknown", steps=remove_steps, succeed=removed, fail=fail)
