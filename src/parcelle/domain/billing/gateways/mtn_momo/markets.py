"""Where MTN takes Mobile Money: target environments, their country, currency, host and menu."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from parcelle.core.money import Money, decimals

SANDBOX_URL = "https://sandbox.momodeveloper.mtn.com"
PRODUCTION_URL = "https://proxy.momoapi.mtn.com"

# Taken in whole units, whatever a table elsewhere may say: 5000 XAF is "5000" on the wire.
WHOLE = frozenset({"XAF", "XOF", "GNF", "RWF", "UGX"})


@dataclass(frozen=True, kw_only=True)
class Market:
    """One target environment. `currency` is empty where MTN must be asked which one it takes."""

    name: str
    # ISO 3166 alpha-2; empty for the sandbox, which knows numbers of its own.
    country: str
    currency: str
    # What a payer dials to find a request that did not show by itself; empty where we do not know it.
    dial: str = ""

    @property
    def sandbox(self) -> bool:
        return self.name == "sandbox"

    @property
    def url(self) -> str:
        return SANDBOX_URL if self.sandbox else PRODUCTION_URL


MARKETS = {
    name: Market(name=name, country=country, currency=currency, dial=dial)
    for name, country, currency, dial in (
        ("sandbox", "", "EUR", ""),
        ("mtncameroon", "CM", "XAF", "*126#"),
        ("mtncongo", "CG", "XAF", "*105#"),
        ("mtnivorycoast", "CI", "XOF", "*133#"),
        ("mtnbenin", "BJ", "XOF", "*880#"),
        ("mtnguineaconakry", "GN", "GNF", "*440#"),
        ("mtnuganda", "UG", "", "*165#"),
        ("mtnghana", "GH", "", "*170#"),
        ("mtnzambia", "ZM", "", ""),
        ("mtnliberia", "LR", "", ""),
        ("mtnswaziland", "SZ", "", ""),
        ("mtnsouthafrica", "ZA", "", ""),
        ("mtnrwanda", "RW", "", "*182#"),
    )
}

# What no environment of MTN is: takes nothing.
NOWHERE = Market(name="", country="", currency="")


def to_wire(money: Money) -> str:
    """The amount as MTN reads it, exactly: "5000" for 5 000 XAF, "58.80" for 58,80 €."""
    return str(money.minor) if money.currency in WHOLE else f"{money.amount:f}"


def from_wire(amount: object, currency: object) -> Money:
    """What MTN says an amount is, which it writes as text or as a number. Raises NotMoney.

    Numbers must have been read as int or Decimal; a float is refused.
    """
    code = str(currency)
    decimals(code)
    return Money.of(amount.strip() if isinstance(amount, str) else amount, code)  # type: ignore[arg-type]


def belongs_to_mtn(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "mtn.com" or host.endswith(".mtn.com")
