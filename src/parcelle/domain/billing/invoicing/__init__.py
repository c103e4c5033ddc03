"""Invoices and credit notes: from a draft without a number to a document that never changes.

`content` what one says · `drafts`, `credits` how one begins · `finalising` its number · `press` its files ·
`refusals` what is missing · `chain` the proof that nothing was changed.
"""

from parcelle.domain.billing.invoicing.credits import credit, credit_for_refund
from parcelle.domain.billing.invoicing.drafts import discard, draft_for_order
from parcelle.domain.billing.invoicing.finalising import attempt, finalise, waiting
from parcelle.domain.billing.invoicing.refusals import InvoiceRefused, Problem

__all__ = [
    "InvoiceRefused",
    "Problem",
    "attempt",
    "credit",
    "credit_for_refund",
    "discard",
    "draft_for_order",
    "finalise",
    "waiting",
]
