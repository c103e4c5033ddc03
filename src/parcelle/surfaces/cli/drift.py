"""`parcelle drift`: what exists on the targets against what should, and repairing the difference."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer
from django.utils import timezone
from rich.markup import escape
from rich.table import Table

from parcelle.core.states import IllegalTransition
from parcelle.domain.catalog.blueprints import BlueprintError
from parcelle.domain.provisioning import drift as comparison
from parcelle.domain.provisioning import repairs, states
from parcelle.domain.provisioning.errors import InstanceBusy, ProvisioningError
from parcelle.domain.provisioning.models import Finding, Operation, Target
from parcelle.surfaces.cli.output import AsJson, console, fail, print_json, when

app = typer.Typer(add_completion=False)
ACTOR = "cli"
_POLL_SECONDS = 0.2


@app.command("drift", help="Compare what exists on the targets with what should.")
def drift(
    target: Annotated[str, typer.Option(help="Only this target.", metavar="NAME")] = "",
    repair: Annotated[
        list[str] | None, typer.Option(help="Repair this finding: its id, or how it begins.", metavar="ID")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before something is removed.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Ask for repairs and return at once.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare what exists on the targets with what should; nothing is changed unless a repair is asked for."""
    silent = _look(_targets(target))
    if repair:
        _repair([_find(word) for word in repair], yes=yes, wait=not no_wait)
    found = [f for f in comparison.open_findings() if not target or f.target.name == target]
    if as_json:
        print_json({"findings": [_summary(finding) for finding in found], "unreachable": silent})
    else:
        _show(found, silent)
    if silent:
        raise typer.Exit(1)


def _targets(name: str) -> list[Target]:
    found = list(Target.objects.filter(name=name) if name else Target.objects.filter(enabled=True).order_by("name"))
    if name and not found:
        fail(f"There is no target {name!r}; there is: {', '.join(Target.objects.values_list('name', flat=True))}.")
    return found


def _look(targets: list[Target]) -> dict[str, str]:
    """Target name -> why it could not be compared."""
    silent: dict[str, str] = {}
    for target in targets:
        try:
            comparison.look(target, now=timezone.now())
        except ProvisioningError as error:
            silent[target.name] = error.detail
    return silent


def _find(word: str) -> Finding:
    found = [finding for finding in comparison.open_findings() if str(finding.pk).startswith(word.lower())]
    if len(found) != 1:
        fail(f"{'No finding' if not found else 'More than one finding'} begins with {word!r}: see `parcelle drift`.")
    return found[0]


def _repair(findings: list[Finding], *, yes: bool, wait: bool) -> None:
    for finding in findings:
        if repairs.kind_of_repair(finding) in repairs.REMOVING and not yes:
            _confirm(finding)
        try:
            operation = repairs.repair(finding.pk, shown=finding.parts, actor=ACTOR, now=timezone.now())
        except InstanceBusy:
            fail(f"Another operation works on {finding.name} right now.")
        except IllegalTransition:
            fail(f"{finding.name} has changed in the meantime: look again.")
        except (ProvisioningError, BlueprintError) as error:
            fail(f"{finding.name} cannot be repaired: {error}")
        typer.echo(f"{finding.name}: {operation.kind.replace('_', ' ')} was asked for.", err=True)
        if wait:
            _wait(operation, finding.name)


def _confirm(finding: Finding) -> None:
    typer.echo(f"This is removed from {finding.target.name} for good:", err=True)
    for part in finding.parts:
        typer.echo(f"  {part}", err=True)
    if not sys.stdin.isatty():
        fail("Nobody can be asked here: add --yes to remove it.")
    if not typer.confirm("Remove it?", err=True):
        fail("Nothing was changed.")


def _wait(operation: Operation, name: str) -> None:
    while operation.state in states.UNFINISHED:
        if timezone.now() > operation.deadline_at:
            fail("No worker has finished this in time: start Parcelle with `parcelle up`, or ask `parcelle check`.")
        time.sleep(_POLL_SECONDS)
        operation.refresh_from_db()
    if operation.state != states.SUCCEEDED:
        fail(f"{name} could not be repaired: {operation.error_detail}")


def _summary(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.pk,
        "target": finding.target.name,
        "kind": finding.kind,
        "name": finding.name,
        "ref": finding.ref,
        "instance": finding.instance_id,
        "parts": finding.parts,
        "detail": finding.detail or None,
        "repair": repairs.kind_of_repair(finding),
        "opened_at": finding.opened_at,
        "seen_at": finding.seen_at,
    }


def _show(found: list[Finding], silent: dict[str, str]) -> None:
    for name, reason in silent.items():
        typer.echo(f"parcelle: {name} could not be compared: {reason}", err=True)
    if not found:
        typer.echo("Everything is where it should be." if not silent else "Nothing else is known to be amiss.")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("Id", "Target", "What", "Name", "There", "Since"):
        table.add_column(heading, no_wrap=heading in {"Id", "What", "Since"}, overflow="fold")
    for finding in found:
        what = finding.kind.replace("_", " ") + (f" ({finding.detail})" if finding.detail else "")
        there = "\n".join(finding.parts) or "–"
        row = (str(finding.pk)[:8], finding.target.name, what, finding.name, there, when(finding.opened_at))
        table.add_row(*map(escape, row))
    console().print(table)
    typer.echo("Repair one with: parcelle drift --repair ID")
