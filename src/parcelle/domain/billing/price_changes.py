"""Another amount for who subscribed already: announced to each of them, and counted from a later renewal on.

A price is never changed: customers of one go over to another one, as a row of `PriceChange` says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q

from parcelle.core import events
from parcelle.domain.billing import order_states, periods, states
from parcelle.domain.billing.desk_events import PriceChangeAnnounced, PriceChangeTakenBack
from parcelle.domain.billing.errors import PriceChangeRefused
from parcelle.domain.billing.events import PriceChangeDue, PriceStays
from parcelle.domain.billing.models import Order, PriceChange, PriceNotice, Subscription
from parcelle.domain.catalog.models import Price

# Whoever does not agree has so long to leave.
NOTICE = timedelta(days=30)
# Who comes back renews at the price of that day.
_HAVING = (states.ACTIVE, states.PAST_DUE, states.SUSPENDED)


@transaction.atomic
def announce(*, old_id: UUID, new_id: UUID, actor: str, now: datetime, notice: timedelta = NOTICE) -> PriceChange:
    """Customers of `old` pay `new` for every period that begins after the notice. Raises PriceChangeRefused.

    The same again is the same change.
    """
    old, new = (Price.objects.select_for_update().get(pk=pk) for pk in (old_id, new_id))
    known = PriceChange.objects.filter(old=old).first()
    if known is not None and known.new_id == new.pk:
        return known
    if known is not None:
        raise PriceChangeRefused("announced")
    if (old.plan_id, old.interval, old.currency) != (new.plan_id, new.interval, new.currency) or old.pk == new.pk:
        raise PriceChangeRefused("other_kind")
    if old.retired_at is None:
        raise PriceChangeRefused("on_sale")
    if _leads_to(new, old):
        raise PriceChangeRefused("circle")
    made = PriceChange.objects.create(old=old, new=new, actor=actor, announced_at=now, effective_at=now + notice)
    events.record(
        PriceChangeAnnounced(old_price_id=old.pk, price_id=new.pk, effective_at=made.effective_at), now=now, actor=actor
    )
    return made


@dataclass(frozen=True, kw_only=True)
class Former:
    """A price that is no longer sold, what took its place, and how many subscriptions still have it."""

    old: Price
    new: Price
    subscriptions: int


def former(plan_id: UUID) -> list[Former]:
    """Of a plan, those whose customers can be moved to the price that is sold now."""
    sold = {(price.interval, price.currency): price for price in Price.objects.filter(plan=plan_id, retired_at=None)}
    retired = Price.objects.filter(plan=plan_id, retired_at__isnull=False, leaves=None).select_related("plan")
    having = Q(subscriptions__state__in=_HAVING)
    rows = retired.annotate(having=Count("subscriptions", filter=having)).filter(having__gt=0)
    return [
        Former(old=price, new=sold[price.interval, price.currency], subscriptions=price.having)
        for price in rows.order_by("currency", "interval", "amount_minor")
        if (price.interval, price.currency) in sold
    ]


def affected(changes: Collection[PriceChange]) -> dict[UUID, int]:
    """How many subscriptions have the old price of each still, by that price."""
    rows = Subscription.objects.filter(price__in=[change.old_id for change in changes], state__in=_HAVING)
    return dict(rows.order_by().values_list("price").annotate(Count("pk")))


@transaction.atomic
def take_back(change_id: int, *, actor: str, now: datetime) -> None:
    """The price stays after all; whoever was told otherwise is told so. Raises PriceChangeRefused once it counts for
    anybody."""
    change = PriceChange.objects.select_for_update().get(pk=change_id)
    told = list(change.notices.values_list("subscription_id", "subscription__organization_id"))
    asked = Order.objects.filter(
        subscription__in=[pk for pk, _organization_id in told], kind=Order.RENEWAL, price=change.new_id
    ).exclude(state=order_states.EXPIRED)
    if change.effective_at <= now or asked.exists():
        raise PriceChangeRefused("counts")
    for subscription_id, organization_id in told:
        events.record(
            PriceStays(organization_id=organization_id, subscription_id=subscription_id, price_id=change.old_id),
            now=now,
            actor=actor,
        )
    events.record(PriceChangeTakenBack(old_price_id=change.old_id, price_id=change.new_id), now=now, actor=actor)
    change.delete()


def _leads_to(price: Price, target: Price) -> bool:
    """Whether customers of a price go over to another one in the end."""
    passed: set[UUID] = set()
    while price.pk != target.pk:
        change = PriceChange.objects.select_related("new").filter(old=price).first()
        if change is None or price.pk in passed:
            return False
        passed.add(price.pk)
        price = change.new
    return True


def price_at(price: Price, at: datetime, *, seen: dict[UUID, PriceChange | None] | None = None) -> Price:
    """What a period that begins at this moment costs who had this price before.

    `seen` keeps what was looked up, by old price, for whoever asks of many.
    """
    seen = {} if seen is None else seen
    passed: set[UUID] = set()
    # Only what is no longer sold goes over to something else.
    while price.retired_at is not None and price.pk not in passed:
        passed.add(price.pk)
        if price.pk not in seen:
            seen[price.pk] = PriceChange.objects.select_related("new__plan__product").filter(old=price).first()
        change = seen[price.pk]
        if change is None or change.effective_at > at:
            return price
        price = change.new
    return price


def to_tell(now: datetime) -> Iterator[UUID]:
    """Subscriptions whose customer does not know yet."""
    told = PriceNotice.objects.filter(subscription=OuterRef("pk"), change__old=OuterRef("price"))
    rows = Subscription.objects.filter(price__leaves__announced_at__lte=now, state__in=(states.ACTIVE, states.PAST_DUE))
    yield from rows.exclude(Exists(told)).order_by("pk").values_list("pk", flat=True).iterator(chunk_size=2000)


@transaction.atomic
def tell(subscription_id: UUID, *, now: datetime) -> bool:
    """Records, once, that a customer is to be told of another price, and from when on it counts for them."""
    rows = Subscription.objects.select_related("price").select_for_update(of=("self",))
    subscription = rows.get(pk=subscription_id)
    change = PriceChange.objects.filter(old=subscription.price).first()
    if change is None or subscription.price is None or subscription.period_end is None:
        return False
    _notice, new = PriceNotice.objects.get_or_create(change=change, subscription=subscription, defaults={"at": now})
    if not new:
        return False
    anchor = subscription.anchor_day or periods.anchor_of(subscription.period_end)
    begins = subscription.period_end
    while begins < change.effective_at:
        begins = periods.next_start(begins, interval=subscription.price.interval, anchor_day=anchor)
    events.record(
        PriceChangeDue(
            organization_id=subscription.organization_id,
            subscription_id=subscription.pk,
            old_price_id=change.old_id,
            price_id=change.new_id,
            effective_at=begins,
        ),
        now=now,
    )
    return True
