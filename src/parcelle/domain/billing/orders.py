"""Orders: placed with everything as it was agreed, paid once, fulfilled once, or lapsed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction

from parcelle.core import events
from parcelle.core.compiled import Compiled, Given
from parcelle.core.context import Platform, as_platform
from parcelle.core.rows import insert
from parcelle.core.states import move
from parcelle.domain.billing import baskets, coupons, ledger, order_states, payment_states, sellers, taxes
from parcelle.domain.billing.baskets import Basket
from parcelle.domain.billing.errors import NotOnSale, PaymentOpen
from parcelle.domain.billing.events import OrderFulfilled, OrderLapsed, OrderLeftOpen, OrderPaid, OrderPlaced
from parcelle.domain.billing.models import Order, Subscription
from parcelle.domain.billing.quotes import Quote, quote
from parcelle.domain.catalog import offers
from parcelle.domain.catalog.models import Price, Product
from parcelle.domain.tenancy.models import Organization

# How long an order waits for its payment. A transfer takes days, and what is paid later becomes credit.
OPEN_FOR = timedelta(days=14)
# Who was only interrupted comes back by themselves before that.
REMIND_AFTER = timedelta(hours=2)
# Whoever is reminded has at least so long to pay.
REMIND_BEFORE_END = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Buyer:
    """Who buys, as typed. `vat_number_valid` is None while nobody could check the number."""

    first_name: str
    last_name: str
    company: str
    email: str
    phone: str = ""
    country: str = "FR"
    address: str = ""
    postcode: str = ""
    city: str = ""
    vat_number: str = ""
    vat_number_valid: bool | None = None
    siren: str = ""


def decide_tax(buyer: Buyer, product: Product, *, seller: taxes.Seller | None = None) -> taxes.Decision:
    return taxes.decide(
        seller or sellers.current().for_taxes(),
        taxes.Buyer(
            country=buyer.country,
            business=bool(buyer.company),
            vat_number=buyer.vat_number,
            vat_number_valid=buyer.vat_number_valid,
        ),
        rate=product.vat_rate,
    )


def price_on_sale(price_id: UUID) -> Price:
    """Raises NotOnSale."""
    price = offers.price(price_id)
    if price is None:
        raise NotOnSale
    return price


@as_platform(Platform.CHECKOUT)
def preview(
    price: Price, *, coupon_code: str, buyer: Buyer, now: datetime, add_ons: Mapping[UUID, int] | None = None
) -> Quote:
    """What an order would come to. Raises AddOnRefused and CouponRefused."""
    basket = Basket(price, baskets.choose(price, add_ons or {}))
    coupon = None
    if coupon_code:
        coupon = coupons.check(coupon_code, plan=price.plan, subtotal=basket.amount, email=buyer.email, now=now)
    return quote(basket.amount, coupon=coupon, decision=decide_tax(buyer, price.plan.product))


@transaction.atomic
def place(
    *,
    request_id: UUID,
    price_id: UUID,
    coupon_code: str,
    buyer: Buyer,
    language: str,
    now: datetime,
    user_id: UUID | None = None,
    organization: Organization | None = None,
    actor: str = "visitor",
    add_ons: Mapping[UUID, int] | None = None,
) -> Order:
    """The order of one plan, and of so many of each add-on; the same `request_id` again is the same order.

    Raises NotOnSale, AddOnRefused and CouponRefused. What costs nothing is paid at once.
    """
    _one_at_a_time(request_id)
    earlier = _of_request.first(request=request_id)
    if earlier is not None:
        return earlier
    price = price_on_sale(price_id)
    basket = Basket(price, baskets.choose(price, add_ons or {}))
    coupon = None
    if coupon_code:
        coupon = coupons.check(coupon_code, plan=price.plan, subtotal=basket.amount, email=buyer.email, now=now)
    sum_ = quote(basket.amount, coupon=coupon, decision=decide_tax(buyer, price.plan.product))
    order = Order(
        number=new_number(now),
        request_id=request_id,
        plan=price.plan,
        price=price,
        extras=baskets.whole(basket.extras),
        coupon=coupon,
        buyer=asdict(buyer),
        email=buyer.email,
        language=language,
        currency=price.currency,
        subtotal_minor=sum_.subtotal.minor,
        discount_minor=sum_.discount.minor,
        tax_minor=sum_.tax.minor,
        total_minor=sum_.total.minor,
        tax=sum_.decision.stored(),
        user_id=user_id,
        organization=organization,
        created_at=now,
        expires_at=now + OPEN_FOR,
    )
    insert(order)
    coupons.use(order, now=now)
    events.record(
        OrderPlaced(order_id=order.pk, organization_id=order.organization_id, number=order.number), now=now, actor=actor
    )
    if order.total_minor == 0:
        mark_paid(order, now=now)
    return order


_of_request = Compiled(lambda: Order.objects.filter(request_id=Given("request")))
_with_plan = Compiled(lambda: Order.objects.select_related("plan__product", "price", "coupon").filter(pk=Given("id")))


def with_plan(order_id: UUID) -> Order | None:
    """The order with its plan, product, price and coupon."""
    return _with_plan.first(id=order_id)


def _one_at_a_time(request_id: UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 21))", [str(request_id)])


def new_number(now: datetime) -> str:
    return new_numbers([now])[0]


def new_numbers(moments: Sequence[datetime]) -> list[str]:
    """One for an order of each of these moments."""
    # A sequence may leave holes, which is fine for orders: only invoices must not.
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('billing_order_number') FROM generate_series(1, %s)", [len(moments)])
        numbers = sorted(row[0] for row in cursor.fetchall())
    return [f"CMD-{now:%Y}-{number:06d}" for now, number in zip(moments, numbers, strict=True)]


def mark_paid(order: Order, *, now: datetime) -> None:
    """Inside the caller's transaction; raises IllegalTransition when the order is not open."""
    move(order, order_states.PAID, table=order_states.TRANSITIONS, paid_at=now)
    events.record(OrderPaid(order_id=order.pk, organization_id=order.organization_id, number=order.number), now=now)


@transaction.atomic
def fulfil(
    order: Order, *, organization: Organization, subscription: Subscription, instance_id: UUID | None, now: datetime
) -> None:
    """Notes what the customer got for it, and for which period; raises IllegalTransition when that was done before."""
    move(
        order,
        order_states.FULFILLED,
        table=order_states.TRANSITIONS,
        organization=organization,
        subscription=subscription,
        instance_id=instance_id,
        fulfilled_at=now,
        period_start=order.period_start or subscription.period_start,
        period_end=order.period_end or subscription.period_end,
    )
    events.record(
        OrderFulfilled(
            order_id=order.pk, organization_id=organization.pk, instance_id=instance_id, number=order.number
        ),
        now=now,
    )


_MONEY_MAY_BE_ON_ITS_WAY = (payment_states.SUBMITTED, payment_states.UNKNOWN, payment_states.PARKED)


def to_remind(now: datetime) -> Iterator[UUID]:
    """Orders that somebody left open a while ago and was not reminded of."""
    due = Order.objects.filter(state=order_states.OPEN, reminded_at=None, created_at__lte=now - REMIND_AFTER)
    # A renewal has a calendar of its own.
    due = due.exclude(kind__in=Order.DUNNED)
    due = due.filter(expires_at__gt=now + REMIND_BEFORE_END)
    yield from due.exclude(payments__state__in=_MONEY_MAY_BE_ON_ITS_WAY).values_list("pk", flat=True)


@transaction.atomic
def remind(order_id: UUID, *, now: datetime) -> bool:
    """Says, once, that an order was left open; false when there is nothing to be reminded of.

    There is not while money may be on its way, nor for a transfer that takes its time, nor when the same customer has
    ordered again since. An attempt whose page was closed half-way is what a reminder is for.
    """
    order = Order.objects.select_for_update().get(pk=order_id)
    if order.state != order_states.OPEN or order.reminded_at is not None or order.created_at > now - REMIND_AFTER:
        return False
    if order.payments.filter(state__in=_MONEY_MAY_BE_ON_ITS_WAY).exists():
        return False
    order.reminded_at = now
    order.save(update_fields=["reminded_at"])
    pending = order.payments.filter(state=payment_states.PENDING).first()
    if pending is not None and not pending.memo.get("url"):
        return False
    if Order.objects.filter(email=order.email, created_at__gt=order.created_at).exists():
        return False
    events.record(OrderLeftOpen(order_id=order.pk, organization_id=order.organization_id, number=order.number), now=now)
    return True


def to_lapse(now: datetime) -> Iterator[UUID]:
    yield from Order.objects.filter(state=order_states.OPEN, expires_at__lte=now).values_list("pk", flat=True)


@transaction.atomic
def lapse(order_id: UUID, *, now: datetime) -> bool:
    """Ends an order nobody paid in time and frees its coupon; false while money may still be on its way."""
    order = Order.objects.select_for_update().get(pk=order_id)
    if order.state != order_states.OPEN or order.expires_at > now:
        return False
    if order.payments.filter(state__in=payment_states.BLOCKING).exists():
        return False
    give_up(order, now=now)
    return True


def give_up(order: Order, *, now: datetime) -> None:
    """Ends an open order that is no longer meant, under its lock. Raises PaymentOpen while money may be on its way."""
    if order.payments.filter(state__in=payment_states.BLOCKING).exists():
        raise PaymentOpen
    move(order, order_states.EXPIRED, table=order_states.TRANSITIONS)
    coupons.release(order)
    if order.credit_minor:
        assert order.organization_id is not None
        ledger.keep_as_credit(
            organization_id=order.organization_id,
            amount=order.credit,
            key=f"credit-back:{order.pk}",
            reference=order.number,
            now=now,
        )
    events.record(OrderLapsed(order_id=order.pk, organization_id=order.organization_id, number=order.number), now=now)
