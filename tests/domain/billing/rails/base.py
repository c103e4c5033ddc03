"""A way to pay as the state machine sees it: what customers and services do behind our back, and the service's books.

One class per rail, over its simulator. A fault is what goes wrong with the next call to the service.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import ClassVar, Protocol
from uuid import UUID

from parcelle.domain.billing.models import Payment
from parcelle.domain.billing.orders import Buyer
from parcelle.domain.catalog.models import Price
from tests.domain.billing.selling import AWA

# Nothing arrives; it arrives and the answer is lost; the service says that it cannot now, and has done nothing.
FAULTS = ("lost_before", "lost_after", "refused")
# What becomes of an attempt. The wrong ones are money that came in otherwise than it was asked for.
DECISIONS = ("pay", "pay", "pay_late", "pay_less", "pay_more", "pay_other", "decline", "leave")
# What still happens to money that came in: given back on the service's own pages, contested, lost, won, taken back.
AFTERWARDS = ("give_back", "contest", "lose", "win", "reverse")
# What an operator does about a bank transfer.
CLERKING = ("look", "look", "agree", "turn_down", "accept_less", "reject", "refuse", "recall")


class Rail(Protocol):
    name: str
    # (amount, currency, interval) of what is on sale: two, so that no sum is right by chance.
    prices: tuple[tuple[str, str, str], ...] = (("49.00", "EUR", Price.MONTH), ("32000", "XAF", Price.MONTH))
    buyer: Buyer = AWA
    details: ClassVar[dict[str, str]] = {}
    # Whether something can still happen to money that came in, and whether a person says that it came in.
    goes_on: bool = False
    by_hand: bool = False

    def set_up(self) -> None:
        """Offers it in the shop; nothing of an earlier shop is left."""

    def clock_is(self, now: datetime) -> None:
        """Before anything happens at this moment."""

    def decide(self, payment_id: UUID, what: str) -> None:
        """Something of DECISIONS, if the service knows the attempt and it is not decided yet."""

    def afterwards(self, payment_id: UUID, what: str) -> None:
        """Something of AFTERWARDS, where it makes sense."""

    def clerk(self, payment_id: UUID, what: str, *, now: datetime) -> None:
        """Something of CLERKING, where it makes sense."""

    def settle(self, *, now: datetime) -> None:
        """Everything is decided that the service, or an operator, has left open."""

    def break_next_call(self, fault: str) -> None: ...

    def heal(self) -> None: ...

    def messages(self) -> list[tuple[dict[str, str], bytes]]:
        """Everything it ever had to say, signed now; any of it may be sent again at any time."""

    def forge(self, body: bytes) -> tuple[dict[str, str], bytes]:
        """A message that it never sent."""

    def holds(self, payment: Payment) -> Counter[str]:
        """What the service holds for us of a payment, its fee included, by its own books: currency -> minor units."""

    def asked_twice_otherwise(self) -> list[str]:
        """Keys that were sent with two different bodies."""


def only_once(bodies: list[tuple[str, str]]) -> list[str]:
    """The keys that come with more than one body."""
    sent: dict[str, set[str]] = {}
    for key, body in bodies:
        if key:
            sent.setdefault(key, set()).add(body)
    return [key for key, texts in sent.items() if len(texts) > 1]
