"""What belongs together on customers' accounts: an invoice, and what paid it, gave it back or cancelled it.

Accountants call it lettering: entries that share a letter add up to zero. Ours is the number of the order that they
are about, which is the same at each export.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from django.db import connection

from parcelle.domain.billing.ledger import accounts


@dataclass(frozen=True)
class Letter:
    """`on` is the day on which the last entry came, and all of them added up to zero."""

    code: str
    on: date


_SETTLED = """
    WITH about AS (
        SELECT entry.id, entry.currency, entry.amount_minor, booked.date,
               coalesce(invoice.order_id, payment.order_id, refunded.order_id, named.id) AS order_id
        FROM billing_ledgerentry entry
        JOIN billing_ledgertransaction booked ON booked.id = entry.transaction_id
        LEFT JOIN billing_invoice invoice
            ON booked.kind IN ('invoice', 'credit_note') AND invoice.number = booked.reference
        LEFT JOIN billing_refund refund ON booked.kind = 'refund' AND refund.id = booked.subject_id
        LEFT JOIN billing_payment refunded ON refunded.id = refund.payment_id
        LEFT JOIN billing_payment payment ON booked.kind <> 'refund' AND payment.id = booked.subject_id
        LEFT JOIN billing_order named ON named.number = booked.reference
        WHERE entry.account = %s AND booked.date <= %s
    ), settled AS (
        SELECT order_id, currency, max(date) AS date, array_agg(id) AS entries
        FROM about WHERE order_id IS NOT NULL
        GROUP BY order_id, currency HAVING sum(amount_minor) = 0
    )
    SELECT unnest(settled.entries), ordered.number, settled.date
    FROM settled JOIN billing_order ordered ON ordered.id = settled.order_id
"""


def of(*, until: date) -> dict[int, Letter]:
    """Entry -> its letter, of all that was settled by that day."""
    with connection.cursor() as cursor:
        cursor.execute(_SETTLED, [accounts.CUSTOMERS, until])
        return {entry: Letter(code, on) for entry, code, on in cursor.fetchall()}
