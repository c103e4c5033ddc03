"""A visitor starts a trial: customer, subscription, instance and its operation in one transaction."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import structlog
from django.db import DatabaseError, connection, transaction

from parcelle.core import events
from parcelle.core.compiled import Compiled, Given
from parcelle.core.context import Platform, as_platform
from parcelle.domain.accounts.models import User, normalise_email
from parcelle.domain.billing import queries as billing
from parcelle.domain.billing import trials
from parcelle.domain.catalog.blueprints import BlueprintError
from parcelle.domain.catalog.models import Plan
from parcelle.domain.provisioning import actions as provisioning
from parcelle.domain.provisioning.errors import NameTaken, ProvisioningError
from parcelle.domain.provisioning.models import Instance
from parcelle.domain.tenancy import actions as tenancy
from parcelle.domain.tenancy import queries as organizations
from parcelle.domain.tenancy import states as organization_states
from parcelle.domain.tenancy.models import Organization
from parcelle.domain.tenancy.names import slugify
from parcelle.journeys import customers

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrialRequest:
    """What a sign-up knows. `submission` is the form's own id: sending the form twice asks once.

    `slug` is given by integrators who choose the name themselves; `user_id` is the signed-in person.
    """

    submission: UUID
    email: str
    first_name: str
    last_name: str
    company: str
    phone: str
    plan_id: UUID
    language: str
    slug: str | None = None
    actor: str = "visitor"
    user_id: UUID | None = None
    # For which of their organizations that person asks; without one for the one that they own.
    organization_id: UUID | None = None


@dataclass(frozen=True)
class Started:
    """What became of a request. `repeated`: the same form was sent before, and this is its result.

    `new_user`: this form made the user, now or at `asked_at`.
    """

    instance_id: UUID
    organization_id: UUID
    user_id: UUID
    new_user: bool
    repeated: bool
    asked_at: datetime


class AlreadySubscribed(Exception):
    """This customer has a live subscription; `plan` is its name."""

    def __init__(self, plan: str) -> None:
        super().__init__(plan)
        self.plan = plan


class TrialUsed(Exception):
    """This customer's trial of the product is over; `plan` is its name."""

    def __init__(self, plan: str) -> None:
        super().__init__(plan)
        self.plan = plan


class OrganizationClosed(Exception):
    """This customer's organization is suspended, expired or cancelled."""


class RegistrationFailed(Exception):
    """Nothing was stored. `code` names the sentence: not_on_sale, not_provided or not_stored.

    `reference` is also in the log; `detail` is for operators.
    """

    def __init__(self, code: str, *, reference: str, detail: str = "") -> None:
        super().__init__(f"{code} ({reference})")
        self.code = code
        self.reference = reference
        self.detail = detail or code.replace("_", " ")


@as_platform(Platform.SIGN_UP)
def start_trial(request: TrialRequest, *, now: datetime) -> Started:
    """All or nothing: raises AlreadySubscribed, TrialUsed, OrganizationClosed, RegistrationFailed, and NameTaken for a
    given slug.
    """
    try:
        with transaction.atomic(), events.together():
            return _register(_tidy(request), now=now)
    except (DatabaseError, UnicodeError, ProvisioningError, BlueprintError, Plan.DoesNotExist) as error:
        reference = uuid.uuid4().hex[:8]
        logger.exception("registration failed", reference=reference)
        raise _refusal(error, reference) from error


def _refusal(error: Exception, reference: str) -> RegistrationFailed:
    if isinstance(error, ProvisioningError | BlueprintError):
        return RegistrationFailed("not_provided", reference=reference, detail=str(error))
    if isinstance(error, Plan.DoesNotExist):
        return RegistrationFailed("not_on_sale", reference=reference, detail="the plan is not on sale any more")
    # What a database says can hold what was typed.
    return RegistrationFailed("not_stored", reference=reference, detail="the database could not store it")


def _tidy(request: TrialRequest) -> TrialRequest:
    """Names are one line: whoever puts line breaks into them wants to write somebody else's mail."""
    return replace(
        request,
        first_name=customers.one_line(request.first_name),
        last_name=customers.one_line(request.last_name),
        company=customers.one_line(request.company),
        phone=customers.one_line(request.phone),
    )


def _register(request: TrialRequest, *, now: datetime) -> Started:
    email = normalise_email(request.email)
    _one_at_a_time(email, request.submission)
    earlier = _earlier(request.submission)
    if earlier is not None:
        return earlier
    plan = _on_sale.first(id=request.plan_id)
    if plan is None:
        raise Plan.DoesNotExist
    user, new_user = customers.person(
        email,
        first_name=request.first_name,
        last_name=request.last_name,
        phone=request.phone,
        language=request.language,
        user_id=request.user_id,
        now=now,
    )
    organization = _organization(request, user, new_user=new_user, plan=plan, now=now)
    subscription = trials.start(organization=organization, plan=plan, now=now, actor=request.actor)
    instance = provisioning.request_instance(
        organization=organization,
        subscription_id=subscription.pk,
        product=plan.product,
        slug=request.slug or slugify(request.company),
        exactly=request.slug is not None,
        owner={
            "company": request.company,
            "email": email,
            "first_name": request.first_name,
            "last_name": request.last_name,
            "language": request.language,
        },
        limits=plan.limits,
        request_id=request.submission,
        actor=request.actor,
        now=now,
    )
    return Started(instance.pk, organization.pk, user.pk, new_user, repeated=False, asked_at=now)


def _one_at_a_time(email: str, submission: UUID) -> None:
    """Two forms of one person, or one form sent twice, are dealt with one after the other."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 3)), pg_advisory_xact_lock(hashtextextended(%s, 4))",
            [str(submission), email],
        )


def _earlier(submission: UUID) -> Started | None:
    found = _asked_before.first(submission=submission)
    if found is None:
        return None
    instance_id, organization_id, asked_at = found
    owner = organizations.owner_of(organization_id)
    return Started(instance_id, organization_id, owner.pk, owner.date_joined == asked_at, True, asked_at)


_on_sale = Compiled(
    lambda: Plan.objects.select_related("product").filter(pk=Given("id"), enabled=True, product__enabled=True)
)
_asked_before = Compiled(
    lambda: (
        Instance.objects.filter(request_id=Given("submission"))
        .order_by()
        .values_list("pk", "organization_id", "created_at")
    )
)


def _organization(request: TrialRequest, user: User, *, new_user: bool, plan: Plan, now: datetime) -> Organization:
    known = None if new_user else _known(request, user)
    if known is None:
        return tenancy.create_organization(
            name=request.company,
            slug=request.slug or slugify(request.company),
            owner=user,
            language=request.language,
            now=now,
            actor=request.actor,
        )
    if known.state in organization_states.CLOSED:
        raise OrganizationClosed
    live = billing.live_subscription(known.pk)
    if live is not None:
        raise AlreadySubscribed(live.plan.name)
    used = billing.past_trial(known.pk, plan)
    # Only who serves themselves is held to one trial: an operator or integrator knows what they are doing.
    if used is not None and request.actor == "visitor":
        raise TrialUsed(used.plan.name)
    if user.pk == request.user_id:
        Organization.objects.filter(pk=known.pk).update(name=request.company)
    return known


def _known(request: TrialRequest, user: User) -> Organization | None:
    if request.organization_id is not None and user.pk == request.user_id:
        return Organization.objects.get(pk=request.organization_id)
    return organizations.owned_organization(user)


@as_platform(Platform.SIGN_UP)
def retry(instance_id: UUID, *, actor: str, now: datetime) -> None:
    """Tries a failed creation again; raises IllegalTransition when it is not failed (any more)."""
    instance = Instance.objects.select_related("product", "target").get(pk=instance_id)
    provisioning.retry_creation(instance, actor=actor, now=now)


__all__ = [
    "AlreadySubscribed",
    "NameTaken",
    "OrganizationClosed",
    "RegistrationFailed",
    "Started",
    "TrialRequest",
    "TrialUsed",
    "retry",
    "start_trial",
]
