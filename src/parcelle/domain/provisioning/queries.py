"""Questions about instances and their operations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from parcelle.core.compiled import Compiled, Given
from parcelle.core.context import Platform, as_platform
from parcelle.domain.catalog.blueprints import Blueprint
from parcelle.domain.provisioning import specs, states
from parcelle.domain.provisioning.errors import ProvisioningError
from parcelle.domain.provisioning.models import Instance, Operation, Step, Target, Template
from parcelle.domain.provisioning.providers import PROVIDERS

# Why an instance is suspended or archived; surfaces put these into words.
REASONS = ("trial_ended", "unpaid", "cancelled", "paused", "operator", "customer", "retention_ended")


@dataclass(frozen=True)
class StepView:
    """One recorded step as people see it. `seconds` is None until it ended; `fraction` is 0 to 1 or None."""

    name: str
    state: str
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None
    fraction: float | None
    note: str
    error: str


@dataclass(frozen=True)
class Progress:
    """How far the newest operation of an instance is. `percent` counts steps that are really done."""

    instance_id: UUID
    instance_state: str
    operation_id: UUID
    kind: str
    state: str
    percent: int
    steps: tuple[StepView, ...]
    template_id: UUID | None
    template: tuple[StepView, ...] | None
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None
    error_code: str
    error_detail: str
    # When a worker gives up; nobody works on an operation that is unfinished well after it.
    deadline_at: datetime | None = None

    @property
    def finished(self) -> bool:
        return self.state not in states.UNFINISHED


@dataclass(frozen=True)
class Building:
    """How far a template is. `percent` counts steps that are really done."""

    percent: int
    steps: tuple[StepView, ...]


@dataclass(frozen=True)
class Credentials:
    """How the customer signs in to their application for the first time."""

    url: str
    user_name: str
    password: str = field(repr=False)
    database: str


def instance(instance_id: UUID) -> Instance | None:
    return _instance.first(id=instance_id)


_instance = Compiled(
    lambda: Instance.objects.select_related("organization", "product", "target", "template").filter(pk=Given("id"))
)


def instance_named(slug: str) -> Instance | None:
    """The newest instance that has or had this short name, those that hold it first."""
    rows = Instance.objects.select_related("organization", "product", "target", "template").filter(slug=slug)
    return rows.filter(state__in=states.HOLDING_NAME).first() or rows.order_by("-created_at").first()


def instances_of(organization_ids: Iterable[UUID]) -> QuerySet[Instance]:
    """Instances of these organizations, newest first."""
    rows = Instance.objects.filter(organization_id__in=list(organization_ids))
    return rows.select_related("product", "organization").order_by("-created_at")


def progress(instance_id: UUID, *, operation_id: UUID | None = None) -> Progress | None:
    """The given or the newest operation of the instance with its steps; None when there is no such instance."""
    rows = Operation.objects.filter(instance_id=instance_id)
    # A standby brings its own history along when it is taken over.
    own = rows.exclude(kind="prepare_standby", instance__organization__isnull=False)
    operation = (
        (rows.filter(pk=operation_id) if operation_id else own)
        .select_related("instance__product", "instance__target")
        .prefetch_related("steps")
        .order_by("-created_at")
        .first()
    )
    if operation is None or operation.instance is None:
        return None
    steps = list(operation.steps.all())
    template_id, template = _awaited_template(operation, steps)
    return Progress(
        instance_id=instance_id,
        instance_state=operation.instance.state,
        operation_id=operation.pk,
        kind=operation.kind,
        state=operation.state,
        percent=_percent(operation, steps),
        steps=tuple(_view(step) for step in steps),
        template_id=template_id,
        template=template,
        started_at=operation.started_at,
        finished_at=operation.finished_at,
        seconds=_seconds(operation.created_at, operation.finished_at),
        error_code=operation.error_code,
        error_detail=operation.error_detail,
        deadline_at=operation.deadline_at,
    )


def _percent(operation: Operation, steps: list[Step]) -> int:
    if operation.state == states.SUCCEEDED:
        return 100
    forward = [step for step in steps if not step.name.startswith("undo_")]
    done = sum(step.state in {states.SUCCEEDED, states.SKIPPED} for step in forward)
    return round(100 * done / len(forward)) if forward else 0


def _awaited_template(operation: Operation, steps: list[Step]) -> tuple[UUID | None, tuple[StepView, ...] | None]:
    waiting = any(step.name == "await_template" and step.state == states.RUNNING for step in steps)
    if not waiting or operation.instance is None:
        return None, None
    blueprint = specs.blueprint_of(operation.instance)
    template = Template.objects.filter(
        target=operation.instance.target, blueprint=blueprint.name, version=blueprint.version
    ).first()
    return (template.pk, template_steps(template)) if template else (None, None)


@as_platform(Platform.TEMPLATES)
def template_steps(template: Template) -> tuple[StepView, ...]:
    """The steps of the newest building of this template."""
    newest = template.operations.prefetch_related("steps").order_by("-created_at").first()
    return tuple(_view(step) for step in newest.steps.all()) if newest else ()


@as_platform(Platform.TEMPLATES)
def first_builds() -> dict[tuple[str, str], Building]:
    """(target, blueprint) -> the template that is being built there while there is none yet to clone from."""
    rows = Template.objects.filter(state=states.BUILDING).exclude(
        Exists(Template.objects.filter(target=OuterRef("target"), blueprint=OuterRef("blueprint"), state=states.READY))
    )
    newest = Operation.objects.filter(state__in=states.UNFINISHED, template__in=rows)
    found = newest.select_related("template__target").prefetch_related("steps").order_by("created_at")
    return {
        (operation.template.target.name, operation.template.blueprint): _building(operation)
        for operation in found
        if operation.template is not None
    }


def _building(operation: Operation) -> Building:
    steps = list(operation.steps.all())
    return Building(percent=_percent(operation, steps), steps=tuple(_view(step) for step in steps))


def _view(step: Step) -> StepView:
    return StepView(
        name=step.name,
        state=step.state,
        attempt=step.attempt,
        started_at=step.started_at,
        finished_at=step.finished_at,
        seconds=_seconds(step.started_at, step.finished_at),
        fraction=step.fraction,
        note=step.note,
        error=step.error,
    )


def _seconds(begin: datetime | None, end: datetime | None) -> float | None:
    return round((end - begin).total_seconds(), 3) if begin and end else None


def newest_operation(instance_id: UUID) -> Operation | None:
    """What was last asked of the instance."""
    return Operation.objects.filter(instance_id=instance_id).order_by("-created_at").first()


def credentials(instance_id: UUID) -> Credentials | None:
    """The first sign-in of a live or sleeping instance; None before it was live."""
    found = instance(instance_id)
    return credentials_of(found) if found else None


def credentials_of(found: Instance) -> Credentials | None:
    """The same, for who has just read it with its target, product and template."""
    if found.state not in {states.LIVE, states.SLEEPING}:
        return None
    provider = specs.provider_of(found.target)
    url, user_name = specs.sign_in_address(found, provider)
    return Credentials(
        url=url,
        user_name=user_name,
        password=found.secrets.get("initial_password", ""),
        database=database_name(found),
    )


def database_name(found: Instance) -> str:
    """The name of the instance's own database; empty where the provider has none of its own."""
    return specs.spec_of(found, specs.provider_of(found.target)).variables.get("database", "")


def logs(found: Instance, *, lines: int) -> str:
    """The last lines the application wrote, without secrets."""
    return specs.provider_of(found.target).logs(found.ref, lines=lines)


def target_problems() -> dict[str, ProvisioningError | None]:
    """Every target in use by name, with what keeps it from being worked with; None when nothing does."""
    problems: dict[str, ProvisioningError | None] = {}
    for target in Target.objects.filter(enabled=True).order_by("name"):
        try:
            specs.provider_of(target).check()
        except ProvisioningError as error:
            problems[target.name] = error
        else:
            problems[target.name] = None
    return problems


def must_save(found: Instance) -> bool:
    """Whether archiving keeps a dump. Raises ProvisioningError when none could be made, or nobody can say."""
    return specs.provider_of(found.target).must_save(found.ref)


def archive_of(found: Instance) -> Path | None:
    """Where the last dump of an archived instance is kept; None when there was nothing to keep."""
    path = specs.provider_of(found.target).archive_path(found.ref)
    return path if path and path.exists() else None


def can_run(blueprint: Blueprint, provider: str) -> bool:
    """Whether the blueprint says how its application is run by this provider."""
    if provider == "process":
        return blueprint.process is not None
    if provider in {"docker", "swarm"}:
        return blueprint.compose is not None and blueprint.compose.repository is None
    return provider != "portainer" or blueprint.compose is not None


def provider_names() -> list[str]:
    """The providers a target can have, sorted."""
    return sorted(PROVIDERS)
