"""An instance became ready, or could not be created: tell the customer."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings

from parcelle.core.models import Fact
from parcelle.domain.billing import queries as billing
from parcelle.domain.provisioning import queries as provisioning
from parcelle.domain.tenancy import queries as organizations
from parcelle.journeys import delivery
from parcelle.journeys.telling import tell


def welcome(fact: Fact) -> None:
    """The mail with address, user name and temporary password; once per instance."""
    assert fact.instance_id is not None
    instance = provisioning.instance(fact.instance_id)
    credentials = provisioning.credentials_of(instance) if instance else None
    if instance is None or credentials is None or instance.organization is None:
        return
    subscription = billing.subscription(instance.subscription_id) if instance.subscription_id else None
    owner = organizations.owner_of(instance.organization.pk)
    tell(
        instance.organization,
        owner,
        key=f"welcome:{instance.pk}",
        kind="welcome",
        product=instance.product.name,
        url=credentials.url,
        instance_id=instance.pk,
        user_name=credentials.user_name,
        password=credentials.password,
        trial_ends_at=_iso(subscription.trial_ends_at) if subscription and subscription.price_id is None else None,
        has_password=owner.has_usable_password(),
    )


def apologise(fact: Fact) -> None:
    """The mail that says that a trial could not be created; once per failed operation.

    Who paid is told something else: `delivery` tries again without being asked.
    """
    assert fact.instance_id is not None
    instance = provisioning.instance(fact.instance_id)
    if instance is None or instance.organization is None or delivery.is_paid(instance.pk):
        return
    tell(
        instance.organization,
        organizations.owner_of(instance.organization.pk),
        key=f"creation-failed:{fact.operation_id}",
        kind="creation_failed",
        product=instance.product.name,
        url=f"{settings.PUBLIC_URL}/deployments/{instance.pk}",
        instance_id=instance.pk,
    )


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
