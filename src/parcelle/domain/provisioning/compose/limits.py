"""How much of the machine each service of a stack may use.

The blueprint says what each service needs; a plan says what the whole stack may use, and is divided in that proportion.
Services that only run once do not count: they run while those that wait for them do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from parcelle.domain.catalog.blueprints import BlueprintError, ServiceLimits
from parcelle.domain.provisioning.compose.file import ComposeFile, Service

MEGABYTE = 1024 * 1024
MEMORY = 512 * MEGABYTE
CPUS = 1.0
PIDS = 200
# Below that the engine refuses, or nothing starts.
_LEAST_MEMORY = 16 * MEGABYTE
_LEAST_CPUS = 0.05
_LEAST_PIDS = 16


@dataclass(frozen=True)
class Share:
    """`memory` in bytes, `cpus` in processors with two decimals."""

    memory: int
    cpus: float
    pids: int


def shares(file: ComposeFile, declared: Mapping[str, ServiceLimits], whole: Mapping[str, float]) -> Mapping[str, Share]:
    """What every service gets. `whole` is the plan's: memory_mb, cpus, pids, each of them only when it limits.

    Raises BlueprintError when the plan gives too little memory for that many services.
    """
    wanted = {name: _wanted(service, declared.get(name)) for name, service in file.services.items()}
    lasting = [share for name, share in wanted.items() if name not in file.one_shots]
    memory, cpus, pids = (
        whole[name] / sum(parts) if whole.get(name) and sum(parts) else None
        for name, parts in (
            ("memory_mb", [share.memory / MEGABYTE for share in lasting]),
            ("cpus", [share.cpus for share in lasting]),
            ("pids", [share.pids for share in lasting]),
        )
    )
    found = {
        name: Share(
            memory=_part(share.memory / MEGABYTE, memory, whole.get("memory_mb")) * MEGABYTE,
            cpus=max(_LEAST_CPUS, _part(share.cpus * 100, cpus, whole.get("cpus", 0) * 100) / 100),
            pids=max(_LEAST_PIDS, _part(share.pids, pids, whole.get("pids"))),
        )
        for name, share in wanted.items()
    }
    for name, share in found.items():
        if share.memory < _LEAST_MEMORY:
            raise BlueprintError(
                f"{whole.get('memory_mb', 0):.0f} MB for the whole stack leave {share.memory // MEGABYTE} MB for the "
                f"service {name!r}, and it needs 16 MB at least: give the plan more memory"
            )
    return found


def _part(wanted: float, factor: float | None, whole: float | None) -> int:
    """Rounded down; what runs once may want more than all the others together, and gets all there is at most."""
    return int(wanted + 1e-6) if factor is None else int(min(wanted * factor, whole or wanted) + 1e-6)


def _wanted(service: Service, declared: ServiceLimits | None) -> Share:
    """The blueprint's word, else the compose file's, else the default."""
    said = declared or ServiceLimits()
    pids_said = declared is not None and "pids" in declared.model_fields_set
    return Share(
        memory=said.memory_mb * MEGABYTE if said.memory_mb else service.memory or MEMORY,
        cpus=said.cpus or service.cpus or CPUS,
        pids=said.pids if pids_said else service.pids or said.pids or PIDS,
    )
