"""Building a blueprint's application and initialising its database, once per version."""

from __future__ import annotations

from collections.abc import Sequence

from parcelle.core import events
from parcelle.core.states import move
from parcelle.domain.provisioning import drift, specs, states
from parcelle.domain.provisioning.events import TemplateBuildFailed, TemplateReady
from parcelle.domain.provisioning.providers.base import Provider
from parcelle.domain.provisioning.runner import Run, Work, Workflow


def _building(phase: str) -> Work:
    return Work(phase, lambda run: run.provider.build(specs.template_spec_of(run.template), phase, run.progress))


def steps(provider: Provider) -> Sequence[Work]:
    return [_building(phase) for phase in provider.template_phases]


def succeed(run: Run) -> None:
    move(run.template, states.READY, table=states.TEMPLATE_TRANSITIONS)
    drift.settle(run.operation, now=run.now())
    events.record(
        TemplateReady(
            operation_id=run.operation.pk,
            template_id=run.template.pk,
            blueprint=run.template.blueprint,
            version=run.template.version,
        ),
        now=run.now(),
    )


def fail(run: Run, code: str, detail: str) -> None:
    move(run.template, states.FAILED, table=states.TEMPLATE_TRANSITIONS)
    events.record(
        TemplateBuildFailed(
            operation_id=run.operation.pk,
            template_id=run.template.pk,
            blueprint=run.template.blueprint,
            code=code,
            detail=detail,
        ),
        now=run.now(),
    )


WORKFLOW = Workflow(kind="build_template", steps=steps, succeed=succeed, fail=fail, seconds=3600)
