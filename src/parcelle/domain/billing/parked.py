"""Payments for which money moved otherwise than asked: another amount, another currency. Only a human lets them go on.

Either what came in counts, for the order or as the customer's credit, or it goes back.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from procrastinate.contrib.django import app as queue

from parcelle.core import events
from parcelle.core.money import Money
from parcelle.core.states import move
from parcelle.domain.billing import ledger, order_states, orders, payment_states, refunds
from parcelle.domain.billing.desk_events import ParkedPaymentAccepted, ParkedPaymentReturned
from parcelle.domain.billing.errors import ParkedRefused
from parcelle.domain.billing.events import PaymentReceived
from parcelle.domain.billing.ledger import accounts
from parcelle.domain.billing.models import LedgerTransaction, Order, Payment

_ONWARDS = {payment_states.PARKED: frozenset({payment_states.PAID, payment_states.REFUNDED})}


@transaction.atomic
def accept(payment_id: UUID, *, for_order: bool, reason: str, actor: str, now: datetime) -> None:
    """What came in is the customer's: the order is paid with it, or it is their credit.

    An order that is paid or has lapsed by now takes nothing: then it is credit all the same. Raises IllegalTransition
    and ParkedRefused.
    """
    payment, order = _locked(payment_id)
    received = payment.held
    if not received:
        raise ParkedRefused("nothing_held")
    if for_order and received.currency != order.currency:
        raise ParkedRefused("other_currency")
    surplus = not for_order or order.state != order_states.OPEN
    _leave(payment, payment_states.PAID, "accepted", f"{actor}: {reason}", received)
    ledger.parked_accepted(payment, order, received=received, surplus=surplus, now=now)
    about: dict[str, Any] = {
        "organization_id": order.organization_id,
        "payment_id": payment.pk,
        "order_id": order.pk,
        "amount_minor": received.minor,
        "currency": received.currency,
        "surplus": surplus,
    }
    events.record(ParkedPaymentAccepted(**about, reason=reason), now=now, actor=actor)
    events.record(PaymentReceived(**about, gateway=payment.gateway), now=now, actor=actor)
    if not surplus:
        orders.mark_paid(order, now=now)


@transaction.atomic
def give_back(payment_id: UUID, *, by_hand: bool, reason: str, actor: str, now: datetime) -> None:
    """What came in goes back to where it came from: by the payment service, or it was paid out by hand.

    It is the customer's credit until it has gone. Raises IllegalTransition and ParkedRefused: another currency than
    the payment's is given back by hand alone.
    """
    payment, order = _locked(payment_id)
    received = payment.held
    if not received:
        _leave(payment, payment_states.REFUNDED, "returned", f"{actor}: {reason}", received)
    elif received.currency == payment.currency:
        _leave(payment, payment_states.PAID, "returned", f"{actor}: {reason}", received)
        ledger.parked_accepted(payment, order, received=received, surplus=True, now=now)
        refunds.request(payment.pk, amount=received, reason=reason, actor=actor, now=now, by_hand=by_hand)
    elif by_hand:
        _leave(payment, payment_states.REFUNDED, "returned", f"{actor}: {reason}", received)
        ledger.parked_accepted(payment, order, received=received, surplus=True, now=now)
        _paid_out(payment, order, received, now=now)
    else:
        raise ParkedRefused("other_currency")
    events.record(
        ParkedPaymentReturned(
            organization_id=order.organization_id,
            payment_id=payment.pk,
            order_id=order.pk,
            amount_minor=received.minor if received else 0,
            currency=received.currency if received else payment.currency,
            by_hand=by_hand,
            reason=reason,
        ),
        now=now,
        actor=actor,
    )


def _locked(payment_id: UUID) -> tuple[Payment, Order]:
    # The order first, always: whoever locks both locks them in this order.
    order_id = Payment.objects.values_list("order_id", flat=True).get(pk=payment_id)
    order = Order.objects.select_for_update().get(pk=order_id)
    return Payment.objects.select_for_update().get(pk=payment_id), order


def _leave(payment: Payment, to: str, code: str, remark: str, counts: Money | None) -> None:
    """From here on, what was left when a human looked is what came in."""
    changes: dict[str, Any] = {"received_minor": counts.minor, "charged_back_minor": 0} if counts is not None else {}
    move(payment, to, table=_ONWARDS, reason=code, remark=remark[:1000], **changes)
    # Nobody followed what became of the money while it was parked: it may have been contested, or given back.
    queue.configure_task("billing.look", queue="payments").defer(payment_id=str(payment.pk))


def _paid_out(payment: Payment, order: Order, amount: Money, *, now: datetime) -> None:
    """Credit in a currency that the payment itself does not count in."""
    ledger.post(
        key=f"refund:{payment.pk}",
        kind=LedgerTransaction.REFUND,
        journal=LedgerTransaction.BANK,
        reference=payment.number,
        subject_id=payment.pk,
        lines=[
            ledger.Line(account=accounts.CREDIT, amount=amount, party=ledger.Party.of(order)),
            ledger.Line(account=accounts.BANK, amount=-amount),
        ],
        now=now,
    )
