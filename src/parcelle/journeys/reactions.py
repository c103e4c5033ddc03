"""The one table: fact -> functions that care. Each is called on its own and is safe to run twice."""

from __future__ import annotations

from parcelle.core.events import Reaction, react
from parcelle.domain.billing.events import (
    ChangeScheduled,
    InvoiceFinalised,
    InvoiceWaiting,
    MethodRemoved,
    OrderFulfilled,
    OrderLeftOpen,
    OrderPaid,
    PaymentDeclined,
    PaymentRefunded,
    PriceChangeDue,
    RenewalReminderDue,
    RenewalTooLate,
    RetentionEnded,
    SubscriptionCancelled,
    SubscriptionChanged,
    SubscriptionRenewed,
    SubscriptionResumed,
    SubscriptionStarted,
    SubscriptionSuspended,
    TrialEnded,
    TrialReminderDue,
)
from parcelle.domain.provisioning.events import (
    DomainBroken,
    DomainLive,
    DomainRemoved,
    InstanceArchived,
    InstanceCreationFailed,
    InstanceReady,
    StandbyBroken,
    StandbyClaimed,
    TemplateReady,
)
from parcelle.journeys import (
    activation,
    alarms,
    automatic_payment,
    cancellation,
    change_plan,
    checkout,
    custom_domains,
    delivery,
    dunning,
    entitlement,
    instance_control,
    invoices,
    open_orders,
    order_mails,
    renewal,
    standby_pool,
    trial_end,
)

TABLE: dict[type, tuple[Reaction, ...]] = {
    InstanceReady: (activation.welcome,),
    InstanceCreationFailed: (activation.apologise, delivery.tell),
    InstanceArchived: (instance_control.end_subscription,),
    StandbyClaimed: (standby_pool.refill,),
    StandbyBroken: (standby_pool.refill,),
    TemplateReady: (standby_pool.refill_all,),
    DomainLive: (custom_domains.tell_live,),
    DomainBroken: (custom_domains.tell_broken,),
    DomainRemoved: (custom_domains.tell_released,),
    TrialReminderDue: (trial_end.remind,),
    TrialEnded: (trial_end.suspend,),
    RetentionEnded: (trial_end.archive,),
    OrderLeftOpen: (open_orders.remind,),
    OrderPaid: (checkout.fulfil, renewal.fulfil, order_mails.confirm),
    RenewalReminderDue: (dunning.remind,),
    RenewalTooLate: (renewal.tell_too_late,),
    SubscriptionRenewed: (entitlement.follow, renewal.tell_renewed),
    SubscriptionChanged: (change_plan.tell_changed,),
    ChangeScheduled: (change_plan.tell_scheduled,),
    PriceChangeDue: (change_plan.tell_price,),
    SubscriptionSuspended: (entitlement.follow, dunning.tell_suspended),
    SubscriptionCancelled: (cancellation.tell_cancelled,),
    SubscriptionResumed: (entitlement.follow,),
    OrderFulfilled: (invoices.invoice_order, automatic_payment.adopt),
    PaymentDeclined: (automatic_payment.tell_declined, alarms.payment_setup),
    MethodRemoved: (automatic_payment.forget,),
    PaymentRefunded: (invoices.credit_refund,),
    InvoiceFinalised: (invoices.send, invoices.hand_over),
    InvoiceWaiting: (invoices.ask_for_details,),
    SubscriptionStarted: (checkout.resume_kept,),
}


def register() -> None:
    for fact, functions in TABLE.items():
        react(fact, *functions)
