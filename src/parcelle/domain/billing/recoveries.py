"""A bank took back what a subscription had been paid with: the same amount is asked for again, by an order.

Nothing of it is invoiced anew, since the invoice stands; the customer owes it again in the books. While it is not
paid the subscription is behind, and in the end suspended, by the plan's calendar. Money that is won back settles it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from parcelle.core import events
from parcelle.core.money import Money
from parcelle.domain.billing import calendars, ledger, order_states, orders, payment_states, renewals, revenue, states
from parcelle.domain.billing.errors import PaymentOpen
from parcelle.domain.billing.events import DebtAsked, DebtSettled
from parcelle.domain.billing.invoicing import drafts
from parcelle.domain.billing.invoicing.content import take_tax_out
from parcelle.domain.billing.models import Invoice, Order, Payment, Subscription
from parcelle.domain.billing.recovered import invoiced, paid_before, request_id
from parcelle.domain.billing.taxes import Decision


@transaction.atomic
def ask(payment_id: UUID, *, now: datetime) -> Order | None:
    """The order that makes up for a payment that was charged back; once for each dispute.

    None where nothing was had for it: surplus, what is over for good, or what was won back already. It is never taken
    by itself from a saved method: who contested one charge is not charged once more.
    """
    order = Order.objects.select_for_update(of=("self",)).get(payments=payment_id)
    payment = Payment.objects.get(pk=payment_id)
    paid = drafts.paying(order)
    if order.subscription_id is None or payment.state != payment_states.CHARGED_BACK or paid != payment:
        return None
    subscription = renewals.lock(order.subscription_id)
    key = request_id(payment)
    if subscription.state == states.ENDED or Order.objects.filter(request_id=key).exists():
        return None
    made = _place(payment, order, subscription, key=key, now=now)
    events.record(
        DebtAsked(
            organization_id=subscription.organization_id,
            subscription_id=subscription.pk,
            order_id=made.pk,
            grace_until=made.grace_until or now,
        ),
        now=now,
    )
    if renewals.pay_by_credit(made, now=now):
        renewals.fulfil(made.pk, now=now)
    return made


def _place(payment: Payment, order: Order, subscription: Subscription, *, key: UUID, now: datetime) -> Order:
    amount = Money(payment.charged_back_minor, order.currency)
    net, tax = take_tax_out(amount, Decision.read(order.tax).rate)
    grace_until = now + timedelta(days=calendars.of(subscription.plan).grace_charge_back)
    return Order.objects.create(
        number=orders.new_number(now),
        request_id=key,
        kind=Order.RECOVERY,
        plan=order.plan,
        price=order.price,
        buyer=order.buyer,
        email=order.email,
        language=order.language,
        currency=order.currency,
        subtotal_minor=net.minor,
        tax_minor=tax.minor,
        total_minor=amount.minor,
        tax=order.tax,
        user_id=order.user_id,
        organization=subscription.organization,
        subscription=subscription,
        created_at=now,
        period_start=order.period_start,
        period_end=order.period_end,
        due_at=now,
        grace_until=grace_until,
        next_step_at=now,
        expires_at=grace_until + timedelta(days=subscription.plan.retention_days),
    )


@transaction.atomic
def win(payment_id: UUID, *, now: datetime) -> bool:
    """The money is ours again: what was asked for instead is not any more, or is the customer's credit where they have
    paid it; false when nothing was asked for, or while an attempt at it may still bring money."""
    payment = Payment.objects.get(pk=payment_id)
    rows = Order.objects.select_for_update(of=("self",))
    order = rows.filter(request_id=request_id(payment)).first()
    if order is None or order.subscription_id is None or order.organization_id is None:
        return False
    if order.state != order_states.OPEN:
        return _keep_as_credit(payment, order, now=now)
    subscription = renewals.lock(order.subscription_id)
    try:
        orders.give_up(order, now=now)
    except PaymentOpen:
        # `dunning` looks at it again: what comes is credit, and when nothing does it is given up then.
        Order.objects.filter(pk=order.pk).update(next_step_at=now)
        return False
    was = subscription.state
    renewals.settle(subscription, now=now)
    revenue.note(subscription, now=now)
    events.record(
        DebtSettled(
            organization_id=order.organization_id,
            subscription_id=subscription.pk,
            order_id=order.pk,
            plan_id=subscription.plan_id,
            paid_until=subscription.period_end or now,
            resumed=was == states.SUSPENDED,
        ),
        now=now,
    )
    return True


def won(order: Order) -> Payment | None:
    """The payment that an order makes up for, when the bank has given it back to us meanwhile."""
    payment = paid_before(order)
    return payment if payment is not None and not payment.charged_back_minor else None


@transaction.atomic
def keep_surplus(order_id: UUID, *, now: datetime) -> bool:
    """What was paid again and came back as well is the customer's credit; once, and false where it did not."""
    order = Order.objects.select_for_update(of=("self",)).get(pk=order_id)
    payment = won(order)
    return payment is not None and _keep_as_credit(payment, order, now=now)


def _keep_as_credit(payment: Payment, order: Order, *, now: datetime) -> bool:
    key = f"won-twice:{order.pk}"
    if order.state not in renewals.PAID or ledger.is_booked(key):
        return False
    assert order.organization_id is not None
    ledger.keep_as_credit(
        organization_id=order.organization_id, amount=order.total, key=key, reference=payment.number, now=now
    )
    return True


@transaction.atomic
def note_on_invoice(order_id: UUID) -> None:
    """How much of an order's invoice is owed again, since a bank took it back and it was not paid anew; `order_id` may
    also be that of the order that makes up for it."""
    order = invoiced(Order.objects.get(pk=order_id))
    if order is None:
        return
    paid = drafts.paying(order)
    invoice = Invoice.objects.filter(key=f"order:{order.pk}").first()
    if invoice is None or paid is None:
        return
    again = Order.objects.filter(request_id=request_id(paid), state__in=renewals.PAID).first()
    balance = drafts.lock(invoice.pk)
    balance.taken_back_minor = max(paid.charged_back_minor - (again.total_minor if again else 0), 0)
    balance.save(update_fields=["taken_back_minor"])
