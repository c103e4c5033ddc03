"""The one table: what runs when. Times are UTC."""

from __future__ import annotations

from collections.abc import Callable

from django.utils import timezone
from procrastinate.contrib.django import app as queue

from parcelle.core import idempotency, ratelimit
from parcelle.domain.provisioning import checks, domains, routes, sweeper
from parcelle.journeys import (
    automatic_payment,
    checkout,
    delivery,
    dunning,
    entitlement,
    idle,
    invoices,
    renewal,
    standby_pool,
    trial_end,
)


def _trials() -> None:
    trial_end.run(now=timezone.now())


def _watch_ingress() -> None:
    routes.keep(thorough=False, now=timezone.now())


def _compare_ingress() -> None:
    routes.keep(thorough=True, now=timezone.now())


def _moved() -> None:
    routes.follow(now=timezone.now())


def _idle() -> None:
    idle.run(now=timezone.now())


def _domains() -> None:
    domains.check_due(now=timezone.now())


def _payments() -> None:
    checkout.run(now=timezone.now())


def _deliveries() -> None:
    delivery.run(now=timezone.now())


def _kept_answers() -> None:
    idempotency.forget(now=timezone.now())


def _counters() -> None:
    ratelimit.forget(now=timezone.now())


def _invoices() -> None:
    invoices.run(now=timezone.now())


def _vat_numbers() -> None:
    invoices.check_vat_numbers(now=timezone.now())


def _renewals() -> None:
    renewal.run(now=timezone.now())


def _charges() -> None:
    automatic_payment.run(now=timezone.now())


def _dunning() -> None:
    dunning.run(now=timezone.now())


def _entitlement() -> None:
    entitlement.converge(now=timezone.now())


# cron expression (a sixth field is seconds), name, function
TABLE: tuple[tuple[str, str, Callable[[], None]], ...] = (
    ("* * * * * */5", "sweep", sweeper.sweep),
    ("* * * * *", "pool", standby_pool.keep_all),
    ("* * * * * */5", "ingress", _watch_ingress),
    ("* * * * *", "ingress_compare", _compare_ingress),
    ("* * * * *", "moved", _moved),
    ("* * * * *", "idle", _idle),
    ("* * * * *", "domains", _domains),
    ("*/10 * * * *", "trials", _trials),
    ("*/5 * * * *", "renewals", _renewals),
    ("*/5 * * * *", "charges", _charges),
    ("*/5 * * * *", "dunning", _dunning),
    ("* * * * *", "entitlement", _entitlement),
    ("10 2 * * *", "drift", checks.look_everywhere),
    ("* * * * * */10", "payments", _payments),
    ("* * * * *", "deliveries", _deliveries),
    ("*/5 * * * *", "invoices", _invoices),
    ("20 3 * * *", "vat_numbers", _vat_numbers),
    ("40 * * * *", "kept_answers", _kept_answers),
    ("50 * * * *", "counters", _counters),
)


def register() -> None:
    for cron, name, function in TABLE:
        _schedule(cron, name, function)


def _schedule(cron: str, name: str, function: Callable[[], None]) -> None:
    # No `lock`: one that a dead worker holds would keep the sweeper, which frees it, from ever running again.
    @queue.periodic(cron=cron, periodic_id=name)
    @queue.task(name=f"schedule.{name}", queue="schedule", queueing_lock=f"schedule.{name}")
    def _run(timestamp: int) -> None:  # noqa: ARG001 (the queue passes it by name)
        function()
