"""What a change in the middle of a period comes to, without tax. Pure.

Everything is a difference between the worth of the rest of the period before and after: changes in the same
instant add up, and going back costs nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction

from parcelle.core.money import Money

_TICK = timedelta(microseconds=1)


def share_left(start: datetime, end: datetime, now: datetime) -> Fraction:
    """How much of a period is still to come, from 1 to 0."""
    whole = end - start
    left = min(max(end - now, timedelta(0)), whole)
    return Fraction(left // _TICK, whole // _TICK)


def worth(amount: Money, *, start: datetime, end: datetime, now: datetime) -> Money:
    """What the rest of a period is worth that costs `amount` as a whole; never more than that."""
    return amount.times(share_left(start, end, now))


def difference(old: Money, new: Money, *, start: datetime, end: datetime, now: datetime) -> Money:
    """What going from `old` to `new`, each for the whole period, costs now; negative when it gives something back."""
    return worth(new, start=start, end=end, now=now) - worth(old, start=start, end=end, now=now)
