"""Background doors: load, call one thing."""

from __future__ import annotations

from functools import partial
from uuid import UUID

import procrastinate
from django.utils import timezone
from procrastinate.contrib.django import app as queue

from parcelle.core import dispatch
from parcelle.domain.catalog.models import Product
from parcelle.domain.provisioning import checks, domains, pool, runner, sweeper
from parcelle.domain.provisioning.models import Target
from parcelle.domain.provisioning.workflows import WORKFLOWS


def take(most: int) -> list[dispatch.Piece]:
    """Up to `most` operations that are due, each for a thread of its own."""
    return [partial(runner.carry_on, taken, WORKFLOWS) for taken in runner.take(most, now=timezone.now())]


@queue.task(name="provisioning.keep_pool", queue="pool", retry=procrastinate.RetryStrategy(max_attempts=5, wait=3))
def keep_pool(*, product_id: str) -> None:
    product = Product.objects.filter(pk=product_id).first()
    if product is not None:
        pool.keep(product, now=timezone.now())


@queue.task(name="provisioning.look_for_drift", queue="drift")
def look_for_drift(*, target_id: str) -> None:
    target = Target.objects.filter(pk=target_id).first()
    if target is not None:
        checks.look(target, now=timezone.now())


@queue.task(
    name="provisioning.check_domain", queue="domains", retry=procrastinate.RetryStrategy(max_attempts=5, wait=5)
)
def check_domain(*, domain_id: str) -> None:
    domains.check(UUID(domain_id), now=timezone.now())


@queue.task(name="provisioning.sweep", queue="sweeper")
def sweep() -> None:
    sweeper.sweep()
