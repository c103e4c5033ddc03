"""Who may watch a deployment: members of its organization, and the browser that asked for it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.http import Http404, HttpRequest

from parcelle.core import context
from parcelle.core.context import Context, Platform
from parcelle.domain.provisioning.models import Instance
from parcelle.domain.tenancy import permissions
from parcelle.surfaces import current
from parcelle.surfaces.portal.access import require

_SESSION_KEY = "watched_instances"
_REMEMBERED = 20


@dataclass(frozen=True)
class Watcher:
    """Somebody who may see the progress; only an owner or administrator may see the credentials, as in the API."""

    instance: Instance
    manager: bool
    may_retry: bool = True


def remember(request: HttpRequest, instance_id: UUID) -> None:
    """Lets this browser watch the instance without being signed in."""
    known = [text for text in request.session.get(_SESSION_KEY, []) if text != str(instance_id)]
    request.session[_SESSION_KEY] = [*known, str(instance_id)][-_REMEMBERED:]


def admit(request: HttpRequest, instance_id: UUID) -> Watcher:
    """Raises Http404 for strangers: for them the instance does not exist."""
    with context.platform(Platform.SIGN_UP):
        rows = Instance.objects.select_related("product").defer("secrets")
        instance = rows.filter(pk=instance_id, organization__isnull=False).first()
    if instance is None:
        raise Http404
    try:
        here = current.enter(request, instance.organization_id)
    except Http404:
        if str(instance_id) in request.session.get(_SESSION_KEY, []):
            assert instance.organization_id is not None
            context.narrow(Context(organizations=frozenset({instance.organization_id})))
            return Watcher(instance=instance, manager=False)
        raise
    return Watcher(instance, here.may(permissions.SEE_ACCESS), here.may(permissions.RETRY))


def admit_to_retry(request: HttpRequest, instance_id: UUID) -> None:
    """Raises Http404 for strangers, and RoleRefused for members who only look."""
    if not admit(request, instance_id).may_retry:
        here = current.current(request)
        assert here is not None
        require(here, permissions.RETRY)
