"""Telling an application to refuse changes, and to take them again, as its blueprint says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from parcelle.core import events
from parcelle.domain.catalog.blueprints import fill
from parcelle.domain.provisioning.errors import ProvisioningError
from parcelle.domain.provisioning.events import InstanceReadOnly
from parcelle.domain.provisioning.models import Instance
from parcelle.domain.provisioning.providers.base import Provider
from parcelle.domain.provisioning.runner import Run, Work, Workflow

_SECONDS = 60.0


def _tell(run: Run, *, on: bool) -> None:
    said = run.blueprint.read_only
    if said is None:
        raise ProvisioningError("the blueprint says nothing about how the application is made read-only")
    spec = run.spec()
    for command in said.enter if on else said.leave:
        run.provider.run(run.instance.ref, fill(command, {**spec.variables, **spec.secrets}), timeout=_SECONDS)


def _steps(name: str, *, on: bool) -> Callable[[Provider], Sequence[Work]]:
    return lambda _provider: [Work(name, lambda run: _tell(run, on=on))]


def _succeed(run: Run, *, on: bool) -> None:
    Instance.objects.filter(pk=run.instance.pk).update(read_only=on)
    events.record(
        InstanceReadOnly(
            instance_id=run.instance.pk,
            organization_id=run.instance.organization_id,
            operation_id=run.operation.pk,
            read_only=on,
        ),
        now=run.now(),
        actor=run.operation.actor,
    )


def fail(_run: Run, _code: str, _detail: str) -> None:
    """The instance stays as it is; the failed operation is shown to the operator."""


RESTRICT = Workflow(
    kind="restrict", steps=_steps("restrict", on=True), succeed=lambda run: _succeed(run, on=True), fail=fail
)
UNRESTRICT = Workflow(
    kind="unrestrict", steps=_steps("unrestrict", on=False), succeed=lambda run: _succeed(run, on=False), fail=fail
)
