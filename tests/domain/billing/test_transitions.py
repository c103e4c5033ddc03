"""P13: the tables of states are those of the catalogue of money properties, and every difference has its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from parcelle.core.states import Transitions
from parcelle.domain.billing import order_states, payment_states, refunds, states
from parcelle.domain.billing.models import Invoice

REASONS = Path(__file__).resolve().parents[3] / "docs/decisions/0029-states-beside-the-contract.md"
Steps = set[tuple[str, str]]


def steps(*rows: tuple[str, str]) -> Steps:
    """As the catalogue writes them: from each of these states to each of those."""
    return {(before, after) for befores, afters in rows for before in befores.split() for after in afters.split()}


# Copied from the catalogue, row by row.
PAYMENTS = steps(
    ("created", "submitted"),
    ("created", "abandoned"),
    ("submitted", "pending paid declined"),
    ("submitted pending", "unknown"),
    ("unknown", "pending paid declined expired"),
    ("unknown", "abandoned"),
    ("pending", "paid declined expired"),
    ("submitted pending unknown", "parked"),
    ("parked", "paid refunded"),
    ("declined expired abandoned", "paid_late"),
    ("paid paid_late", "partly_refunded refunded"),
    ("paid partly_refunded", "charged_back"),
    ("charged_back", "paid"),
)
ORDERS = steps(("open", "paid"), ("paid", "fulfilled"), ("open", "expired"))
REFUNDS = steps(
    ("requested", "submitted"),
    ("submitted", "pending unknown"),
    ("pending unknown", "done failed"),
    ("unknown", "pending"),
)
SUBSCRIPTIONS = steps(
    ("trialing", "active"), ("active", "past_due"), ("past_due", "suspended"), ("suspended", "ended"),
    ("past_due suspended", "active"),
)  # fmt: skip

BESIDE: dict[str, Steps] = {
    "payments": {("paid_late", "charged_back"), ("partly_refunded", "refunded")},
    "orders": set(),
    "refunds": {("requested", "done"), ("submitted", "done"), ("submitted", "failed"), ("done", "came_back")},
    "subscriptions": {
        ("trialing", "suspended"),
        ("active", "suspended"),
        ("trialing", "ended"),
        ("active", "ended"),
        ("past_due", "ended"),
    },
}
TABLES: dict[str, tuple[Steps, Transitions]] = {
    "payments": (PAYMENTS, payment_states.TRANSITIONS),
    "orders": (ORDERS, order_states.TRANSITIONS),
    "refunds": (REFUNDS, refunds.TRANSITIONS),
    "subscriptions": (SUBSCRIPTIONS, states.TRANSITIONS),
}


@pytest.mark.parametrize("name", TABLES)
def test_p13_the_tables_are_those_of_the_catalogue(name: str) -> None:
    written, table = TABLES[name]
    ours = {(before, after) for before, afters in table.items() for after in afters}
    assert ours == written | BESIDE[name]
    assert not written & BESIDE[name]


def test_p13_every_difference_has_its_reason() -> None:
    said = REASONS.read_text(encoding="utf-8")
    missing = [f"`{before} → {after}`" for differences in BESIDE.values() for before, after in differences]
    assert [step for step in missing if step not in said] == []


def test_p13_an_invoice_has_two_states_and_the_second_is_the_last() -> None:
    """The rest is its balance; that nothing leads back is held by the database (P17)."""
    assert [state for state, _words in Invoice.STATES] == ["draft", "finalised"]
