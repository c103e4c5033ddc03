"""Messages of payment services: stored raw, acknowledged, then dealt with by a worker that asks the service itself.

The stored row is its own entry in the queue, see docs/decisions/0020-messages-together.md.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Greatest
from django.utils import timezone

from parcelle.core import dispatch, events
from parcelle.core.leases import Leases
from parcelle.core.logs import redact
from parcelle.core.states import move
from parcelle.domain.billing import gateways, payment_states, payments, refunds
from parcelle.domain.billing.desk_events import GatewayMessageRetried
from parcelle.domain.billing.gateways.base import Paid, Traces
from parcelle.domain.billing.intake import SOURCE, Incoming, genuine, store
from parcelle.domain.billing.models import GatewayEvent, Payment

logger = structlog.get_logger(__name__)

# The pause before attempt 2, 3, ... is three times longer each time: the last one is made after about three days.
MOST_ATTEMPTS = 12
# How many are taken up at once: those about nothing of ours, or about one payment, cost as much as a single one.
AT_ONCE = 500
_OPEN = (GatewayEvent.RECEIVED, GatewayEvent.FAILED)
_RETRY = {state: frozenset({GatewayEvent.RECEIVED}) for state in (GatewayEvent.FAILED, GatewayEvent.IGNORED)}


class ServiceSilent(Exception):
    """The payment service did not answer: what the message is about has to be asked again."""


def receive(gateway: str, *, headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
    """Stores a message, to be dealt with by a worker; false when it was here before.

    Raises Forged; GatewayUnusable for a way to pay that is not set up; GatewayError when nobody can tell at the
    moment whether it is genuine, so that it has to be sent again.
    """
    # Before the transaction: some services have to be asked whether a message is theirs.
    message = Incoming(gateway=gateway, headers=headers, body=body, at=now)
    return bool(store([genuine(gateways.open_gateway(gateway), message)]))


@transaction.atomic
def retry(event_id: int, *, actor: str, now: datetime) -> None:
    """Has a message dealt with once more that failed, or that nobody could place. Raises IllegalTransition."""
    event = GatewayEvent.objects.select_for_update().get(pk=event_id)
    move(event, GatewayEvent.RECEIVED, table=_RETRY, wait_until=None, attempts=0)
    events.record(
        GatewayMessageRetried(gateway=event.gateway, message_id=event.pk, kind=event.kind), now=now, actor=actor
    )
    dispatch.wake(SOURCE)


# --- dealing with them --------------------------------------------------------------------------------------

_TAKE = """
    UPDATE billing_gatewayevent SET wait_until = %(until)s, attempts = LEAST(attempts + 1, 100) WHERE id = ANY(ARRAY(
        SELECT id FROM billing_gatewayevent
        WHERE state IN ('received', 'failed')
            AND (state = 'received' AND wait_until IS NULL OR wait_until < %(now)s)
        ORDER BY id LIMIT %(most)s FOR UPDATE SKIP LOCKED))
    RETURNING id, gateway, subject
"""


def take(most: int) -> Sequence[dispatch.Piece]:
    """Up to `most` pieces of work out of the messages that are due, each for a thread of its own."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"now": now, "until": _lease_end(now), "most": AT_ONCE})
        rows = cursor.fetchall()
    about: dict[tuple[str, str], list[int]] = defaultdict(list)
    for event_id, gateway, subject in rows:
        about[gateway, subject].append(event_id)
    nothing = [event_id for key in _about_nothing(about) for event_id in about.pop(key)]
    units = [partial(_deal_with, event_ids) for event_ids in about.values()]
    if nothing:
        units.append(partial(_ignore, nothing))
    threads = min(most, len(units))
    return [partial(_keeping_leases, units[number::threads]) for number in range(threads)]


def _about_nothing(about: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of the subjects that are none of our payments, as far as our own tables tell."""
    subjects: dict[str, set[str]] = defaultdict(set)
    for gateway, subject in about:
        subjects[gateway].add(subject)
    opened = gateways.open_gateways(subjects)
    nothing: list[tuple[str, str]] = []
    for gateway, names in subjects.items():
        # The service knows more names of a payment than we do.
        known = names if isinstance(opened.get(gateway), Traces) else _known(gateway, names)
        nothing += [(gateway, name) for name in names if not name or name not in known]
    return nothing


def _known(gateway: str, names: set[str]) -> set[str]:
    """Which of them are names of payments of this gateway."""
    ids = {name: found for name in names if (found := _as_uuid(name)) is not None}
    called = Payment.objects.filter(~Q(provider_id=""), provider_id__in=names, gateway=gateway)
    ours = set(Payment.objects.filter(pk__in=ids.values(), gateway=gateway).values_list("pk", flat=True))
    return {*called.values_list("provider_id", flat=True), *(name for name, found in ids.items() if found in ours)}


def _ignore(event_ids: Sequence[int]) -> None:
    GatewayEvent.objects.filter(pk__in=event_ids, state__in=_OPEN).update(
        state=GatewayEvent.IGNORED, done_at=timezone.now(), error="", wait_until=None
    )
    logger.info("messages about no payment of ours", number=len(event_ids))


def _deal_with(event_ids: Sequence[int]) -> None:
    """They are about one payment; what fails is due again later, and is shown until then."""
    try:
        process(*event_ids, now=timezone.now())
    except Exception:
        logger.exception("messages of a payment service failed", events=event_ids)


def _keeping_leases(units: Sequence[partial[None]]) -> None:
    with _leases.kept(tuple(event_id for unit in units for event_id in unit.args[0])):
        for unit in units:
            unit()


def process(*event_ids: int, now: datetime) -> None:
    """Looks once at what these messages, all of one gateway and subject, are about.

    Whatever they say, only the service's own answer counts. An error is kept with them, for the time of the next
    attempt or for good, and goes on to the caller.
    """
    rows = GatewayEvent.objects.filter(pk__in=event_ids, state__in=_OPEN)
    event = rows.defer("headers", "body").first()
    if event is None:
        return
    payment = None
    try:
        payment = _payment_of(event)
        if payment is not None:
            _look(payment, now=now)
    except Exception as error:
        again = event.attempts < MOST_ATTEMPTS
        rows.update(
            state=GatewayEvent.FAILED,
            error=redact(f"{type(error).__name__}: {error}")[:1000],
            wait_until=now + timedelta(seconds=3**event.attempts) if again else None,
        )
        raise
    state = GatewayEvent.IGNORED if payment is None else GatewayEvent.DONE
    rows.update(state=state, payment=payment, done_at=now, error="", wait_until=None)
    if payment is None:
        logger.info("message about no payment of ours", gateway=event.gateway, kind=event.kind)


def _look(payment: Payment, *, now: datetime) -> None:
    outcome = payments.look(payment.pk, now=now)
    if outcome is None and payment.state not in payment_states.UNSETTLED:
        # The sweeper asks about what is not settled; what is, only messages tell of.
        raise ServiceSilent(payment.gateway)
    told = outcome.returned if isinstance(outcome, Paid) else None
    doubtful = refunds.in_doubt(payment.pk, told) if told is not None else []
    for refund_id in (*refunds.on_their_way(payment.pk), *doubtful):
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
    if (found := _as_uuid(name)) is not None:
        ours |= Q(pk=found)
    return Payment.objects.filter(ours, gateway=gateway).first()


def _as_uuid(name: str) -> UUID | None:
    with contextlib.suppress(ValueError):
        return UUID(name)
    return None


def _lease_end(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.OPERATION_LEASE_SECONDS)


def _renew(held: list[tuple[Any, str]]) -> None:
    ours = [event_id for event_ids, _holder in held for event_id in event_ids]
    # What has been dealt with in the meantime waits for nobody; what failed may wait for longer.
    waiting = GatewayEvent.objects.filter(pk__in=ours, wait_until__isnull=False)
    waiting.update(wait_until=Greatest("wait_until", _lease_end(timezone.now())))


_leases = Leases(_renew)
