"""Background doors of the core."""

from __future__ import annotations

import procrastinate
from procrastinate.contrib.django import app as queue

from parcelle.core import events


# Only what failed once comes here: `events.take` delivers all that succeeds at once.
@queue.task(
    name="core.react",
    queue="reactions",
    retry=procrastinate.RetryStrategy(max_attempts=12, exponential_wait=3),
)
def react(*, fact_id: int, function: str) -> None:
    events.run_reaction(fact_id=fact_id, function=function)
