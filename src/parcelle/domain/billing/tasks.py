"""Background doors: load, call one thing."""

from __future__ import annotations

from uuid import UUID

import procrastinate
from django.utils import timezone
from procrastinate.contrib.django import app as queue

from parcelle.domain.billing import invoicing, payments, refunds, test_payments


@queue.task(
    name="billing.look",
    queue="payments",
    retry=procrastinate.RetryStrategy(max_attempts=6, exponential_wait=3),
)
def look(*, payment_id: str) -> None:
    payments.look(UUID(payment_id), now=timezone.now())


@queue.task(
    name="billing.refund",
    queue="payments",
    retry=procrastinate.RetryStrategy(max_attempts=12, exponential_wait=3),
)
def refund(*, refund_id: str) -> None:
    refunds.carry_out(UUID(refund_id), now=timezone.now())


@queue.task(
    name="billing.test_message",
    queue="payments",
    retry=procrastinate.RetryStrategy(max_attempts=6, exponential_wait=3),
)
def test_message(*, charge_id: str) -> None:
    test_payments.send_message(UUID(charge_id))


@queue.task(
    name="billing.finalise",
    queue="invoices",
    retry=procrastinate.RetryStrategy(max_attempts=12, exponential_wait=3),
)
def finalise(*, invoice_id: str) -> None:
    invoicing.attempt(UUID(invoice_id))
