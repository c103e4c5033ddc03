"""All that the calendar asks for up to a moment: periods, reminders, suspensions, ends.

The schedule does the same every few minutes; this is for an operator who wants to see it done, or to catch up.
"""

from __future__ import annotations

from datetime import datetime

from parcelle.journeys import automatic_payment, dunning, renewal, trial_end


def run(*, now: datetime) -> dict[str, int]:
    """How much of each was done, and how many failed. Running it twice changes nothing, and it may be interrupted."""
    periods = renewal.run(now=now)
    taken = automatic_payment.run(now=now)
    unpaid = dunning.run(now=now)
    trials = trial_end.run(now=now)
    return {
        "asked": periods["done"],
        "taken": taken["done"],
        "stepped": unpaid["dunned"],
        "closed": unpaid["closed"],
        "trials_ended": trials["ended"],
        "archived": trials["archived"],
        "failed": periods["failed"] + taken["failed"] + unpaid["failed"],
    }
