"""Amounts as PayPal writes them: text, with PayPal's own idea of decimals."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from parcelle.core.money import Money, NotMoney

# PayPal's table, without BRL, CNY and MYR: they work between accounts of their own country only. No XAF, no XOF.
DECIMALS = {
    **dict.fromkeys(
        ("AUD", "CAD", "CHF", "CZK", "DKK", "EUR", "GBP", "HKD", "ILS", "MXN", "NOK", "NZD", "PHP", "PLN"), 2
    ),
    **dict.fromkeys(("SEK", "SGD", "THB", "USD"), 2),
    # ISO 4217 gives the forint and the Taiwan dollar two.
    **dict.fromkeys(("HUF", "JPY", "TWD"), 0),
}
_MOST = Decimal("999999999999999.99")


def to_wire(amount: Money) -> dict[str, str]:
    """Raises NotMoney for what PayPal cannot take: another currency, decimals it does not have, nothing at all."""
    currency = amount.currency
    if currency not in DECIMALS:
        raise NotMoney(f"PayPal takes no {currency}")
    if not 0 < amount.amount <= _MOST:
        raise NotMoney(f"PayPal takes no payment of {amount}")
    exact = amount.amount.quantize(Decimal(1).scaleb(-DECIMALS[currency]))
    if exact != amount.amount:
        raise NotMoney(f"PayPal knows no decimals of {currency}")
    return {"currency_code": currency, "value": f"{exact:f}"}


def from_wire(written: Mapping[str, Any]) -> Money:
    """Raises NotMoney."""
    return Money.of(str(written.get("value", "")), str(written.get("currency_code", "")))
