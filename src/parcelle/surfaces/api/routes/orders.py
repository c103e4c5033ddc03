"""`/api/tenants/orders/`: ordering a plan, and paying for it."""

from __future__ import annotations

import uuid
from typing import Annotated, cast
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Query, Router
from ninja.responses import Status as Answer

from parcelle.core import phones
from parcelle.core.money import Money
from parcelle.domain.billing import (
    baskets,
    checkout_options,
    order_states,
    payment_states,
    payments,
    sellers,
    vat_numbers,
)
from parcelle.domain.billing.errors import (
    AddOnRefused,
    CouponRefused,
    GatewayUnusable,
    NotOnSale,
    OrderClosed,
    PaymentOpen,
)
from parcelle.domain.billing.models import Order
from parcelle.domain.billing.orders import Buyer
from parcelle.domain.billing.taxes import EU, Decision
from parcelle.journeys import checkout
from parcelle.surfaces import refusals
from parcelle.surfaces.api import sales, tokens
from parcelle.surfaces.api.idempotency import once, request_id
from parcelle.surfaces.api.lists import Limit, Offset, part, refuse_unknown_parameters
from parcelle.surfaces.api.openapi import problems_of
from parcelle.surfaces.api.problems import Problem
from parcelle.surfaces.api.routes.payments import PAYMENTS, details_of, next_step
from parcelle.surfaces.api.sentences import sentence

router = Router(auth=tokens.BearerToken(), tags=["orders"], by_alias=True)

_BODY = ("malformed-json", "body-too-large", "unsupported-media-type")
# Asking a payment service costs it something, however patient it is.
_QUESTIONS_PER_MINUTE = 60


@router.get(
    "/tenants/orders/",
    operation_id="listOrders",
    summary="List orders",
    response={200: sales.OrderPage},
    openapi_extra=problems_of("invalid-request"),
)
def index(
    request: HttpRequest,
    limit: Limit = 50,
    offset: Offset = 0,
    status: Annotated[sales.OrderStatus | None, Query(description="Only those with this status.")] = None,
    number: Annotated[str | None, Query(max_length=30, description="Only the one with exactly this number.")] = None,
    email: Annotated[str | None, Query(max_length=254, description="Only those of this customer.")] = None,
    plan_id: Annotated[UUID | None, Query(alias="planId", description="Only those of this plan.")] = None,
) -> sales.OrderPage:
    """The orders that the token's user may see, newest first: all customers' for an operator."""
    refuse_unknown_parameters(request, {"status", "number", "email", "planId"})
    filters = {"status": status, "number": number, "email": email, "planId": plan_id}
    wanted = {
        "state": status,
        "number": None if number is None else number.replace("\x00", ""),
        "email": None if email is None else email.replace("\x00", "").strip().lower(),
        "plan_id": plan_id,
    }
    rows = tokens.in_question(request, tokens.orders_of(tokens.user_of(request)))
    rows = rows.defer("buyer").order_by("-created_at", "-pk")
    rows = rows.filter(**{name: value for name, value in wanted.items() if value is not None})
    orders, about = part(rows, path="/api/tenants/orders/", limit=limit, offset=offset, filters=filters)
    return sales.OrderPage(items=[_summary(order) for order in orders], **about)


@router.post(
    "/tenants/orders/",
    operation_id="createOrder",
    summary="Order a plan",
    response={201: sales.OrderDetails},
    openapi_extra=problems_of(*_BODY, "forbidden", "not-on-sale", "add-on-refused", "coupon-refused"),
)
@once
def create(request: HttpRequest, response: HttpResponse, body: sales.CreateOrder) -> Answer[sales.OrderDetails]:
    """Makes an order as it was seen: price, coupon and tax are fixed. Nothing is charged yet: `initiatePayment` does
    that. An order that costs nothing is `paid` at once; one that nobody pays lapses after 14 days.

    A token of an operator orders for any e-mail address, any other token only for its own user.
    """
    now = timezone.now()
    token = tokens.token_of(request)
    tokens.hold_to_limit(token, "creations", limit=settings.API_CREATIONS_PER_MINUTE, now=now)
    buyer = _buyer(body.customer)
    own = buyer.email == token.user.email
    if not own and not token.user.is_staff:
        raise Problem("forbidden", _("This token orders for %(email)s only.") % {"email": token.user.email})
    organization = tokens.organization_to_order_for(request) if own else None
    try:
        order = checkout.place(
            request_id=request_id(request),
            price_id=body.price_id,
            coupon_code=body.coupon_code or "",
            buyer=buyer,
            language=body.language or settings.LANGUAGE_CODE,
            user=token.user if own else None,
            organization=organization,
            now=now,
            actor=tokens.actor_of(request),
            add_ons=sales.quantities(body.add_ons),
        )
    except AddOnRefused as refused:
        raise sales.add_on_problem(refused) from None
    except NotOnSale:
        raise Problem("not-on-sale") from None
    except CouponRefused as refused:
        detail = refusals.coupon_sentence(refused.code)
        errors = [{"pointer": "#/couponCode", "code": refused.code, "detail": detail}]
        raise Problem("coupon-refused", detail, errors=errors) from None
    response.headers["Location"] = f"/api/tenants/orders/{order.pk}/"
    return Answer(201, _details(_find(request, order.pk)))


@router.get(
    "/tenants/orders/{order_id}/",
    operation_id="getOrder",
    summary="One order",
    response={200: sales.OrderDetails},
    openapi_extra=problems_of("not-found"),
)
def show(request: HttpRequest, order_id: UUID) -> sales.OrderDetails:
    """What was agreed, how it can be paid, and how the newest attempt stands."""
    return _details(_find(request, order_id))


@router.post(
    "/tenants/orders/{order_id}/initiate_payment/",
    operation_id="initiatePayment",
    summary="Begin to pay an order",
    response={201: sales.PaymentDetails},
    openapi_extra=problems_of(*_BODY, "forbidden", "not-found", "order-closed", "payment-open", "method-unusable"),
)
@once
def initiate_payment(request: HttpRequest, order_id: UUID, body: sales.InitiatePayment) -> Answer[sales.PaymentDetails]:
    """Begins one attempt and answers what the customer does next: open an address, follow instructions, or wait.

    While an attempt may still succeed no other one begins. One that was declined at once has the status `declined`:
    begin another. Ask `verifyPayment` how it ends.
    """
    now = timezone.now()
    token = tokens.token_of(request)
    tokens.hold_to_limit(token, "creations", limit=settings.API_CREATIONS_PER_MINUTE, now=now)
    order = _find(request, order_id)
    if not tokens.may_pay(token.user, order):
        raise Problem("forbidden", _("Only owners and administrators of the organization can pay."))
    try:
        payment, outcome = checkout.pay(
            order.pk,
            gateway=body.method,
            details=_asked(order, body),
            key=uuid.uuid5(request_id(request), str(order.pk)),
            now=now,
        )
    except OrderClosed:
        raise Problem("order-closed") from None
    except PaymentOpen:
        raise Problem("payment-open") from None
    except GatewayUnusable:
        raise Problem("method-unusable") from None
    shown = details_of(PAYMENTS.get(pk=payment.pk))
    return Answer(201, shown.model_copy(update={"next": next_step(outcome)}) if outcome and shown.next else shown)


@router.post(
    "/tenants/orders/{order_id}/verify_payment/",
    operation_id="verifyPayment",
    summary="Ask the payment service how it stands",
    response={200: sales.OrderDetails},
    openapi_extra=problems_of("not-found", "nothing-to-verify", "method-unusable"),
)
@once
def verify_payment(request: HttpRequest, order_id: UUID) -> Answer[sales.OrderDetails]:
    """Asks the payment service itself about the newest attempt, whatever anybody said before, and answers with the
    order as it stands then. A service that does not answer changes nothing. We also ask by ourselves: this is for
    who cannot wait. Ask with a new `Idempotency-Key`, or none, each time.
    """
    now = timezone.now()
    order = _find(request, order_id)
    newest = order.payments.order_by("-created_at").first()
    if newest is None:
        raise Problem("nothing-to-verify")
    tokens.hold_to_limit(tokens.token_of(request), "questions", limit=_QUESTIONS_PER_MINUTE, now=now)
    if newest.state in _MAY_CHANGE:
        try:
            payments.look(newest.pk, now=now)
        except GatewayUnusable:
            raise Problem("method-unusable") from None
    return Answer(200, _details(_find(request, order_id)))


_MAY_CHANGE = {*payment_states.UNSETTLED, payment_states.DECLINED, payment_states.EXPIRED, payment_states.ABANDONED}


def _find(request: HttpRequest, order_id: UUID) -> Order:
    order = tokens.in_question(request, tokens.orders_of(tokens.user_of(request))).filter(pk=order_id).first()
    if order is None:
        detail = _("There is no order %(id)s, or this token may not see it.") % {"id": order_id}
        raise Problem("not-found", detail)
    return order


# --- what was sent --------------------------------------------------------------------------------------


def _buyer(customer: sales.Customer) -> Buyer:
    vat_number = _vat_number(customer)
    return Buyer(
        first_name=customer.first_name,
        last_name=customer.last_name,
        company=customer.company_name or "",
        email=customer.email.lower(),
        phone=_international(customer.phone, customer.country, "#/customer/phone") if customer.phone else "",
        country=customer.country,
        address=customer.address,
        postcode=_postcode(customer),
        city=customer.city,
        vat_number=vat_number,
        vat_number_valid=vat_numbers.is_registered(vat_number) if vat_number else None,
        siren=_siren(customer),
    )


def _postcode(customer: sales.Customer) -> str:
    # As the form has it: without one the invoice of a customer in France could not be made out.
    if customer.country == "FR" and not customer.postcode:
        raise _invalid("#/customer/postcode", "postcode_required")
    return customer.postcode or ""


def _vat_number(customer: sales.Customer) -> str:
    if not customer.vat_number or customer.country not in EU:
        return ""
    try:
        return vat_numbers.tidy(customer.vat_number, customer.country)
    except vat_numbers.NotWellFormed:
        raise _invalid("#/customer/vatNumber", "vat_number") from None


def _siren(customer: sales.Customer) -> str:
    if customer.country != "FR":
        return ""
    if not customer.siren:
        # As the form has it: without one the invoice of a company in France could not be made out.
        if customer.company_name and sellers.current().country == "FR":
            raise _invalid("#/customer/siren", "siren_required")
        return ""
    try:
        return vat_numbers.tidy_siren(customer.siren)
    except vat_numbers.NotWellFormed:
        raise _invalid("#/customer/siren", "siren") from None


def _asked(order: Order, body: sales.InitiatePayment) -> dict[str, str]:
    """What the method asks for, as far as it can be one that is offered."""
    option = next((option for option in checkout_options.of(order) if option.name == body.method), None)
    if option is None or "phone" not in option.asks:
        return {}
    typed, country = body.phone or order.buyer.get("phone", ""), order.buyer.get("country", "")
    return {"phone": _international(typed, country, "#/phone")}


def _international(typed: str, country: str, pointer: str) -> str:
    number = phones.international(typed, country)
    if not number:
        raise _invalid(pointer, "phone")
    return number


def _invalid(pointer: str, code: str) -> Problem:
    detail = sentence(pointer.rpartition("/")[2], code, {})
    return Problem("invalid-request", detail, errors=[{"pointer": pointer, "code": code, "detail": detail}])


# --- from rows to answers -------------------------------------------------------------------------------


def _summary(order: Order) -> sales.OrderSummary:
    def amount(minor: int) -> sales.Amount:
        return sales.Amount.of(Money(minor, order.currency))

    return sales.OrderSummary(
        order_id=order.pk,
        number=order.number,
        status=cast("sales.OrderStatus", order.state),
        plan_id=order.plan_id,
        plan_name=order.plan.name,
        product_slug=order.plan.product.slug,
        price_id=order.price_id,
        interval=cast("sales.Interval", order.price.interval),
        subtotal=amount(order.subtotal_minor),
        discount=amount(order.discount_minor),
        tax=amount(order.tax_minor),
        total=amount(order.total_minor),
        coupon_code=order.coupon.code if order.coupon else None,
        email=order.email,
        organization_id=order.organization_id,
        subscription_id=order.subscription_id,
        instance_id=order.instance_id,
        created_at=order.created_at,
        expires_at=order.expires_at,
        paid_at=order.paid_at,
        fulfilled_at=order.fulfilled_at,
    )


def _details(order: Order) -> sales.OrderDetails:
    decision = Decision.read(order.tax)
    newest = PAYMENTS.filter(order=order).order_by("-created_at").first()
    open_ = order.state == order_states.OPEN and order.expires_at > timezone.now()
    return sales.OrderDetails(
        **_summary(order).model_dump(),
        add_ons=[
            sales.OrderedAddOn(
                add_on_id=part.extra.price.add_on_id,
                name=part.extra.price.add_on.name,
                quantity=part.more,
                amount=sales.Amount.of(part.amount),
            )
            for part in baskets.parts(order)
            if part.more
        ],
        customer=_customer(order),
        tax_rate=f"{decision.rate:f}",
        tax_note=str(refusals.WHY_NO_TAX[decision.reason]) if decision.reason in refusals.WHY_NO_TAX else None,
        methods=[
            sales.PaymentMethod(method=option.name, asks=list(option.asks))
            for option in (checkout_options.of(order) if open_ else ())
        ],
        payment=details_of(newest) if newest else None,
    )


def _customer(order: Order) -> sales.CustomerShown:
    said = {name: value or "" for name, value in order.buyer.items() if name in _SHOWN}
    return sales.CustomerShown(**{**dict.fromkeys(_SHOWN, ""), **said, "company_name": order.buyer.get("company", "")})


_SHOWN = set(sales.CustomerShown.model_fields) - {"company_name"}
