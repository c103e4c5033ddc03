"""The warm pool follows what happens: a claimed, broken or missing standby is replaced."""

from __future__ import annotations

import contextlib
from uuid import UUID

from django.db import transaction
from procrastinate.contrib.django import app as queue
from procrastinate.exceptions import AlreadyEnqueued

from parcelle.core.models import Fact
from parcelle.domain.catalog.models import Product

REFILL_AFTER_SECONDS = 3


def refill(fact: Fact) -> None:
    """Asks for the product's pool to be looked after; many requests at once become one.

    A little later, so that making the next standby does not slow down the sign-up that took this one.
    """
    keep_soon(fact.data["product_id"], seconds=REFILL_AFTER_SECONDS)


def keep_soon(product_id: UUID | str, *, seconds: int = 0) -> None:
    """Has the product's pool looked after by a worker: giving standbys time to answer is nothing to wait for."""
    task = queue.configure_task(
        "provisioning.keep_pool",
        queue="pool",
        queueing_lock=f"pool:{product_id}",
        lock=f"pool:{product_id}",
        schedule_in={"seconds": seconds},
    )
    with contextlib.suppress(AlreadyEnqueued), transaction.atomic():
        task.defer(product_id=str(product_id))


def refill_all(fact: Fact) -> None:
    """A template became ready: every product that waits for it can fill its pool."""
    for product in Product.objects.filter(enabled=True, blueprint=fact.data["blueprint"]):
        keep_soon(product.pk)


def keep_all() -> None:
    """Each in a job of its own: a product that cannot be kept does not stop the others."""
    for product in Product.objects.filter(enabled=True):
        keep_soon(product.pk)
