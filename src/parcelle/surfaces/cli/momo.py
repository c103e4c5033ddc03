"""`parcelle momo …`: MTN Mobile Money."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from django.conf import settings

from parcelle.domain.billing import momo_setup
from parcelle.surfaces.cli.output import AsJson, fail, print_json

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Set MTN Mobile Money up.")


@app.callback()
def momo() -> None:
    """Set MTN Mobile Money up."""


_REFUSALS = {
    "real_money": (
        "MTN is set up for real money. There, API user and key come from MTN’s partner portal: type them in under "
        "Payment methods in the back office."
    ),
    "no_subscription_key": (
        "The subscription key of {product} is missing. Copy it from your profile on MTN’s developer portal and name "
        "it with --subscription-key, or in PARCELLE_MOMO_SUBSCRIPTION_KEY."
    ),
    "not_admitted": (
        "MTN refused the subscription key. Each product has one of its own: this must be the key of {product}, in the "
        "sandbox."
    ),
    "no_answer": "MTN did not make the API user: {detail}. Nothing was changed here; try again later.",
}


@app.command("apiuser")
def api_user(
    host: Annotated[
        str, typer.Option(help="Host that MTN may send callbacks to; this installation’s own if left out.")
    ] = "",
    subscription_key: Annotated[
        str,
        typer.Option(
            envvar="PARCELLE_MOMO_SUBSCRIPTION_KEY",
            help="Subscription key of the product; the stored one if left out.",
        ),
    ] = "",
    disbursement: Annotated[
        bool, typer.Option("--disbursement", help="For refunds (Disbursement) instead of payments (Collection).")
    ] = False,
    base_url: Annotated[str, typer.Option(help="Another server in the sandbox’s place, such as the simulator’s.")] = "",
    offer: Annotated[
        bool | None, typer.Option("--offer/--no-offer", help="Offer it to customers from now on, or no more.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API user and its key in MTN’s sandbox, and store both with the payment method."""
    product = "disbursement" if disbursement else "collection"
    callback_host = host.strip().lower() or urlsplit(settings.PUBLIC_URL).hostname or ""
    try:
        made = momo_setup.make_api_user(
            product=product,
            callback_host=callback_host,
            subscription_key=subscription_key.strip(),
            base_url=base_url.strip(),
            offer=offer,
        )
    except momo_setup.SetupRefused as refused:
        fail(_REFUSALS[refused.code].format(product=product.title(), detail=refused.detail))
    if as_json:
        print_json(_shown(made))
        return
    typer.echo(f"API user {made.api_user} of {product.title()} is stored with its key.")
    typer.echo(f"Callbacks may come to {made.callback_host}.")
    for problem in made.problems:
        typer.echo(f"Still to do: {problem}", err=True)
    if not made.offered:
        typer.echo("It is not offered to customers: switch it on in the back office, or with --offer.")


def _shown(made: momo_setup.Made) -> dict[str, Any]:
    return {**asdict(made), "problems": list(made.problems)}
