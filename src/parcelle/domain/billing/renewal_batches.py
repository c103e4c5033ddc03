"""Many renewals in one transaction: what each of them needs is read, and what they come to is written, all at once.

Only what is plain is done here. Who has credit or add-ons, went over to another plan, pays nothing, or is being changed
by somebody else at this moment is handed back, for `renewals.renew` in a transaction of their own. See
docs/decisions/0025-renewals-together.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Count

from parcelle.core import events
from parcelle.domain.billing import (
    calendars,
    coupons,
    ledger,
    orders,
    payment_states,
    price_changes,
    renewals,
    sellers,
    taxes,
)
from parcelle.domain.billing.baskets import Basket
from parcelle.domain.billing.models import Order, Payment, PriceChange, SavedMethod, Subscription
from parcelle.domain.catalog.models import Coupon, Price

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """How many were asked for, and who is to be looked at alone."""

    asked: int
    apart: Sequence[UUID]


@transaction.atomic
def renew(subscription_ids: Sequence[UUID], *, now: datetime) -> Batch:
    """Asks for the next period of each of them; all or, when it raises, none."""
    found = _lock(subscription_ids, now=now)
    if not found:
        return Batch(asked=0, apart=subscription_ids)
    shared = _Shared.read(found)
    drafts: list[Order] = []
    numbers = orders.new_numbers([_at(one) for one in found])
    for subscription, number in zip(found, numbers, strict=True):
        try:
            order = shared.draft(subscription, number=number)
        except Exception:
            # Whoever looks at it alone says why.
            logger.exception("a renewal cannot be made with others", subscription_id=str(subscription.pk))
            continue
        if order is not None:
            drafts.append(order)
    _store(drafts)
    asked = {order.subscription_id for order in drafts}
    return Batch(asked=len(drafts), apart=[one for one in subscription_ids if one not in asked])


def _lock(subscription_ids: Collection[UUID], *, now: datetime) -> list[Subscription]:
    """Those that are due, the oldest first. Who has some never waits for others, so nobody waits in a circle."""
    rows = renewals.due(now).filter(pk__in=subscription_ids).select_related("organization").order_by("renews_at", "pk")
    return list(rows.select_for_update(of=("self",), skip_locked=True))


def _at(subscription: Subscription) -> datetime:
    assert subscription.renews_at is not None
    return subscription.renews_at


def _store(drafts: Sequence[Order]) -> None:
    Order.objects.bulk_create(drafts)
    asked = Subscription.objects.filter(pk__in=[order.subscription_id for order in drafts])
    asked.update(renews_at=None, problem="")
    with events.together():
        for order in drafts:
            renewals.record_asked(order, now=order.created_at)


@dataclass(frozen=True, kw_only=True)
class _Shared:
    """What is known of a batch, each kind of it by one query."""

    seller: taxes.Seller
    prices: dict[UUID, Price]
    before: dict[UUID, Order]
    coupons: dict[UUID, Coupon]
    coupon_uses: dict[tuple[UUID, UUID], int]
    by_hand: set[UUID]
    with_method: set[UUID]
    with_credit: set[UUID]
    changes: dict[UUID, PriceChange | None] = field(default_factory=dict)
    by_plan: dict[UUID, calendars.Calendar] = field(default_factory=dict)

    @classmethod
    def read(cls, found: Sequence[Subscription]) -> _Shared:
        customers = {one.organization_id for one in found}
        before = _last_orders(found)
        known = _coupons(before.values())
        return cls(
            seller=sellers.current().for_taxes(),
            prices=_prices(found),
            before=before,
            coupons=known,
            coupon_uses=_coupon_uses(found, known.values()),
            by_hand=_paid_by_hand(before.values()),
            with_method=set(
                SavedMethod.objects.filter(organization_id__in=customers, removed_at=None).values_list(
                    "organization_id", flat=True
                )
            ),
            with_credit=ledger.customers_with_credit(customers),
        )

    def draft(self, subscription: Subscription, *, number: str) -> Order | None:
        """The order of its next period, not stored; None for who is to be looked at alone."""
        wanted, starts_at = subscription.next_price_id or subscription.price_id, subscription.period_end
        if wanted is None or starts_at is None or not self._is_plain(subscription):
            return None
        price = price_changes.price_at(self.prices[wanted], starts_at, seen=self.changes)
        before = self.before.get(subscription.pk)
        order = renewals.draft_renewal(
            subscription,
            Basket(price),
            known=renewals.known_of(
                subscription, before, coupon=self._coupon(subscription, before, price), seller=self.seller
            ),
            number=number,
            at=_at(subscription),
            starts_at=starts_at,
            anchor_day=subscription.anchor_day,
            by_hand=before is not None
            and before.pk in self.by_hand
            and subscription.organization_id not in self.with_method,
            calendar=self._calendar(price),
        )
        return order if order.total_minor else None

    def _is_plain(self, subscription: Subscription) -> bool:
        before = self.before.get(subscription.pk)
        changed = before is not None and before.kind not in (Order.NEW, Order.RENEWAL)
        add_ons = subscription.extras or subscription.next_extras
        return not (changed or add_ons or subscription.organization_id in self.with_credit)

    def _calendar(self, price: Price) -> calendars.Calendar:
        if price.plan_id not in self.by_plan:
            self.by_plan[price.plan_id] = calendars.of(price.plan)
        return self.by_plan[price.plan_id]

    def _coupon(self, subscription: Subscription, before: Order | None, price: Price) -> Coupon | None:
        coupon = self.coupons[before.coupon_id] if before is not None and before.coupon_id else None
        if coupon is None or not coupons.goes_on(coupon, plan=price.plan, subtotal=price.amount):
            return None
        used = self.coupon_uses.get((subscription.pk, coupon.pk), 0)
        return coupon if coupon.payments is None or used < coupon.payments else None


def _prices(found: Iterable[Subscription]) -> dict[UUID, Price]:
    wanted = {one.next_price_id or one.price_id for one in found}
    return Price.objects.select_related("plan__product").in_bulk([one for one in wanted if one is not None])


def _last_orders(found: Iterable[Subscription]) -> dict[UUID, Order]:
    paid = Order.objects.filter(subscription__in=[one.pk for one in found], state__in=renewals.PAID)
    newest = paid.exclude(kind=Order.RECOVERY).order_by("subscription_id", "-created_at").distinct("subscription_id")
    needed = newest.only("subscription_id", "kind", "coupon_id", "user_id", "buyer", "created_at")
    return {order.subscription_id: order for order in needed if order.subscription_id is not None}


def _coupons(before: Iterable[Order]) -> dict[UUID, Coupon]:
    used = {order.coupon_id for order in before if order.coupon_id is not None}
    return {one.pk: one for one in Coupon.objects.filter(pk__in=used).prefetch_related("plans")} if used else {}


def _coupon_uses(found: Iterable[Subscription], known: Iterable[Coupon]) -> dict[tuple[UUID, UUID], int]:
    counted = [coupon.pk for coupon in known if coupon.payments is not None]
    if not counted:
        return {}
    uses = renewals.coupon_uses().filter(subscription__in=[one.pk for one in found], coupon__in=counted)
    numbers = uses.order_by().values_list("subscription_id", "coupon_id").annotate(Count("pk"))
    return {(subscription, coupon): number for subscription, coupon, number in numbers}


def _paid_by_hand(before: Iterable[Order]) -> set[UUID]:
    """Orders whose customer approved the payment themselves, as far as is known."""
    paid = Payment.objects.filter(order__in=[order.pk for order in before], state=payment_states.PAID)
    ways = dict(paid.order_by("created_at").values_list("order_id", "gateway"))
    by_hand = {way for way in set(ways.values()) if renewals.is_by_hand(way)}
    return {order_id for order_id, way in ways.items() if way in by_hand}


__all__ = ["Batch", "renew"]
