"""The verbs of this app."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from parcelle.core.money import Money
from parcelle.domain.catalog.models import Plan, Price


@transaction.atomic
def set_price(plan_id: UUID, *, interval: str, amount: Money, now: datetime) -> Price:
    """What the plan costs from now on. Another amount is another row, and what was sold stays as it was sold.

    The same amount again changes nothing.
    """
    # The plan's row, so that of two operators one comes after the other.
    Plan.objects.select_for_update().get(pk=plan_id)
    current = Price.objects.filter(
        plan_id=plan_id, interval=interval, currency=amount.currency, retired_at=None
    ).first()
    if current is not None and current.amount == amount:
        return current
    if current is not None:
        retire_price(current.pk, now=now)
    return Price.objects.create(
        plan_id=plan_id, interval=interval, currency=amount.currency, amount_minor=amount.minor, created_at=now
    )


def retire_price(price_id: UUID, *, now: datetime) -> bool:
    """Takes a price off the shelf; false when it was already. Orders and subscriptions at this price keep it."""
    return bool(Price.objects.filter(pk=price_id, retired_at=None).update(retired_at=now))
