"""Messages of payment services: stored raw, acknowledged, then dealt with by a job that asks the service itself."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Q
from procrastinate.contrib.django import app as queue

from parcelle.core import events
from parcelle.core.logs import redact
from parcelle.core.rows import insert_unless_taken
from parcelle.core.states import move
from parcelle.domain.billing import gateways, payment_states, payments, refunds
from parcelle.domain.billing.desk_events import GatewayMessageRetried
from parcelle.domain.billing.gateways.base import Traces
from parcelle.domain.billing.models import GatewayEvent, Payment

logger = structlog.get_logger(__name__)

# What a service may send of what its client sent: enough for every signature, too little to fill the disk.
MOST_BYTES = 512 * 1024
_RETRY = {state: frozenset({GatewayEvent.RECEIVED}) for state in (GatewayEvent.FAILED, GatewayEvent.IGNORED)}


class ServiceSilent(Exception):
    """The payment service did not answer: what the message is about has to be asked again."""


def receive(gateway: str, *, headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
    """Stores a message and the job that deals with it; false when it was here before.

    `headers` have lower-case names. Raises Forged; GatewayUnusable for a way to pay that is not set up; GatewayError
    when nobody can tell at the moment whether it is genuine, so that it has to be sent again.
    """
    # Before the transaction: some services have to be asked whether a message is theirs.
    event = gateways.open_gateway(gateway).parse_webhook(headers, body)
    stored = GatewayEvent(
        gateway=gateway,
        event_id=event.event_id,
        kind=event.kind,
        subject=event.subject,
        headers=dict(headers),
        body=body,
        received_at=now,
    )
    # One statement, however many come at once.
    with transaction.atomic():
        new = insert_unless_taken(stored)
        if new:
            hand_over(stored)
    return new


def hand_over(event: GatewayEvent) -> None:
    queue.configure_task("billing.process_event", queue="payments", priority=5).defer(event_id=event.pk)


@transaction.atomic
def retry(event_id: int, *, actor: str, now: datetime) -> None:
    """Has a message dealt with once more that failed, or that nobody could place. Raises IllegalTransition."""
    event = GatewayEvent.objects.select_for_update().get(pk=event_id)
    move(event, GatewayEvent.RECEIVED, table=_RETRY)
    events.record(
        GatewayMessageRetried(gateway=event.gateway, message_id=event.pk, kind=event.kind), now=now, actor=actor
    )
    hand_over(event)


def process(event_id: int, *, now: datetime) -> None:
    """Looks at what the message is about. Whatever it says, only the service's own answer counts.

    An error is kept with the message and goes on to the queue, which tries again.
    """
    event = GatewayEvent.objects.get(pk=event_id)
    if event.state in {GatewayEvent.DONE, GatewayEvent.IGNORED}:
        return
    payment = None
    try:
        payment = _payment_of(event)
        if payment is not None:
            _look(payment, now=now)
    except Exception as error:
        text = redact(f"{type(error).__name__}: {error}")[:1000]
        GatewayEvent.objects.filter(pk=event_id).update(state=GatewayEvent.FAILED, error=text)
        raise
    state = GatewayEvent.IGNORED if payment is None else GatewayEvent.DONE
    GatewayEvent.objects.filter(pk=event_id).update(state=state, payment=payment, done_at=now, error="")
    if payment is None:
        logger.info("message about no payment of ours", gateway=event.gateway, kind=event.kind)


def _look(payment: Payment, *, now: datetime) -> None:
    outcome = payments.look(payment.pk, now=now)
    if outcome is None and payment.state not in payment_states.UNSETTLED:
        # The sweeper asks about what is not settled; what is, only messages tell of.
        raise ServiceSilent(payment.gateway)
    for refund_id in refunds.on_their_way(payment.pk):
        refunds.carry_out(refund_id, now=now)


def _payment_of(event: GatewayEvent) -> Payment | None:
    """The payment that a message is about; the service is asked when it calls it by a name that we do not know."""
    if not event.subject:
        return None
    found = _called(event.gateway, event.subject)
    if found is None:
        gateway = gateways.open_gateway(event.gateway)
        if isinstance(gateway, Traces):
            found = _called(event.gateway, gateway.trace(event.subject))
    return found


def _called(gateway: str, name: str) -> Payment | None:
    if not name:
        return None
    ours = Q(provider_id=name)
    with contextlib.suppress(ValueError):
        ours |= Q(pk=UUID(name))
    return Payment.objects.filter(ours, gateway=gateway).first()
