"""How commands speak: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, NoReturn

import typer
from django.utils import timezone
from rich.console import Console

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

# Addresses must stay in one piece where nobody's terminal sets a width.
_WIDTH_OF_A_PIPE = 160


def console(*, stderr: bool = False) -> Console:
    found = Console(highlight=False, stderr=stderr)
    return found if found.is_terminal else Console(highlight=False, stderr=stderr, width=_WIDTH_OF_A_PIPE)


def fail(sentence: str) -> NoReturn:
    """Ends the command: the sentence on standard error, exit code 1."""
    typer.echo(f"parcelle: {sentence}", err=True)
    raise typer.Exit(1)


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=_plain))


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def when(moment: datetime | None) -> str:
    """A moment in the installation's time zone, to the minute; empty for never."""
    return timezone.localtime(moment).strftime("%Y-%m-%d %H:%M") if moment else ""
