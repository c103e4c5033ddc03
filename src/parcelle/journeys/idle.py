"""Instances that nobody uses are put to sleep, as their plan says."""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import Case, F, OuterRef, QuerySet, Subquery, Value, When

from parcelle.core.states import IllegalTransition
from parcelle.domain.billing.models import Subscription
from parcelle.domain.billing.states import TRIALING
from parcelle.domain.provisioning import actions, routes
from parcelle.domain.provisioning.errors import InstanceBusy
from parcelle.domain.provisioning.models import Instance

logger = structlog.get_logger(__name__)

# Stopping many at once would only make the machine busy.
MOST_AT_ONCE = 50


def run(*, now: datetime) -> int:
    """Notes the newest visits and puts to sleep whoever had none for long enough; how many."""
    if not routes.supports("sleep"):
        return 0
    routes.note_visits(now=now)
    asleep = 0
    for instance in due(now=now)[:MOST_AT_ONCE]:
        try:
            with transaction.atomic():
                actions.change(instance, "sleep", reason="", actor="system", now=now)
            asleep += 1
        except (InstanceBusy, IllegalTransition):
            continue
        except Exception:
            logger.exception("an instance could not be put to sleep", instance_id=str(instance.pk))
    return asleep


def due(*, now: datetime) -> QuerySet[Instance]:
    """Live instances whose last visit is longer ago than their plan lets them idle."""
    minutes = Case(When(state=TRIALING, then=F("plan__trial_sleep_minutes")), default=F("plan__sleep_minutes"))
    paid_by = Subscription.objects.filter(pk=OuterRef("subscription_id"))
    idle = routes.idle_since().annotate(minutes=Subquery(paid_by.values_list(minutes, flat=True)))
    patience = F("minutes") * Value(timedelta(minutes=1))
    # The stubs forget what another function annotated.
    return idle.filter(minutes__gt=0, idle_at__lt=Value(now) - patience)  # type: ignore[misc]
