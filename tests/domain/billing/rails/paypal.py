"""PayPal: customers who approve or do not, captures that are short or held, disputes, reversals, refunds elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from parcelle.domain.billing.gateways import paypal_api, paypal_issues
from parcelle.domain.billing.gateways.paypal import PayPal
from parcelle.domain.billing.models import GatewaySettings, Payment
from parcelle.domain.catalog.models import Price
from tests.domain.billing.rails.base import Rail, only_once
from tests.simulators import paypal, paypal_server
from tests.simulators.paypal_books import Amount, Capture, Dispute, Order

_SCRIPTS = {
    "pay_late": "pending:PENDING_REVIEW",
    "pay_less": "short",
    "pay_more": "more",
    "pay_other": "currency:GBP",
    "decline": "TRANSACTION_REFUSED",
}
_FAULTS = {"lost_before": "cut", "lost_after": "lost", "refused": "503"}
# Tokens are none of the customer's business, and every process has had one for a while.
_CALLS = r"^\w+ /v[12]/(?!oauth2/)"


class PayPalRail(Rail):
    name = "paypal"
    prices = (("49.00", "EUR", Price.MONTH), ("59.00", "USD", Price.MONTH))
    goes_on = True

    def __init__(self, server: paypal.PayPal) -> None:
        self.server = server

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[PayPalRail]:
        with paypal_server.serving(paypal.PayPal(checked=False)) as server:
            yield cls(server)

    def set_up(self) -> None:
        values = paypal_server.settings_of(self.server)
        GatewaySettings.objects.create(name="paypal", enabled=True, values=values)
        self.heal()
        with self.server.state:
            self.server.forget_everything()
        # Otherwise the first shop would make one call more than all others.
        paypal_api._tokens.clear()
        PayPal.open(values, False).api.token()

    def decide(self, payment_id: UUID, what: str) -> None:
        self.server.advance()
        with self.server.state:
            orders = [one for one in self._orders(payment_id) if one.status in {"CREATED", "PAYER_ACTION_REQUIRED"}]
            # Who closes the window has decided nothing: it can be opened again.
            if orders and what != "leave":
                self.server.approve(orders[-1], *filter(None, [_SCRIPTS.get(what)]))

    def afterwards(self, payment_id: UUID, what: str) -> None:
        with self.server.state:
            for capture in self._captures(payment_id):
                self._happens(capture, what)

    def _happens(self, capture: Capture, what: str) -> None:
        disputes = self._disputes(capture)
        rest = self._rest(capture)
        on_their_way = any(refund.status == "PENDING" for refund in capture.refunds)
        if capture.status == "PENDING" and what == "win":
            self.server.settle(capture, "COMPLETED")
        elif capture.status not in {"COMPLETED", "PARTIALLY_REFUNDED"} or on_their_way:
            return
        elif what in {"lose", "win"} and disputes and not disputes[0].outcome:
            outcome = "RESOLVED_BUYER_FAVOUR" if what == "lose" else "RESOLVED_SELLER_FAVOUR"
            self.server.decide(disputes[0], outcome)
        elif disputes or rest.value <= 1:
            return
        elif what == "give_back":
            self.server.give_back(capture, str(rest.of(rest.value / 2).value))
        elif what == "contest":
            self.server.dispute(capture, str(rest.value))
        elif what == "reverse":
            self.server.reverse(capture)

    def settle(self, *, now: datetime) -> None:
        with self.server.state:
            for refund in [one for one in self.server.refunds.values() if one.status == "PENDING"]:
                self.server.finish_refund(refund, "COMPLETED")
            for capture in [one for one in self.server.captures.values() if one.status == "PENDING"]:
                self.server.settle(capture, "COMPLETED")
            for dispute in [one for one in self.server.disputes.values() if not one.outcome]:
                self.server.decide(dispute, "RESOLVED_BUYER_FAVOUR")

    def break_next_call(self, fault: str) -> None:
        with self.server.state:
            self.server.faults[:] = [paypal.Fault(_CALLS, _FAULTS[fault])]

    def heal(self) -> None:
        with self.server.state:
            self.server.faults.clear()

    def messages(self) -> list[tuple[dict[str, str], bytes]]:
        return [(self.server.headers(sent.body), sent.body) for sent in self.server.messages]

    def forge(self, body: bytes) -> tuple[dict[str, str], bytes]:
        return self.server.headers(body, webhook_id="ANOTHER"), body

    def holds(self, payment: Payment) -> Counter[str]:
        held: Counter[str] = Counter()
        with self.server.state:
            for capture in self._captures(payment.pk):
                if capture.status in {"COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"} and not capture.reversed:
                    rest = self._rest(capture)
                    held[rest.currency] += int(rest.value * 100)
        return +held

    def asked_twice_otherwise(self) -> list[str]:
        return only_once([(f"{seen.key} {seen.path}" if seen.key else "", str(seen.body)) for seen in self.server.seen])

    def _orders(self, payment_id: UUID) -> list[Order]:
        return [one for one in self.server.orders.values() if one.unit.get("custom_id") == str(payment_id)]

    def _captures(self, payment_id: UUID) -> list[Capture]:
        return [one for one in self.server.captures.values() if one.order.unit.get("custom_id") == str(payment_id)]

    def _disputes(self, capture: Capture) -> list[Dispute]:
        return [one for one in self.server.disputes.values() if one.capture is capture]

    def _rest(self, capture: Capture) -> Amount:
        """What neither a refund nor a lost dispute has taken."""
        lost = [one.amount.value for one in self._disputes(capture) if one.outcome in paypal_issues.LOST]
        return capture.amount.of(capture.amount.value - capture.given_back - sum(lost, Decimal(0)))
