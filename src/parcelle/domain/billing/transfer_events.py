"""Facts about bank transfers: who noted what and when, and how it stood before and afterwards."""

from __future__ import annotations

from uuid import UUID

from parcelle.core.events import event


@event
class TransferAsked:
    """A customer chose to pay by transfer and was told where to."""

    organization_id: UUID | None
    order_id: UUID
    payment_id: UUID


@event
class TransferReceiptUploaded:
    organization_id: UUID | None
    order_id: UUID
    payment_id: UUID
    receipt_id: UUID
    sha256: str
    address: str
    # The transfer that has the same file, where there is one.
    same_as: UUID | None


@event
class TransferReceiptRejected:
    organization_id: UUID | None
    order_id: UUID
    payment_id: UUID
    reason: str
    before: str
    after: str


@event
class TransferConfirmed:
    """One person says that money has arrived; `after` tells whether that was enough, in money and in people."""

    organization_id: UUID | None
    order_id: UUID
    payment_id: UUID
    confirmation_id: UUID
    amount_minor: int
    currency: str
    value_date: str
    bank_reference: str
    before: str
    after: str
    received_before_minor: int
    received_after_minor: int


@event
class TransferApproved:
    """A second person agreed."""

    organization_id: UUID | None
    order_id: UUID
    payment_id: UUID
    confirmation_id: UUID
    before: str
    after: str
    received_before_minor: int
    received_after_minor: int


@event
class TransferTurnedDown:
    """A second person did not agree: what the first one noted counts for nothing."""

    organization_id: UUID | None
    order_id: UUID
    payment_id: UUID
    confirmation_id: UUID
    reason: str
    before: str
    after: str


@event
class TransferShortfallAccepted:
    """The banks kept something of it, and the vendor bears that."""

    organization_id: UUID | None
    order_id: UUID
    payment_id: UUID
    amount_minor: int
    currency: str
    before: str
    after: str


@event
class TransferSurplus:
    """Money came in by transfer that pays for nothing: it is the customer's credit."""

    organization_id: UUID | None
    order_id: UUID
    payment_id: UUID
    confirmation_id: UUID
    amount_minor: int
    currency: str


@event
class TransferGivenUp:
    organization_id: UUID | None
    order_id: UUID
    payment_id: UUID
    reason: str
    before: str


@event
class TransferRecalled:
    """The bank took back what had been confirmed."""

    organization_id: UUID | None
    order_id: UUID
    payment_id: UUID
    reason: str
    before: str
    amount_minor: int
    currency: str


@event
class TransferLapsed:
    """Nobody expects it any more. `reason`: over (its time has passed) or withdrawn (the customer pays otherwise)."""

    organization_id: UUID | None
    order_id: UUID
    payment_id: UUID
    reason: str


@event
class TransferPaidBack:
    organization_id: UUID | None
    order_id: UUID
    payment_id: UUID
    refund_id: UUID
    paid_on: str
    bank_reference: str


@event
class StatementImported:
    statement_id: UUID
    name: str
    sha256: str
    lines_new: int
    lines_known: int
    lines_left_out: int


@event
class StatementLineIgnored:
    line_id: UUID
    reason: str
