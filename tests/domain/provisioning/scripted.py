"""A provider that does what a test says, and the clock that the runner is given."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import ClassVar
from uuid import UUID

from parcelle.domain.provisioning.providers.base import Progress, Spec, TemplateSpec
from parcelle.domain.provisioning.providers.null import NullProvider
from tests.people import NOW

# What happens at one call: nothing, an exception to raise, or something to do.
Act = Exception | Callable[[], object] | None


class ScriptedProvider(NullProvider):
    """Leases a port; each call of `ensure` and `destroy` performs the next act of its script."""

    port_purposes: tuple[str, ...] = ("application",)
    subnet_purposes: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.on_ensure: list[Act] = []
        self.on_destroy: list[Act] = []
        self.ensured: list[UUID] = []
        self.destroyed: list[UUID] = []
        self.report: Progress = lambda _note, _fraction: None

    def ensure(self, spec: Spec, phase: str, progress: Progress) -> None:
        self.ensured.append(spec.ref)
        self.report = progress
        _perform(self.on_ensure)

    def destroy(self, ref: UUID) -> None:
        self.destroyed.append(ref)
        _perform(self.on_destroy)


class TemplatedProvider(ScriptedProvider):
    """Clones a template that has to be built first; each call of `build` performs the next act of its script."""

    template_phases: ClassVar[tuple[str, ...]] = ("install", "initialise")
    capabilities: ClassVar[frozenset[str]] = frozenset({"template"})

    def __init__(self) -> None:
        super().__init__()
        self.on_build: list[Act] = []
        self.built: list[str] = []

    def build(self, spec: TemplateSpec, phase: str, progress: Progress) -> None:
        self.built.append(f"{spec.blueprint.version} {phase}")
        self.report = progress
        _perform(self.on_build)


def after(act: Callable[[], object], error: Exception) -> Callable[[], object]:
    """Does something, then fails."""

    def perform() -> None:
        act()
        raise error

    return perform


def _perform(script: list[Act]) -> None:
    act = script.pop(0) if script else None
    if isinstance(act, Exception):
        raise act
    if act is not None:
        act()


class Clock:
    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
