"""`/api/tenants/coupons/`: whether a code can be used."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router
from ninja.responses import Status as Answer

from parcelle.domain.billing import coupons, orders
from parcelle.domain.billing.errors import AddOnRefused, CouponRefused, NotOnSale
from parcelle.domain.billing.orders import Buyer
from parcelle.surfaces import refusals
from parcelle.surfaces.api import sales, tokens
from parcelle.surfaces.api.idempotency import once
from parcelle.surfaces.api.openapi import problems_of
from parcelle.surfaces.api.problems import Problem

router = Router(auth=tokens.BearerToken(), tags=["coupons"], by_alias=True)

# Enough for a form that asks while somebody types, too few to guess codes.
_QUESTIONS_PER_MINUTE = 60


@router.post(
    "/tenants/coupons/validate/",
    operation_id="validateCoupon",
    summary="Whether a code can be used",
    response={200: sales.CouponAnswer},
    openapi_extra=problems_of(
        "malformed-json", "body-too-large", "unsupported-media-type", "not-on-sale", "add-on-refused"
    ),
)
@once
def validate(request: HttpRequest, body: sales.ValidateCoupon) -> Answer[sales.CouponAnswer]:
    """Answers for this moment and takes nothing: only an order uses a coupon, and the last use goes to who orders
    first.
    """
    now = timezone.now()
    tokens.hold_to_limit(tokens.token_of(request), "coupons", limit=_QUESTIONS_PER_MINUTE, now=now)
    buyer = Buyer(first_name="", last_name="", company="", email=(body.email or "").lower(), country=body.country)
    try:
        price = orders.price_on_sale(body.price_id)
    except NotOnSale:
        raise Problem("not-on-sale") from None
    reason, add_ons = None, sales.quantities(body.add_ons)
    try:
        sum_ = orders.preview(price, coupon_code=body.code, buyer=buyer, now=now, add_ons=add_ons)
    except AddOnRefused as refused:
        raise sales.add_on_problem(refused) from None
    except CouponRefused as refused:
        reason = refused.code
        sum_ = orders.preview(price, coupon_code="", buyer=buyer, now=now, add_ons=add_ons)
    coupon = None if reason else coupons.find(body.code)
    return Answer(
        200,
        sales.CouponAnswer(
            valid=reason is None,
            reason=cast("sales.CouponReason | None", reason),
            message=refusals.coupon_sentence(reason) if reason else None,
            payments=coupon.payments if coupon else None,
            subtotal=sales.Amount.of(sum_.subtotal),
            discount=sales.Amount.of(sum_.discount),
            tax=sales.Amount.of(sum_.tax),
            total=sales.Amount.of(sum_.total),
        ),
    )
