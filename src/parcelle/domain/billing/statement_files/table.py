"""CSV files of banks: no two are alike. What the columns mean is guessed, and an operator says whether it is right."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import date, datetime
from typing import Any

from text_unidecode import unidecode

from parcelle.core.money import Money, NotMoney
from parcelle.domain.billing.errors import StatementRefused
from parcelle.domain.billing.statement_files.base import Entry, Reading, given, keyed

_MOST_ROWS = 50_000
_PREAMBLE = 40
DELIMITERS = (";", ",", "\t", "|")
# The day first, as in France and Britain; a month first is only believed where nothing else fits.
DATE_FORMATS = ("%d/%m/%Y", "%d/%m/%y", "%Y-%m-%d", "%d-%m-%Y", "%d.%m.%Y", "%d.%m.%y", "%Y%m%d", "%m/%d/%Y")
# How banks mark what came in and what went out.
_IN, _OUT = frozenset({"C", "CR", "CRDT"}), frozenset({"D", "DR", "DB", "DBIT"})
# What a column can be, and how banks call it: accents, case and signs do not count.
ROLES: Mapping[str, tuple[str, ...]] = {
    "value_date": ("date de valeur", "date valeur", "value date", "valeur", "value"),
    "booking_date": (
        *("date operation", "date d operation", "date de l operation", "date comptable", "date de comptabilisation"),
        *("booking date", "transaction date", "posting date", "completed date", "date"),
    ),
    "amount": ("montant", "amount", "montant eur", "amount eur", "montant en euros", "montant operation", "sum"),
    "credit": ("credit", "credits", "credit euros", "credit eur", "montant credit", "money in", "paid in", "entree"),
    "debit": ("debit", "debits", "debit euros", "debit eur", "montant debit", "money out", "paid out", "sortie"),
    "direction": ("sens", "debit credit", "credit debit", "cdtdbtind", "dc", "d c", "type"),
    "currency": ("devise", "currency", "monnaie", "ccy"),
    "payer": (
        *("contrepartie", "nom contrepartie", "nom de la contrepartie", "tiers", "emetteur", "donneur d ordre", "nom"),
        *("counterparty", "counterparty name", "payer", "name", "sender", "from"),
    ),
    "text": (
        *("libelle", "libelle operation", "libelle de l operation", "libelle complet", "libelle simplifie"),
        *("description", "details", "detail", "communication", "motif", "informations complementaires", "label"),
        *("narrative", "remittance information", "transaction details", "message", "memo"),
    ),
    "bank_reference": (
        *("reference", "reference operation", "reference de l operation", "numero d operation", "ref"),
        *("reference banque", "reference bancaire"),
        *("transaction id", "bank reference", "transaction reference", "id"),
    ),
    "account": ("compte", "iban", "numero de compte", "account", "account number"),
}


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which column says what; -1 is none. `texts` are all that describe it, `currency` and `account` the defaults."""

    header: int = 0
    delimiter: str = ";"
    date_format: str = "%d/%m/%Y"
    decimal: str = ","
    value_date: int = -1
    booking_date: int = -1
    amount: int = -1
    credit: int = -1
    direction: int = -1
    payer: int = -1
    bank_reference: int = -1
    currency_column: int = -1
    account_column: int = -1
    texts: tuple[int, ...] = ()
    currency: str = "EUR"
    account: str = ""

    @classmethod
    def stored(cls, values: Mapping[str, Any]) -> Columns:
        known = {one.name for one in fields(cls)}
        given: dict[str, Any] = {name: value for name, value in values.items() if name in known}
        return cls(**{**given, "texts": tuple(given.get("texts", ()))})

    def to_store(self) -> dict[str, Any]:
        return {**asdict(self), "texts": list(self.texts)}

    @property
    def complete(self) -> bool:
        """Whether money can be read: a date and an amount."""
        return max(self.value_date, self.booking_date) >= 0 and max(self.amount, self.credit) >= 0


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rows of a file as they stand in it, and how it is cut."""

    delimiter: str
    rows: list[list[str]] = field(repr=False)


def open_table(content: bytes, *, delimiter: str = "") -> Table:
    """Raises StatementRefused."""
    text = _decoded(content)
    if not text.strip():
        raise StatementRefused("empty")
    sign = delimiter or _delimiter(text)
    try:
        rows = list(itertools.islice(csv.reader(io.StringIO(text, newline=""), delimiter=sign), _MOST_ROWS + 1))
    except csv.Error as error:
        raise StatementRefused("not_a_statement", str(error)[:200]) from None
    if len(rows) > _MOST_ROWS:
        raise StatementRefused("too_large")
    return Table(delimiter=sign, rows=[row for row in rows if any(cell.strip() for cell in row)])


def _decoded(content: bytes) -> str:
    """As UTF-8, UTF-16 with a mark, or what Windows writes in Western Europe."""
    marked = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "cp1252"):
        try:
            return content.decode(encoding).replace("\0", "")
        except UnicodeDecodeError:
            continue
    raise StatementRefused("encoding")


def _delimiter(text: str) -> str:
    """The sign that cuts most lines into the same number of pieces."""
    lines = [line for line in text.splitlines()[:200] if line.strip()]

    def regularity(sign: str) -> tuple[int, int]:
        counts = Counter(line.count(sign) for line in lines if sign in line)
        pieces, times = max(counts.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
        return times, pieces

    return max(DELIMITERS, key=regularity)


# --- what the columns mean ------------------------------------------------------------------------------------


def guess(table: Table, *, currency: str = "EUR", account: str = "") -> Columns:
    """The mapping that fits best; `complete` tells whether it is enough to read money."""
    header, roles = _header(table.rows)
    body = table.rows[header + 1 :]
    money = [roles[role] for role in ("amount", "credit") if role in roles]
    dates = [roles[role] for role in ("value_date", "booking_date") if role in roles]
    return Columns(
        header=header,
        delimiter=table.delimiter,
        date_format=_date_format(_cells(body, dates)),
        decimal=_decimal(_cells(body, money), table.delimiter),
        value_date=roles.get("value_date", -1),
        booking_date=roles.get("booking_date", -1),
        # Where both are there, the column of credits cannot be mistaken.
        amount=-1 if "credit" in roles else roles.get("amount", -1),
        credit=roles.get("credit", -1),
        direction=roles.get("direction", -1),
        payer=roles.get("payer", -1),
        bank_reference=roles.get("bank_reference", -1),
        currency_column=roles.get("currency", -1),
        account_column=roles.get("account", -1),
        texts=tuple(_all_texts(table.rows[header])) if table.rows else (),
        currency=currency,
        account=account,
    )


def header_hash(table: Table) -> str:
    """What the files of one bank have in common."""
    header, _roles = _header(table.rows)
    names = table.rows[header] if table.rows else []
    return hashlib.sha256("\n".join([table.delimiter, *map(_plain, names)]).encode()).hexdigest()


def _header(rows: Sequence[Sequence[str]]) -> tuple[int, dict[str, int]]:
    """The row that names the columns, which need not be the first, and what each of them is."""
    best, found = 0, dict[str, int]()
    for number, row in enumerate(rows[:_PREAMBLE]):
        roles = _roles(row)
        useful = len(roles) + 10 * ("amount" in roles or "credit" in roles)
        if useful > len(found) + 10 * ("amount" in found or "credit" in found):
            best, found = number, roles
    return best, found


def _roles(row: Sequence[str]) -> dict[str, int]:
    names = [_plain(cell) for cell in row]
    found: dict[str, int] = {}
    for role, words in ROLES.items():
        for word in words:
            at = next((at for at, name in enumerate(names) if name == word and at not in found.values()), None)
            if at is not None:
                found[role] = at
                break
    return found


def _all_texts(header: Sequence[str]) -> list[int]:
    return [at for at, cell in enumerate(header) if _plain(cell) in ROLES["text"]]


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^a-z0-9]+", " ", unidecode(text[:200]).lower()).split())


def _cells(rows: Iterable[Sequence[str]], columns: Sequence[int]) -> list[str]:
    return [row[at].strip() for row in rows for at in columns if at < len(row) and row[at].strip()]


def _date_format(cells: Sequence[str]) -> str:
    """The format that reads most of them; of equals, the first in the list."""
    return max(DATE_FORMATS, key=lambda form: sum(parse_date(cell, form) is not None for cell in cells))


def _decimal(cells: Sequence[str], delimiter: str) -> str:
    endings = Counter(found[1] for cell in cells if (found := re.search(r"([.,])\d{1,2}(?!\d)\D*$", cell)))
    if endings:
        return endings.most_common(1)[0][0]
    return "." if delimiter == "," else ","


# --- what the cells say ---------------------------------------------------------------------------------------


def parse_date(text: str, form: str) -> date | None:
    try:
        found = datetime.strptime(text.strip()[:10].strip(), form).date()  # noqa: DTZ007
    except ValueError:
        return None
    return found if 1990 <= found.year <= 2200 else None


def parse_amount(text: str, *, decimal: str, currency: str) -> Money | None:
    """`1 234,50`, `1.234,50 €`, `(12.00)`, `12,00-`; None for what is no amount of this currency."""
    letters = set(re.findall(r"[A-Z]+", text.upper()))
    if letters - {currency, "FCFA", "CFA", "F", *_IN, *_OUT}:
        return None
    plain = re.sub(r"[\s\u00a0\u202f'’A-Za-z€$£]", "", text).replace("\N{MINUS SIGN}", "-")
    negative = plain.startswith(("-", "(")) or plain.endswith("-") or bool(letters & _OUT)
    plain = plain.strip("-+()")
    groups = "." if decimal == "," else ","
    whole, sign, rest = plain.rpartition(decimal)
    if not sign:
        whole, rest = plain, ""
    if groups in whole and not re.fullmatch(rf"\d{{1,3}}(?:{re.escape(groups)}\d{{3}})+", whole, re.ASCII):
        return None
    whole = whole.replace(groups, "")
    if not re.fullmatch(r"\d{1,15}", whole, re.ASCII) or not re.fullmatch(r"\d{0,6}", rest, re.ASCII):
        return None
    try:
        amount = Money.of(f"{whole}.{rest or '0'}", currency)
    except NotMoney:
        return None
    return -amount if negative else amount


def read(table: Table, mapping: Columns) -> Reading:
    """Raises StatementRefused for a mapping that no money can be read with."""
    if not mapping.complete:
        raise StatementRefused("columns")
    entries: list[Entry] = []
    unreadable: list[str] = []
    left_out = 0
    for number, row in enumerate(table.rows[mapping.header + 1 :], mapping.header + 2):
        try:
            entry = _entry(row, mapping)
        except ValueError as error:
            unreadable.append(f"{number}: {error}"[:200])
            continue
        if entry is None:
            left_out += 1
        else:
            entries.append(entry)
    return Reading(entries=keyed(entries), left_out=left_out, unreadable=unreadable)


def _entry(row: Sequence[str], mapping: Columns) -> Entry | None:
    """None for money that went out. Raises ValueError."""

    def cell(at: int) -> str:
        return row[at].strip() if 0 <= at < len(row) else ""

    currency = cell(mapping.currency_column).upper() or mapping.currency
    said = cell(mapping.credit) if mapping.credit >= 0 else cell(mapping.amount)
    if mapping.credit >= 0 and not said:
        return None
    if _plain(cell(mapping.direction)).upper().startswith(("D", "OUT", "SORTIE")):
        return None
    amount = parse_amount(said, decimal=mapping.decimal, currency=currency)
    if amount is None:
        raise ValueError(said or "no amount")
    if amount.minor <= 0:
        return None
    value_date = parse_date(cell(mapping.value_date), mapping.date_format)
    booking_date = parse_date(cell(mapping.booking_date), mapping.date_format)
    day = value_date or booking_date
    if day is None:
        raise ValueError(cell(mapping.value_date) or cell(mapping.booking_date) or "no date")
    texts = tuple(" ".join(cell(at).split()) for at in mapping.texts if cell(at))
    return Entry(
        account=(cell(mapping.account_column) or mapping.account).replace(" ", "").upper()[:34],
        amount=amount,
        value_date=day,
        booking_date=booking_date,
        bank_reference=given(cell(mapping.bank_reference)),
        payer=cell(mapping.payer)[:140],
        text=" ".join(texts)[:500],
        remittance=(*texts, cell(mapping.bank_reference), cell(mapping.payer)),
    )
