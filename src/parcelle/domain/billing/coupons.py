"""Coupons: whether one may be used, and that it is never used more often than it may."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db.models.functions import Upper

from parcelle.core.money import Money
from parcelle.domain.billing.errors import CouponRefused
from parcelle.domain.billing.models import CouponUse, Order
from parcelle.domain.catalog.models import Coupon, Plan


def find(code: str) -> Coupon | None:
    """By its code, in any case."""
    return Coupon.objects.alias(upper=Upper("code")).filter(upper=code.strip().upper(), enabled=True).first()


def check(code: str, *, plan: Plan, subtotal: Money, email: str, now: datetime) -> Coupon:
    """The coupon, if this sale may use it now. Raises CouponRefused with a code that has words in both languages."""
    coupon = find(code)
    if coupon is None:
        raise CouponRefused("unknown")
    _fits(coupon, plan=plan, subtotal=subtotal, now=now)
    _is_left(coupon, email=email)
    return coupon


def _fits(coupon: Coupon, *, plan: Plan, subtotal: Money, now: datetime) -> None:
    if coupon.valid_from is not None and now < coupon.valid_from:
        raise CouponRefused("not_yet")
    if coupon.valid_until is not None and now >= coupon.valid_until:
        raise CouponRefused("over")
    if coupon.plans.exists() and not coupon.plans.filter(pk=plan.pk).exists():
        raise CouponRefused("other_plan")
    if coupon.currency and coupon.currency != subtotal.currency:
        raise CouponRefused("other_currency")
    if coupon.minimum_minor > subtotal.minor:
        raise CouponRefused("too_small")


def goes_on(coupon: Coupon, *, plan: Plan, subtotal: Money) -> bool:
    """Whether a coupon that was used fits another period, or another plan, of the same customer."""
    plans = coupon.plans.all()
    if plans and plan not in plans:
        return False
    return not coupon.currency or (coupon.currency == subtotal.currency and coupon.minimum_minor <= subtotal.minor)


def _is_left(coupon: Coupon, *, email: str) -> None:
    if coupon.most_uses is not None and coupon.uses.count() >= coupon.most_uses:
        raise CouponRefused("used_up")
    if coupon.most_uses_each is not None and coupon.uses.filter(email=email).count() >= coupon.most_uses_each:
        raise CouponRefused("used_by_you")


def use(order: Order, *, now: datetime) -> None:
    """Takes one use for the order, inside the transaction that places it. Raises CouponRefused when none is left.

    The lock on the coupon's row lets one customer after the other count; who comes last sees what the others took.
    """
    if order.coupon_id is None:
        return
    coupon = lock(order.coupon_id)
    _is_left(coupon, email=order.email)
    CouponUse.objects.create(coupon=coupon, order=order, email=order.email, at=now)


def lock(coupon_id: UUID) -> Coupon:
    return Coupon.objects.select_for_update().get(pk=coupon_id)


def release(order: Order) -> None:
    """Gives the use back; nothing there is fine."""
    CouponUse.objects.filter(order=order).delete()
