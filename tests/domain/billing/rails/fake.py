"""The test payment on a bad line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from parcelle.domain.billing import gateways
from parcelle.domain.billing.gateways import fake
from parcelle.domain.billing.gateways.base import Charge, GatewayError, Outcome, RefundOutcome, RefundRequest
from parcelle.domain.billing.models import FakeCharge, GatewaySettings, Payment
from tests.domain.billing.rails.base import Rail


class _Shaky(fake.FakeGateway):
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


class FakeRail(Rail):
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
        if what in {"pay_less", "pay_more"}:
            other = charge.amount_minor + (1 if what == "pay_more" else -1)
            FakeCharge.objects.filter(pk=charge.pk).update(amount_minor=other)
        elif what == "pay_other":
            FakeCharge.objects.filter(pk=charge.pk).update(currency="USD")
        late = timezone.now() + timedelta(minutes=20) if what == "pay_late" else None
        fake.decide(charge.pk, FakeCharge.APPROVED, counts_from=late)

    def break_next_call(self, fault: str) -> None:
        self.planned[:] = [fault]

    def heal(self) -> None:
        self.planned.clear()

    def messages(self) -> list[tuple[dict[str, str], bytes]]:
        decided = FakeCharge.objects.exclude(state=FakeCharge.OPEN)
        # Their own keys are random, and nothing here may be.
        numbers = dict(Payment.objects.values_list("pk", "number"))
        bodies = [fake.message(charge) for charge in sorted(decided, key=lambda one: numbers[one.payment_id])]
        return [({fake.SIGNATURE: fake.sign("s" * 32, body)}, body) for body in bodies]

    def forge(self, body: bytes) -> tuple[dict[str, str], bytes]:
        return {fake.SIGNATURE: fake.sign("guessed", body)}, body

    def holds(self, payment: Payment) -> Counter[str]:
        held: Counter[str] = Counter()
        for charge in FakeCharge.objects.filter(payment_id=payment.pk, state=FakeCharge.APPROVED):
            if charge.counts_from is None or charge.counts_from <= timezone.now():
                held[charge.currency] += charge.amount_minor - charge.refunded_minor
        return held

    def asked_twice_otherwise(self) -> list[str]:
        return [key for key, bodies in self.bodies.items() if len(bodies) > 1]
