"""Bank transfers: the customer pays from their bank, an operator or a bank statement says that it arrived.

No service stands behind it. What `fetch` tells is the truth of our own books, `Transfer`, which only the verbs in
`transfers.py` change.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import ClassVar

from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from parcelle.core.money import Money
from parcelle.domain.billing import bank_accounts, references, transfer_states
from parcelle.domain.billing.bank_accounts import Account, Unreadable
from parcelle.domain.billing.gateways.base import (
    Abilities,
    Charge,
    ChargedBack,
    Declined,
    Event,
    Expired,
    Forged,
    GatewayError,
    Instructions,
    Outcome,
    Paid,
    RefundOutcome,
    RefundRequest,
    Setting,
)
from parcelle.domain.billing.models import Confirmation, Transfer
from parcelle.domain.billing.sentences import Sentence

DAYS = 14


class BankTransferGateway:
    name: ClassVar[str] = "bank_transfer"
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(name="holder"),
        Setting(name="iban"),
        Setting(name="bic", required=False),
        Setting(name="bank", required=False),
        Setting(name="currency", default="EUR"),
        # XAF CM21 1000 2000 3002 7797 6315 008 AFRICMCX; GBP GB33 BUKB 2020 1555 5555 55
        Setting(name="other_accounts", required=False),
        Setting(name="days", default=str(DAYS)),
        # From these amounts on a second person must agree: EUR 5000; XAF 3000000
        Setting(name="second_person_from", required=False),
        # So much may be missing and be accepted as the banks' charges: EUR 5; XAF 2000
        Setting(name="tolerance", required=False),
        # Whether a statement line with our reference and the exact amount confirms by itself.
        Setting(name="automatic", kind="choice", choices=("no", "yes"), default="no"),
    )

    def __init__(self, *, values: Mapping[str, str], production: bool) -> None:
        self.values = values
        self.production = production
        self.holder = values.get("holder", "").strip()
        try:
            self.accounts = bank_accounts.accounts(values)
        except Unreadable:
            # `problems` says why; until then nothing is accepted.
            self.accounts = {}
        self.abilities = Abilities(
            currencies=frozenset(self.accounts),
            # Our own books are asked: every operator's verb looks at once, this is for what a crash left behind.
            looks=(600,),
            gives_up_after=10 * 365 * 24 * 3600,
        )

    @classmethod
    def open(cls, values: Mapping[str, str], production: bool) -> BankTransferGateway:
        return cls(values=values, production=production)

    def problems(self) -> list[str]:
        found: list[str] = []
        if not 0 < len(self.holder) <= 70:
            found.append(
                Sentence(_("The account holder is missing, or longer than the 70 characters that banks transmit."))
            )
        for check in (self._check_accounts, self._check_rules):
            try:
                check()
            except Unreadable as problem:
                found.append(problem.sentence)
        return found

    def _check_accounts(self) -> None:
        for account in bank_accounts.accounts(self.values).values():
            if not account.bic:
                raise Unreadable(
                    Sentence(
                        _("The BIC of the %(currency)s account cannot be told from its IBAN: enter it."),
                        currency=account.currency,
                    )
                )

    def _check_rules(self) -> None:
        for name in ("second_person_from", "tolerance"):
            bank_accounts.amounts(self.values.get(name, ""))
        if not 1 <= self.days <= 90:
            raise Unreadable(Sentence(_("A transfer is expected for 1 to 90 days.")))

    @property
    def days(self) -> int:
        """How long a transfer is expected; 0 for what is no number."""
        text = self.values.get("days", "").strip() or str(DAYS)
        return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0

    @property
    def automatic(self) -> bool:
        return self.values.get("automatic") == "yes"

    def second_person_from(self, currency: str) -> Money | None:
        """From which amount on one person is not enough; None for never. Raises Unreadable."""
        return bank_accounts.amounts(self.values.get("second_person_from", "")).get(currency)

    def tolerance(self, currency: str) -> Money:
        """Raises Unreadable."""
        return bank_accounts.amounts(self.values.get("tolerance", "")).get(currency, Money.zero(currency))

    def accepts(self, amount: Money, country: str) -> bool:
        return amount.minor > 0 and amount.currency in self.accounts and bool(self.holder)

    def start(self, charge: Charge) -> Outcome:
        account = self.accounts.get(charge.amount.currency)
        if account is None:
            raise GatewayError(f"there is no bank account for {charge.amount.currency}", unknown=False)
        now = timezone.now()
        reference = references.make(charge.number)
        transfer, _new = Transfer.objects.get_or_create(
            key=charge.key,
            defaults={
                "payment_id": charge.payment_id,
                "reference": reference,
                "amount_minor": charge.amount.minor,
                "currency": charge.amount.currency,
                "told": self._told(account, charge.amount, reference),
                "created_at": now,
                "expires_at": now + timedelta(days=self.days or DAYS),
            },
        )
        return _instructions(transfer)

    def _told(self, account: Account, amount: Money, reference: str) -> dict[str, str]:
        lines = {
            "holder": self.holder,
            "iban": account.iban,
            "bic": account.bic,
            "bank": account.bank,
            "amount": str(amount),
            "reference": reference,
        }
        return {code: text for code, text in lines.items() if text}

    def fetch(self, charge: Charge) -> Outcome:
        transfer = Transfer.objects.filter(key=charge.key).first()
        if transfer is None:
            # The instructions were never written down: nobody can have followed them.
            return self.start(charge)
        if transfer.state in transfer_states.CAME:
            fee = Money(transfer.shortfall_minor, transfer.currency)
            return Paid(received=transfer.amount, fee=fee, value_date=_value_date(transfer))
        if transfer.state == transfer_states.RECALLED:
            return ChargedBack(amount=transfer.received, dispute=transfer.reference, code="reversal")
        if transfer.state == transfer_states.PARKED:
            foreign = transfer.confirmations.exclude(currency=transfer.currency).latest("created_at")
            return Paid(received=foreign.amount, value_date=foreign.value_date)
        if transfer.state == transfer_states.REFUSED:
            return Declined(code="declined", remark=transfer.reason_text or transfer.reason)
        if transfer.state == transfer_states.LAPSED:
            return Expired()
        return _instructions(transfer)

    def refund(self, charge: Charge, request: RefundRequest) -> RefundOutcome:
        return RefundOutcome(state="failed", remark="a transfer is paid back by hand, at the bank")

    def fetch_refund(self, charge: Charge, request: RefundRequest) -> RefundOutcome:
        return self.refund(charge, request)

    def parse_webhook(self, headers: Mapping[str, str], body: bytes) -> Event:
        raise Forged("nobody sends messages about bank transfers")


def _value_date(transfer: Transfer) -> date | None:
    """The day on which the last part of it counted."""
    counted = transfer.confirmations.filter(state=Confirmation.COUNTED)
    return counted.aggregate(last=Max("value_date"))["last"]  # type: ignore[no-any-return]


def _instructions(transfer: Transfer) -> Instructions:
    return Instructions(lines=transfer.told, memo=transfer.told, provider_id=transfer.reference)
