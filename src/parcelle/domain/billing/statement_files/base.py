"""What is read out of a bank statement, whatever its format."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date

from parcelle.core.money import Money

# What banks write where they have no reference.
_NO_REFERENCE = frozenset({"", "NOTPROVIDED", "NONREF", "NONE", "N/A", "-"})


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Money that came in. `bank_reference` is the bank's own name of it, empty where it gives none."""

    account: str
    amount: Money
    value_date: date
    booking_date: date | None = None
    bank_reference: str = ""
    payer: str = ""
    text: str = ""
    # Where a creditor reference may stand, field by field.
    remittance: tuple[str, ...] = ()
    key: str = ""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """`left_out` are debits, reversals and what is only announced; `unreadable` tells lines that say nothing."""

    entries: list[Entry]
    left_out: int = 0
    unreadable: list[str] = field(default_factory=list)


def given(reference: str) -> str:
    """A bank's reference, empty where it only says that there is none."""
    plain = " ".join(reference.split())[:100]
    return "" if plain.upper() in _NO_REFERENCE else plain


def keyed(entries: Iterable[Entry]) -> list[Entry]:
    """The entries with keys that are the same whenever the same money is in a file.

    Banks use their references again, for the parts of a batch or from day to day, so date and amount belong to the
    key. Where there is no reference, a hash of everything stands for it; equal ones are numbered.
    """
    seen: Counter[str] = Counter()
    done = []
    for entry in entries:
        name = entry.bank_reference or _hash(entry)
        key = f"{name}|{entry.value_date.isoformat()}|{entry.amount.amount:f}"
        seen[f"{entry.account}|{key}"] += 1
        number = seen[f"{entry.account}|{key}"]
        done.append(replace(entry, key=key if number == 1 else f"{key}|{number}"))
    return done


def _hash(entry: Entry) -> str:
    said = "\n".join((entry.payer, entry.text, *entry.remittance))
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:24]
