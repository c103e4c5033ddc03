"""Ways to pay, as a customer reads them."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from parcelle.domain.billing import checkout_options
from parcelle.domain.billing.models import Order


@dataclass(frozen=True, kw_only=True)
class Words:
    title: Promise
    note: Promise
    icon: str
    # What the page shows while the payment waits for the customer, when there is more to say than that it waits.
    waiting: str = ""
    # A sentence for when nobody knows yet what became of the attempt.
    unsure: Promise | str = ""


WORDS: dict[str, Words] = {
    "fake": Words(
        title=_("Test payment"),
        note=_("No money moves. You click what the payment service should answer."),
        icon="flask",
    ),
    "stripe": Words(
        title=_("Payment card"), note=_("Visa, Mastercard and others, on Stripe’s secure page."), icon="credit-card"
    ),
    "paypal": Words(
        title=_("PayPal"),
        note=_("With your PayPal account, on PayPal’s page."),
        icon="brand-paypal",
        waiting="portal/parts/waiting_paypal.html",
    ),
    "mtn_momo": Words(
        title=_("MTN Mobile Money"),
        note=_("You approve the payment on your telephone with your PIN."),
        icon="device-mobile",
        waiting="portal/parts/waiting_mtn_momo.html",
        unsure=_("If a request to pay appears on your telephone, it is for this order: you can approve it."),
    ),
    "bank_transfer": Words(
        title=_("Bank transfer"),
        note=_("Your space opens once the transfer has arrived and been checked."),
        icon="building-bank",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Method:
    """One card of the payment page; `asks` are the names of what it needs to know."""

    name: str
    words: Words
    asks: tuple[str, ...]
    saves: bool


def methods_for(order: Order) -> list[Method]:
    """What can take this order's currency from this buyer's country, in the operator's order."""
    return [
        Method(name=option.name, words=WORDS[option.name], asks=option.asks, saves=option.saves)
        for option in checkout_options.of(order)
        if option.name in WORDS
    ]
