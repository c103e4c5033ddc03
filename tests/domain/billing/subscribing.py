"""What the tests of subscriptions start from: a customer who paid, and time that goes by."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import time_machine

from parcelle.core.money import Money
from parcelle.domain.billing import orders, payments, renewals, subscriptions
from parcelle.domain.billing.gateways.base import Paid
from parcelle.domain.billing.models import GatewaySettings, Order, Payment, Subscription
from parcelle.domain.billing.orders import Buyer
from parcelle.domain.catalog import actions
from parcelle.domain.catalog.models import AddOn, Coupon, Feature, Plan, Price, Product
from parcelle.domain.provisioning.models import Target
from parcelle.journeys import dunning, entitlement, renewal, trial_end
from tests import jobs, people

DAY = timedelta(days=1)
# The last day of a month, in the morning, where the seller is.
START = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Shop:
    """Two plans, each by the month and by the year."""

    bronze: Price
    silver: Price
    bronze_year: Price
    silver_year: Price


def shop(currency: str = "EUR", **columns: object) -> Shop:
    GatewaySettings.objects.get_or_create(name="fake", defaults={"enabled": True, "values": {"secret": "s" * 32}})
    Target.objects.get_or_create(name="nowhere", defaults={"provider": "null"})
    product = Product.objects.create(
        slug=f"plain-{next(_numbers)}", name="Plain", blueprint="plain", target_name="nowhere"
    )
    plans = [Plan.objects.create(product=product, slug=name, name=name, **columns) for name in ("Bronze", "Silver")]
    amounts = {("Bronze", "month"): 30, ("Silver", "month"): 60, ("Bronze", "year"): 300, ("Silver", "year"): 600}
    made = {
        (plan.name, interval): Price.objects.create(
            plan=plan,
            interval=interval,
            currency=currency,
            amount_minor=Money.of(amounts[plan.name, interval], currency).minor,
            created_at=START,
        )
        for plan in plans
        for interval in ("month", "year")
    }
    return Shop(*(made[name, interval] for interval in ("month", "year") for name in ("Bronze", "Silver")))


def add_on(sold: Shop, slug: str, *, month: int, year: int | None = None, adds: int = 1) -> AddOn:
    """Something sold beside both plans, in their currency."""
    product, currency = sold.bronze.plan.product, sold.bronze.currency
    feature, _new = Feature.objects.get_or_create(
        product=product, key=slug, defaults={"name_fr": slug, "name_en": slug}
    )
    made = AddOn.objects.create(feature=feature, slug=f"{slug}-{product.slug}", name_fr="Plus", name_en="Plus")
    for interval, amount in (("month", month), ("year", year)):
        if amount is not None:
            actions.set_add_on_price(
                made.pk, interval=interval, amount=Money.of(amount, currency), adds=adds, now=START
            )
    return made


def subscribe(
    price: Price,
    *,
    now: datetime = START,
    coupon: Coupon | None = None,
    add_ons: Mapping[uuid.UUID, int] | None = None,
) -> Subscription:
    """A customer who paid for a first period at `now`."""
    number = next(_numbers)
    owner = people.person("Awa", f"awa-{number}")
    organization = people._organization(f"Diop {number}", f"diop-{number}", owner)
    buyer = Buyer(first_name="Awa", last_name="Diop", company=organization.name, email=owner.email)
    order = orders.place(
        request_id=uuid.uuid4(),
        price_id=price.pk,
        coupon_code=coupon.code if coupon else "",
        buyer=buyer,
        language="fr",
        now=now,
        organization=organization,
        add_ons=add_ons,
    )
    if order.total_minor:
        pay(order, now=now)
    order.refresh_from_db()
    subscription = subscriptions.activate(
        organization=organization, plan=price.plan, price=price, extras=order.extras, now=now
    )
    orders.fulfil(order, organization=organization, subscription=subscription, instance_id=None, now=now)
    return subscription


def begin(order: Order, *, now: datetime, gateway: str = "fake") -> Payment:
    """An attempt that is on its way."""
    payment = payments.begin(order.pk, gateway=gateway, details={}, now=now)
    payment.refresh_from_db()
    return payment


def arrive(payment: Payment, *, now: datetime) -> None:
    payments.record(payment.pk, Paid(received=payment.amount), now=now)


def pay(order: Order, *, now: datetime) -> None:
    """The customer pays; what comes of it is done by `tick` or `renewals.fulfil`."""
    arrive(begin(order, now=now), now=now)


def pay_and_have(order: Order, *, now: datetime) -> None:
    pay(order, now=now)
    renewals.fulfil(order.pk, now=now)


def asked(subscription: Subscription) -> Order | None:
    """The open order of the next period."""
    waiting = subscription.orders.filter(kind=Order.RENEWAL, state="open")
    return waiting.order_by("-created_at").first()


def run(now: datetime) -> None:
    """What the schedule does at `now`, without what comes of it."""
    renewal.run(now=now)
    dunning.run(now=now)
    trial_end.run(now=now)


def tick(moments: Iterable[datetime]) -> None:
    """What the schedule and a worker do at each of these moments."""
    for now in moments:
        with time_machine.travel(now, tick=False):
            run(now)
            entitlement.converge(now=now)
        jobs.work_off(now)


def days(since: datetime, *numbers: float) -> list[datetime]:
    return [since + number * DAY for number in numbers]
