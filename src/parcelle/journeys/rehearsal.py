"""The calendar played ahead, and taken back: what would be asked for, invoiced, said and stopped until a day to come.

Each customer's future is played by the same verbs as the real one, in a transaction that never commits: nothing is
sent, and nobody waits longer for a row than one customer's future takes. All that stays are gaps in the numbers of
orders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

import structlog
from django.db import transaction

from parcelle.core.logs import redact
from parcelle.core.models import Fact
from parcelle.core.money import Money
from parcelle.domain.billing import (
    dunning,
    entitlement,
    invoicing,
    order_states,
    orders,
    payment_states,
    renewals,
    states,
    subscriptions,
    trials,
)
from parcelle.domain.billing.models import Order, Payment, Subscription
from parcelle.domain.tenancy.models import Organization

logger = structlog.get_logger(__name__)

# What would be said or done, by the fact that says so.
_FACTS = {
    "RenewalAsked": "asked",
    "RenewalReminderDue": "reminder",
    "TrialReminderDue": "trial_reminder",
    "SubscriptionSuspended": "suspended",
    "TrialEnded": "trial_ended",
    "RetentionEnded": "archived",
}
_RUNNING = (states.TRIALING, states.ACTIVE, states.PAST_DUE)


@dataclass(frozen=True, kw_only=True)
class Document:
    """Something that would be made or happen. `kind` is "invoice", "problem" or one of those of `_FACTS`.

    `begins` and `ends` are of the period it is about; the sums are None where it has none.
    """

    at: datetime
    kind: str
    customer: str
    plan: str
    begins: datetime | None = None
    ends: datetime | None = None
    net: Money | None = None
    tax: Money | None = None
    total: Money | None = None
    detail: str = ""


def play(*, now: datetime, until: datetime, paid: bool = True, slug: str = "") -> Iterator[Document]:
    """Customer by customer, each in order of time. `paid`: everybody pays on the day it is due; otherwise nobody does.

    `slug` plays one customer alone.
    """
    customers = Organization.objects.filter(subscriptions__isnull=False, subscriptions__ended_at=None).distinct()
    if slug:
        customers = customers.filter(slug=slug)
    for organization in list(customers.order_by("slug")):
        with transaction.atomic():
            found = _Future(organization, now=now, until=until, paid=paid).play()
            transaction.set_rollback(True)
        yield from found


class _Future:
    """One customer's, from one moment at which something is due to the next."""

    def __init__(self, organization: Organization, *, now: datetime, until: datetime, paid: bool) -> None:
        self.organization = organization
        self.now, self.until, self.paid = now, until, paid
        self.problems: dict[UUID, Document] = {}
        self.invoices: list[Document] = []
        done = Order.objects.filter(organization=organization, state=order_states.FULFILLED)
        self.known = list(done.values_list("pk", flat=True))
        self.first_fact = Fact.objects.order_by("-pk").values_list("pk", flat=True).first() or 0

    def play(self) -> list[Document]:
        # Nobody knows what becomes of an attempt on its way: here it came to nothing.
        on_its_way = Payment.objects.filter(order__organization=self.organization, state__in=payment_states.BLOCKING)
        on_its_way.update(state=payment_states.EXPIRED)
        at: datetime | None = self.now
        while at is not None and at <= self.until:
            self._do(at)
            at = self._next(at)
        found = [*self.invoices, *self._facts(), *self.problems.values()]
        return sorted(found, key=lambda document: (document.at, document.kind))

    def _do(self, at: datetime) -> None:
        for subscription in self._subscriptions():
            verbs: list[Callable[[], object]] = [
                partial(renewals.renew, subscription.pk, now=at),
                partial(renewals.roll, subscription.pk, now=at),
                partial(self._pay, subscription, at),
                partial(self._step, subscription, at),
                partial(subscriptions.close, subscription.pk, now=at),
                partial(self._keep_trial, subscription, at),
            ]
            try:
                with transaction.atomic():
                    for verb in verbs:
                        verb()
                    self._invoice(subscription)
            except Exception as error:
                # What the real night would park is a line of its own here.
                logger.exception("a future could not be played", subscription_id=str(subscription.pk))
                why = redact(f"{type(error).__name__}: {error}")
                self.problems[subscription.pk] = self._about(subscription, at=at, kind="problem", detail=why)

    def _subscriptions(self) -> list[Subscription]:
        rows = Subscription.objects.select_related("plan__product").filter(organization=self.organization)
        return list(rows.exclude(state=states.ENDED).exclude(pk__in=list(self.problems)).order_by("created_at"))

    def _pay(self, subscription: Subscription, at: datetime) -> None:
        if not self.paid:
            return
        due = subscription.orders.filter(kind__in=Order.DUNNED, state=order_states.OPEN, due_at__lte=at)
        for order in due.order_by("due_at"):
            orders.mark_paid(order, now=at)
            renewals.fulfil(order.pk, now=at)

    def _step(self, subscription: Subscription, at: datetime) -> None:
        due = subscription.orders.filter(kind__in=Order.DUNNED, state=order_states.OPEN, next_step_at__lte=at)
        for order_id in due.values_list("pk", flat=True):
            dunning.step(order_id, now=at)

    def _keep_trial(self, subscription: Subscription, at: datetime) -> None:
        trials.remind(subscription.pk, now=at)
        trials.end(subscription.pk, now=at)
        left = Subscription.objects.select_related("plan").get(pk=subscription.pk)
        if entitlement.of(left, now=at) == entitlement.Right.NOTHING:
            trials.end_retention(subscription.pk, now=at)

    def _invoice(self, subscription: Subscription) -> None:
        new = subscription.orders.select_related("plan__product").filter(state=order_states.FULFILLED)
        for order in new.exclude(pk__in=self.known).order_by("fulfilled_at"):
            self.known.append(order.pk)
            assert order.fulfilled_at is not None
            invoice = invoicing.draft_for_order(order.pk, now=order.fulfilled_at)
            if invoice is not None:
                at = order.fulfilled_at
                self.invoices.append(self._about(subscription, at=at, kind="invoice", detail="", order=order))

    def _next(self, at: datetime) -> datetime | None:
        """When there is something to do again."""
        moments: list[datetime | None] = []
        for one in self._subscriptions():
            if one.state in _RUNNING:
                moments += [one.cancel_at, one.trial_ends_at if one.state == states.TRIALING else None]
                moments += [trials.remind_at(one, days) for days in trials.REMINDER_DAYS]
            if one.state == states.ACTIVE and one.cancel_at is None:
                moments.append(one.renews_at)
            moments.append(entitlement.kept_until(one))
        waiting = Order.objects.filter(organization=self.organization, kind__in=Order.DUNNED, state=order_states.OPEN)
        for due_at, next_step_at in waiting.values_list("due_at", "next_step_at"):
            moments += [next_step_at, due_at if self.paid else None]
        return min((moment for moment in moments if moment is not None and moment > at), default=None)

    # --- what came of it --------------------------------------------------------------------------------

    def _facts(self) -> Iterator[Document]:
        facts = Fact.objects.filter(organization_id=self.organization.pk, name__in=_FACTS, pk__gt=self.first_fact)
        plans = Subscription.objects.select_related("plan__product").filter(organization=self.organization)
        known = {str(one.pk): one for one in plans}
        made = Order.objects.select_related("plan__product").in_bulk(
            [UUID(fact.data["order_id"]) for fact in facts if "order_id" in fact.data]
        )
        for fact in facts:
            about = known[fact.data["subscription_id"]]
            order = made.get(UUID(fact.data["order_id"])) if "order_id" in fact.data else None
            detail = str(fact.data.get("days", fact.data.get("reason", fact.data.get("days_before", ""))))
            yield self._about(about, at=fact.at, kind=_FACTS[fact.name], detail=detail, order=order)

    def _about(
        self, subscription: Subscription, *, at: datetime, kind: str, detail: str, order: Order | None = None
    ) -> Document:
        plan = order.plan if order is not None else subscription.plan
        sums = {}
        if order is not None:
            sums = {
                "net": Money(order.subtotal_minor - order.discount_minor, order.currency),
                "tax": Money(order.tax_minor, order.currency),
                "total": order.total,
            }
        return Document(
            at=at,
            kind=kind,
            customer=self.organization.name,
            plan=f"{plan.product.name} {plan.name}",
            begins=order.period_start if order else None,
            ends=order.period_end if order else None,
            detail=detail,
            **sums,
        )
