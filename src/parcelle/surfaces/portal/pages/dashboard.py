"""`/dashboard`: the customer's instances, what state they are in and how long the trial lasts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from parcelle.domain.accounts.models import User
from parcelle.domain.billing import entitlement
from parcelle.domain.billing.models import Order, Subscription
from parcelle.domain.billing.queries import open_orders, trial_days_left
from parcelle.domain.billing.states import ENDED, LIVE, TRIALING
from parcelle.domain.provisioning.models import Instance
from parcelle.domain.provisioning.queries import instances_of
from parcelle.domain.provisioning.routes import supports
from parcelle.domain.tenancy import permissions
from parcelle.surfaces import current


@dataclass(frozen=True)
class Space:
    """One instance as its owner sees it."""

    instance: Instance
    subscription: Subscription | None
    days_left: int | None
    keep_until: datetime | None
    # Of a subscription that is paid for.
    paid_until: datetime | None
    # A trial that can be paid and goes on with what it has.
    can_be_bought: bool
    # What it takes to go on, where somebody has to pay for a period.
    to_pay: Order | None


@login_required
@never_cache
@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    assert isinstance(request.user, User)
    now = timezone.now()
    here = current.current(request)
    orders = list(open_orders(request.user.pk, here.organization.pk if here else None, now=now))
    context = {
        "spaces": _spaces_of([here.organization.pk], orders, now=now) if here else [],
        "own_domains": supports("hosts"),
        "orders": orders,
        "organization": here.organization if here else None,
        "may_pay": here is None or here.may(permissions.PAY),
        "may_retry": here is not None and here.may(permissions.RETRY),
        "may_see_access": here is not None and here.may(permissions.SEE_ACCESS),
    }
    return render(request, "portal/dashboard.html", context)


def _spaces_of(organizations: list[UUID], orders: list[Order], *, now: datetime) -> list[Space]:
    instances = list(instances_of(organizations).defer("secrets"))
    paid_by = {instance.subscription_id for instance in instances if instance.subscription_id}
    rows = Subscription.objects.filter(pk__in=paid_by).select_related("plan__product")
    subscriptions: dict[UUID | None, Subscription] = {row.pk: row for row in rows}
    due = {order.subscription_id: order for order in orders if order.kind in Order.DUNNED}
    return [
        _space(each, subscriptions.get(each.subscription_id), due.get(each.subscription_id), now=now)
        for each in instances
    ]


def _space(instance: Instance, subscription: Subscription | None, to_pay: Order | None, *, now: datetime) -> Space:
    return Space(
        instance=instance,
        subscription=subscription,
        days_left=trial_days_left(subscription, now) if subscription and subscription.state == TRIALING else None,
        keep_until=entitlement.kept_until(subscription) if subscription else None,
        paid_until=subscription.period_end if subscription and subscription.state in LIVE else None,
        can_be_bought=subscription is not None and subscription.price_id is None and subscription.state != ENDED,
        to_pay=to_pay if subscription else None,
    )
