"""What people at the vendor's decided about money; `reason` is what they wrote down for it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from parcelle.core.events import event


@event
class PaymentAbandoned:
    """Somebody made sure that an attempt of unknown outcome was not paid: another one may begin."""

    organization_id: UUID | None
    payment_id: UUID
    order_id: UUID
    reason: str


@event
class ParkedPaymentAccepted:
    """What came in otherwise than asked counts: for its order, or as `surplus` for the customer to use."""

    organization_id: UUID | None
    payment_id: UUID
    order_id: UUID
    amount_minor: int
    currency: str
    surplus: bool
    reason: str


@event
class ParkedPaymentReturned:
    """What came in otherwise than asked goes back; without an amount the service had taken it back before."""

    organization_id: UUID | None
    payment_id: UUID
    order_id: UUID
    amount_minor: int
    currency: str
    by_hand: bool
    reason: str


@event
class RefundRequested:
    organization_id: UUID | None
    payment_id: UUID
    order_id: UUID
    refund_id: UUID
    amount_minor: int
    currency: str
    by_hand: bool
    reason: str


@event
class GatewayMessageRetried:
    """A payment service's message is dealt with once more."""

    gateway: str
    message_id: int
    kind: str


@event
class CreditPaidOut:
    """An operator paid a customer's credit out from the bank account."""

    organization_id: UUID
    amount_minor: int
    currency: str
    reference: str


@event
class PriceChangeAnnounced:
    old_price_id: UUID
    price_id: UUID
    effective_at: datetime


@event
class PriceChangeTakenBack:
    old_price_id: UUID
    price_id: UUID
