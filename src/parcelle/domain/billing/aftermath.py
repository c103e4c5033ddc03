"""What can still happen to money that came in: given back on the service's own pages, contested, taken back, won back.

Each inside the transaction of `payments.record`, with order and payment locked; each leaves a fact that is posted.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from parcelle.core import events
from parcelle.core.money import Money
from parcelle.core.states import move
from parcelle.domain.billing import ledger, payment_states, refunds
from parcelle.domain.billing.events import ChargebackWon, PaymentChargedBack, PaymentDisputed
from parcelle.domain.billing.gateways.base import ChargedBack, DisputeFee, Paid
from parcelle.domain.billing.models import Order, Payment

_OURS = (payment_states.PAID, payment_states.PAID_LATE, payment_states.PARTLY_REFUNDED)
_TAKEN_BACK = (payment_states.CHARGED_BACK, payment_states.PARKED, payment_states.REFUNDED)


def follow(payment: Payment, order: Order, paid: Paid, *, now: datetime) -> None:
    """What the service says happened to money since it came in."""
    if paid.won and payment.charged_back_minor and payment.state in _TAKEN_BACK:
        _win(payment, order, now=now)
    if payment.state not in _OURS:
        return
    if paid.disputed and not payment.disputed:
        events.record(
            PaymentDisputed(
                organization_id=order.organization_id,
                payment_id=payment.pk,
                order_id=order.pk,
                gateway=payment.gateway,
            ),
            now=now,
        )
    if paid.disputed != payment.disputed:
        payment.disputed = paid.disputed
        payment.save(update_fields=["disputed"])
    if paid.returned is not None and paid.returned.currency == payment.currency:
        # What we asked for ourselves is reserved in `refunded_minor` before the service hears of it. What was paid out
        # by hand the service never hears of.
        beyond = paid.returned.minor - (payment.refunded_minor - refunds.by_hand(payment.pk))
        if (beyond := min(beyond, payment.returnable.minor)) > 0:
            refunds.note_foreign(payment, amount_minor=beyond, now=now)


def note_fee(payment: Payment, fee: DisputeFee | None, *, now: datetime) -> None:
    """What a dispute costs by now, booked as it changes; of one in another currency the payout tells."""
    if fee is None or fee.amount.currency != payment.currency or payment.state in payment_states.UNSETTLED:
        return
    change = ledger.dispute_fee_kept(payment, fee.amount, dispute=fee.dispute, now=now)
    if change:
        payment.dispute_fee_minor += change.minor
        payment.save(update_fields=["dispute_fee_minor"])


def charge_back(payment: Payment, order: Order, outcome: ChargedBack, *, now: datetime) -> None:
    """Once; what was never counted as ours, or was given back in full, cannot be taken back.

    What we paid out by hand can: the service knows nothing of that, and the customer has it twice.
    """
    changes: dict[str, Any] = {
        "charged_back_minor": outcome.amount.minor,
        "dispute": outcome.dispute,
        "disputed": False,
    }
    if payment.state in _OURS:
        changes["reason"] = outcome.code
        move(payment, payment_states.CHARGED_BACK, table=payment_states.TRANSITIONS, **changes)
    elif payment.state == payment_states.REFUNDED and not payment.charged_back_minor and refunds.by_hand(payment.pk):
        Payment.objects.filter(pk=payment.pk).update(**changes)
        payment.refresh_from_db()
    else:
        return
    ledger.charged_back(payment, order, amount=outcome.amount, dispute=outcome.dispute, now=now)
    events.record(
        PaymentChargedBack(
            organization_id=order.organization_id,
            payment_id=payment.pk,
            order_id=order.pk,
            gateway=payment.gateway,
            amount_minor=outcome.amount.minor,
            currency=outcome.amount.currency,
            code=outcome.code,
        ),
        now=now,
    )


def _win(payment: Payment, order: Order, *, now: datetime) -> None:
    amount = Money(payment.charged_back_minor, (payment.received or payment.amount).currency)
    if payment.state == payment_states.CHARGED_BACK:
        move(payment, payment_states.PAID, table=payment_states.TRANSITIONS, reason="", charged_back_minor=0)
    else:
        payment.charged_back_minor = 0
        payment.save(update_fields=["charged_back_minor"])
    ledger.chargeback_won(payment, order, amount=amount, dispute=payment.dispute, now=now)
    events.record(
        ChargebackWon(
            organization_id=order.organization_id,
            payment_id=payment.pk,
            order_id=order.pk,
            gateway=payment.gateway,
            amount_minor=amount.minor,
            currency=amount.currency,
        ),
        now=now,
    )
