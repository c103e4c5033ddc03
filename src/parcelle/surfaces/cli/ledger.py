"""`parcelle ledger`: what the books say, and files for accountants."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from django.utils import timezone, translation
from rich.table import Table

from parcelle.core.money import Money
from parcelle.domain.billing import sellers
from parcelle.domain.billing.ledger import audit, exports, queries
from parcelle.domain.tenancy.models import Organization
from parcelle.surfaces.cli.output import AsJson, console, fail, print_json

app = typer.Typer(no_args_is_help=True, help="Read the books and export them.")

AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV for a spreadsheet.")]
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"])]


@app.command()
def balance(since: Day = None, until: Day = None, as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """Print the trial balance: every account with its debits and credits."""
    if as_csv:
        with translation.override("en"):
            typer.echo(exports.trial_balance_csv(since=_day(since), until=_day(until)), nl=False)
        return
    rows = queries.trial_balance(since=_day(since), until=_day(until))
    with translation.override("en"):
        if as_json:
            print_json([{**asdict(row.account), **_amounts(row)} for row in rows])
            return
        table = Table("Account", "Name", *(f"[right]{name}[/]" for name in ("Debit", "Credit", "Balance")))
        for row in rows:
            table.add_row(row.account.code, str(row.account.name), *_amounts(row).values())
        console().print(table)


def _amounts(row: queries.AccountSum) -> dict[str, str]:
    return {"debit": str(row.debit), "credit": str(row.credit), "balance": str(row.balance)}


@app.command()
def statement(
    organization: Annotated[str, typer.Argument(help="The organization's short name.")],
    currency: Annotated[str, typer.Option(help="One currency only.")] = "",
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Print what changed a customer's balance: positive is what they owe, negative what we owe them."""
    found = Organization.objects.filter(slug=organization).first()
    if found is None:
        fail(f"There is no organization with the short name {organization!r}.")
    wanted = [currency.upper()] if currency else sorted(queries.balances(found.pk))
    with translation.override("en"):
        lines = [line for each in wanted for line in queries.statement(found.pk, each)]
        if as_csv:
            typer.echo(exports.statement_csv(lines), nl=False)
            return
        if as_json:
            print_json([_line(line) for line in lines])
            return
        table = Table("Date", "What", "Document", "Amount", "Balance")
        for line in lines:
            table.add_row(*_line(line).values())
        console().print(table)


def _line(line: queries.StatementLine) -> dict[str, str]:
    said: dict[str, Any] = {"date": line.date.isoformat(), "kind": line.label, "document": line.reference}
    return {**said, "amount": str(line.amount), "balance": str(line.balance)}


@app.command()
def fec(
    year: Annotated[int, typer.Option(help="The year in which the fiscal year ends.")],
    last_month: Annotated[int, typer.Option(min=1, max=12, help="The fiscal year's last month.")] = 12,
    to: Annotated[Path, typer.Option(file_okay=False, help="The folder to write to.")] = Path(),
) -> None:
    """Write the « fichier des écritures comptables » of a fiscal year, as the French tax administration asks for it."""
    wanted = exports.FiscalYear.of(year, last_month=last_month)
    try:
        path = to / exports.fec_name(sellers.current().siren, wanted)
        content = b"".join(exports.fec(wanted))
    except exports.FecRefused as refused:
        fail(_WHY[refused.code].format(detail=refused.detail))
    to.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    typer.echo(path)


_WHY = {
    "no_siren": "The seller has no SIREN yet: enter it in the back office, under Seller.",
    "no_rate": "Nobody said what a euro is worth in {detail}: enter an exchange rate in the back office.",
}


@app.command()
def verify(book: Annotated[bool, typer.Option(help="Book what never was booked.")] = False) -> None:
    """Recompute the books from payments and refunds, and say what differs."""
    if book:
        typer.echo(f"{audit.catch_up()} booked")
    found = audit.differences()
    for each in found:
        typer.echo(f"{each.key}: happened {each.expected}, booked {_or_never(each.booked)}")
    if found:
        raise typer.Exit(1)
    typer.echo(f"The books are what the documents say, on {timezone.localdate():%Y-%m-%d}.")


def _or_never(amount: Money | None) -> str:
    return str(amount) if amount is not None else "never"


def _day(moment: datetime | None) -> date | None:
    return moment.date() if moment else None
