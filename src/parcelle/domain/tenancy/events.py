"""Facts about organizations."""

from __future__ import annotations

from uuid import UUID

from parcelle.core.events import event


@event
class OrganizationCreated:
    organization_id: UUID
    slug: str
