"""What a stack of containers is called, from what the engine says of each."""

from __future__ import annotations

from typing import Any

import pytest

from parcelle.domain.provisioning.compose.parts import Part, part_of
from parcelle.domain.provisioning.providers.base import Status
from parcelle.domain.provisioning.providers.observation import observation


def part(service: str = "web", state: str = "running", **changes: Any) -> Part:
    return Part(
        **{"service": service, "id": service, "name": service, "state": state, "policy": "unless-stopped"} | changes
    )


DB = part("db", health="healthy")
WEB = part("web", health="healthy")
DONE = part("migrate", "exited", policy="no")


@pytest.mark.parametrize(
    ("parts", "status", "told"),
    [
        ([DB, DONE, WEB], Status.RUNNING, ""),
        ([DB, DONE, part("web")], Status.RUNNING, ""),
        ([DB, part("migrate", policy="no"), part("web", "created")], Status.CREATING, "migrate running, web created"),
        ([DB, part("web", health="starting")], Status.CREATING, "web starting"),
        ([DB, part("web", "paused")], Status.CREATING, "web paused"),
        # Once or twice may happen to any program; the engine tries again.
        ([DB, part("web", "restarting", exit_code=1, restarts=1)], Status.CREATING, "web restarting"),
        ([DB, part("web", "restarting", exit_code=3, restarts=3)], Status.FAILED, "web keeps ending with code 3"),
        ([DB, part("web", restarts=9, young=True)], Status.FAILED, "web keeps ending"),
        ([DB, part("web", restarts=9)], Status.RUNNING, ""),
        # Well for the seconds between two ends is not well.
        ([DB, part("web", restarts=9, young=True, health="healthy")], Status.FAILED, "web keeps ending"),
        ([DB, part("web", restarts=9, health="healthy")], Status.RUNNING, ""),
        ([DB, part("web", health="unhealthy", health_output=" no \n")], Status.FAILED, "web is unhealthy: no"),
        ([DB, part("web", "created", error="port is already allocated")], Status.FAILED, "port is already allocated"),
        ([DB, part("web", "dead")], Status.FAILED, "web is dead"),
        ([DB, part("migrate", "exited", policy="no", exit_code=7), WEB], Status.FAILED, "migrate ended with code 7"),
        (
            [DB, part("web", "exited", policy="on-failure", exit_code=137, out_of_memory=True)],
            Status.FAILED,
            "web ended with code 137 (out of memory)",
        ),
        # Ended by a signal because somebody stopped it: the engine would have started it again.
        ([part("db", "exited"), DONE, part("web", "exited", exit_code=143)], Status.STOPPED, ""),
        ([DB, DONE, part("web", "exited", exit_code=143)], Status.FAILED, "web stopped while the others run"),
    ],
)
def test_what_a_stack_is_called(parts: list[Part], status: Status, told: str) -> None:
    seen = observation(parts, half_made=True)
    assert seen.status is status
    assert told in seen.detail
    assert bool(seen.detail) == bool(told)


def test_nothing_is_absent_and_anything_else_half_made() -> None:
    assert observation([], half_made=False).status is Status.ABSENT
    assert observation([], half_made=True).status is Status.CREATING


def test_a_stack_without_one_of_its_services_is_half_made() -> None:
    seen = observation([DB], services=["db", "web"], half_made=True)
    assert (seen.status, seen.detail) == (Status.CREATING, "without web")
    # Stopped with one missing is stopped: what is there was stopped by somebody.
    assert observation([part("db", "exited")], services=["db", "web"], half_made=True).status is Status.STOPPED


def test_what_a_health_check_says_is_shown_without_secrets() -> None:
    said = "cannot reach postgresql://app:hunter2secret@db/app"
    assert "hunter2secret" not in observation([part(health="unhealthy", health_output=said)], half_made=True).detail


def test_a_stopped_container_is_not_judged_by_its_last_health_check() -> None:
    inspected = {
        "Id": "x",
        "Name": "/client-acme-web-1",
        "Config": {"Labels": {"com.docker.compose.service": "web"}, "Image": "sha256:1"},
        "HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}},
        "State": {"Status": "exited", "ExitCode": 143, "Health": {"Status": "unhealthy", "Log": [{"Output": "no"}]}},
    }
    assert observation([part_of(inspected)], half_made=True).status is Status.STOPPED
