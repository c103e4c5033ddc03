"""A customer's account as they know it: what the books say, and what counts already but has no number yet.

Somebody pays before their invoice is issued. While it waits, the books alone would show their payment as credit.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext as _

from parcelle.core.money import Money
from parcelle.domain.billing.ledger import queries as books
from parcelle.domain.billing.models import Invoice


def balances(organization_id: UUID, *, now: datetime) -> dict[str, Money]:
    """What a customer owes, by currency, with what waits for its number; negative when we owe them."""
    found = books.balances(organization_id)
    for document in _waiting(organization_id, now=now):
        found[document.currency] = found.get(document.currency, Money.zero(document.currency)) + _signed(document)
    return found


def statement(organization_id: UUID, currency: str, *, now: datetime) -> list[books.StatementLine]:
    """What is booked, oldest first, then what waits for its number."""
    lines = books.statement(organization_id, currency)
    balance = lines[-1].balance if lines else Money.zero(currency)
    for document in _waiting(organization_id, now=now):
        if document.currency != currency:
            continue
        balance += _signed(document)
        is_invoice = document.kind == Invoice.INVOICE
        lines.append(
            books.StatementLine(
                date=timezone.localdate(document.created_at),
                kind=document.kind,
                label=_("Invoice in preparation") if is_invoice else _("Credit note in preparation"),
                reference="",
                amount=_signed(document),
                balance=balance,
            )
        )
    return lines


def _waiting(organization_id: UUID, *, now: datetime) -> list[Invoice]:
    rows = Invoice.objects.filter(organization_id=organization_id, state=Invoice.DRAFT, ready_at__lte=now)
    return list(rows.only("kind", "currency", "total_minor", "created_at").order_by("ready_at", "created_at"))


def _signed(document: Invoice) -> Money:
    return document.total if document.kind == Invoice.INVOICE else -document.total
