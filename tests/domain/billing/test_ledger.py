"""P1, P5, P6 for the books: they balance, they stay, and what they say is what happened."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parcelle.config import embedded
from parcelle.core.money import Money
from parcelle.domain.billing import gateways, ledger, orders, payments, refunds, taxes
from parcelle.domain.billing.gateways.base import Paid
from parcelle.domain.billing.ledger import accounts, audit, queries
from parcelle.domain.billing.models import LedgerEntry, LedgerTransaction, Payment
from parcelle.domain.billing.subscriptions import activate
from parcelle.domain.tenancy.models import Organization
from tests import cluster
from tests.domain.billing.selling import LATER, attempt, click, look, open_shop, order
from tests.people import NOW
from tests.together import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]
TODAY = NOW.date()


def euros(minor: int) -> Money:
    return Money(minor, "EUR")


def customer(slug: str = "diop") -> Organization:
    return Organization.objects.create(name=slug.title(), slug=slug, created_at=NOW)


def twenty_percent(net: int, currency: str = "EUR") -> ledger.Taxed:
    base = Money(net, currency)
    return ledger.Taxed(category=taxes.STANDARD, rate=Decimal(20), net=base, tax=base.times(Decimal("0.2")))


def invoice(organization: Organization, net: int = 4900, number: str = "FA-2026-000001") -> uuid.UUID:
    invoice_id = uuid.uuid4()
    ledger.post_invoice(
        invoice_id=invoice_id,
        number=number,
        organization_id=organization.pk,
        issued_on=TODAY,
        parts=[twenty_percent(net)],
        now=NOW,
    )
    return invoice_id


def credit_note(organization: Organization, invoice_id: uuid.UUID, net: int, number: str = "AV-2026-000001") -> None:
    ledger.post_credit_note(
        credit_note_id=uuid.uuid4(),
        number=number,
        invoice_id=invoice_id,
        organization_id=organization.pk,
        issued_on=TODAY,
        parts=[twenty_percent(net)],
        now=NOW,
    )


def paid_order(organization: Organization | None = None) -> Payment:
    placed = order(open_shop())
    if organization is not None:
        placed.organization = organization
        placed.save(update_fields=["organization"])
    payment = attempt(placed)
    click(payment, "approved")
    return look(payment)


def sums() -> dict[str, int]:
    """What is on each account, all in euros."""
    return {row.account.code: row.balance.minor for row in queries.trial_balance() if row.balance}


# --- what is booked -----------------------------------------------------------------------------------------


def test_a_payment_before_there_is_a_customer_is_their_money() -> None:
    payment = paid_order()
    assert sums() == {"517900": 5880, accounts.CUSTOMERS: -5880}
    entry = LedgerEntry.objects.get(account=accounts.CUSTOMERS)
    assert (entry.order_id, entry.organization_id) == (payment.order_id, None)


def test_it_is_the_organizations_once_there_is_one() -> None:
    payment, organization = paid_order(), customer()
    placed = payment.order
    subscription = activate(organization=organization, plan=placed.plan, price=placed.price, now=NOW)
    orders.fulfil(placed, organization=organization, subscription=subscription, instance_id=uuid.uuid4(), now=NOW)
    assert queries.balances(organization.pk) == {"EUR": euros(-5880)}
    invoice(organization)
    assert queries.balances(organization.pk) == {"EUR": euros(0)}


def test_an_invoice_is_owed_by_rate_and_account() -> None:
    organization = customer()
    ledger.post_invoice(
        invoice_id=uuid.uuid4(),
        number="FA-2026-000001",
        organization_id=organization.pk,
        issued_on=TODAY,
        parts=[
            twenty_percent(1000),
            ledger.Taxed(category=taxes.STANDARD, rate=Decimal("5.5"), net=euros(1000), tax=euros(55)),
            ledger.Taxed(category=taxes.REVERSE_CHARGE, rate=Decimal(0), net=euros(500), tax=euros(0)),
        ],
        now=NOW,
    )
    assert sums() == {
        accounts.CUSTOMERS: 2755,
        "706100": -2000,
        "706200": -500,
        "44571200": -200,
        "44571055": -55,
    }
    assert "5.5" in str(accounts.account("44571055").name)


def test_the_fee_is_what_the_service_keeps() -> None:
    payment = attempt(order(open_shop()))
    payments.record(payment.pk, Paid(received=payment.amount, fee=euros(117)), now=LATER)
    assert sums() == {"517900": 5880 - 117, accounts.FEES: 117, accounts.CUSTOMERS: -5880}


def test_what_comes_twice_is_credit_and_goes_back_out_of_it() -> None:
    organization = customer()
    first = paid_order(organization)
    placed = first.order
    placed.refresh_from_db()
    # An attempt that was given up, and then succeeded after all.
    second = Payment.objects.create(
        number="PAR-2",
        order=placed,
        gateway="fake",
        state="declined",
        amount_minor=5880,
        currency="EUR",
        created_at=NOW,
    )
    payments.record(second.pk, Paid(received=euros(5880)), now=LATER)
    assert queries.credit(organization.pk) == {"EUR": euros(5880)}
    # Half of it is used meanwhile; the refund takes what is left, and the rest is owed again.
    ledger.apply_credit(organization_id=organization.pk, amount=euros(3000), key="use:1", reference="FA-1", now=LATER)
    refunds.request(second.pk, amount=euros(5880), reason="twice", actor="operator", now=LATER, by_hand=True)
    assert queries.credit(organization.pk) == {}
    assert sums()[accounts.BANK] == -5880
    assert queries.balances(organization.pk) == {"EUR": euros(-5880)}


def test_what_is_parked_is_nobodys_until_a_human_looked() -> None:
    organization = customer()
    placed = order(open_shop())
    placed.organization = organization
    placed.save(update_fields=["organization"])
    payment = attempt(placed)
    payments.record(payment.pk, Paid(received=euros(5879)), now=LATER)
    assert sums() == {"517900": 5879, accounts.SUSPENSE: -5879}
    assert queries.balances(organization.pk) == {}
    ledger.parked_accepted(payment, placed, received=euros(5879), surplus=True, now=LATER)
    assert sums() == {"517900": 5879, accounts.CREDIT: -5879}


def test_a_chargeback_is_owed_again_until_it_is_won() -> None:
    organization = customer()
    payment = paid_order(organization)
    for _again in range(2):
        ledger.charged_back(payment, payment.order, amount=payment.amount, dispute="dp_1", now=LATER)
    assert queries.balances(organization.pk) == {"EUR": euros(0)}
    ledger.chargeback_won(payment, payment.order, amount=payment.amount, dispute="dp_1", now=LATER)
    assert queries.balances(organization.pk) == {"EUR": euros(-5880)}


def test_every_way_to_pay_has_an_account_of_its_own() -> None:
    assert set(gateways.GATEWAYS) <= set(accounts.RAILS)


def test_a_statement_runs_from_line_to_line() -> None:
    organization = customer()
    invoice(organization)
    paid_order(organization)
    ledger.keep_as_credit(organization_id=organization.pk, amount=euros(0), key="none", reference="-", now=NOW)
    lines = queries.statement(organization.pk, "EUR")
    assert [(line.kind, line.amount.minor, line.balance.minor) for line in lines] == [
        ("invoice", 5880, 5880),
        ("payment", -5880, 0),
    ]


# --- once ---------------------------------------------------------------------------------------------------


def test_booking_twice_is_booking_once() -> None:
    organization, invoice_id = customer(), uuid.uuid4()
    book = partial(
        ledger.post_invoice,
        invoice_id=invoice_id,
        number="FA-2026-000001",
        organization_id=organization.pk,
        issued_on=TODAY,
        now=NOW,
    )
    book(parts=[twenty_percent(4900)])
    book(parts=[twenty_percent(4900)])
    assert LedgerTransaction.objects.count() == 1
    with pytest.raises(ledger.BookedOtherwise):
        book(parts=[twenty_percent(4901)])


def test_p06_credit_notes_never_exceed_their_invoice() -> None:
    organization = customer()
    invoice_id = invoice(organization, 1000)
    credit_note(organization, invoice_id, 600)
    with pytest.raises(ledger.TooMuchCredited):
        credit_note(organization, invoice_id, 401, "AV-2026-000002")
    credit_note(organization, invoice_id, 400, "AV-2026-000002")
    assert queries.balances(organization.pk) == {"EUR": euros(0)}


@pytest.mark.django_db(transaction=True)
def test_p06_credit_notes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    organization = customer()
    invoice_id = invoice(organization, 1000)
    ways = [partial(credit_note, organization, invoice_id, 600, f"AV-{number}") for number in range(4)]
    outcome = at_once(ways)
    assert len(outcome.results) == 1
    assert {type(error) for error in outcome.errors} == {ledger.TooMuchCredited}


@pytest.mark.django_db(transaction=True)
def test_credit_is_used_once_also_at_once() -> None:
    organization = customer()
    ledger.keep_as_credit(organization_id=organization.pk, amount=euros(1000), key="c", reference="AV-1", now=NOW)
    outcome = at_once(
        [
            partial(
                ledger.apply_credit,
                organization_id=organization.pk,
                amount=euros(700),
                key=f"use:{number}",
                reference="FA-1",
                now=NOW,
            )
            for number in range(4)
        ]
    )
    assert len(outcome.results) == 1
    assert {type(error) for error in outcome.errors} == {ledger.NotEnoughCredit}


# --- what the database refuses ------------------------------------------------------------------------------

TRANSACTION = """
    INSERT INTO billing_ledgertransaction (key, kind, journal, date, at, reference, size)
    VALUES ('attack', 'fee', 'BQ', '2026-03-02', now(), 'x', 2) RETURNING id
"""
ENTRY = "INSERT INTO billing_ledgerentry (transaction_id, account, amount_minor, currency) VALUES (%s, %s, %s, %s)"


def attack(entries: list[tuple[str, int, str]]) -> None:
    """As the application's role, past all code of ours."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(TRANSACTION)
        (booked,) = cursor.fetchone() or (None,)
        for entry in entries:
            cursor.execute(ENTRY, [booked, *entry])
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")


def test_p01_what_balances_is_taken() -> None:
    attack([("627000", 5, "EUR"), ("512000", -5, "EUR")])


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [("627000", 5, "EUR")],
        [("627000", 5, "EUR"), ("512000", -4, "EUR")],
        [("627000", 5, "EUR"), ("512000", -5, "XAF")],
        [("627000", 5, "EUR"), ("512000", -5, "EUR"), ("627000", 1, "EUR"), ("512000", -1, "EUR")],
        [("627000", 0, "EUR"), ("512000", 0, "EUR")],
        [("411000", 5, "EUR"), ("512000", -5, "EUR")],
    ],
    ids=["empty", "one-sided", "a-cent-off", "two-currencies", "more-than-it-said", "nothing-moves", "whose"],
)
def test_p01_what_does_not_balance_is_refused(entries: list[tuple[str, int, str]]) -> None:
    with pytest.raises((IntegrityError, DatabaseError)):
        attack(entries)


def test_p01_nothing_is_added_to_what_was_booked() -> None:
    attack([("627000", 5, "EUR"), ("512000", -5, "EUR")])
    booked = LedgerTransaction.objects.get()
    with transaction.atomic(), connection.cursor() as cursor:
        for account, amount in (("627000", 7), ("512000", -7)):
            cursor.execute(ENTRY, [booked.pk, account, amount, "EUR"])
        with pytest.raises(DatabaseError, match="other entries"):
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        transaction.set_rollback(True)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_ledgerentry SET amount_minor = amount_minor + 1",
        "UPDATE billing_ledgertransaction SET date = '2020-01-01'",
        "DELETE FROM billing_ledgerentry",
        "DELETE FROM billing_ledgertransaction",
    ],
)
def test_what_was_booked_stays(statement: str) -> None:
    attack([("627000", 5, "EUR"), ("512000", -5, "EUR")])
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize("table", ["billing_ledgerentry", "billing_ledgertransaction"])
def test_the_books_are_not_emptied(table: str) -> None:
    """The tests may empty tables, for which they switch a trigger off: here it is on, as everywhere else."""
    with psycopg.connect(cluster.superuser_url(f"parcelle_{cluster.worker()}")) as owner:
        owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER {table}_whole")
        owner.execute(f"SET LOCAL ROLE {embedded.APP}")
        with pytest.raises(psycopg.errors.RestrictViolation):
            owner.execute(f"TRUNCATE {table} CASCADE")
        owner.rollback()


def test_nobody_may_switch_the_triggers_off() -> None:
    with pytest.raises(DatabaseError, match="owner"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_ledgerentry DISABLE TRIGGER ALL")


# --- anything in any order ----------------------------------------------------------------------------------

amounts = st.integers(1, 100_000)
steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["invoice", "credit_note", "pay", "surplus", "refund", "apply", "chargeback", "won", "fee", "again", "out"]
        ),
        amounts,
        st.sampled_from(["EUR", "XAF"]),
        st.integers(0, 5),
    ),
    max_size=12,
)


class World:
    """What should be so, counted apart from the books: a customer's balance and credit by currency."""

    def __init__(self, organization: Organization) -> None:
        self.organization = organization
        self.owed: dict[str, int] = {"EUR": 0, "XAF": 0}
        self.credit: dict[str, int] = {"EUR": 0, "XAF": 0}
        self.invoices: list[tuple[uuid.UUID, str, int]] = []
        self.done: list[Callable[[], Any]] = []
        self.count = 0

    def step(self, what: str, minor: int, currency: str, pick: int) -> None:
        self.count += 1
        money, key = Money(minor, currency), f"step:{self.count}"
        if what == "again":
            if self.done:
                self.done[pick % len(self.done)]()
            return
        act = getattr(self, what)(money, key, pick)
        if act is not None:
            act()
            self.done.append(act)

    def invoice(self, money: Money, key: str, pick: int) -> Callable[[], Any]:
        invoice_id, part = uuid.uuid4(), twenty_percent(money.minor, money.currency)
        self.owed[money.currency] += (part.net + part.tax).minor
        self.invoices.append((invoice_id, money.currency, money.minor))
        return partial(
            ledger.post_invoice,
            invoice_id=invoice_id,
            number=key,
            organization_id=self.organization.pk,
            issued_on=TODAY,
            parts=[part],
            now=NOW,
        )

    def credit_note(self, money: Money, key: str, pick: int) -> Callable[[], Any] | None:
        if not self.invoices:
            return None
        invoice_id, currency, net = self.invoices.pop(pick % len(self.invoices))
        part = twenty_percent(net, currency)
        self.owed[currency] -= (part.net + part.tax).minor
        return partial(
            ledger.post_credit_note,
            credit_note_id=uuid.uuid4(),
            number=key,
            invoice_id=invoice_id,
            organization_id=self.organization.pk,
            issued_on=TODAY,
            parts=[part],
            now=NOW,
        )

    def _two(self, money: Money, key: str, debit: str, credit: str) -> Callable[[], Any]:
        party = ledger.Party(organization_id=self.organization.pk)
        lines = [
            ledger.Line(account=at, amount=amount, party=party if at in accounts.OF_CUSTOMERS else None)
            for at, amount in ((debit, money), (credit, -money))
        ]
        return partial(ledger.post, key=key, kind="payment", journal="BQ", reference=key, lines=lines, now=NOW)

    def pay(self, money: Money, key: str, pick: int) -> Callable[[], Any]:
        self.owed[money.currency] -= money.minor
        return self._two(money, key, "517900", accounts.CUSTOMERS)

    def surplus(self, money: Money, key: str, pick: int) -> Callable[[], Any]:
        self.owed[money.currency] -= money.minor
        self.credit[money.currency] += money.minor
        return self._two(money, key, "517900", accounts.CREDIT)

    def refund(self, money: Money, key: str, pick: int) -> Callable[[], Any]:
        self.owed[money.currency] += money.minor
        return self._two(money, key, accounts.CUSTOMERS, "517900")

    def chargeback(self, money: Money, key: str, pick: int) -> Callable[[], Any]:
        return self.refund(money, key, pick)

    def won(self, money: Money, key: str, pick: int) -> Callable[[], Any]:
        return self.pay(money, key, pick)

    def fee(self, money: Money, key: str, pick: int) -> Callable[[], Any]:
        return self._two(money, key, accounts.FEES, "517900")

    def _of_credit(self, use: Callable[..., None], money: Money, key: str) -> Callable[[], Any] | None:
        named = {"organization_id": self.organization.pk, "amount": money, "key": key, "reference": key, "now": NOW}
        if money.minor > self.credit[money.currency]:
            with pytest.raises(ledger.NotEnoughCredit):
                use(**named)
            return None
        self.credit[money.currency] -= money.minor
        return partial(use, **named)

    def apply(self, money: Money, key: str, pick: int) -> Callable[[], Any] | None:
        return self._of_credit(ledger.apply_credit, money, key)

    def out(self, money: Money, key: str, pick: int) -> Callable[[], Any] | None:
        act = self._of_credit(ledger.pay_out_credit, money, key)
        if act is not None:
            self.owed[money.currency] += money.minor
        return act

    def check(self) -> None:
        found = queries.balances(self.organization.pk)
        assert {c: found[c].minor if c in found else 0 for c in self.owed} == self.owed
        credit = queries.credit(self.organization.pk)
        assert {c: credit[c].minor if c in credit else 0 for c in self.credit} == self.credit
        for currency in self.owed:
            rows = [row for row in queries.trial_balance() if row.debit.currency == currency]
            assert sum(row.balance.minor for row in rows) == 0
            lines = queries.statement(self.organization.pk, currency)
            assert (lines[-1].balance.minor if lines else 0) == self.owed[currency]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=steps)
def test_p01_p05_whatever_happens_in_whatever_order(db: None, plan: list[tuple[str, int, str, int]]) -> None:
    with transaction.atomic():
        world = World(customer(f"c-{uuid.uuid4().hex[:12]}"))
        for step in plan:
            world.step(*step)
            world.check()
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        transaction.set_rollback(True)


# --- from nothing -------------------------------------------------------------------------------------------


def test_p05_the_books_are_what_the_documents_say() -> None:
    payment = paid_order(customer())
    parked = attempt(order(payment.order.price))
    payments.record(parked.pk, Paid(received=euros(1)), now=LATER)
    refunds.request(payment.pk, amount=euros(80), reason="-", actor="operator", now=LATER, by_hand=True)
    assert audit.differences() == []


def test_p05_what_was_never_booked_is_found_and_booked() -> None:
    payment = paid_order()
    other = Payment.objects.create(
        number="PAR-X",
        order=payment.order,
        gateway="fake",
        state="paid_late",
        amount_minor=100,
        received_minor=100,
        received_currency="EUR",
        currency="EUR",
        fee_minor=3,
        created_at=NOW,
        settled_at=NOW + timedelta(days=1),
    )
    assert [(found.key, found.expected, found.booked) for found in audit.differences()] == [
        (f"payment:{other.pk}", euros(100), None),
        (f"fee:{other.pk}", euros(3), None),
    ]
    assert audit.catch_up() == 2
    assert audit.differences() == []
    booked = LedgerTransaction.objects.get(key=f"payment:{other.pk}")
    assert booked.date == date(2026, 3, 3)
