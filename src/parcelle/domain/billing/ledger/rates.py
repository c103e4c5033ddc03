"""What amounts in other currencies are worth in euros, which is what French books are kept in."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from parcelle.core.money import Money, decimals

EURO = "EUR"
# The CFA francs have had a fixed parity since the euro began.
FIXED = {"XAF": Decimal("655.957"), "XOF": Decimal("655.957")}


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
