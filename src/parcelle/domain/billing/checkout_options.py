"""Which ways to pay an order has."""

from __future__ import annotations

from dataclasses import dataclass

from parcelle.domain.billing import gateways
from parcelle.domain.billing.models import Order


@dataclass(frozen=True, kw_only=True)
class Option:
    name: str
    # Names of what the customer is asked for before the attempt, such as "phone".
    asks: tuple[str, ...]
    # Whether the customer may agree to have later periods taken from it.
    saves: bool = False


def of(order: Order) -> list[Option]:
    """Those that are switched on and can take the order's currency from the buyer's country."""
    country = order.buyer.get("country", "")
    return [
        Option(name=name, asks=gateway.abilities.asks, saves=gateway.abilities.saves)
        for name, gateway in gateways.open_offered().items()
        if gateway.accepts(order.due, country)
    ]
