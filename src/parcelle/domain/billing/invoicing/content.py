"""What an invoice or credit note says, as values: who, what, how much. Pure, and to the last unit.

It is stored as JSON: while the document is a draft, and unchangeable from its number on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from parcelle.core.money import Money
from parcelle.domain.billing.taxes import Decision

INVOICE, CREDIT_NOTE = "invoice", "credit_note"
# How the money came or comes: printed, and sent as a code of UNTDID 4461.
TRANSFER, CARD, ONLINE = "transfer", "card", "online"


@dataclass(frozen=True, kw_only=True)
class Seller:
    """The vendor as they were when the document got its number."""

    name: str = ""
    legal_form: str = ""
    share_capital: str = ""
    address: str = ""
    postcode: str = ""
    city: str = ""
    country: str = "FR"
    siren: str = ""
    register: str = ""
    vat_number: str = ""
    email: str = ""
    phone: str = ""
    exempt: bool = False
    vat_on_debits: bool = False
    iban: str = ""
    bic: str = ""


@dataclass(frozen=True, kw_only=True)
class Buyer:
    """The customer as they were then. `person` is who to ask for at a business."""

    name: str = ""
    business: bool = True
    person: str = ""
    address: str = ""
    postcode: str = ""
    city: str = ""
    country: str = "FR"
    siren: str = ""
    vat_number: str = ""
    email: str = ""
    purchase_order: str = ""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One thing that was sold. `price` is of one, without tax and above zero; `quantity` is negative for what is
    taken back, such as the unused part of a period. `discount` is on the whole line.
    """

    name: str
    price: Money
    tax: Decision
    quantity: int = 1
    description: str = ""
    discount: Money | None = None
    discount_reason: str = ""
    starts_on: date | None = None
    # The last day that is paid for.
    ends_on: date | None = None

    @property
    def gross(self) -> Money:
        """Before the discount, without tax."""
        return self.price * self.quantity

    @property
    def net(self) -> Money:
        return self.gross - self.discount if self.discount else self.gross


@dataclass(frozen=True, kw_only=True)
class Group:
    """What one rate of tax comes to."""

    decision: Decision
    base: Money
    tax: Money


@dataclass(frozen=True, kw_only=True)
class Euros:
    """What one euro was worth in the document's currency, as a decimal, who says so, and since when."""

    per_euro: str
    source: str
    dated: date


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The invoice that a credit note corrects."""

    number: str
    issued_on: date


@dataclass(frozen=True, kw_only=True)
class Content:
    kind: str
    language: str
    currency: str
    lines: tuple[Line, ...]
    # What was decided when it was agreed; the seller's and the customer's data are taken in with the number.
    country: str = "FR"
    seller: Seller = field(default_factory=Seller)
    buyer: Buyer = field(default_factory=Buyer)
    # Given only where tax is a part of what was given back, so that all credit notes together are the invoice.
    given_groups: tuple[Group, ...] = ()
    starts_on: date | None = None
    ends_on: date | None = None
    due_on: date | None = None
    # The day on which all of it had been paid; then nothing is due.
    paid_on: date | None = None
    means: str = ""
    reference: str = ""
    corrects: Reference | None = None
    reason: str = ""
    euros: Euros | None = None

    @property
    def net(self) -> Money:
        return Money.total((line.net for line in self.lines), self.currency)

    @property
    def groups(self) -> tuple[Group, ...]:
        return self.given_groups or tuple(by_rate(self.lines, self.currency))

    @property
    def tax(self) -> Money:
        return Money.total((group.tax for group in self.groups), self.currency)

    @property
    def total(self) -> Money:
        return self.net + self.tax

    @property
    def paid(self) -> Money:
        return self.total if self.paid_on else Money.zero(self.currency)

    @property
    def due(self) -> Money:
        return self.total - self.paid

    def tax_in_euros(self) -> Money | None:
        """Where the currency is not the euro: the tax converted by the rate that the document carries."""
        if self.euros is None:
            return None
        return to_euros(self.tax, Decimal(self.euros.per_euro))

    def stored(self) -> dict[str, Any]:
        return _plain(asdict(self))  # type: ignore[no-any-return]

    @classmethod
    def read(cls, stored: dict[str, Any]) -> Content:
        return cls(
            **{
                **stored,
                "lines": tuple(_line(line) for line in stored["lines"]),
                "given_groups": tuple(_group(group) for group in stored["given_groups"]),
                "seller": Seller(**stored["seller"]),
                "buyer": Buyer(**stored["buyer"]),
                "corrects": _reference(stored["corrects"]),
                "euros": _euros(stored["euros"]),
                **{name: _date(stored[name]) for name in ("starts_on", "ends_on", "due_on", "paid_on")},
            }
        )


def by_rate(lines: Iterable[Line], currency: str) -> list[Group]:
    """VAT per rate: the sum of its lines, times the rate, half a cent rounded up. In the order they appear."""
    bases: dict[Decision, Money] = {}
    for line in lines:
        bases[line.tax] = bases.get(line.tax, Money.zero(currency)) + line.net
    return [
        Group(decision=decision, base=base, tax=base.times(decision.rate / 100)) for decision, base in bases.items()
    ]


def with_discount(lines: Sequence[Line], discount: Money, reason: str) -> list[Line]:
    """A reduction of the whole, spread over its lines by what they cost; not a cent is lost."""
    weights = [max(line.gross.minor, 0) for line in lines]
    if not discount or not sum(weights):
        return list(lines)
    parts = discount.spread(weights)
    return [
        replace(line, discount=part, discount_reason=reason) if part else line
        for line, part in zip(lines, parts, strict=True)
    ]


def to_euros(amount: Money, per_euro: Decimal) -> Money:
    """Converted, half a cent rounded away from zero."""
    cents = Fraction(amount.amount) / Fraction(per_euro) * 100
    return Money(1, "EUR").times(cents) if cents >= 0 else -Money(1, "EUR").times(-cents)


def take_tax_out(gross: Money, rate: Decimal) -> tuple[Money, Money]:
    """An amount with tax, as net and tax. Where the rate gives it exactly, it is that; otherwise a cent beside it."""
    near = gross.times(Fraction(100) / (100 + Fraction(rate)))
    for minor in (near.minor, near.minor - 1, near.minor + 1):
        net = Money(minor, gross.currency)
        if net + net.times(rate / 100) == gross:
            return net, gross - net
    return near, gross - near


# --- from JSON and to it ------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def _date(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _money(stored: dict[str, Any] | None) -> Money | None:
    return Money(**stored) if stored else None


def _line(stored: dict[str, Any]) -> Line:
    return Line(
        **{
            **stored,
            "price": Money(**stored["price"]),
            "discount": _money(stored["discount"]),
            "tax": Decision.read(stored["tax"]),
            "starts_on": _date(stored["starts_on"]),
            "ends_on": _date(stored["ends_on"]),
        }
    )


def _group(stored: dict[str, Any]) -> Group:
    return Group(decision=Decision.read(stored["decision"]), base=Money(**stored["base"]), tax=Money(**stored["tax"]))


def _reference(stored: dict[str, Any] | None) -> Reference | None:
    return Reference(number=stored["number"], issued_on=date.fromisoformat(stored["issued_on"])) if stored else None


def _euros(stored: dict[str, Any] | None) -> Euros | None:
    return Euros(**{**stored, "dated": date.fromisoformat(stored["dated"])}) if stored else None
