"""The other side of the test payment: what a person clicked, and the messages that the service then sends."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction
from procrastinate.contrib.django import app as queue

from parcelle.core import http
from parcelle.domain.billing import gateways
from parcelle.domain.billing.gateways import fake
from parcelle.domain.billing.models import FakeCharge


@transaction.atomic
def answer(charge_id: UUID, state: str, *, code: str, counts_from: datetime | None, messages: int) -> None:
    """Decides a charge, once, and has its message sent so many times."""
    charge = fake.decide(charge_id, state, code=code, counts_from=counts_from)
    if charge.state != state:
        return
    for _number in range(messages):
        task = queue.configure_task("billing.test_message", queue="payments", schedule_at=counts_from)
        task.defer(charge_id=str(charge_id))


def send_message(charge_id: UUID) -> None:
    """Posts the signed message about a charge. Raises OutsideError when it was not taken: the queue tries again."""
    charge = FakeCharge.objects.get(pk=charge_id)
    secret = gateways.secret_of("fake")
    body = fake.message(charge)
    headers = {"Content-Type": "application/json", fake.SIGNATURE: fake.sign(secret, body)}
    response = http.request("POST", charge.webhook_url, headers=headers, content=body)
    if response.status_code >= 300:
        raise http.OutsideError(f"the message was answered {response.status_code}", unknown=False)
