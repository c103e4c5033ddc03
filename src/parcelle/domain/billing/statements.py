"""Bank statements: taken as files, read into lines once, matched with transfers when somebody says so."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import QuerySet

from parcelle.core import events
from parcelle.core.states import IllegalTransition, move
from parcelle.domain.billing import matching, references, statement_files, transfers
from parcelle.domain.billing.errors import StatementRefused, TransferRefused
from parcelle.domain.billing.models import (
    Confirmation,
    Statement,
    StatementFormat,
    StatementLine,
    Transfer,
)
from parcelle.domain.billing.receipts import shown_name
from parcelle.domain.billing.statement_files import Reading, camt053, table
from parcelle.domain.billing.statement_files.table import Columns, Table
from parcelle.domain.billing.transfer_events import StatementImported, StatementLineIgnored

logger = structlog.get_logger(__name__)

MOST_BYTES = 10 * 1024 * 1024
_LINE_STATES = {StatementLine.OPEN: frozenset({StatementLine.MATCHED, StatementLine.IGNORED})}


# --- taking a file -------------------------------------------------------------------------------------------


def take(name: str, content: bytes, *, actor: str, now: datetime) -> Statement:
    """Keeps a file and imports it, unless somebody must first say what its columns mean: then it is a draft.

    The same file again is the statement it was. Raises StatementRefused.
    """
    if not content.strip():
        raise StatementRefused("empty")
    if len(content) > MOST_BYTES:
        raise StatementRefused("too_large")
    digest = hashlib.sha256(content).hexdigest()
    known = Statement.objects.filter(sha256=digest).first()
    if known is not None:
        return known
    reading, columns = _understand(content)
    with transaction.atomic():
        statement, new = Statement.objects.get_or_create(
            sha256=digest,
            defaults={
                "kind": Statement.CAMT if columns is None else Statement.CSV,
                "name": shown_name(name),
                "body": content,
                "actor": actor,
                "created_at": now,
            },
        )
        if new and reading is not None:
            _store(statement, reading, actor=actor, now=now)
    if new and reading is not None:
        confirm_automatically(statement, now=now)
    return statement


def _understand(content: bytes) -> tuple[Reading | None, Columns | None]:
    """What is in the file, where that is sure; and how its columns are read, where it has any."""
    if statement_files.is_xml(content):
        return camt053.read(content), None
    opened = table.open_table(content)
    guessed = _guess(opened)
    known = StatementFormat.objects.filter(header=table.header_hash(opened)).first()
    if known is None:
        return None, guessed
    columns = Columns.stored(known.mapping)
    return table.read(opened, columns), columns


def _guess(opened: Table) -> Columns:
    account = next(iter(transfers.opened().accounts.values()), None)
    if account is None:
        return table.guess(opened)
    return table.guess(opened, currency=account.currency, account=account.iban)


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A draft as its columns are understood: the rows of the file, and what would be read out of them."""

    table: Table
    columns: Columns
    reading: Reading | None


def preview(statement: Statement, columns: Columns | None = None) -> Preview:
    """How a draft would be read, by the given columns or as guessed. Raises StatementRefused."""
    opened = table.open_table(bytes(statement.body), delimiter=columns.delimiter if columns else "")
    understood = columns or _guess(opened)
    reading = table.read(opened, understood) if understood.complete else None
    return Preview(table=opened, columns=understood, reading=reading)


def import_draft(
    statement_id: UUID, columns: Columns, *, actor: str, now: datetime, remember: bool = True
) -> Statement:
    """Imports a draft by these columns and remembers them for the next file of this bank. Raises StatementRefused.

    Without `remember`, because nobody has looked, the columns are guessed anew the next time.
    """
    with transaction.atomic():
        statement = Statement.objects.select_for_update().get(pk=statement_id)
        if statement.state != Statement.DRAFT:
            raise StatementRefused("imported")
        opened = table.open_table(bytes(statement.body), delimiter=columns.delimiter)
        _store(statement, table.read(opened, columns), actor=actor, now=now)
        if remember:
            StatementFormat.objects.update_or_create(
                header=table.header_hash(opened),
                defaults={"mapping": columns.to_store(), "actor": actor, "at": now},
            )
    confirm_automatically(statement, now=now)
    return statement


def discard(statement_id: UUID) -> None:
    """A draft that was a mistake: nothing has come of it."""
    Statement.objects.filter(pk=statement_id, state=Statement.DRAFT).delete()


def _store(statement: Statement, reading: Reading, *, actor: str, now: datetime) -> None:
    lines = [
        StatementLine(
            statement=statement,
            account=entry.account,
            key=entry.key,
            bank_reference=entry.bank_reference,
            amount_minor=entry.amount.minor,
            currency=entry.amount.currency,
            value_date=entry.value_date,
            booking_date=entry.booking_date,
            payer=entry.payer,
            text=entry.text,
            references=_references(entry.remittance),
        )
        for entry in reading.entries
    ]
    # Somebody else may import an overlapping file right now: what is there already stays as it is.
    StatementLine.objects.bulk_create(lines, ignore_conflicts=True, batch_size=500)
    new = StatementLine.objects.filter(statement=statement).count()
    statement.lines_new = new
    statement.lines_known = len(lines) - new
    statement.lines_left_out = reading.left_out
    statement.unreadable = reading.unreadable[:100]
    statement.state = Statement.IMPORTED
    statement.save(update_fields=["lines_new", "lines_known", "lines_left_out", "unreadable", "state"])
    events.record(
        StatementImported(
            statement_id=statement.pk,
            name=statement.name,
            sha256=statement.sha256,
            lines_new=statement.lines_new,
            lines_known=statement.lines_known,
            lines_left_out=statement.lines_left_out,
        ),
        now=now,
        actor=actor,
    )


def _references(remittance: tuple[str, ...]) -> list[str]:
    """Field by field, and over their borders as well."""
    found = {text for one in remittance for text in references.candidates(one)}
    return sorted(found | set(references.candidates(*remittance)), key=lambda text: (-len(text), text))[:20]


# --- matching ------------------------------------------------------------------------------------------------


def match(
    line_id: UUID,
    transfer_id: UUID,
    *,
    kind: str = "",
    person: UUID | None,
    actor: str,
    now: datetime,
) -> Confirmation:
    """This line is for this transfer: what came is confirmed by it, once.

    `kind` is what the operator was shown; when it has become something else in between, nothing happens. A line that
    proves what was confirmed by hand adds nothing. Raises TransferRefused.
    """
    with transaction.atomic():
        line = StatementLine.objects.select_for_update().get(pk=line_id)
        if line.state != StatementLine.OPEN:
            raise TransferRefused("matched")
        # Nobody confirms the transfer by hand while its line is being looked at.
        transfer = Transfer.objects.select_for_update().get(pk=transfer_id)
        proposal = matching.judge(line, transfer)
        if kind and kind not in {proposal.kind, matching.WEAK}:
            raise TransferRefused("changed")
        confirmation = proposal.known or transfers.confirm(
            transfer.pk,
            amount=line.amount,
            value_date=line.value_date,
            booking_date=line.booking_date,
            bank_reference=_reference_of(line),
            account=line.account,
            person=person,
            actor=actor,
            now=now,
        )
        move(
            line,
            StatementLine.MATCHED,
            table=_LINE_STATES,
            confirmation=confirmation,
            actor=actor,
            decided_at=now,
        )
    return confirmation


def _reference_of(line: StatementLine) -> str:
    """The bank's own, unless the bank used it for something else as well."""
    if not line.bank_reference:
        return line.key
    used = Confirmation.objects.filter(account=line.account, bank_reference=line.bank_reference, line__isnull=False)
    return line.key if used.exists() else line.bank_reference


@dataclass(frozen=True, kw_only=True)
class Matched:
    """What became of the sure ones: confirmed, and refused with the code of the reason."""

    confirmed: list[UUID]
    refused: dict[UUID, str]


def match_sure(
    lines: Iterable[StatementLine], *, person: UUID | None, actor: str, now: datetime, alone: bool = False
) -> Matched:
    """Confirms every line with our reference and the exact amount; each for itself.

    With `alone` nobody has looked: what needs a second person is left to two people.
    """
    confirmed, refused = [], {}
    for line_id, proposal in matching.proposals(lines).items():
        if proposal.kind != matching.EXACT or (
            alone and transfers.needs_two(proposal.transfer, proposal.transfer.amount)
        ):
            continue
        try:
            match(line_id, proposal.transfer.pk, kind=matching.EXACT, person=person, actor=actor, now=now)
        except (TransferRefused, IllegalTransition) as error:
            refused[line_id] = getattr(error, "code", "changed")
        else:
            confirmed.append(line_id)
    return Matched(confirmed=confirmed, refused=refused)


def confirm_automatically(statement: Statement, *, now: datetime) -> None:
    """What is sure, where the vendor has set that nobody needs to look."""
    if not transfers.opened().automatic:
        return
    done = match_sure(open_lines().filter(statement=statement), person=None, actor="system", now=now, alone=True)
    logger.info("transfers confirmed by a statement", statement=str(statement.pk), confirmed=len(done.confirmed))


def open_lines() -> QuerySet[StatementLine]:
    return StatementLine.objects.filter(state=StatementLine.OPEN).order_by("-value_date", "pk")


@transaction.atomic
def ignore(line_id: UUID, *, reason: str, actor: str, now: datetime) -> None:
    """The line pays for nothing of ours, such as the vendor's own money. Raises TransferRefused."""
    line = StatementLine.objects.select_for_update().get(pk=line_id)
    if line.state != StatementLine.OPEN:
        raise TransferRefused("matched")
    move(line, StatementLine.IGNORED, table=_LINE_STATES, actor=actor, decided_at=now, remark=reason[:500])
    events.record(StatementLineIgnored(line_id=line.pk, reason=reason[:500]), now=now, actor=actor)
