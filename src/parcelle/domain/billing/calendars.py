"""When a renewal is announced, reminded of, and given up: data of a plan, in days around the day it is due. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from parcelle.domain.catalog.models import Plan, Price

# What is taken by itself is taken so long before, so that the answer is there when the period begins.
EARLY = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """Days before (negative) and after the day a renewal is due.

    The first of `month` and `year` is when the order for the next period is made. `grace` is how long the customer
    keeps what they have although they have not paid; `grace_by_hand` the same where every payment takes the
    customer, such as Mobile Money and transfers. On the days of `charges` it is taken from a saved method.
    `grace_charge_back` is the same after a bank took a payment back; 0 suspends at once. From the day `read_only`
    on, within the grace, who has not paid can only read what they have; None: there is no such day.
    """

    month: tuple[int, ...] = (-7, -3, -1)
    year: tuple[int, ...] = (-30, -7, -1)
    after: tuple[int, ...] = (1, 3, 6)
    charges: tuple[int, ...] = (0, 2, 5)
    grace: int = 7
    grace_by_hand: int = 14
    grace_charge_back: int = 7
    read_only: int | None = None

    def before(self, interval: str) -> tuple[int, ...]:
        return self.year if interval == Price.YEAR else self.month

    def steps(self, interval: str) -> tuple[int, ...]:
        """All messages, in order of their days."""
        return tuple(sorted({*self.before(interval), *self.after}))

    def announced_at(self, due_at: datetime, interval: str) -> datetime:
        return due_at + timedelta(days=min(self.before(interval), default=0))

    def charged_at(self, due_at: datetime, *, after: datetime) -> datetime | None:
        """When it is next taken from a saved method."""
        moments = (due_at + timedelta(days=day) - EARLY for day in self.charges)
        return next((moment for moment in moments if moment > after), None)

    def charge_day(self, due_at: datetime, *, now: datetime) -> int | None:
        """The day whose turn it is; of several that were missed the last."""
        return max((day for day in self.charges if due_at + timedelta(days=day) - EARLY <= now), default=None)

    def grace_until(self, due_at: datetime, *, by_hand: bool) -> datetime:
        return due_at + timedelta(days=self.grace_by_hand if by_hand else self.grace)


DEFAULT = Calendar()


class NotACalendar(ValueError):
    """What a plan says about its reminders cannot be meant; the text says why."""


def of(plan: Plan) -> Calendar:
    """The plan's own calendar; what it does not say is as usual."""
    return read(plan.dunning)


def read(stored: Mapping[str, Any]) -> Calendar:
    """From JSON such as `{"month": [-7, -1], "after": [2], "grace": 10}`. Raises NotACalendar."""
    known = Calendar.__dataclass_fields__.keys()
    if unknown := set(stored) - known:
        raise NotACalendar(f"unknown: {', '.join(sorted(unknown))}")
    values: dict[str, Any] = {}
    for name, value in stored.items():
        if name.startswith("grace") or name == "read_only":
            if type(value) is not int or value < 0:
                raise NotACalendar(f"{name} is a number of days")
            values[name] = value
        else:
            values[name] = _days(name, value)
    return Calendar(**values)


def _days(name: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, Iterable) or isinstance(value, str):
        raise NotACalendar(f"{name} is a list of days")
    days = tuple(value)
    if not all(type(day) is int and abs(day) <= 365 for day in days):
        raise NotACalendar(f"{name} is a list of days")
    late = name in {"after", "charges"}
    if any(day < 0 for day in days) if late else any(day >= 0 for day in days):
        raise NotACalendar(f"the days of {name} are on the wrong side of the day it is due")
    return tuple(sorted(set(days)))
