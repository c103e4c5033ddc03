"""Bank transfers: what comes in is added up once, pays for what it pays for, and nothing of it vanishes."""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parcelle.core.models import Fact
from parcelle.core.money import Money
from parcelle.domain.billing import bank_accounts, gateways, orders, payments, receipts, transfers
from parcelle.domain.billing.errors import PaymentOpen, ReceiptRefused, RefundRefused, TransferRefused
from parcelle.domain.billing.ledger import audit
from parcelle.domain.billing.models import Confirmation, LedgerEntry, Order, Payout, Transfer
from parcelle.journeys import checkout
from tests.domain.billing.selling import open_shop, order
from tests.domain.billing.transferring import (
    ANN,
    BEN,
    IBAN,
    again,
    confirm,
    expect,
    expected,
    pdf,
    picture,
    switch_on,
)
from tests.people import NOW
from tests.together import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]


@pytest.fixture(autouse=True)
def _home(settings: Any, tmp_path: Any) -> None:
    settings.HOME = tmp_path


@pytest.fixture
def transfer() -> Transfer:
    return expected()


def states(transfer: Transfer) -> tuple[str, str, str]:
    known = again(transfer)
    return known.state, known.payment.state, known.payment.order.state


def facts(name: str) -> list[dict[str, Any]]:
    return list(Fact.objects.filter(name=name).order_by("pk").values_list("data", flat=True))


def surplus() -> list[int]:
    return [fact["amount_minor"] for fact in facts("TransferSurplus")]


def send_in(transfer: Transfer, content: bytes | None = None) -> Any:
    return receipts.upload(
        transfer.pk, name="avis.pdf", content=content or pdf(), actor="visitor", address="192.0.2.1", now=NOW
    )


# --- money that arrives ---------------------------------------------------------------------------------------


def test_what_is_asked_for_is_told_and_kept(transfer: Transfer) -> None:
    assert transfer.told == {
        "holder": "Atelier Parcelle",
        "iban": IBAN,
        "bic": "PSSTFRPPXXX",
        "bank": "LA BANQUE POSTALE",
        "amount": "58.80 EUR",
        "reference": transfer.reference,
    }
    assert transfer.payment.number in transfer.reference
    switch_on(iban="DE89 3704 0044 0532 0130 00", bic="")
    payments.look(transfer.payment_id, now=NOW)
    assert again(transfer).told["iban"] == IBAN


def test_a_confirmed_transfer_pays_the_order(transfer: Transfer) -> None:
    assert states(transfer) == ("awaiting", "pending", "open")
    confirm(transfer)
    assert states(transfer) == ("confirmed", "paid", "paid")
    [fact] = facts("TransferConfirmed")
    assert (fact["before"], fact["after"]) == ("awaiting", "confirmed")
    assert (fact["received_before_minor"], fact["received_after_minor"]) == (0, 5880)
    assert Fact.objects.get(name="TransferConfirmed").actor == f"user:{ANN}"


def test_p07_the_same_confirmation_again_is_the_same(transfer: Transfer) -> None:
    rows = {confirm(transfer, reference="B  1 ").pk, confirm(transfer, reference="B 1").pk}
    assert len(rows) == 1
    assert (len(facts("TransferConfirmed")), len(facts("PaymentReceived")), surplus()) == (1, 1, [])


def test_p08_one_bank_reference_confirms_one_payment(transfer: Transfer) -> None:
    other = expect(order(transfer.payment.order.price))
    confirm(transfer)
    with pytest.raises(TransferRefused, match="reference_used"):
        confirm(other)
    assert states(other) == ("awaiting", "pending", "open")
    with pytest.raises(IntegrityError, match="bank_reference_once"), transaction.atomic():
        Confirmation.objects.create(
            transfer=other,
            state="counted",
            amount_minor=1,
            currency="EUR",
            value_date=date(2026, 3, 2),
            account=IBAN,
            bank_reference="B-1",
            actor="x",
            created_at=NOW,
        )


def test_another_amount_under_the_same_bank_reference_is_refused(transfer: Transfer) -> None:
    confirm(transfer, "10.00")
    with pytest.raises(TransferRefused, match="reference_used"):
        confirm(transfer, "48.80")


def test_who_looked_at_something_older_is_told(transfer: Transfer) -> None:
    seen = transfers.version(transfer)
    confirm(transfer, reference="B-1", seen=seen)
    with pytest.raises(TransferRefused, match="changed"):
        confirm(transfer, reference="B-2", seen=seen)
    assert surplus() == []


def test_parts_add_up(transfer: Transfer) -> None:
    confirm(transfer, "20.00", "B-1")
    assert states(transfer) == ("partial", "pending", "open")
    assert again(transfer).missing == Money(3880, "EUR")
    confirm(transfer, "38.80", "B-2")
    assert states(transfer) == ("confirmed", "paid", "paid")
    assert surplus() == []


def test_p09_what_is_too_much_is_the_customers(transfer: Transfer) -> None:
    confirm(transfer, "60.00", "B-1")
    assert states(transfer) == ("confirmed", "paid", "paid")
    confirm(transfer, "58.80", "B-2")
    assert surplus() == [120, 5880]
    assert states(transfer) == ("confirmed", "paid", "paid")


def test_p14_another_currency_is_parked_for_a_human(transfer: Transfer) -> None:
    confirm(transfer, "58.80", currency="USD")
    assert states(transfer) == ("parked", "parked", "open")
    payment = again(transfer).payment
    assert (payment.received_minor, payment.received_currency) == (5880, "USD")
    assert len(facts("PaymentParked")) == 1


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"amount": "0"}, "no_amount"),
        ({"amount": "-58.80"}, "no_amount"),
        ({"reference": "  "}, "no_reference"),
        ({"value_date": date(2026, 4, 1)}, "in_future"),
        ({"value_date": date(926, 3, 2)}, "long_ago"),
    ],
)
def test_what_cannot_be_confirmed(transfer: Transfer, said: dict[str, Any], code: str) -> None:
    with pytest.raises(TransferRefused, match=code):
        confirm(transfer, **said)
    assert states(transfer) == ("awaiting", "pending", "open")


def test_a_small_shortfall_is_accepted_as_the_banks_charges(transfer: Transfer) -> None:
    confirm(transfer, "57.30")
    transfers.accept_shortfall(transfer.pk, actor="user:x", now=NOW)
    assert states(transfer) == ("confirmed", "paid", "paid")
    assert again(transfer).payment.fee_minor == 150
    assert facts("TransferShortfallAccepted")[0]["amount_minor"] == 150


def test_a_larger_shortfall_is_not(transfer: Transfer) -> None:
    confirm(transfer, "56.79")
    with pytest.raises(TransferRefused, match="too_much_missing"):
        transfers.accept_shortfall(transfer.pk, actor="user:x", now=NOW)
    assert states(transfer) == ("partial", "pending", "open")


def test_francs_have_no_decimals() -> None:
    transfer = expected("32000", "XAF")
    assert transfer.told["iban"].startswith("CM21")
    confirm(transfer, "38400")
    assert states(transfer) == ("confirmed", "paid", "paid")


# --- a second person ------------------------------------------------------------------------------------------


@pytest.fixture
def large() -> Transfer:
    """1,200.00 EUR with VAT."""
    return expected("1000.00")


def test_a_large_transfer_needs_two(large: Transfer) -> None:
    row = confirm(large, "1200.00")
    assert states(large) == ("second", "pending", "open")
    with pytest.raises(TransferRefused, match="same_person"):
        transfers.approve(row.pk, person=ANN, actor="token:of-ann", now=NOW)
    transfers.approve(row.pk, person=BEN, actor=f"user:{BEN}", now=NOW)
    assert states(large) == ("confirmed", "paid", "paid")
    row.refresh_from_db()
    assert (row.person, row.second_person, row.decided_at) == (ANN, BEN, NOW)
    with pytest.raises(TransferRefused, match="decided"):
        transfers.approve(row.pk, person=BEN, actor=f"user:{BEN}", now=NOW)


def test_the_database_holds_that_two_are_two(large: Transfer) -> None:
    row = confirm(large, "1200.00")
    with pytest.raises(IntegrityError, match="second_person_is_another"), transaction.atomic():
        Confirmation.objects.filter(pk=row.pk).update(second_person=ANN)


def test_parts_are_no_way_around_the_second_person(large: Transfer) -> None:
    confirm(large, "600.00", "B-1")
    confirm(large, "600.00", "B-2")
    assert states(large) == ("second", "pending", "open")
    for row in Confirmation.objects.all():
        transfers.approve(row.pk, person=BEN, actor=f"user:{BEN}", now=NOW)
    assert states(large) == ("confirmed", "paid", "paid")


def test_the_second_person_says_no(large: Transfer) -> None:
    row = confirm(large, "1200.00")
    transfers.turn_down(row.pk, reason="it is not on the account", actor=f"user:{BEN}", now=NOW)
    assert states(large) == ("awaiting", "pending", "open")
    assert facts("TransferTurnedDown")[0]["reason"] == "it is not on the account"
    # What was noted wrongly can be noted rightly, under the same reference.
    assert confirm(large, "1200.00").pk != row.pk


def test_while_a_second_person_is_asked_nothing_is_given_up(large: Transfer) -> None:
    confirm(large, "1200.00")
    with pytest.raises(TransferRefused, match="closed"):
        transfers.refuse(large.pk, reason="other", actor="user:x", now=NOW)


# --- time -----------------------------------------------------------------------------------------------------


def test_an_order_does_not_lapse_while_its_transfer_is_expected() -> None:
    switch_on(days="30")
    transfer = expect(order(open_shop()))
    # The books' own clock begins when the customer was told.
    Transfer.objects.update(expires_at=NOW + timedelta(days=30))
    checkout.run(now=NOW + timedelta(days=29))
    assert states(transfer) == ("awaiting", "pending", "open")
    checkout.run(now=NOW + timedelta(days=30, minutes=1))
    assert states(transfer) == ("lapsed", "expired", "expired")


def test_p24_a_receipt_keeps_it_open(transfer: Transfer) -> None:
    send_in(transfer)
    checkout.run(now=NOW + timedelta(days=60))
    assert states(transfer) == ("uploaded", "pending", "open")


def test_money_that_comes_after_all_is_booked_and_activates_nothing(transfer: Transfer) -> None:
    Transfer.objects.update(expires_at=NOW + timedelta(days=14))
    checkout.run(now=NOW + timedelta(days=15))
    confirm(transfer, "60.00")
    assert states(transfer) == ("late", "paid_late", "expired")
    assert facts("PaymentReceived")[0]["surplus"] is True
    assert surplus() == [120]
    confirm(transfer, "5.00", "B-2")
    assert surplus() == [120, 500]


def test_part_of_it_that_comes_too_late_is_credit(transfer: Transfer) -> None:
    Transfer.objects.update(expires_at=NOW)
    transfers.lapse(transfer.pk, now=NOW)
    confirm(transfer, "20.00")
    assert states(transfer) == ("lapsed", "expired", "open")
    assert surplus() == [2000]


def test_who_pays_another_way_may(transfer: Transfer) -> None:
    with pytest.raises(PaymentOpen):
        payments.begin(transfer.payment.order_id, gateway="fake", details={}, now=NOW)
    transfers.withdraw(transfer.pk, actor="visitor", now=NOW)
    assert states(transfer) == ("lapsed", "expired", "open")
    payments.begin(transfer.payment.order_id, gateway="fake", details={}, now=NOW)


def test_who_sent_in_a_receipt_may_not(transfer: Transfer) -> None:
    send_in(transfer)
    with pytest.raises(TransferRefused, match="closed"):
        transfers.withdraw(transfer.pk, actor="visitor", now=NOW)


def test_money_for_a_transfer_that_was_withdrawn_still_pays_an_open_order(transfer: Transfer) -> None:
    transfers.withdraw(transfer.pk, actor="visitor", now=NOW)
    confirm(transfer)
    assert states(transfer) == ("late", "paid_late", "paid")
    assert facts("PaymentReceived")[0]["surplus"] is False


# --- receipts, rejecting, refusing ----------------------------------------------------------------------------


def test_a_receipt_activates_nothing(transfer: Transfer) -> None:
    send_in(transfer)
    payments.look(transfer.payment_id, now=NOW)
    assert states(transfer) == ("uploaded", "pending", "open")
    transfers.begin_review(transfer.pk, now=NOW)
    assert states(transfer) == ("review", "pending", "open")


def test_a_rejected_receipt_can_be_replaced(transfer: Transfer) -> None:
    send_in(transfer)
    later = NOW + timedelta(days=13, hours=12)
    Transfer.objects.update(expires_at=NOW + timedelta(days=14))
    transfers.reject(transfer.pk, reason="unreadable", text="The amount is cut off.", actor="user:x", now=later)
    known = again(transfer)
    assert (known.state, known.reason, known.reason_text) == ("awaiting", "unreadable", "The amount is cut off.")
    assert known.expires_at == later + transfers.TIME_TO_ANSWER
    assert known.waiting_since is None
    send_in(transfer, picture())
    known = again(transfer)
    assert (known.state, known.reason) == ("uploaded", "")
    with pytest.raises(TransferRefused, match="no_receipt"):
        transfers.reject(expect(order(transfer.payment.order.price)).pk, reason="unreadable", actor="user:x", now=NOW)


def test_what_is_given_up_leaves_room_for_another_way(transfer: Transfer) -> None:
    confirm(transfer, "20.00")
    transfers.refuse(transfer.pk, reason="not_received", text="Only a part came.", actor="user:x", now=NOW)
    assert states(transfer) == ("refused", "declined", "open")
    assert surplus() == [2000]
    assert again(transfer).payment.remark == "Only a part came."
    payments.begin(transfer.payment.order_id, gateway="fake", details={}, now=NOW)


def test_the_same_file_for_two_transfers_is_flagged(transfer: Transfer) -> None:
    first, other = send_in(transfer), expect(order(transfer.payment.order.price))
    second = send_in(other)
    assert (first.same_as, second.same_as) == (None, first)
    assert facts("TransferReceiptUploaded")[1]["same_as"] == str(transfer.pk)
    assert send_in(other) == second
    assert len(list(receipts.folder().iterdir())) == 2


def test_p13_the_bank_takes_a_transfer_back(transfer: Transfer) -> None:
    with pytest.raises(TransferRefused, match="closed"):
        transfers.recall(transfer.pk, reason="recalled", actor="user:x", now=NOW)
    confirm(transfer, "60.00")
    transfers.recall(transfer.pk, reason="recalled", text="Recall of 3 March", actor="user:x", now=NOW)
    assert states(transfer) == ("recalled", "charged_back", "paid")
    assert [fact["amount_minor"] for fact in facts("PaymentChargedBack")] == [5880]
    bank = LedgerEntry.objects.filter(account="512000").aggregate(sum=Sum("amount_minor"))["sum"]
    # What came beyond it is still there.
    assert (bank, Confirmation.objects.get().state, audit.differences()) == (120, "recalled", [])
    with pytest.raises(TransferRefused, match="closed"):
        transfers.recall(transfer.pk, reason="recalled", actor="user:x", now=NOW)
    # The same line of the statement is still the same confirmation, which counts for nothing any more.
    assert confirm(transfer, "60.00", "B-1").state == "recalled"


def test_the_file_of_a_rejected_receipt_is_removed_after_90_days_and_no_other(transfer: Transfer) -> None:
    rejected = send_in(transfer)
    transfers.reject(transfer.pk, reason="unreadable", actor="user:x", now=NOW)
    kept = send_in(transfer, picture())
    checkout.run(now=NOW + timedelta(days=89))
    assert receipts.read(rejected) is not None
    for _twice in range(2):
        checkout.run(now=NOW + timedelta(days=90))
    assert (receipts.read(rejected), receipts.read(kept)) == (None, picture())
    rejected.refresh_from_db()
    assert (rejected.removed_at, len(rejected.sha256)) == (NOW + timedelta(days=90), 64)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("second_person", ["", "EUR 50"])
def test_p07_operators_at_once_count_the_same_money_once(second_person: str) -> None:
    transfer = expected(second_person_from=second_person)
    acts: list[Any] = [partial(confirm, transfer, person=one, actor=f"user:{one}") for one in (ANN, BEN, ANN, BEN)]
    assert len({row.pk for row in at_once(acts).all()}) == 1
    if second_person:
        row = Confirmation.objects.get()
        other = BEN if row.person == ANN else ANN
        outcome = at_once([partial(transfers.approve, row.pk, person=other, actor="user:b", now=NOW)] * 3)
        assert (len(outcome.results), {str(error) for error in outcome.errors}) == (1, {"decided"})
    assert states(transfer) == ("confirmed", "paid", "paid")
    assert (Confirmation.objects.count(), surplus(), len(facts("PaymentReceived"))) == (1, [], 1)


@pytest.mark.django_db(transaction=True)
def test_one_confirms_while_the_other_gives_up() -> None:
    transfer = expected(second_person_from="")
    acts: list[Any] = [
        partial(confirm, transfer),
        partial(transfers.refuse, transfer.pk, reason="not_received", actor="user:b", now=NOW),
    ]
    outcome = at_once(acts)
    assert not [error for error in outcome.errors if not isinstance(error, TransferRefused)]
    # Whoever was first, the money is the order's, and it is there once.
    assert states(transfer)[1:] in {("paid", "paid"), ("paid_late", "paid")}
    assert (len(facts("PaymentReceived")), audit.differences()) == (1, [])


# --- money that goes back -------------------------------------------------------------------------------------


def test_p06_what_is_paid_back_by_hand_never_exceeds_what_came(transfer: Transfer) -> None:
    confirm(transfer)

    def pay_back(amount: str, reference: str, iban: str = "DE89 3704 0044 0532 0130 00") -> None:
        transfers.pay_back(
            transfer.payment_id,
            amount=Money.of(amount, "EUR"),
            iban=iban,
            paid_on=date(2026, 3, 4),
            bank_reference=reference,
            reason="goodwill",
            actor="user:x",
            now=NOW,
        )

    pay_back("50.00", "OUT-1")
    with pytest.raises(RefundRefused, match="too_much"):
        pay_back("8.81", "OUT-2")
    with pytest.raises(bank_accounts.Unreadable):
        pay_back("8.80", "OUT-2", iban="DE88 3704 0044 0532 0130 00")
    pay_back("8.80", "OUT-2")
    assert again(transfer).payment.state == "refunded"
    assert [row.to["iban"] for row in Payout.objects.all()] == ["DE89370400440532013000"] * 2


# --- whatever comes in whatever order --------------------------------------------------------------------------


def bank_account() -> int:
    return int(LedgerEntry.objects.filter(account="512000").aggregate(sum=Sum("amount_minor"))["sum"] or 0)


def came_to_the_books(transfer: Transfer) -> int:
    """What is not yet whole is in nobody's books; what the banks kept never came."""
    paid = transfer.payment.state in {"paid", "paid_late"}
    return transfer.received_minor if paid else 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("confirm"), st.integers(1, 9000), st.integers(1, 6)),
        st.tuples(st.sampled_from(["refuse", "withdraw", "lapse", "accept", "look", "receipt", "reject"])),
    ),
    max_size=12,
)


@given(steps=STEPS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_p09_nothing_vanishes_whatever_happens(steps: list[Any]) -> None:
    """The money that came is what counts for the payment plus what is credit, after every step, in any order."""
    with transaction.atomic():
        transfer = expected(second_person_from="")
        verbs: dict[str, Any] = {
            "refuse": lambda: transfers.refuse(transfer.pk, reason="other", actor="a", now=NOW),
            "withdraw": lambda: transfers.withdraw(transfer.pk, actor="a", now=NOW),
            "lapse": lambda: transfers.lapse(transfer.pk, now=NOW + timedelta(days=400)),
            "accept": lambda: transfers.accept_shortfall(transfer.pk, actor="a", now=NOW),
            "look": lambda: payments.look(transfer.payment_id, now=NOW),
            "receipt": lambda: send_in(transfer),
            "reject": lambda: transfers.reject(transfer.pk, reason="other", actor="a", now=NOW),
        }
        came: dict[str, int] = {}
        for step in steps:
            try:
                if step[0] == "confirm":
                    _verb, minor, number = step
                    confirm(transfer, str(Money(minor, "EUR").amount), f"B-{number}")
                    came.setdefault(f"B-{number}", minor)
                else:
                    verbs[step[0]]()
            except (TransferRefused, ReceiptRefused):
                pass
            known = again(transfer)
            credit = sum(surplus())
            assert sum(came.values()) == known.received_minor + credit
            assert credit == sum(Confirmation.objects.values_list("surplus_minor", flat=True))
            assert bank_account() == came_to_the_books(known) + credit
            paid = known.payment.state in {"paid", "paid_late"}
            assert paid == (known.received_minor + known.shortfall_minor == known.amount_minor)
            assert len(facts("PaymentReceived")) == paid
            assert (known.payment.order.state == "paid") == paid
        transaction.set_rollback(True)


def test_the_gateway_is_offered_only_where_there_is_an_account() -> None:
    switch_on()
    gateway = gateways.open_gateway("bank_transfer")
    assert gateway.problems() == []
    assert gateway.accepts(Money(32000, "XAF"), "CM")
    assert not gateway.accepts(Money(5880, "USD"), "US")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"holder": ""}, "account holder"),
        ({"iban": "FR15 2004 1010 0505 0001 3M02 606"}, "not a valid IBAN"),
        ({"bic": "NOTABIC"}, "not a valid BIC"),
        ({"other_accounts": "XAF CM21 1000 2000 3002 7797 6315 008"}, "BIC of the XAF account"),
        ({"other_accounts": "ZZZ CM21 1000 2000 3002 7797 6315 008"}, "not a currency"),
        ({"other_accounts": "EUR DE89 3704 0044 0532 0130 00"}, "two accounts"),
        ({"second_person_from": "lots"}, "not a currency"),
        ({"tolerance": "EUR many"}, "a currency and an amount"),
        ({"days": "400"}, "1 to 90 days"),
        ({"days": "soon"}, "1 to 90 days"),
    ],
)
def test_settings_that_are_wrong_are_told(values: dict[str, str], words: str) -> None:
    switch_on(**values)
    assert any(words in problem for problem in gateways.open_gateway("bank_transfer").problems())


def test_orders_are_not_touched_by_reading(transfer: Transfer) -> None:
    """P7: asking changes nothing, however often."""
    before = Transfer.objects.values().get()
    for _time in range(3):
        payments.look(transfer.payment_id, now=NOW)
    assert Transfer.objects.values().get() == before
    assert Order.objects.get().state == "open"
    assert orders.lapse(transfer.payment.order_id, now=NOW + timedelta(days=20)) is False
