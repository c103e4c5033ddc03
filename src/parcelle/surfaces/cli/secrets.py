"""`parcelle secrets …`: the keys of stored secrets. docs/decisions/0008-secret-keys.md says how they change."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from parcelle.core import crypto, keyring
from parcelle.surfaces.cli.output import AsJson, fail, print_json

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Change the keys of stored secrets.")

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command()
def rotate(yes: Yes = False, as_json: AsJson = False) -> None:
    """Encrypt every stored secret again with a new key. The old key is kept and goes on reading.

    The embedded system makes the new key itself, and its running processes use it at once. Where the keys come
    from PARCELLE_SECRET_KEYS, put the new one in front there first; every running process must know it.
    """
    if keyring.is_ours():
        keyring.add()
    else:
        _check_environment(yes=yes)
    rewritten = crypto.rotate()
    left = crypto.left_behind()
    if as_json:
        print_json({"rewritten": rewritten, "keys": len(keyring.keys()), "only_older_keys_open": left})
    else:
        typer.echo(f"{_count(rewritten, 'stored secret')} encrypted with the new key.")
        typer.echo(
            f"{_count(len(keyring.keys()) - 1, 'older key')} kept: backups of the database made until now need them. "
            "`parcelle secrets forget` removes them."
            if keyring.is_ours()
            else "The older keys can be removed from PARCELLE_SECRET_KEYS once no backup needs them."
        )
    if left:
        fail(f"Written with an older key meanwhile: {_count(left, 'secret')}. Run `parcelle secrets rotate` again.")


def _check_environment(*, yes: bool) -> None:
    if len(keyring.keys()) < 2:
        fail(
            "PARCELLE_SECRET_KEYS has one key only. Make another (`parcelle secrets new-key`), add it at the end and "
            "restart every process, move it to the front and restart again, then rotate."
        )
    if yes:
        return
    if not sys.stdin.isatty():
        fail("Every running process must know the first key of PARCELLE_SECRET_KEYS already: add --yes if so.")
    if not typer.confirm("Does every running process know the first key of PARCELLE_SECRET_KEYS already?", err=True):
        fail("Nothing was changed.")


@app.command()
def forget(yes: Yes = False, as_json: AsJson = False) -> None:
    """Remove every key but the first, after proving that no stored secret needs them."""
    if not keyring.is_ours():
        fail("The keys come from PARCELLE_SECRET_KEYS: remove the older ones there, after `parcelle secrets rotate`.")
    older = len(keyring.keys()) - 1
    if older and not yes:
        typer.echo(f"To be removed for good: {_count(older, 'older key')}. Backups that need it stay closed.", err=True)
        if not sys.stdin.isatty():
            fail("Nobody can be asked here: add --yes to remove them.")
        if not typer.confirm("Remove them?", err=True):
            fail("Nothing was changed.")
    if left := crypto.left_behind():
        fail(f"Opened by an older key only: {_count(left, 'stored secret')}. Run `parcelle secrets rotate` first.")
    removed = keyring.forget_all_but_first() if older else 0
    if as_json:
        print_json({"removed": removed, "keys": len(keyring.keys())})
    else:
        typer.echo(f"{_count(removed, 'older key')} removed.")


@app.command("new-key")
def new_key(as_json: AsJson = False) -> None:
    """Print a new key for PARCELLE_SECRET_KEYS; nothing is changed."""
    key = keyring.new_key()
    if as_json:
        print_json({"key": key})
    else:
        typer.echo(key)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
