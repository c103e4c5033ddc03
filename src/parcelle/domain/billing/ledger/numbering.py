"""The numbers that transactions have in the files for the tax administration: no gaps, and never another one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from django.db import connection, transaction
from django.db.models import Prefetch

from parcelle.domain.billing.models import FecNumber, LedgerEntry, LedgerTransaction

_GIVE = """
    INSERT INTO billing_fecnumber (transaction_id, year_end, number)
    SELECT booked.id, %(until)s,
           (SELECT coalesce(max(number), 0) FROM billing_fecnumber WHERE year_end = %(until)s)
               + row_number() OVER (ORDER BY booked.date, booked.id)
    FROM billing_ledgertransaction booked
    WHERE booked.date BETWEEN %(since)s AND %(until)s
        AND NOT EXISTS (SELECT FROM billing_fecnumber known
                        WHERE known.transaction_id = booked.id AND known.year_end = %(until)s)
"""


@transaction.atomic
def give_numbers(*, since: date, until: date) -> None:
    """To what was booked for a fiscal year and has none, in the order of days; of two at a time one waits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('billing_fecnumber'))")
        cursor.execute(_GIVE, {"since": since, "until": until})


def journal(year_end: date) -> Iterator[tuple[int, LedgerTransaction]]:
    """Transactions with their entries, in the order of their numbers."""
    # Without what buyers typed, which is encrypted and not asked for here.
    entries = LedgerEntry.objects.select_related("organization", "order__organization").defer("order__buyer")
    rows = FecNumber.objects.filter(year_end=year_end).order_by("number").select_related("transaction")
    for row in rows.prefetch_related(Prefetch("transaction__entries", entries)).iterator(chunk_size=500):
        yield row.number, row.transaction
