"""The command line: one file per group of commands, loaded only when one of them is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True)
class Entry:
    """Where a command is: `module:function` for one command, `module:app` for a group of them."""

    where: str
    help: str
    # Whether it talks to the database or uses settings; `--help` and `up` start without loading Django.
    django: bool = False
    # A pool of connections is for what serves many at once.
    pooled: bool = False


COMMANDS: dict[str, Entry] = {
    "billing": Entry("parcelle.surfaces.cli.billing:app", "Run and rehearse the calendar of billing.", django=True),
    "blueprint": Entry(
        "parcelle.surfaces.cli.blueprint:app", "Write, check and look at what can be sold.", django=True
    ),
    "check": Entry("parcelle.surfaces.cli.check:check", "Say what is wrong with this installation.", django=True),
    "drift": Entry(
        "parcelle.surfaces.cli.drift:app", "Compare what exists on the targets with what should.", django=True
    ),
    "firewall": Entry(
        "parcelle.surfaces.cli.firewall:firewall",
        "Print the rules that close private networks to instances on a Docker Engine.",
        django=True,
    ),
    "instance": Entry("parcelle.surfaces.cli.instance:app", "Create, watch and change instances.", django=True),
    "invoices": Entry("parcelle.surfaces.cli.invoices:app", "Verify and look at issued invoices.", django=True),
    "ledger": Entry("parcelle.surfaces.cli.ledger:app", "Read the books and export them.", django=True),
    "migrate": Entry("parcelle.surfaces.cli.migrate:migrate", "Bring the tables up to date, as their owner."),
    "momo": Entry("parcelle.surfaces.cli.momo:app", "Set MTN Mobile Money up.", django=True),
    "secrets": Entry("parcelle.surfaces.cli.secrets:app", "Change the keys of stored secrets.", django=True),
    "simulate": Entry(
        "parcelle.surfaces.cli.simulate:simulate",
        "Stand in for a payment service, to try the checkout without an account.",
        django=True,
    ),
    "token": Entry("parcelle.surfaces.cli.token:app", "Make, list and revoke API tokens.", django=True),
    "transfers": Entry("parcelle.surfaces.cli.transfers:app", "Import bank statements and match them.", django=True),
    "worker": Entry(
        "parcelle.surfaces.cli.worker:worker", "Run background jobs until stopped.", django=True, pooled=True
    ),
}


class _Lazy(TyperGroup):
    """Lists every command by its help text alone and imports the one that is called."""

    entries: Mapping[str, Entry] = COMMANDS

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(self.entries)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = self.entries.get(cmd_name)
        return TyperCommand(cmd_name, help=entry.help) if entry else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(self.entries[name], name) if name and command else command, rest


def load(entry: Entry, name: str) -> Any:
    """The command itself, imported with what it needs."""
    if entry.django:
        import django

        if not entry.pooled:
            os.environ.setdefault("PARCELLE_DATABASE_POOL", "0")
        django.setup()
        from parcelle.core import context

        # A worker says so itself.
        context.of_process(context.Platform.COMMANDS)
    module, _, attribute = entry.where.partition(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        command = typer.main.get_command(found)
    else:
        single = typer.Typer(add_completion=False)
        single.command(name, help=entry.help)(found)
        command = typer.main.get_command(single)
    command.name = name
    return command


def run(more: Mapping[str, Entry] | None = None) -> None:
    """Runs the command that was typed; `more` are the composition root's own."""
    _Lazy.entries = {**COMMANDS, **(more or {})}
    app = typer.Typer(cls=_Lazy, name="parcelle", no_args_is_help=True, add_completion=False)

    @app.callback()
    def parcelle() -> None:
        """Turns an application that runs in containers into a SaaS."""

    try:
        app()
    except Exception as error:
        if not _database_is_away(error):
            raise
        reason = str(error).strip().splitlines()[0]
        print(f"parcelle: PostgreSQL does not answer ({reason}): start Parcelle with `parcelle up`.", file=sys.stderr)
        raise SystemExit(1) from None


def _database_is_away(error: Exception) -> bool:
    database = sys.modules.get("django.db")
    return database is not None and isinstance(error, database.OperationalError)
