"""What the books say. Everything is summed from the entries: no balance is stored that could differ from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from django.db.models import Q, QuerySet, Sum

from parcelle.core.money import Money
from parcelle.domain.billing.ledger import accounts
from parcelle.domain.billing.models import LedgerEntry, LedgerTransaction, Order


@dataclass(frozen=True, kw_only=True)
class StatementLine:
    """One thing that changed what a customer owes. `balance` is what they owe after it, negative when we owe them."""

    date: date
    kind: str
    label: str
    reference: str
    amount: Money
    balance: Money


@dataclass(frozen=True, kw_only=True)
class AccountSum:
    """An account in one currency: `debit` and `credit` are positive, `balance` is debit less credit."""

    account: accounts.Account
    debit: Money
    credit: Money

    @property
    def balance(self) -> Money:
        return self.debit - self.credit


def of_customer(organization_id: UUID) -> Q:
    """Entries of an organization, with those of orders that it placed before it was one."""
    orders = Order.objects.filter(organization_id=organization_id).values_list("pk", flat=True)
    return Q(organization_id=organization_id) | Q(order_id__in=list(orders))


def _accounts_of(organization_id: UUID) -> QuerySet[LedgerEntry]:
    return LedgerEntry.objects.filter(of_customer(organization_id), account__in=accounts.OF_CUSTOMERS)


def balances(organization_id: UUID) -> dict[str, Money]:
    """What a customer owes, by currency; negative when we owe them. Their credit counts in their favour."""
    sums = _accounts_of(organization_id).order_by().values_list("currency").annotate(Sum("amount_minor"))
    return {currency: Money(minor, currency) for currency, minor in sums}


def credit(organization_id: UUID) -> dict[str, Money]:
    """What a customer can use or get back, by currency; without those that are zero."""
    sums = _accounts_of(organization_id).filter(account=accounts.CREDIT)
    found = sums.order_by().values_list("currency").annotate(Sum("amount_minor"))
    return {currency: Money(-minor, currency) for currency, minor in found if minor}


def statement(organization_id: UUID, currency: str) -> list[StatementLine]:
    """What changed a customer's balance, oldest first. What only moved between their own accounts is left out."""
    sums = (
        _accounts_of(organization_id)
        .filter(currency=currency)
        .order_by()
        .values("transaction_id")
        .annotate(sum=Sum("amount_minor"))
        .filter(~Q(sum=0))
    )
    amounts = {row["transaction_id"]: row["sum"] for row in sums}
    balance, lines = Money.zero(currency), []
    for booked in LedgerTransaction.objects.filter(pk__in=amounts).order_by("date", "id"):
        amount = Money(amounts[booked.pk], currency)
        balance += amount
        lines.append(
            StatementLine(
                date=booked.date,
                kind=booked.kind,
                label=str(booked.get_kind_display()),
                reference=booked.reference,
                amount=amount,
                balance=balance,
            )
        )
    return lines


def trial_balance(*, since: date | None = None, until: date | None = None) -> list[AccountSum]:
    """Every account that was used from `since` to `until`, both included, by currency and number."""
    entries = LedgerEntry.objects.all()
    if since is not None:
        entries = entries.filter(transaction__date__gte=since)
    if until is not None:
        entries = entries.filter(transaction__date__lte=until)
    sums = (
        entries.order_by()
        .values("account", "currency")
        .annotate(
            debit=Sum("amount_minor", filter=Q(amount_minor__gt=0), default=0),
            credit=Sum("amount_minor", filter=Q(amount_minor__lt=0), default=0),
        )
        .order_by("currency", "account")
    )
    return [
        AccountSum(
            account=accounts.account(row["account"]),
            debit=Money(int(row["debit"]), row["currency"]),
            credit=Money(-int(row["credit"]), row["currency"]),
        )
        for row in sums
    ]
