"""What the pricing page shows: a product's plans side by side, in one currency, for one interval."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from django.db.models import Prefetch, Q, QuerySet

from parcelle.core.compiled import Compiled, Given
from parcelle.core.money import Money
from parcelle.domain.catalog.models import AddOn, AddOnPrice, Feature, Plan, PlanFeature, Price, Product
from parcelle.domain.catalog.queries import plans_on_sale


@dataclass(frozen=True, kw_only=True)
class Included:
    """One line of a plan: the feature and how much of it; `amount` None where it is unlimited or not counted."""

    feature: Feature
    counted: bool
    amount: int | None


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A plan as it can be bought now. `price` is None for a plan on request, or without a price in this currency."""

    plan: Plan
    price: Price | None
    # What the same plan costs per interval, whatever the page shows, so that the saving can be told.
    by_interval: dict[str, Money]
    included: tuple[Included, ...]

    def of(self, feature: Feature) -> Included | None:
        return next((line for line in self.included if line.feature.pk == feature.pk), None)


@dataclass(frozen=True, kw_only=True)
class Extra:
    """An add-on at its price; `plans` are those of the shelf that it goes with, none where it goes with all of them."""

    price: AddOnPrice
    plans: tuple[Plan, ...]


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """One product with its offers and the lines by which they are compared."""

    product: Product
    offers: tuple[Offer, ...]
    # The plan it can be tried with for nothing, if there is one.
    trial: Plan | None
    features: tuple[Feature, ...]
    # What can be had beside the plans at this currency and interval.
    extras: tuple[Extra, ...]


_ADD_ONS_IN_ORDER = ("add_on__position", "add_on__slug")


def version() -> int:
    """A number that is another one after every change of what is on sale; triggers count it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT number FROM catalog_version")
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def plans(*, product: str | None = None, currency: str | None = None, interval: str | None = None) -> QuerySet[Plan]:
    """Plans on sale, with their current prices as `current`, what they include, and their product's features.

    With a currency or an interval only those that have such a price.
    """
    found = plans_on_sale().prefetch_related(
        Prefetch("prices", Price.objects.filter(retired_at=None), to_attr="current"),
        Prefetch("included", PlanFeature.objects.select_related("feature")),
    )
    if product is not None:
        found = found.filter(product__slug=product)
    wanted = {"currency": currency, "interval": interval}
    asked = {name: value for name, value in wanted.items() if value is not None}
    if asked:
        found = found.filter(pk__in=Price.objects.filter(retired_at=None, **asked).values("plan"))
    return found.order_by("product__position", "product__name", "position", "name", "pk")


def currencies() -> list[str]:
    """The currencies in which something is sold now, the most used first."""
    counts: dict[str, int] = {}
    for currency in _on_sale().values_list("currency", flat=True):
        counts[currency] = counts.get(currency, 0) + 1
    return sorted(counts, key=lambda currency: (-counts[currency], currency))


def shelves(*, currency: str, interval: str) -> list[Shelf]:
    """Every product with plans that are sold, disabled products last and without prices to click on."""
    plans = Plan.objects.filter(enabled=True).prefetch_related(
        Prefetch("prices", Price.objects.filter(retired_at=None, currency=currency), to_attr="current"),
        Prefetch("included", PlanFeature.objects.select_related("feature")),
    )
    products = Product.objects.prefetch_related(Prefetch("plans", plans, to_attr="offered"), "features")
    beside = _beside(currency, interval)
    found = [
        _shelf(product, interval, beside.get(product.pk, []))
        for product in products.order_by("-enabled", "position", "name")
    ]
    return [shelf for shelf in found if shelf.offers]


def _on_sale() -> QuerySet[Price]:
    return Price.objects.filter(retired_at=None, plan__enabled=True, plan__product__enabled=True)


def _beside(currency: str, interval: str) -> dict[UUID, list[AddOnPrice]]:
    """The prices of add-ons on sale, by product."""
    rows = AddOnPrice.objects.filter(retired_at=None, add_on__enabled=True, currency=currency, interval=interval)
    found: dict[UUID, list[AddOnPrice]] = {}
    for row in rows.select_related("add_on__feature").prefetch_related("add_on__plans").order_by(*_ADD_ONS_IN_ORDER):
        found.setdefault(row.add_on.feature.product_id, []).append(row)
    return found


def _shelf(product: Product, interval: str, beside: Iterable[AddOnPrice]) -> Shelf:
    plans: list[Plan] = product.offered  # type: ignore[attr-defined]
    made = (_offer(plan, interval) for plan in plans)
    offers = tuple(offer for offer in made if offer.price or offer.plan.on_request)
    priced = [offer.plan for offer in offers if offer.price]
    return Shelf(
        product=product,
        offers=offers,
        extras=tuple(filter(None, (_extra(price, priced) for price in beside))),
        trial=next((plan for plan in plans if plan.trial_days and not plan.on_request), None),
        features=tuple(product.features.all()),
    )


def _extra(price: AddOnPrice, plans: Iterable[Plan]) -> Extra | None:
    """None for what goes with nothing that is shown."""
    fitting = tuple(plan for plan in plans if goes_with(price.add_on, plan))
    if not fitting:
        return None
    return Extra(price=price, plans=() if len(fitting) == len(list(plans)) else fitting)


def _offer(plan: Plan, interval: str) -> Offer:
    current: list[Price] = plan.current  # type: ignore[attr-defined]
    return Offer(
        plan=plan,
        price=next((price for price in current if price.interval == interval), None),
        by_interval={price.interval: price.amount for price in current},
        included=tuple(
            Included(feature=line.feature, counted=line.counted, amount=line.amount) for line in plan.included.all()
        ),
    )


def price(price_id: UUID) -> Price | None:
    """A price that can be bought now, with its plan and product."""
    return _price.first(id=price_id)


_price = Compiled(lambda: _on_sale().select_related("plan__product").filter(pk=Given("id")))


def other_interval(price: Price) -> Price | None:
    """What the same plan costs when it is paid as often as the other choice has it; None where there is none."""
    return _other_interval.first(plan=price.plan_id, currency=price.currency, interval=price.interval)


_other_interval = Compiled(
    lambda: (
        Price.objects.filter(plan=Given("plan"), currency=Given("currency"), retired_at=None)
        .exclude(interval=Given("interval"))
        .order_by("interval", "pk")[:1]
    )
)


def included_in(plan_id: UUID, *, most: int) -> list[PlanFeature]:
    """The first of what a plan includes, with their features."""
    return _included(plan=plan_id)[:most]


_included = Compiled(lambda: PlanFeature.objects.select_related("feature").filter(plan=Given("plan")))


def add_ons(price: Price) -> list[AddOnPrice]:
    """What can be had beside a plan at this price, as it is sold now."""
    return _add_ons(plan=price.plan_id, product=price.plan.product_id, interval=price.interval, currency=price.currency)


_add_ons = Compiled(
    lambda: (
        AddOnPrice.objects.filter(
            Q(add_on__plans=None) | Q(add_on__plans=Given("plan")),
            add_on__feature__product=Given("product"),
            add_on__enabled=True,
            retired_at=None,
            interval=Given("interval"),
            currency=Given("currency"),
        )
        .select_related("add_on__feature")
        .order_by(*_ADD_ONS_IN_ORDER)
        .distinct()
    )
)


def add_ons_of(product_ids: Iterable[UUID]) -> dict[UUID, list[AddOn]]:
    """The add-ons on sale of each product, with their current prices as `current`."""
    rows = AddOn.objects.filter(enabled=True, feature__product__in=list(product_ids)).prefetch_related(
        Prefetch("prices", AddOnPrice.objects.filter(retired_at=None), to_attr="current"), "plans"
    )
    found: dict[UUID, list[AddOn]] = {}
    for one in rows.select_related("feature"):
        found.setdefault(one.feature.product_id, []).append(one)
    return found


def goes_with(add_on: AddOn, plan: Plan) -> bool:
    """Whether an add-on can stand beside a plan, on sale or not."""
    if add_on.feature.product_id != plan.product_id:
        return False
    plans = {one.pk for one in add_on.plans.all()}
    return not plans or plan.pk in plans
