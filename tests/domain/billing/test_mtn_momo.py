"""MTN Mobile Money: the real client against the simulator, whose every exchange is held to MTN's documents."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parcelle.core.models import Fact
from parcelle.core.money import Money, NotMoney
from parcelle.domain.billing import gateways, payments, refunds, webhooks
from parcelle.domain.billing.errors import GatewayUnusable, PaymentOpen
from parcelle.domain.billing.gateways.base import DECLINE_CODES, Forged, RefundRequest
from parcelle.domain.billing.gateways.mtn_momo import gateway as mtn
from parcelle.domain.billing.gateways.mtn_momo import markets, words
from parcelle.domain.billing.gateways.mtn_momo.gateway import MtnMomoGateway
from parcelle.domain.billing.gateways.mtn_momo.numbers import CannotPay, msisdn
from parcelle.domain.billing.models import GatewayEvent, GatewaySettings, Order, Payment, Refund
from tests import needs
from tests.domain.billing.mobile_money import CAMEROON, PHONE, deliver, look, open_for, push
from tests.domain.billing.selling import LATER, open_shop, order
from tests.loopback import free_port
from tests.people import NOW
from tests.simulators import mtn_momo, mtn_momo_server
from tests.simulators.mtn_momo import Fault, Momo
from tests.together import at_once

needs.require("specs")
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]
PAY, ASK = "POST /collection/v1_0/requesttopay", "GET /collection/v1_0/requesttopay"


@pytest.fixture
def momo() -> Iterator[Momo]:
    with mtn_momo_server.judged(environment="mtncameroon", callbacks="never") as running:
        yield running
        assert running.violations == []


@pytest.fixture
def placed(momo: Momo) -> Order:
    return open_for(momo)


def facts(name: str) -> int:
    return Fact.objects.filter(name=name).count()


# --- the way it should go -----------------------------------------------------------------------------------


def test_a_push_is_approved_on_the_telephone(momo: Momo, placed: Order) -> None:
    payment = push(placed)
    assert (payment.state, payment.provider_id) == ("pending", str(payment.key))
    sent = momo.lines(PAY)[0]
    assert sent.body == {
        "amount": "32000",
        "currency": "XAF",
        "externalId": str(payment.pk),
        "payer": {"partyIdType": "MSISDN", "partyId": "237671234567"},
        "payerMessage": f"Plain Essai {placed.number}",
        "payeeNote": placed.number,
    }
    assert sent.headers["x-reference-id"] == str(payment.key)
    assert look(payment).state == "pending"
    momo.approve(payment.key)
    assert look(payment).state == "paid"
    placed.refresh_from_db()
    assert placed.state == "paid"
    assert payment.memo["transaction"] == momo.pushes[str(payment.key)].transaction


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("APPROVAL_REJECTED", "rejected_on_phone"),
        ("TRANSACTION_CANCELED", "rejected_on_phone"),
        ("EXPIRED", "not_approved_in_time"),
        ("PAYMENT_NOT_APPROVED", "not_approved_in_time"),
        ("COULD_NOT_PERFORM_TRANSACTION", "not_approved_in_time"),
        ("NOT_ENOUGH_FUNDS", "not_enough_funds"),
        ("PAYER_LIMIT_REACHED", "limit_reached"),
        ("INTERNAL_PROCESSING_ERROR", "probably_not_enough_funds"),
        ("PAYER_NOT_FOUND", "no_wallet"),
        ("SENDER_ACCOUNT_NOT_ACTIVE", "no_wallet"),
        ("NOT_ALLOWED", "seller_setup"),
        ("PAYEE_NOT_ALLOWED_TO_RECEIVE", "seller_setup"),
        ("SERVICE_UNAVAILABLE", "service_down"),
        ("SOMETHING_NEW", "declined"),
    ],
)
@pytest.mark.parametrize("bare", [False, True])
def test_every_reason_is_understood_as_object_and_as_text(
    momo: Momo, placed: Order, reason: str, code: str, bare: bool
) -> None:
    momo.ugly = {"reason_text"} if bare else set()
    momo.judge = None if reason == "SOMETHING_NEW" else momo.judge
    payment = push(placed)
    momo.refuse(payment.key, code=reason)
    assert (look(payment).state, payment.reason) == ("declined", code)
    assert reason in payment.remark
    assert push(placed).key != payment.key


def test_every_reason_in_the_document_has_a_meaning_of_ours() -> None:
    document = json.loads((needs.specs() / "mtn_momo_collection.json").read_text())
    told = set(document["components"]["schemas"]["ErrorReason"]["properties"]["code"]["enum"])
    assert told <= set(words.REASONS)
    assert set(words.REASONS.values()) <= DECLINE_CODES


@pytest.mark.parametrize("word", ["CREATED", "ONGOING", "TIMEOUT", "SOMETHING_NEW"])
def test_a_status_that_no_document_knows_is_still_pending(momo: Momo, placed: Order, word: str) -> None:
    payment = push(placed)
    momo.status_word = word
    assert look(payment).state == "pending"
    momo.approve(payment.key)
    assert look(payment).state == "paid"


def test_an_unknown_status_is_told_to_the_operator(momo: Momo, placed: Order) -> None:
    payment = push(placed)
    momo.status_word = "TIMEOUT"
    assert "TIMEOUT" in look(payment).remark


def test_numbers_where_the_document_says_text_are_the_same_money(momo: Momo, placed: Order) -> None:
    payment = push(placed)
    momo.ugly = {"numbers"}
    momo.approve(payment.key)
    assert look(payment).state == "paid"


# --- what is sent -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("Facture de l’Atelier d'Awa, n° 12", "Facture de l Atelier d Awa, ndeg 12"),
        ("Bâtiplus & Fils — Été", "Batiplus Fils -- Ete"),
        ("x" * 300, "x" * 160),
        ("’'’", "FA-1"),
        ("", "FA-1"),
        ("日本", "Ri Ben"),
    ],
)
def test_messages_are_what_mtn_takes(text: str, sent: str) -> None:
    assert words.message(text, otherwise="FA-1") == sent


@given(text=st.text(max_size=400))
def test_no_text_can_break_a_message(text: str) -> None:
    message = words.message(text, otherwise="FA-1")
    assert 1 <= len(message) <= 160
    assert message.isascii() and message.isprintable() and "'" not in message


@given(minor=st.integers(1, 10**12), currency=st.sampled_from([*sorted(markets.WHOLE), "EUR", "GHS", "ZMW", "ZAR"]))
def test_p03_amounts_survive_the_wire(minor: int, currency: str) -> None:
    money = Money(minor, currency)
    wire = markets.to_wire(money)
    assert markets.from_wire(wire, currency) == money
    assert markets.from_wire(Decimal(wire), currency) == money
    if currency in markets.WHOLE:
        # Never multiplied by 100, never written with decimals.
        assert wire == str(minor)


@pytest.mark.parametrize(
    ("amount", "currency"),
    [("5000.5", "XAF"), ("", "XAF"), (None, "XAF"), ("5000", "FCFA"), ("5000", None), (1.5, "EUR")],
)
def test_p03_what_is_no_amount_is_refused(amount: Any, currency: Any) -> None:
    with pytest.raises(NotMoney):
        markets.from_wire(amount, currency)


@pytest.mark.parametrize(
    ("phone", "country", "sent"),
    [
        ("+237 6 71 23 45 67", "CM", "237671234567"),
        ("671234567", "CM", "237671234567"),
        # Cameroon lets people take their number along: only MTN knows whose it is.
        ("+237691234567", "CM", "237691234567"),
        ("+2250512345678", "CI", "2250512345678"),
        ("+46733123450", "", "46733123450"),
    ],
)
def test_a_number_is_sent_as_msisdn(phone: str, country: str, sent: str) -> None:
    assert msisdn(phone, country=country) == sent


@pytest.mark.parametrize(
    ("phone", "country", "code"),
    [
        ("+33612345678", "CM", "wrong_number"),
        ("+237999", "CM", "wrong_number"),
        ("", "CM", "wrong_number"),
        ("abc", "", "wrong_number"),
        # An Orange number in Côte d’Ivoire, where numbers stay with their operator.
        ("+2250712345678", "CI", "wrong_operator"),
    ],
)
def test_a_number_that_cannot_pay_is_not_called(phone: str, country: str, code: str) -> None:
    with pytest.raises(CannotPay) as refused:
        msisdn(phone, country=country)
    assert refused.value.code == code


def test_a_wrong_number_is_told_without_asking_mtn(momo: Momo, placed: Order) -> None:
    payment = push(placed, phone="+33612345678")
    assert (payment.state, payment.reason) == ("declined", "wrong_number")
    assert momo.lines(PAY) == []


# --- certain and uncertain ----------------------------------------------------------------------------------


def test_p10_a_lost_answer_is_unknown_and_the_same_request_is_found_again(momo: Momo, placed: Order) -> None:
    momo.faults = [Fault(PAY, "lost")]
    payment = push(placed)
    assert payment.state == "unknown"
    with pytest.raises(PaymentOpen):
        payments.begin(placed.pk, gateway="mtn_momo", details={"phone": PHONE}, now=NOW)
    assert look(payment).state == "pending"
    assert len(momo.lines(PAY)) == 1


def test_p10_a_request_that_never_arrived_is_sent_again_with_the_same_key_and_body(momo: Momo, placed: Order) -> None:
    momo.faults = [Fault(PAY, "never")]
    payment = push(placed)
    # Once may be too early.
    assert look(payment).state == "unknown"
    assert len(momo.lines(PAY)) == 1
    assert look(payment).state == "pending"
    first, second = momo.lines(PAY)
    assert (first.raw, first.headers["x-reference-id"]) == (second.raw, second.headers["x-reference-id"])
    assert list(momo.pushes) == [str(payment.key)]


def test_p10_killed_before_the_call_or_after_it_makes_no_difference(momo: Momo, placed: Order) -> None:
    payment = payments.begin(placed.pk, gateway="mtn_momo", details={"phone": PHONE}, now=NOW)
    for _time in range(2):
        look(payment)
    assert payment.state == "pending"
    payments.carry_out(payment.pk, now=NOW)
    momo.approve(payment.key)
    assert look(payment).state == "paid"
    assert len(momo.pushes) == 1


def test_a_request_that_mtn_has_forgotten_is_never_sent_again(momo: Momo, placed: Order) -> None:
    payment = push(placed)
    momo.pushes.clear()
    for _time in range(3):
        assert look(payment).state == "pending"
    assert len(momo.lines(PAY)) == 1


def test_what_a_human_gave_up_is_never_sent_again(momo: Momo, placed: Order) -> None:
    momo.faults = [Fault(PAY, "never")]
    payment = push(placed)
    look(payment)
    payments.abandon(payment.pk, reason="the customer left", actor="operator", now=LATER)
    for _time in range(3):
        assert look(payment).state == "abandoned"
    assert momo.pushes == {}


@pytest.mark.parametrize("code", ["NOT_ALLOWED", "NOT_ALLOWED_TARGET_ENVIRONMENT", "INVALID_CURRENCY"])
def test_a_500_with_a_code_is_a_no_once_mtn_does_not_know_the_request(momo: Momo, placed: Order, code: str) -> None:
    momo.faults = [Fault(PAY, "code", code)]
    payment = push(placed)
    assert (payment.state, payment.reason) == ("declined", "seller_setup")
    assert code in payment.remark
    assert (len(momo.lines(PAY)), len(momo.lines(ASK))) == (1, 1)


def test_a_500_without_a_code_says_nothing(momo: Momo, placed: Order) -> None:
    momo.faults = [Fault(PAY, "error")]
    assert push(placed).state == "unknown"


def test_a_no_that_cannot_be_confirmed_is_unknown(momo: Momo, placed: Order) -> None:
    momo.faults = [Fault(PAY, "code", "INTERNAL_PROCESSING_ERROR"), Fault(ASK, "busy")]
    assert push(placed).state == "unknown"


def test_our_own_mistake_is_not_the_customers(momo: Momo, placed: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "message", lambda text, otherwise: "l'atelier")
    payment = push(placed)
    assert (payment.state, payment.reason) == ("declined", "seller_setup")


@pytest.mark.parametrize("fault", ["error", "busy", "garbage", "unauthorised", "lost"])
def test_a_question_without_an_answer_leaves_everything_as_it_was(momo: Momo, placed: Order, fault: str) -> None:
    payment = push(placed)
    momo.approve(payment.key)
    momo.faults = [Fault(ASK, fault, times=2)]
    while momo.faults[0].times:
        assert look(payment).state in {"pending", "paid"}
    assert look(payment).state == "paid"


def test_mtn_that_cannot_be_reached_took_nothing(momo: Momo) -> None:
    placed = open_for(momo, base_url=f"http://127.0.0.1:{free_port()}")
    payment = push(placed)
    assert (payment.state, payment.reason) == ("declined", "service_down")


# --- token --------------------------------------------------------------------------------------------------


def tokens(momo: Momo) -> int:
    return len(momo.lines("POST /collection/token/"))


def test_one_token_serves_for_all(momo: Momo, placed: Order) -> None:
    payment = push(placed)
    for _time in range(4):
        look(payment)
    assert tokens(momo) == 1


def test_a_token_is_renewed_ten_minutes_before_its_end(momo: Momo, placed: Order) -> None:
    momo.token_seconds = 600
    look(push(placed))
    assert tokens(momo) == 2


def test_a_token_that_ended_early_is_renewed_once(momo: Momo, placed: Order) -> None:
    payment = push(placed)
    momo.tokens.clear()
    assert look(payment).state == "pending"
    assert tokens(momo) == 2


@pytest.mark.parametrize("wrong", ["subscription_key", "api_key", "api_user"])
def test_wrong_credentials_are_our_fault_and_take_nothing(momo: Momo, wrong: str) -> None:
    placed = open_for(momo, **{wrong: str(uuid.uuid4())})
    payment = push(placed)
    assert (payment.state, payment.reason) == ("declined", "seller_setup")
    assert momo.pushes == {}
    assert tokens(momo) <= 2


def test_many_at_once_share_a_token(momo: Momo) -> None:
    client = MtnMomoGateway.open(momo.settings(), False).collection
    at_once([lambda: client.get("/v1_0/account/balance")] * 8).all()
    assert tokens(momo) == 1


# --- callbacks ----------------------------------------------------------------------------------------------


def told(momo: Momo, payment: Payment, **changes: Any) -> bytes:
    return json.dumps({**momo.told(momo.pushes[str(payment.key)]), **changes}).encode()


def test_a_callback_makes_us_ask(momo: Momo, placed: Order) -> None:
    payment = push(placed)
    momo.approve(payment.key)
    deliver(momo, payment, told(momo, payment))
    payment.refresh_from_db()
    assert payment.state == "paid"
    assert GatewayEvent.objects.get().payment == payment


@pytest.mark.parametrize("truth", ["PENDING", "FAILED"])
def test_p12_a_lying_callback_changes_nothing(momo: Momo, placed: Order, truth: str) -> None:
    payment = push(placed)
    if truth == "FAILED":
        momo.refuse(payment.key)
    deliver(momo, payment, told(momo, payment, status="SUCCESSFUL", financialTransactionId="1"))
    payment.refresh_from_db()
    placed.refresh_from_db()
    assert payment.state == {"PENDING": "pending", "FAILED": "declined"}[truth]
    assert placed.state == "open"
    assert facts("OrderPaid") == 0


@pytest.mark.parametrize("path", ["", "0" * 32])
def test_p12_a_callback_elsewhere_is_not_even_stored(momo: Momo, placed: Order, path: str) -> None:
    payment = push(placed)
    with pytest.raises(Forged):
        webhooks.receive("mtn_momo", headers={":path": path}, body=told(momo, payment), now=NOW)
    assert not GatewayEvent.objects.exists()


@pytest.mark.parametrize("about", [str(uuid.UUID(int=7)), "", "nonsense", 5, None, ["x"]])
def test_a_callback_about_nothing_of_ours_is_stored_and_no_more(momo: Momo, placed: Order, about: Any) -> None:
    payment = push(placed)
    deliver(momo, payment, told(momo, payment, externalId=about))
    assert GatewayEvent.objects.get().state == "ignored"


def test_p07_a_callback_that_comes_twice_is_one(momo: Momo, placed: Order) -> None:
    payment = push(placed)
    momo.approve(payment.key)
    for _time in range(3):
        deliver(momo, payment, told(momo, payment))
    assert GatewayEvent.objects.count() == facts("PaymentReceived") == facts("OrderPaid") == 1


def test_callbacks_are_only_asked_for_where_mtn_knows_the_host(momo: Momo) -> None:
    gateway = MtnMomoGateway.open(momo.settings(), False)
    placed = open_for(momo)
    charge = payments.charge_of(push(placed))
    url = momo.pushes[str(charge.key)].callback_url
    assert url.startswith("http://localhost:8000/webhooks/mtn_momo/") and len(url.rpartition("/")[2]) == 32
    gateway.start(replace(charge, key=uuid.uuid4(), payment_id=uuid.uuid4()))
    assert [one.callback_url for one in momo.pushes.values()] == [url, ""]


@pytest.mark.parametrize("name", ["ask", "callback", "late_callback", "sweep"])
def test_p09_money_that_comes_after_a_no_counts_once(momo: Momo, placed: Order, name: str) -> None:
    """MTN says no, and the money arrives all the same: for the order while it is open, else as surplus."""
    first = push(placed)
    momo.refuse(first.key)
    look(first)
    second = push(placed)
    momo.approve(second.key)
    if name != "ask":
        look(second)
    momo.pushes[str(first.key)].status = "SUCCESSFUL"
    momo.pushes[str(first.key)].reason = ""
    deliver(momo, first, told(momo, first))
    look(second)
    first.refresh_from_db()
    assert (first.state, second.state, facts("OrderPaid")) == ("paid_late", "paid", 1)
    assert sorted(fact.data["surplus"] for fact in Fact.objects.filter(name="PaymentReceived")) == [False, True]


def test_p09_money_after_a_human_gave_up_still_counts(momo: Momo, placed: Order) -> None:
    payment = push(placed)
    payments.look(payment.pk, now=NOW + timedelta(hours=25))
    payments.abandon(payment.pk, reason="no trace", actor="operator", now=LATER)
    momo.approve(payment.key)
    assert look(payment).state == "paid_late"
    placed.refresh_from_db()
    assert placed.state == "paid"


NEWS = ["ask", "callback", "again", "lie", "approve", "refuse"]


@given(said=st.lists(st.sampled_from(NEWS), min_size=1, max_size=7))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_p07_any_order_of_any_news_ends_as_mtn_says(momo: Momo, said: list[str], test_blueprints: Any) -> None:
    from django.db import transaction

    with transaction.atomic():
        placed = open_for(momo)
        payment = push(placed)
        for one in said:
            momo.advance(1)
            match one:
                case "ask":
                    look(payment)
                case "callback" | "again":
                    deliver(momo, payment, told(momo, payment))
                case "lie":
                    deliver(momo, payment, told(momo, payment, status="SUCCESSFUL"))
                case "approve":
                    momo.approve(payment.key)
                case "refuse":
                    momo.refuse(payment.key)
        truth = momo.pushes[str(payment.key)].status
        assert look(payment).state == {"PENDING": "pending", "SUCCESSFUL": "paid", "FAILED": "declined"}[truth]
        assert facts("OrderPaid") == facts("PaymentReceived") == (truth == "SUCCESSFUL")
        transaction.set_rollback(True)


# --- money that is not as asked -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("altered", "reason"),
    [
        ({"amount": "31999"}, "amount_differs"),
        ({"amount": 31999}, "amount_differs"),
        ({"amount": "3200000"}, "amount_differs"),
        ({"amount": "32000.5"}, "amount_differs"),
        ({"amount": None}, "amount_differs"),
        ({"currency": "XOF"}, "amount_differs"),
        ({"currency": "EUR"}, "amount_differs"),
        ({"externalId": str(uuid.uuid4())}, "other_reference"),
        ({"externalId": None}, "other_reference"),
    ],
)
def test_p14_what_differs_is_parked_for_a_human(
    momo: Momo, placed: Order, altered: dict[str, Any], reason: str
) -> None:
    payment = push(placed)
    momo.altered = altered
    momo.approve(payment.key)
    look(payment)
    placed.refresh_from_db()
    assert (payment.state, payment.reason, placed.state) == ("parked", reason, "open")
    assert (facts("PaymentParked"), facts("OrderPaid")) == (1, 0)
    with pytest.raises(PaymentOpen):
        payments.begin(placed.pk, gateway="mtn_momo", details={"phone": PHONE}, now=NOW)


@pytest.mark.parametrize("amount", ["32000.00", "32000.0", 32000])
def test_p14_the_same_amount_written_otherwise_is_the_same(momo: Momo, placed: Order, amount: Any) -> None:
    payment = push(placed)
    momo.altered = {"amount": amount}
    momo.approve(payment.key)
    assert look(payment).state == "paid"


# --- asking -------------------------------------------------------------------------------------------------


def test_it_asks_after_5_10_20_and_40_seconds_then_each_minute_then_each_hour() -> None:
    moments = list(itertools.accumulate(mtn.LOOKS))
    assert moments[:5] == [5, 10, 20, 40, 60]
    assert moments[5:19] == [60 * minute for minute in range(2, 16)]
    assert mtn.LOOKS[-1] == 3600


def test_after_a_day_it_is_unknown_and_never_failed(momo: Momo, placed: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    # The day goes by in a moment, and the limit counts real seconds.
    monkeypatch.setattr(mtn, "QUESTIONS_A_SECOND", 1000)
    payment = push(placed)
    # Nobody answers, and MTN never says so: its own five minutes are no promise.
    momo.pushes[str(payment.key)].due = None
    now = NOW
    while payment.look_at is not None:
        now = max(now, payment.look_at)
        momo.advance(1)
        payments.look(payment.pk, now=now)
        payment.refresh_from_db()
    assert timedelta(hours=24) < now - NOW < timedelta(hours=26)
    assert payment.state == "unknown"
    momo.approve(payment.key)
    assert look(payment).state == "paid"


def test_all_workers_together_ask_less_than_ten_times_a_second(momo: Momo, placed: Order) -> None:
    payment = push(placed)
    gateway = gateways.open_gateway("mtn_momo")
    charge = payments.charge_of(payment)
    # More than ten in a second are refused by the simulator, which would raise here.
    for _time in range(14):
        gateway.fetch(charge)
    assert len(momo.lines(ASK)) == 14


# --- refunds ------------------------------------------------------------------------------------------------


@pytest.fixture
def paid(momo: Momo, placed: Order) -> Payment:
    payment = push(placed)
    momo.approve(payment.key)
    return look(payment)


def give_back(payment: Payment, minor: int = 12000) -> Refund:
    refund = refunds.request(
        payment.pk, amount=Money(minor, "XAF"), reason="Geste commercial, l’essai", actor="operator", now=LATER
    )
    refunds.carry_out(refund.pk, now=LATER)
    refund.refresh_from_db()
    return refund


def test_a_refund_goes_back_by_disbursement(momo: Momo, paid: Payment) -> None:
    refund = give_back(paid)
    assert (refund.state, refund.provider_id) == ("pending", str(refund.key))
    sent = momo.lines("POST /disbursement/v1_0/refund")[0]
    assert (sent.body["amount"], sent.body["referenceIdToRefund"]) == ("12000", str(paid.key))
    momo.advance(mtn_momo.REFUND_SECONDS)
    refunds.carry_out(refund.pk, now=LATER)
    refund.refresh_from_db()
    paid.refresh_from_db()
    assert (refund.state, paid.state) == ("done", "partly_refunded")


def test_a_refund_that_fails_frees_the_amount(momo: Momo, paid: Payment) -> None:
    refund = give_back(paid)
    momo.fail_refund(refund.key)
    refunds.carry_out(refund.pk, now=LATER)
    refund.refresh_from_db()
    paid.refresh_from_db()
    assert (refund.state, paid.refunded_minor) == ("failed", 0)
    assert "NOT_ENOUGH_FUNDS" in refund.remark


@pytest.mark.parametrize("fault", ["lost", "never", "error"])
def test_p10_a_refund_without_an_answer_is_asked_about_and_made_once(momo: Momo, paid: Payment, fault: str) -> None:
    momo.faults = [Fault("POST /disbursement/v1_0/refund", fault)]
    refund = give_back(paid)
    assert refund.state == "unknown"
    refunds.carry_out(refund.pk, now=LATER)
    momo.advance(mtn_momo.REFUND_SECONDS)
    refunds.carry_out(refund.pk, now=LATER)
    refund.refresh_from_db()
    assert refund.state == "done"
    assert list(momo.refunds) == [str(refund.key)]


def test_an_address_that_disbursement_does_not_know_is_told_to_the_operator(momo: Momo, paid: Payment) -> None:
    momo.allowed = set()
    refund = give_back(paid)
    # Whether an earlier try of the same refund was let in nobody can say, so its amount is not free yet.
    assert refund.state == "unknown"
    assert "address not allowed" in refund.remark
    momo.allowed = None
    refunds.carry_out(refund.pk, now=LATER)
    momo.advance(mtn_momo.REFUND_SECONDS)
    refunds.carry_out(refund.pk, now=LATER)
    refund.refresh_from_db()
    assert (refund.state, refund.remark) == ("done", "")


def test_p10_a_refund_whose_worker_died_is_not_given_up_when_the_key_was_changed_since(
    momo: Momo, paid: Payment
) -> None:
    refund = refunds.request(paid.pk, amount=Money(12000, "XAF"), reason="x", actor="operator", now=LATER)
    gateway = gateways.open_gateway("mtn_momo")
    asked = RefundRequest(key=refund.key, amount=Money(12000, "XAF"), reason="x")
    # MTN has it, and whoever sent it never wrote that down.
    gateway.refund(payments.charge_of(paid), asked)
    momo.allowed = set()
    refunds.carry_out(refund.pk, now=LATER)
    paid.refresh_from_db()
    assert (Refund.objects.get().state, paid.refunded_minor) == ("unknown", 12000)
    momo.allowed = None
    momo.advance(mtn_momo.REFUND_SECONDS)
    refunds.carry_out(refund.pk, now=LATER)
    assert (Refund.objects.get().state, list(momo.refunds)) == ("done", [str(refund.key)])


def test_without_disbursement_money_is_given_back_by_hand(momo: Momo, paid: Payment) -> None:
    GatewaySettings.objects.update_or_create(
        name="mtn_momo", defaults={"values": momo.settings(disbursement_subscription_key="")}
    )
    assert not gateways.open_gateway("mtn_momo").abilities.refunds
    refund = give_back(paid)
    assert (refund.state, "by hand" in refund.remark) == ("failed", True)
    refunds.request(paid.pk, amount=Money(32000, "XAF"), reason="x", actor="operator", now=LATER, by_hand=True)
    paid.refresh_from_db()
    assert paid.state == "refunded"


# --- settings -----------------------------------------------------------------------------------------------


def opened(momo: Momo, *, production: bool = False, **changes: str) -> MtnMomoGateway:
    return MtnMomoGateway.open(momo.settings(**changes), production)


@pytest.mark.parametrize(
    ("production", "changes", "problem"),
    [
        (True, {"environment": "sandbox"}, "takes no real money"),
        (True, {}, "needs https"),
        (False, {"base_url": ""}, "takes real money: switch"),
        (True, {"base_url": markets.SANDBOX_URL}, "is not served by"),
        (False, {"environment": "sandbox", "base_url": markets.PRODUCTION_URL}, "is not served by"),
        (False, {"environment": "mtnfrance"}, "no target environment"),
        (False, {"environment": "mtnghana"}, "Ask MTN which currency mtnghana takes"),
        (False, {"environment": "mtncameroon", "currency": "eur"}, "takes XAF only"),
        (False, {"api_key": ""}, "api_key is missing"),
        (False, {"api_user": "me"}, "no UUID of version 4"),
        (False, {"callback_host": "https://example.com/x"}, "a host name alone"),
        (False, {"api_key": "wrong"}, "MTN refused the API user"),
        (False, {"disbursement_subscription_key": "wrong"}, "subscription key of disbursement"),
    ],
)
def test_settings_that_are_wrong_are_told(momo: Momo, production: bool, changes: dict[str, str], problem: str) -> None:
    found = opened(momo, production=production, **changes).problems()
    assert any(problem in one for one in found), found


def test_settings_of_the_simulator_are_right(momo: Momo) -> None:
    assert opened(momo).problems() == []
    assert opened(momo, disbursement_subscription_key="").problems() == []
    assert opened(momo, currency="XAF").problems() == []


@pytest.mark.parametrize(
    ("environment", "currency", "country", "taken"),
    [
        ("mtncameroon", "XAF", "CM", True),
        ("mtncameroon", "XAF", "GA", False),
        ("mtncameroon", "XOF", "CM", False),
        ("mtncameroon", "EUR", "CM", False),
        ("mtnbenin", "XOF", "BJ", True),
        ("mtnguineaconakry", "GNF", "GN", True),
        ("mtnghana", "GHS", "GH", False),
        ("sandbox", "EUR", "FR", True),
        ("sandbox", "XAF", "CM", False),
    ],
)
def test_each_market_takes_its_own_currency(
    momo: Momo, environment: str, currency: str, country: str, taken: bool
) -> None:
    assert opened(momo, environment=environment).accepts(Money(5000, currency), country) is taken


def test_another_currency_is_never_begun(momo: Momo, placed: Order) -> None:
    euros = order(open_shop("49.00", "EUR", plan=placed.plan), buyer=CAMEROON)
    with pytest.raises(GatewayUnusable):
        payments.begin(euros.pk, gateway="mtn_momo", details={"phone": PHONE}, now=NOW)


def test_half_of_the_sandbox_takes_nothing(momo: Momo) -> None:
    assert not opened(momo, environment="sandbox", production=True).accepts(Money(100, "EUR"), "CM")


def test_nothing_is_stored_to_charge_later(momo: Momo) -> None:
    abilities = opened(momo).abilities
    assert abilities.prepaid
    assert abilities.asks == ("phone",)


def test_no_secret_is_shown(momo: Momo) -> None:
    gateway = opened(momo)
    shown = repr(gateway.collection) + repr(gateway.disbursement)
    assert all(secret not in shown for secret in (gateway.collection.api_key, *momo.subscription_keys.values()))
