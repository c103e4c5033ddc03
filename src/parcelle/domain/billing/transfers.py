"""Bank transfers: what customers and operators note about the money they wait for.

Each verb is one transaction that locks its transfer first. Money is only ever added up from confirmations: what
counts for the payment, what is missing, and what is the customer's because it pays for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F
from segno import QRCode

from parcelle.core import events
from parcelle.core.money import Money
from parcelle.core.states import move
from parcelle.domain.billing import (
    bank_accounts,
    epc,
    gateways,
    ledger,
    payment_states,
    payments,
    refunds,
    transfer_states,
)
from parcelle.domain.billing.bank_accounts import Account
from parcelle.domain.billing.errors import TransferRefused
from parcelle.domain.billing.gateways.bank_transfer import BankTransferGateway
from parcelle.domain.billing.models import Confirmation, Payment, Payout, Refund, Transfer
from parcelle.domain.billing.transfer_events import (
    TransferApproved,
    TransferConfirmed,
    TransferGivenUp,
    TransferLapsed,
    TransferPaidBack,
    TransferRecalled,
    TransferReceiptRejected,
    TransferShortfallAccepted,
    TransferSurplus,
    TransferTurnedDown,
)

GATEWAY = "bank_transfer"
# Why a receipt is no proof, and why a transfer is given up: each has words in both languages, `other` only a text.
REJECTIONS = ("unreadable", "no_proof", "other_payment", "other_amount", "not_executed", "other")
REFUSALS = ("not_received", "recalled", "not_accepted", "other")
RECALLS = ("recalled", "other")
# Whoever is told that a receipt was no good has at least so long to answer.
TIME_TO_ANSWER = timedelta(days=3)
# Banks announce a value date a few days ahead; more than that is a slip of the pen.
_DAYS_AHEAD = timedelta(days=5)
# More than that in the past is a year typed wrong.
_DAYS_BACK = timedelta(days=365)
# What the payment hears about at once.
_TOLD = frozenset(
    {
        transfer_states.CONFIRMED,
        transfer_states.PARKED,
        transfer_states.REFUSED,
        transfer_states.LAPSED,
        transfer_states.LATE,
        transfer_states.RECALLED,
    }
)


def version(transfer: Transfer) -> str:
    """How the transfer stood when somebody looked; a verb given an older one is refused."""
    return f"{transfer.state}-{transfer.received_minor}-{transfer.shortfall_minor}"


@transaction.atomic
def begin_review(transfer_id: UUID, *, now: datetime) -> None:
    """An operator has opened the receipt; nothing to do in any other state."""
    transfer = _lock(transfer_id)
    if transfer.state == transfer_states.UPLOADED:
        _become(transfer, transfer_states.REVIEW, now=now)


# --- money that arrived -------------------------------------------------------------------------------------


def confirm(
    transfer_id: UUID,
    *,
    amount: Money,
    value_date: date,
    bank_reference: str,
    actor: str,
    now: datetime,
    person: UUID | None = None,
    booking_date: date | None = None,
    account: str = "",
    seen: str = "",
) -> Confirmation:
    """Notes that this money is on the account. The same again is the same confirmation.

    `person` is the operator's user. `account` is the IBAN it arrived on, the one the customer was told by default.
    `seen` is the `version` the operator looked at. Raises TransferRefused.
    """
    try:
        with transaction.atomic():
            return _confirm(
                _lock(transfer_id),
                amount=amount,
                value_date=value_date,
                bank_reference=" ".join(bank_reference.split())[:140],
                booking_date=booking_date,
                account=account,
                seen=seen,
                person=person,
                actor=actor,
                now=now,
            )
    except IntegrityError as error:
        if "bank_reference_once" not in str(error):
            raise
        # Somebody was faster, with another transfer.
        raise TransferRefused("reference_used") from error


def _confirm(transfer: Transfer, *, seen: str, actor: str, now: datetime, **said: Any) -> Confirmation:
    said["account"] = said["account"] or str(transfer.told["iban"])
    amount: Money = said.pop("amount")
    earlier = Confirmation.objects.filter(account=said["account"], bank_reference=said["bank_reference"])
    for known in earlier.exclude(state=Confirmation.TURNED_DOWN):
        if known.transfer_id == transfer.pk and known.amount == amount:
            return known
        raise TransferRefused("reference_used")
    if seen and seen != version(transfer):
        raise TransferRefused("changed")
    _check_said(amount, said["bank_reference"], said["value_date"], now=now)
    before = transfer.state, transfer.received_minor
    row = Confirmation.objects.create(
        transfer=transfer,
        state=Confirmation.WAITING if needs_two(transfer, amount) else Confirmation.COUNTED,
        amount_minor=amount.minor,
        currency=amount.currency,
        actor=actor,
        created_at=now,
        **said,
    )
    surplus = _count(transfer, row) if row.state == Confirmation.COUNTED else None
    _become(transfer, _standing(transfer), now=now)
    events.record(
        TransferConfirmed(
            **_about(transfer),
            confirmation_id=row.pk,
            amount_minor=amount.minor,
            currency=amount.currency,
            value_date=row.value_date.isoformat(),
            bank_reference=row.bank_reference,
            before=before[0],
            after=transfer.state,
            received_before_minor=before[1],
            received_after_minor=transfer.received_minor,
        ),
        now=now,
        actor=actor,
    )
    _note_surplus(transfer, row, surplus, now=now, actor=actor)
    _tell_payment(transfer, now=now)
    return row


def _check_said(amount: Money, bank_reference: str, value_date: date, *, now: datetime) -> None:
    if not bank_reference:
        raise TransferRefused("no_reference")
    if amount.minor <= 0:
        raise TransferRefused("no_amount")
    if value_date > (now + _DAYS_AHEAD).date():
        raise TransferRefused("in_future")
    if value_date < (now - _DAYS_BACK).date():
        raise TransferRefused("long_ago")


def needs_two(transfer: Transfer, amount: Money) -> bool:
    """By what the order costs as well as by what came: parts of a large sum are no way around the rule."""
    gateway = opened()
    for sum_ in (transfer.amount, amount):
        limit = gateway.second_person_from(sum_.currency)
        if limit is not None and sum_ >= limit:
            return True
    return False


@transaction.atomic
def approve(confirmation_id: UUID, *, person: UUID, actor: str, now: datetime) -> Confirmation:
    """A second person has seen the money as well. Raises TransferRefused, also for the first person again."""
    transfer, row = _waiting(confirmation_id)
    if row.person == person:
        raise TransferRefused("same_person")
    before = transfer.state, transfer.received_minor
    _decide(row, Confirmation.COUNTED, second_actor=actor, second_person=person, decided_at=now)
    surplus = _count(transfer, row)
    _become(transfer, _standing(transfer), now=now)
    events.record(
        TransferApproved(
            **_about(transfer),
            confirmation_id=row.pk,
            before=before[0],
            after=transfer.state,
            received_before_minor=before[1],
            received_after_minor=transfer.received_minor,
        ),
        now=now,
        actor=actor,
    )
    _note_surplus(transfer, row, surplus, now=now, actor=actor)
    _tell_payment(transfer, now=now)
    return row


@transaction.atomic
def turn_down(confirmation_id: UUID, *, reason: str, actor: str, now: datetime) -> None:
    """The money is not there after all, or not as noted: it can be noted again. Raises TransferRefused."""
    transfer, row = _waiting(confirmation_id)
    before = transfer.state
    _decide(row, Confirmation.TURNED_DOWN, second_actor=actor, decided_at=now, remark=reason[:500])
    _become(transfer, _standing(transfer), now=now)
    events.record(
        TransferTurnedDown(
            **_about(transfer), confirmation_id=row.pk, reason=reason[:500], before=before, after=transfer.state
        ),
        now=now,
        actor=actor,
    )


def _waiting(confirmation_id: UUID) -> tuple[Transfer, Confirmation]:
    transfer = _lock(Confirmation.objects.values_list("transfer_id", flat=True).get(pk=confirmation_id))
    row = Confirmation.objects.get(pk=confirmation_id)
    if row.state != Confirmation.WAITING:
        raise TransferRefused("decided")
    return transfer, row


def _decide(row: Confirmation, state: str, **changes: Any) -> None:
    move(row, state, table={Confirmation.WAITING: frozenset({state})}, **changes)


def _count(transfer: Transfer, row: Confirmation) -> int:
    """Adds it to what was received, and returns what of it is too much."""
    counts = 0
    if row.currency == transfer.currency:
        if transfer.state in transfer_states.OPEN:
            counts = min(row.amount_minor, transfer.missing.minor)
        elif transfer.state in transfer_states.CLOSED and row.amount_minor >= transfer.amount_minor:
            # The whole sum, after nobody expected it: the payment itself came late.
            counts = transfer.amount_minor
    transfer.received_minor += counts
    row.surplus_minor = row.amount_minor - counts
    row.save(update_fields=["surplus_minor"])
    return row.surplus_minor


def _standing(transfer: Transfer) -> str:
    """The state that follows from what has been noted so far."""
    if transfer.state not in transfer_states.OPEN:
        whole = transfer.received_minor == transfer.amount_minor
        return transfer_states.LATE if transfer.state in transfer_states.CLOSED and whole else transfer.state
    noted = transfer.confirmations.all()
    if noted.filter(state=Confirmation.COUNTED).exclude(currency=transfer.currency).exists():
        return transfer_states.PARKED
    if not transfer.missing:
        return transfer_states.CONFIRMED
    if noted.filter(state=Confirmation.WAITING).exists():
        return transfer_states.SECOND
    if transfer.received_minor:
        return transfer_states.PARTIAL
    if transfer.receipts.filter(rejected_at=None).exists():
        return transfer_states.UPLOADED if transfer.state == transfer_states.UPLOADED else transfer_states.REVIEW
    return transfer_states.AWAITING


def _note_surplus(
    transfer: Transfer, row: Confirmation, surplus: int | None, *, now: datetime, actor: str, key: str = "surplus"
) -> None:
    # Of a parked one the payment itself says what came in.
    if not surplus or (transfer.state == transfer_states.PARKED and row.currency != transfer.currency):
        return
    amount, payment = Money(surplus, row.currency), transfer.payment
    ledger.transfer_surplus(
        payment,
        payment.order,
        amount=amount,
        key=f"transfer-{key}:{row.pk}",
        now=now,
        value_date=row.value_date,
    )
    events.record(
        TransferSurplus(**_about(transfer), confirmation_id=row.pk, amount_minor=surplus, currency=row.currency),
        now=now,
        actor=actor,
    )


@transaction.atomic
def accept_shortfall(transfer_id: UUID, *, seen: str = "", actor: str, now: datetime) -> None:
    """What is missing is taken for the banks' charges, within the tolerance. Raises TransferRefused."""
    transfer = _lock(transfer_id)
    if seen and seen != version(transfer):
        raise TransferRefused("changed")
    if transfer.state != transfer_states.PARTIAL:
        raise TransferRefused("closed")
    missing = transfer.missing
    if missing > opened().tolerance(transfer.currency):
        raise TransferRefused("too_much_missing")
    before = transfer.state
    transfer.shortfall_minor += missing.minor
    _become(transfer, _standing(transfer), now=now)
    events.record(
        TransferShortfallAccepted(
            **_about(transfer),
            amount_minor=missing.minor,
            currency=missing.currency,
            before=before,
            after=transfer.state,
        ),
        now=now,
        actor=actor,
    )
    _tell_payment(transfer, now=now)


# --- what is not to be ---------------------------------------------------------------------------------------


@transaction.atomic
def reject(transfer_id: UUID, *, reason: str, text: str = "", actor: str, now: datetime) -> None:
    """The receipts show no transfer of this order: the customer reads why and may send in another.

    `reason` is a code with words in both languages; `text` is what the operator adds. Raises TransferRefused.
    """
    transfer = _lock(transfer_id)
    before = transfer.state
    if before not in transfer_states.OPEN or not transfer.receipts.filter(rejected_at=None).update(rejected_at=now):
        raise TransferRefused("no_receipt")
    transfer.reason, transfer.reason_text = reason, text.strip()[:500]
    transfer.expires_at = max(transfer.expires_at, now + TIME_TO_ANSWER)
    _become(transfer, _standing(transfer), now=now)
    events.record(
        TransferReceiptRejected(**_about(transfer), reason=reason, before=before, after=transfer.state),
        now=now,
        actor=actor,
    )


@transaction.atomic
def refuse(transfer_id: UUID, *, reason: str, text: str = "", seen: str = "", actor: str, now: datetime) -> None:
    """Gives the transfer up for good: the payment is declined, and what came in part is the customer's credit.

    Raises TransferRefused while a second person is asked, and for what is decided.
    """
    transfer = _lock(transfer_id)
    if seen and seen != version(transfer):
        raise TransferRefused("changed")
    if transfer.state not in {*transfer_states.OPEN} - {transfer_states.SECOND}:
        raise TransferRefused("closed")
    before = transfer.state
    transfer.reason, transfer.reason_text = reason, text.strip()[:500]
    freed = _free(transfer)
    _become(transfer, transfer_states.REFUSED, now=now)
    events.record(TransferGivenUp(**_about(transfer), reason=reason, before=before), now=now, actor=actor)
    for row, amount in freed:
        _note_surplus(transfer, row, amount, now=now, actor=actor, key="freed")
    _tell_payment(transfer, now=now)


def _free(transfer: Transfer) -> list[tuple[Confirmation, int]]:
    """What counted for the payment no longer does: the confirmations, and how much of each."""
    freed = []
    for row in transfer.confirmations.filter(state=Confirmation.COUNTED):
        counted = row.amount_minor - row.surplus_minor
        row.surplus_minor = row.amount_minor
        row.save(update_fields=["surplus_minor"])
        freed.append((row, counted))
    transfer.received_minor = 0
    return freed


@transaction.atomic
def withdraw(transfer_id: UUID, *, actor: str, now: datetime) -> None:
    """The customer says that no money was sent and pays another way. Raises TransferRefused after a receipt."""
    transfer = _lock(transfer_id)
    if transfer.state != transfer_states.AWAITING:
        raise TransferRefused("closed")
    _lapse(transfer, "withdrawn", actor=actor, now=now)


def to_lapse(now: datetime) -> Iterator[UUID]:
    waiting = Transfer.objects.filter(state=transfer_states.AWAITING, expires_at__lte=now)
    yield from waiting.values_list("pk", flat=True)


@transaction.atomic
def lapse(transfer_id: UUID, *, now: datetime) -> bool:
    """Stops expecting a transfer of which nothing was heard in its time; false when something was."""
    transfer = _lock(transfer_id)
    if transfer.state != transfer_states.AWAITING or transfer.expires_at > now:
        return False
    _lapse(transfer, "over", actor="system", now=now)
    return True


def _lapse(transfer: Transfer, reason: str, *, actor: str, now: datetime) -> None:
    transfer.reason, transfer.reason_text = reason, ""
    _become(transfer, transfer_states.LAPSED, now=now)
    events.record(TransferLapsed(**_about(transfer), reason=reason), now=now, actor=actor)
    _tell_payment(transfer, now=now)


@transaction.atomic
def recall(transfer_id: UUID, *, reason: str, text: str = "", seen: str = "", actor: str, now: datetime) -> None:
    """The bank took back what had been confirmed: the payment is charged back, and the customer owes it again.

    What came beyond the sum asked for stays as it was noted. Raises TransferRefused for what was never confirmed, and
    for what was paid back.
    """
    transfer = _lock(transfer_id)
    if seen and seen != version(transfer):
        raise TransferRefused("changed")
    if transfer.state not in transfer_states.CAME or transfer.payment.state == payment_states.REFUNDED:
        raise TransferRefused("closed")
    before = transfer.state
    transfer.reason, transfer.reason_text = reason, text.strip()[:500]
    counted = transfer.confirmations.filter(state=Confirmation.COUNTED, surplus_minor__lt=F("amount_minor"))
    counted.update(state=Confirmation.RECALLED)
    _become(transfer, transfer_states.RECALLED, now=now)
    received = transfer.received
    events.record(
        TransferRecalled(
            **_about(transfer),
            reason=reason,
            before=before,
            amount_minor=received.minor,
            currency=received.currency,
        ),
        now=now,
        actor=actor,
    )
    _tell_payment(transfer, now=now)


# --- money that goes back ------------------------------------------------------------------------------------


@transaction.atomic
def pay_back(
    payment_id: UUID,
    *,
    amount: Money,
    iban: str,
    paid_on: date,
    bank_reference: str,
    reason: str,
    actor: str,
    now: datetime,
) -> Refund:
    """Notes what an operator paid back at the bank. Raises RefundRefused, and Unreadable for an IBAN that is none."""
    to = bank_accounts.iban(iban)
    refund = refunds.request(payment_id, amount=amount, reason=reason, actor=actor, now=now, by_hand=True)
    Payout.objects.create(refund=refund, paid_on=paid_on, bank_reference=bank_reference.strip(), to={"iban": to})
    transfer = Transfer.objects.get(payment_id=payment_id)
    events.record(
        TransferPaidBack(
            **_about(transfer),
            refund_id=refund.pk,
            paid_on=paid_on.isoformat(),
            bank_reference=bank_reference.strip(),
        ),
        now=now,
        actor=actor,
    )
    return refund


# --- questions -----------------------------------------------------------------------------------------------


def of_payment(payment: Payment) -> Transfer | None:
    """The transfer a payment waits for; None for another rail, and before the customer was told anything."""
    if payment.gateway != GATEWAY:
        return None
    return Transfer.objects.filter(payment_id=payment.pk).first()


def qr_code(transfer: Transfer) -> QRCode | None:
    """What a banking application reads, for what is still missing; None where there is no such code."""
    told = transfer.told
    account = Account(currency=transfer.currency, iban=told["iban"], bic=told.get("bic", ""))
    return epc.qr_code(account, holder=told["holder"], amount=transfer.missing, reference=transfer.reference)


def waiting() -> int:
    """How many transfers somebody has to look at."""
    return Transfer.objects.filter(state__in=transfer_states.TO_CONFIRM).count()


# --- what the verbs share ------------------------------------------------------------------------------------


def opened() -> BankTransferGateway:
    """The gateway with its rules. Raises GatewayUnusable when it was never set up."""
    gateway = gateways.open_gateway(GATEWAY)
    assert isinstance(gateway, BankTransferGateway)
    return gateway


def _lock(transfer_id: UUID) -> Transfer:
    return Transfer.objects.select_for_update(of=("self",)).select_related("payment__order").get(pk=transfer_id)


def _become(transfer: Transfer, to: str, *, now: datetime) -> None:
    """Stores how the transfer stands after its fields were changed."""
    changes: dict[str, Any] = {
        name: getattr(transfer, name)
        for name in ("received_minor", "shortfall_minor", "reason", "reason_text", "expires_at")
    }
    changes["waiting_since"] = (transfer.waiting_since or now) if to in transfer_states.TO_CONFIRM else None
    if to not in transfer_states.OPEN:
        changes["settled_at"] = transfer.settled_at or now
    if to == transfer.state:
        Transfer.objects.filter(pk=transfer.pk).update(**changes)
    else:
        move(transfer, to, table=transfer_states.TRANSITIONS, **changes)


def _about(transfer: Transfer) -> dict[str, Any]:
    order = transfer.payment.order
    return {"organization_id": order.organization_id, "order_id": order.pk, "payment_id": transfer.payment_id}


def _tell_payment(transfer: Transfer, *, now: datetime) -> None:
    # Nothing leaves the house here, so it happens in the same transaction: there is no moment in between.
    if transfer.state in _TOLD:
        payments.look(transfer.payment_id, now=now)
