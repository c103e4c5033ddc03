"""Bank transfers: the account on which money arrives, and the operators who look at it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Sum

from parcelle.core.money import Money
from parcelle.domain.billing import payment_states, receipts, transfer_states, transfers
from parcelle.domain.billing.errors import ReceiptRefused, TransferRefused
from parcelle.domain.billing.models import Confirmation, Payment, Refund, Transfer
from tests.domain.billing.rails.base import Rail
from tests.domain.billing.transferring import ANN, BEN, picture, switch_on


@dataclass(frozen=True)
class Line:
    """Money on the account, as the bank shows it."""

    payment_id: UUID
    amount: Money
    reference: str


class BankRail(Rail):
    name = "bank_transfer"
    by_hand = True

    def __init__(self) -> None:
        self.account: list[Line] = []
        self.recalled: dict[UUID, Money] = {}
        self.receipt = picture()

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[BankRail]:
        yield cls()

    def set_up(self) -> None:
        # Of two orders, one needs a second person.
        switch_on(second_person_from="EUR 50")
        self.account.clear()
        self.recalled.clear()

    def decide(self, payment_id: UUID, what: str) -> None:
        transfer = Transfer.objects.filter(payment_id=payment_id).first()
        if transfer is None:
            return
        if what in {"leave", "decline"}:
            self._try(lambda: transfers.withdraw(transfer.pk, actor="visitor", now=transfer.created_at))
            return
        if what == "pay_late":
            # Somebody says that it is on its way.
            self._send_receipt(transfer)
            return
        amount = {
            "pay_less": Money(transfer.amount_minor - 100, transfer.currency),
            "pay_more": Money(transfer.amount_minor + 1, transfer.currency),
            "pay_other": Money(transfer.amount_minor, "USD"),
        }.get(what, transfer.amount)
        self.account.append(Line(payment_id, amount, f"BANK-{len(self.account)}"))

    def _send_receipt(self, transfer: Transfer) -> None:
        with suppress(ReceiptRefused):
            receipts.upload(
                transfer.pk,
                name="avis.png",
                content=self.receipt,
                actor="visitor",
                address="192.0.2.1",
                now=transfer.created_at,
            )

    def clerk(self, payment_id: UUID, what: str, *, now: datetime) -> None:
        transfer = Transfer.objects.filter(payment_id=payment_id).first()
        if transfer is None:
            return
        if what == "look":
            self._look_at_the_account(transfer, now=now)
        elif what in {"agree", "turn_down"}:
            self._second(transfer, agrees=what == "agree", now=now)
        elif what == "accept_less":
            self._try(lambda: transfers.accept_shortfall(transfer.pk, actor="user:ann", now=now))
        elif what == "reject":
            self._try(lambda: transfers.reject(transfer.pk, reason="unreadable", actor="user:ann", now=now))
        elif what == "refuse":
            self._try(lambda: transfers.refuse(transfer.pk, reason="not_received", actor="user:ann", now=now))

        elif what == "recall" and transfer.state in transfer_states.CAME:
            self._recall(transfer, now=now)

    def _recall(self, transfer: Transfer, *, now: datetime) -> None:
        """The bank takes the whole sum back; an operator reads of it on the statement."""
        if transfer.received_minor == transfer.amount_minor and not transfer.payment.refunds.exists():
            self.recalled[transfer.payment_id] = transfer.received
            transfers.recall(transfer.pk, reason="recalled", actor="user:ann", now=now)

    def _look_at_the_account(self, transfer: Transfer, *, now: datetime) -> None:
        for line in [one for one in self.account if one.payment_id == transfer.payment_id]:
            transfers.confirm(
                transfer.pk,
                amount=line.amount,
                value_date=now.date(),
                bank_reference=line.reference,
                person=ANN,
                actor="user:ann",
                now=now,
            )

    def _second(self, transfer: Transfer, *, agrees: bool, now: datetime) -> None:
        waiting = transfer.confirmations.filter(state=Confirmation.WAITING).order_by("created_at", "bank_reference")
        for row in waiting:
            if agrees:
                transfers.approve(row.pk, person=BEN, actor="user:ben", now=now)
            else:
                transfers.turn_down(row.pk, reason="not seen", actor="user:ben", now=now)

    def settle(self, *, now: datetime) -> None:
        """Everything on the account is noted and agreed to, and what is still not whole is given up."""
        for transfer in Transfer.objects.order_by("reference"):
            self._look_at_the_account(transfer, now=now)
            self._second(transfer, agrees=True, now=now)
            transfer.refresh_from_db()
            if transfer.payment_id in self.recalled and transfer.state in transfer_states.CAME:
                transfers.recall(transfer.pk, reason="recalled", actor="user:ann", now=now)
            if transfer.state in {*transfer_states.OPEN} - {transfer_states.AWAITING}:
                transfers.refuse(transfer.pk, reason="not_received", actor="user:ann", now=now)

    @staticmethod
    def _try(act: Callable[[], object]) -> None:
        # Too late, too much, or nothing to decide: the verb says so, and nothing has changed.
        with suppress(TransferRefused):
            act()

    def break_next_call(self, fault: str) -> None:
        """Nobody is called."""

    def heal(self) -> None:
        """Nothing breaks."""

    def messages(self) -> list[tuple[dict[str, str], bytes]]:
        return []

    def forge(self, body: bytes) -> tuple[dict[str, str], bytes]:
        return {}, body

    def holds(self, payment: Payment) -> Counter[str]:
        held: Counter[str] = Counter()
        for line in self.account:
            if line.payment_id == payment.pk:
                held[line.amount.currency] += line.amount.minor
        if (taken := self.recalled.get(payment.pk)) is not None:
            held[taken.currency] -= taken.minor
        paid_out = Refund.objects.filter(payment=payment, state=Refund.DONE).aggregate(sum=Sum("amount_minor"))["sum"]
        held[payment.currency] -= paid_out or 0
        if payment.state == payment_states.REFUNDED and payment.received_currency not in {"", payment.currency}:
            # What came in another currency was paid out in it, by hand.
            held[payment.received_currency] -= payment.received_minor or 0
        return held

    def asked_twice_otherwise(self) -> list[str]:
        return []
