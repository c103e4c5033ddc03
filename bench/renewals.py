"""Claim: the nightly renewal of 100,000 subscriptions does at least 400 per second on 2 cores, in flat memory.

Two processes share the work, as two workers would, in the batches of the night itself. The bare loop writes the same
rows by hand, a transaction each, and knows nothing of subscriptions. Where other programs use the machine as well, the
processor time of a renewal says more than the rate. Run: `.venv/bin/python bench/renewals.py [how many]`
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from harness import claim, cpu_seconds, processor_time, running_system

SUBSCRIPTIONS = 100_000
PER_SECOND = 400
PROCESSES = 2
BATCH = 5000
BARE = 2000
# What one process may grow by from the first batch to the last, in MB.
FLAT_MB = 30
NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


def fill(count: int) -> None:
    """Customers who paid a month ago."""
    from parcelle.domain.accounts.models import User
    from parcelle.domain.billing.models import Order, Subscription
    from parcelle.domain.catalog.models import Plan, Price, Product
    from parcelle.domain.tenancy.models import Membership, Organization

    product = Product.objects.create(slug="nothing", name="Nothing", blueprint="tryton", target_name="local")
    plan = Plan.objects.create(product=product, slug="one", name="One")
    price = Price.objects.create(
        plan=plan, interval="month", currency="EUR", amount_minor=4900, created_at=NOW - timedelta(days=99)
    )
    owner = User.objects.create_user("owner@example.com")
    start, until = NOW - timedelta(days=24), NOW + timedelta(days=7)
    buyer = {"first_name": "Awa", "last_name": "Diop", "company": "Diop", "email": "owner@example.com"}
    numbers = iter(range(count))
    while batch := list(islice(numbers, BATCH)):
        organizations = Organization.objects.bulk_create(
            Organization(name=f"Company {number}", slug=f"company-{number}", created_at=start) for number in batch
        )
        Membership.objects.bulk_create(
            Membership(organization=one, user=owner, role="owner", created_at=start) for one in organizations
        )
        subscriptions = Subscription.objects.bulk_create(
            Subscription(
                organization=one,
                plan=plan,
                price=price,
                state="active",
                created_at=start,
                period_start=start,
                period_end=until,
                anchor_day=start.day,
                renews_at=NOW - timedelta(minutes=1),
            )
            for one in organizations
        )
        Order.objects.bulk_create(
            Order(
                number=f"CMD-BENCH-{number}",
                request_id=uuid.uuid4(),
                state="fulfilled",
                plan=plan,
                price=price,
                buyer=buyer,
                email="owner@example.com",
                language="fr",
                currency="EUR",
                subtotal_minor=4900,
                tax_minor=980,
                total_minor=5880,
                tax={"category": "S", "rate": "20", "reason": ""},
                organization_id=one.organization_id,
                subscription=one,
                created_at=start,
                expires_at=until,
                period_start=start,
                period_end=until,
            )
            for number, one in zip(batch, subscriptions, strict=True)
        )


def setup() -> None:
    import django

    django.setup()
    from parcelle.core import context

    context.of_process(context.Platform.COMMANDS)


def renew(keys: list[uuid.UUID]) -> tuple[int, int]:
    """A share of them in a process of its own: which one, and its memory in MB afterwards."""
    import psutil

    from parcelle.journeys import renewal

    done = renewal.ask(keys, now=NOW)
    if done != {"done": len(keys), "failed": 0}:
        raise SystemExit(f"not everybody was renewed: {done}")
    return os.getpid(), int(psutil.Process().memory_info().rss / 1024 / 1024)


def queries(keys: list[uuid.UUID]) -> int:
    """Statements for these, which stay due: what is done is taken back."""
    from django.db import connection, transaction
    from django.test.utils import CaptureQueriesContext

    from parcelle.domain.billing import renewal_batches

    with transaction.atomic(), CaptureQueriesContext(connection) as asked:
        renewal_batches.renew(keys, now=NOW)
        transaction.set_rollback(True)
    return len(asked)


def bare(count: int) -> float:
    """The same rows, a transaction each, written by hand: how many a second one process writes."""
    from django.db import connection, transaction

    from parcelle.domain.billing.models import Order

    example: Any = Order.objects.filter(kind="renewal").first()
    columns = [field.column for field in Order._meta.concrete_fields]
    copied = ", ".join(
        {"id": "gen_random_uuid()", "request_id": "gen_random_uuid()", "number": "%(number)s"}.get(
            column, {"period_start": "period_start - %(n)s * interval '1 second'"}.get(column, f'"{column}"')
        )
        for column in columns
    )
    names = ", ".join(f'"{column}"' for column in columns)
    order = f"INSERT INTO billing_order ({names}) SELECT {copied} FROM billing_order WHERE id = %(id)s"
    fact = "INSERT INTO core_fact (name, at, actor, data) VALUES ('Bare', now(), 'bench', '{}')"
    began = time.perf_counter()
    for number in range(count):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM billing_subscription WHERE id = %s FOR UPDATE", [example.subscription_id])
            cursor.execute(order, {"id": example.pk, "number": f"BARE-{number}", "n": number + 1})
            cursor.execute("UPDATE billing_subscription SET problem = '' WHERE id = %s", [example.subscription_id])
            cursor.execute(fact)
    return count / (time.perf_counter() - began)


def batches(keys: Iterator[uuid.UUID]) -> Iterator[list[uuid.UUID]]:
    while batch := list(islice(keys, 1000)):
        yield batch


def main(count: int) -> bool:
    # No workers: what is measured has the machine to itself.
    with running_system(PARCELLE_DEMO="0", PARCELLE_WORKERS="0", PARCELLE_LOG_LEVEL="ERROR") as (_address, home):
        setup()
        from django.db import connections

        from parcelle.domain.billing import renewals
        from parcelle.domain.billing.models import Order
        from parcelle.journeys.renewal import BATCH

        fill(count)
        keys = list(renewals.to_renew(NOW))
        few, many = queries(keys[:2]), queries(keys[:BATCH])
        connections.close_all()
        before = cpu_seconds(home)
        began = time.perf_counter()
        with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn"), setup) as pool:
            shares = list(pool.map(renew, batches(iter(keys))))
        rate = len(keys) / (time.perf_counter() - began)
        spent = processor_time(before, cpu_seconds(home), len(keys), "renewal")
        made = Order.objects.filter(kind="renewal", state="open").count()
        least = bare(min(BARE, count))
        grown = max(growth(shares))
        print(f"{made} of {count} asked for; {os.cpu_count()} cores, {PROCESSES} processes, {BATCH} together")
        print(spent)
        print(f"bare loop, one process: {least:.0f} a second; ratio {rate / PROCESSES / least:.2f}")
        return all(
            (
                claim(f"renewals: at least {PER_SECOND} a second", f"{rate:.0f} a second", rate >= PER_SECOND),
                claim("renewals: everybody, once", f"{made} of {count}", made == count),
                claim(f"renewals: memory flat, within {FLAT_MB} MB", f"+{grown} MB", grown <= FLAT_MB),
                claim("renewals: as many statements for many as for two", f"{few} and {many}", few == many),
            )
        )


def growth(shares: list[tuple[int, int]]) -> list[int]:
    """By how much each process grew after its first share, in MB."""
    first: dict[int, int] = {}
    return [memory - first.setdefault(process, memory) for process, memory in shares]


if __name__ == "__main__":
    sys.exit(not main(int(sys.argv[1]) if len(sys.argv) > 1 else SUBSCRIPTIONS))
