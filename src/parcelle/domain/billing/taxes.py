"""Which VAT a sale carries: a pure function of who sells, who buys, and what was proven about the buyer.

The rules are those for electronically supplied services. They are not legal advice: an accountant confirms them
for each vendor.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

EU = frozenset(
    {"AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV"}
    | {"MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"}
)

# Standard rates of the member states, for consumers who buy through the one-stop shop. As of 2026.
DESTINATION_RATES = {
    country: Decimal(rate)
    for country, rate in {
        "AT": "20", "BE": "21", "BG": "20", "CY": "19", "CZ": "21", "DE": "19", "DK": "25", "EE": "24", "ES": "21",
        "FI": "25.5", "FR": "20", "GR": "24", "HR": "25", "HU": "27", "IE": "23", "IT": "22", "LT": "21", "LU": "17",
        "LV": "21", "MT": "18", "NL": "21", "PL": "23", "PT": "23", "RO": "21", "SE": "25", "SI": "22", "SK": "23",
    }.items()
}  # fmt: skip

# What invoices may carry where a country says so: France with Corsica and its overseas departments (BR-FR-16), without
# those that are history.
RATES = {"FR": frozenset(Decimal(rate) for rate in ("20", "13", "10", "8.5", "5.5", "2.1", "1.75", "1.05", "0.9"))}

# Categories of EN 16931: standard rate, reverse charge, exempt, outside the scope.
STANDARD, REVERSE_CHARGE, EXEMPT, OUT_OF_SCOPE = "S", "AE", "E", "O"


@dataclass(frozen=True, kw_only=True)
class Seller:
    """What decides on the seller's side. `exempt`: franchise en base (art. 293 B du CGI). `one_stop_shop`: consumers
    of other member states pay their own country's VAT.
    """

    country: str
    rate: Decimal
    exempt: bool = False
    one_stop_shop: bool = False


@dataclass(frozen=True, kw_only=True)
class Buyer:
    """What decides on the buyer's side. `vat_number_valid` is None while nobody could check it."""

    country: str
    business: bool
    vat_number: str = ""
    vat_number_valid: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A rate in percent, its category, and the reason code (VATEX) where there is no VAT."""

    category: str
    rate: Decimal
    reason: str = ""

    def stored(self) -> dict[str, Any]:
        return {**asdict(self), "rate": str(self.rate)}

    @classmethod
    def read(cls, stored: dict[str, Any]) -> Decision:
        return cls(category=stored["category"], rate=Decimal(stored["rate"]), reason=stored["reason"])


def decide(seller: Seller, buyer: Buyer, *, rate: Decimal | None = None) -> Decision:
    """The VAT of a sale; `rate` is the product's own where it has one.

    A VAT number that was not confirmed counts for nothing: whoever sells without VAT on an unchecked number
    owes it themselves.
    """
    none = Decimal(0)
    standard = Decision(category=STANDARD, rate=seller.rate if rate is None else rate)
    if seller.exempt:
        return Decision(category=EXEMPT, rate=none, reason="VATEX-FR-FRANCHISE")
    if buyer.country == seller.country:
        return standard
    if buyer.country not in EU:
        return Decision(category=OUT_OF_SCOPE, rate=none, reason="VATEX-EU-O")
    if buyer.business and buyer.vat_number and buyer.vat_number_valid:
        return Decision(category=REVERSE_CHARGE, rate=none, reason="VATEX-EU-AE")
    if seller.one_stop_shop:
        return Decision(category=STANDARD, rate=DESTINATION_RATES[buyer.country])
    # Below the threshold of the one-stop shop the seller's own rate applies to consumers of other countries.
    return standard
