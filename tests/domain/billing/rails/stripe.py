"""Stripe: cards that work or do not, refunds from the dashboard, and disputes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from parcelle.domain.billing.gateways.stripe import from_wire
from parcelle.domain.billing.models import GatewaySettings, Payment
from tests.domain.billing.rails.base import Rail, only_once
from tests.simulators import stripe


class StripeRail(Rail):
    name = "stripe"
    goes_on = True

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
                less = {"pay_less": 1, "pay_more": -1}.get(what, 0)
                self.server.pay(session, less=less, currency="usd" if what == "pay_other" else "")

    def afterwards(self, payment_id: UUID, what: str) -> None:
        with self.server.state:
            charge = self._charge(payment_id)
            if charge is None:
                return
            disputes = [one for one in self.server.table("dispute").values() if one["charge"] == charge["id"]]
            rest = charge["amount"] - charge["amount_refunded"]
            if what == "give_back" and rest > 1 and not charge["disputed"]:
                self.server.give_back(charge, rest // 2)
            elif what == "reverse" and not charge["disputed"]:
                self._send_refund_back(charge)
            elif what == "contest" and rest and not disputes:
                self.server.dispute(charge)
            elif what in {"lose", "win"} and disputes and disputes[0]["status"] == "needs_response":
                self.server.end_dispute(disputes[0], won=what == "win")

    def _send_refund_back(self, charge: dict[str, Any]) -> None:
        """A bank that had taken it finds days later that it cannot."""
        refunds = [one for one in self.server.table("refund").values() if one["charge"] == charge["id"]]
        for refund in [one for one in refunds if one["status"] == "succeeded" and one["metadata"]][:1]:
            self.server.end_refund(refund, done=False)

    def settle(self, *, now: datetime) -> None:
        with self.server.state:
            for dispute in self.server.table("dispute").values():
                if dispute["status"] == "needs_response":
                    self.server.end_dispute(dispute, won=False)

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

    def holds(self, payment: Payment) -> Counter[str]:
        held: Counter[str] = Counter()
        with self.server.state:
            charge = self._charge(payment.pk)
            if charge is not None:
                lost = [
                    one["amount"]
                    for one in self.server.table("dispute").values()
                    if one["charge"] == charge["id"] and one["status"] == "lost"
                ]
                rest = from_wire(charge["amount"] - charge["amount_refunded"] - sum(lost), charge["currency"])
                held[rest.currency] = rest.minor
        return held

    def asked_twice_otherwise(self) -> list[str]:
        return only_once([(seen.key, seen.body) for seen in self.server.seen])

    def _session(self, payment_id: UUID) -> dict[str, Any] | None:
        try:
            return self.server.session_of(payment_id)
        except IndexError:
            return None

    def _charge(self, payment_id: UUID) -> dict[str, Any] | None:
        """What was taken from the customer; there is one session at most in which that happened."""
        session = self._session(payment_id)
        if session is None or session["payment_status"] != "paid":
            return None
        return self.server.charge_of(session)
