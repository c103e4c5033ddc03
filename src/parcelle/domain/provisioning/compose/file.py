"""A vendor's compose file once it is known to be harmless: one spelling for everything, placeholders still in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]


@dataclass(frozen=True, kw_only=True)
class Dependency:
    condition: Condition = "service_started"
    required: bool = True
    restart: bool = False


@dataclass(frozen=True, kw_only=True)
class VolumeMount:
    source: str
    target: str
    read_only: bool = False
    nocopy: bool = False


@dataclass(frozen=True, kw_only=True)
class FileMount:
    """A secret or a config: where the service finds it, absolute, and who may read it there."""

    source: str
    target: str
    uid: int = 0
    gid: int = 0
    mode: int = 0o444
    is_secret: bool = False


@dataclass(frozen=True, kw_only=True)
class HostPort:
    """A port of the machine for a port of the service; `purpose` names the lease."""

    purpose: str
    target: int
    protocol: str = "tcp"


@dataclass(frozen=True, kw_only=True)
class Service:
    image: str
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    healthcheck: Mapping[str, Any] | None = None
    depends_on: Mapping[str, Dependency] = field(default_factory=dict)
    volumes: tuple[VolumeMount, ...] = ()
    # path -> options as the engine takes them ("size=64m,mode=1777")
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    files: tuple[FileMount, ...] = ()
    ports: tuple[HostPort, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    cap_add: tuple[str, ...] = ()
    read_only: bool = True
    init: bool = True
    user: str = ""
    working_dir: str = ""
    platform: str = ""
    restart: str = ""
    stop_signal: str = ""
    stop_grace_period: str = ""
    # bytes
    shm_size: int | None = None
    # open files: soft and hard
    nofile: tuple[int, int] = (4096, 8192)
    # What the file itself says; the blueprint's `limits` win.
    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None


@dataclass(frozen=True, kw_only=True)
class ComposeFile:
    services: Mapping[str, Service]
    volumes: tuple[str, ...] = ()
    # Source of a FileMount -> template of its content.
    contents: Mapping[str, str] = field(default_factory=dict)

    @property
    def one_shots(self) -> frozenset[str]:
        """Services that end by themselves and that others wait for: migrations."""
        return frozenset(
            name
            for service in self.services.values()
            for name, dependency in service.depends_on.items()
            if dependency.condition == "service_completed_successfully"
        )
