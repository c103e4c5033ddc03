"""Killed at any moment, not only between steps; and a worker that was not dead but only asleep."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest
from django.utils import timezone

from parcelle.domain.provisioning import states
from parcelle.domain.provisioning.models import Instance, Operation
from parcelle.journeys import instance_control
from tests import world
from tests.system import System

pytestmark = [pytest.mark.crash, pytest.mark.slow]


def finish_among_kills(system: System, operation: Operation, moments: random.Random) -> int:
    """Lets workers run, each killed after a moment, until one of them gets to the end; how many died."""
    died = 0
    while True:
        system.wait_for_lease_to_end(operation)
        time.sleep(0.3)
        worker = system.begin()
        # The later ones get more time, so that it ends.
        worker.process.join(moments.uniform(0.05, 0.4 + died / 4))
        # Does nothing to one that has just ended.
        worker.process.kill()
        died += worker.end() == -signal.SIGKILL
        operation.refresh_from_db()
        if operation.state not in states.UNFINISHED:
            system.settle()
            return died


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_life_among_kills(system: System, seed: int) -> None:
    """From the form to the archive, every worker killed at some moment; the seed only chooses the moments."""
    moments = random.Random(seed)
    instance = system.sign_up()
    creation = instance.operations.get()
    died = finish_among_kills(system, creation, moments)
    assert (creation.state, creation.error_detail) == (states.SUCCEEDED, "")
    seen = world.portrait(system, creation)
    assert (seen["signs_in"], seen["mails"], seen["leases"], seen["answer"]) == (True, 1, 1, 200)
    world.assert_nothing_orphaned(system)

    for control, answer in (
        (instance_control.suspend_instance, 503),
        (instance_control.resume_instance, 200),
        (instance_control.archive_instance, None),
    ):
        operation = control(instance.pk, reason="operator", actor="tests", now=timezone.now())
        died += finish_among_kills(system, operation, moments)
        assert (operation.state, operation.error_detail) == (states.SUCCEEDED, "")
        assert world.portrait(system, operation)["answer"] == answer
        world.assert_nothing_orphaned(system)
    # How many depends on how fast the machine is; without any this would prove nothing.
    assert died >= 1


def test_a_worker_that_only_slept_leaves_without_touching_anything(system: System) -> None:
    instance = system.sign_up(system.product("slow"))
    operation = instance.operations.get()
    sleeper = system.begin()
    # The template comes first; the application then takes seconds to start.
    give_up = time.monotonic() + 60
    while not operation.steps.filter(name="check_health", state=states.RUNNING).exists():
        assert time.monotonic() < give_up
        if sleeper.process.exitcode is not None:
            time.sleep(0.5)
            sleeper = system.begin()
        time.sleep(0.05)
    pid = sleeper.process.pid
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        system.finish(operation)
        assert operation.state == states.SUCCEEDED
        before = world.portrait(system, operation)
        rows = list(operation.steps.values())
    finally:
        os.kill(pid, signal.SIGCONT)
    assert sleeper.end() == 0
    assert world.portrait(system, operation) == before
    assert list(operation.steps.values()) == rows
    assert Instance.objects.get(pk=instance.pk).state == states.LIVE
    world.assert_nothing_orphaned(system)
    assert "another worker took over" in (system.home.logs / "worker.log").read_text()
