"""Whether a target can be worked with, and whether it holds what it should; remembered for whoever looks next."""

from __future__ import annotations

import contextlib
from datetime import datetime

import structlog
from django.db import transaction
from procrastinate.contrib.django import app as queue
from procrastinate.contrib.django.models import ProcrastinateJob
from procrastinate.exceptions import AlreadyEnqueued

from parcelle.domain.provisioning import drift, specs
from parcelle.domain.provisioning.errors import ProvisioningError
from parcelle.domain.provisioning.models import Target
from parcelle.domain.provisioning.providers import portainer_api
from parcelle.domain.provisioning.providers.base import TargetHealth
from parcelle.domain.provisioning.providers.portainer_api import Environment

logger = structlog.get_logger(__name__)


def check(target: Target, *, now: datetime) -> TargetHealth:
    """Asks the target and notes the answer. Raises ProvisioningError, noted as well, when it cannot be used."""
    try:
        health = specs.provider_of(target).check()
    except ProvisioningError as error:
        _note(target, error, now=now)
        raise
    fine = {"problem_code": "", "problem": "", "versions": dict(health.versions)}
    Target.objects.filter(pk=target.pk).update(checked_at=now, **fine)
    return health


def environments(target: Target, *, now: datetime) -> list[Environment]:
    """Where on the target's Portainer server stacks can run. Raises ProvisioningError, noted as well."""
    try:
        return portainer_api.environments(target.connection)
    except ProvisioningError as error:
        _note(target, error, now=now)
        raise


def look(target: Target, *, now: datetime) -> None:
    """The nightly look: a target that cannot be asked says so on its page, and its findings stay as they are."""
    try:
        check(target, now=now)
        drift.look(target, now=now)
    except ProvisioningError as error:
        # It may answer when it is checked and yet refuse to be listed.
        _note(target, error, now=now)
        logger.warning("a target cannot be compared with what it should hold", target=target.name, reason=error.detail)


def _note(target: Target, error: ProvisioningError, *, now: datetime) -> None:
    wrong = {"problem_code": error.code, "problem": error.detail[:500]}
    Target.objects.filter(pk=target.pk).update(checked_at=now, **wrong)


def look_soon(target: Target) -> None:
    """Has a worker look; asking twice is asking once."""
    key = _key(target)
    task = queue.configure_task("provisioning.look_for_drift", queue="drift", queueing_lock=key, lock=key)
    with contextlib.suppress(AlreadyEnqueued), transaction.atomic():
        task.defer(target_id=str(target.pk))


def is_looking(target: Target) -> bool:
    """Whether a worker compares it now, or will."""
    return ProcrastinateJob.objects.filter(queueing_lock=_key(target), status__in=("todo", "doing")).exists()


def _key(target: Target) -> str:
    return f"drift:{target.pk}"


def look_everywhere() -> None:
    """Each target in a job of its own: one that does not answer does not hold up the others."""
    for target in Target.objects.filter(enabled=True):
        look_soon(target)
