"""The simulator of Stripe answers in the shape of the published examples, and refuses what Stripe would refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import stripe as sdk

from tests import needs
from tests.simulators import stripe
from tests.simulators.stripe_objects import examples

needs.require("specs")
# What Stripe adds to an object only when there is something to say, so that the examples have it not.
EXTRA = {"refund": {"failure_reason"}}
ORDER: dict[str, Any] = {
    "mode": "payment",
    "line_items": [
        {"quantity": 1, "price_data": {"currency": "eur", "unit_amount": 5880, "product_data": {"name": "Bronze"}}}
    ],
    "success_url": "http://localhost:8000/back?session={CHECKOUT_SESSION_ID}",
    "cancel_url": "http://localhost:8000/",
    "client_reference_id": "one",
}


@pytest.fixture
def server() -> Iterator[stripe.Stripe]:
    with stripe.serving() as running:
        yield running


@pytest.fixture
def client(server: stripe.Stripe) -> sdk.StripeClient:
    return sdk.StripeClient(server.key, base_addresses={"api": server.url}, max_network_retries=2)


def session(client: sdk.StripeClient, key: str = "", **changes: Any) -> Any:
    options: Any = {"idempotency_key": key} if key else {}
    params: Any = {**ORDER, **changes}
    return client.v1.checkout.sessions.create(params=params, options=options)


def test_every_object_has_the_keys_of_its_published_example(server: stripe.Stripe, client: sdk.StripeClient) -> None:
    session(client)
    made = server.session_of("one")
    server.decline(made)
    server.pay(made)
    refund = server.give_back(server.charge_of(made), 100)
    server.end_refund(refund, done=False)
    server.end_dispute(server.dispute(server.charge_of(made)), won=True)
    kinds = [kind for kind in server.rows if kind != "asked"]
    assert {"checkout.session", "payment_intent", "charge", "refund", "dispute", "balance_transaction", "event"} == set(
        kinds
    )
    for kind in kinds:
        for row in server.table(kind).values():
            assert set(row) - EXTRA.get(kind, set()) == set(examples()[kind])
            assert row["object"] == kind


def test_the_sdk_reads_what_it_needs(client: sdk.StripeClient) -> None:
    made = session(client)
    assert (made.status, made.payment_status, made.amount_total, made.currency) == ("open", "unpaid", 5880, "eur")
    assert (made.livemode, made.ui_mode, made.payment_intent) == (False, "hosted_page", None)
    assert made.url.startswith("http://127.0.0.1")
    assert made.last_response.request_id.startswith("req_")


def test_a_key_is_one_session_and_other_parameters_are_refused(server: stripe.Stripe, client: sdk.StripeClient) -> None:
    assert session(client, key="k").id == session(client, key="k").id
    with pytest.raises(sdk.IdempotencyError):
        session(client, key="k", client_reference_id="two")
    assert len(server.table("checkout.session")) == 1
    # What comes back is the first answer, not how things stand by now.
    server.pay(server.session_of("one"))
    assert session(client, key="k").status == "open"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"mode": "gift"}, "parameter_missing"),
        ({"line_items": []}, "parameter_missing"),
        ({"success_url": "/back"}, "url_invalid"),
        ({"customer_email": "awa"}, "email_invalid"),
        ({"colour": "red"}, "parameter_unknown"),
    ],
)
def test_what_stripe_would_refuse(client: sdk.StripeClient, changes: dict[str, Any], code: str) -> None:
    with pytest.raises(sdk.InvalidRequestError) as refused:
        session(client, **changes)
    assert refused.value.code == code


@pytest.mark.parametrize(("currency", "amount"), [("eur", 49), ("isk", 550), ("kwd", 1005), ("xaf", 10)])
def test_amounts_that_stripe_would_refuse(client: sdk.StripeClient, currency: str, amount: int) -> None:
    price = {"currency": currency, "unit_amount": amount, "product_data": {"name": "x"}}
    with pytest.raises(sdk.InvalidRequestError):
        session(client, line_items=[{"quantity": 1, "price_data": price}])


def test_only_its_own_key_opens_it(server: stripe.Stripe) -> None:
    stranger = sdk.StripeClient("sk_test_guessed", base_addresses={"api": server.url})
    with pytest.raises(sdk.AuthenticationError):
        stranger.v1.balance.retrieve()


def test_the_sdk_tries_again_with_the_same_key_after_an_error_of_the_server(
    server: stripe.Stripe, client: sdk.StripeClient
) -> None:
    server.faults = [stripe.Fault("POST /v1/checkout", status=500, times=1)]
    session(client)
    assert len(server.table("checkout.session")) == 1
    assert len({(seen.key, seen.body) for seen in server.seen}) == 1 and len(server.seen) == 2


def test_a_session_lapses_after_a_day(server: stripe.Stripe, client: sdk.StripeClient) -> None:
    made, clock = session(client), server.now
    server.now = lambda: clock() + 25 * 3600
    assert client.v1.checkout.sessions.retrieve(made.id).status == "expired"
    assert server.told("checkout.session.expired")


def test_refunds_and_disputes(server: stripe.Stripe, client: sdk.StripeClient) -> None:
    session(client)
    server.pay(server.session_of("one"))
    charge = server.charge_of(server.session_of("one"))
    with pytest.raises(sdk.InvalidRequestError):
        client.v1.refunds.create(params={"payment_intent": charge["payment_intent"], "amount": 5881})
    client.v1.refunds.create(params={"payment_intent": charge["payment_intent"]})
    with pytest.raises(sdk.InvalidRequestError) as again:
        client.v1.refunds.create(params={"payment_intent": charge["payment_intent"]})
    assert again.value.code == "charge_already_refunded"


def click(server: stripe.Stripe, url: str, do: str) -> httpx.Response:
    return httpx.post(url, data={"do": do}, trust_env=False)


def test_its_page_is_clicked_by_a_customer(server: stripe.Stripe, client: sdk.StripeClient) -> None:
    made = session(client)
    assert "58.80 EUR" in httpx.get(made.url, trust_env=False).text
    assert "declined" in click(server, made.url, "insufficient_funds").text
    assert "is it you" in click(server, made.url, "secure").text
    assert "Try another card" in click(server, made.url, "fail").text
    click(server, made.url, "secure")
    back = click(server, made.url, "prove")
    assert back.status_code == 303
    assert back.headers["location"] == f"http://localhost:8000/back?session={made.id}"
    assert "no longer open" in httpx.get(made.url, trust_env=False).text
    kinds = [message.event["type"] for message in server.messages]
    assert kinds[0] == "payment_intent.payment_failed" and kinds[-1] == "checkout.session.completed"


def test_its_dashboard_gives_money_back(server: stripe.Stripe, client: sdk.StripeClient) -> None:
    made = session(client)
    click(server, made.url, "nowhere")
    board = f"{server.url}/dashboard"
    assert made.id[:22] in httpx.get(board, trust_env=False).text
    httpx.post(board, data={"do": "half", "session": made.id}, trust_env=False)
    assert (
        client.v1.refunds.list(params={"payment_intent": server.session_of("one")["payment_intent"]}).data[0].amount
        == 2940
    )


def test_messages_are_signed_with_both_secrets_while_one_is_exchanged(
    server: stripe.Stripe, client: sdk.StripeClient
) -> None:
    session(client)
    server.old_webhook_secret = "whsec_old"
    server.pay(server.session_of("one"))
    message = server.messages[-1]
    for secret in (server.webhook_secret, "whsec_old"):
        sdk.Webhook.construct_event(message.body, message.headers["stripe-signature"], secret)
    late = server.signed(message.event, at=server.now() - 301)
    for body, header in ((message.body + b" ", message.headers), (late.body, late.headers)):
        with pytest.raises(sdk.SignatureVerificationError):
            sdk.Webhook.construct_event(body, header["stripe-signature"], server.webhook_secret)
