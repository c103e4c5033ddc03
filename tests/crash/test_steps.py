"""A worker is killed at every step of every workflow, before its effect and after it; another one finishes.

Whatever was under way, the world in the end is the one of an undisturbed run: same rows, same facts, one
mail, one database, one role, one process, one port, and nothing on the machine that no row knows of.
The steps come from the registry of workflows: a new one is covered by itself, a new workflow fails here
until it has a scenario.
"""

from __future__ import annotations

import itertools
import signal
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from parcelle.domain.catalog import blueprints as catalog
from parcelle.domain.provisioning import actions, pool, repairs, states, templates
from parcelle.domain.provisioning.models import Instance, Operation
from parcelle.domain.provisioning.providers.process import ProcessProvider
from parcelle.domain.provisioning.workflows import WORKFLOWS
from parcelle.journeys import instance_control
from tests import blueprints, drifting, world
from tests.system import System

pytestmark = [pytest.mark.crash, pytest.mark.slow]
_numbers = itertools.count(1)
# Only asked which steps it needs.
PROVIDER = ProcessProvider(home=Path(), database_url="", supervisor_socket="")


# --- how each operation comes about -------------------------------------------------------------------------


def cold_creation(system: System) -> Operation:
    _built(system, "echo")
    return system.sign_up().operations.get()


def warm_creation(system: System) -> Operation:
    _some(system, states.STANDBY)
    return system.sign_up(_warm(system)).operations.get()


def refused_creation(system: System) -> Operation:
    """Fails when the application runs and is about to become the customer's."""
    _built(system, "shouting")
    return system.sign_up(system.product("shouting")).operations.get()


def suspension(system: System) -> Operation:
    return instance_control.suspend_instance(_some(system, states.LIVE).pk, reason="operator", **_asked())


def resumption(system: System) -> Operation:
    return instance_control.resume_instance(_some(system, states.SUSPENDED).pk, reason="", **_asked())


def becoming_read_only(system: System) -> Operation:
    return actions.set_read_only(_some(system, states.LIVE), True, **_asked())


def becoming_writable(system: System) -> Operation:
    return actions.set_read_only(_some(system, states.LIVE), False, **_asked())


def falling_asleep(system: System) -> Operation:
    return actions.change(_some(system, states.LIVE), "sleep", reason="", **_asked())


def waking(system: System) -> Operation:
    return actions.change(_some(system, states.SLEEPING), "wake", reason="", **_asked())


def falling_asleep_too_late(system: System) -> Operation:
    return _too_late(falling_asleep(system))


def waking_too_late(system: System) -> Operation:
    return _too_late(waking(system))


def _too_late(operation: Operation) -> Operation:
    """Nobody came to it before its deadline."""
    Operation.objects.filter(pk=operation.pk).update(deadline_at=operation.created_at)
    return operation


def archiving(system: System) -> Operation:
    return instance_control.archive_instance(_some(system, states.LIVE).pk, reason="operator", **_asked())


def standby_preparation(system: System) -> Operation:
    _built(system, "echo")
    return system.standby(_warm(system))


def refused_preparation(system: System) -> Operation:
    """Fails when the database is there and the application cannot be started."""
    _built(system, "nonsense")
    return system.standby(system.product("nonsense"))


def standby_discarding(system: System) -> Operation:
    standby = _some(system, states.STANDBY)
    pool._put_aside(standby, now=timezone.now())
    return standby.operations.get(kind="discard_standby")


def template_building(system: System) -> Operation:
    name = f"built-{next(_numbers)}"
    blueprints.write_echo(system.blueprints, name)
    return templates.ensure(system.target(), catalog.load(name), now=timezone.now()).operations.get()


def repair_of_a_lost_database(system: System) -> Operation:
    instance = _some(system, states.LIVE)
    drifting.lose_database(system, instance.ref)
    return _repair(system, instance.ref)


def repair_of_a_stopped_program(system: System) -> Operation:
    instance = _some(system, states.LIVE)
    drifting.stop_program(system, instance.ref)
    return _repair(system, instance.ref)


def repair_of_one_that_should_rest(system: System) -> Operation:
    instance = _some(system, states.SUSPENDED)
    drifting.start_by_hand(system, instance)
    return _repair(system, instance.ref)


def clearing_of_leftovers(system: System) -> Operation:
    instance = _some(system, states.ARCHIVED)
    drifting.leave_something(system, instance.ref)
    return _repair(system, instance.ref)


def removal_of_something_unknown(system: System) -> Operation:
    ref = uuid.uuid4()
    drifting.leave_something(system, ref)
    return _repair(system, ref)


def _repair(system: System, ref: uuid.UUID) -> Operation:
    finding = drifting.finding_about(system, ref)
    return repairs.repair(finding.pk, shown=finding.parts, **_asked())


def _asked() -> Any:
    return {"actor": "tests", "now": timezone.now()}


def _warm(system: System) -> Any:
    return system.product("echo", slug="warm", pool_size=1)


def _built(system: System, blueprint: str) -> None:
    template = templates.ensure(system.target(), catalog.load(blueprint), now=timezone.now())
    if template.state != states.READY:
        assert system.finish(template.operations.get()).state == states.SUCCEEDED


def _some(system: System, state: str) -> Instance:
    """An instance in this state: one that an earlier case left, or a new one."""
    left = Instance.objects.filter(state=state, from_standby=False).select_related("target", "product").first()
    if left:
        return left
    make = {
        states.LIVE: cold_creation,
        states.SUSPENDED: suspension,
        states.SLEEPING: falling_asleep,
        states.STANDBY: standby_preparation,
        states.ARCHIVED: archiving,
    }[state]
    assert system.finish(make(system)).state == states.SUCCEEDED
    return _some(system, state)


@dataclass(frozen=True)
class Scenario:
    name: str
    kind: str
    begin: Callable[[System], Operation]
    # How it ends; one that fails is disturbed on its way back.
    ends: str = states.SUCCEEDED

    def points(self) -> Iterator[str]:
        workflow = WORKFLOWS[self.kind]
        back = self.ends == states.FAILED
        names = [work.name for work in (workflow.undo if back else workflow.steps(PROVIDER))]
        for name in [*(["turn_back"] if back else []), *names, "end"]:
            yield from (f"{name}:before", f"{name}:after")


SCENARIOS = [
    Scenario("create cold", "create", cold_creation),
    Scenario("create warm", "create", warm_creation),
    Scenario("create refused", "create", refused_creation, ends=states.FAILED),
    Scenario("suspend", "suspend", suspension),
    Scenario("resume", "resume", resumption),
    Scenario("restrict", "restrict", becoming_read_only),
    Scenario("unrestrict", "unrestrict", becoming_writable),
    Scenario("sleep", "sleep", falling_asleep),
    Scenario("sleep too late", "sleep", falling_asleep_too_late, ends=states.FAILED),
    Scenario("wake", "wake", waking),
    Scenario("wake too late", "wake", waking_too_late, ends=states.FAILED),
    Scenario("archive", "archive", archiving),
    Scenario("prepare standby", "prepare_standby", standby_preparation),
    Scenario("prepare standby refused", "prepare_standby", refused_preparation, ends=states.FAILED),
    Scenario("discard standby", "discard_standby", standby_discarding),
    Scenario("build template", "build_template", template_building),
    Scenario("repair", "repair", repair_of_a_lost_database),
    Scenario("restart", "restart", repair_of_a_stopped_program),
    Scenario("rest", "rest", repair_of_one_that_should_rest),
    Scenario("clear", "clear", clearing_of_leftovers),
    Scenario("remove unknown", "remove_unknown", removal_of_something_unknown),
]


def test_every_workflow_and_every_way_back_has_a_scenario() -> None:
    forward = {scenario.kind for scenario in SCENARIOS if scenario.ends == states.SUCCEEDED}
    back = {scenario.kind for scenario in SCENARIOS if scenario.ends == states.FAILED}
    assert forward == set(WORKFLOWS)
    assert back == {kind for kind, workflow in WORKFLOWS.items() if workflow.undo}


# --- the proof ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(system: System) -> Callable[[Scenario], dict[str, Any]]:
    """What each scenario leads to when nobody is killed."""
    known: dict[str, dict[str, Any]] = {}

    def portrait(scenario: Scenario) -> dict[str, Any]:
        if scenario.name not in known:
            operation = system.finish(scenario.begin(system))
            assert operation.state == scenario.ends, operation.error_detail
            known[scenario.name] = world.portrait(system, operation)
            world.assert_nothing_orphaned(system)
        return known[scenario.name]

    return portrait


@pytest.mark.parametrize(
    ("scenario", "point"),
    [pytest.param(s, point, id=f"{s.name}.{point}") for s in SCENARIOS for point in s.points()],
)
def test_a_worker_killed_there_changes_nothing(
    scenario: Scenario,
    point: str,
    system: System,
    undisturbed: Callable[[Scenario], dict[str, Any]],
    tmp_path: Path,
) -> None:
    wanted = undisturbed(scenario)
    operation = scenario.begin(system)

    code = system.work(crash_at=f"{scenario.kind}.{point}", mark=tmp_path / "killed")
    assert code == -signal.SIGKILL, "the worker never came to this point"

    system.finish(operation)
    assert world.portrait(system, operation) == wanted
    world.assert_nothing_orphaned(system)
