"""Facts about organizations."""

from __future__ import annotations

from uuid import UUID

from parcelle.core.events import event


@event
class OrganizationCreated:
    organization_id: UUID
    slug: str


@event
class OrganizationStateChanged:
    organization_id: UUID
    before: str
    after: str


@event
class OrganizationChanged:
    """`before` and `after` hold what was changed: `name`, `language`."""

    organization_id: UUID
    before: dict[str, str]
    after: dict[str, str]


@event
class PlatformScopeOpened:
    """From here on somebody or something sees the rows of all organizations: `scope` is one of `context.Platform`."""

    scope: str


@event
class MemberInvited:
    """Also for the same address again: `role` is the one that counts now."""

    organization_id: UUID
    invitation_id: UUID
    email: str
    role: str


@event
class InvitationRevoked:
    organization_id: UUID
    invitation_id: UUID
    email: str


@event
class MemberJoined:
    organization_id: UUID
    user_id: UUID
    role: str
    invited_by: UUID | None


@event
class MemberRoleChanged:
    organization_id: UUID
    user_id: UUID
    before: str
    after: str


@event
class MemberRemoved:
    organization_id: UUID
    user_id: UUID
    before: str


@event
class MemberLeft:
    organization_id: UUID
    user_id: UUID
    before: str


@event
class OwnershipTransferred:
    """`user_id` is an owner now; `former_owner` is an administrator."""

    organization_id: UUID
    user_id: UUID
    before: str
    former_owner: UUID
