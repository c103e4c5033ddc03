"""What amounts in other currencies are worth in euros, which is what French books are kept in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction

from parcelle.core.money import Money, decimals
from parcelle.domain.billing.models import ExchangeRate

EURO = "EUR"
# The CFA francs have had a fixed parity since the euro began.
FIXED = {"XAF": Decimal("655.957"), "XOF": Decimal("655.957")}


def per_euro(currency: str, day: date) -> Decimal | None:
    """The newest rate that an operator entered for that day, or the fixed one; None where nobody knows."""
    known = ExchangeRate.objects.filter(currency=currency, dated__lte=day).order_by("-dated").first()
    return known.per_euro if known else FIXED.get(currency)


def in_euros(entries: Sequence[Money], per_euro: Decimal) -> list[Money]:
    """Entries of one currency that add up to zero, each in euros, and adding up to zero again.

    Debits together are converted and rounded once; the cents go where the largest remainders are.
    """
    debits = sum(entry.minor for entry in entries if entry.minor > 0)
    unit = Fraction(1, 10 ** decimals(entries[0].currency)) / Fraction(per_euro) * 100
    total = Money(debits, EURO).times(unit)
    shares = iter(total.spread([entry.minor for entry in entries if entry.minor > 0]))
    owed = iter(total.spread([-entry.minor for entry in entries if entry.minor < 0]))
    return [next(shares) if entry.minor > 0 else -next(owed) for entry in entries]
