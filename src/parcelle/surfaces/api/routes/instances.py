"""`/api/instances`: creating, watching and changing instances."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Query, Router
from ninja.responses import Status as Answer

from parcelle.core.states import IllegalTransition
from parcelle.domain.catalog.blueprints import BlueprintError
from parcelle.domain.catalog.queries import plan_to_try
from parcelle.domain.provisioning import queries
from parcelle.domain.provisioning.errors import InstanceBusy
from parcelle.domain.provisioning.models import Instance, Operation
from parcelle.domain.tenancy.states import CLOSED
from parcelle.journeys import instance_control, signup
from parcelle.surfaces import failures
from parcelle.surfaces.api import tokens
from parcelle.surfaces.api.idempotency import once, request_id
from parcelle.surfaces.api.lists import Limit, Offset, part, refuse_unknown_parameters
from parcelle.surfaces.api.openapi import problems_of
from parcelle.surfaces.api.problems import Problem
from parcelle.surfaces.api.schemas import (
    STATUS_OF_STATE,
    Accepted,
    CreateInstance,
    Failure,
    InstanceDetails,
    InstancePage,
    InstanceSummary,
    Status,
)

router = Router(auth=tokens.BearerToken(), tags=["instances"], by_alias=True)

_CHANGE = ("forbidden", "organization-closed", "not-found", "instance-busy", "not-possible-now")


@router.post(
    "/instances",
    operation_id="createInstance",
    summary="Create an instance",
    response={202: Accepted},
    openapi_extra=problems_of(
        "invalid-request",
        "malformed-json",
        "forbidden",
        "organization-closed",
        "name-taken",
        "already-subscribed",
        "trial-used",
        "body-too-large",
        "unsupported-media-type",
        "registration-failed",
    ),
)
@once
def create(request: HttpRequest, response: HttpResponse, body: CreateInstance) -> Answer[Accepted]:
    """Starts a customer's trial: user, organization, subscription and instance. Answers at once; then ask
    `GET /api/instances/{instanceId}` until `status` is no longer `creating`.

    A token of an operator creates instances for any e-mail address, any other token only for its own user.
    """
    now = timezone.now()
    token = tokens.token_of(request)
    tokens.hold_to_limit(token, "creations", limit=settings.API_CREATIONS_PER_MINUTE, now=now)
    wanted = _trial_request(request, body)
    try:
        started = signup.start_trial(wanted, now=now)
    except signup.NameTaken as refused:
        detail = _("The name %(name)s is taken. Please choose another one.") % {"name": refused.slug}
        raise Problem("name-taken", detail) from None
    except signup.AlreadySubscribed as refused:
        detail = _("You already have an active subscription (%(plan)s)") % {"plan": refused.plan}
        raise Problem("already-subscribed", detail) from None
    except signup.OrganizationClosed:
        raise Problem("organization-closed") from None
    except signup.TrialUsed as refused:
        detail = _("You have already used your free trial (%(plan)s). Write to us to go on.") % {"plan": refused.plan}
        raise Problem("trial-used", detail) from None
    except signup.RegistrationFailed as failure:
        detail = failures.registration(failure.code, failure.reference)
        raise Problem("registration-failed", detail, headers={"Retry-After": "30"}) from None
    instance = tokens.visible_to(token.user).get(pk=started.instance_id)
    if started.repeated:
        if instance.slug != body.client_name or instance.owner.get("email") != wanted.email.lower():
            raise Problem("idempotency-key-reused")
        response.headers["Idempotent-Replayed"] = "true"
    response.headers["Location"] = f"/api/instances/{instance.pk}"
    message = _("The instance is being created. Its progress is at %(address)s.") % {
        "address": f"{settings.PUBLIC_URL}/api/instances/{instance.pk}"
    }
    return Answer(202, Accepted(instance_id=instance.pk, status=_status(instance), message=message))


def _trial_request(request: HttpRequest, body: CreateInstance) -> signup.TrialRequest:
    token = tokens.token_of(request)
    user = token.user
    own = body.admin_email.lower() == user.email
    if not own and not user.is_staff:
        raise Problem("forbidden", _("This token creates instances for %(email)s only.") % {"email": user.email})
    plan = plan_to_try(product=body.product_slug, plan=body.plan_slug)
    if plan is None:
        raise _no_plan(body)
    # What is not said about somebody who has an account stays as it is.
    known = {"first_name": user.first_name, "last_name": user.last_name, "phone": user.phone} if own else {}
    first_name = body.first_name or known.get("first_name", "")
    last_name = body.last_name or known.get("last_name", "") or ("" if first_name else body.company_name[:150])
    return signup.TrialRequest(
        submission=request_id(request),
        email=body.admin_email.lower(),
        first_name=first_name,
        last_name=last_name,
        company=body.company_name,
        phone=body.phone or known.get("phone", ""),
        plan_id=plan.pk,
        language=body.language or settings.LANGUAGE_CODE,
        slug=body.client_name,
        actor=tokens.actor_of(request),
        user_id=user.pk,
    )


def _no_plan(body: CreateInstance) -> Problem:
    if body.product_slug is None and body.plan_slug is None:
        return Problem("registration-failed", _("Nothing is on sale at the moment."))
    if body.product_slug is not None and plan_to_try(product=body.product_slug) is None:
        pointer, detail = "#/productSlug", _("No product on sale has this short name.")
    else:
        pointer, detail = "#/planSlug", _("No plan on sale has this short name.")
    return Problem("invalid-request", detail, errors=[{"pointer": pointer, "code": "unknown", "detail": detail}])


@router.get(
    "/instances",
    operation_id="listInstances",
    summary="List instances",
    response={200: InstancePage},
    openapi_extra=problems_of("invalid-request"),
)
def index(
    request: HttpRequest,
    limit: Limit = 50,
    offset: Offset = 0,
    status: Annotated[Status | None, Query(description="Only those with this status.")] = None,
    client_name: Annotated[
        str | None, Query(alias="clientName", max_length=50, description="Only those with exactly this name.")
    ] = None,
) -> InstancePage:
    """The instances that the token's user may see, newest first: all customers' for an operator."""
    refuse_unknown_parameters(request, {"status", "clientName"})
    rows = tokens.in_question(request, tokens.visible_to(tokens.user_of(request)))
    rows = rows.defer("secrets").order_by("-created_at", "-pk")
    if status is not None:
        rows = rows.filter(state__in=[state for state, word in STATUS_OF_STATE.items() if word == status])
    if client_name is not None:
        rows = rows.filter(slug=client_name.replace("\x00", ""))
    filters = {"status": status, "clientName": client_name}
    instances, about = part(rows, path="/api/instances", limit=limit, offset=offset, filters=filters)
    return InstancePage(items=[_summary(instance) for instance in instances], **about)


@router.get(
    "/instances/{instance_id}",
    operation_id="getInstance",
    summary="One instance",
    response={200: InstanceDetails},
    openapi_extra=problems_of("not-found"),
)
def show(request: HttpRequest, instance_id: UUID) -> InstanceDetails:
    """Status, progress and, while it runs, how to sign in."""
    return _details(request, _find(request, instance_id))


@router.post(
    "/instances/{instance_id}/suspend",
    operation_id="suspendInstance",
    summary="Suspend",
    response={202: Accepted},
    openapi_extra=problems_of(*_CHANGE),
)
@once
def suspend(request: HttpRequest, instance_id: UUID) -> Answer[Accepted]:
    """Stops the instance and keeps all its data. Its address says why. For operators and owners."""
    message = _("The instance is being suspended; its data are kept.")
    return _change(request, instance_id, instance_control.suspend_instance, message)


@router.post(
    "/instances/{instance_id}/resume",
    operation_id="resumeInstance",
    summary="Resume",
    response={202: Accepted},
    openapi_extra=problems_of(*_CHANGE),
)
@once
def resume(request: HttpRequest, instance_id: UUID) -> Answer[Accepted]:
    """Starts a suspended instance again. Owners can resume what they suspended themselves, operators everything."""
    instance = _manageable(request, instance_id)
    own = instance.state != "suspended" or instance.reason == "customer"
    if not own and not tokens.may_operate(tokens.user_of(request)):
        raise Problem("forbidden", _("This instance was not suspended by you. Write to us to go on."))
    return _change(request, instance_id, instance_control.resume_instance, _("The instance is being started again."))


@router.delete(
    "/instances/{instance_id}",
    operation_id="archiveInstance",
    summary="Archive",
    response={202: Accepted},
    openapi_extra=problems_of(*_CHANGE),
)
def archive(request: HttpRequest, instance_id: UUID) -> Answer[Accepted]:
    """Takes the instance out of service for good: its data are dumped a last time, then everything that runs is
    removed and its name is free again. For operators only.
    """
    if not tokens.may_operate(tokens.user_of(request)):
        _find(request, instance_id)
        raise Problem("forbidden", _("Only an operator can archive an instance. Write to us to end your contract."))
    return _change(
        request,
        instance_id,
        instance_control.archive_instance,
        _("The instance is being archived: a last dump is kept, then it is removed."),
    )


@router.post(
    "/instances/{instance_id}/retry",
    operation_id="retryInstance",
    summary="Try a failed creation again",
    response={202: Accepted},
    openapi_extra=problems_of(*_CHANGE, "name-taken"),
)
@once
def retry(request: HttpRequest, instance_id: UUID) -> Answer[Accepted]:
    """Only for `failed` instances: creates it again, under the same name and with fresh secrets."""
    instance = _manageable(request, instance_id)
    try:
        with _refusals():
            signup.retry(instance.pk, actor=tokens.actor_of(request), now=timezone.now())
    except signup.NameTaken as refused:
        detail = _("The name %(name)s is taken. Please choose another one.") % {"name": refused.slug}
        raise Problem("name-taken", detail) from None
    return _accepted(request, instance_id, _("The instance is being created."))


def _change(
    request: HttpRequest, instance_id: UUID, change: Callable[..., Operation], message: str
) -> Answer[Accepted]:
    instance = _manageable(request, instance_id)
    reason = "operator" if tokens.may_operate(tokens.user_of(request)) else "customer"
    with _refusals():
        change(instance.pk, reason=reason, actor=tokens.actor_of(request), now=timezone.now())
    return _accepted(request, instance_id, message)


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except InstanceBusy:
        raise Problem("instance-busy") from None
    except IllegalTransition as refused:
        state = getattr(refused.row, "state", "")
        detail = _("The instance is %(status)s, which does not allow this.") % {"status": STATUS_OF_STATE[state]}
        raise Problem("not-possible-now", detail) from None


def _find(request: HttpRequest, instance_id: UUID) -> Instance:
    instance = tokens.in_question(request, tokens.visible_to(tokens.user_of(request))).filter(pk=instance_id).first()
    if instance is None:
        detail = _("There is no instance %(id)s, or this token may not see it.") % {"id": instance_id}
        raise Problem("not-found", detail)
    return instance


def _manageable(request: HttpRequest, instance_id: UUID) -> Instance:
    instance = _find(request, instance_id)
    if not tokens.may_manage(tokens.user_of(request), instance):
        raise Problem("forbidden")
    assert instance.organization is not None
    if instance.organization.state in CLOSED and not tokens.may_operate(tokens.user_of(request)):
        raise Problem("organization-closed")
    return instance


def _accepted(request: HttpRequest, instance_id: UUID, message: str) -> Answer[Accepted]:
    instance = _find(request, instance_id)
    return Answer(202, Accepted(instance_id=instance.pk, status=_status(instance), message=message))


# --- from rows to answers -------------------------------------------------------------------------------


def _status(instance: Instance) -> Status:
    return STATUS_OF_STATE[instance.state]


def _summary(instance: Instance) -> InstanceSummary:
    assert instance.organization is not None
    return InstanceSummary(
        instance_id=instance.pk,
        status=_status(instance),
        client_name=instance.slug or "",
        company_name=instance.owner.get("company", instance.organization.name),
        admin_email=instance.owner.get("email", ""),
        product_slug=instance.product.slug,
        instance_url=(instance.url or None) if instance.state in {"live", "sleeping", "suspended"} else None,
        created_at=instance.created_at,
        ready_at=instance.live_at,
    )


def _details(request: HttpRequest, instance: Instance) -> InstanceDetails:
    summary = _summary(instance).model_dump()
    credentials = queries.credentials(instance.pk)
    if credentials:
        summary["instance_url"] = credentials.url if instance.url else None
        summary["user_name"] = credentials.user_name
        if tokens.may_manage(tokens.user_of(request), instance):
            summary["admin_password"] = credentials.password or None
    if instance.state in {"suspended", "archived"}:
        summary["reason"] = instance.reason or None
    return InstanceDetails.model_validate(
        {
            **summary,
            "database_name": _database(instance, credentials),
            **_progress(request, queries.progress(instance.pk)),
        }
    )


def _progress(request: HttpRequest, progress: queries.Progress | None) -> dict[str, object]:
    if progress is None:
        return {}
    return {
        "progress": progress.percent,
        "seconds": progress.seconds,
        "operation": {"operation_id": progress.operation_id, "kind": progress.kind, "state": progress.state},
        "steps": [asdict(step) for step in progress.steps],
        "waiting_for": [asdict(step) for step in progress.template] if progress.template else None,
        "error": _failure(request, progress) if progress.state == "failed" else None,
    }


def _database(instance: Instance, credentials: queries.Credentials | None) -> str | None:
    if credentials:
        return credentials.database or None
    if instance.state not in {"sleeping", "suspended"}:
        return None
    with contextlib.suppress(BlueprintError):
        return queries.database_name(instance) or None
    return None


def _failure(request: HttpRequest, progress: queries.Progress) -> Failure:
    operator = tokens.may_operate(tokens.user_of(request))
    return Failure(
        code=progress.error_code,
        message=failures.sentence(progress.error_code, kind=progress.kind),
        detail=(progress.error_detail or None) if operator else None,
    )
