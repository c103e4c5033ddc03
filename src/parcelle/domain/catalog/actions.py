"""The verbs of this app."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from parcelle.core.money import Money
from parcelle.domain.catalog.models import AddOn, AddOnPrice, Plan, Price


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


@transaction.atomic
def set_add_on_price(add_on_id: UUID, *, interval: str, amount: Money, adds: int, now: datetime) -> AddOnPrice:
    """What one of an add-on costs and allows from now on; as `set_price`."""
    AddOn.objects.select_for_update().get(pk=add_on_id)
    current = AddOnPrice.objects.filter(
        add_on_id=add_on_id, interval=interval, currency=amount.currency, retired_at=None
    ).first()
    if current is not None and (current.amount, current.adds) == (amount, adds):
        return current
    if current is not None:
        retire_add_on_price(current.pk, now=now)
    return AddOnPrice.objects.create(
        add_on_id=add_on_id,
        interval=interval,
        currency=amount.currency,
        amount_minor=amount.minor,
        adds=adds,
        created_at=now,
    )


def retire_add_on_price(price_id: UUID, *, now: datetime) -> bool:
    """Takes it off the shelf; whoever has it keeps it, and may take more of it as long as the add-on is on sale."""
    return bool(AddOnPrice.objects.filter(pk=price_id, retired_at=None).update(retired_at=now))
