"""A period ends and the next one begins: asked for in time, paid, and everybody told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import batched
from uuid import UUID

import structlog
from django.utils import timezone

from parcelle.core.logs import redact
from parcelle.core.models import Fact
from parcelle.domain.billing import (
    dunning,
    order_links,
    order_states,
    price_changes,
    renewal_batches,
    renewals,
    subscriptions,
)
from parcelle.domain.billing import queries as billing
from parcelle.domain.billing.models import Order, Subscription
from parcelle.domain.provisioning.models import Instance
from parcelle.domain.tenancy import queries as organizations
from parcelle.journeys.telling import tell

logger = structlog.get_logger(__name__)

# Whoever wants to change one of them meanwhile waits for all of them: a tenth of a second or two.
BATCH = 200


def run(*, now: datetime) -> dict[str, int]:
    """Asks for every period that should have been asked for by `now`. Safe to run twice, and to interrupt.

    One that cannot be renewed says why in the back office, and never stops the others.
    """
    done = ask(renewals.to_renew(now), now=now)
    each(renewals.to_roll(now), renewals.roll, now=now)
    each(price_changes.to_tell(now), price_changes.tell, now=now)
    return done


def ask(subscription_ids: Iterable[UUID], *, now: datetime) -> dict[str, int]:
    """Asks for the next period of each: many in one transaction, and in one of their own those who cannot be so."""
    done = failed = 0
    for some in batched(subscription_ids, BATCH):
        try:
            together = renewal_batches.renew(some, now=now)
        except Exception:
            logger.exception("renewals that could not be asked for together are asked for one by one")
            together = renewal_batches.Batch(asked=0, apart=some)
        alone = each(together.apart, renewals.renew, problem=renewals.note_problem, now=now)
        done, failed = done + together.asked + alone["done"], failed + alone["failed"]
    return {"done": done, "failed": failed}


def try_again(subscription_id: UUID, *, now: datetime) -> None:
    """What could not be done for one subscription, once more; what fails again says why in its problem."""
    renewals.note_problem(subscription_id, "")
    each([subscription_id], renewals.renew, problem=renewals.note_problem, now=now)
    waiting = Order.objects.filter(subscription_id=subscription_id, kind__in=Order.DUNNED, state=order_states.OPEN)
    each(list(waiting.values_list("pk", flat=True)), dunning.step, problem=dunning.note_problem, now=now)
    each([subscription_id], subscriptions.close, problem=renewals.note_problem, now=now)


def each(
    ids: Iterable[UUID],
    act: Callable[..., bool],
    *,
    now: datetime,
    problem: Callable[[UUID, str], None] | None = None,
) -> dict[str, int]:
    """Calls `act` on each; how many of them it did something for, and how many failed."""
    done = failed = 0
    for one in ids:
        try:
            done += act(one, now=now)
        except Exception as error:
            failed += 1
            logger.exception("one of what is due could not be dealt with", what=act.__qualname__, id=str(one))
            if problem is not None:
                problem(one, redact(f"{type(error).__name__}: {error}"))
    return {"done": done, "failed": failed}


def tell_renewed(fact: Fact) -> None:
    """The mail that says that the next period is paid; once per order."""
    order = Order.objects.get(pk=UUID(fact.data["order_id"]))
    if order.total_minor:
        key, paid_until = f"renewed:{order.pk}", fact.data["paid_until"]
        tell_about(order, "subscription_renewed", key, paid_until=paid_until, by_credit=not order.due)


def tell_too_late(fact: Fact) -> None:
    """The mail that says that nothing was left to renew, and whose the money is; once per order."""
    order = Order.objects.get(pk=UUID(fact.data["order_id"]))
    tell_about(order, "renewal_too_late", f"too-late:{order.pk}")


def tell_about(order: Order, kind: str, key: str, **context: object) -> None:
    """A mail about the order of a renewal or a change, with the address where it can be paid."""
    subscription = billing.subscription(order.subscription_id) if order.subscription_id else None
    if subscription is None:
        return
    language = organizations.owner_of(subscription.organization_id).language
    tell_subscriber(
        subscription,
        kind,
        key,
        url=order_links.link_of(order.pk),
        plan=order.plan.name,
        number=order.number,
        amount=(order.due or order.total).format(language),
        due_at=order.due_at.isoformat() if order.due_at else None,
        **context,
    )


def tell_subscriber(subscription: Subscription, kind: str, key: str, *, url: str = "", **context: object) -> None:
    """A mail about a subscription to whoever owns the organization."""
    instance = Instance.objects.filter(subscription_id=subscription.pk).order_by("-created_at").first()
    tell(
        subscription.organization,
        organizations.owner_of(subscription.organization_id),
        key=key,
        kind=kind,
        product=subscription.plan.product.name,
        url=url or (instance.url if instance else ""),
        instance_id=instance.pk if instance else None,
        **context,
    )


def fulfil(fact: Fact) -> None:
    """A paid renewal or change is given to the customer; once, whoever comes first."""
    renewals.fulfil(UUID(fact.data["order_id"]), now=timezone.now())
