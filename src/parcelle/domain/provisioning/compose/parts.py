"""One service's container as the engine shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from parcelle.domain.provisioning.compose import labels

# An engine that restarted a program this often since it was last started by somebody calls nothing wrong itself.
RESTARTS: Final = 3
# Policies under which an engine leaves a program stopped only when somebody stopped it.
_REVIVING: Final = frozenset({"always", "unless-stopped"})


@dataclass(frozen=True)
class Part:
    """One service's container, as `inspect` shows it."""

    service: str
    id: str
    name: str
    # created, running, paused, restarting, removing, exited, dead
    state: str
    exit_code: int = 0
    # starting, healthy, unhealthy; "" without a health check
    health: str = ""
    health_output: str = ""
    restarts: int = 0
    # The restart policy: no, always, unless-stopped, on-failure
    policy: str = "no"
    out_of_memory: bool = False
    error: str = ""
    image: str = ""
    started_at: str = ""
    # Begun so recently that it may be about to end once more.
    young: bool = False
    config_hash: str = ""
    # Of the engine's machine, that it is to be reached on.
    ports: tuple[int, ...] = ()

    @property
    def stays(self) -> bool:
        """Meant to run for as long as the stack does; the others end once their work is done."""
        return self.policy != "no"

    @property
    def was_stopped(self) -> bool:
        """By somebody, not by itself: the engine would have started it again."""
        return self.state == "exited" and self.policy in _REVIVING

    @property
    def was_started(self) -> bool:
        return bool(self.started_at) and not self.started_at.startswith("0001-")

    @property
    def is_well(self) -> bool:
        if not self.stays:
            return self.state == "exited" and self.exit_code == 0
        return self.state == "running" and self.health in {"", "healthy"} and not self.keeps_ending

    @property
    def keeps_ending(self) -> bool:
        return self.restarts >= RESTARTS and (self.state == "restarting" or (self.state == "running" and self.young))


def part_of(inspected: Mapping[str, Any], *, young: bool = False) -> Part:
    """From the engine's answer to `GET /containers/<id>/json`."""
    state, config = inspected["State"], inspected["Config"]
    health = state.get("Health") or {}
    known = config.get("Labels") or {}
    checks = health.get("Log") or [{}]
    bound = (inspected["HostConfig"].get("PortBindings") or {}).values()
    return Part(
        service=known.get(labels.SERVICE, ""),
        id=inspected["Id"],
        name=inspected["Name"].lstrip("/"),
        state=state["Status"],
        exit_code=state.get("ExitCode", 0),
        # A stopped container keeps the last answer it gave.
        health=health.get("Status", "").replace("none", "") if state["Status"] == "running" else "",
        health_output=checks[-1].get("Output", ""),
        restarts=inspected.get("RestartCount", 0),
        policy=(inspected["HostConfig"].get("RestartPolicy") or {}).get("Name") or "no",
        out_of_memory=bool(state.get("OOMKilled")),
        error=state.get("Error", ""),
        image=config.get("Image", ""),
        started_at=state.get("StartedAt", ""),
        young=young,
        ports=tuple(int(one["HostPort"]) for listed in bound for one in listed or () if one.get("HostPort")),
        config_hash=known.get(labels.CONFIG_HASH, ""),
    )
