"""What is booked when something happens, each in the transaction of what happened.

A payment is booked against its customer, an invoice as the customer's debt: what is left on their account is
what they owe, or what we owe them. Booking the same thing again changes nothing; booking something else for it
raises BookedOtherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q, Sum
from django.utils import timezone

from parcelle.core.money import Money
from parcelle.domain.billing.ledger import accounts
from parcelle.domain.billing.ledger.queries import of_customer
from parcelle.domain.billing.models import LedgerEntry, LedgerTransaction, Order, Payment, Refund
from parcelle.domain.tenancy.models import Organization


class LedgerError(Exception):
    """Something cannot be booked; nothing was."""


class BookedOtherwise(LedgerError):
    """The same thing was booked before, with other amounts."""


class TooMuchCredited(LedgerError):
    """The credit notes of an invoice would exceed it."""


class NotEnoughCredit(LedgerError):
    """The customer has less credit than was to be used."""


@dataclass(frozen=True, kw_only=True)
class Party:
    """Whose account it is: an organization's, or an order's whose buyer is no customer yet."""

    organization_id: UUID | None = None
    order_id: UUID | None = None

    @classmethod
    def of(cls, order: Order) -> Party:
        if order.organization_id is not None:
            return cls(organization_id=order.organization_id)
        return cls(order_id=order.pk)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A debit when positive, a credit when negative. `party` on customers' accounts, and only there."""

    account: str
    amount: Money
    party: Party | None = None


@dataclass(frozen=True, kw_only=True)
class Taxed:
    """The part of an invoice under one rate: `category` as in `taxes`, `rate` in percent."""

    category: str
    rate: Decimal
    net: Money
    tax: Money


# --- invoices -----------------------------------------------------------------------------------------------


def post_invoice(
    *, invoice_id: UUID, number: str, organization_id: UUID, issued_on: date, parts: Sequence[Taxed], now: datetime
) -> None:
    """A finalised invoice: the customer owes its total. Call it in the transaction that finalises."""
    post(
        key=f"invoice:{invoice_id}",
        kind=LedgerTransaction.INVOICE,
        journal=LedgerTransaction.SALES,
        reference=number,
        subject_id=invoice_id,
        lines=_sale(parts, Party(organization_id=organization_id)),
        date_=issued_on,
        now=now,
    )


def post_credit_note(
    *,
    credit_note_id: UUID,
    number: str,
    invoice_id: UUID,
    organization_id: UUID,
    issued_on: date,
    parts: Sequence[Taxed],
    now: datetime,
) -> None:
    """A finalised credit note, amounts positive as on it. Raises TooMuchCredited beyond what is left of the invoice."""
    lines = _sale(parts, Party(organization_id=organization_id))
    with transaction.atomic():
        # Two credit notes of one invoice are booked one after the other.
        invoice = LedgerTransaction.objects.select_for_update().filter(key=f"invoice:{invoice_id}").first()
        if invoice is None:
            raise LedgerError(f"the invoice that {number} corrects was never booked")
        _check_credited(invoice, f"credit-note:{credit_note_id}", lines[0].amount)
        post(
            key=f"credit-note:{credit_note_id}",
            kind=LedgerTransaction.CREDIT_NOTE,
            journal=LedgerTransaction.SALES,
            reference=number,
            subject_id=invoice_id,
            lines=[Line(account=line.account, amount=-line.amount, party=line.party) for line in lines],
            date_=issued_on,
            now=now,
        )


def _check_credited(invoice: LedgerTransaction, key: str, wanted: Money) -> None:
    receivable = LedgerEntry.objects.filter(account=accounts.CUSTOMERS)
    total = sum(receivable.filter(transaction=invoice).values_list("amount_minor", flat=True))
    earlier = receivable.filter(
        transaction__subject_id=invoice.subject_id, transaction__kind=LedgerTransaction.CREDIT_NOTE
    ).exclude(transaction__key=key)
    credited = -sum(earlier.values_list("amount_minor", flat=True))
    if credited + wanted.minor > total:
        raise TooMuchCredited(f"{wanted} is more than what is left of {invoice.reference}")


def _sale(parts: Sequence[Taxed], party: Party) -> list[Line]:
    currency = parts[0].net.currency
    total = Money.total((part.net + part.tax for part in parts), currency)
    lines = [Line(account=accounts.CUSTOMERS, amount=total, party=party)]
    for part in parts:
        lines.append(Line(account=accounts.sales(part.category), amount=-part.net))
        lines.append(Line(account=accounts.vat(part.rate), amount=-part.tax))
    return lines


# --- payments -----------------------------------------------------------------------------------------------


def payment_received(
    payment: Payment, order: Order, *, received: Money, surplus: bool, now: datetime, value_date: date | None = None
) -> None:
    """Money came in: for its order, or as `surplus` for the customer to use or get back."""
    kind = LedgerTransaction.SURPLUS if surplus else LedgerTransaction.PAYMENT
    to = accounts.CREDIT if surplus else accounts.CUSTOMERS
    key, rail = f"payment:{payment.pk}", accounts.rail(payment.gateway)
    _move(payment, kind, key, rail, received, to, order=order, now=now, date_=value_date)


def transfer_surplus(
    payment: Payment, order: Order, *, amount: Money, key: str, now: datetime, value_date: date | None = None
) -> None:
    """Money came by bank transfer that pays for nothing: the customer may use it or get it back."""
    kind, to = LedgerTransaction.SURPLUS, accounts.CREDIT
    _move(payment, kind, key, accounts.BANK, amount, to, order=order, now=now, date_=value_date)


def payment_parked(payment: Payment, *, received: Money, now: datetime, value_date: date | None = None) -> None:
    """Money came in otherwise than asked: it is nobody's until a human looked."""
    post(
        key=f"parked:{payment.pk}",
        kind=LedgerTransaction.PARKED,
        journal=LedgerTransaction.BANK,
        reference=payment.number,
        subject_id=payment.pk,
        lines=[
            Line(account=accounts.rail(payment.gateway), amount=received),
            Line(account=accounts.SUSPENSE, amount=-received),
        ],
        now=now,
        date_=value_date,
    )


def parked_accepted(payment: Payment, order: Order, *, received: Money, surplus: bool, now: datetime) -> None:
    """A human decided that what was parked is the customer's: for the order, or as credit."""
    to = accounts.CREDIT if surplus else accounts.CUSTOMERS
    key = f"payment:{payment.pk}"
    _move(payment, LedgerTransaction.ACCEPTED, key, accounts.SUSPENSE, received, to, order=order, now=now)


def fee_kept(payment: Payment, fee: Money, *, now: datetime) -> None:
    """What the payment service kept of a payment."""
    post(
        key=f"fee:{payment.pk}",
        kind=LedgerTransaction.FEE,
        journal=LedgerTransaction.BANK,
        reference=payment.number,
        subject_id=payment.pk,
        lines=[
            Line(account=accounts.FEES, amount=fee),
            Line(account=accounts.rail(payment.gateway), amount=-fee),
        ],
        now=now,
    )


def dispute_fee_kept(payment: Payment, fee: Money, *, dispute: str, now: datetime) -> Money:
    """What the payment service keeps for a dispute by now; what it gives back of it is booked back. The difference."""
    key, rail = f"dispute-fee:{payment.pk}:{dispute}", accounts.rail(payment.gateway)
    booked = LedgerEntry.objects.filter(account=accounts.FEES, currency=fee.currency)
    known = booked.filter(transaction__key__in=[key, f"{key}:back"]).aggregate(sum=Sum("amount_minor"))["sum"] or 0
    change = fee - Money(known, fee.currency)
    if change:
        post(
            key=f"{key}:back" if known else key,
            kind=LedgerTransaction.FEE,
            journal=LedgerTransaction.BANK,
            reference=payment.number,
            subject_id=payment.pk,
            lines=[Line(account=accounts.FEES, amount=change), Line(account=rail, amount=-change)],
            now=now,
        )
    return change


def refunded(refund: Refund, payment: Payment, order: Order, *, now: datetime) -> None:
    """Money went back, by the rail it came on, or from the bank account when it was paid out by hand.

    What came as surplus goes back out of the customer's credit as far as there is any, and what nobody had looked
    at was never the customer's.
    """
    amount = Money(refund.amount_minor, payment.currency)
    party = Party.of(order)
    source = _booked_on(payment)
    from_credit = Money.zero(amount.currency)
    if source == accounts.CREDIT:
        _one_at_a_time(party)
        from_credit = min(amount, max(credit_of(party, amount.currency), from_credit))
    rest = Line(account=accounts.CUSTOMERS, amount=amount - from_credit, party=party)
    if source == accounts.SUSPENSE:
        rest = Line(account=accounts.SUSPENSE, amount=amount)
    out_of = accounts.BANK if refund.by_hand else accounts.rail(payment.gateway)
    post(
        key=f"refund:{refund.pk}",
        kind=LedgerTransaction.REFUND,
        journal=LedgerTransaction.BANK,
        reference=payment.number,
        subject_id=refund.pk,
        lines=[
            Line(account=accounts.CREDIT, amount=from_credit, party=party),
            rest,
            Line(account=out_of, amount=-amount),
        ],
        now=now,
    )


def refund_came_back(refund: Refund, payment: Payment, order: Order, *, now: datetime) -> None:
    """The customer's bank returned what was given back: they may use it, or get it another way."""
    amount, rail = Money(refund.amount_minor, payment.currency), accounts.rail(payment.gateway)
    key = f"refund-back:{refund.pk}"
    _move(payment, LedgerTransaction.SURPLUS, key, rail, amount, accounts.CREDIT, order=order, now=now)


def _booked_on(payment: Payment) -> str:
    """Where the money of a payment was put when it came."""
    put = LedgerEntry.objects.filter(amount_minor__lt=0)
    for key in (f"payment:{payment.pk}", f"parked:{payment.pk}"):
        found = put.filter(transaction__key=key).values_list("account", flat=True).first()
        if found is not None:
            return found
    return accounts.CUSTOMERS


def charged_back(payment: Payment, order: Order, *, amount: Money, dispute: str, now: datetime) -> None:
    """The bank or service took a payment back: the customer owes it again. `dispute` is the service's name of it.

    What nobody had looked at was never the customer's. What was won back may be lost again in the same case.
    """
    won = _cases(payment, LedgerTransaction.CHARGEBACK_WON, f"chargeback-won:{payment.pk}:{dispute}")
    key, rail = _again(f"chargeback:{payment.pk}:{dispute}", won), accounts.rail(payment.gateway)
    to = _owed_again(payment)
    _move(payment, LedgerTransaction.CHARGEBACK, key, rail, -amount, to, order=order, now=now)


def chargeback_won(payment: Payment, order: Order, *, amount: Money, dispute: str, now: datetime) -> None:
    lost = _cases(payment, LedgerTransaction.CHARGEBACK, f"chargeback:{payment.pk}:{dispute}")
    key, rail = _again(f"chargeback-won:{payment.pk}:{dispute}", max(lost - 1, 0)), accounts.rail(payment.gateway)
    to = _owed_again(payment)
    _move(payment, LedgerTransaction.CHARGEBACK_WON, key, rail, amount, to, order=order, now=now)


def times_charged_back(payment: Payment) -> int:
    """How often the case that a payment is in, or was in last, was lost."""
    return _cases(payment, LedgerTransaction.CHARGEBACK, f"chargeback:{payment.pk}:{payment.dispute}")


def _cases(payment: Payment, kind: str, key: str) -> int:
    booked = LedgerTransaction.objects.filter(subject_id=payment.pk, kind=kind)
    return booked.filter(Q(key=key) | Q(key__startswith=f"{key}#")).count()


def _again(key: str, times: int) -> str:
    return f"{key}#{times + 1}" if times else key


def _owed_again(payment: Payment) -> str:
    return accounts.SUSPENSE if _booked_on(payment) == accounts.SUSPENSE else accounts.CUSTOMERS


def _move(
    payment: Payment,
    kind: str,
    key: str,
    money: str,
    amount: Money,
    to: str,
    *,
    order: Order,
    now: datetime,
    date_: date | None = None,
) -> None:
    post(
        key=key,
        kind=kind,
        journal=LedgerTransaction.BANK,
        reference=payment.number,
        subject_id=payment.pk,
        lines=[
            Line(account=money, amount=amount),
            Line(account=to, amount=-amount, party=Party.of(order) if to in accounts.OF_CUSTOMERS else None),
        ],
        now=now,
        date_=date_,
    )


# --- the customer's credit ----------------------------------------------------------------------------------


def credit_of(party: Party, currency: str) -> Money:
    """What the customer may still use or get back."""
    entries = LedgerEntry.objects.filter(account=accounts.CREDIT, currency=currency)
    if party.organization_id is not None:
        entries = entries.filter(of_customer(party.organization_id))
    elif party.order_id is not None:
        entries = entries.filter(order_id=party.order_id)
    return Money(-(entries.aggregate(sum=Sum("amount_minor"))["sum"] or 0), currency)


def customers_with_credit(organization_ids: Collection[UUID]) -> set[UUID]:
    """Those of them who have credit in some currency."""
    entries = LedgerEntry.objects.filter(account=accounts.CREDIT)
    of_theirs = entries.filter(organization_id__in=organization_ids).values_list("organization_id", "currency")
    before = entries.filter(order__organization_id__in=organization_ids)
    sums: Counter[tuple[UUID, str]] = Counter()
    for rows in (of_theirs, before.values_list("order__organization_id", "currency")):
        for owner, currency, minor in rows.order_by().annotate(Sum("amount_minor")):
            sums[owner, currency] -= minor
    return {owner for (owner, _currency), left in sums.items() if left > 0}


def credit_to_use(organization_id: UUID, currency: str) -> Money:
    """What the customer may still use, which nobody else uses before this transaction ends."""
    party = Party(organization_id=organization_id)
    found = credit_of(party, currency)
    if found:
        _one_at_a_time(party)
        found = credit_of(party, currency)
    return found


def apply_credit(*, organization_id: UUID, amount: Money, key: str, reference: str, now: datetime) -> None:
    """Uses credit for what the customer owes: an invoice or an order, named by `reference`. Raises NotEnoughCredit."""
    _use_credit(organization_id, amount, accounts.CUSTOMERS, LedgerTransaction.CREDIT_APPLIED, key, reference, now=now)


def pay_out_credit(*, organization_id: UUID, amount: Money, key: str, reference: str, now: datetime) -> None:
    """Credit that an operator paid out by hand from the bank account. Raises NotEnoughCredit."""
    _use_credit(organization_id, amount, accounts.BANK, LedgerTransaction.PAYOUT, key, reference, now=now)


def _use_credit(
    organization_id: UUID, amount: Money, to: str, kind: str, key: str, reference: str, *, now: datetime
) -> None:
    party = Party(organization_id=organization_id)
    with transaction.atomic():
        _one_at_a_time(party)
        if not LedgerTransaction.objects.filter(key=key).exists() and amount > credit_of(party, amount.currency):
            raise NotEnoughCredit(f"{amount} is more than the customer's credit")
        other = party if to in accounts.OF_CUSTOMERS else None
        post(
            key=key,
            kind=kind,
            journal=LedgerTransaction.BANK if to == accounts.BANK else LedgerTransaction.OTHER,
            reference=reference,
            lines=[
                Line(account=accounts.CREDIT, amount=amount, party=party),
                Line(account=to, amount=-amount, party=other),
            ],
            now=now,
        )


def keep_as_credit(*, organization_id: UUID, amount: Money, key: str, reference: str, now: datetime) -> None:
    """What the customer's account holds in their favour, such as a credit note, becomes credit they can use."""
    party = Party(organization_id=organization_id)
    post(
        key=key,
        kind=LedgerTransaction.CREDIT_KEPT,
        journal=LedgerTransaction.OTHER,
        reference=reference,
        lines=[
            Line(account=accounts.CUSTOMERS, amount=amount, party=party),
            Line(account=accounts.CREDIT, amount=-amount, party=party),
        ],
        now=now,
    )


def _one_at_a_time(party: Party) -> None:
    """Whoever uses credit of the same customer waits until this transaction ends."""
    if party.organization_id is not None:
        Organization.objects.select_for_update(no_key=True).get(pk=party.organization_id)
    elif party.order_id is not None:
        Order.objects.select_for_update(no_key=True).get(pk=party.order_id)


def is_booked(key: str) -> bool:
    return LedgerTransaction.objects.filter(key=key).exists()


# --- the operator's own -------------------------------------------------------------------------------------


def transferred(*, gateway: str, amount: Money, key: str, reference: str, now: datetime) -> None:
    """A payment service paid out to our bank account what it held."""
    post(
        key=key,
        kind=LedgerTransaction.TRANSFER,
        journal=LedgerTransaction.BANK,
        reference=reference,
        lines=[
            Line(account=accounts.BANK, amount=amount),
            Line(account=accounts.rail(gateway), amount=-amount),
        ],
        now=now,
    )


def written_off(*, organization_id: UUID, amount: Money, key: str, reference: str, now: datetime) -> None:
    """What a customer owes and will not pay."""
    post(
        key=key,
        kind=LedgerTransaction.WRITE_OFF,
        journal=LedgerTransaction.OTHER,
        reference=reference,
        lines=[
            Line(account=accounts.LOSSES, amount=amount),
            Line(account=accounts.CUSTOMERS, amount=-amount, party=Party(organization_id=organization_id)),
        ],
        now=now,
    )


# --- booking ------------------------------------------------------------------------------------------------

_INSERT = """
    INSERT INTO billing_ledgertransaction (key, kind, journal, date, at, reference, subject_id, size)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (key) DO NOTHING RETURNING id
"""


def post(
    *,
    key: str,
    kind: str,
    journal: str,
    reference: str,
    lines: Iterable[Line],
    now: datetime,
    subject_id: UUID | None = None,
    date_: date | None = None,
) -> bool:
    """Books the lines that move something; false when `key` was booked before. Raises BookedOtherwise, LedgerError."""
    moving = [line for line in lines if line.amount]
    if not moving:
        return False
    _check(key, moving)
    values = [key, kind, journal, date_ or timezone.localdate(now), now, reference, subject_id, len(moving)]
    with transaction.atomic(savepoint=False):
        booked = _insert(values)
        if booked is not None:
            LedgerEntry.objects.bulk_create(_entry(booked, line) for line in moving)
    if booked is None:
        _check_same(key, moving)
    return booked is not None


def _insert(values: Sequence[Any]) -> int | None:
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, values)
        row = cursor.fetchone()
    return row[0] if row else None


def _entry(booked: int, line: Line) -> LedgerEntry:
    return LedgerEntry(
        transaction_id=booked,
        account=line.account,
        amount_minor=line.amount.minor,
        currency=line.amount.currency,
        organization_id=line.party.organization_id if line.party else None,
        order_id=line.party.order_id if line.party else None,
    )


def _check(key: str, lines: Sequence[Line]) -> None:
    sums: Counter[str] = Counter()
    for line in lines:
        sums[line.amount.currency] += line.amount.minor
        if (line.party is not None) is not (line.account in accounts.OF_CUSTOMERS):
            raise LedgerError(f"{key}: an entry on {line.account} says whose it is just when it is a customer's")
    if any(sums.values()):
        raise LedgerError(f"{key}: debits and credits differ by {dict(sums)}")


def _check_same(key: str, lines: Sequence[Line]) -> None:
    stored = LedgerEntry.objects.filter(transaction__key=key).values_list("account", "currency", "amount_minor")
    if Counter(stored) != Counter((line.account, line.amount.currency, line.amount.minor) for line in lines):
        raise BookedOtherwise(key)
