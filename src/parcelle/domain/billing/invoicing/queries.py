"""Questions about invoices."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from django.db.models import QuerySet, Sum

from parcelle.core.money import Money
from parcelle.domain.billing.models import Invoice, InvoiceBalance, InvoiceFile

# What an invoice is to its customer: waits for its number, then what is left to pay of it.
WAITING, OPEN, PART_PAID, PAID, OVERDUE, CREDITED, ISSUED = (
    "waiting",
    "open",
    "part_paid",
    "paid",
    "overdue",
    "credited",
    "issued",
)
MEDIA_TYPES = {"pdf": "application/pdf", "xml": "application/xml", "ubl": "application/xml"}


@dataclass(frozen=True)
class Document:
    """A file as it is handed to somebody."""

    filename: str
    media_type: str
    content: bytes


def of_customers(organization_ids: Iterable[UUID]) -> QuerySet[Invoice]:
    """Their documents, the newest first, without what they say: lists do not need it."""
    rows = Invoice.objects.filter(organization_id__in=organization_ids).select_related("balance", "corrects")
    return rows.defer("content", "corrects__content").order_by("-created_at")


def issued(organization_ids: Iterable[UUID]) -> QuerySet[Invoice]:
    return of_customers(organization_ids).filter(state=Invoice.FINALISED).order_by("-issued_on", "-sequence")


def left_to_pay(invoice: Invoice) -> Money:
    if invoice.kind == Invoice.CREDIT_NOTE:
        return Money.zero(invoice.currency)
    balance = invoice.balance
    unpaid = max(balance.total_minor - balance.credited_minor - balance.paid_minor, 0)
    return Money(unpaid + balance.taken_back_minor, invoice.currency)


def left_to_credit(invoice: Invoice) -> Money:
    """How much of it credit notes may still take back."""
    balance = invoice.balance
    return Money(balance.total_minor - balance.credited_minor, invoice.currency)


def credited(orders: Collection[UUID], currency: str) -> Money:
    """How much of the invoices of these orders credit notes have taken back."""
    taken = InvoiceBalance.objects.filter(invoice__order__in=orders, invoice__kind=Invoice.INVOICE)
    return Money(taken.aggregate(total=Sum("credited_minor"))["total"] or 0, currency)


def standing(invoice: Invoice, *, today: date) -> str:
    if invoice.state == Invoice.DRAFT:
        return WAITING
    if invoice.kind == Invoice.CREDIT_NOTE:
        return ISSUED
    balance = invoice.balance
    if balance.credited_minor >= balance.total_minor:
        return CREDITED
    if not left_to_pay(invoice):
        return PAID
    # What was paid and taken back is due at once.
    if balance.taken_back_minor:
        return OVERDUE
    if invoice.due_on is not None and invoice.due_on < today:
        return OVERDUE
    return PART_PAID if balance.paid_minor else OPEN


def download(invoice: Invoice, form: str) -> Document:
    """`form`: pdf, xml (CII) or ubl. Raises InvoiceFile.DoesNotExist for a draft, KeyError for another form."""
    media_type = MEDIA_TYPES[form]
    content = InvoiceFile.objects.values_list(form, flat=True).get(invoice=invoice)
    name = (invoice.number or "").replace("/", "-")
    ending = "ubl.xml" if form == "ubl" else form
    return Document(f"{name}.{ending}", media_type, bytes(content))
