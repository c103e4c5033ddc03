"""Payments: one attempt on one rail, from the intention to the money, or to the reason why not.

Three beats: `begin` stores everything that will be sent, `carry_out` and `look` talk to the payment service with
no transaction open, `record` writes down what it said. Whatever is repeated, reordered or late, the state only
moves forward.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import structlog
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q

from parcelle.core import events
from parcelle.core.compiled import Compiled, Given
from parcelle.core.context import Platform, as_platform
from parcelle.core.logs import redact
from parcelle.core.money import Money
from parcelle.core.rows import insert
from parcelle.core.states import move
from parcelle.domain.billing import (
    aftermath,
    charges,
    gateways,
    ledger,
    order_states,
    orders,
    payment_states,
    saved_methods,
)
from parcelle.domain.billing.desk_events import PaymentAbandoned
from parcelle.domain.billing.errors import GatewayUnusable, OrderClosed, PaymentOpen
from parcelle.domain.billing.events import (
    PaymentDeclined,
    PaymentLeftDeclined,
    PaymentOutcomeUnknown,
    PaymentParked,
    PaymentReceived,
)
from parcelle.domain.billing.gateways.base import (
    Cancels,
    ChargedBack,
    Declined,
    Expired,
    Gateway,
    GatewayError,
    Instructions,
    Outcome,
    Paid,
    Pending,
)
from parcelle.domain.billing.models import Order, Payment
from parcelle.domain.billing.transfer_events import TransferAsked

logger = structlog.get_logger(__name__)

# Who saw on the page that it was declined tries again before that; who had left it, or gave up, is written to.
TELL_AFTER = timedelta(minutes=10)
# What nobody was told for so long is no news any more.
TELL_WITHIN = timedelta(days=1)

charge_of = charges.charge_of


def begin(
    order_id: UUID, *, gateway: str, details: Mapping[str, str], now: datetime, key: UUID | None = None
) -> Payment:
    """The intention: a stored attempt that may now be carried out; the same `key` again is the same attempt.

    Raises OrderClosed, PaymentOpen while an earlier attempt may still succeed, GatewayUnusable.
    """
    opened = gateways.open_offered().get(gateway)
    try:
        with transaction.atomic():
            (order,) = _order_locked(id=order_id)
            if (earlier := order.payments.filter(key=key).first() if key else None) is not None:
                return earlier
            if order.state != order_states.OPEN or order.expires_at <= now:
                raise OrderClosed
            if opened is None or not opened.accepts(order.due, order.buyer["country"]):
                raise GatewayUnusable(gateway)
            payment = Payment(
                number=_number(now),
                order=order,
                gateway=gateway,
                state=payment_states.SUBMITTED,
                amount_minor=order.due.minor,
                currency=order.currency,
                key=key or uuid4(),
                details=dict(details),
                created_at=now,
                submitted_at=now,
                look_at=now + timedelta(seconds=opened.abilities.looks[0]),
            )
            insert(payment)
            return payment
    except IntegrityError as error:
        if "one_open_payment_per_order" not in str(error):
            raise
        raise PaymentOpen from error


_order_locked = Compiled(lambda: Order.objects.select_for_update().filter(pk=Given("id")))


def _number(now: datetime) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('billing_payment_number')")
        row = cursor.fetchone()
    assert row is not None
    return f"PAR{now:%Y}{row[0]:06d}"


def carry_out(payment_id: UUID, *, now: datetime) -> Outcome | None:
    """Hands the attempt to the payment service; None when its answer is not known yet. No transaction may be open."""
    (payment,) = _with_order(id=payment_id)
    return _ask(payment, gateways.open_gateway(payment.gateway).start, now=now, first=True)


_with_order = Compiled(lambda: Payment.objects.select_related("order__plan__product").filter(pk=Given("id")))


@as_platform(Platform.CHECKOUT)
def look(payment_id: UUID, *, now: datetime) -> Outcome | None:
    """Asks the payment service for its truth about an attempt, whatever anybody said before."""
    payment = Payment.objects.select_related("order__plan__product").get(pk=payment_id)
    gateway = gateways.open_gateway(payment.gateway)
    outcome = _ask(payment, gateway.fetch, now=now, first=False)
    _look_again(payment, gateway, now=now)
    return outcome


def can_be_cancelled(payment: Payment) -> bool:
    """Whether the customer may change their mind: the service waits for them, and can be told not to."""
    return payment.state == payment_states.PENDING and isinstance(gateways.open_gateway(payment.gateway), Cancels)


def cancel(payment_id: UUID, *, now: datetime) -> Outcome | None:
    """The customer wants to pay another way: the service makes sure that this attempt is not paid any more.

    What it answers counts, also that it was paid already; without an answer nothing changes.
    """
    payment = Payment.objects.select_related("order__plan__product").get(pk=payment_id)
    gateway = gateways.open_gateway(payment.gateway)
    if payment.state != payment_states.PENDING or not isinstance(gateway, Cancels):
        return None
    return _ask(payment, gateway.cancel, now=now, first=False)


def _ask(payment: Payment, call: Any, *, now: datetime, first: bool) -> Outcome | None:
    try:
        outcome: Outcome = call(charge_of(payment))
    except GatewayError as error:
        logger.warning("payment service", payment_id=str(payment.pk), gateway=payment.gateway, detail=error.detail)
        # That a question did not arrive says nothing about what was sent before it.
        _record_error(payment, error, unknown=error.unknown or not first, now=now)
        return None
    record(payment.pk, outcome, now=now)
    return outcome


@transaction.atomic
def record(payment_id: UUID, outcome: Outcome, *, now: datetime) -> None:
    """Writes down what the payment service said; what was known before and is stronger stays."""
    # The order first, always: whoever locks both locks them in this order.
    (order,) = _order_of_payment_locked(payment=payment_id)
    (payment,) = _locked(id=payment_id)
    _remember(payment, outcome)
    if isinstance(outcome, Paid):
        _receive(payment, order, outcome, now=now)
        aftermath.follow(payment, order, outcome, now=now)
        aftermath.note_fee(payment, outcome.dispute_fee, now=now)
        if outcome.kept is not None and payment.state in _KEPT:
            # Some services keep a way to pay only a while after the money came.
            saved_methods.keep(payment, order, outcome.kept, now=now)
    elif isinstance(outcome, ChargedBack):
        _take_back(payment, order, outcome, now=now)
        aftermath.note_fee(payment, outcome.dispute_fee, now=now)
    elif payment.state not in payment_states.UNSETTLED:
        return
    elif isinstance(outcome, Declined):
        _decline(payment, order, outcome.code, outcome.remark, now=now)
    elif isinstance(outcome, Expired):
        _move(
            payment,
            payment_states.EXPIRED if payment.state != payment_states.SUBMITTED else payment_states.DECLINED,
            settled_at=now,
            reason="expired",
        )
    else:
        _wait(payment, order, outcome, now=now)


_KEPT = (payment_states.PAID, payment_states.PAID_LATE, payment_states.PARTLY_REFUNDED)
_order_of_payment_locked = Compiled(
    lambda: Order.objects.select_for_update(of=("self",)).filter(payments=Given("payment"))
)
_locked = Compiled(lambda: Payment.objects.select_for_update().filter(pk=Given("id")))


def _wait(payment: Payment, order: Order, outcome: Outcome, *, now: datetime) -> None:
    if payment.state != payment_states.PENDING:
        _move(payment, payment_states.PENDING)
        if isinstance(outcome, Instructions):
            events.record(
                TransferAsked(organization_id=order.organization_id, payment_id=payment.pk, order_id=order.pk), now=now
            )
    remark = outcome.remark if isinstance(outcome, Pending) else ""
    if remark and remark != payment.remark:
        payment.remark = redact(remark)[:1000]
        payment.save(update_fields=["remark"])


def _take_back(payment: Payment, order: Order, outcome: ChargedBack, *, now: datetime) -> None:
    """Money that came and went before anybody looked gives nothing: a human must decide."""
    if payment.state in payment_states.UNSETTLED:
        received = outcome.received or outcome.amount
        _move(
            payment,
            payment_states.PARKED,
            reason="charged_back",
            settled_at=now,
            received_minor=received.minor,
            received_currency=received.currency,
            charged_back_minor=outcome.amount.minor,
            dispute=outcome.dispute,
        )
        ledger.payment_parked(payment, received=received, now=now)
        ledger.charged_back(payment, order, amount=outcome.amount, dispute=outcome.dispute, now=now)
        _park(payment, "charged_back", now=now)
    else:
        aftermath.charge_back(payment, order, outcome, now=now)


def _move(payment: Payment, to: str, **changes: Any) -> None:
    move(payment, to, table=payment_states.TRANSITIONS, **changes)


def _remember(payment: Payment, outcome: Outcome) -> None:
    if outcome.provider_id or outcome.memo:
        payment.provider_id = outcome.provider_id or payment.provider_id
        payment.memo = {**payment.memo, **outcome.memo}
        payment.save(update_fields=["provider_id", "memo"])


def _receive(payment: Payment, order: Order, paid: Paid, *, now: datetime) -> None:
    if payment.state not in {*payment_states.UNSETTLED, *_GIVEN_UP}:
        return
    received = {"received_minor": paid.received.minor, "received_currency": paid.received.currency, "settled_at": now}
    if paid.received != payment.amount or paid.doubt:
        doubt = paid.doubt or "amount_differs"
        # A lapsed attempt has no way to `parked` of its own: what came in late and wrong is credit for a human as well.
        to = payment_states.PARKED if payment.state in payment_states.UNSETTLED else payment_states.PAID_LATE
        _move(payment, to, reason=doubt, **received)
        if to == payment_states.PARKED:
            ledger.payment_parked(payment, received=paid.received, now=now, value_date=paid.value_date)
        else:
            ledger.payment_received(
                payment, order, received=paid.received, surplus=True, now=now, value_date=paid.value_date
            )
        _park(payment, doubt, now=now)
        return
    fee = paid.fee.minor if paid.fee is not None and paid.fee.currency == payment.currency else None
    late = payment.state in _GIVEN_UP
    _move(payment, payment_states.PAID_LATE if late else payment_states.PAID, fee_minor=fee, reason="", **received)
    surplus = order.state != order_states.OPEN
    ledger.payment_received(
        payment, order, received=paid.received, surplus=surplus, now=now, value_date=paid.value_date
    )
    if fee:
        ledger.fee_kept(payment, Money(fee, payment.currency), now=now)
    events.record(
        PaymentReceived(
            organization_id=order.organization_id,
            payment_id=payment.pk,
            order_id=order.pk,
            gateway=payment.gateway,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            surplus=surplus,
        ),
        now=now,
    )
    if not surplus:
        orders.mark_paid(order, now=now)


_GIVEN_UP = (payment_states.DECLINED, payment_states.EXPIRED, payment_states.ABANDONED)


def _park(payment: Payment, code: str, *, now: datetime) -> None:
    events.record(
        PaymentParked(
            organization_id=payment.order.organization_id, payment_id=payment.pk, order_id=payment.order_id, code=code
        ),
        now=now,
    )


def _decline(payment: Payment, order: Order, code: str, remark: str, *, now: datetime) -> None:
    _move(payment, payment_states.DECLINED, reason=code, remark=redact(remark)[:1000], settled_at=now)
    events.record(
        PaymentDeclined(
            organization_id=order.organization_id,
            payment_id=payment.pk,
            order_id=order.pk,
            gateway=payment.gateway,
            code=code,
        ),
        now=now,
    )


@transaction.atomic
def _record_error(payment: Payment, error: GatewayError, *, unknown: bool, now: datetime) -> None:
    """A call without an answer: what may have had an effect is unknown, what cannot have had one was declined."""
    # The order first, as in `record`: two who wait for each other would both lose.
    order = Order.objects.select_for_update().get(pk=payment.order_id)
    locked = Payment.objects.select_for_update().get(pk=payment.pk)
    if locked.state in payment_states.UNSETTLED:
        _remember(locked, Outcome(memo=error.memo))
    if locked.state != payment_states.SUBMITTED:
        return
    if not unknown:
        _decline(locked, order, "service_down", error.detail, now=now)
        return
    _move(locked, payment_states.UNKNOWN, remark=redact(error.detail)[:1000])
    events.record(
        PaymentOutcomeUnknown(organization_id=order.organization_id, payment_id=locked.pk, order_id=order.pk),
        now=now,
    )


def _look_again(payment: Payment, gateway: Gateway, *, now: datetime) -> None:
    """When the service is asked next. After its time an attempt is unknown, never failed: that takes a human."""
    looks = gateway.abilities.looks
    pause = looks[min(payment.looks + 1, len(looks) - 1)]
    given_up = (now - payment.created_at).total_seconds() > gateway.abilities.gives_up_after
    Payment.objects.filter(pk=payment.pk).update(
        looks=payment.looks + 1, look_at=None if given_up else now + timedelta(seconds=pause)
    )
    if given_up:
        silent = GatewayError("the payment service told no outcome in the time it has", unknown=True)
        with transaction.atomic():
            locked = Payment.objects.select_for_update().get(pk=payment.pk)
            if locked.state == payment_states.PENDING:
                _move(locked, payment_states.UNKNOWN, remark=silent.detail)


def to_look_at(now: datetime) -> Iterator[UUID]:
    """Attempts without an outcome whose service should be asked now."""
    due = Payment.objects.filter(state__in=payment_states.UNSETTLED, look_at__lte=now)
    yield from due.order_by("look_at").values_list("pk", flat=True)


def to_tell(now: datetime) -> Iterator[UUID]:
    """Attempts that were declined and left at that, which nobody has been told."""
    settled = Payment.objects.filter(settled_at__lte=now - TELL_AFTER, settled_at__gt=now - TELL_WITHIN)
    left = settled.filter(state=payment_states.DECLINED, order__state=order_states.OPEN)
    left = left.filter(Q(order__reminded_at=None) | Q(order__reminded_at__lt=F("settled_at")))
    yield from left.values_list("pk", flat=True)


@transaction.atomic
def tell(payment_id: UUID, *, now: datetime) -> bool:
    """Says, once, that the last attempt of an order was declined; false when there is nothing to say.

    That counts as the order's reminder too: nobody hears twice about the same attempt. What is taken by itself is told
    at once, and an attempt that only lapsed is what the reminder of an open order is for.
    """
    order = Order.objects.select_for_update(of=("self",)).get(payments=payment_id)
    payment = order.payments.latest("created_at")
    if payment.pk != payment_id or payment.state != payment_states.DECLINED or order.state != order_states.OPEN:
        return False
    assert payment.settled_at is not None
    told = order.reminded_at is not None and order.reminded_at >= payment.settled_at
    if told or payment.settled_at > now - TELL_AFTER or order.expires_at <= now:
        return False
    order.reminded_at = now
    order.save(update_fields=["reminded_at"])
    if saved_methods.is_automatic(payment):
        return False
    events.record(
        PaymentLeftDeclined(organization_id=order.organization_id, payment_id=payment.pk, order_id=order.pk), now=now
    )
    return True


@transaction.atomic
def abandon(payment_id: UUID, *, reason: str, actor: str, now: datetime) -> None:
    """A human decides that an unknown attempt was not paid. Raises IllegalTransition."""
    payment = Payment.objects.select_for_update().get(pk=payment_id)
    order = Order.objects.only("organization_id").get(pk=payment.order_id)
    move(
        payment,
        payment_states.ABANDONED,
        table={payment_states.UNKNOWN: frozenset({payment_states.ABANDONED})},
        reason="abandoned",
        remark=f"{actor}: {reason}"[:1000],
        settled_at=now,
    )
    events.record(
        PaymentAbandoned(
            organization_id=order.organization_id, payment_id=payment.pk, order_id=order.pk, reason=reason
        ),
        now=now,
        actor=actor,
    )
