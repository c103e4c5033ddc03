"""`/api/tenants/payments/`: attempts to pay, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, cast
from uuid import UUID

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Query, Router
from ninja.responses import Status as Answer

from parcelle.core.money import Money, NotMoney
from parcelle.domain.billing import payment_states
from parcelle.domain.billing.errors import TransferRefused
from parcelle.domain.billing.models import Payment, Transfer
from parcelle.domain.billing.rails import Instructions, Outcome, Redirect
from parcelle.journeys import checkout
from parcelle.surfaces import refusals
from parcelle.surfaces.api import sales, tokens
from parcelle.surfaces.api.idempotency import once
from parcelle.surfaces.api.lists import Limit, Offset, part, refuse_unknown_parameters
from parcelle.surfaces.api.openapi import problems_of
from parcelle.surfaces.api.problems import Problem
from parcelle.surfaces.api.sentences import sentence

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
    rows = tokens.in_question(request, tokens.payments_of(tokens.user_of(request)), by="order__organization")
    rows = rows.defer("details", "memo", "order__buyer")
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


@router.post(
    "/tenants/payments/{payment_id}/verify_bank_transfer/",
    operation_id="verifyBankTransfer",
    summary="Confirm that a bank transfer has arrived",
    response={200: sales.BankTransfer},
    openapi_extra=problems_of(
        *("malformed-json", "body-too-large", "unsupported-media-type"),
        *("forbidden", "not-found", "not-a-transfer", "transfer-refused"),
    ),
)
@once
def verify_bank_transfer(
    request: HttpRequest, payment_id: UUID, body: sales.VerifyBankTransfer
) -> Answer[sales.BankTransfer]:
    """Notes money that is on the account. For operators only. Less than expected leaves the rest awaited, more
    becomes the customer's credit. Above the vendor's threshold the status is `second` until another operator's token
    sends the same.
    """
    payment = _find(request, payment_id)
    user = tokens.user_of(request)
    if not user.is_staff or not user.has_perm("billing.change_transfer"):
        raise Problem("forbidden", _("Only an operator can confirm a transfer."))
    try:
        transfer = checkout.confirm_transfer(
            payment.pk,
            amount=_money(body),
            value_date=body.value_date,
            bank_reference=body.bank_reference,
            person=user.pk,
            actor=tokens.actor_of(request),
            now=timezone.now(),
        )
    except Transfer.DoesNotExist:
        raise Problem("not-a-transfer") from None
    except TransferRefused as refused:
        raise Problem("transfer-refused", refusals.transfer_sentence(refused.code)) from None
    received = Money(transfer.received_minor, transfer.currency)
    missing = transfer.amount - received - Money(transfer.shortfall_minor, transfer.currency)
    shown = sales.BankTransfer(
        reference=transfer.reference,
        status=cast("sales.TransferStatus", transfer.state),
        expected=sales.Amount.of(transfer.amount),
        received=sales.Amount.of(received),
        missing=sales.Amount.of(missing),
        payment=details_of(_find(request, payment_id)),
    )
    return Answer(200, shown)


def _money(body: sales.VerifyBankTransfer) -> Money:
    try:
        return Money(body.amount_minor, body.currency)
    except NotMoney:
        detail = sentence("currency", "currency", {})
        errors = [{"pointer": "#/currency", "code": "currency", "detail": detail}]
        raise Problem("invalid-request", detail, errors=errors) from None


def _find(request: HttpRequest, payment_id: UUID) -> Payment:
    rows = tokens.in_question(request, tokens.payments_of(tokens.user_of(request)), by="order__organization")
    payment = rows.filter(pk=payment_id).first()
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
    step = sales.NextStep(kind="wait")
    if payment.memo.get("url"):
        step = sales.NextStep(kind="redirect", url=str(payment.memo["url"]))
    elif payment.memo.get("iban"):
        step = _instructions(payment.memo)
    return sales.PaymentDetails(**_summary(payment).model_dump(), next=step if open_ else None)


def next_step(outcome: Outcome) -> sales.NextStep:
    """What the customer does next, as the payment service just said."""
    if isinstance(outcome, Redirect):
        return sales.NextStep(kind="redirect", url=outcome.url)
    if isinstance(outcome, Instructions):
        return _instructions(outcome.lines)
    return sales.NextStep(kind="wait")


def _instructions(told: Mapping[str, str]) -> sales.NextStep:
    lines = [sales.Line(name=name, text=str(text)) for name, text in told.items() if text]
    return sales.NextStep(kind="instructions", lines=lines)
