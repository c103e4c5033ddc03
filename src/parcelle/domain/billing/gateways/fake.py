"""A payment service that takes no money: the customer clicks what should happen. For trying out and for tests.

It behaves like a real one on purpose: it keeps its own books, its pages are elsewhere, its messages are signed,
come twice, late or never, and its truth is only what `fetch` says.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from django.conf import settings as site
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from parcelle.core.money import Money
from parcelle.core.rows import insert_unless_taken
from parcelle.domain.billing.gateways.base import (
    Abilities,
    Charge,
    Declined,
    Event,
    Expired,
    Forged,
    GatewayError,
    Kept,
    Outcome,
    Paid,
    Pending,
    Redirect,
    RefundOutcome,
    RefundRequest,
    Setting,
)
from parcelle.domain.billing.models import FakeCharge
from parcelle.domain.billing.sentences import Sentence

SIGNATURE = "x-test-payment-signature"


class FakeGateway:
    name: ClassVar[str] = "fake"
    settings: ClassVar[tuple[Setting, ...]] = (Setting(name="secret", kind="secret"),)
    abilities = Abilities(refunds=True, prepaid=False, saves=True)

    def __init__(self, *, secret: str, production: bool) -> None:
        self.secret = secret
        self.production = production

    @classmethod
    def open(cls, values: Mapping[str, str], production: bool) -> FakeGateway:
        return cls(secret=values.get("secret", ""), production=production)

    def problems(self) -> list[str]:
        found: list[str] = []
        if self.production:
            found.append(Sentence(_("The test payment takes no money: it cannot be for real money.")))
        if not self.secret:
            found.append(Sentence(_("The test payment has no secret to sign its messages with.")))
        return found

    def accepts(self, amount: Money, country: str) -> bool:
        return not self.production and amount.minor > 0

    def start(self, charge: Charge) -> Outcome:
        made = FakeCharge(
            key=charge.key,
            payment_id=charge.payment_id,
            description=charge.description,
            amount_minor=charge.amount.minor,
            currency=charge.amount.currency,
            return_url=charge.return_url,
            cancel_url=charge.cancel_url,
            webhook_url=charge.webhook_url,
        )
        if not insert_unless_taken(made):
            made = FakeCharge.objects.get(key=charge.key)
        if charge.saved:
            # Whoever agreed is not there to click.
            decide(made.pk, FakeCharge.APPROVED)
            return self.fetch(charge)
        url = f"{site.PUBLIC_URL}/test-payment/{made.pk}"
        return Redirect(url=url, provider_id=str(made.pk), memo={"url": url})

    def fetch(self, charge: Charge) -> Outcome:
        made = FakeCharge.objects.filter(key=charge.key).first()
        if made is None:
            # The call never arrived: the same key makes sending it again safe.
            return self.start(charge)
        reference = str(made.pk)
        if made.state == FakeCharge.CANCELLED:
            return Expired(provider_id=reference)
        if made.state == FakeCharge.DECLINED:
            return Declined(code=made.code or "declined", provider_id=reference)
        if made.state == FakeCharge.APPROVED and (made.counts_from is None or made.counts_from <= timezone.now()):
            return Paid(
                received=Money(made.amount_minor, made.currency),
                fee=Money.zero(made.currency),
                provider_id=reference,
                kept=Kept(reference={"charge": reference}, label="4242") if charge.keep else None,
            )
        return Pending(provider_id=reference)

    def cancel(self, charge: Charge) -> Outcome:
        FakeCharge.objects.filter(key=charge.key, state=FakeCharge.OPEN).update(state=FakeCharge.CANCELLED)
        return self.fetch(charge)

    @transaction.atomic
    def refund(self, charge: Charge, request: RefundRequest) -> RefundOutcome:
        made = FakeCharge.objects.select_for_update().filter(key=charge.key).first()
        if made is None:
            raise GatewayError("the test payment knows no such charge", unknown=False)
        reference = f"refund-{request.key}"
        if str(request.key) in made.refunds:
            return RefundOutcome(state="done", provider_id=reference)
        if made.refunded_minor + request.amount.minor > made.amount_minor:
            return RefundOutcome(state="failed", remark="more than was paid")
        made.refunded_minor += request.amount.minor
        made.refunds = {**made.refunds, str(request.key): request.amount.minor}
        made.save(update_fields=["refunded_minor", "refunds"])
        return RefundOutcome(state="done", provider_id=reference)

    def fetch_refund(self, charge: Charge, request: RefundRequest) -> RefundOutcome:
        return self.refund(charge, request)

    def parse_webhook(self, headers: Mapping[str, str], body: bytes) -> Event:
        if not self.secret or not hmac.compare_digest(headers.get(SIGNATURE, ""), sign(self.secret, body)):
            raise Forged("the signature does not fit")
        try:
            message = json.loads(body)
            return Event(event_id=str(message["id"]), kind=str(message["kind"]), subject=str(message["payment"]))
        except (ValueError, KeyError, TypeError) as error:
            raise Forged("not a message of the test payment") from error


def sign(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def message(charge: FakeCharge) -> bytes:
    """The body of the message about what became of a charge; the same for every repetition."""
    about = {"id": f"{charge.pk}-{charge.state}", "kind": f"charge.{charge.state}", "payment": str(charge.payment_id)}
    return json.dumps(about).encode()


def decide(charge_id: UUID, state: str, *, code: str = "", counts_from: datetime | None = None) -> FakeCharge:
    """What a person clicked on the page of the test payment; the first click counts."""
    FakeCharge.objects.filter(pk=charge_id, state=FakeCharge.OPEN).update(
        state=state, code=code, counts_from=counts_from
    )
    return FakeCharge.objects.get(pk=charge_id)
