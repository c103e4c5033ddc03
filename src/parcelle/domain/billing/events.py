"""Facts about subscriptions."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from parcelle.core.events import event


@event
class TrialStarted:
    organization_id: UUID
    subscription_id: UUID
    plan_id: UUID
    ends_at: datetime


@event
class TrialReminderDue:
    organization_id: UUID
    subscription_id: UUID
    days_before: int


@event
class TrialEnded:
    organization_id: UUID
    subscription_id: UUID
    keep_until: datetime


@event
class SubscriptionEnded:
    organization_id: UUID
    subscription_id: UUID
    reason: str


@event
class RetentionEnded:
    organization_id: UUID
    subscription_id: UUID


@event
class SubscriptionStarted:
    """Paid for, from now until `paid_until`."""

    organization_id: UUID
    subscription_id: UUID
    plan_id: UUID
    paid_until: datetime


@event
class OrderPlaced:
    organization_id: UUID | None
    order_id: UUID
    number: str


@event
class OrderPaid:
    organization_id: UUID | None
    order_id: UUID
    number: str


@event
class OrderFulfilled:
    """`instance_id` is what a first order brought; a renewal brings none."""

    organization_id: UUID
    instance_id: UUID | None
    order_id: UUID
    number: str


@event
class OrderLeftOpen:
    """Nobody has paid it for a while; said once."""

    organization_id: UUID | None
    order_id: UUID
    number: str


@event
class OrderLapsed:
    organization_id: UUID | None
    order_id: UUID
    number: str


@event
class PaymentReceived:
    """Money came in. `surplus`: the order was paid already or has lapsed, so it is the customer's credit."""

    organization_id: UUID | None
    payment_id: UUID
    order_id: UUID
    gateway: str
    amount_minor: int
    currency: str
    surplus: bool


@event
class PaymentDeclined:
    organization_id: UUID | None
    payment_id: UUID
    order_id: UUID
    gateway: str
    code: str


@event
class PaymentLeftDeclined:
    """It was declined a while ago, and nobody has tried again since; said once."""

    organization_id: UUID | None
    payment_id: UUID
    order_id: UUID


@event
class PaymentParked:
    """Money moved, but not as asked: a human must look."""

    organization_id: UUID | None
    payment_id: UUID
    order_id: UUID
    code: str


@event
class PaymentOutcomeUnknown:
    organization_id: UUID | None
    payment_id: UUID
    order_id: UUID


@event
class PaymentRefunded:
    organization_id: UUID | None
    payment_id: UUID
    order_id: UUID
    refund_id: UUID
    amount_minor: int
    currency: str


@event
class RefundCameBack:
    """The customer's bank sent back what was given back; it is their credit."""

    organization_id: UUID | None
    payment_id: UUID
    order_id: UUID
    refund_id: UUID
    amount_minor: int
    currency: str


@event
class InvoiceFinalised:
    """A document got its number. `kind` is invoice or credit_note."""

    organization_id: UUID
    invoice_id: UUID
    kind: str
    number: str


@event
class InvoiceWaiting:
    """A document could not get its number yet; `codes` say what is missing."""

    organization_id: UUID
    invoice_id: UUID
    codes: list[str]


@event
class PaymentDisputed:
    """The customer contests a payment with the service or their bank; nothing is decided yet."""

    organization_id: UUID | None
    payment_id: UUID
    order_id: UUID
    gateway: str


@event
class PaymentChargedBack:
    """Money that had come in was taken back against our will; `code` is dispute or reversal."""

    organization_id: UUID | None
    payment_id: UUID
    order_id: UUID
    gateway: str
    amount_minor: int
    currency: str
    code: str


@event
class ChargebackWon:
    """What had been charged back is ours again."""

    organization_id: UUID | None
    payment_id: UUID
    order_id: UUID
    gateway: str
    amount_minor: int
    currency: str


@event
class DebtAsked:
    """The order by which a payment that was taken back can be made up for was made."""

    organization_id: UUID
    subscription_id: UUID
    order_id: UUID
    grace_until: datetime


@event
class DebtSettled:
    """It was made up for, or won back. `resumed`: the subscription was suspended before."""

    organization_id: UUID
    subscription_id: UUID
    order_id: UUID
    plan_id: UUID
    paid_until: datetime
    resumed: bool


@event
class RenewalAsked:
    """The order of the next period was made; `due_at` is when the one before ends."""

    organization_id: UUID
    subscription_id: UUID
    order_id: UUID
    due_at: datetime


@event
class RenewalReminderDue:
    """`days` after the renewal was due, or before it when negative."""

    organization_id: UUID
    subscription_id: UUID
    order_id: UUID
    days: int


@event
class RenewalTooLate:
    """Money came for a renewal or change that was no longer possible, and is the customer's credit."""

    organization_id: UUID
    order_id: UUID
    number: str


@event
class SubscriptionRenewed:
    """A further period is paid. `resumed`: it was suspended before."""

    organization_id: UUID
    subscription_id: UUID
    order_id: UUID
    plan_id: UUID
    paid_until: datetime
    resumed: bool


@event
class SubscriptionChanged:
    """Another plan or interval, from now on."""

    organization_id: UUID
    subscription_id: UUID
    order_id: UUID
    plan_id: UUID
    paid_until: datetime
    resumed: bool


@event
class ChangeScheduled:
    """Another plan or interval, when the paid period ends."""

    organization_id: UUID
    subscription_id: UUID
    price_id: UUID
    effective_at: datetime


@event
class ChangeTakenBack:
    """What was asked for the end of the paid period is not to be after all."""

    organization_id: UUID
    subscription_id: UUID


@event
class SubscriptionPastDue:
    organization_id: UUID
    subscription_id: UUID
    order_id: UUID


@event
class SubscriptionReadOnly:
    """It is overdue, and can only be read until it is paid."""

    organization_id: UUID
    subscription_id: UUID
    order_id: UUID


@event
class SubscriptionSuspended:
    """`reason` is one of `states.REASONS`."""

    organization_id: UUID
    subscription_id: UUID
    reason: str


@event
class SubscriptionCancelled:
    """The customer leaves; what is paid goes on until `ends_at`."""

    organization_id: UUID
    subscription_id: UUID
    ends_at: datetime


@event
class CancellationTakenBack:
    organization_id: UUID
    subscription_id: UUID


@event
class SubscriptionResumed:
    """It goes on after a pause."""

    organization_id: UUID
    subscription_id: UUID


@event
class MethodSaved:
    """The customer agreed to have renewals taken from a way to pay."""

    organization_id: UUID
    method_id: UUID
    gateway: str


@event
class MethodRemoved:
    """They took it back, or saved another one."""

    organization_id: UUID
    method_id: UUID
    gateway: str


@event
class PriceChangeDue:
    """Who subscribed at one price pays another one from `effective_at` on, and is to be told."""

    organization_id: UUID
    subscription_id: UUID
    old_price_id: UUID
    price_id: UUID
    effective_at: datetime


@event
class PriceStays:
    """Another price had been announced to this customer, and was taken back."""

    organization_id: UUID
    subscription_id: UUID
    price_id: UUID
