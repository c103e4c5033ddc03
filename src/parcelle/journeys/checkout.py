"""From an order to a paid, running instance: place, pay, and what happens once the money is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from uuid import UUID

import structlog
from django.db import transaction
from django.utils import timezone

from parcelle.core.context import Platform, as_platform
from parcelle.core.models import Fact
from parcelle.core.money import Money
from parcelle.domain.accounts.models import User
from parcelle.domain.billing import (
    order_states,
    orders,
    payment_states,
    payments,
    receipts,
    refunds,
    subscriptions,
    transfers,
)
from parcelle.domain.billing.models import Confirmation, Order, Payment, Subscription, Transfer
from parcelle.domain.billing.orders import Buyer
from parcelle.domain.billing.rails import Outcome
from parcelle.domain.provisioning import actions as provisioning
from parcelle.domain.provisioning import states
from parcelle.domain.provisioning.models import Instance
from parcelle.domain.tenancy import queries as organizations
from parcelle.domain.tenancy.models import Organization
from parcelle.journeys import customers

logger = structlog.get_logger(__name__)


@as_platform(Platform.CHECKOUT)
def place(
    *,
    request_id: UUID,
    price_id: UUID,
    coupon_code: str,
    buyer: Buyer,
    language: str,
    user: User | None,
    now: datetime,
    actor: str = "visitor",
    add_ons: Mapping[UUID, int] | None = None,
    organization: Organization | None = None,
) -> Order:
    """An order for whoever is signed in, or for somebody new. Raises NotOnSale, AddOnRefused and CouponRefused.

    Without an `organization` it is for the one that `user` owns.
    """
    if organization is None and user is not None:
        organization = organizations.owned_organization(user)
    return orders.place(
        request_id=request_id,
        price_id=price_id,
        coupon_code=coupon_code,
        buyer=customers.tidy_buyer(buyer),
        language=language,
        user_id=user.pk if user else None,
        organization=organization,
        now=now,
        actor=actor,
        add_ons=add_ons,
    )


@as_platform(Platform.CHECKOUT)
def pay(
    order_id: UUID, *, gateway: str, details: Mapping[str, str], now: datetime, key: UUID | None = None
) -> tuple[Payment, Outcome | None]:
    """Begins an attempt and hands it to the payment service; no outcome means that it is not known yet.

    The same `key` again is the same attempt. Raises OrderClosed, PaymentOpen and GatewayUnusable.
    """
    payment = payments.begin(order_id, gateway=gateway, details=details, now=now, key=key)
    if payment.state != payment_states.SUBMITTED:
        return payment, None
    return payment, payments.carry_out(payment.pk, now=now)


@as_platform(Platform.CHECKOUT)
def confirm_transfer(
    payment_id: UUID,
    *,
    amount: Money,
    value_date: date,
    bank_reference: str,
    person: UUID,
    actor: str,
    now: datetime,
) -> Transfer:
    """Notes that the money of a bank transfer is on the account; where two must agree, the second one approves.

    Raises TransferRefused, and Transfer.DoesNotExist for a payment on another rail.
    """
    transfer = Transfer.objects.get(payment_id=payment_id)
    confirmation = transfers.confirm(
        transfer.pk,
        amount=amount,
        value_date=value_date,
        bank_reference=bank_reference,
        person=person,
        actor=actor,
        now=now,
    )
    if confirmation.state == Confirmation.WAITING and confirmation.person != person:
        transfers.approve(confirmation.pk, person=person, actor=actor, now=now)
    transfer.refresh_from_db()
    return transfer


def fulfil(fact: Fact) -> None:
    """A paid order becomes a customer, a subscription and an instance; once, whoever comes first."""
    now = timezone.now()
    with transaction.atomic():
        order = Order.objects.select_for_update().get(pk=UUID(fact.data["order_id"]))
        if order.state != order_states.PAID or order.kind != Order.NEW:
            return
        user = customers.of_order(order, now=now)
        organization = order.organization or customers.organization_of_order(order, user, now=now)
        subscription = subscriptions.activate(
            organization=organization, plan=order.plan, price=order.price, extras=order.extras, now=now
        )
        instance = _kept(subscription) or _new(order, organization, subscription, now=now)
        orders.fulfil(order, organization=organization, subscription=subscription, instance_id=instance.pk, now=now)


def _kept(subscription: Subscription) -> Instance | None:
    """What a trial had goes on running, and comes back if it was suspended."""
    held = Instance.objects.filter(subscription_id=subscription.pk, state__in=states.HOLDING_NAME)
    return held.order_by("-created_at").first()


def _new(order: Order, organization: Organization, subscription: Subscription, *, now: datetime) -> Instance:
    buyer = order.buyer
    return provisioning.request_instance(
        organization=organization,
        subscription_id=subscription.pk,
        product=order.plan.product,
        slug=organization.slug,
        exactly=False,
        owner={
            "company": organization.name,
            "email": order.email,
            "first_name": buyer["first_name"],
            "last_name": buyer["last_name"],
            "language": order.language,
        },
        limits=order.plan.limits,
        request_id=order.pk,
        actor="system",
        now=now,
    )


def resume_kept(fact: Fact) -> None:
    """The instance of a customer who pays again comes back at once, not at night."""
    for instance in Instance.objects.filter(subscription_id=UUID(fact.data["subscription_id"]), state=states.SUSPENDED):
        provisioning.change(instance, "resume", reason="", actor="system", now=timezone.now())


def run(*, now: datetime) -> dict[str, int]:
    """What is due: attempts and refunds whose service should be asked, orders nobody has paid. Safe to run twice.

    One that cannot be dealt with never stops the others.
    """
    return {
        "transfers": _each(transfers.to_lapse(now), transfers.lapse, now=now),
        "receipts": _each(receipts.to_remove(now), receipts.remove, now=now),
        "looked": _each(payments.to_look_at(now), payments.look, now=now),
        "refunds": _each(refunds.unsettled(now), refunds.carry_out, now=now),
        "told": _each(payments.to_tell(now), payments.tell, now=now),
        "reminded": _each(orders.to_remind(now), orders.remind, now=now),
        "lapsed": _each(orders.to_lapse(now), orders.lapse, now=now),
    }


def _each(ids: Iterable[UUID], act: Callable[..., object], *, now: datetime) -> int:
    done = 0
    for one in list(ids):
        try:
            act(one, now=now)
            done += 1
        except Exception:
            logger.exception("one of what is due could not be dealt with", what=act.__qualname__, id=str(one))
    return done
