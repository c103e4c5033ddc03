"""`/api/tenants/payments/`: attempts to pay, and what became of them."""

from __future__ import annotations

from typing import Annotated, cast
from uuid import UUID

from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Query, Router

from parcelle.core.money import Money
from parcelle.domain.billing import payment_states
from parcelle.domain.billing.gateways.base import Instructions, Outcome, Redirect
from parcelle.domain.billing.models import Payment
from parcelle.surfaces import refusals
from parcelle.surfaces.api import sales, tokens
from parcelle.surfaces.api.lists import Limit, Offset, part, refuse_unknown_parameters
from parcelle.surfaces.api.openapi import problems_of
from parcelle.surfaces.api.problems import Problem

router = Router(auth=tokens.BearerToken(), tags=["payments"], by_alias=True)

PAYMENTS = Payment.objects.select_related("order")


@router.get(
    "/tenants/payments/",
    operation_id="listPayments",
    summary="List payments",
    response={200: sales.PaymentPage},
    openapi_extra=problems_of("invalid-request"),
)
def index(
    request: HttpRequest,
    limit: Limit = 50,
    offset: Offset = 0,
    status: Annotated[sales.PaymentStatus | None, Query(description="Only those with this status.")] = None,
    method: Annotated[sales.Method | None, Query(description="Only those by this way to pay.")] = None,
    order_id: Annotated[UUID | None, Query(alias="orderId", description="Only those of this order.")] = None,
) -> sales.PaymentPage:
    """The payments that the token's user may see, newest first: all customers' for an operator."""
    refuse_unknown_parameters(request, {"status", "method", "orderId"})
    filters = {"status": status, "method": method, "orderId": order_id}
    wanted = {"state": status, "gateway": method, "order_id": order_id}
    rows = tokens.payments_of(tokens.user_of(request)).defer("details", "memo", "order__buyer")
    rows = rows.filter(**{name: value for name, value in wanted.items() if value is not None})
    rows = rows.order_by("-created_at", "-pk")
    payments, about = part(rows, path="/api/tenants/payments/", limit=limit, offset=offset, filters=filters)
    return sales.PaymentPage(items=[_summary(payment) for payment in payments], **about)


@router.get(
    "/tenants/payments/{payment_id}/",
    operation_id="getPayment",
    summary="One payment",
    response={200: sales.PaymentDetails},
    openapi_extra=problems_of("not-found"),
)
def show(request: HttpRequest, payment_id: UUID) -> sales.PaymentDetails:
    """How one attempt stands, as far as we know. `verifyPayment` asks the payment service."""
    return details_of(_find(request, payment_id))


def _find(request: HttpRequest, payment_id: UUID) -> Payment:
    payment = tokens.payments_of(tokens.user_of(request)).filter(pk=payment_id).first()
    if payment is None:
        detail = _("There is no payment %(id)s, or this token may not see it.") % {"id": payment_id}
        raise Problem("not-found", detail)
    return payment


def _summary(payment: Payment) -> sales.PaymentSummary:
    received = None
    if payment.received_minor is not None:
        received = sales.Amount.of(Money(payment.received_minor, payment.received_currency))
    return sales.PaymentSummary(
        payment_id=payment.pk,
        number=payment.number,
        order_id=payment.order_id,
        order_number=payment.order.number,
        method=payment.gateway,
        status=cast("sales.PaymentStatus", payment.state),
        amount=sales.Amount.of(payment.amount),
        received=received,
        refunded=sales.Amount.of(Money(payment.refunded_minor, payment.currency)),
        reason=payment.reason or None,
        message=_message(payment),
        provider_reference=payment.provider_id or None,
        created_at=payment.created_at,
        submitted_at=payment.submitted_at,
        settled_at=payment.settled_at,
    )


def _message(payment: Payment) -> str | None:
    if payment.state in {payment_states.DECLINED, payment_states.EXPIRED}:
        return refusals.decline_sentence(payment.reason or "expired")
    if payment.state == payment_states.PARKED:
        return _("Money arrived, but not as we asked for it. We look at it by hand and write to you.")
    if payment.state == payment_states.UNKNOWN:
        return _("The payment service has not told us how it ended. Do not pay again: we keep asking.")
    return None


def details_of(payment: Payment) -> sales.PaymentDetails:
    """One attempt, with what the customer does next as far as it is stored."""
    open_ = payment.state in payment_states.UNSETTLED
    url = str(payment.memo.get("url", ""))
    step = sales.NextStep(kind="redirect", url=url) if url else sales.NextStep(kind="wait")
    return sales.PaymentDetails(**_summary(payment).model_dump(), next=step if open_ else None)


def next_step(outcome: Outcome) -> sales.NextStep:
    """What the customer does next, as the payment service just said."""
    if isinstance(outcome, Redirect):
        return sales.NextStep(kind="redirect", url=outcome.url)
    if isinstance(outcome, Instructions):
        lines = [sales.Line(name=name, text=text) for name, text in outcome.lines.items()]
        return sales.NextStep(kind="instructions", lines=lines)
    return sales.NextStep(kind="wait")
