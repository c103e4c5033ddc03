"""What happens to a subscription whatever it began as."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from parcelle.core import events
from parcelle.core.states import IllegalTransition, move
from parcelle.domain.billing import periods, states, usage
from parcelle.domain.billing.events import SubscriptionEnded, SubscriptionStarted
from parcelle.domain.billing.models import Subscription
from parcelle.domain.catalog.models import Plan, Price
from parcelle.domain.tenancy.models import Organization


@transaction.atomic
def end(subscription_id: UUID, *, reason: str, now: datetime) -> bool:
    """Ends a subscription now; false when it had ended already."""
    subscription = Subscription.objects.get(pk=subscription_id)
    try:
        move(subscription, states.ENDED, table=states.TRANSITIONS, ended_at=now)
    except IllegalTransition:
        return False
    events.record(
        SubscriptionEnded(organization_id=subscription.organization_id, subscription_id=subscription.pk, reason=reason),
        now=now,
    )
    return True


@transaction.atomic(savepoint=False)
def activate(
    *, organization: Organization, plan: Plan, price: Price, now: datetime, actor: str = "system"
) -> Subscription:
    """A paid subscription from `now` on: a running trial of the same product becomes it, and keeps what it has."""
    kept = (
        Subscription.objects.select_for_update()
        .filter(organization=organization, plan__product_id=plan.product_id)
        .filter(state__in=(states.TRIALING, states.SUSPENDED), price=None)
        .order_by("-created_at")
        .first()
    )
    paid = {
        "plan": plan,
        "price": price,
        "anchor_day": periods.anchor_of(now),
        "period_start": now,
        "period_end": periods.next_start(now, interval=price.interval, anchor_day=periods.anchor_of(now)),
    }
    if kept is not None:
        subscription = kept
        move(subscription, states.ACTIVE, table=states.TRANSITIONS, suspended_at=None, **paid)
    else:
        subscription = Subscription.objects.create(
            organization=organization, state=states.ACTIVE, created_at=now, **paid
        )
    assert subscription.period_end is not None
    usage.open_period(subscription)
    events.record(
        SubscriptionStarted(
            organization_id=organization.pk,
            subscription_id=subscription.pk,
            plan_id=plan.pk,
            paid_until=subscription.period_end,
        ),
        now=now,
        actor=actor,
    )
    return subscription
