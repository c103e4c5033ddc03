"""MTN Mobile Money: we ask for money, the customer approves it on the telephone, and we ask what became of it.

The key of our attempt is MTN's transaction id at once (`X-Reference-Id`), so that repeating a request and asking
for it need nothing that an answer would have to tell us. MTN's callback is not signed: it only makes us ask.
Refunds are another product (Disbursement) with credentials of its own; without them money is paid out by hand.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import structlog
from django.utils import timezone

from parcelle.core import ratelimit
from parcelle.core.money import Money, NotMoney
from parcelle.domain.billing.gateways.base import (
    Abilities,
    Charge,
    Declined,
    Event,
    Forged,
    GatewayError,
    Outcome,
    Paid,
    Pending,
    RefundOutcome,
    RefundRequest,
    Setting,
)
from parcelle.domain.billing.gateways.mtn_momo import markets, words
from parcelle.domain.billing.gateways.mtn_momo.client import Answer, NotAdmitted
from parcelle.domain.billing.gateways.mtn_momo.numbers import CannotPay, msisdn
from parcelle.domain.billing.gateways.mtn_momo.setup import SETTINGS, Setup

logger = structlog.get_logger(__name__)

# After 5, 10, 20 and 40 seconds, each minute until a quarter of an hour has gone, then hourly.
LOOKS = (5, 5, 10, 20, 20, *[60] * 14, 3600)
GIVES_UP_AFTER = 24 * 3600
# MTN refuses more than 10 questions a second. Windows may lie side by side, so half of it in each.
QUESTIONS_A_SECOND = 5
_PATIENCE = 4

_STILL_OPEN = frozenset({"PENDING", "CREATED", "ONGOING"})


class MtnMomoGateway:
    name: ClassVar[str] = "mtn_momo"
    settings: ClassVar[tuple[Setting, ...]] = SETTINGS

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.collection, self.disbursement = setup.collection, setup.disbursement
        country = setup.market.country
        self.abilities = Abilities(
            currencies=frozenset({setup.currency} - {""}),
            countries=frozenset({country}) if country else None,
            asks=("phone",),
            refunds=setup.refunds,
            # A push that is approved with the PIN, every time: there is nothing to charge later.
            prepaid=True,
            looks=LOOKS,
            gives_up_after=GIVES_UP_AFTER,
        )

    @classmethod
    def open(cls, values: Mapping[str, str], production: bool) -> MtnMomoGateway:
        return cls(Setup(values, production=production))

    def problems(self) -> list[str]:
        return self.setup.problems()

    def accepts(self, amount: Money, country: str) -> bool:
        if self.setup.incoherent() or amount.currency != self.setup.currency or amount.minor <= 0:
            return False
        return self.abilities.countries is None or country in self.abilities.countries

    # --- taking money ---------------------------------------------------------------------------------------

    def start(self, charge: Charge) -> Outcome:
        try:
            number = msisdn(charge.details.get("phone") or charge.payer.phone, country=self.setup.market.country)
        except CannotPay as problem:
            return Declined(code=problem.code, remark=problem.remark)
        text = words.message(charge.description, otherwise=charge.number)
        body = {
            "amount": markets.to_wire(charge.amount),
            "currency": charge.amount.currency,
            "externalId": str(charge.payment_id),
            "payer": {"partyIdType": "MSISDN", "partyId": number},
            "payerMessage": text,
            "payeeNote": words.message(charge.order_number, otherwise=charge.number),
        }
        try:
            answer = self.collection.post(
                "/v1_0/requesttopay",
                reference=charge.key,
                body=body,
                callback_url=self.setup.callback_url(charge.webhook_url),
            )
            return self._begun(charge, answer)
        except NotAdmitted as refused:
            return Declined(code="seller_setup", remark=refused.detail)

    def _begun(self, charge: Charge, answer: Answer) -> Outcome:
        if answer.status == 202:
            return self._waiting(charge)
        if answer.status == 409:
            # Ours, from an earlier call whose answer got lost.
            return self._read(charge, self._asked(charge))
        if answer.status == 400 or (answer.status >= 500 and answer.code):
            return self._turned_down(charge, answer)
        raise GatewayError(str(answer), unknown=answer.status >= 500)

    def _turned_down(self, charge: Charge, answer: Answer) -> Outcome:
        """A 500 with a code is a plain no, which the service confirms by not knowing the request."""
        status = self._asked(charge)
        if status.status != 404:
            return self._read(charge, status)
        logger.error("MTN turned a request down", payment_id=str(charge.payment_id), detail=str(answer))
        code = words.decline_code(answer.code) if answer.status >= 500 else "seller_setup"
        return Declined(code=code, remark=str(answer))

    def _asked(self, charge: Charge) -> Answer:
        """The status of what was just sent: without an answer MTN may have it."""
        try:
            return self._status(charge)
        except (GatewayError, NotAdmitted) as error:
            raise GatewayError(error.detail, unknown=True) from error

    def fetch(self, charge: Charge) -> Outcome:
        try:
            answer = self._status(charge)
        except NotAdmitted as refused:
            raise GatewayError(refused.detail, unknown=False) from refused
        return self._absent(charge) if answer.status == 404 else self._read(charge, answer)

    def _status(self, charge: Charge) -> Answer:
        _take_turn()
        return self.collection.get(f"/v1_0/requesttopay/{charge.key}")

    def _absent(self, charge: Charge) -> Outcome:
        """MTN does not know the request. Right after it was sent that may be too early, so it must say so twice.

        What it knew once, and what is settled on our side, is never sent again: it would be a second charge.
        """
        if charge.provider_id or charge.closed:
            raise GatewayError("MTN does not know this request (any more)", unknown=True)
        if not charge.memo.get("absent"):
            raise GatewayError("MTN does not know this request yet", unknown=True, memo={"absent": "1"})
        return self.start(charge)

    def _read(self, charge: Charge, answer: Answer) -> Outcome:
        said = answer.body if isinstance(answer.body, dict) else {}
        status = str(said.get("status") or "")
        if answer.status != 200 or not status:
            raise GatewayError(str(answer), unknown=True)
        if status == "SUCCESSFUL":
            return _paid(charge, said)
        if status == "FAILED":
            code, text = words.reason(said.get("reason"))
            return Declined(
                code=words.decline_code(code),
                remark=f"{code} {text}".strip() or "MTN gave no reason",
                provider_id=str(charge.key),
            )
        if status not in _STILL_OPEN:
            logger.error("MTN says a status nobody knows", payment_id=str(charge.payment_id), status=status)
            return replace(self._waiting(charge), remark=f"MTN says {status}, which is unknown")
        return self._waiting(charge)

    def _waiting(self, charge: Charge) -> Pending:
        return Pending(
            code="approve_on_phone", provider_id=str(charge.key), memo={"absent": "", "dial": self.setup.dial}
        )

    # --- giving it back -------------------------------------------------------------------------------------

    def refund(self, charge: Charge, request: RefundRequest) -> RefundOutcome:
        if not self.abilities.refunds:
            return RefundOutcome(state="failed", remark="Disbursement is not set up: pay it out by hand and record it.")
        text = words.message(request.reason, otherwise=charge.number)
        body = {
            "amount": markets.to_wire(request.amount),
            "currency": request.amount.currency,
            "externalId": str(charge.payment_id),
            "payerMessage": text,
            "payeeNote": text,
            "referenceIdToRefund": str(charge.key),
        }
        try:
            answer = self.disbursement.post("/v1_0/refund", reference=request.key, body=body)
            if answer.status == 202:
                return RefundOutcome(state="pending", provider_id=str(request.key))
            if answer.status == 409:
                return self._refund_read(request, self._refund_status(request))
            if answer.status == 400 or (answer.status >= 500 and answer.code):
                status = self._refund_status(request)
                if status.status != 404:
                    return self._refund_read(request, status)
                return RefundOutcome(state="failed", remark=str(answer))
        except NotAdmitted as refused:
            # An earlier try, of which we were never told the end, may have been admitted.
            raise GatewayError(refused.detail, unknown=True) from refused
        raise GatewayError(str(answer), unknown=answer.status >= 500)

    def fetch_refund(self, charge: Charge, request: RefundRequest) -> RefundOutcome:
        try:
            answer = self._refund_status(request)
        except NotAdmitted as refused:
            raise GatewayError(refused.detail, unknown=False) from refused
        if answer.status == 404 and not request.provider_id:
            # It never arrived: minutes have gone by, and the same key makes sending it again safe.
            return self.refund(charge, request)
        return self._refund_read(request, answer)

    def _refund_status(self, request: RefundRequest) -> Answer:
        _take_turn()
        return self.disbursement.get(f"/v1_0/refund/{request.key}")

    def _refund_read(self, request: RefundRequest, answer: Answer) -> RefundOutcome:
        said = answer.body if isinstance(answer.body, dict) else {}
        status = str(said.get("status") or "")
        if answer.status != 200 or not status:
            raise GatewayError(str(answer), unknown=True)
        if status == "FAILED":
            return RefundOutcome(state="failed", remark=" ".join(filter(None, words.reason(said.get("reason")))))
        return RefundOutcome(state="done" if status == "SUCCESSFUL" else "pending", provider_id=str(request.key))

    # --- callbacks ------------------------------------------------------------------------------------------

    def parse_webhook(self, headers: Mapping[str, str], body: bytes) -> Event:
        """A hint to ask. The same news twice has the same body, and so the same name."""
        if not hmac.compare_digest(headers.get(":path", "").encode(), self.setup.secret_path.encode()):
            raise Forged("not at the address MTN was given")
        try:
            said = json.loads(body, parse_float=str)
        except ValueError as error:
            raise Forged("not JSON") from error
        if not isinstance(said, dict):
            raise Forged("not a callback of MTN")
        return Event(
            event_id=hashlib.sha256(body).hexdigest(),
            kind=f"requesttopay {str(said.get('status') or '?')[:40]}",
            subject=str(said.get("externalId") or "")[:200],
        )


def _paid(charge: Charge, said: Mapping[str, object]) -> Paid:
    """What came in, as MTN says it; whether it is what was asked for is compared by who asked."""
    try:
        received = markets.from_wire(said.get("amount"), said.get("currency"))
    except NotMoney:
        received = Money.zero(charge.amount.currency)
    ours = str(said.get("externalId") or "").lower() == str(charge.payment_id)
    return Paid(
        received=received,
        doubt="" if ours else "other_reference",
        provider_id=str(charge.key),
        memo={"transaction": str(said.get("financialTransactionId") or "")},
    )


def _take_turn() -> None:
    """Waits for a moment in which all workers together ask little enough. Raises GatewayError."""
    for _time in range(_PATIENCE):
        wait = ratelimit.hit(
            "mtn_momo.status", limit=QUESTIONS_A_SECOND, window=timedelta(seconds=1), now=timezone.now()
        )
        if wait is None:
            return
        time.sleep(max(wait.total_seconds(), 0))
    raise GatewayError("MTN is asked too much at once; later", unknown=False)
