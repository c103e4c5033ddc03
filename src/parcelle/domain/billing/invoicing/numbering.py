"""Numbers without holes, and dates that go up with them.

A counter row, changed in the transaction that uses the number: what is rolled back takes its number with it. A
sequence of PostgreSQL would leave a hole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from django.conf import settings

from parcelle.domain.billing.invoicing.content import CREDIT_NOTE
from parcelle.domain.billing.models import NumberSeries

# As the tax administration's format allows them.
LONGEST = 35
_ALLOWED = re.compile(r"[A-Za-z0-9+\-_/]+")
_COUNTER = re.compile(r"X{3,}")


@dataclass(frozen=True)
class Taken:
    sequence: int
    number: str
    issued_on: date


def take(kind: str, *, today: date) -> Taken:
    """The next number of a series; its row stays locked until the caller's transaction ends."""
    series = lock(kind)
    taken = after(series, today=today)
    NumberSeries.objects.filter(pk=kind).update(last=taken.sequence, last_on=taken.issued_on)
    return taken


def foresee(kind: str, *, today: date) -> Taken:
    """What `take` would give if nobody else took one before."""
    return after(NumberSeries.objects.filter(pk=kind).first() or NumberSeries(kind=kind), today=today)


def lock(kind: str) -> NumberSeries:
    NumberSeries.objects.bulk_create([NumberSeries(kind=kind)], ignore_conflicts=True)
    return NumberSeries.objects.select_for_update().get(pk=kind)


def after(series: NumberSeries, *, today: date) -> Taken:
    """The next number. The date is today's, or that of the last number where the clock was set back."""
    issued_on = max(today, series.last_on) if series.last_on else today
    sequence = series.last + 1
    return Taken(sequence, written(shape_of(series.kind), sequence, issued_on), issued_on)


def shape_of(kind: str) -> str:
    return str(settings.CREDIT_NOTE_NUMBER if kind == CREDIT_NOTE else settings.INVOICE_NUMBER)


def written(shape: str, sequence: int, issued_on: date) -> str:
    """`FA-YYYY-XXXXXX` and 123 make `FA-2026-000123`. A counter that grows too long for its X is written in full."""
    counter = _COUNTER.search(shape)
    assert counter is not None
    before, behind = shape[: counter.start()], shape[counter.end() :]
    before, behind = (
        part.replace("YYYY", f"{issued_on:%Y}").replace("MM", f"{issued_on:%m}") for part in (before, behind)
    )
    return f"{before}{sequence:0{len(counter[0])}d}{behind}"


def mistake(shape: str) -> str:
    """What is wrong with the shape of a number, for who set it; empty when nothing is."""
    if len(_COUNTER.findall(shape)) != 1:
        return "needs one row of at least three X for the counter, such as FA-YYYY-XXXXXX"
    if not _ALLOWED.fullmatch(shape):
        return "may only hold letters, digits and + - _ /"
    return f"is longer than {LONGEST - 6} characters" if len(shape) > LONGEST - 6 else ""
