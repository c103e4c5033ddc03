"""`parcelle billing`: what the calendar of subscriptions asks for, done now or played ahead."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import datetime, time, timedelta
from typing import Annotated, Any

import typer
from django.utils import timezone
from rich.markup import escape
from rich.table import Table

from parcelle.core.money import Money
from parcelle.domain.billing.models import Subscription
from parcelle.domain.catalog.models import Price
from parcelle.journeys import billing_day, change_plan, rehearsal
from parcelle.journeys.rehearsal import Document
from parcelle.surfaces.cli.output import AsJson, console, fail, print_json

app = typer.Typer(no_args_is_help=True, help="Run and rehearse the calendar of billing.")

_WORDS = {
    "asked": "renewal asked for",
    "invoice": "invoice",
    "reminder": "reminder",
    "trial_reminder": "reminder of the trial’s end",
    "suspended": "suspended",
    "trial_ended": "trial ended",
    "archived": "archived",
    "problem": "PROBLEM",
}


@app.command()
def run(
    date: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Up to the end of this day.")] = None,
    as_json: AsJson = False,
) -> None:
    """Do what is due: periods to ask for, reminders, suspensions, ends. Safe to repeat and to interrupt."""
    now = timezone.now()
    if date is not None and date.date() > timezone.localdate(now):
        fail(f"{date:%Y-%m-%d} is still to come: `parcelle billing simulate --until {date:%Y-%m-%d}` plays it ahead.")
    at = min(now, _end_of(date)) if date else now
    done = billing_day.run(now=at)
    if as_json:
        print_json({**done, "problems": [{"subscription": pk, "problem": text} for pk, _whose, text in _problems()]})
    else:
        typer.echo(", ".join(f"{name.replace('_', ' ')}: {number}" for name, number in done.items()))
        for _pk, whose, text in _problems():
            typer.echo(f"parcelle: {whose}: {text}", err=True)
    if done["failed"]:
        raise typer.Exit(1)


def _problems() -> list[tuple[str, str, str]]:
    rows = Subscription.objects.exclude(problem="").select_related("organization", "plan__product")
    return [(str(row.pk), str(row), row.problem) for row in rows.order_by("organization__slug")]


@app.command()
def simulate(
    until: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Up to the end of this day.")],
    unpaid: Annotated[bool, typer.Option("--unpaid", help="As if nobody paid, instead of everybody in time.")] = False,
    customer: Annotated[str, typer.Option(help="One organization only, by its short name.")] = "",
    as_json: AsJson = False,
) -> None:
    """Play the calendar ahead and print what would be made; nothing is kept and nothing leaves the house."""
    now = timezone.now()
    if until.date() < timezone.localdate(now):
        fail(f"{until:%Y-%m-%d} is over: what happened is in the back office.")
    found = sorted(
        rehearsal.play(now=now, until=_end_of(until), paid=not unpaid, slug=customer),
        key=lambda each: (each.at, each.customer),
    )
    if as_json:
        print_json([_plain(each) for each in found])
        return
    sums = (f"[right]{name}[/]" for name in ("Net", "VAT", "Total"))
    table = Table("Date", "What", "Customer", "Plan", "Period", *sums)
    for each in found:
        table.add_row(*(escape(cell) for cell in _cells(each)))
    console().print(table)
    for line in _sums(found):
        typer.echo(line)


@app.command()
def reprice(
    plan: Annotated[str, typer.Argument(help="Product and plan by their short names, such as tryton/bronze.")],
    interval: Annotated[str, typer.Argument(help="month or year")],
    currency: Annotated[str, typer.Argument(help="Such as EUR.")],
    notice: Annotated[int, typer.Option(min=0, help="Days between the mail and the first renewal it counts for.")] = 30,
) -> None:
    """Let customers of the plan's earlier prices pay the present one from a later renewal on; each is told by mail.

    Change the price in the back office first: that alone counts for new customers only.
    """
    product, _slash, name = plan.partition("/")
    rows = Price.objects.filter(
        plan__product__slug=product, plan__slug=name, interval=interval, currency=currency.upper()
    )
    current = rows.filter(retired_at=None).first()
    if current is None:
        fail(f"{plan} has no price per {interval} in {currency}.")
    now, number = timezone.now(), 0
    for old in rows.exclude(pk=current.pk).exclude(retired_at=None).filter(leaves=None):
        change_plan.announce_price(
            old_id=old.pk, new_id=current.pk, actor="cli", now=now, notice=timedelta(days=notice)
        )
        number += 1
        typer.echo(f"{old.amount} becomes {current.amount} for periods from {now + timedelta(days=notice):%Y-%m-%d} on")
    if not number:
        typer.echo("There is no earlier price that was not announced already.")


def _end_of(day: datetime) -> datetime:
    return timezone.make_aware(datetime.combine(day.date() + timedelta(days=1), time())) - timedelta(microseconds=1)


def _cells(each: Document) -> list[str]:
    what = _WORDS[each.kind] + (f" ({each.detail})" if each.detail else "")
    period = f"{_day(each.begins)} – {_day(each.ends)}" if each.begins else ""
    amounts = [str(amount) if amount is not None else "" for amount in (each.net, each.tax, each.total)]
    return [_day(each.at), what, each.customer, each.plan, period, *amounts]


def _day(moment: datetime | None) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d}" if moment else ""


def _sums(found: list[Document]) -> list[str]:
    """What the invoices of each currency come to."""
    totals: Counter[str] = Counter()
    for each in found:
        if each.kind == "invoice" and each.total is not None:
            totals[each.total.currency] += each.total.minor
    numbers = Counter(each.total.currency for each in found if each.kind == "invoice" and each.total is not None)
    return [f"{numbers[each]} invoices, {Money(minor, each)} in all" for each, minor in sorted(totals.items())]


def _plain(each: Document) -> dict[str, Any]:
    values = {**asdict(each), "net": each.net, "tax": each.tax, "total": each.total}
    return {name: str(value) if isinstance(value, Money) else value for name, value in values.items()}
