"""What a finalised document is in the books."""

from __future__ import annotations

from datetime import datetime

from parcelle.domain.billing import ledger
from parcelle.domain.billing.invoicing.content import Content
from parcelle.domain.billing.models import Invoice


def post(invoice: Invoice, content: Content, *, now: datetime) -> None:
    """In the transaction that finalises: the totals of the file are the totals of the books."""
    assert invoice.number is not None and invoice.issued_on is not None
    parts = [
        ledger.Taxed(category=group.decision.category, rate=group.decision.rate, net=group.base, tax=group.tax)
        for group in content.groups
    ]
    if invoice.corrects_id is None:
        ledger.post_invoice(
            invoice_id=invoice.pk,
            number=invoice.number,
            organization_id=invoice.organization_id,
            issued_on=invoice.issued_on,
            parts=parts,
            now=now,
        )
    else:
        ledger.post_credit_note(
            credit_note_id=invoice.pk,
            number=invoice.number,
            invoice_id=invoice.corrects_id,
            organization_id=invoice.organization_id,
            issued_on=invoice.issued_on,
            parts=parts,
            now=now,
        )
