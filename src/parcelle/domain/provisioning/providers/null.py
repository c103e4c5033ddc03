"""A provider that runs nothing: for load tests of everything around it, and for products sold without instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, ClassVar
from uuid import UUID

from parcelle.domain.catalog.blueprints import Blueprint
from parcelle.domain.provisioning.providers.base import (
    Found,
    Observation,
    Progress,
    Spec,
    Status,
    TargetHealth,
    TemplateSpec,
)


class NullProvider:
    """Every stack is always as it should be."""

    phases: ClassVar[tuple[str, ...]] = ("start",)
    template_phases: ClassVar[tuple[str, ...]] = ()
    port_purposes: tuple[str, ...] = ()
    subnet_purposes: tuple[str, ...] = ()
    capabilities: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def open(cls, _connection: Mapping[str, Any]) -> NullProvider:
        return cls()

    def check(self) -> TargetHealth:
        return TargetHealth(versions={}, running=0)

    def port_is_free(self, port: int) -> bool:
        return True

    def build(self, spec: TemplateSpec, phase: str, progress: Progress) -> None:
        return None

    def discard_template(self, blueprint: Blueprint) -> None:
        return None

    def has_template(self, blueprint: Blueprint) -> bool:
        return True

    def ensure(self, spec: Spec, phase: str, progress: Progress) -> None:
        return None

    def endpoint(self, spec: Spec) -> str:
        return "http://localhost"

    def describe(self, spec: Spec) -> Mapping[str, str]:
        return {}

    def observe(self, ref: UUID) -> Observation:
        return Observation(Status.RUNNING)

    def inventory(self) -> Sequence[Found]:
        return ()

    def start(self, ref: UUID) -> None:
        return None

    def stop(self, ref: UUID) -> None:
        return None

    def run(self, ref: UUID, command: Sequence[str], *, timeout: float) -> str:
        return ""

    def logs(self, ref: UUID, *, lines: int) -> str:
        return ""

    def dump(self, ref: UUID, into: BinaryIO) -> None:
        return None

    def load(self, ref: UUID, source: BinaryIO) -> None:
        return None

    def destroy(self, ref: UUID) -> None:
        return None

    def must_save(self, ref: UUID) -> bool:
        return False

    def archive_path(self, ref: UUID) -> Path | None:
        return None
