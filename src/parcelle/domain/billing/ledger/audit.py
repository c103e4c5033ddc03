"""Whether the books are what the documents say, recomputed from nothing: from payments, fees and refunds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q, Sum

from parcelle.core.money import Money
from parcelle.domain.billing import payment_states
from parcelle.domain.billing.ledger import postings
from parcelle.domain.billing.models import LedgerEntry, Payment, Refund

# With money that came in; some of it may have gone back since.
_PAID = (
    payment_states.PAID,
    payment_states.PAID_LATE,
    payment_states.PARTLY_REFUNDED,
    payment_states.REFUNDED,
    payment_states.CHARGED_BACK,
)
# Money that came and went before anybody looked, of which nobody knows how much it was.
_NEVER_SEEN = ("charged_back", "returned")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Something that happened and was booked otherwise, or never: then `booked` is None."""

    key: str
    expected: Money
    booked: Money | None


@dataclass(frozen=True, kw_only=True)
class _Due:
    key: str
    expected: Money
    book: Callable[[], None]


def differences() -> list[Difference]:
    """Everything that moved money and is not in the books as it happened."""
    found = []
    for due in _due():
        booked = _booked(due.key, due.expected.currency)
        if booked != due.expected:
            found.append(Difference(key=due.key, expected=due.expected, booked=booked))
    return found


def catch_up() -> int:
    """Books what happened and never was booked, such as before there were books; how many of it."""
    booked = 0
    for due in list(_due()):
        if _booked(due.key, due.expected.currency) is None:
            with transaction.atomic():
                due.book()
            booked += 1
    return booked


def _booked(key: str, currency: str) -> Money | None:
    debits = LedgerEntry.objects.filter(transaction__key=key, currency=currency, amount_minor__gt=0)
    total = debits.aggregate(sum=Sum("amount_minor"))["sum"]
    return None if total is None else Money(total, currency)


def _due() -> Iterator[_Due]:
    paid = Payment.objects.filter(Q(state__in=_PAID) | Q(state=payment_states.PARKED)).select_related("order")
    for payment in paid.order_by("settled_at", "number").iterator(chunk_size=500):
        yield from _of_payment(payment)
    gone = Refund.objects.filter(state__in=Refund.LEFT).select_related("payment__order")
    for refund in gone.iterator(chunk_size=500):
        yield from _of_refund(refund)


def _of_payment(payment: Payment) -> Iterator[_Due]:
    at = payment.settled_at or payment.created_at
    received = payment.amount
    if payment.received_minor is not None and payment.received_currency:
        received = Money(payment.received_minor, payment.received_currency)
    if not received or (payment.received_minor is None and payment.reason in _NEVER_SEEN):
        return
    if payment.state == payment_states.PARKED:
        yield _Due(
            key=f"parked:{payment.pk}",
            expected=received,
            book=lambda: postings.payment_parked(payment, received=received, now=at),
        )
        return
    yield _Due(
        key=f"payment:{payment.pk}",
        expected=received,
        book=lambda: postings.payment_received(
            payment, payment.order, received=received, surplus=_is_surplus(payment, received), now=at
        ),
    )
    if payment.fee_minor:
        fee = Money(payment.fee_minor, payment.currency)
        yield _Due(key=f"fee:{payment.pk}", expected=fee, book=lambda: postings.fee_kept(payment, fee, now=at))


def _is_surplus(payment: Payment, received: Money) -> bool:
    """An order is paid once: whatever came in before was for it, and this is not."""
    earlier = payment.order.payments.filter(state__in=_PAID, settled_at__lt=payment.settled_at or payment.created_at)
    return received != payment.amount or payment.order.paid_at is None or earlier.exists()


def _of_refund(refund: Refund) -> Iterator[_Due]:
    payment = refund.payment
    at = refund.settled_at or refund.created_at
    amount = Money(refund.amount_minor, payment.currency)
    yield _Due(
        key=f"refund:{refund.pk}",
        expected=amount,
        book=lambda: postings.refunded(refund, payment, payment.order, now=at),
    )
    if refund.state == Refund.CAME_BACK:
        yield _Due(
            key=f"refund-back:{refund.pk}",
            expected=amount,
            book=lambda: postings.refund_came_back(refund, payment, payment.order, now=at),
        )
