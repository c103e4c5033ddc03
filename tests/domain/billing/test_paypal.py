"""Money by PayPal: the client against the simulator, over real HTTP, through our own tables."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parcelle.core.models import Fact
from parcelle.core.money import Money, NotMoney
from parcelle.domain.billing import gateways, payment_states, payments, refunds, webhooks
from parcelle.domain.billing.errors import PaymentOpen
from parcelle.domain.billing.gateways import paypal_api, paypal_issues, paypal_messages, paypal_money
from parcelle.domain.billing.gateways.base import DECLINE_CODES, Forged, GatewayError
from parcelle.domain.billing.gateways.paypal import LIVE, SANDBOX, PayPal
from parcelle.domain.billing.models import GatewayEvent, GatewaySettings, Order, Payment, Refund
from tests import needs
from tests.domain.billing.selling import LATER, open_shop, order
from tests.people import NOW

needs.require("specs")

from tests.simulators import paypal, paypal_books, paypal_server, paypal_signing, paypal_specs

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]


@pytest.fixture
def there() -> Iterator[paypal.PayPal]:
    """PayPal's side. Whatever is said in either direction has to fit its documents."""
    with paypal_server.serving(paypal.PayPal()) as running:
        GatewaySettings.objects.create(name="paypal", enabled=True, values=paypal_server.settings_of(running))
        yield running
    assert running.violations == []


@pytest.fixture
def placed(there: paypal.PayPal) -> Order:
    return order(open_shop())


@pytest.fixture
def payment(placed: Order) -> Payment:
    return begun(placed)


def begun(placed: Order) -> Payment:
    payment = payments.begin(placed.pk, gateway="paypal", details={}, now=NOW)
    payments.carry_out(payment.pk, now=NOW)
    payment.refresh_from_db()
    return payment


def look(payment: Payment) -> Payment:
    payments.look(payment.pk, now=LATER)
    payment.refresh_from_db()
    return payment


@pytest.fixture
def paid(there: paypal.PayPal, payment: Payment) -> Payment:
    there.approve(there.only_order())
    return look(payment)


def facts(name: str) -> list[Any]:
    return [fact.data for fact in Fact.objects.filter(name=name).order_by("id")]


def creations(there: paypal.PayPal) -> list[paypal.Seen]:
    return [seen for seen in there.seen if seen.line == "POST /v2/checkout/orders"]


def captures(there: paypal.PayPal) -> list[paypal.Seen]:
    return [seen for seen in there.seen if seen.line.endswith("/capture")]


# --- the way through ----------------------------------------------------------------------------------------


def test_an_order_is_made_approved_and_captured(there: paypal.PayPal, payment: Payment, placed: Order) -> None:
    made = there.only_order()
    assert payment.state == "pending"
    assert payment.memo["url"] == f"{there.url}/checkoutnow?token={made.id}"
    assert made.unit["custom_id"] == str(payment.pk)
    assert made.unit["invoice_id"] == f"{placed.number}-{payment.number}"
    there.approve(made)
    assert look(payment).state == "paid"
    assert payment.provider_id == made.captures[0].id
    assert payment.fee_minor == int(made.captures[0].fee.value * 100) > 0
    placed.refresh_from_db()
    assert placed.state == "paid"


@pytest.mark.parametrize("kind", ["approve", "payer-action"])
def test_both_kinds_of_link_lead_to_the_approval(
    there: paypal.PayPal, placed: Order, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paypal_books.Order, "approval_kind", kind)
    assert "/checkoutnow?token=" in begun(placed).memo["url"]


def test_before_the_approval_nothing_is_captured(there: paypal.PayPal, payment: Payment) -> None:
    assert look(payment).state == "pending"
    assert captures(there) == []


def test_an_order_that_nobody_approves_lapses_by_paypals_clock(there: paypal.PayPal, payment: Payment) -> None:
    there.forgets = False
    there.advance(hours=5)
    assert look(payment).state == "pending"
    there.advance(hours=2)
    assert look(payment).state == "expired"


def test_an_order_that_paypal_has_forgotten_has_lapsed(there: paypal.PayPal, payment: Payment) -> None:
    there.advance(hours=7)
    assert there.orders == {}
    assert look(payment).state == "expired"


def test_an_approval_that_was_not_captured_in_time_is_void(there: paypal.PayPal, payment: Payment) -> None:
    there.approve(there.only_order())
    there.advance(hours=7)
    deliver(there, there.message("CHECKOUT.PAYMENT-APPROVAL.REVERSED"))
    payment.refresh_from_db()
    assert payment.state == "expired"


@pytest.mark.parametrize("approved", [False, True])
def test_who_pays_another_way_after_all_is_never_charged_here(
    there: paypal.PayPal, payment: Payment, placed: Order, approved: bool
) -> None:
    if approved:
        there.approve(there.only_order())
    payments.cancel(payment.pk, now=LATER)
    payment.refresh_from_db()
    assert payment.state == "expired"
    if not approved:
        there.approve(there.only_order())
    # The message comes, and the old window is still open somewhere.
    deliver(there, there.message("CHECKOUT.ORDER.APPROVED"))
    assert (look(payment).state, captures(there)) == ("expired", [])
    assert begun(placed).state == "pending"


@pytest.mark.parametrize("fate", ["complete", "pending:PENDING_REVIEW"])
def test_what_paypal_has_taken_is_not_cancelled(there: paypal.PayPal, payment: Payment, fate: str) -> None:
    there.approve(there.only_order(), fate)
    there._capture(there.only_order())
    payments.cancel(payment.pk, now=LATER)
    payment.refresh_from_db()
    assert payment.state == ("paid" if fate == "complete" else "pending")


# --- declined -------------------------------------------------------------------------------------------------

ISSUES = [
    ("PAYER_CANNOT_PAY", "no_account"),
    ("PAYER_ACCOUNT_RESTRICTED", "no_account"),
    ("TRANSACTION_REFUSED", "declined"),
    ("MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED", "declined"),
    ("TRANSACTION_LIMIT_EXCEEDED", "limit_reached"),
    ("COMPLIANCE_VIOLATION", "blocked"),
    ("TRANSACTION_RECEIVING_LIMIT_EXCEEDED", "seller_setup"),
    ("PERMISSION_DENIED", "seller_setup"),
    ("declined", "declined"),
    ("failed", "declined"),
]


@pytest.mark.parametrize(("issue", "code"), ISSUES)
def test_a_refused_capture_says_why(there: paypal.PayPal, payment: Payment, issue: str, code: str) -> None:
    there.approve(there.only_order(), issue)
    assert (look(payment).state, payment.reason) == ("declined", code)
    assert payment.remark
    # For PayPal's support, who ask for it.
    assert "debug_id" in payment.remark or issue in {"declined", "failed"}


def test_every_issue_that_the_documents_name_has_a_meaning() -> None:
    handled = {*paypal_issues.DECLINES, *paypal_issues.OTHER_SOURCE, *paypal_issues.IN_PROGRESS, *paypal_issues.LOOK}
    for path in ("/v2/checkout/orders", "/v2/checkout/orders/X/capture"):
        for status in (400, 403, 422):
            assert set(paypal_specs.descriptions(path, status)) <= handled
    assert set(paypal_issues.DECLINES.values()) <= DECLINE_CODES


def test_a_declined_card_sends_the_customer_back_to_choose_another(there: paypal.PayPal, payment: Payment) -> None:
    made = there.only_order()
    there.approve(made, "INSTRUMENT_DECLINED")
    assert look(payment).state == "pending"
    assert payment.memo["url"] == f"{there.url}/checkoutnow?token={made.id}"
    # Nobody chose anything: asking again would only use up the attempts that PayPal allows.
    look(payment)
    assert len(captures(there)) == 1
    there.approve(made)
    assert look(payment).state == "paid"
    assert len({seen.key for seen in captures(there)}) == 2


def test_what_paypal_holds_is_pending_until_it_settles(there: paypal.PayPal, payment: Payment) -> None:
    there.approve(there.only_order(), "pending:PENDING_REVIEW")
    assert look(payment).state == "pending"
    assert facts("PaymentReceived") == []
    there.settle(there.capture_of(payment.pk), "COMPLETED")
    assert look(payment).state == "paid"


def test_money_that_waits_for_the_operator_says_so(there: paypal.PayPal, payment: Payment) -> None:
    there.approve(there.only_order(), "pending:RECEIVING_PREFERENCE_MANDATES_MANUAL_ACTION")
    assert "until you act" in look(payment).remark


def test_a_held_capture_that_is_denied_was_not_paid(there: paypal.PayPal, payment: Payment) -> None:
    there.approve(there.only_order(), "pending:ECHECK")
    look(payment)
    there.settle(there.capture_of(payment.pk), "DECLINED")
    assert look(payment).state == "declined"


@pytest.mark.parametrize("scripted", ["short", "currency:USD"])
def test_p14_another_amount_or_currency_is_parked(
    there: paypal.PayPal, payment: Payment, placed: Order, scripted: str
) -> None:
    there.approve(there.only_order(), scripted)
    assert (look(payment).state, payment.reason) == ("parked", "amount_differs")
    placed.refresh_from_db()
    assert (placed.state, facts("OrderPaid")) == ("open", [])


def test_an_order_of_somebody_else_is_not_captured(there: paypal.PayPal, payment: Payment) -> None:
    there.approve(there.only_order())
    there.only_order().unit["custom_id"] = "00000000-0000-0000-0000-000000000000"
    assert look(payment).state == "pending"
    assert captures(there) == []


def test_p14_a_capture_of_somebody_else_is_parked(there: paypal.PayPal, payment: Payment) -> None:
    made = there.only_order()
    there.approve(made)
    there._capture(made)
    made.unit["custom_id"] = "00000000-0000-0000-0000-000000000000"
    assert (look(payment).state, facts("OrderPaid")) == ("parked", [])


# --- lost, slow and wrong answers ---------------------------------------------------------------------------

UNKNOWN = ["cut", "lost", "500", "503", "429", "html", "empty"]


@pytest.mark.parametrize("kind", UNKNOWN)
def test_p09_p10_an_order_without_an_answer_is_unknown_and_made_once(
    there: paypal.PayPal, placed: Order, kind: str
) -> None:
    there.faults.append(paypal.Fault("POST /v2/checkout/orders$", kind))
    payment = begun(placed)
    assert payment.state == "unknown"
    with pytest.raises(PaymentOpen):
        payments.begin(placed.pk, gateway="paypal", details={}, now=NOW)
    assert look(payment).state == "pending"
    assert len(there.orders) == 1
    first, second = creations(there)
    assert (first.key, first.body) == (second.key, second.body)
    there.approve(there.only_order())
    assert look(payment).state == "paid"


@pytest.mark.parametrize("kind", UNKNOWN)
def test_p10_a_capture_without_an_answer_is_looked_for_before_it_is_repeated(
    there: paypal.PayPal, payment: Payment, kind: str
) -> None:
    there.approve(there.only_order())
    there.faults.append(paypal.Fault("/capture$", kind))
    assert look(payment).state == "pending"
    asked = len(there.seen)
    assert look(payment).state == "paid"
    assert there.seen[asked].line.startswith("GET /v2/checkout/orders/")
    assert len({seen.key for seen in captures(there)}) == 1
    assert len(there.captures) == 1
    assert len(facts("OrderPaid")) == 1


def test_p09_a_slow_answer_is_no_answer(there: paypal.PayPal, placed: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paypal_api, "READ_SECONDS", 0.3)
    there.faults.append(paypal.Fault("POST /v2/checkout/orders$", "slow", seconds=1.0))
    payment = begun(placed)
    assert payment.state == "unknown"
    monkeypatch.setattr(paypal_api, "READ_SECONDS", 20)
    assert look(payment).state == "pending"
    assert len(there.orders) == 1


def test_a_service_that_cannot_be_reached_was_asked_nothing(there: paypal.PayPal, placed: Order) -> None:
    there.faults.append(paypal.Fault("oauth2", "503"))
    assert (begun(placed).state, begun_reason(placed)) == ("declined", "service_down")


def begun_reason(placed: Order) -> str:
    return placed.payments.latest("created_at").reason


def test_captured_by_somebody_else_in_between_is_captured(there: paypal.PayPal, payment: Payment) -> None:
    made = there.only_order()
    there.approve(made)
    there._capture(made)
    made.status = "APPROVED"
    shown, made.captures = made.captures, []
    there.faults.append(paypal.Fault("/capture$", "cut"))
    look(payment)
    made.captures, made.status = shown, "COMPLETED"
    assert look(payment).state == "paid"


def test_beyond_the_memory_of_paypal_a_second_order_is_harmless(there: paypal.PayPal, placed: Order) -> None:
    there.faults.append(paypal.Fault("POST /v2/checkout/orders$", "lost"))
    payment = begun(placed)
    there.forgets = False
    there.advance(hours=7)
    assert look(payment).state == "pending"
    assert len(there.orders) == 2
    there.approve(there.orders[payment.memo["order"]])
    assert look(payment).state == "paid"


# --- the token ----------------------------------------------------------------------------------------------


def tokens(there: paypal.PayPal) -> int:
    return sum(seen.line == "POST /v1/oauth2/token" for seen in there.seen)


def test_one_token_serves_many_calls(there: paypal.PayPal, payment: Payment) -> None:
    for _time in range(3):
        look(payment)
    assert tokens(there) == 1


def test_a_revoked_token_is_renewed_once(there: paypal.PayPal, payment: Payment) -> None:
    there.revoke_tokens()
    assert look(payment).state == "pending"
    assert tokens(there) == 2


def test_credentials_that_were_changed_at_paypal_are_the_sellers_fault(there: paypal.PayPal, placed: Order) -> None:
    there.secret = "another"
    payment = begun(placed)
    assert (payment.state, payment.reason) == ("declined", "seller_setup")


def test_the_secret_is_in_no_error(there: paypal.PayPal, placed: Order) -> None:
    there.secret = "another"
    payment = begun(placed)
    assert "secret-of-the-shop" not in payment.remark + repr(gateways.open_gateway("paypal"))


# --- browser, message and sweeper ---------------------------------------------------------------------------


def deliver(there: paypal.PayPal, sent: paypal.Sent, **forged: Any) -> bool:
    """The message as our site takes it, and the job that follows."""
    new = webhooks.receive("paypal", headers=there.headers(sent.body, **forged), body=sent.body, now=NOW)
    for event in GatewayEvent.objects.filter(state="received"):
        webhooks.process(event.pk, now=LATER)
    return new


def test_the_message_alone_is_enough(there: paypal.PayPal, payment: Payment) -> None:
    there.approve(there.only_order())
    deliver(there, there.message("CHECKOUT.ORDER.APPROVED"))
    payment.refresh_from_db()
    assert payment.state == "paid"


NEWS = ["browser", "sweeper", "CHECKOUT.ORDER.APPROVED", "PAYMENT.CAPTURE.COMPLETED"]


@given(order_of_news=st.lists(st.sampled_from(NEWS), min_size=1, max_size=7))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_p07_browser_message_and_sweeper_in_any_order_count_once(
    there: paypal.PayPal, order_of_news: list[str]
) -> None:
    from django.db import transaction

    with transaction.atomic():
        placed = order(open_shop())
        payment = begun(placed)
        made = there.order_of(payment.pk)
        there.approve(made)
        approved = there.message("CHECKOUT.ORDER.APPROVED")
        for news in order_of_news:
            if news in {"browser", "sweeper"}:
                payments.look(payment.pk, now=LATER)
            elif news == approved.kind:
                deliver(there, approved)
            elif made.captures:
                deliver(there, there.message(news))
        payment.refresh_from_db()
        assert payment.state == ("paid" if set(order_of_news) - {"PAYMENT.CAPTURE.COMPLETED"} else "pending")
        counted = int(payment.state == "paid")
        assert (len(facts("OrderPaid")), len(facts("PaymentReceived"))) == (counted, counted)
        assert len(made.captures) == counted
        transaction.set_rollback(True)


def test_p07_a_message_that_comes_again_is_the_same(there: paypal.PayPal, paid: Payment) -> None:
    told = there.message("PAYMENT.CAPTURE.COMPLETED")
    assert [deliver(there, told) for _time in range(3)] == [True, False, False]


def test_p13_a_late_denial_does_not_undo_what_was_paid(there: paypal.PayPal, paid: Payment) -> None:
    there.capture_of(paid.pk).status = "DECLINED"
    assert look(paid).state == "paid"


# --- forged -------------------------------------------------------------------------------------------------


@pytest.fixture
def told(there: paypal.PayPal, payment: Payment) -> paypal.Sent:
    there.approve(there.only_order())
    return there.message("CHECKOUT.ORDER.APPROVED")


def refuse(there: paypal.PayPal, headers: dict[str, str], body: bytes) -> None:
    """It is not taken, not stored, and nothing is asked because of it."""
    asked = len(there.seen)
    with pytest.raises(Forged):
        webhooks.receive("paypal", headers=headers, body=body, now=NOW)
    assert not GatewayEvent.objects.exists()
    assert [seen for seen in there.seen[asked:] if "certs" not in seen.path] == []
    assert Payment.objects.get().state == "pending"


def test_p12_a_genuine_one_is_taken(there: paypal.PayPal, told: paypal.Sent) -> None:
    assert deliver(there, told)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/v1/notifications/certs/CERT-1",
        "https://paypal.com.evil.example/CERT-1",
        "https://evilpaypal.com/CERT-1",
        "https://api.paypal.com@evil.example/CERT-1",
        "https://user@api.paypal.com/CERT-1",
        "https://api.paypal.com:8443/CERT-1",
        "http://api.paypal.com/CERT-1",
        "https://api.paypal.com:nonsense/CERT-1",
        "file:///etc/ssl/cert.pem",
    ],
)
def test_p12_a_certificate_from_elsewhere_does_not_count(there: paypal.PayPal, told: paypal.Sent, url: str) -> None:
    refuse(there, there.headers(told.body, cert_url=url), told.body)
    assert not paypal_messages.Judge("x").trusts(url)


def test_the_certificates_of_paypals_own_hosts_count() -> None:
    judge = paypal_messages.Judge("x")
    for host in ("api.paypal.com", "api.sandbox.paypal.com", "API.PayPal.com", "paypal.com"):
        assert judge.trusts(f"https://{host}/v1/notifications/certs/CERT-1")


def test_p12_a_message_for_another_webhook_does_not_count(there: paypal.PayPal, told: paypal.Sent) -> None:
    refuse(there, there.headers(told.body, webhook_id="2XX4291016473214C"), told.body)


def test_p12_an_altered_or_rewritten_body_does_not_count(there: paypal.PayPal, told: paypal.Sent) -> None:
    headers = there.headers(told.body)
    refuse(there, headers, told.body.replace(b"APPROVED", b"COMPLETE"))
    refuse(there, headers, json.dumps(json.loads(told.body)).encode())
    refuse(there, headers, b"")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("paypal-transmission-time", "2020-01-01T00:00:00Z"),
        ("paypal-transmission-id", "69cd13f0-d67a-11e5-baa3-778b53f4ae55"),
        ("paypal-transmission-sig", "bm90IGEgc2lnbmF0dXJl"),
        ("paypal-transmission-sig", "no base64!"),
        ("paypal-auth-algo", "SHA1withRSA"),
        ("paypal-cert-url", ""),
        ("paypal-transmission-sig", ""),
    ],
)
def test_p12_what_is_signed_is_all_of_it(there: paypal.PayPal, told: paypal.Sent, header: str, value: str) -> None:
    refuse(there, {**there.headers(told.body), header: value}, told.body)


def test_p12_a_stale_message_changes_nothing_again(there: paypal.PayPal, told: paypal.Sent) -> None:
    """No time limit is prescribed: what comes a second time, however late, is the same event."""
    assert deliver(there, told)
    there.advance(days=3)
    assert not deliver(there, told)
    assert len(facts("OrderPaid")) == 1


def certificate(there: paypal.PayPal, name: str = paypal_signing.SIGNER, **dates: timedelta) -> x509.Certificate:
    return there.signing.authority.issue(name, there.signing.key, **dates)


def test_p12_a_certificate_that_has_run_out_does_not_count(there: paypal.PayPal, told: paypal.Sent) -> None:
    long_ago = certificate(there, begins=timedelta(days=-9), lasts=timedelta(days=1))
    there.certificates["CERT-2"] = long_ago
    refuse(there, there.headers(told.body, cert="CERT-2"), told.body)


def test_p12_a_certificate_of_somebody_else_does_not_count(there: paypal.PayPal, told: paypal.Sent) -> None:
    there.certificates["CERT-2"] = certificate(there, "shop.example")
    refuse(there, there.headers(told.body, cert="CERT-2"), told.body)


def test_p12_a_certificate_that_nobody_vouches_for_does_not_count(there: paypal.PayPal, told: paypal.Sent) -> None:
    stranger = paypal_signing.Authority.new("Stranger")
    there.certificates["CERT-2"] = stranger.issue(paypal_signing.SIGNER, there.signing.key)
    refuse(there, there.headers(told.body, cert="CERT-2"), told.body)


def test_p12_another_key_does_not_count(there: paypal.PayPal, told: paypal.Sent) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    forger = paypal_signing.Signing(there.signing.authority, other, there.signing.certificate, there.signing.server)
    refuse(there, there.headers(told.body, sign_with=forger), told.body)


def test_a_certificate_is_fetched_once(there: paypal.PayPal, told: paypal.Sent) -> None:
    deliver(there, told)
    del there.certificates["CERT-1"]
    assert not deliver(there, told)


def test_p11_without_the_certificate_nobody_can_tell_and_it_has_to_come_again(
    there: paypal.PayPal, told: paypal.Sent
) -> None:
    headers = there.headers(told.body, cert_url="https://127.0.0.1:9/v1/notifications/certs/CERT-1")
    values = GatewaySettings.objects.get(name="paypal").values
    GatewaySettings.objects.filter(name="paypal").update(values={**values, "trusted_hosts": "127.0.0.1:9"})
    with pytest.raises(GatewayError):
        webhooks.receive("paypal", headers=headers, body=told.body, now=NOW)
    assert not GatewayEvent.objects.exists()


@pytest.fixture
def online(there: paypal.PayPal) -> None:
    values = paypal_server.settings_of(there, verification="online")
    GatewaySettings.objects.filter(name="paypal").update(values=values)


@pytest.mark.usefixtures("online")
def test_p12_paypal_itself_can_be_asked_about_a_message(there: paypal.PayPal, told: paypal.Sent) -> None:
    headers = there.headers(told.body)
    for body in (told.body.replace(b"APPROVED", b"COMPLETE"), json.dumps(json.loads(told.body)).encode()):
        with pytest.raises(Forged):
            webhooks.receive("paypal", headers=headers, body=body, now=NOW)
    with pytest.raises(Forged):
        webhooks.receive("paypal", headers={}, body=told.body, now=NOW)
    assert not GatewayEvent.objects.exists()
    assert deliver(there, told)


@pytest.mark.usefixtures("online")
def test_p11_while_paypal_does_not_answer_a_message_has_to_come_again(there: paypal.PayPal, told: paypal.Sent) -> None:
    there.faults.append(paypal.Fault("verify-webhook-signature", "503"))
    with pytest.raises(GatewayError):
        deliver(there, told)
    assert deliver(there, told)


# --- giving back, contested, taken back -----------------------------------------------------------------------


def give(payment: Payment, minor: int) -> Refund:
    refund = refunds.request(payment.pk, amount=Money(minor, "EUR"), reason="goodwill", actor="operator", now=NOW)
    refunds.carry_out(refund.pk, now=LATER)
    refund.refresh_from_db()
    payment.refresh_from_db()
    return refund


def test_in_parts_and_then_the_rest(there: paypal.PayPal, paid: Payment) -> None:
    assert (give(paid, 880).state, paid.state) == ("done", "partly_refunded")
    assert (give(paid, 5000).state, paid.state) == ("done", "refunded")
    assert there.capture_of(paid.pk).given_back == Decimal("58.80")


@pytest.mark.parametrize("kind", [*UNKNOWN, "409"])
def test_p10_a_refund_without_an_answer_is_made_once(there: paypal.PayPal, paid: Payment, kind: str) -> None:
    there.faults.append(paypal.Fault("/refund$", kind))
    refund = give(paid, 1000)
    assert refund.state == "unknown"
    refunds.carry_out(refund.pk, now=LATER)
    refund.refresh_from_db()
    assert refund.state == "done"
    assert len(there.refunds) == 1
    assert len({(seen.key, seen.body) for seen in there.seen if seen.line.endswith("/refund")}) == 1


@pytest.mark.parametrize(("end", "state"), [("COMPLETED", "done"), ("FAILED", "failed"), ("CANCELLED", "failed")])
def test_a_refund_that_takes_days(there: paypal.PayPal, paid: Payment, end: str, state: str) -> None:
    there.refund_script = ["PENDING"]
    refund = give(paid, 1000)
    assert (refund.state, paid.refunded_minor) == ("pending", 1000)
    there.refunds[refund.provider_id].status = end
    refunds.carry_out(refund.pk, now=LATER)
    refund.refresh_from_db()
    paid.refresh_from_db()
    assert refund.state == state
    assert paid.refunded_minor == (1000 if state == "done" else 0)


def test_a_refund_that_paypal_refuses_says_why(there: paypal.PayPal, paid: Payment) -> None:
    there.hold(there.capture_of(paid.pk), "BUYER_COMPLAINT")
    refund = give(paid, 1000)
    assert (refund.state, "PENDING_CAPTURE" in refund.remark) == ("failed", True)


def test_money_given_back_on_paypals_pages_reaches_the_payment(there: paypal.PayPal, paid: Payment) -> None:
    there.give_back(there.capture_of(paid.pk), "10.00")
    told = there.message("PAYMENT.CAPTURE.REFUNDED")
    for _time in range(2):
        deliver(there, told)
    paid.refresh_from_db()
    assert (paid.state, paid.refunded_minor, Refund.objects.get().actor) == (
        "partly_refunded",
        1000,
        "gateway:paypal",
    )


def test_our_own_refunds_are_not_counted_twice(there: paypal.PayPal, paid: Payment) -> None:
    give(paid, 1000)
    deliver(there, there.message("PAYMENT.CAPTURE.REFUNDED"))
    paid.refresh_from_db()
    assert (paid.refunded_minor, Refund.objects.count()) == (1000, 1)


def test_a_reversal_takes_the_money_back(there: paypal.PayPal, paid: Payment) -> None:
    there.reverse(there.capture_of(paid.pk))
    deliver(there, there.message("PAYMENT.CAPTURE.REVERSED"))
    paid.refresh_from_db()
    assert (paid.state, paid.charged_back_minor, paid.reason) == ("charged_back", 5880, "reversal")
    assert look(paid).state == "charged_back"


def test_a_dispute_is_contested_then_lost_then_won_on_appeal(there: paypal.PayPal, paid: Payment) -> None:
    opened = there.dispute(there.capture_of(paid.pk))
    deliver(there, there.message("CUSTOMER.DISPUTE.CREATED"))
    paid.refresh_from_db()
    assert (paid.state, paid.disputed) == ("paid", True)
    for outcome, state in (("RESOLVED_BUYER_FAVOUR", "charged_back"), ("RESOLVED_SELLER_FAVOUR", "paid")):
        there.decide(opened, outcome)
        deliver(there, there.message("CUSTOMER.DISPUTE.RESOLVED"))
        paid.refresh_from_db()
        assert (paid.state, paid.disputed) == (state, False)
    assert [len(facts(name)) for name in ("PaymentDisputed", "PaymentChargedBack", "ChargebackWon")] == [1, 1, 1]


@pytest.mark.parametrize("outcome", ["RESOLVED_SELLER_FAVOUR", "CANCELED_BY_BUYER", "RESOLVED_WITH_PAYOUT", "DENIED"])
def test_a_dispute_that_ends_well_changes_nothing(there: paypal.PayPal, paid: Payment, outcome: str) -> None:
    there.decide(there.dispute(there.capture_of(paid.pk)), outcome)
    deliver(there, there.message("CUSTOMER.DISPUTE.RESOLVED"))
    paid.refresh_from_db()
    assert (paid.state, paid.disputed, facts("PaymentChargedBack")) == ("paid", False, [])


def test_a_dispute_about_a_part_takes_a_part(there: paypal.PayPal, paid: Payment) -> None:
    there.decide(there.dispute(there.capture_of(paid.pk), "20.00"), "ACCEPTED")
    deliver(there, there.message("CUSTOMER.DISPUTE.RESOLVED"))
    paid.refresh_from_db()
    assert (paid.state, paid.charged_back_minor) == ("charged_back", 2000)


def test_a_chargeback_of_the_bank_shows_in_the_capture(there: paypal.PayPal, paid: Payment) -> None:
    there.hold(there.capture_of(paid.pk), "CHARGEBACK")
    deliver(there, there.message("PAYMENT.CAPTURE.PENDING"))
    paid.refresh_from_db()
    assert (paid.state, paid.charged_back_minor) == ("charged_back", 5880)


def test_without_the_right_to_see_disputes_the_capture_still_tells(there: paypal.PayPal, paid: Payment) -> None:
    there.sees_disputes = False
    there.dispute(there.capture_of(paid.pk))
    deliver(there, there.message("CUSTOMER.DISPUTE.CREATED"))
    there.hold(there.capture_of(paid.pk), "BUYER_COMPLAINT")
    assert look(paid).disputed


def test_p11_news_about_paid_money_is_not_lost_while_paypal_is_away(there: paypal.PayPal, paid: Payment) -> None:
    """Nobody sweeps over what is paid: the message itself has to be dealt with again."""
    there.reverse(there.capture_of(paid.pk))
    there.faults.append(paypal.Fault("GET /v2/checkout/orders", "503"))
    with pytest.raises(webhooks.ServiceSilent):
        deliver(there, there.message("PAYMENT.CAPTURE.REVERSED"))
    event = GatewayEvent.objects.get()
    assert event.state == "failed"
    webhooks.process(event.pk, now=LATER)
    paid.refresh_from_db()
    assert paid.state == "charged_back"


# --- amounts ------------------------------------------------------------------------------------------------


@given(minor=st.integers(min_value=1, max_value=10**12), currency=st.sampled_from(sorted(paypal_money.DECIMALS)))
def test_p03_amounts_survive_the_way_there_and_back_or_are_refused(minor: int, currency: str) -> None:
    amount = Money(minor, currency)
    try:
        written = paypal_money.to_wire(amount)
    except NotMoney:
        assert currency in {"HUF", "TWD"}
        assert minor % 100
        return
    assert paypal_money.from_wire(written) == amount
    assert ("." in written["value"]) == (paypal_money.DECIMALS[currency] > 0)


@pytest.mark.parametrize(
    ("amount", "value"),
    [
        (Money(5880, "EUR"), "58.80"),
        (Money(5, "USD"), "0.05"),
        (Money(1500, "JPY"), "1500"),
        (Money(150000, "HUF"), "1500"),
        (Money(150000, "TWD"), "1500"),
    ],
)
def test_p03_decimals_are_paypals_own(amount: Money, value: str) -> None:
    assert paypal_money.to_wire(amount) == {"currency_code": amount.currency, "value": value}


@pytest.mark.parametrize(
    "amount",
    [Money(32000, "XAF"), Money(32000, "XOF"), Money(1055, "HUF"), Money(1, "TWD"), Money(0, "EUR"), Money(-1, "EUR")],
)
def test_p03_what_paypal_cannot_take_is_refused_before_it_is_asked(amount: Money) -> None:
    assert not PayPal(client_id="x", client_secret="y", webhook_id="z").accepts(amount, "FR")


# --- settings -----------------------------------------------------------------------------------------------


def opened(there: paypal.PayPal, *, production: bool = False, **changes: str) -> PayPal:
    return PayPal.open(paypal_server.settings_of(there, **changes), production)


def test_settings_that_are_wrong_are_named(there: paypal.PayPal) -> None:
    assert opened(there).problems() == []
    assert "client_id" in opened(there, client_id="").problems()[0]
    assert "refuses" in opened(there, client_secret="wrong").problems()[0]
    assert "no webhook" in opened(there, webhook_id="2XX4291016473214C").problems()[0]
    assert "verification" in opened(there, verification="never").problems()[0]
    assert "https://" in opened(there, base_url="http://api-m.paypal.com").problems()[0]
    there.events = ("PAYMENT.CAPTURE.COMPLETED",)
    assert "CUSTOMER.DISPUTE.CREATED" in opened(there).problems()[0]


def test_for_real_money_nothing_but_paypal_counts(there: paypal.PayPal) -> None:
    found = " ".join(opened(there, production=True).problems())
    assert "the address" in found
    assert "trusted_hosts" in found
    real = PayPal(client_id="x", client_secret="y", webhook_id="z", production=True)
    assert (real.api.base_url, PayPal(client_id="x", client_secret="y", webhook_id="z").api.base_url) == (LIVE, SANDBOX)


def test_a_real_judge_takes_no_simulated_certificate(there: paypal.PayPal, told: paypal.Sent) -> None:
    with pytest.raises(Forged):
        opened(there, production=True).parse_webhook(there.headers(told.body), told.body)


@pytest.mark.parametrize("production", [False, True])
def test_credentials_of_the_other_world_are_named(
    there: paypal.PayPal, production: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with paypal_server.serving(paypal.PayPal(client_id="elsewhere")) as other:
        here = "parcelle.domain.billing.gateways.paypal."
        monkeypatch.setattr(f"{here}{'LIVE' if production else 'SANDBOX'}", other.url)
        monkeypatch.setattr(f"{here}{'SANDBOX' if production else 'LIVE'}", there.url)
        mixed = PayPal(client_id=there.client_id, client_secret=there.secret, webhook_id="x", production=production)
        [problem] = mixed.problems()
    assert ("sandbox, but" in problem) == production


def test_states_only_move_forward_whatever_paypal_does(there: paypal.PayPal, payment: Payment) -> None:
    made = there.only_order()
    seen = [payment.state]
    for act in (
        lambda: there.approve(made, "INSTRUMENT_DECLINED"),
        lambda: there.approve(made, "pending:PENDING_REVIEW"),
        lambda: there.settle(there.capture_of(payment.pk), "COMPLETED"),
        lambda: there.give_back(there.capture_of(payment.pk), "10.00"),
        lambda: there.hold(there.capture_of(payment.pk), "CHARGEBACK"),
    ):
        act()
        seen.append(look(payment).state)
    assert seen == ["pending", "pending", "pending", "paid", "partly_refunded", "charged_back"]
    for before, after in itertools.pairwise(seen):
        assert before == after or after in payment_states.TRANSITIONS[before]


# --- what the customer reads ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scripted", "heading"),
    [
        (None, "Terminez votre paiement chez PayPal"),
        ("INSTRUMENT_DECLINED", "Choisissez un autre moyen chez PayPal"),
        ("pending:PENDING_REVIEW", "PayPal vérifie votre paiement"),
    ],
)
def test_the_page_says_what_is_left_to_do(
    there: paypal.PayPal, payment: Payment, client: Client, scripted: str | None, heading: str
) -> None:
    if scripted:
        there.approve(there.only_order(), scripted)
        look(payment)
    session = client.session
    session["own_orders"] = [str(payment.order_id)]
    session.save()
    page = client.get(f"/orders/{payment.order_id}/progress", headers={"Accept-Language": "fr"}).content.decode()
    assert heading in page
    assert ("/checkoutnow?token=" in page) == (scripted != "pending:PENDING_REVIEW")
