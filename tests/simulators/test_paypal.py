"""The PayPal simulator keeps its side of the contract, and its judge can say no, in both directions."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests import needs
from tests.loopback import answering
from tests.simulators import paypal_books, paypal_specs
from tests.simulators.paypal import Fault, PayPal
from tests.simulators.paypal_server import send, serving

needs.require("specs")
ORDERS = "/v2/checkout/orders"
CONTEXT = {"return_url": "https://shop.example/back?x=1", "cancel_url": "https://shop.example/"}
Ask = Callable[..., httpx.Response]


@pytest.fixture
def there() -> Iterator[PayPal]:
    with serving(PayPal()) as running:
        yield running


@pytest.fixture
def ask(there: PayPal) -> Iterator[Ask]:
    """Calls the interface as somebody who is admitted."""
    with httpx.Client(base_url=there.url, trust_env=False) as client:
        pair = (there.client_id, there.secret)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        token = client.post("/v1/oauth2/token", content="grant_type=client_credentials", auth=pair, headers=form)
        bearer = {"Authorization": f"Bearer {token.json()['access_token']}"}

        def call(method: str, path: str, *, key: str = "", body: Any = None, **headers: str) -> httpx.Response:
            more = {"PayPal-Request-Id": key} if key else {}
            # A POST without a body of JSON is none to PayPal.
            content = json.dumps({} if body is None else body) if method == "POST" else None
            sent = {**bearer, **more, **headers, **({"Content-Type": "application/json"} if content else {})}
            return client.request(method, path, content=content, headers=sent)

        yield call


def wanted(value: str = "58.80", currency: str = "EUR", *, source: bool = True, **unit: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "intent": "CAPTURE",
        "purchase_units": [{"amount": {"currency_code": currency, "value": value}, **unit}],
    }
    return {**body, "payment_source": {"paypal": {"experience_context": CONTEXT}}} if source else body


def issue(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["details"][0]["issue"]


def captured(there: PayPal, ask: Ask, *script: str) -> str:
    made = ask("POST", ORDERS, key="a", body=wanted(custom_id="c-1", invoice_id="i-1")).json()["id"]
    there.approve(there.orders[made], *script)
    ask("POST", f"{ORDERS}/{made}/capture", key="b")
    return there.orders[made].captures[0].id


def test_who_is_nobody_gets_nothing(there: PayPal) -> None:
    pair = base64.b64encode(b"client-of-the-shop:wrong").decode()
    headers = {"Authorization": f"Basic {pair}", "Content-Type": "application/x-www-form-urlencoded"}
    refused = httpx.post(f"{there.url}/v1/oauth2/token", content="grant_type=client_credentials", headers=headers)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert httpx.get(f"{there.url}{ORDERS}/X").json()["name"] == "AUTHENTICATION_FAILURE"
    assert there.violations == []


def test_a_token_ends_and_can_be_revoked(there: PayPal, ask: Ask) -> None:
    assert ask("GET", f"{ORDERS}/X").status_code == 404
    there.advance(hours=10)
    assert ask("GET", f"{ORDERS}/X").status_code == 401
    there.clock *= 0
    there.revoke_tokens()
    assert ask("GET", f"{ORDERS}/X").status_code == 401


@pytest.mark.parametrize(
    ("source", "status", "rel"), [(True, "PAYER_ACTION_REQUIRED", "payer-action"), (False, "CREATED", "approve")]
)
def test_both_kinds_of_order(there: PayPal, ask: Ask, source: bool, status: str, rel: str) -> None:
    made = ask("POST", ORDERS, key="k", body=wanted(source=source))
    assert (made.status_code, made.json()["status"]) == (201, status)
    assert rel in {link["rel"] for link in made.json()["links"]}
    assert set(made.json()) == {"id", "status", "links"}
    again = ask("POST", ORDERS, key="k", body=wanted(source=source), Prefer="return=representation")
    assert (again.status_code, again.json()["id"]) == (200, made.json()["id"])
    assert again.json()["purchase_units"][0]["amount"]["value"] == "58.80"
    assert there.violations == []


def test_a_key_belongs_to_one_body_and_is_forgotten_in_time(there: PayPal, ask: Ask) -> None:
    first = ask("POST", ORDERS, key="k", body=wanted())
    assert ask("POST", ORDERS, key="k", body=wanted("1.00")).status_code == 400
    assert any("another body" in fault for fault in there.violations)
    there.forgets = False
    there.advance(hours=7)
    assert ask("POST", ORDERS, key="k", body=wanted()).json()["id"] != first.json()["id"]


@pytest.mark.parametrize(
    ("value", "currency", "said"),
    [
        ("32000", "XAF", "INVALID_CURRENCY_CODE"),
        ("10.55", "HUF", "DECIMAL_PRECISION"),
        ("10.5", "JPY", "DECIMAL_PRECISION"),
        ("10.555", "EUR", "DECIMAL_PRECISION"),
        ("-10", "EUR", "CANNOT_BE_ZERO_OR_NEGATIVE"),
        ("0", "EUR", "CANNOT_BE_ZERO_OR_NEGATIVE"),
        ("9999999999999999", "USD", "MAX_VALUE_EXCEEDED"),
    ],
)
def test_amounts_that_it_does_not_take(there: PayPal, ask: Ask, value: str, currency: str, said: str) -> None:
    assert issue(ask("POST", ORDERS, key="k", body=wanted(value, currency))) == (422, said)
    assert there.violations == []


def test_what_it_refuses_besides(there: PayPal, ask: Ask) -> None:
    assert issue(ask("POST", ORDERS, body=wanted())) == (400, "PAYPAL_REQUEST_ID_REQUIRED")
    mocked = {"PayPal-Mock-Response": json.dumps({"mock_application_codes": "PAYER_CANNOT_PAY"})}
    assert issue(ask("POST", ORDERS, key="m", body=wanted(), **mocked)) == (422, "PAYER_CANNOT_PAY")
    made = ask("POST", ORDERS, key="k", body=wanted(invoice_id="i-1")).json()["id"]
    assert issue(ask("POST", f"{ORDERS}/{made}/capture", key="c")) == (422, "ORDER_NOT_APPROVED")
    assert issue(ask("GET", f"{ORDERS}/NOSUCH")) == (404, "INVALID_RESOURCE_ID")
    there.approve(there.orders[made])
    assert ask("POST", f"{ORDERS}/{made}/capture", key="c2").status_code == 201
    assert ask("POST", f"{ORDERS}/{made}/capture", key="c2").status_code == 200
    assert issue(ask("POST", f"{ORDERS}/{made}/capture", key="c3")) == (422, "ORDER_ALREADY_CAPTURED")
    assert issue(ask("POST", ORDERS, key="n", body=wanted(invoice_id="i-1"))) == (422, "DUPLICATE_INVOICE_ID")
    assert there.violations == []


def test_names_come_back_unchanged_and_fees_add_up(there: PayPal, ask: Ask) -> None:
    capture = ask("GET", f"/v2/payments/captures/{captured(there, ask)}").json()
    assert (capture["custom_id"], capture["invoice_id"], capture["status"]) == ("c-1", "i-1", "COMPLETED")
    parts = capture["seller_receivable_breakdown"]
    gross, fee, net = (Decimal(parts[name]["value"]) for name in ("gross_amount", "paypal_fee", "net_amount"))
    assert gross == fee + net == Decimal("58.80")
    assert there.violations == []


@pytest.mark.parametrize(
    ("script", "shown"),
    [
        ("declined", {"status": "DECLINED"}),
        ("pending:ECHECK", {"status": "PENDING", "status_details": {"reason": "ECHECK"}}),
        ("short", {"amount": {"currency_code": "EUR", "value": "58.79"}}),
        ("currency:USD", {"amount": {"currency_code": "USD", "value": "58.80"}}),
    ],
)
def test_captures_that_are_not_what_was_asked_for(there: PayPal, ask: Ask, script: str, shown: dict[str, Any]) -> None:
    capture = ask("GET", f"/v2/payments/captures/{captured(there, ask, script)}").json()
    assert {name: capture[name] for name in shown} == shown
    # The order is completed all the same.
    assert ask("GET", f"{ORDERS}/{there.only_order().id}").json()["status"] == "COMPLETED"
    assert there.violations == []


def test_a_declined_card_says_where_to_choose_another(there: PayPal, ask: Ask) -> None:
    made = ask("POST", ORDERS, key="a", body=wanted()).json()["id"]
    there.approve(there.orders[made], "INSTRUMENT_DECLINED")
    refused = ask("POST", f"{ORDERS}/{made}/capture", key="b")
    assert issue(refused) == (422, "INSTRUMENT_DECLINED")
    assert refused.json()["links"][0]["rel"] == "redirect"
    assert issue(ask("POST", f"{ORDERS}/{made}/capture", key="b")) == (422, "INSTRUMENT_DECLINED")
    assert ask("POST", f"{ORDERS}/{made}/capture", key="c").status_code == 201


def test_refunds_never_exceed_the_capture(there: PayPal, ask: Ask) -> None:
    path = f"/v2/payments/captures/{captured(there, ask)}/refund"

    def part(value: str, currency: str = "EUR") -> dict[str, Any]:
        return {"amount": {"currency_code": currency, "value": value}}

    assert issue(ask("POST", path, key="1", body=part("58.81"))) == (422, "REFUND_AMOUNT_EXCEEDED")
    assert issue(ask("POST", path, key="2", body=part("1.00", "USD"))) == (422, "REFUND_CAPTURE_CURRENCY_MISMATCH")
    first = ask("POST", path, key="3", body=part("8.80"))
    assert (first.status_code, first.json()["status"]) == (201, "COMPLETED")
    assert ask("POST", path, key="3", body=part("8.80")).json()["id"] == first.json()["id"]
    assert ask("GET", f"/v2/payments/refunds/{first.json()['id']}").status_code == 200
    rest = ask("POST", path, key="4")
    assert rest.json()["amount"]["value"] == "50.00"
    assert issue(ask("POST", path, key="5")) == (422, "CAPTURE_FULLY_REFUNDED")
    assert ask("GET", path.removesuffix("/refund")).json()["status"] == "REFUNDED"
    assert there.violations == []


def test_refunds_of_what_is_held_or_contested(there: PayPal, ask: Ask) -> None:
    capture = there.captures[captured(there, ask, "pending:ECHECK")]
    path = f"/v2/payments/captures/{capture.id}/refund"
    assert issue(ask("POST", path, key="1")) == (422, "PENDING_CAPTURE")
    there.settle(capture, "COMPLETED")
    there.dispute(capture)
    part = {"amount": {"currency_code": "EUR", "value": "1.00"}}
    assert issue(ask("POST", path, key="2", body=part)) == (422, "TRANSACTION_DISPUTED")
    assert ask("POST", path, key="3").status_code == 201


def test_windows_run_out(there: PayPal, ask: Ask) -> None:
    first, second = (ask("POST", ORDERS, key=key, body=wanted(custom_id=key)).json()["id"] for key in "ab")
    there.approve(there.orders[first])
    there.advance(hours=7)
    there.tokens = dict.fromkeys(there.tokens, there.now.replace(year=9999))
    assert ask("GET", f"{ORDERS}/{first}").json()["status"] == "VOIDED"
    assert ask("GET", f"{ORDERS}/{second}").status_code == 404
    assert there.message("CHECKOUT.PAYMENT-APPROVAL.REVERSED").attempts == []
    assert there.violations == []


@pytest.mark.parametrize("kind", ["cut", "lost", "500", "503", "429", "html", "empty"])
def test_faults_by_name(there: PayPal, ask: Ask, kind: str) -> None:
    there.faults.append(Fault(f"POST {ORDERS}$", kind))
    if kind in {"cut", "lost"}:
        with pytest.raises(httpx.HTTPError):
            ask("POST", ORDERS, key="k", body=wanted())
    else:
        answer = ask("POST", ORDERS, key="k", body=wanted())
        assert answer.status_code == (int(kind) if kind.isdigit() else 200)
    done = kind in {"lost", "html", "empty"}
    assert len(there.orders) == done
    assert ask("POST", ORDERS, key="k", body=wanted()).status_code == (200 if done else 201)
    assert len(there.orders) == 1
    assert there.violations == []


# --- the customer's page ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "place", "status"),
    [
        ("approve", "https://shop.example/back?x=1&token={id}&PayerID=QYR5Z8XDVJNXQ", "APPROVED"),
        ("cancel", "https://shop.example/?token={id}", "PAYER_ACTION_REQUIRED"),
        ("close", None, "PAYER_ACTION_REQUIRED"),
    ],
)
def test_the_customer_clicks(there: PayPal, ask: Ask, choice: str, place: str | None, status: str) -> None:
    made = ask("POST", ORDERS, key="a", body=wanted(description="Tryton & Söhne <b>")).json()["id"]
    page = httpx.get(f"{there.url}/checkoutnow?token={made}").text
    assert "Tryton &amp; Söhne &lt;b&gt;" in page
    assert "58.80 EUR" in page
    clicked = httpx.post(f"{there.url}/checkoutnow", data={"token": made, "choice": choice})
    assert clicked.headers.get("Location") == (place and place.format(id=made))
    assert there.orders[made].status == status
    assert httpx.get(f"{there.url}/checkoutnow?token=NOSUCH").status_code == 404


# --- messages -----------------------------------------------------------------------------------------------


def test_messages_are_signed_as_the_documents_allow_and_come_until_they_are_taken(there: PayPal, ask: Ask) -> None:
    captured(there, ask)
    sent = there.message("PAYMENT.CAPTURE.COMPLETED")
    statuses = iter((503, 200))
    with answering(lambda _seen: (next(statuses), {})) as shop:
        there.webhook_url = shop.url
        assert [send(there, sent), send(there, sent)] == [503, 200]
    assert sent.attempts == [503, 200]
    signature = shop.seen[0].headers["Paypal-Transmission-Sig"]
    assert len(signature) <= 500
    assert shop.seen[0].body["resource"]["supplementary_data"]["related_ids"]["order_id"] == there.only_order().id


def test_it_tells_its_own_messages_from_others(there: PayPal, ask: Ask) -> None:
    captured(there, ask)
    body = there.message("PAYMENT.CAPTURE.COMPLETED").body

    def asked(event: bytes) -> str:
        names = ("transmission_id", "transmission_time", "transmission_sig", "cert_url", "auth_algo")
        stated = there.headers(body)
        about = {name: stated[f"paypal-{name.replace('_', '-')}"] for name in names}
        head = json.dumps({**about, "webhook_id": there.webhook_id}).removesuffix("}").encode()
        there_ = f"{there.url}/v1/notifications/verify-webhook-signature"
        token = next(iter(there.tokens))
        answer = httpx.post(
            there_,
            content=head + b', "webhook_event": ' + event + b"}",
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        return str(answer.json()["verification_status"])

    assert asked(body) == "SUCCESS"
    assert asked(json.dumps(json.loads(body)).encode()) == "FAILURE"
    assert there.violations == []


def test_messages_can_be_listed_and_sent_again(there: PayPal, ask: Ask) -> None:
    captured(there, ask)
    kinds = [one["event_type"] for one in ask("GET", "/v1/notifications/webhooks-events").json()["events"]]
    assert kinds == ["CHECKOUT.ORDER.APPROVED", "PAYMENT.CAPTURE.COMPLETED"]
    again: list[str] = []
    there.deliver = lambda sent: again.append(sent.kind)
    sent = there.message("PAYMENT.CAPTURE.COMPLETED")
    assert ask("GET", f"/v1/notifications/webhooks-events/{sent.id}").json()["id"] == sent.id
    resend = ask("POST", f"/v1/notifications/webhooks-events/{sent.id}/resend", body={"webhook_ids": []})
    assert (resend.status_code, again) == (202, [sent.kind])
    url = "https://shop.example/webhooks/paypal"
    made = ask("POST", "/v1/notifications/webhooks", body={"url": url, "event_types": [{"name": "*"}]})
    assert (made.status_code, there.webhook_url) == (201, url)
    assert ask("GET", "/v1/notifications/webhooks").json()["webhooks"][0]["id"] == there.webhook_id
    assert there.violations == []


def test_disputes_are_listed_without_their_end_and_read_with_it(there: PayPal, ask: Ask) -> None:
    capture = there.captures[captured(there, ask)]
    opened = there.dispute(capture)
    there.decide(opened, "RESOLVED_BUYER_FAVOUR")
    listed = ask("GET", f"/v1/customer/disputes?disputed_transaction_id={capture.id}").json()["items"]
    assert [set(one) & {"dispute_id", "dispute_outcome"} for one in listed] == [{"dispute_id"}]
    read = ask("GET", f"/v1/customer/disputes/{opened.id}").json()
    assert read["dispute_outcome"]["outcome_code"] == "RESOLVED_BUYER_FAVOUR"
    assert ask("GET", "/v1/customer/disputes?disputed_transaction_id=X").json()["items"] == []


# --- the judge ----------------------------------------------------------------------------------------------


def request_faults(body: Any, *, path: str = ORDERS, **headers: str) -> list[str]:
    return paypal_specs.request_faults(
        "POST", path, query={}, headers=headers, body=json.dumps(body).encode(), content_type="application/json"
    )


def test_what_a_client_may_send_passes() -> None:
    assert request_faults(wanted(), **{"Paypal-Request-Id": "k", "Prefer": "return=representation"}) == []


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"intent": "CAPTURE"},
        {"intent": "CAPTURE", "purchase_units": []},
        {**wanted(), "intent": "FOO"},
        wanted(currency="EURO"),
        wanted("10,00"),
        wanted(custom_id="x" * 128),
    ],
)
def test_a_request_that_does_not_fit_is_caught(body: Any) -> None:
    assert request_faults(body)


@pytest.mark.parametrize("headers", [{"Paypal-Request-Id": "k" * 109}, {"Prefer": "code=201"}])
def test_a_header_that_does_not_fit_is_caught(headers: dict[str, str]) -> None:
    assert request_faults(wanted(), **headers)


def test_a_path_that_does_not_exist_is_caught() -> None:
    assert request_faults({}, path="/v2/checkout/carts")
    assert request_faults({}, path="/v9/orders")


def test_a_wrong_request_is_refused_by_the_server_too(there: PayPal, ask: Ask) -> None:
    assert ask("POST", ORDERS, key="k", body={**wanted(), "intent": "FOO"}).status_code == 400
    assert there.violations


def answer_faults(content: Any, *, status: int = 200, path: str = f"{ORDERS}/X", method: str = "GET") -> list[str]:
    return paypal_specs.response_faults(method, path, status, json.dumps(content).encode())


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"id": "X", "status": "FOO"}, 200),
        ({"id": "X", "links": [{"rel": "self"}]}, 200),
        ({"name": "GONE"}, 404),
        ({"name": "RESOURCE_NOT_FOUND", "message": "gone"}, 404),
        ({"name": "TOO_MANY"}, 429),
    ],
)
def test_an_answer_that_does_not_fit_is_caught(content: Any, status: int) -> None:
    assert answer_faults(content, status=status)


def test_answers_that_fit_pass() -> None:
    assert answer_faults({"id": "X", "status": "CREATED"}) == []
    assert answer_faults({"name": "RATE_LIMIT_REACHED"}, status=429) == []
    money = {"currency_code": "EUR", "value": "1.00"}
    refund = "/v2/payments/captures/X/refund"
    assert answer_faults({"id": "R", "status": "COMPLETED", "amount": money}, path=refund, method="POST") == []
    assert answer_faults({"id": "R", "status": "DONE"}, path=refund, method="POST")


def test_a_message_that_does_not_fit_is_caught(there: PayPal, ask: Ask) -> None:
    captured(there, ask)
    body = there.message("PAYMENT.CAPTURE.COMPLETED").body
    assert paypal_specs.event_faults(body) == []
    wrong = json.loads(body)
    wrong["resource"]["status"] = "DONE"
    assert paypal_specs.event_faults(json.dumps(wrong).encode())
    assert paypal_specs.event_faults(json.dumps({**json.loads(body), "links": 3}).encode())


def test_the_tables_of_both_sides_agree() -> None:
    from parcelle.domain.billing.gateways import paypal_money

    assert paypal_money.DECIMALS == paypal_books.DECIMALS
