"""The shapes of organizations, their members and invitations."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from ninja import Field
from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from parcelle.surfaces.api.schemas import Camel, Email

# The words of the API. They are promises to integrators.
Role = Literal["owner", "admin", "member", "viewer"]
OrganizationStatus = Literal["pending", "active", "suspended", "cancelled", "expired"]


class Organization(Camel):
    """A customer account."""

    organization_id: UUID = Field(description="What the header `X-Organization-ID` names.")
    name: str
    slug: str
    status: OrganizationStatus = Field(
        description="`suspended`, `cancelled` and `expired`: only orders, payments and invoices can still be used."
    )
    language: str = Field(description="Of its invoices and invitations: `fr` or `en`.")
    role: Role | None = Field(description="What the token's user is in it; null for an operator who is no member.")
    created_at: datetime


class OrganizationPage(Camel):
    """A part of the list, newest first."""

    items: list[Organization]
    count: int = Field(description="How many there are in all.")
    limit: int
    offset: int
    next: str | None = Field(description="Address of the next part; null on the last one.")


class Member(Camel):
    """Somebody who belongs to an organization."""

    email: str
    first_name: str
    last_name: str
    role: Role
    since: datetime


class MemberList(Camel):
    """Everybody: owners first, then whoever has been there longest."""

    organization_id: UUID
    items: list[Member]


class InviteMember(Camel):
    """Who is asked to join, and as what."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=False,
        extra="forbid",
        json_schema_extra={"examples": [{"email": "noa@diop.fr", "role": "member"}]},
    )

    email: Email = Field(json_schema_extra={"format": "email"})
    role: Role = Field(description="Only an owner makes owners.")


class Invitation(Camel):
    """An invitation that is on its way. Its link is in the mail, and nowhere else."""

    invitation_id: UUID
    email: str
    role: Role
    expires_at: datetime
