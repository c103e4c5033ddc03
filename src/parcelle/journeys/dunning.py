"""A renewal is not paid: it is announced, reminded of, waited for, and then the instance rests until it is."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from parcelle.core.models import Fact
from parcelle.domain.billing import dunning, entitlement, renewals, saved_methods, states, subscriptions
from parcelle.domain.billing import queries as billing
from parcelle.domain.billing.models import Order
from parcelle.domain.provisioning import actions as provisioning
from parcelle.domain.provisioning import states as running
from parcelle.domain.provisioning.models import Instance
from parcelle.journeys.renewal import each, tell_about, tell_subscriber


def run(*, now: datetime) -> dict[str, int]:
    """What is due about unpaid renewals and cancelled subscriptions; one that fails never stops the others."""
    stepped = each(dunning.to_step(now), dunning.step, problem=dunning.note_problem, now=now)
    closed = each(subscriptions.to_close(now), subscriptions.close, problem=renewals.note_problem, now=now)
    return {"dunned": stepped["done"], "closed": closed["done"], "failed": stepped["failed"] + closed["failed"]}


def remind(fact: Fact) -> None:
    """Before the day it is due, an invitation to pay; after it, a reminder. Once per order and step."""
    order = Order.objects.select_related("plan").get(pk=UUID(fact.data["order_id"]))
    days = fact.data["days"]
    kind = "renewal_due" if days < 0 else "renewal_overdue"
    assert order.grace_until is not None and order.due_at is not None
    if order.kind == Order.RECOVERY:
        kind = "charged_back"
    saved = saved_methods.of(order.organization_id) if days < 0 else None
    if saved is not None:
        # Said once, in time to change one's mind: there is nothing to do.
        tell_about(order, "renewal_automatic", f"renewal-automatic:{order.pk}", method=saved.label)
        return
    tell_about(
        order,
        kind,
        f"renewal:{order.pk}:{days}",
        days_left=max(-days, 0),
        grace_until=order.grace_until.isoformat(),
    )


def tell_read_only(fact: Fact) -> None:
    """The mail that says that nothing can be changed until it is paid; once per order, and only where that is so."""
    order = Order.objects.select_related("plan__product").get(pk=UUID(fact.data["order_id"]))
    subscription = billing.subscription(UUID(fact.data["subscription_id"]))
    if subscription is None or subscription.read_only_at is None or order.grace_until is None:
        return
    live = Instance.objects.select_related("product").filter(subscription_id=subscription.pk, state=running.LIVE)
    if not any(provisioning.can_be_read_only(instance) for instance in live):
        # The stage is passed over.
        return
    recovery = order.kind == Order.RECOVERY
    grace_until = order.grace_until.isoformat()
    tell_about(order, "subscription_read_only", f"read-only:{order.pk}", grace_until=grace_until, recovery=recovery)


def tell_suspended(fact: Fact) -> None:
    """The mail that says why the instance rests, until when its data is kept, and how to come back."""
    subscription = billing.subscription(UUID(fact.data["subscription_id"]))
    if subscription is None or subscription.state != states.SUSPENDED:
        return
    until = entitlement.kept_until(subscription)
    reason = fact.data["reason"]
    key = f"suspended:{subscription.pk}:{fact.pk}"
    keep_until = until.isoformat() if until else None
    order = subscription.orders.filter(kind__in=Order.DUNNED, state="open").order_by("-created_at").first()
    if reason == states.UNPAID and order is not None:
        recovery = order.kind == Order.RECOVERY
        tell_about(order, "subscription_suspended", key, keep_until=keep_until, recovery=recovery)
    elif reason == states.CANCELLED:
        tell_subscriber(subscription, "subscription_cancelled", key, keep_until=keep_until)
