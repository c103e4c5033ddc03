"""Facts about instances and templates."""

from __future__ import annotations

from uuid import UUID

from parcelle.core.events import event


@event
class InstanceRequested:
    instance_id: UUID
    organization_id: UUID | None
    operation_id: UUID
    slug: str


@event
class StandbyClaimed:
    instance_id: UUID
    organization_id: UUID | None
    operation_id: UUID
    product_id: UUID


@event
class StandbyReady:
    instance_id: UUID
    operation_id: UUID
    product_id: UUID


@event
class StandbyBroken:
    instance_id: UUID
    product_id: UUID


@event
class InstanceReady:
    instance_id: UUID
    organization_id: UUID | None
    operation_id: UUID
    seconds: float
    from_standby: bool


@event
class InstanceCreationFailed:
    instance_id: UUID
    organization_id: UUID | None
    operation_id: UUID
    code: str
    detail: str


@event
class InstanceSuspended:
    instance_id: UUID
    organization_id: UUID | None
    operation_id: UUID
    reason: str


@event
class InstanceReadOnly:
    """The application refuses changes now, or takes them again."""

    instance_id: UUID
    organization_id: UUID | None
    operation_id: UUID
    read_only: bool


@event
class InstanceResumed:
    instance_id: UUID
    organization_id: UUID | None
    operation_id: UUID


@event
class InstanceArchived:
    instance_id: UUID
    organization_id: UUID | None
    operation_id: UUID
    reason: str


@event
class OperationFailed:
    instance_id: UUID | None
    organization_id: UUID | None
    operation_id: UUID
    kind: str
    code: str
    detail: str


@event
class TemplateReady:
    operation_id: UUID
    template_id: UUID
    blueprint: str
    version: str


@event
class TemplateBuildFailed:
    operation_id: UUID
    template_id: UUID
    blueprint: str
    code: str
    detail: str


@event
class DriftFound:
    finding_id: UUID
    instance_id: UUID | None
    organization_id: UUID | None
    target: str
    kind: str
    name: str


@event
class DriftGone:
    finding_id: UUID
    instance_id: UUID | None
    organization_id: UUID | None
    target: str
    kind: str
    name: str


@event
class InstanceRepaired:
    instance_id: UUID
    organization_id: UUID | None
    operation_id: UUID
    kind: str


@event
class InstanceAsleep:
    instance_id: UUID
    organization_id: UUID | None
    operation_id: UUID


@event
class InstanceWoken:
    instance_id: UUID
    organization_id: UUID | None
    operation_id: UUID
    seconds: float


@event
class MaintenanceBegan:
    instance_id: UUID
    organization_id: UUID | None


@event
class MaintenanceEnded:
    instance_id: UUID
    organization_id: UUID | None


@event
class DomainAdded:
    domain_id: UUID
    instance_id: UUID
    organization_id: UUID
    host: str


@event
class DomainLive:
    domain_id: UUID
    instance_id: UUID
    organization_id: UUID
    host: str


@event
class DomainBroken:
    domain_id: UUID
    instance_id: UUID
    organization_id: UUID
    host: str
    problem: str


@event
class DomainRemoved:
    domain_id: UUID
    instance_id: UUID
    organization_id: UUID
    host: str
    # customer, broken or archived
    reason: str
