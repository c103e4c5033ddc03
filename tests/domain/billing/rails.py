"""Ways to pay as the state machine sees them: what customers and services do behind our back, and the service's books.

One class per rail, over its simulator. A fault is what goes wrong with the next call to the service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from django.utils import timezone

from parcelle.core.money import Money
from parcelle.domain.billing import gateways
from parcelle.domain.billing.gateways import fake
from parcelle.domain.billing.gateways.base import Charge, GatewayError, Outcome, RefundOutcome, RefundRequest
from parcelle.domain.billing.models import FakeCharge, GatewaySettings
from tests.simulators import stripe

# Nothing arrives; it arrives and the answer is lost; the service says that it cannot now, and has done nothing.
FAULTS = ("lost_before", "lost_after", "refused")
# What becomes of an attempt. Both wrong ones are money that came in otherwise than it was asked for.
DECISIONS = ("pay", "pay", "pay_late", "pay_less", "pay_other", "decline", "leave")


class Message(Protocol):
    headers: Mapping[str, str]
    body: bytes


class Rail(Protocol):
    name: str

    def set_up(self) -> None:
        """Offers it in the shop."""

    def decide(self, payment_id: UUID, what: str) -> None:
        """Something of DECISIONS, if the service knows the attempt and it is not decided yet."""

    def break_next_call(self, fault: str) -> None: ...

    def heal(self) -> None: ...

    def messages(self) -> list[tuple[dict[str, str], bytes]]:
        """Everything it ever had to say, signed now; any of it may be sent again at any time."""

    def forge(self, body: bytes) -> tuple[dict[str, str], bytes]:
        """A message that it never sent."""

    def took(self, payment_id: UUID) -> Money | None:
        """What the service took from the customer and holds for us, by its own books."""

    def gave_back(self, payment_id: UUID) -> int:
        """What of it was given back, in the smallest unit."""

    def asked_twice_otherwise(self) -> list[str]:
        """Keys that were sent with two different bodies."""


class _Shaky(fake.FakeGateway):
    """The test payment on a bad line."""

    planned: list[str]
    bodies: dict[str, set[tuple[Any, ...]]]

    def start(self, charge: Charge) -> Outcome:
        body = (charge.payment_id, charge.amount, charge.description, charge.return_url, charge.webhook_url)
        self.bodies.setdefault(str(charge.key), set()).add(body)
        return self._over_the_line(super().start, charge)

    def fetch(self, charge: Charge) -> Outcome:
        return self._over_the_line(super().fetch, charge)

    def cancel(self, charge: Charge) -> Outcome:
        return self._over_the_line(super().cancel, charge)

    def refund(self, charge: Charge, request: RefundRequest) -> RefundOutcome:
        self.bodies.setdefault(str(request.key), set()).add((charge.payment_id, request.amount))
        return self._over_the_line(super().refund, charge, request)

    def _over_the_line[T](self, call: Callable[..., T], *arguments: Any) -> T:
        fault = self.planned.pop() if self.planned else ""
        if fault in {"lost_before", "refused"}:
            raise GatewayError(fault, unknown=fault == "lost_before")
        answer = call(*arguments)
        if fault:
            raise GatewayError(fault, unknown=True)
        return answer


class FakeRail:
    name = "fake"

    def __init__(self) -> None:
        self.planned: list[str] = []
        self.bodies: dict[str, set[tuple[Any, ...]]] = {}

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[FakeRail]:
        rail = cls()

        def open_shaky(values: Mapping[str, str], production: bool) -> fake.FakeGateway:
            opened = _Shaky(secret=values["secret"], production=production)
            opened.planned, opened.bodies = rail.planned, rail.bodies
            return opened

        kept = gateways.GATEWAYS["fake"]
        gateways.GATEWAYS["fake"] = open_shaky
        try:
            yield rail
        finally:
            gateways.GATEWAYS["fake"] = kept

    def set_up(self) -> None:
        GatewaySettings.objects.create(name="fake", enabled=True, values={"secret": "s" * 32})
        self.heal()
        self.bodies.clear()

    def decide(self, payment_id: UUID, what: str) -> None:
        charge = FakeCharge.objects.filter(payment_id=payment_id).first()
        if charge is None or charge.state != FakeCharge.OPEN:
            return
        if what in {"decline", "leave"}:
            fake.decide(charge.pk, FakeCharge.DECLINED if what == "decline" else FakeCharge.CANCELLED)
            return
        if what == "pay_less":
            FakeCharge.objects.filter(pk=charge.pk).update(amount_minor=charge.amount_minor - 1)
        elif what == "pay_other":
            FakeCharge.objects.filter(pk=charge.pk).update(currency="USD")
        late = timezone.now() + timedelta(minutes=20) if what == "pay_late" else None
        fake.decide(charge.pk, FakeCharge.APPROVED, counts_from=late)

    def break_next_call(self, fault: str) -> None:
        self.planned[:] = [fault]

    def heal(self) -> None:
        self.planned.clear()

    def messages(self) -> list[tuple[dict[str, str], bytes]]:
        bodies = [fake.message(charge) for charge in FakeCharge.objects.exclude(state=FakeCharge.OPEN).order_by("key")]
        return [({fake.SIGNATURE: fake.sign("s" * 32, body)}, body) for body in bodies]

    def forge(self, body: bytes) -> tuple[dict[str, str], bytes]:
        return {fake.SIGNATURE: fake.sign("guessed", body)}, body

    def took(self, payment_id: UUID) -> Money | None:
        charge = FakeCharge.objects.filter(payment_id=payment_id, state=FakeCharge.APPROVED).first()
        if charge is None or (charge.counts_from is not None and charge.counts_from > timezone.now()):
            return None
        return Money(charge.amount_minor, charge.currency)

    def gave_back(self, payment_id: UUID) -> int:
        return sum(FakeCharge.objects.filter(payment_id=payment_id).values_list("refunded_minor", flat=True))

    def asked_twice_otherwise(self) -> list[str]:
        return [key for key, bodies in self.bodies.items() if len(bodies) > 1]


class StripeRail:
    name = "stripe"

    def __init__(self, server: stripe.Stripe) -> None:
        self.server = server

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[StripeRail]:
        with stripe.serving() as server:
            yield cls(server)

    def set_up(self) -> None:
        values = {
            "secret_key": self.server.key,
            "webhook_secrets": self.server.webhook_secret,
            "api_url": self.server.url,
        }
        GatewaySettings.objects.create(name="stripe", enabled=True, values=values)
        with self.server.state:
            for books in (self.server.rows, self.server.answers, self.server.messages, self.server.seen):
                books.clear()
        self.heal()

    def decide(self, payment_id: UUID, what: str) -> None:
        with self.server.state:
            session = self._session(payment_id)
            # Asking is what ends a page whose day is over.
            if session is None or self.server.get("checkout.session", session["id"])["status"] != "open":
                return
            if what == "pay_late":
                self.server.pay_later(session)
                self.server.settle(session, paid=True)
            elif what == "decline":
                # The page stays open for another card, so this decides nothing yet.
                self.server.decline(session)
            elif what == "leave":
                self.server.expire(session)
            else:
                other = "usd" if what == "pay_other" else ""
                self.server.pay(session, less=int(what == "pay_less"), currency=other)

    def break_next_call(self, fault: str) -> None:
        status = {"refused": 429}.get(fault)
        with self.server.state:
            self.server.faults[:] = [stripe.Fault("/v1/", status=status, after=fault == "lost_after")]

    def heal(self) -> None:
        with self.server.state:
            self.server.faults.clear()

    def messages(self) -> list[tuple[dict[str, str], bytes]]:
        with self.server.state:
            # Each delivery is signed anew, also of what is weeks old.
            signed = [self.server.signed(message.event) for message in self.server.messages]
        return [(dict(message.headers), message.body) for message in signed]

    def forge(self, body: bytes) -> tuple[dict[str, str], bytes]:
        return {"stripe-signature": "t=1,v1=" + "0" * 64}, body

    def took(self, payment_id: UUID) -> Money | None:
        with self.server.state:
            session = self._session(payment_id)
            if session is None or session["payment_status"] != "paid":
                return None
            charge = self.server.charge_of(session)
            return Money(charge["amount"], charge["currency"].upper())

    def gave_back(self, payment_id: UUID) -> int:
        with self.server.state:
            session = self._session(payment_id)
            if session is None or not session["payment_intent"] or self.took(payment_id) is None:
                return 0
            return int(self.server.charge_of(session)["amount_refunded"])

    def asked_twice_otherwise(self) -> list[str]:
        bodies: dict[str, set[str]] = {}
        for seen in self.server.seen:
            if seen.key:
                bodies.setdefault(seen.key, set()).add(seen.body)
        return [key for key, sent in bodies.items() if len(sent) > 1]

    def _session(self, payment_id: UUID) -> dict[str, Any] | None:
        try:
            return self.server.session_of(payment_id)
        except IndexError:
            return None


RAILS: dict[str, Any] = {"fake": FakeRail.running, "stripe": StripeRail.running}
