"""`parcelle token …`: keys for programs that use the API."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

import typer
from django.db.models import Q
from django.utils import timezone
from rich.markup import escape
from rich.table import Table

from parcelle.domain.accounts.models import ApiToken, User, normalise_email
from parcelle.surfaces.cli.output import AsJson, console, fail, print_json, when

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Make, list and revoke API tokens.")


@app.command()
def create(
    user: Annotated[str, typer.Option(help="E-mail of the user it acts for; the first operator if left out.")] = "",
    name: Annotated[str, typer.Option(help="What it is for.")] = "cli",
    expires_days: Annotated[
        int | None, typer.Option(help="After how many days it ends; never if left out.", min=1, max=3650)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API token. It is shown once: alone on the last line."""
    owner = _user(user)
    now = timezone.now()
    token, plain = ApiToken.issue(
        user=owner, name=name[:80], now=now, expires_at=now + timedelta(days=expires_days) if expires_days else None
    )
    if as_json:
        print_json({**_shown(token), "token": plain})
        return
    until = f"until {when(token.expires_at)}" if token.expires_at else "until it is revoked"
    rights = "every customer's instances" if owner.is_staff else "the instances of their organizations"
    # On standard error, so that a script reads nothing but the token.
    typer.echo(f"This token acts for {owner.email} ({rights}), {until}. It is shown only now:", err=True)
    typer.echo(plain)


@app.command("list")
def index(
    everything: Annotated[bool, typer.Option("--all", help="Revoked and expired ones, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the API tokens, newest first."""
    tokens = ApiToken.objects.select_related("user").order_by("-created_at")
    if not everything:
        tokens = tokens.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()), revoked_at=None)
    if as_json:
        print_json([_shown(token) for token in tokens])
        return
    if not tokens:
        typer.echo("There is no token. Make one with: parcelle token create")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("Id", "Name", "User", "Ends with", "Created", "Expires", "Last used", "State"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "Id")
    for token in tokens:
        seen = _shown(token)
        words = (str(token.pk), token.name, token.user.email, f"…{token.hint}")
        moments = (token.created_at, token.expires_at, token.last_used_at)
        table.add_row(*map(escape, words), *map(when, moments), seen["state"])
    console().print(table)


@app.command()
def revoke(
    token: Annotated[str, typer.Argument(help="Its id, its last six characters, or the token itself.")],
    as_json: AsJson = False,
) -> None:
    """End an API token at once."""
    found = _token(token)
    found.revoke(now=timezone.now())
    found.refresh_from_db()
    if as_json:
        print_json(_shown(found))
    else:
        typer.echo(f"The token {found} of {found.user.email} is revoked.")


def _user(email: str) -> User:
    if email:
        user = User.objects.filter(email=normalise_email(email)).first()
        if user is None:
            fail(f"There is no user {email!r}.")
        if not user.is_active:
            fail(f"{user.email} may not sign in, so their tokens would not work.")
        return user
    operator = User.objects.filter(is_superuser=True, is_active=True).order_by("date_joined").first()
    if operator is None:
        fail("There is no operator yet: start Parcelle once with `parcelle up`, or name somebody with --user.")
    return operator


def _token(text: str) -> ApiToken:
    wanted = Q(hint=text.removeprefix("…")) | Q(digest=ApiToken.digest_of(text))
    with suppress(ValueError):
        wanted |= Q(pk=UUID(text))
    found = list(ApiToken.objects.select_related("user").filter(wanted)[:2])
    if not found:
        fail("There is no such token: `parcelle token list --all` shows them.")
    if len(found) > 1:
        fail("Several tokens end like that: name one by its id.")
    return found[0]


def _shown(token: ApiToken) -> dict[str, Any]:
    if token.revoked_at:
        state = "revoked"
    elif token.expires_at and token.expires_at <= timezone.now():
        state = "expired"
    else:
        state = "valid"
    return {
        "id": token.pk,
        "name": token.name,
        "user": token.user.email,
        "ends_with": token.hint,
        "state": state,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "last_used_at": token.last_used_at,
        "revoked_at": token.revoked_at,
    }
