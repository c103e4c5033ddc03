"""`parcelle transfers`: bank statements from the command line, for whoever fetches them every night."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from django.utils import timezone
from rich.markup import escape
from rich.table import Table

from parcelle.domain.billing import matching, statements, transfers
from parcelle.domain.billing.errors import GatewayUnusable, StatementRefused
from parcelle.domain.billing.models import Statement, StatementLine
from parcelle.surfaces.cli.output import AsJson, console, fail, print_json

app = typer.Typer(add_completion=False, no_args_is_help=True)
ACTOR = "cli"

_REFUSALS = {
    "empty": "the file is empty",
    "too_large": "the file is too large",
    "not_a_statement": "this is neither CAMT.053 nor CSV",
    "forbidden_xml": "it declares a document type, which no bank does",
    "encoding": "its characters cannot be read",
    "columns": "its columns of date and amount are not known",
}


@app.callback()
def group() -> None:
    """Bank transfers that customers pay with."""


@app.command("import", help="Import a bank statement: CAMT.053, or CSV whose columns are known.")
def import_(
    file: Annotated[Path, typer.Argument(help="The file of the bank.", exists=True, dir_okay=False)],
    as_json: AsJson = False,
) -> None:
    """Nothing is confirmed by it, unless the settings say that sure lines are; the same file again adds nothing."""
    if file.stat().st_size > statements.MOST_BYTES:
        fail(f"{file}: {_REFUSALS['too_large']}.")
    try:
        taken = statements.take(file.name, file.read_bytes(), actor=ACTOR, now=timezone.now())
        if taken.state == Statement.DRAFT:
            taken = statements.import_draft(
                taken.pk, statements.preview(taken).columns, actor=ACTOR, now=timezone.now(), remember=False
            )
    except StatementRefused as refused:
        fail(f"{file}: {_REFUSALS.get(refused.code, refused.code)}. {refused.detail}".strip())
    except GatewayUnusable:
        fail("Bank transfers are not set up: enter the account in the back office first.")
    lines = list(taken.lines.select_related("confirmation__transfer").order_by("value_date", "pk"))
    proposed = matching.proposals(line for line in lines if line.state == StatementLine.OPEN)
    if as_json:
        print_json(
            {
                "statement": taken.pk,
                "new": taken.lines_new,
                "known": taken.lines_known,
                "left_out": taken.lines_left_out,
                "unreadable": taken.unreadable,
                "lines": [_summary(line, proposed.get(line.pk)) for line in lines],
            }
        )
        return
    _show(taken, lines, proposed)


def _summary(line: StatementLine, proposal: matching.Proposal | None) -> dict[str, Any]:
    of = line.confirmation.transfer if line.confirmation else (proposal.transfer if proposal else None)
    return {
        "id": line.pk,
        "state": line.state,
        "value_date": line.value_date,
        "amount": str(line.amount.amount),
        "currency": line.currency,
        "payer": line.payer,
        "text": line.text,
        "proposal": proposal.kind if proposal else None,
        "transfer": of.reference if of else None,
    }


def _show(taken: Statement, lines: list[StatementLine], proposed: dict[Any, matching.Proposal]) -> None:
    typer.echo(
        f"{taken.lines_new} new, {taken.lines_known} known before, {taken.lines_left_out} left out, "
        f"{len(taken.unreadable)} not understood."
    )
    for text in taken.unreadable:
        typer.echo(f"parcelle: not understood: {text}", err=True)
    if not lines:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("Date", "Amount", "Payer", "What", "Transfer"):
        table.add_column(heading, justify="right" if heading == "Amount" else "left")
    for line in lines:
        known = _summary(line, proposed.get(line.pk))
        what = known["proposal"] or ("not recognised" if line.state == StatementLine.OPEN else line.state)
        row = (str(line.value_date), str(line.amount), line.payer, what, known["transfer"] or "")
        table.add_row(*map(escape, row))
    console().print(table)
    typer.echo(f"{transfers.waiting()} transfers wait for somebody in the back office.")
