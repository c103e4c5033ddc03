"""Questions about subscriptions."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q, QuerySet

from parcelle.core.compiled import Compiled, Given
from parcelle.domain.billing import order_states, states
from parcelle.domain.billing.models import Order, Subscription
from parcelle.domain.catalog.models import Plan


def subscription(subscription_id: UUID) -> Subscription | None:
    return _subscription.first(id=subscription_id)


_subscription = Compiled(
    lambda: Subscription.objects.select_related("plan__product", "organization").filter(pk=Given("id"))
)


def live_subscription(organization_id: UUID) -> Subscription | None:
    """The organization's newest subscription that entitles it to something now."""
    rows = Subscription.objects.select_related("plan__product").filter(organization_id=organization_id)
    return rows.filter(state__in=states.LIVE).order_by("-created_at").first()


def past_trial(organization_id: UUID, plan: Plan) -> Subscription | None:
    """An earlier trial of the same product, over by now."""
    rows = Subscription.objects.select_related("plan").filter(
        organization_id=organization_id, plan__product_id=plan.product_id, trial_ends_at__isnull=False
    )
    return rows.exclude(state__in=states.LIVE).order_by("-created_at").first()


def open_orders(user_id: UUID, organization_id: UUID | None, *, now: datetime) -> QuerySet[Order]:
    """Orders that wait for their payment, the newest first: an organization's, and a person's that are of none yet."""
    theirs = Q(user_id=user_id, organization=None)
    if organization_id is not None:
        theirs |= Q(organization_id=organization_id)
    waiting = Order.objects.filter(theirs, state=order_states.OPEN, expires_at__gt=now)
    return waiting.select_related("plan__product").order_by("-created_at")


def trial_days_left(found: Subscription, now: datetime) -> int:
    """Days until the trial ends, begun days counted whole; 0 when it is over or there is none."""
    if found.trial_ends_at is None or found.state != states.TRIALING:
        return 0
    return max(0, -((now - found.trial_ends_at) // timedelta(days=1)))
