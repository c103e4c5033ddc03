"""The shapes of invoices and credit notes. Amounts are whole minor units and a readable text."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from ninja import Field

from parcelle.surfaces.api.sales import Amount
from parcelle.surfaces.api.schemas import Camel

# The words of the API. They are promises to integrators.
InvoiceKind = Literal["invoice", "credit_note"]
InvoiceStatus = Literal["waiting", "open", "part_paid", "paid", "overdue", "credited", "issued"]
FileFormat = Literal["pdf", "xml", "ubl"]


class InvoiceSummary(Camel):
    """An invoice or a credit note."""

    invoice_id: UUID
    kind: InvoiceKind
    number: str | None = Field(description="null while it waits to be issued.")
    status: InvoiceStatus = Field(
        description="`waiting`: has no number yet, `missing` of `getInvoice` says why. `credited`: cancelled by credit "
        "notes. `issued`: a credit note."
    )
    issued_on: date | None
    due_on: date | None
    net: Amount
    tax: Amount
    total: Amount
    left_to_pay: Amount
    order_id: UUID | None
    corrects: str | None = Field(description="Number of the invoice that a credit note corrects.")
    created_at: datetime


class InvoicePage(Camel):
    """A part of the list, newest first."""

    items: list[InvoiceSummary]
    count: int = Field(description="How many there are in all.")
    limit: int
    offset: int
    next: str | None = Field(description="Address of the next part; null on the last one.")


class InvoiceLine(Camel):
    """One thing that was sold."""

    name: str
    description: str
    quantity: int = Field(description="Negative for what is taken back.")
    price: Amount = Field(description="Of one, without tax.")
    discount: Amount | None
    net: Amount
    tax_rate: str = Field(description="In percent, as a decimal.")
    starts_on: date | None
    ends_on: date | None


class InvoiceDetails(InvoiceSummary):
    """A document with what it says."""

    lines: list[InvoiceLine]
    paid_on: date | None
    missing: list[str] = Field(description="Words for programs: what is missing before it can be issued.")
    credit_notes: list[str] = Field(description="Numbers of the credit notes that correct it.")
    files: list[FileFormat] = Field(description="What `downloadInvoice` has of it.")
