"""Taking in the messages of payment services: only what is genuine is stored, and only what is stored is acknowledged.

See docs/decisions/0020-messages-together.md.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from parcelle.core import dispatch
from parcelle.core.rows import insert_those_not_taken
from parcelle.domain.billing import gateways
from parcelle.domain.billing.gateways.base import Forged, Gateway, GatewayError
from parcelle.domain.billing.models import GatewayEvent

logger = structlog.get_logger(__name__)

SOURCE = "gateway_messages"
# What a service may send of what its client sent: enough for every signature, too little to fill the disk.
MOST_BYTES = 512 * 1024


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """A message as it arrived. Header names are lower case; ":path" is what followed the gateway in the address."""

    gateway: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    at: datetime


class Refusal(enum.Enum):
    """Why a message was not stored."""

    NOBODYS = "the way to pay is not set up"
    FORGED = "it is not genuine"
    UNSURE = "nobody can tell whether it is genuine"
    NOT_STORED = "it could not be stored"


@dataclass(frozen=True)
class Apart:
    """A message about which the service may have to be asked: `judge` it where others do not wait for that."""

    gateway: Gateway
    incoming: Incoming

    def judge(self) -> GatewayEvent | Refusal:
        return _judge(self.gateway, self.incoming)


# True: stored, now or the first time it came.
Verdict = bool | Refusal | Apart


def take_in(messages: Sequence[Incoming | GatewayEvent]) -> list[Verdict]:
    """What becomes of each of these messages, stored together; those that were judged already come as rows."""
    try:
        return _take_in(messages)
    except (OperationalError, InterfaceError):
        # The connection may be older than the last restart of the database.
        _leave_connection()
    try:
        return _take_in(messages)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("messages could not be stored", number=len(messages), reason=type(error).__name__)
        _leave_connection()
        return [Refusal.NOT_STORED] * len(messages)


def _leave_connection() -> None:
    if not connection.in_atomic_block:
        connection.close()


def _take_in(messages: Sequence[Incoming | GatewayEvent]) -> list[Verdict]:
    opened = gateways.open_gateways({one.gateway for one in messages if isinstance(one, Incoming)})
    seen = [one if isinstance(one, GatewayEvent) else _look_at(one, opened.get(one.gateway)) for one in messages]
    stored = iter(_store_each([one for one in seen if isinstance(one, GatewayEvent)]))
    return [next(stored) if isinstance(one, GatewayEvent) else one for one in seen]


def _look_at(incoming: Incoming, gateway: Gateway | None) -> GatewayEvent | Refusal | Apart:
    if gateway is None:
        return Refusal.NOBODYS
    if gateway.abilities.asks_about_messages:
        return Apart(gateway, incoming)
    return _judge(gateway, incoming)


def _judge(gateway: Gateway, incoming: Incoming) -> GatewayEvent | Refusal:
    try:
        return genuine(gateway, incoming)
    except Forged as forged:
        logger.warning("a message was refused", gateway=incoming.gateway, reason=str(forged))
        return Refusal.FORGED
    except GatewayError as error:
        logger.warning("nobody can tell whether a message is genuine", gateway=incoming.gateway, detail=error.detail)
        return Refusal.UNSURE
    except Exception:
        # The others that came with it are not to blame.
        logger.exception("a message cannot be read", gateway=incoming.gateway)
        return Refusal.NOT_STORED


def genuine(gateway: Gateway, incoming: Incoming) -> GatewayEvent:
    """The row to store for a message. Raises Forged and GatewayError."""
    event = gateway.parse_webhook(incoming.headers, incoming.body)
    return GatewayEvent(
        gateway=incoming.gateway,
        event_id=event.event_id,
        kind=event.kind,
        subject=event.subject,
        headers=dict(incoming.headers),
        body=incoming.body,
        received_at=incoming.at,
    )


def _store_each(rows: Sequence[GatewayEvent]) -> list[Verdict]:
    """Whether each of them is stored: one that the database does not take is no reason not to take the others."""
    try:
        store(rows)
    except (OperationalError, InterfaceError):
        raise
    except DatabaseError as error:
        if len(rows) > 1:
            return [verdict for row in rows for verdict in _store_each([row])]
        logger.warning("a message cannot be stored", gateway=rows[0].gateway, reason=str(error))
        return [Refusal.NOT_STORED]
    return [True] * len(rows)


def store(rows: Sequence[GatewayEvent]) -> int:
    """Stores them with one statement, each once however often it came; returns how many are new."""
    # In the same order wherever several are stored at once, or two could wait for each other.
    in_order = sorted(rows, key=lambda row: (row.gateway, row.event_id))
    with transaction.atomic():
        new = insert_those_not_taken(in_order)
        if new:
            dispatch.wake_now_and_then(SOURCE)
    return new
