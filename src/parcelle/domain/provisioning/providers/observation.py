"""What a stack of containers is doing, for every provider that runs them. Decides only; asks nobody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from parcelle.core.logs import redact
from parcelle.domain.provisioning.compose.parts import Part
from parcelle.domain.provisioning.providers.base import Observation, Status


def observation(parts: Sequence[Part], *, services: Sequence[str] = (), half_made: bool) -> Observation:
    """The state of a whole stack. `half_made`: there is something of it besides containers.

    `services` are those that it should have, where that is known: without one of them it is not whole.
    A failure of one service is the stack's; a stack is stopped when everything that should stay was stopped.
    """
    if not parts:
        return Observation(Status.CREATING if half_made else Status.ABSENT)
    failures = [text for part in parts if (text := _failure(part))]
    if failures:
        return Observation(Status.FAILED, redact("; ".join(failures))[:500])
    staying = [part for part in parts if part.stays]
    stopped = [part.service for part in staying if part.was_stopped]
    if staying and len(stopped) == len(staying):
        return Observation(Status.STOPPED)
    unready = {part.service: part.health or part.state for part in parts if not part.is_well}
    if stopped and len(stopped) == len(unready):
        return Observation(Status.FAILED, f"{_names(stopped)} stopped while the others run")
    if missing := set(services) - {part.service for part in parts}:
        return Observation(Status.CREATING, f"without {_names(missing)}")
    if unready:
        return Observation(Status.CREATING, ", ".join(f"{name} {what}" for name, what in sorted(unready.items())))
    return Observation(Status.RUNNING)


def _failure(part: Part) -> str:
    memory = " (out of memory)" if part.out_of_memory else ""
    if part.error and part.state != "running":
        return f"{part.service} cannot be started: {part.error}"
    if part.state == "dead":
        return f"{part.service} is dead"
    if part.state == "exited" and not part.was_stopped and part.exit_code:
        return f"{part.service} ended with code {part.exit_code}{memory}"
    if part.keeps_ending:
        return f"{part.service} keeps ending with code {part.exit_code}{memory}: restarted {part.restarts} times"
    if part.health == "unhealthy":
        return f"{part.service} is unhealthy: {part.health_output.strip()[-200:]}"
    return ""


def _names(services: Iterable[str]) -> str:
    return ", ".join(sorted(services))
