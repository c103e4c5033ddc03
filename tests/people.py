"""The cast: who uses the product in the tests, so that every page and endpoint is also asked by the stranger."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from parcelle.domain.accounts.models import User
from parcelle.domain.billing import trials
from parcelle.domain.catalog.models import Plan, Product
from parcelle.domain.provisioning import actions as provisioning
from parcelle.domain.provisioning import runner
from parcelle.domain.provisioning.models import Instance, Target
from parcelle.domain.provisioning.workflows import WORKFLOWS
from parcelle.domain.tenancy import actions as tenancy
from parcelle.domain.tenancy.models import Membership, Organization

# A Monday morning, far from every change of the clocks.
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Cast:
    """Everybody, and the one thing on the shelf: a plan of a product that the `null` provider runs."""

    organization: Organization
    owner: User
    member: User
    viewer: User
    other_organization: Organization
    # Signed in and owner of the other organization: nothing of `organization` is theirs to see.
    stranger: User
    operator: User
    plan: Plan


def gather() -> Cast:
    """Stores the cast. Nobody has a password: sign them in with `client.force_login`."""
    owner, stranger = person("Awa", "owner"), person("Sam", "stranger", language="en")
    organization = _organization("Maçonnerie Diop", "maconnerie-diop", owner)
    return Cast(
        organization=organization,
        owner=owner,
        member=_member(organization, Membership.MEMBER),
        viewer=_member(organization, Membership.VIEWER),
        other_organization=_organization("Stranger & Sons", "stranger-sons", stranger, language="en"),
        stranger=stranger,
        operator=User.objects.create_superuser("operator@vendor.example", first_name="Olga"),
        plan=offer(),
    )


def person(first_name: str, name: str, *, language: str = "fr") -> User:
    return User.objects.create_user(
        f"{name}@example.com", first_name=first_name, last_name=name.title(), language=language
    )


def offer(slug: str = "plain", *, trial_days: int = 30, retention_days: int = 30) -> Plan:
    """A product on sale with one plan; its target runs nothing, so an instance is live at once."""
    Target.objects.get_or_create(name="nowhere", defaults={"provider": "null"})
    product = Product.objects.create(slug=slug, name=slug.title(), blueprint="plain", target_name="nowhere")
    return Plan.objects.create(
        product=product, slug="trial", name="Essai", trial_days=trial_days, retention_days=retention_days
    )


def requested_instance(organization: Organization, plan: Plan, *, slug: str = "", now: datetime = NOW) -> Instance:
    """An instance on trial whose creation waits for a worker."""
    subscription = trials.start(organization=organization, plan=plan, now=now, actor="test")
    return provisioning.request_instance(
        organization=organization,
        subscription_id=subscription.pk,
        product=plan.product,
        slug=slug or organization.slug,
        owner={"company": organization.name, "email": "owner@example.com", "language": organization.language},
        limits={},
        request_id=uuid.uuid4(),
        actor="test",
        now=now,
    )


def live_instance(organization: Organization, plan: Plan, *, slug: str = "", now: datetime = NOW) -> Instance:
    """An instance on trial, created by the real runner."""
    instance = requested_instance(organization, plan, slug=slug, now=now)
    work(instance, now=now)
    return instance


def work(instance: Instance, *, now: datetime = NOW) -> None:
    """Runs what is unfinished on the instance as a worker would, and reads the instance again."""
    for operation in instance.operations.exclude(state__in=("succeeded", "failed")):
        runner.run(operation.pk, WORKFLOWS, clock=lambda: now)
    instance.refresh_from_db()


def _member(organization: Organization, role: str) -> User:
    user = person(role.title(), role, language=organization.language)
    Membership.objects.create(organization=organization, user=user, role=role, created_at=NOW)
    return user


def _organization(name: str, slug: str, owner: User, *, language: str = "fr") -> Organization:
    return tenancy.create_organization(name=name, slug=slug, owner=owner, language=language, now=NOW, actor="test")
