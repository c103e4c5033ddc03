"""Somebody stands before an address where no application answers: what they are shown, and what that sets off."""

from __future__ import annotations

from datetime import datetime, timedelta

from parcelle.core import ratelimit
from parcelle.core.states import IllegalTransition
from parcelle.domain.provisioning import actions, pages, queries, routes, states
from parcelle.domain.provisioning.errors import InstanceBusy
from parcelle.domain.provisioning.models import Instance, Operation

# After a wake that failed, visitors are told so instead of trying again at once.
PAUSE_AFTER_FAILURE = timedelta(minutes=5)
WAKES_PER_HOUR = 12


def answer(host: str, *, person: bool, broken: bool, now: datetime) -> pages.Page:
    """The page for `host`. A `person` wakes what sleeps there; `broken` when the application did not answer."""
    found = routes.find(host)
    if found is None:
        return pages.page("unknown", host=host)
    kind = _kind(found, person=person, broken=broken, now=now)
    return pages.page(kind, instance=found.instance, host=host, note=found.note)


def _kind(found: routes.Found, *, person: bool, broken: bool, now: datetime) -> str:
    if found.state == states.MAINTENANCE:
        return "maintenance"
    if found.state == states.LIVE:
        # The way to it was opened while this visitor was already waiting for the page.
        return "unavailable" if broken else "starting"
    newest = queries.newest_operation(found.instance.pk)
    if found.state == states.SLEEPING:
        return _sleeping(found.instance, newest, person=person, now=now)
    resuming = newest is not None and newest.kind == "resume" and newest.state in states.UNFINISHED
    return "starting" if resuming else "suspended"


def _sleeping(instance: Instance, newest: Operation | None, *, person: bool, now: datetime) -> str:
    if newest is not None and newest.state in states.UNFINISHED:
        return "waking" if person or newest.kind == "wake" else "asleep"
    failed = newest is not None and newest.kind == "wake" and newest.state == states.FAILED
    if failed and newest and newest.finished_at and newest.finished_at > now - PAUSE_AFTER_FAILURE:
        return "wake_failed"
    return _wake(instance, now=now) if person else "asleep"


def _wake(instance: Instance, *, now: datetime) -> str:
    key = f"wake:{instance.pk}"
    if ratelimit.hit(key, limit=WAKES_PER_HOUR, window=timedelta(hours=1), now=now) is not None:
        return "wake_failed"
    try:
        actions.change(instance, "wake", reason="", actor="visitor", now=now)
    except InstanceBusy:
        return "waking"
    except IllegalTransition:
        return "starting"
    return "waking"
