"""Templates: a blueprint's application, built and initialised once per target and version."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from parcelle.core import crypto
from parcelle.core.states import move
from parcelle.domain.catalog.blueprints import Blueprint
from parcelle.domain.provisioning import specs, states
from parcelle.domain.provisioning.errors import NotYet, TemplateFailed
from parcelle.domain.provisioning.models import Operation, Target, Template
from parcelle.domain.provisioning.operations import request_template_operation

LOOK_AGAIN_SECONDS = 2.0


def current(target: Target, blueprint: Blueprint) -> Template | None:
    """The template of the blueprint's present version, in whatever state."""
    return Template.objects.filter(target=target, blueprint=blueprint.name, version=blueprint.version).first()


def ensure(target: Target, blueprint: Blueprint, *, now: datetime, again: bool = False) -> Template:
    """The current template; its building is started if it was not, and after a failure if `again`."""
    with transaction.atomic():
        secrets = specs.new_secrets(blueprint) | {"template_password": crypto.generate(24)}
        template, _new = Template.objects.select_for_update(of=("self",)).get_or_create(
            target=target,
            blueprint=blueprint.name,
            version=blueprint.version,
            defaults={"secrets": secrets, "created_at": now},
        )
        if template.state == states.FAILED and again:
            move(template, states.BUILDING, table=states.TEMPLATE_TRANSITIONS)
        busy = template.operations.filter(state__in=states.UNFINISHED).exists()
        if template.state == states.BUILDING and not busy:
            request_template_operation(template, now=now)
    return template


def ready(target: Target, blueprint: Blueprint, *, since: datetime, now: datetime) -> Template:
    """The current template once it can be cloned.

    Raises NotYet while it is being built, and TemplateFailed when building failed after `since`: an older
    failure is tried again.
    """
    template = ensure(target, blueprint, now=now)
    if template.state == states.READY:
        return template
    last = template.operations.order_by("-created_at").first()
    if template.state == states.FAILED:
        if last is not None and last.created_at >= since:
            raise TemplateFailed(last.error_detail)
        ensure(target, blueprint, now=now, again=True)
    raise NotYet(LOOK_AGAIN_SECONDS, _note(last))


def _note(operation: Operation | None) -> str:
    running = operation.steps.filter(state=states.RUNNING).first() if operation else None
    return running.name if running else ""
