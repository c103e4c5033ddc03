"""What customers are told about their own domains."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from parcelle.core.models import Fact
from parcelle.domain.notifications import actions as notifications
from parcelle.domain.provisioning import domains
from parcelle.domain.provisioning.models import Domain
from parcelle.domain.tenancy import queries as organizations


def tell_live(fact: Fact) -> None:
    _tell(fact, "domain_live")


def tell_broken(fact: Fact) -> None:
    _tell(fact, "domain_broken")


def tell_released(fact: Fact) -> None:
    """Only for a domain that was given up because it stayed broken: who removes one knows it."""
    if fact.data["reason"] == "broken":
        _tell(fact, "domain_released")


def _tell(fact: Fact, kind: str) -> None:
    domain = Domain.objects.select_related("instance__product", "organization").get(pk=UUID(fact.data["domain_id"]))
    owner = organizations.owner_of(domain.organization_id)
    keep_until = (domain.broken_at or fact.at) + domains.GRACE + timedelta(days=1)
    notifications.send(
        # Once per happening: a domain may break, be repaired and break again.
        key=f"{kind}:{fact.pk}",
        kind=kind,
        to=owner.email,
        language=owner.language,
        context={
            "first_name": owner.first_name,
            "company": domain.organization.name,
            "product": domain.instance.product.name,
            "host": domain.host,
            "platform_url": domain.instance.url,
            "url": f"{settings.PUBLIC_URL}/instances/{domain.instance_id}/domains",
            "keep_until": keep_until.isoformat(),
            "dashboard_url": f"{settings.PUBLIC_URL}/dashboard",
        },
        organization_id=domain.organization_id,
        instance_id=domain.instance_id,
        now=timezone.now(),
    )
