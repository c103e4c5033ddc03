"""The books as files: CSV for anybody, and the FEC that the French tax administration asks for.

FEC (fichier des écritures comptables, art. A47 A-1 of the Livre des procédures fiscales): 18 columns between
tabs, one line per entry, days as 20260302, amounts with a comma, in euros, in ISO 8859-15.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cache

from django.utils import timezone, translation
from django.utils.formats import get_format
from django.utils.translation import gettext as _

from parcelle.core.money import Money
from parcelle.domain.billing.ledger import accounts, lettering, numbering, queries, rates
from parcelle.domain.billing.models import LedgerEntry, LedgerTransaction

FEC_COLUMNS = (
    "JournalCode",
    "JournalLib",
    "EcritureNum",
    "EcritureDate",
    "CompteNum",
    "CompteLib",
    "CompAuxNum",
    "CompAuxLib",
    "PieceRef",
    "PieceDate",
    "EcritureLib",
    "Debit",
    "Credit",
    "EcritureLet",
    "DateLet",
    "ValidDate",
    "Montantdevise",
    "Idevise",
)
FEC_ENCODING = "iso-8859-15"

# What a euro is worth in a currency on a day; None where nobody knows.
Rates = Callable[[str, date], Decimal | None]


class FecRefused(Exception):
    """The file cannot be made; `code` is no_siren or no_rate, `detail` the currency."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code} {detail}".strip())
        self.code = code
        self.detail = detail


@dataclass(frozen=True, kw_only=True)
class FiscalYear:
    """Twelve months that end with `end`; called by the calendar year they end in."""

    start: date
    end: date

    @classmethod
    def of(cls, year: int, *, last_month: int = 12) -> FiscalYear:
        following = date(year + last_month // 12, last_month % 12 + 1, 1)
        return cls(start=following.replace(year=following.year - 1), end=following - timedelta(days=1))


def fec_name(siren: str, year: FiscalYear) -> str:
    """As the administration wants files called: `123456782FEC20261231.txt`. Raises FecRefused."""
    if len(siren) != 9 or not siren.isdecimal():
        raise FecRefused("no_siren")
    return f"{siren}FEC{year.end:%Y%m%d}.txt"


def fec(year: FiscalYear, *, rate: Rates = rates.per_euro) -> Iterator[bytes]:
    """The lines of the file, in the order of their numbers. Raises FecRefused.

    Numbers have no gaps and stay: what was booked for an earlier day since the last export comes after it.
    """
    rate = cache(rate)
    numbering.give_numbers(since=year.start, until=year.end)
    letters = lettering.of(until=year.end)
    yield _fec_line(FEC_COLUMNS)
    with translation.override("fr"):
        for number, booked in numbering.journal(year.end):
            for values in _fec_entries(booked, number, letters, rate):
                yield _fec_line([values[column] for column in FEC_COLUMNS])


def _fec_entries(
    booked: LedgerTransaction, number: int, letters: Mapping[int, lettering.Letter], rate: Rates
) -> Iterator[Mapping[str, str]]:
    entries = sorted(booked.entries.all(), key=lambda entry: entry.pk)
    euros = _euros(entries, booked.date, rate)
    for entry in entries:
        amount, name = euros[entry.pk], accounts.account(entry.account).name
        aux_number, aux_name = _customer(entry)
        foreign = entry.currency != rates.EURO
        letter = letters.get(entry.pk)
        yield {
            "JournalCode": booked.journal,
            "JournalLib": str(booked.get_journal_display()),
            "EcritureNum": str(number),
            "EcritureDate": f"{booked.date:%Y%m%d}",
            "CompteNum": entry.account,
            "CompteLib": str(name),
            "CompAuxNum": aux_number,
            "CompAuxLib": aux_name,
            "PieceRef": booked.reference,
            "PieceDate": f"{booked.date:%Y%m%d}",
            "EcritureLib": f"{booked.get_kind_display()} {booked.reference}",
            "Debit": _comma(amount if amount.minor > 0 else Money.zero(rates.EURO)),
            "Credit": _comma(-amount if amount.minor < 0 else Money.zero(rates.EURO)),
            "EcritureLet": letter.code if letter else "",
            "DateLet": f"{letter.on:%Y%m%d}" if letter else "",
            "ValidDate": f"{timezone.localdate(booked.at):%Y%m%d}",
            "Montantdevise": _comma(entry.amount) if foreign else "",
            "Idevise": entry.currency if foreign else "",
        }


def _euros(entries: list[LedgerEntry], day: date, rate: Rates) -> dict[int, Money]:
    found: dict[int, Money] = {}
    for currency in {entry.currency for entry in entries}:
        group = [entry for entry in entries if entry.currency == currency]
        amounts = [entry.amount for entry in group]
        if currency != rates.EURO:
            per_euro = rate(currency, day)
            if per_euro is None:
                raise FecRefused("no_rate", currency)
            amounts = rates.in_euros(amounts, per_euro)
        found |= {entry.pk: amount for entry, amount in zip(group, amounts, strict=True)}
    return found


def _customer(entry: LedgerEntry) -> tuple[str, str]:
    organization = entry.organization or (entry.order.organization if entry.order else None)
    if organization is not None:
        return organization.slug, organization.name
    return (entry.order.number, entry.order.number) if entry.order else ("", "")


def _comma(amount: Money) -> str:
    return f"{amount.amount:f}".replace(".", ",")


def _fec_line(values: Iterable[str]) -> bytes:
    return ("\t".join(_plain(value) for value in values) + "\r\n").encode(FEC_ENCODING)


def _plain(value: str) -> str:
    """What the file's characters can say: one line, accents kept where they exist, letters without them elsewhere."""
    text = " ".join(value.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split())
    return "".join(character if _fits(character) else _folded(character) for character in text)


# Letters that Unicode does not take apart.
_STROKES = str.maketrans("ŁłĐđ", "LlDd")


def _fits(character: str) -> bool:
    return bool(character.encode(FEC_ENCODING, "ignore"))


def _folded(character: str) -> str:
    bare = unicodedata.normalize("NFKD", character.translate(_STROKES)).encode("ascii", "ignore").decode()
    return bare or "?"


# --- CSV ----------------------------------------------------------------------------------------------------


def trial_balance_csv(*, since: date | None = None, until: date | None = None) -> str:
    """Account, name, currency, debit, credit, balance; see `_csv`."""
    rows = [
        [
            row.account.code,
            str(row.account.name),
            row.debit.currency,
            _decimal(row.debit),
            _decimal(row.credit),
            _decimal(row.balance),
        ]
        for row in queries.trial_balance(since=since, until=until)
    ]
    head = [_("Account"), _("Name"), _("Currency"), _("Debit"), _("Credit"), _("Balance")]
    return _csv(head, rows)


def statement_csv(lines: Iterable[queries.StatementLine]) -> str:
    """Day, what happened, document, currency, amount, balance; see `_csv`."""
    rows = [
        [
            f"{line.date:%Y-%m-%d}",
            line.label,
            line.reference,
            line.amount.currency,
            _decimal(line.amount),
            _decimal(line.balance),
        ]
        for line in lines
    ]
    head = [_("Date"), _("Event"), _("Document"), _("Currency"), _("Amount"), _("Balance")]
    return _csv(head, rows)


def _decimal(amount: Money) -> str:
    return f"{amount.amount:f}".replace(".", get_format("DECIMAL_SEPARATOR"))


def _csv(head: list[str], rows: Iterable[list[str]]) -> str:
    """As spreadsheets in the language that is active write it: headings, decimals, and what stands between cells."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter="," if get_format("DECIMAL_SEPARATOR") == "." else ";")
    writer.writerow(head)
    # A sheet would take what begins like this for a formula, and customers choose their own names.
    writer.writerows([f"'{cell}" if cell[:1] in {"=", "+", "@", "\t"} else cell for cell in row] for row in rows)
    return out.getvalue()
