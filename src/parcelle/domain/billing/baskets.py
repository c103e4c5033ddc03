"""What a period consists of: a plan at its price, and so many of each add-on.

Orders and subscriptions keep add-ons as JSON, `[{"price": "<id>", "quantity": 2}]`, beside their price: prices of
add-ons are never changed, so this says for ever what was sold. An order says besides what of its subtotal is for
each (`minor`), and how many it adds (`more`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from parcelle.core.money import Money
from parcelle.domain.billing.errors import AddOnRefused
from parcelle.domain.billing.models import Order, Subscription
from parcelle.domain.catalog import offers
from parcelle.domain.catalog.models import AddOnPrice, Price

Stored = list[dict[str, Any]]


@dataclass(frozen=True)
class Extra:
    """So many of one add-on."""

    price: AddOnPrice
    quantity: int

    @property
    def amount(self) -> Money:
        return self.price.amount * self.quantity

    @property
    def allows(self) -> int:
        """How much more of what it raises."""
        return self.price.adds * self.quantity


Extras = tuple[Extra, ...]


@dataclass(frozen=True)
class Basket:
    price: Price
    extras: Extras = ()

    @property
    def amount(self) -> Money:
        """For a whole period, without tax."""
        return Money.total((self.price.amount, *(extra.amount for extra in self.extras)), self.price.currency)


@dataclass(frozen=True)
class Part:
    """What of an order is for one add-on; `more` is how many it adds, negative for what it takes away."""

    extra: Extra
    more: int
    amount: Money


# --- as it is stored ----------------------------------------------------------------------------------------


def read(stored: Stored) -> Extras:
    """What somebody has; what an order takes away altogether is not among it."""
    return tuple(extra for extra in _read(stored) if extra.quantity)


def _read(stored: Stored) -> Extras:
    if not stored:
        return ()
    prices = AddOnPrice.objects.select_related("add_on__feature").in_bulk([UUID(one["price"]) for one in stored])
    return tuple(Extra(prices[UUID(one["price"])], one["quantity"]) for one in stored)


def stored(extras: Iterable[Extra]) -> Stored:
    return [{"price": str(extra.price.pk), "quantity": extra.quantity} for extra in extras]


def bare(of_order: Stored) -> Stored:
    """What an order leaves its subscription with."""
    return [{"price": one["price"], "quantity": one["quantity"]} for one in of_order if one["quantity"]]


def of(subscription: Subscription) -> Basket:
    assert subscription.price is not None
    return Basket(subscription.price, read(subscription.extras))


def next_extras(subscription: Subscription) -> Extras:
    """The add-ons of the next period."""
    return read(subscription.extras if subscription.next_extras is None else subscription.next_extras)


def still_fewer(subscription: Subscription, change: Order) -> Stored | None:
    """The add-ons of the next period after a change that counts now: what was chosen for then stays chosen, but for
    what the change itself is about. None where nothing differs."""
    had, has = _numbers(subscription.extras), _numbers(bare(change.extras))
    chosen = had if subscription.next_extras is None else _numbers(subscription.next_extras)
    wanted = {key: chosen.get(key, 0) if has[key] == had.get(key, 0) else has[key] for key in has}
    return None if wanted == has else [{"price": key, "quantity": count} for key, count in wanted.items() if count]


def _numbers(stored: Stored) -> dict[str, int]:
    return {one["price"]: one["quantity"] for one in stored}


# --- what of an order is for which --------------------------------------------------------------------------


def whole(extras: Extras) -> Stored:
    """For a whole period."""
    return [
        {**one, "minor": extra.amount.minor, "more": extra.quantity}
        for one, extra in zip(stored(extras), extras, strict=True)
    ]


def changed(old: Basket, new: Basket, *, subtotal: Money, worth: Callable[[Money], Money]) -> Stored:
    """For the rest of a period that is paid; `worth` says what an amount for the whole of it is worth for the rest."""
    before = {extra.price.add_on_id: extra for extra in old.extras}
    after = {extra.price.add_on_id: extra for extra in new.extras}
    rows: Stored = []
    for key in [*after, *(key for key in before if key not in after)]:
        had, has = before.get(key), after.get(key)
        price = (has or had).price  # type: ignore[union-attr]
        more = (has.quantity if has else 0) - (had.quantity if had else 0)
        minor = worth(price.amount * more).minor if more >= 0 else -worth(price.amount * -more).minor
        rows.append({"price": str(price.pk), "quantity": has.quantity if has else 0, "minor": minor, "more": more})
    if not subtotal:
        return [{**row, "minor": 0} for row in rows]
    if old.price == new.price:
        _make_up(rows, subtotal)
    return rows


def _make_up(rows: Stored, subtotal: Money) -> None:
    """So that all of them together are the subtotal, also where a coupon or rounding made it another sum."""
    weights = [row["minor"] for row in rows]
    if min(weights) >= 0 and sum(weights):
        for row, share in zip(rows, subtotal.spread(weights), strict=True):
            row["minor"] = share.minor
        return
    dearest = max(rows, key=lambda row: int(row["minor"]))
    dearest["minor"] += subtotal.minor - sum(weights)


def parts(order: Order) -> list[Part]:
    """What an order is for beside the plan."""
    extras = _read(order.extras)
    return [
        Part(extra, one["more"], Money(one["minor"], order.currency))
        for one, extra in zip(order.extras, extras, strict=True)
    ]


# --- what can be had ----------------------------------------------------------------------------------------


def choose(price: Price, quantities: Mapping[UUID, int], *, have: Extras = ()) -> Extras:
    """So many of each add-on beside a plan at this price. Raises AddOnRefused.

    Who has some keeps what they pay for each, also for more of them. What is no longer sold can only become less.
    """
    known = {extra.price.add_on_id: extra for extra in have}
    on_sale = {one.add_on_id: one for one in offers.add_ons(price)} if quantities else {}
    found = []
    for key, quantity in quantities.items():
        has = known.get(key)
        had = has.quantity if has else 0
        sold = has.price if has else on_sale.get(key)
        if sold is None or (quantity > had and key not in on_sale):
            raise AddOnRefused("not_on_sale")
        if quantity < 0 or (quantity > had and quantity > sold.add_on.most):
            raise AddOnRefused("too_many")
        if quantity:
            found.append(Extra(sold, quantity))
    kept = [extra for extra in have if extra.price.add_on_id not in quantities]
    return _in_order([*kept, *found])


def carry(extras: Extras, price: Price) -> Extras:
    """The same add-ons beside another plan or for another interval. Raises AddOnRefused where there is one that
    cannot be had there."""
    on_sale: dict[UUID, AddOnPrice] | None = None
    found = []
    for extra in extras:
        if (extra.price.interval, extra.price.currency) == (price.interval, price.currency):
            if not offers.goes_with(extra.price.add_on, price.plan):
                raise AddOnRefused("not_with_plan")
            found.append(extra)
            continue
        if on_sale is None:
            on_sale = {one.add_on_id: one for one in offers.add_ons(price)}
        if extra.price.add_on_id not in on_sale:
            raise AddOnRefused("not_with_plan")
        found.append(Extra(on_sale[extra.price.add_on_id], extra.quantity))
    return _in_order(found)


def _in_order(extras: Iterable[Extra]) -> Extras:
    return tuple(sorted(extras, key=lambda extra: (extra.price.add_on.position, extra.price.add_on.slug)))
