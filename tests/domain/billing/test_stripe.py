"""Paying through Stripe, against a simulator that keeps its own books: what is lost, forged, late or repeated."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from babel.numbers import list_currencies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parcelle.core.models import Fact
from parcelle.core.money import Money, NotMoney
from parcelle.domain.billing import charges, gateways, payments, refunds, webhooks
from parcelle.domain.billing.errors import PaymentOpen
from parcelle.domain.billing.gateways.base import DECLINE_CODES, Expired, Forged, GatewayError, Paid, Pending
from parcelle.domain.billing.gateways.stripe import StripeGateway, decline_code, from_wire, to_wire
from parcelle.domain.billing.ledger import accounts, audit
from parcelle.domain.billing.models import GatewayEvent, GatewaySettings, LedgerEntry, Order, Payment, Refund
from tests.domain.billing.selling import LATER, open_shop, order
from tests.people import NOW
from tests.simulators import stripe
from tests.simulators.stripe import Fault, shuffled


@pytest.fixture
def server() -> Iterator[stripe.Stripe]:
    with stripe.serving() as running:
        yield running


@pytest.fixture
def shop(db: None, server: stripe.Stripe, test_blueprints: Any) -> Any:
    values = {"secret_key": server.key, "webhook_secrets": server.webhook_secret, "api_url": server.url}
    GatewaySettings.objects.create(name="stripe", enabled=True, values=values)
    return open_shop()


@pytest.fixture
def placed(shop: Any) -> Order:
    return order(shop)


def attempt(placed: Order) -> Payment:
    payment = payments.begin(placed.pk, gateway="stripe", details={}, now=NOW)
    payments.carry_out(payment.pk, now=NOW)
    payment.refresh_from_db()
    return payment


def look(payment: Payment) -> Payment:
    payments.look(payment.pk, now=LATER)
    payment.refresh_from_db()
    return payment


def deliver(message: stripe.Message) -> None:
    if webhooks.receive("stripe", headers=message.headers, body=message.body, now=NOW):
        webhooks.process(GatewayEvent.objects.order_by("pk").last().pk, now=LATER)  # type: ignore[union-attr]


def charge_of(payment: Payment) -> Any:
    return charges.charge_of(Payment.objects.get(pk=payment.pk))


def gateway() -> Any:
    return gateways.open_gateway("stripe")


# --- amounts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "currency", "wire"),
    [
        ("58.80", "EUR", 5880),
        ("5000", "XAF", 5000),
        ("5000", "XOF", 5000),
        ("500", "JPY", 500),
        ("5", "ISK", 500),
        ("10.45", "HUF", 1045),
        ("800.45", "TWD", 80045),
        ("5.120", "KWD", 5120),
    ],
)
def test_p03_every_currency_in_the_units_of_stripe(amount: str, currency: str, wire: int) -> None:
    assert to_wire(Money.of(amount, currency)) == wire
    assert from_wire(wire, currency.lower()) == Money.of(amount, currency)


@pytest.mark.parametrize("money", [Money.of("5.124", "KWD"), Money.of("1000", "UGX")])
def test_p03_what_stripe_cannot_express_is_refused(money: Money) -> None:
    with pytest.raises(NotMoney):
        to_wire(money)


@pytest.mark.parametrize(("wire", "currency"), [(550, "isk"), (1, "ugx"), (5, "nonsense")])
def test_p03_what_we_cannot_express_is_refused(wire: int, currency: str) -> None:
    with pytest.raises(NotMoney):
        from_wire(wire, currency)


@given(currency=st.sampled_from(sorted(list_currencies())), minor=st.integers(0, 10**9))
def test_p03_there_and_back_is_the_same_or_a_clean_refusal(currency: str, minor: int) -> None:
    try:
        money = Money(minor, currency)
        wire = to_wire(money)
    except NotMoney:
        return
    assert from_wire(wire, currency.lower()) == money


def test_too_little_too_much_and_what_it_cannot_count_are_not_accepted() -> None:
    opened = StripeGateway.open({}, False)
    taken = {money: opened.accepts(money, "FR") for money in map(Money, (49, 50, 99_999_999, 10**8), ["EUR"] * 4)}
    assert list(taken.values()) == [False, True, True, False]
    assert not opened.accepts(Money.of("1000", "UGX"), "UG")
    assert [opened.accepts(Money(minor, "XAF"), "CM") for minor in (327, 328)] == [False, True]


def test_every_reason_of_stripe_has_a_word_of_ours() -> None:
    assert {decline_code(code) for code in (None, "new_one", "insufficient_funds", "stolen_card")} <= DECLINE_CODES
    assert decline_code("insufficient_funds") == "not_enough_funds"
    assert decline_code("payment_intent_authentication_failure") == "refused_by_payer"


# --- settings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "production", "problem"),
    [
        ({"secret_key": ""}, False, "begins with sk_"),
        ({"secret_key": "pk_test_1"}, False, "publishable"),
        ({"secret_key": "sk_live_1"}, False, "live key"),
        ({"secret_key": "sk_test_1"}, True, "test key"),
        ({"secret_key": "sk_prod_1"}, True, "sk_live_"),
        ({"secret_key": "sk_test_guessed"}, False, "does not know"),
        ({"webhook_secrets": ""}, False, "whsec_"),
        ({"webhook_secrets": "whsec_1 we_2"}, False, "whsec_"),
        ({"secret_key": "sk_live_1"}, True, "own address"),
        ({"api_url": "http://127.0.0.1:1"}, False, "cannot be asked"),
    ],
)
def test_wrong_settings_are_named(server: stripe.Stripe, changes: Any, production: bool, problem: str) -> None:
    values = {"secret_key": server.key, "webhook_secrets": "whsec_1", "api_url": server.url}
    assert any(problem in text for text in StripeGateway.open(values | changes, production).problems())


def test_an_account_that_answers_from_its_other_mode_is_a_problem(server: stripe.Stripe) -> None:
    values = {"secret_key": server.key, "webhook_secrets": "whsec_1", "api_url": server.url}
    server.livemode = True
    assert StripeGateway.open(values, False).problems() == ["Stripe answers from its other mode."]


# --- paying -------------------------------------------------------------------------------------------------


def test_a_card_that_works(placed: Order, server: stripe.Stripe) -> None:
    payment = attempt(placed)
    assert (payment.state, payment.memo["url"].startswith(server.url)) == ("pending", True)
    server.pay(server.session_of(payment.pk))
    assert (look(payment).state, payment.fee_minor) == ("paid", 88 + 25)


def test_what_is_sent(placed: Order, server: stripe.Stripe) -> None:
    payment = attempt(placed)
    [made] = server.table("checkout.session").values()
    asked = server.table("asked")[made["id"]]
    assert (made["amount_total"], made["currency"], made["locale"]) == (5880, "eur", "fr")
    assert made["client_reference_id"] == made["metadata"]["payment"] == asked["metadata"]["payment"] == str(payment.pk)
    assert made["adaptive_pricing"] == {"enabled": False}
    assert server.seen[0].key == str(payment.key)


def test_a_declined_card_is_not_the_end_another_one_may_work(placed: Order, server: stripe.Stripe) -> None:
    payment = attempt(placed)
    session = server.session_of(payment.pk)
    server.decline(session, "insufficient_funds")
    assert look(payment).state == "pending"
    server.challenge(session)
    assert look(payment).state == "pending"
    server.answer_challenge(session, passed=True)
    assert look(payment).state == "paid"


def test_a_page_that_lapsed_says_why_the_last_card_did_not_work(placed: Order, server: stripe.Stripe) -> None:
    payment = attempt(placed)
    session = server.session_of(payment.pk)
    server.decline(session, "stolen_card")
    server.expire(session)
    assert (look(payment).state, payment.reason) == ("declined", "blocked")
    other = attempt(placed)
    server.expire(server.session_of(other.pk))
    assert look(other).state == "expired"


@pytest.mark.parametrize(("paid", "state"), [(True, "paid"), (False, "declined")])
def test_a_debit_that_takes_days(placed: Order, server: stripe.Stripe, paid: bool, state: str) -> None:
    payment = attempt(placed)
    session = server.session_of(payment.pk)
    server.pay_later(session)
    assert isinstance(gateway().fetch(charge_of(payment)), Pending)
    assert look(payment).state == "pending"
    server.settle(session, paid=paid)
    assert look(payment).state == state


@pytest.mark.parametrize("difference", [{"less": 1}, {"currency": "usd"}])
def test_p14_another_amount_or_currency_is_parked(placed: Order, server: stripe.Stripe, difference: Any) -> None:
    payment = attempt(placed)
    server.pay(server.session_of(payment.pk), **difference)
    assert (look(payment).state, payment.reason) == ("parked", "amount_differs")
    placed.refresh_from_db()
    assert placed.state == "open"


def test_a_currency_that_the_account_cannot_charge_is_our_fault(placed: Order, server: stripe.Stripe) -> None:
    server.currencies = {"usd"}
    payment = attempt(placed)
    assert (payment.state, payment.reason) == ("declined", "seller_setup")


def test_the_session_of_another_payment_is_not_believed(placed: Order, server: stripe.Stripe) -> None:
    payment = attempt(placed)
    session = server.session_of(payment.pk)
    server.pay(session)
    session["client_reference_id"] = "somebody else"
    assert look(payment).state == "pending"
    session.update(client_reference_id=str(payment.pk), livemode=True)
    assert look(payment).state == "pending"


# --- lost answers -------------------------------------------------------------------------------------------

LOST = [
    Fault("POST /v1/checkout", status=None, after=True, times=2),
    Fault("POST /v1/checkout", status=None, after=False, times=2),
    Fault("POST /v1/checkout", status=500, after=True, times=2),
    Fault("POST /v1/checkout", status=503, after=False, times=2),
    Fault("POST /v1/checkout", status=409, after=False, times=2),
]


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: f"{fault.status}-{fault.after}")
def test_p09_p10_a_lost_answer_is_unknown_and_the_same_key_brings_it_back(
    placed: Order, server: stripe.Stripe, fault: Fault
) -> None:
    server.faults = [dataclasses.replace(fault)]
    payment = attempt(placed)
    assert payment.state == "unknown"
    with pytest.raises(PaymentOpen):
        payments.begin(placed.pk, gateway="stripe", details={}, now=NOW)
    server.faults = []
    assert look(payment).state == "pending"
    assert len(server.table("checkout.session")) == 1
    posted = {(seen.key, seen.body) for seen in server.seen if seen.method == "POST"}
    assert posted == {(str(payment.key), server.seen[0].body)}
    server.pay(server.session_of(payment.pk))
    assert look(payment).state == "paid"


def test_an_error_of_the_server_heals_within_the_call(placed: Order, server: stripe.Stripe) -> None:
    server.faults = [Fault("POST /v1/checkout", status=500, after=True)]
    assert attempt(placed).state == "pending"
    assert len(server.table("checkout.session")) == 1


def test_what_never_left_the_house_is_declined(placed: Order, server: stripe.Stripe) -> None:
    GatewaySettings.objects.filter(name="stripe").update(
        values={"secret_key": server.key, "webhook_secrets": "whsec_1", "api_url": "http://127.0.0.1:1"}
    )
    payment = attempt(placed)
    assert (payment.state, payment.reason) == ("declined", "service_down")


def test_being_turned_away_at_the_door_is_no_outcome_of_what_was_sent(placed: Order, server: stripe.Stripe) -> None:
    server.faults = [Fault("POST /v1/checkout", status=429)]
    payment = attempt(placed)
    assert (payment.state, payment.reason) == ("declined", "service_down")


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, None])
def test_p09_no_error_declines_what_was_begun(placed: Order, server: stripe.Stripe, status: int | None) -> None:
    payment = attempt(placed)
    server.faults = [Fault("GET /v1/checkout", status=status, times=2)]
    with pytest.raises(GatewayError) as error:
        gateway().fetch(charge_of(payment))
    assert error.value.unknown
    assert look(payment).state == "pending"
    server.faults = []
    server.pay(server.session_of(payment.pk))
    assert look(payment).state == "paid"


def test_p09_a_key_that_was_exchanged_in_between_declines_nothing(placed: Order, server: stripe.Stripe) -> None:
    server.faults = [Fault("POST /v1/checkout", status=None, times=2)]
    payment = attempt(placed)
    server.key, old = "sk_test_new", server.key
    assert look(payment).state == "unknown"
    server.key = old
    assert look(payment).state == "pending"


def test_no_secret_is_in_what_an_operator_reads(placed: Order, server: stripe.Stripe) -> None:
    server.key, old = "sk_test_new", server.key
    payment = attempt(placed)
    assert (payment.state, payment.reason) == ("declined", "seller_setup")
    assert payment.remark and old not in payment.remark


# --- refunds ------------------------------------------------------------------------------------------------


@pytest.fixture
def paid(placed: Order, server: stripe.Stripe) -> Payment:
    payment = attempt(placed)
    server.pay(server.session_of(payment.pk))
    return look(payment)


def give(payment: Payment, minor: int) -> Refund:
    refund = refunds.request(payment.pk, amount=Money(minor, "EUR"), reason="goodwill", actor="operator", now=NOW)
    refunds.carry_out(refund.pk, now=LATER)
    refund.refresh_from_db()
    payment.refresh_from_db()
    return refund


def test_a_refund_in_parts(paid: Payment, server: stripe.Stripe) -> None:
    assert (give(paid, 880).state, paid.state) == ("done", "partly_refunded")
    assert (give(paid, 5000).state, paid.state) == ("done", "refunded")
    assert [row["amount"] for row in server.table("refund").values()] == [880, 5000]


@pytest.mark.parametrize("after", [True, False])
def test_p10_a_refund_whose_answer_was_lost_is_given_once(paid: Payment, server: stripe.Stripe, after: bool) -> None:
    server.faults = [Fault("POST /v1/refunds", status=None, after=after, times=2)]
    refund = give(paid, 1000)
    assert refund.state == "unknown"
    # By then the key is forgotten: what was written on the refund is not.
    server.faults, server.answers = [], {}
    refunds.carry_out(refund.pk, now=LATER)
    refund.refresh_from_db()
    assert (refund.state, len(server.table("refund"))) == ("done", 1)


@pytest.mark.parametrize(("done", "state"), [(True, "done"), (False, "failed")])
def test_a_refund_that_takes_days(paid: Payment, server: stripe.Stripe, done: bool, state: str) -> None:
    server.refund_status = "pending"
    refund = give(paid, 1000)
    assert refund.state == "pending"
    server.end_refund(server.table("refund")[refund.provider_id], done=done)
    refunds.carry_out(refund.pk, now=LATER)
    refund.refresh_from_db()
    paid.refresh_from_db()
    assert (refund.state, paid.refunded_minor) == (state, 1000 if done else 0)


def test_what_was_given_back_in_the_dashboard_is_not_given_twice(paid: Payment, server: stripe.Stripe) -> None:
    server.give_back(server.charge_of(server.session_of(paid.pk)))
    assert give(paid, 5880).state == "failed"


# --- after the money ----------------------------------------------------------------------------------------


def test_what_is_given_back_in_the_dashboard_reaches_the_payment(paid: Payment, server: stripe.Stripe) -> None:
    charge = server.charge_of(server.session_of(paid.pk))
    server.give_back(charge, 880)
    deliver(server.told("refund.created")[-1])
    paid.refresh_from_db()
    assert (paid.state, paid.refunded_minor) == ("partly_refunded", 880)
    for message in server.messages:
        deliver(message)
    server.give_back(charge)
    deliver(server.told("charge.refunded")[-1])
    paid.refresh_from_db()
    assert (paid.state, Refund.objects.count()) == ("refunded", 2)


def test_our_own_refunds_are_not_taken_for_somebody_elses(paid: Payment, server: stripe.Stripe) -> None:
    give(paid, 880)
    for message in server.messages:
        deliver(message)
    paid.refresh_from_db()
    assert (paid.refunded_minor, Refund.objects.count()) == (880, 1)


def test_a_message_about_a_refund_settles_it(paid: Payment, server: stripe.Stripe) -> None:
    server.refund_status = "pending"
    refund = give(paid, 880)
    server.end_refund(server.table("refund")[refund.provider_id], done=False)
    deliver(server.told("refund.failed")[-1])
    refund.refresh_from_db()
    assert (refund.state, refund.remark) == ("failed", "failed expired_or_canceled_card")


def test_a_refund_that_comes_back_from_the_bank_is_the_customers_credit(paid: Payment, server: stripe.Stripe) -> None:
    refund = give(paid, 5880)
    assert refund.state == "done"
    server.end_refund(server.table("refund")[refund.provider_id], done=False)
    for _twice in range(2):
        for message in server.told("refund.failed") + server.told("refund.updated"):
            deliver(message)
    refund.refresh_from_db()
    paid.refresh_from_db()
    assert (refund.state, refund.remark) == ("came_back", "failed expired_or_canceled_card")
    # It is owed to the customer, and is not given back a second time here.
    assert (paid.state, paid.refunded_minor) == ("refunded", 5880)
    held = dict(
        LedgerEntry.objects.filter(transaction__key=f"refund-back:{refund.pk}").values_list("account", "amount_minor")
    )
    assert held == {accounts.rail("stripe"): 5880, accounts.CREDIT: -5880}
    assert audit.differences() == []


@pytest.mark.parametrize("won", [True, False])
def test_a_dispute_reaches_the_payment_and_so_does_its_end(paid: Payment, server: stripe.Stripe, won: bool) -> None:
    dispute = server.dispute(server.charge_of(server.session_of(paid.pk)))
    deliver(server.told("charge.dispute.created")[-1])
    paid.refresh_from_db()
    assert (paid.state, paid.disputed) == ("paid", True)
    server.end_dispute(dispute, won=won)
    deliver(server.told("charge.dispute.closed")[-1])
    paid.refresh_from_db()
    assert (paid.state, paid.disputed) == ("paid" if won else "charged_back", False)
    assert paid.charged_back_minor == (0 if won else 5880)
    for message in server.messages:
        deliver(message)
    paid.refresh_from_db()
    # Once, and whoever wins.
    fees = LedgerEntry.objects.filter(account=accounts.FEES, transaction__key__startswith="dispute-fee:")
    assert [entry.amount_minor for entry in fees] == [paid.dispute_fee_minor] == [stripe.DISPUTE_FEE]
    assert Fact.objects.filter(name="PaymentChargedBack").count() == (not won)


def test_a_dispute_about_nothing_of_ours_is_ignored(paid: Payment, server: stripe.Stripe) -> None:
    server.dispute(server.charge_of(server.session_of(paid.pk)))
    for intent in server.table("payment_intent").values():
        intent["metadata"] = {}
    deliver(server.messages[-1])
    assert GatewayEvent.objects.get().state == "ignored"


def test_p11_a_message_whose_payment_cannot_be_asked_for_is_tried_again(paid: Payment, server: stripe.Stripe) -> None:
    server.dispute(server.charge_of(server.session_of(paid.pk)))
    server.faults = [Fault("GET /v1/payment_intents", status=500, times=2)]
    with pytest.raises(GatewayError):
        deliver(server.messages[-1])
    event = GatewayEvent.objects.get()
    assert event.state == "failed"
    server.faults = []
    webhooks.process(event.pk, now=LATER)
    paid.refresh_from_db()
    assert paid.disputed


def test_a_customer_who_wants_to_pay_otherwise_closes_the_page(placed: Order, server: stripe.Stripe) -> None:
    payment = attempt(placed)
    assert isinstance(gateway().cancel(charge_of(payment)), Expired)
    assert server.session_of(payment.pk)["status"] == "expired"
    assert look(payment).state == "expired"
    # Who has paid meanwhile has paid.
    other = attempt(placed)
    server.pay(server.session_of(other.pk))
    assert isinstance(gateway().cancel(charge_of(other)), Paid)


# --- messages -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_p07_messages_twice_and_in_any_order_are_one_payment(placed: Order, server: stripe.Stripe, seed: int) -> None:
    payment = attempt(placed)
    session = server.session_of(payment.pk)
    server.decline(session)
    server.pay(session)
    for message in shuffled(server.messages, seed):
        deliver(message)
        if seed % 2:
            look(payment)
    payment.refresh_from_db()
    assert payment.state == "paid"
    assert GatewayEvent.objects.filter(state="done").count() == len(server.messages)
    assert Fact.objects.filter(name="PaymentReceived").count() == Fact.objects.filter(name="OrderPaid").count() == 1


def test_every_message_about_a_payment_leads_to_it(placed: Order, server: stripe.Stripe) -> None:
    payment = attempt(placed)
    session = server.session_of(payment.pk)
    server.pay(session)
    server.give_back(server.charge_of(session), 100)
    for message in server.messages:
        event = gateway().parse_webhook(message.headers, message.body)
        assert event.kind == message.event["type"]
        if message.event["data"]["object"]["object"] != "refund":
            assert event.subject == str(payment.pk)


def forgeries(server: stripe.Stripe, message: stripe.Message) -> dict[str, tuple[Any, bytes]]:
    old, early = (server.signed(message.event, at=server.now() + seconds) for seconds in (-301, 3000))
    foreign = server.signed(message.event, secret="whsec_guessed")
    live = server.signed(message.event | {"livemode": True})
    only_v0 = {"stripe-signature": message.headers["stripe-signature"].replace("v1=", "v2=")}
    return {
        "stale": (old.headers, old.body),
        "from the future": (early.headers, early.body),
        "wrong secret": (foreign.headers, foreign.body),
        "other mode": (live.headers, live.body),
        "altered": (message.headers, message.body.replace(b"unpaid", b"paid") + b" "),
        "only v0": (only_v0, message.body),
        "unsigned": ({}, message.body),
        "not text": (message.headers, b"\xff\xfe"),
        "nonsense": ({"stripe-signature": "t=,v1"}, message.body),
    }


NAMES = [
    "stale",
    "from the future",
    "wrong secret",
    "other mode",
    "altered",
    "only v0",
    "unsigned",
    "not text",
    "nonsense",
]


@pytest.mark.parametrize("name", NAMES)
def test_p12_forged_and_stale_messages_change_nothing(placed: Order, server: stripe.Stripe, name: str) -> None:
    payment = attempt(placed)
    server.pay(server.session_of(payment.pk))
    headers, body = forgeries(server, server.messages[-1])[name]
    with pytest.raises(Forged):
        webhooks.receive("stripe", headers=headers, body=body, now=NOW)
    assert not GatewayEvent.objects.exists()
    payment.refresh_from_db()
    assert payment.state == "pending"


def test_p12_a_signed_message_of_another_account_is_about_nothing_of_ours(placed: Order, server: stripe.Stripe) -> None:
    payment = attempt(placed)
    server.pay(server.session_of(payment.pk))
    deliver(server.signed(server.messages[-1].event | {"account": "acct_other"}))
    payment.refresh_from_db()
    assert (payment.state, GatewayEvent.objects.get().state) == ("pending", "ignored")


def test_two_secrets_hold_while_one_is_exchanged(placed: Order, server: stripe.Stripe) -> None:
    payment = attempt(placed)
    server.pay(server.session_of(payment.pk))
    both = StripeGateway.open({"webhook_secrets": f"whsec_next  {server.webhook_secret}"}, False)
    message = server.messages[-1]
    assert both.parse_webhook(message.headers, message.body).subject == str(payment.pk)
    # The other way round: Stripe signs with both, we know one.
    server.old_webhook_secret = server.webhook_secret
    server.webhook_secret = "whsec_new"
    message = server.signed(message.event)
    assert gateway().parse_webhook(message.headers, message.body).subject == str(payment.pk)


@given(
    actions=st.lists(st.sampled_from(["decline", "challenge", "fail", "look", "expire", "pay", "message"]), max_size=8)
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_p07_both_books_agree_whatever_the_customer_does(shop: Any, server: stripe.Stripe, actions: list[str]) -> None:
    from django.db import transaction

    with transaction.atomic():
        payment = attempt(order(shop))
        session = server.session_of(payment.pk)
        acts = {
            "decline": server.decline,
            "challenge": server.challenge,
            "fail": lambda row: server.answer_challenge(row, passed=False),
            "expire": server.expire,
            "pay": server.pay,
        }
        for action in [*actions, "look"]:
            if action == "look":
                look(payment)
            elif action == "message" and server.messages:
                deliver(server.messages[-1])
            elif session["status"] == "open" and action in acts:
                acts[action](session)
        outcome = {"open": "pending", "complete": "paid"}.get(session["status"], "lost")
        lost = {"expired", "declined"}
        assert payment.state == outcome or (outcome == "lost" and payment.state in lost)
        transaction.set_rollback(True)
