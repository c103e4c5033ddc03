"""A shop that takes MTN Mobile Money in XAF from the simulator."""

from __future__ import annotations

from dataclasses import replace

from parcelle.domain.billing import orders, payments, webhooks
from parcelle.domain.billing.models import GatewayEvent, GatewaySettings, Order, Payment
from tests.domain.billing.selling import AWA, LATER, open_shop, order
from tests.people import NOW
from tests.simulators.mtn_momo import Momo

PHONE = "+237671234567"
CAMEROON: orders.Buyer = replace(AWA, country="CM", phone=PHONE)


def open_for(momo: Momo, **changes: str) -> Order:
    """An order of 32 000 FCFA, and MTN switched on as `momo` serves it."""
    GatewaySettings.objects.update_or_create(
        name="mtn_momo", defaults={"enabled": True, "values": momo.settings(callback_host="localhost", **changes)}
    )
    return order(open_shop("32000", "XAF"), buyer=CAMEROON)


def push(placed: Order, *, phone: str = PHONE) -> Payment:
    """An attempt; the telephone rings unless the simulator was told otherwise."""
    payment = payments.begin(placed.pk, gateway="mtn_momo", details={"phone": phone}, now=NOW)
    payments.carry_out(payment.pk, now=NOW)
    payment.refresh_from_db()
    return payment


def look(payment: Payment) -> Payment:
    payments.look(payment.pk, now=LATER)
    payment.refresh_from_db()
    return payment


def deliver(momo: Momo, payment: Payment, body: bytes) -> None:
    """A callback as MTN sends it, and the job that deals with it."""
    path = momo.pushes[str(payment.key)].callback_url.rpartition("/")[2]
    webhooks.receive("mtn_momo", headers={":path": path}, body=body, now=NOW)
    for event in GatewayEvent.objects.filter(state=GatewayEvent.RECEIVED):
        webhooks.process(event.pk, now=LATER)
