"""Giving money back: stored before the rail is asked, never more than came in, one posting per refund."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Q, Sum
from procrastinate.contrib.django import app as queue

from parcelle.core import events
from parcelle.core.logs import redact
from parcelle.core.money import Money
from parcelle.core.states import Transitions, move
from parcelle.domain.billing import charges, gateways, ledger, payment_states
from parcelle.domain.billing.desk_events import RefundRequested
from parcelle.domain.billing.errors import RefundRefused
from parcelle.domain.billing.events import PaymentRefunded, RefundCameBack
from parcelle.domain.billing.gateways.base import GatewayError, RefundOutcome, RefundRequest
from parcelle.domain.billing.models import Order, Payment, Refund

logger = structlog.get_logger(__name__)

TRANSITIONS: Transitions = {
    Refund.REQUESTED: frozenset({Refund.SUBMITTED, Refund.DONE}),
    Refund.SUBMITTED: frozenset({Refund.PENDING, Refund.UNKNOWN, Refund.DONE, Refund.FAILED}),
    Refund.PENDING: frozenset({Refund.DONE, Refund.FAILED}),
    Refund.UNKNOWN: frozenset({Refund.PENDING, Refund.DONE, Refund.FAILED}),
    # Some banks send money back days after they took it.
    Refund.DONE: frozenset({Refund.CAME_BACK}),
    Refund.FAILED: frozenset(),
    Refund.CAME_BACK: frozenset(),
}
LOOK_AFTER = timedelta(minutes=2)
LEAST_OFTEN = timedelta(hours=6)
_REFUNDABLE = (payment_states.PAID, payment_states.PAID_LATE, payment_states.PARTLY_REFUNDED)


@transaction.atomic
def request(
    payment_id: UUID, *, amount: Money, reason: str, actor: str, now: datetime, by_hand: bool = False
) -> Refund:
    """The intention. Its amount is taken at once, so that two at a time never give back more than came in.

    Raises RefundRefused. With `by_hand` the operator pays it out and the books follow at once.
    """
    payment = lock(payment_id)
    if payment.state not in _REFUNDABLE:
        raise RefundRefused("not_paid")
    if amount.currency != payment.currency or not 0 < amount.minor <= payment.returnable.minor:
        raise RefundRefused("too_much")
    Payment.objects.filter(pk=payment.pk).update(refunded_minor=payment.refunded_minor + amount.minor)
    refund = Refund.objects.create(
        payment=payment, amount_minor=amount.minor, reason=reason, actor=actor, by_hand=by_hand, created_at=now
    )
    events.record(
        RefundRequested(
            organization_id=Order.objects.values_list("organization_id", flat=True).get(pk=payment.order_id),
            payment_id=payment.pk,
            order_id=payment.order_id,
            refund_id=refund.pk,
            amount_minor=amount.minor,
            currency=amount.currency,
            by_hand=by_hand,
            reason=reason,
        ),
        now=now,
        actor=actor,
    )
    if by_hand:
        _done(refund, payment_id, now=now, provider_id="")
    else:
        move(refund, Refund.SUBMITTED, table=TRANSITIONS)
        queue.configure_task("billing.refund", queue="payments").defer(refund_id=str(refund.pk))
    return refund


def lock(payment_id: UUID) -> Payment:
    return Payment.objects.select_for_update().get(pk=payment_id)


def unsettled(now: datetime) -> Iterator[UUID]:
    """Refunds whose rail should be asked what became of them: those that were begun a while ago."""
    begun = Refund.objects.filter(state__in=(Refund.SUBMITTED, Refund.PENDING, Refund.UNKNOWN))
    due = Q(look_at__lte=now) | Q(look_at=None, created_at__lte=now - LOOK_AFTER)
    yield from begun.filter(due).values_list("pk", flat=True)


def done_of(order_id: UUID) -> list[UUID]:
    """What was given back of an order's payments, the oldest first; what came back after that is the customer's credit
    and was given back all the same."""
    done = Refund.objects.filter(payment__order_id=order_id, state__in=Refund.LEFT)
    return list(done.order_by("settled_at").values_list("pk", flat=True))


def on_their_way(payment_id: UUID) -> list[UUID]:
    """Refunds of a payment that the rail has taken, or may have taken, and that have not arrived."""
    begun = Refund.objects.filter(payment_id=payment_id, state__in=(Refund.PENDING, Refund.UNKNOWN))
    return list(begun.values_list("pk", flat=True))


def in_doubt(payment_id: UUID, returned: Money) -> list[UUID]:
    """Refunds of the rail that were done, when it says that less than that has been given back."""
    done = Refund.objects.filter(payment_id=payment_id, state=Refund.DONE, by_hand=False)
    whole = done.aggregate(sum=Sum("amount_minor"))["sum"] or 0
    # One made on the service's own pages has no name here to ask by.
    return list(done.exclude(provider_id="").values_list("pk", flat=True)) if whole > returned.minor else []


def by_hand(payment_id: UUID) -> int:
    """What of a payment was paid out by hand, in the smallest unit."""
    paid_out = Refund.objects.filter(payment_id=payment_id, by_hand=True, state=Refund.DONE)
    return paid_out.aggregate(sum=Sum("amount_minor"))["sum"] or 0


def carry_out(refund_id: UUID, *, now: datetime) -> None:
    """Hands the refund to the rail, or asks what became of it. No transaction may be open.

    Without an answer it is unknown, also when this call cannot have had an effect: an earlier one may have had it.
    """
    refund = Refund.objects.select_related("payment__order__plan__product").get(pk=refund_id)
    if refund.state in {Refund.FAILED, Refund.CAME_BACK}:
        return
    payment = refund.payment
    gateway = gateways.open_gateway(payment.gateway)
    asked = RefundRequest(
        key=refund.key,
        amount=Money(refund.amount_minor, payment.currency),
        reason=refund.reason,
        provider_id=refund.provider_id,
    )
    call = gateway.refund if refund.state == Refund.SUBMITTED else gateway.fetch_refund
    outcome: RefundOutcome | None
    try:
        outcome = call(charges.charge_of(payment), asked)
    except GatewayError as error:
        logger.warning("payment service", refund_id=str(refund.pk), gateway=payment.gateway, detail=error.detail)
        outcome = None
        Refund.objects.filter(pk=refund_id).exclude(state=Refund.DONE).update(remark=redact(error.detail)[:1000])
    record(refund_id, outcome, now=now)
    Refund.objects.filter(pk=refund_id).update(look_at=now + pause(refund, now))


def pause(refund: Refund, now: datetime) -> timedelta:
    """Until the rail is asked again. A bank takes days: the older a refund, the less often."""
    return min(max(LOOK_AFTER, now - refund.created_at), LEAST_OFTEN)


@transaction.atomic
def record(refund_id: UUID, outcome: RefundOutcome | None, *, now: datetime) -> None:
    """Writes down what the rail said; None when it said nothing. What is settled stays, unless the money came back."""
    payment_id = Refund.objects.values_list("payment_id", flat=True).get(pk=refund_id)
    payment = lock(payment_id)
    refund = Refund.objects.select_for_update().get(pk=refund_id)
    if refund.state in {Refund.FAILED, Refund.CAME_BACK}:
        return
    if refund.state == Refund.DONE:
        if outcome is not None and outcome.state == "failed":
            _came_back(refund, payment, outcome.remark, now=now)
        return
    if outcome is None:
        if refund.state == Refund.SUBMITTED:
            move(refund, Refund.UNKNOWN, table=TRANSITIONS)
    elif outcome.state == "done":
        _done(refund, payment_id, now=now, provider_id=outcome.provider_id)
    elif outcome.state == "failed":
        move(refund, Refund.FAILED, table=TRANSITIONS, remark=redact(outcome.remark)[:1000], settled_at=now)
        Payment.objects.filter(pk=payment_id).update(refunded_minor=payment.refunded_minor - refund.amount_minor)
        # It may have failed because somebody was faster, on the service's own pages or at the bank.
        queue.configure_task("billing.look", queue="payments").defer(payment_id=str(payment_id))
    elif refund.state != Refund.PENDING:
        move(refund, Refund.PENDING, table=TRANSITIONS, provider_id=outcome.provider_id)


def note_foreign(payment: Payment, *, amount_minor: int, now: datetime) -> None:
    """Money given back on the service's own pages; inside the transaction that holds the payment."""
    Payment.objects.filter(pk=payment.pk).update(refunded_minor=payment.refunded_minor + amount_minor)
    refund = Refund.objects.create(
        payment=payment,
        amount_minor=amount_minor,
        reason="given_back_by_the_service",
        actor=f"gateway:{payment.gateway}",
        created_at=now,
    )
    _done(refund, payment.pk, now=now, provider_id="")
    payment.refresh_from_db(fields=["state", "refunded_minor"])


def _came_back(refund: Refund, payment: Payment, remark: str, *, now: datetime) -> None:
    """The customer is still to have it, so it is theirs to use; the same money is not given back a second time here."""
    move(refund, Refund.CAME_BACK, table=TRANSITIONS, remark=redact(remark)[:1000])
    order = Order.objects.get(pk=payment.order_id)
    ledger.refund_came_back(refund, payment, order, now=now)
    events.record(
        RefundCameBack(
            organization_id=order.organization_id,
            payment_id=payment.pk,
            order_id=order.pk,
            refund_id=refund.pk,
            amount_minor=refund.amount_minor,
            currency=payment.currency,
        ),
        now=now,
        actor=f"gateway:{payment.gateway}",
    )


def _done(refund: Refund, payment_id: UUID, *, now: datetime, provider_id: str) -> None:
    move(
        refund, Refund.DONE, table=TRANSITIONS, settled_at=now, provider_id=provider_id or refund.provider_id, remark=""
    )
    payment = Payment.objects.select_related("order").get(pk=payment_id)
    given_back = sum(payment.refunds.filter(state__in=Refund.LEFT).values_list("amount_minor", flat=True))
    whole = given_back >= (payment.received or payment.amount).minor
    to = payment_states.REFUNDED if whole else payment_states.PARTLY_REFUNDED
    if payment.state != to:
        move(payment, to, table=payment_states.TRANSITIONS)
    ledger.refunded(refund, payment, payment.order, now=now)
    events.record(
        PaymentRefunded(
            organization_id=payment.order.organization_id,
            payment_id=payment.pk,
            order_id=payment.order_id,
            refund_id=refund.pk,
            amount_minor=refund.amount_minor,
            currency=payment.currency,
        ),
        now=now,
        actor=refund.actor,
    )
