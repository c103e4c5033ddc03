"""Which transfer a line of a bank statement is: proposals, made in two questions for any number of lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet
from text_unidecode import unidecode

from parcelle.domain.billing import transfer_states
from parcelle.domain.billing.models import Confirmation, StatementLine, Transfer

# Our reference and the exact amount that is missing.
EXACT = "exact"
# Our reference, but less, more, another currency, or for a transfer that is paid or given up.
PARTIAL, OVER, CURRENCY, AGAIN, LATE = "partial", "over", "currency", "again", "late"
# An operator noted this money already, by hand: the line only proves it.
KNOWN = "known"
# No reference, but the amount and the name.
WEAK = "weak"

# Words that half of all companies carry in their names.
_COMMON = frozenset({"sarl", "sas", "sasu", "eurl", "sa", "sci", "ltd", "gmbh", "inc", "company", "monsieur", "madame"})
_MOST_OF_ONE_AMOUNT = 200


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """`known` is the confirmation that this line proves, where `kind` is KNOWN."""

    kind: str
    transfer: Transfer
    known: Confirmation | None = None


def proposals(lines: Iterable[StatementLine]) -> dict[UUID, Proposal]:
    """By line; none for a line of which nothing is recognised."""
    lines = list(lines)
    by_reference = _by_reference(lines)
    by_amount = _by_amount(lines)
    found = {}
    for line in lines:
        named = next((by_reference[text] for text in line.references if text in by_reference), None)
        if named is not None:
            found[line.pk] = judge(line, named)
        elif likely := _likely(line, by_amount.get((line.amount_minor, line.currency), ())):
            found[line.pk] = Proposal(kind=WEAK, transfer=likely)
    return found


def judge(line: StatementLine, transfer: Transfer) -> Proposal:
    """What it would mean that this line is for this transfer."""
    for row in transfer.confirmations.all():
        if row.state in {Confirmation.WAITING, Confirmation.COUNTED} and _proves(line, row):
            return Proposal(kind=KNOWN, transfer=transfer, known=row)
    return Proposal(kind=_kind(line, transfer), transfer=transfer)


def _proves(line: StatementLine, row: Confirmation) -> bool:
    same_money = row.amount == line.amount and abs((row.value_date - line.value_date).days) <= 5
    return same_money and not hasattr(row, "line")


def _kind(line: StatementLine, transfer: Transfer) -> str:
    if line.currency != transfer.currency:
        return CURRENCY
    if transfer.state in transfer_states.CLOSED:
        return LATE
    if transfer.state not in transfer_states.OPEN:
        return AGAIN
    if line.amount_minor == transfer.missing.minor:
        return EXACT
    return PARTIAL if line.amount_minor < transfer.missing.minor else OVER


def _by_reference(lines: Sequence[StatementLine]) -> dict[str, Transfer]:
    wanted = {text for line in lines for text in line.references}
    rows = _whole().filter(reference__in=wanted) if wanted else ()
    return {row.reference: row for row in rows}


def _by_amount(lines: Sequence[StatementLine]) -> dict[tuple[int, str], list[Transfer]]:
    amounts = {line.amount_minor for line in lines}
    found: dict[tuple[int, str], list[Transfer]] = {}
    if amounts:
        rows = _whole().filter(amount_minor__in=amounts, state__in=transfer_states.OPEN, received_minor=0)
        for row in rows.order_by("-created_at")[: _MOST_OF_ONE_AMOUNT * len(amounts)]:
            found.setdefault((row.amount_minor, row.currency), []).append(row)
    return found


def _whole() -> QuerySet[Transfer]:
    return Transfer.objects.select_related("payment__order").prefetch_related("confirmations__line")


def _likely(line: StatementLine, candidates: Sequence[Transfer]) -> Transfer | None:
    """The one whose buyer has the payer's name; none when two have it."""
    payer = _names(f"{line.payer} {line.text}")
    fitting = []
    for transfer in candidates:
        buyer = transfer.payment.order.buyer
        company = _names(buyer.get("company", ""))
        person = _names(f"{buyer.get('first_name', '')} {buyer.get('last_name', '')}")
        if (company and company <= payer) or (len(person) > 1 and person <= payer):
            fitting.append(transfer)
    return fitting[0] if len(fitting) == 1 else None


def _names(text: str) -> frozenset[str]:
    words = re.findall(r"[a-z0-9]{2,}", unidecode(text).lower())
    return frozenset(words) - _COMMON
