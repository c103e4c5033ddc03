"""What every mail to a customer has in common."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from parcelle.domain.accounts.models import User
from parcelle.domain.notifications import actions as notifications
from parcelle.domain.tenancy.models import Organization


def tell(
    organization: Organization,
    owner: User,
    *,
    key: str,
    kind: str,
    product: str,
    url: str,
    instance_id: UUID | None,
    **context: Any,
) -> None:
    """Queues a mail of a kind in `templates/notifications/` to the organization's owner; once per `key`."""
    notifications.send(
        key=key,
        kind=kind,
        to=owner.email,
        language=owner.language,
        context={
            "first_name": owner.first_name,
            "company": organization.name,
            "product": product,
            "url": url,
            "dashboard_url": f"{settings.PUBLIC_URL}/dashboard",
            **context,
        },
        organization_id=organization.pk,
        instance_id=instance_id,
        now=timezone.now(),
    )
