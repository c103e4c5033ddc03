"""The contract of a provider: values in, values out, every method safe to call again.

Providers know nothing of our tables, of requests or of customers. All of them are held to the same tests
in `tests/contracts/test_providers.py`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, ClassVar, Protocol
from uuid import UUID

from parcelle.domain.catalog.blueprints import Blueprint

# note, fraction between 0 and 1 or None when unknown
Progress = Callable[[str, float | None], None]


class Status(enum.StrEnum):
    ABSENT = "absent"
    CREATING = "creating"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class TemplateSpec:
    """A blueprint's application to build and initialise once."""

    blueprint: Blueprint
    secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One stack as it should be. `variables` are the blueprint's `${…}`; `secrets` are never logged.

    `name` is what people see on the target: "client-acme", or "standby-1a2b3c4d" while it is nobody's. A stack
    keeps the name it was made under, so providers find it by `ref` first. `subnets` are leased networks,
    purpose -> CIDR. `limits` are the plan's, for the whole stack: memory_mb, cpus, pids; absent = the blueprint's.
    """

    ref: UUID
    name: str
    blueprint: Blueprint
    variables: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    ports: Mapping[str, int] = field(default_factory=dict)
    subnets: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Observation:
    """What really runs under one ref."""

    status: Status
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Something of ours on a target, whole or in part. `parts` name what is there: "container/client-acme-db-1"."""

    ref: UUID
    name: str
    status: Status
    parts: tuple[str, ...]
    detail: str = ""


@dataclass(frozen=True)
class TargetHealth:
    """What `check` found out about a target that answers."""

    versions: Mapping[str, str]
    running: int


class Provider(Protocol):
    """A place that can run stacks. Raises only ProvisioningError and its kinds."""

    # Names of recorded steps, in order; each is passed to `ensure` or `build`.
    phases: ClassVar[tuple[str, ...]]
    template_phases: ClassVar[tuple[str, ...]]

    # What `reserve` must lease; empty when addresses come from elsewhere.
    @property
    def port_purposes(self) -> tuple[str, ...]: ...

    @property
    def subnet_purposes(self) -> tuple[str, ...]: ...

    # "application": answers HTTP under an endpoint, so it can be probed and personalised.
    # "moves": the endpoint may change by itself, because the target runs on several machines.
    capabilities: ClassVar[frozenset[str]]

    def check(self) -> TargetHealth:
        """Proves that the target can be worked with; TargetUnreachable says what to do."""

    def port_is_free(self, port: int) -> bool:
        """Whether no program of the target's machine, ours or another's, uses the port."""

    def build(self, spec: TemplateSpec, phase: str, progress: Progress) -> None:
        """Does one phase of building a template; done before means nothing to do."""

    def discard_template(self, blueprint: Blueprint) -> None:
        """Removes what `build` made, half-made or whole."""

    def has_template(self, blueprint: Blueprint) -> bool:
        """Whether all that `build` made is still there; true where there is nothing to build."""

    def ensure(self, spec: Spec, phase: str, progress: Progress) -> None:
        """Converges one phase of a stack; a stack that is as it should be stays untouched."""

    def endpoint(self, spec: Spec) -> str:
        """The base address under which the control plane reaches the application, without a final slash."""

    def describe(self, spec: Spec) -> Mapping[str, str]:
        """Provider-made variables of a stack, such as the database's name."""

    def observe(self, ref: UUID) -> Observation: ...

    def inventory(self) -> Sequence[Found]:
        """Everything of ours on the target, templates left out."""

    def start(self, ref: UUID) -> None: ...

    def stop(self, ref: UUID) -> None: ...

    def run(self, ref: UUID, command: Sequence[str], *, timeout: float) -> str:
        """Runs a command with the application's environment; returns its output."""

    def logs(self, ref: UUID, *, lines: int) -> str: ...

    def dump(self, ref: UUID, into: BinaryIO) -> None:
        """Writes everything needed to bring the stack's data back."""

    def load(self, ref: UUID, source: BinaryIO) -> None: ...

    def must_save(self, ref: UUID) -> bool:
        """Whether there are data to dump before the stack may be destroyed; false when it has nothing to keep.

        Raises CannotBeSaved, which says what to do, when there are data and `dump` could not save them.
        """

    def destroy(self, ref: UUID) -> None:
        """Removes everything of the ref, also of a half-made stack, and verifies that nothing is left."""

    def archive_path(self, ref: UUID) -> Path | None:
        """Where the last dump before destruction is kept; None when this provider keeps none."""
