"""A paid order whose space could not be created: tried again by itself, then handed to a human, and the truth told.

What is due is read from what happened: how often the creation failed, and when. Nothing else is stored, so running
it twice, or after a long pause, does nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db.models import Count, Max, Q, QuerySet

from parcelle.core.models import Fact
from parcelle.core.states import IllegalTransition
from parcelle.domain.billing import order_links, order_states
from parcelle.domain.billing.models import Order
from parcelle.domain.catalog.blueprints import BlueprintError
from parcelle.domain.provisioning import actions as provisioning
from parcelle.domain.provisioning import states
from parcelle.domain.provisioning.errors import ProvisioningError
from parcelle.domain.provisioning.models import Instance
from parcelle.journeys import order_mails

logger = structlog.get_logger(__name__)

# How long after the first failure, the second, ... it is tried again. After the last one a human has to look.
PAUSES = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=20),
    timedelta(hours=1),
    timedelta(hours=4),
)
# Between a payment and the request for the space lie seconds; whoever waits longer is told.
SLOW = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """A paid order without its space. `failures` is 0 while not even the request for it succeeded.

    `again_at` is when it is tried again; None when it is not.
    """

    order: Order
    since: datetime
    failures: int = 0
    again_at: datetime | None = None
    instance: Instance | None = None

    def needs_human(self, now: datetime) -> bool:
        """What could be tried has been tried, or cannot even be tried."""
        return self.again_at is None or self.again_at <= now - SLOW


def troubles(now: datetime) -> list[Trouble]:
    """Every paid order without its space that is not simply under way, those that need a human first."""
    found = [*_failed(Q()), *_not_asked_for(now)]
    return sorted(found, key=lambda trouble: (not trouble.needs_human(now), trouble.since))


def trouble_of(instance_id: UUID) -> Trouble | None:
    """How it stands with a space that could not be created; None when nobody paid for it, or it did not fail."""
    return next(_failed(Q(pk=instance_id)), None)


def is_paid(instance_id: UUID) -> bool:
    """Whether somebody paid for this very space."""
    return _orders().filter(instance_id=instance_id).exists()


def _failed(which: Q) -> Iterator[Trouble]:
    failed = Q(operations__kind="create", operations__state=states.FAILED)
    instances = (
        Instance.objects.filter(which, state=states.FAILED, organization__isnull=False)
        .select_related("product", "target", "organization")
        .annotate(failures=Count("operations", filter=failed), failed_at=Max("operations__finished_at", filter=failed))
    )
    by_id: dict[UUID, Any] = {instance.pk: instance for instance in instances}
    for order in _orders().filter(instance_id__in=by_id):
        assert order.instance_id is not None
        instance = by_id[order.instance_id]
        if instance.failed_at is None:
            continue
        again_at = instance.failed_at + PAUSES[instance.failures - 1] if instance.failures <= len(PAUSES) else None
        yield Trouble(
            order=order, since=instance.failed_at, failures=instance.failures, again_at=again_at, instance=instance
        )


def _not_asked_for(now: datetime) -> Iterator[Trouble]:
    """The queue goes on asking, but a human should know why it does not succeed."""
    for order in _orders().filter(state=order_states.PAID, paid_at__lte=now - SLOW):
        assert order.paid_at is not None
        yield Trouble(order=order, since=order.paid_at)


def _orders() -> QuerySet[Order]:
    # A renewal brings no space of its own.
    return Order.objects.filter(paid_at__isnull=False, kind=Order.NEW).select_related("plan__product", "organization")


def run(*, now: datetime) -> int:
    """Tries again what is due, and tells who waits; how many were tried. Safe to run twice.

    One that cannot be dealt with never stops the others.
    """
    tried = 0
    for trouble in troubles(now):
        try:
            _tell(trouble, now=now)
            tried += _try_again(trouble, now=now)
        except Exception:
            logger.exception("a paid order could not be dealt with", order_id=str(trouble.order.pk))
    return tried


def _try_again(trouble: Trouble, *, now: datetime) -> bool:
    if trouble.instance is None or trouble.again_at is None or trouble.again_at > now:
        return False
    try:
        provisioning.retry_creation(trouble.instance, actor="system", now=now)
    except IllegalTransition:
        # Somebody was faster: the customer on their page, or an operator.
        return False
    except (ProvisioningError, BlueprintError) as refused:
        # A name that somebody took, a target that was put out of use: not tried, so the operator is told.
        logger.warning("a paid space cannot be tried again", order_id=str(trouble.order.pk), reason=str(refused))
        return False
    return True


def tell(fact: Fact) -> None:
    """When the space of a paid order could not be created: what the customer is told."""
    assert fact.instance_id is not None
    trouble = trouble_of(fact.instance_id)
    if trouble is not None:
        _tell(trouble, now=fact.at)


def _tell(trouble: Trouble, *, now: datetime) -> None:
    """Once that it takes longer and what we do about it, and once that a human has taken over."""
    order = trouble.order
    by_hand = trouble.instance is not None and trouble.needs_human(now)
    kind = "delivery_by_hand" if by_hand else "delivery_delayed"
    order_mails.write(order, kind, key=f"{kind}:{order.pk}", url=order_links.link_of(order.pk))
