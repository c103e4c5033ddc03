"""The contract of a gateway: values in, values out. A gateway sees neither our tables nor the visitor's request.

A gateway is opened from the settings an operator gave it. All of them are held to the same tests in
`tests/contracts/test_gateways.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import ClassVar, Protocol, runtime_checkable
from uuid import UUID

from parcelle.core.money import Money


@dataclass(frozen=True, kw_only=True)
class Payer:
    """Who pays; `country` is ISO 3166 alpha-2, `phone` E.164 or empty."""

    name: str
    email: str
    phone: str = ""
    country: str = ""
    language: str = "fr"


@dataclass(frozen=True, kw_only=True)
class Charge:
    """One attempt, as it was stored before the call.

    `key` is the idempotency key: the same for every repetition of this attempt. `details` are what the method
    asked the customer for, by name. `provider_id` and `memo` are what an earlier outcome told us to remember.
    """

    payment_id: UUID
    number: str
    order_number: str
    key: UUID
    amount: Money
    description: str
    payer: Payer
    return_url: str
    cancel_url: str
    webhook_url: str
    details: Mapping[str, str] = field(default_factory=dict, repr=False)
    provider_id: str = ""
    memo: Mapping[str, str] = field(default_factory=dict, repr=False)
    # Settled on our side: the service may be asked about it, but nothing of it is begun or finished any more.
    closed: bool = False
    # The customer agrees to have later periods taken the same way.
    keep: bool = False
    # What they agreed to before, as `Kept.reference` had it: the amount is taken without them.
    saved: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A way to pay that may be used again without the customer; `label` is how its owner knows it."""

    reference: Mapping[str, str] = field(repr=False)
    label: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a payment service said. `provider_id` and `memo` are remembered and given back with the charge."""

    provider_id: str = ""
    memo: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class Redirect(Outcome):
    """The customer goes on at the payment service; nothing is paid yet."""

    url: str


@dataclass(frozen=True, kw_only=True)
class Instructions(Outcome):
    """The customer is told what to do: label code -> text, such as IBAN and reference."""

    lines: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Pending(Outcome):
    """The service waits for the customer, or for a bank. `code` names the sentence that says for what.

    `remark` is for the operator, where the service waits for them.
    """

    code: str = "waiting"
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class DisputeFee:
    """What a service keeps for a dispute by now, whoever wins it; `dispute` is the service's name of the case."""

    dispute: str
    amount: Money


@dataclass(frozen=True, kw_only=True)
class Paid(Outcome):
    """The money is ours. `received` is what the service says came in, `fee` what it keeps of it.

    `doubt` is why a human must look all the same, such as "other_reference"; empty when nothing is odd.

    `returned` is what has been given back of it in all, by us or on the service's own pages; None where that is not
    told. `disputed`: the customer contests it and nothing is decided yet. `won`: a dispute was decided for us, so
    money that had been taken back is ours again. `value_date`: the day the money counts from, where that is another
    than the day on which we hear of it.
    """

    received: Money
    fee: Money | None = None
    doubt: str = ""
    returned: Money | None = None
    disputed: bool = False
    won: bool = False
    value_date: date | None = None
    # Where the customer agreed to it, and the service did.
    kept: Kept | None = None
    # Where one is contested, or was, and the service tells what that costs.
    dispute_fee: DisputeFee | None = None


@dataclass(frozen=True, kw_only=True)
class ChargedBack(Outcome):
    """The bank or the service took `amount` back against our will; `dispute` is the service's name of the case.

    `received` is what had come in; None where that is no more than what was taken back.
    """

    amount: Money
    dispute: str
    received: Money | None = None
    # One of "dispute" and "reversal".
    code: str = "dispute"
    dispute_fee: DisputeFee | None = None


@dataclass(frozen=True, kw_only=True)
class Declined(Outcome):
    """Not paid, and it will not be. `code` is one of `DECLINE_CODES`; `remark` is for the operator alone."""

    code: str
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class Expired(Outcome):
    """The customer let it lapse."""


# Each has words in both languages: why it was declined, and what the customer can do.
DECLINE_CODES = frozenset(
    {
        "declined",  # the bank or service said no, without a reason
        "refused_by_payer",  # cancelled, not approved, wrong code
        "rejected_on_phone",
        "not_approved_in_time",
        "not_enough_funds",
        "limit_reached",
        "probably_not_enough_funds",  # the service failed in a way that mostly means so
        "no_account",  # the number or account cannot pay
        "no_wallet",  # no usable wallet behind this telephone number
        "wrong_number",  # not a number of the country whose wallets can pay
        "wrong_operator",  # another operator's number
        "seller_setup",  # our own account is wrongly set up: the operator must look
        "service_down",
        "blocked",  # compliance, risk
    }
)


class GatewayError(Exception):
    """A call to a payment service did not tell an outcome.

    `unknown`: the service may have done what was asked, so it is asked what it knows before anything else.
    `detail` is for the operator and carries no secret. `memo` is remembered as an outcome's is, while the attempt
    is not settled.
    """

    def __init__(self, detail: str, *, unknown: bool, memo: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.unknown = unknown
        self.memo = memo or {}


class Forged(Exception):
    """A message did not come from the payment service: nothing of it is believed."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """What a message is about. `subject` is our payment's id or the service's, whichever the message carries."""

    event_id: str
    kind: str
    subject: str = ""


@dataclass(frozen=True, kw_only=True)
class RefundRequest:
    """Part of a paid charge to give back; `key` is the idempotency key of the refund."""

    key: UUID
    amount: Money
    reason: str
    provider_id: str = ""


@dataclass(frozen=True, kw_only=True)
class RefundOutcome:
    """`state` is one of "done", "pending", "failed"; `remark` says why it failed, for the operator."""

    state: str
    provider_id: str = ""
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A value an operator gives: `kind` is "text", "secret", "choice" or "url"."""

    name: str
    kind: str = "text"
    required: bool = True
    choices: tuple[str, ...] = ()
    default: str = ""


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What a gateway can do. `currencies` and `countries` are None where it makes no difference."""

    currencies: frozenset[str] | None = None
    countries: frozenset[str] | None = None
    # Names of what the customer is asked for before the attempt.
    asks: tuple[str, ...] = ()
    refunds: bool = False
    # The customer approves every payment; nothing can be taken later without them.
    prepaid: bool = True
    # The service may have to be asked whether a message is its own, or for what proves it.
    asks_about_messages: bool = False
    # The customer may agree to have later periods taken the same way: see `Charge.keep` and `Charge.saved`.
    saves: bool = False
    # Seconds from the first look on; the last one repeats until `gives_up_after`.
    looks: tuple[int, ...] = (5, 10, 20, 40, 60, 120, 300, 600)
    gives_up_after: int = 6 * 3600


class Gateway(Protocol):
    """A way to take money. Raises only GatewayError and, from `parse_webhook`, Forged."""

    name: ClassVar[str]
    settings: ClassVar[tuple[Setting, ...]]

    @property
    def abilities(self) -> Abilities: ...

    def problems(self) -> list[str]:
        """What is wrong with the settings, one sentence each; asks the service where that is cheap."""

    def accepts(self, amount: Money, country: str) -> bool:
        """Whether this amount can be taken from a customer of this country."""

    def start(self, charge: Charge) -> Outcome:
        """Begins the attempt; with the same `key` again it is the same attempt."""

    def fetch(self, charge: Charge) -> Outcome:
        """The service's truth about an attempt that was begun, and what is left to do to take the money."""

    def refund(self, charge: Charge, request: RefundRequest) -> RefundOutcome:
        """Gives money back; with the same `key` again it is the same refund."""

    def fetch_refund(self, charge: Charge, request: RefundRequest) -> RefundOutcome: ...

    def parse_webhook(self, headers: Mapping[str, str], body: bytes) -> Event:
        """What a message is about. Header names are lower case. Raises Forged.

        Under ":path" is what followed `/webhooks/<gateway>/` in the address, for services that sign nothing.
        """


@runtime_checkable
class Cancels(Protocol):
    """A gateway that can make sure that an attempt will not be paid any more, so that another one may begin."""

    def cancel(self, charge: Charge) -> Outcome:
        """Expired once nothing can be paid on it; otherwise the truth, Paid among it. Raises GatewayError."""


@runtime_checkable
class Forgets(Protocol):
    """A gateway whose service keeps what was saved there until it is told otherwise."""

    def forget(self, reference: Mapping[str, str]) -> None:
        """What is not known any more is fine. Raises GatewayError."""


@runtime_checkable
class Traces(Protocol):
    """A gateway whose messages may call a payment by a name that only the service can resolve."""

    def trace(self, subject: str) -> str:
        """Our payment's id, or the service's own; empty for what is none of ours. Raises GatewayError."""
