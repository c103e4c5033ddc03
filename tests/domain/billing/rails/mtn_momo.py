"""MTN Mobile Money: telephones that are answered or not, and refunds that take their time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from parcelle.core.money import Money
from parcelle.domain.billing.gateways.mtn_momo import client, gateway
from parcelle.domain.billing.models import GatewaySettings, Payment
from parcelle.domain.catalog.models import Price
from tests.domain.billing.mobile_money import CAMEROON, PHONE
from tests.domain.billing.rails.base import Rail, only_once
from tests.simulators import mtn_momo
from tests.simulators.mtn_momo import Fault, Momo, Push
from tests.simulators.mtn_momo_server import serving

_FAULTS = {"lost_before": "never", "lost_after": "lost", "refused": "busy"}
_CALLS = tuple(f"{method} /{product}/v1_0/" for method in ("GET", "POST") for product in ("collection", "disbursement"))


class MomoRail(Rail):
    name = "mtn_momo"
    prices = (("32000", "XAF", Price.MONTH), ("320000", "XAF", Price.YEAR))
    buyer = CAMEROON
    details = {"phone": PHONE}
    goes_on = True

    def __init__(self, server: Momo) -> None:
        self.server = server
        self.values = server.settings(callback_host="localhost")

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[MomoRail]:
        # The clock stands still while anything happens, so that everything would be asked in the same second.
        kept = gateway.QUESTIONS_A_SECOND, mtn_momo.STATUSES_PER_SECOND
        gateway.QUESTIONS_A_SECOND = mtn_momo.STATUSES_PER_SECOND = 1_000_000
        # Real time goes by between two steps, and decides nothing.
        ahead = [0.0]
        try:
            with serving(Momo(environment="mtncameroon", callbacks="never", clock=lambda: ahead[0])) as server:
                rail = cls(server)
                rail.ahead = ahead
                yield rail
        finally:
            gateway.QUESTIONS_A_SECOND, mtn_momo.STATUSES_PER_SECOND = kept

    ahead: list[float]

    def set_up(self) -> None:
        GatewaySettings.objects.create(name="mtn_momo", enabled=True, values=self.values)
        with self.server.state:
            for books in (self.server.pushes, self.server.refunds, self.server.seen, self.server.tokens):
                books.clear()
        self.heal()
        # Otherwise the first shop would make one call more than all others.
        client._TOKENS._held.clear()
        opened = gateway.MtnMomoGateway.open(self.values, False)
        opened.collection.sign_in()
        opened.disbursement.sign_in()

    def clock_is(self, now: datetime) -> None:
        self.ahead[0] = now.timestamp()
        self.server.settle()

    def decide(self, payment_id: UUID, what: str) -> None:
        push = self._push(payment_id)
        if push is None or push.status != "PENDING":
            return
        with self.server.state:
            amount = int(push.body["amount"])
            other = {"pay_less": {"amount": str(amount - 1)}, "pay_more": {"amount": str(amount + 1)}}
            push.body = {**push.body, **other.get(what, {"currency": "XOF"} if what == "pay_other" else {})}
        if what in {"decline", "leave"}:
            self.server.refuse(push.reference, code="APPROVAL_REJECTED" if what == "decline" else "EXPIRED")
        else:
            self.server.approve(push.reference, after=1200 if what == "pay_late" else 0)

    def afterwards(self, payment_id: UUID, what: str) -> None:
        """There is no taking back; but a refund can come to nothing on its way."""
        with self.server.state:
            waiting = [one for one in self._refunds(payment_id) if one.status == "PENDING"]
        if waiting and what == "lose":
            self.server.fail_refund(waiting[0].reference)

    def break_next_call(self, fault: str) -> None:
        with self.server.state:
            self.server.faults[:] = [Fault(line, _FAULTS[fault]) for line in _CALLS]

    def heal(self) -> None:
        with self.server.state:
            self.server.faults.clear()

    def messages(self) -> list[tuple[dict[str, str], bytes]]:
        with self.server.state:
            decided = [push for push in self.server.pushes.values() if push.status != "PENDING"]
            return [({":path": push.callback_url.rpartition("/")[2]}, self._told(push)) for push in decided]

    def forge(self, body: bytes) -> tuple[dict[str, str], bytes]:
        return {":path": "guessed"}, body

    def holds(self, payment: Payment) -> Counter[str]:
        held: Counter[str] = Counter()
        push = self._push(payment.pk)
        if push is not None and push.status == "SUCCESSFUL":
            for sign, one in ((1, push), *((-1, refund) for refund in self._refunds(payment.pk))):
                if one.status == "SUCCESSFUL":
                    amount = Money.of(one.body["amount"], one.body["currency"])
                    held[amount.currency] += sign * amount.minor
        return held

    def asked_twice_otherwise(self) -> list[str]:
        sent = [(seen.headers.get("x-reference-id", ""), seen.raw.decode()) for seen in self.server.seen]
        return only_once(sent)

    def _push(self, payment_id: UUID) -> Push | None:
        with self.server.state:
            pushes = [one for one in self.server.pushes.values() if one.body["externalId"] == str(payment_id)]
        return pushes[-1] if pushes else None

    def _refunds(self, payment_id: UUID) -> list[Push]:
        return [one for one in self.server.refunds.values() if one.body["externalId"] == str(payment_id)]

    def _told(self, push: Push) -> bytes:
        return json.dumps(self.server.told(push)).encode()
