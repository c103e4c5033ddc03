"""What every gateway promises (`gateways/base.py`), held to by each one in the registry.

A new gateway adds a counter below: how it is opened, and how the tests stand in for the customer and the service.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import pytest
from django.utils import translation

from parcelle.core.money import Money
from parcelle.domain.billing import transfers, webhooks
from parcelle.domain.billing.gateways import GATEWAYS, fake
from parcelle.domain.billing.gateways.base import (
    DECLINE_CODES,
    Charge,
    Declined,
    Forged,
    Gateway,
    GatewayError,
    Instructions,
    Outcome,
    Paid,
    Payer,
    Pending,
    Redirect,
    RefundRequest,
)
from parcelle.domain.billing.gateways.mtn_momo.gateway import MtnMomoGateway
from parcelle.domain.billing.models import FakeCharge, GatewayEvent, GatewaySettings, Payment, Transfer
from parcelle.domain.billing.sentences import translated
from parcelle.surfaces.backoffice.words import PAYMENT_REASONS
from parcelle.surfaces.refusals import DECLINES, decline_sentence
from tests import needs, people
from tests.domain.billing import selling, transferring
from tests.simulators import mtn_momo, mtn_momo_server, paypal, paypal_server, stripe

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]


@dataclass
class Counter:
    """A gateway, and hands on the other side of it."""

    gateway: Gateway
    amount: Money
    approve: Callable[[Charge], None]
    decline: Callable[[Charge], None]
    # How many charges the service itself knows of.
    charges: Callable[[], int]
    # A message of the service about the charge, or None where it sends none.
    message: Callable[[Charge], tuple[Mapping[str, str], bytes]] | None
    country: str = "FR"
    details: Mapping[str, str] | None = None
    # A currency that it cannot take; None where it takes all.
    foreign: str | None = None
    # Its messages are signed: one that was changed on the way is refused.
    signed: bool = True
    # What an operator would have to enter.
    values: Mapping[str, str] = field(default_factory=dict)
    # The service does not answer the next call, or its answer is lost; None where it is in this house.
    hangs_up: Callable[[bool], None] | None = None


def _fake(_request: pytest.FixtureRequest) -> Counter:
    secret = "s" * 32

    def made(charge: Charge) -> FakeCharge:
        return FakeCharge.objects.get(key=charge.key)

    def message(charge: Charge) -> tuple[Mapping[str, str], bytes]:
        body = fake.message(made(charge))
        return {fake.SIGNATURE: fake.sign(secret, body)}, body

    return Counter(
        gateway=GATEWAYS["fake"]({"secret": secret}, False),
        amount=Money(5880, "EUR"),
        approve=lambda charge: void(fake.decide(made(charge).pk, FakeCharge.APPROVED)),
        decline=lambda charge: void(fake.decide(made(charge).pk, FakeCharge.DECLINED, code="not_enough_funds")),
        charges=FakeCharge.objects.count,
        message=message,
        values={"secret": secret},
    )


def _stripe(request: pytest.FixtureRequest) -> Counter:
    server: stripe.Stripe = request.getfixturevalue("stripe_server")

    def message(charge: Charge) -> tuple[Mapping[str, str], bytes]:
        [told] = server.told("checkout.session.completed")
        return told.headers, told.body

    def bounce(charge: Charge) -> None:
        session = server.session_of(charge.payment_id)
        server.pay_later(session)
        server.settle(session, paid=False, code="insufficient_funds")

    values = {"secret_key": server.key, "webhook_secrets": server.webhook_secret, "api_url": server.url}

    def hang_up(afterwards: bool) -> None:
        server.faults.append(stripe.Fault("/v1/checkout/sessions", after=afterwards))

    return Counter(
        gateway=GATEWAYS["stripe"](values, False),
        values=values,
        hangs_up=hang_up,
        amount=Money(5880, "EUR"),
        approve=lambda charge: server.pay(server.session_of(charge.payment_id)),
        decline=bounce,
        charges=lambda: len(server.table("checkout.session")),
        message=message,
        foreign="UGX",
    )


@pytest.fixture
def stripe_server() -> Iterator[stripe.Stripe]:
    with stripe.serving() as server:
        yield server


def _bank_transfer(_request: pytest.FixtureRequest) -> Counter:
    """The other side is an operator, who finds the money on the account, or does not."""
    transferring.switch_on()

    def made(charge: Charge) -> Transfer:
        if not Payment.objects.filter(pk=charge.payment_id).exists():
            Payment.objects.create(
                pk=charge.payment_id,
                number=charge.number,
                order=selling.order(selling.open_shop()),
                gateway="bank_transfer",
                state="pending",
                amount_minor=charge.amount.minor,
                currency=charge.amount.currency,
                key=charge.key,
                created_at=people.NOW,
            )
        return Transfer.objects.get(key=charge.key)

    return Counter(
        gateway=GATEWAYS["bank_transfer"](transferring.SETTINGS, True),
        amount=Money(5880, "EUR"),
        approve=lambda charge: void(transferring.confirm(made(charge))),
        decline=lambda charge: transfers.refuse(made(charge).pk, reason="not_received", actor="test", now=people.NOW),
        charges=Transfer.objects.count,
        message=None,
        foreign="USD",
    )


def _paypal(request: pytest.FixtureRequest) -> Counter:
    at_paypal: paypal.PayPal = request.getfixturevalue("paypal_server")

    def message(charge: Charge) -> tuple[Mapping[str, str], bytes]:
        body = at_paypal.message("CHECKOUT.ORDER.APPROVED").body
        return at_paypal.headers(body), body

    values = paypal_server.settings_of(at_paypal)

    def hang_up(afterwards: bool) -> None:
        at_paypal.faults.append(paypal.Fault(r" /v2/checkout/orders", "lost" if afterwards else "cut"))

    return Counter(
        gateway=GATEWAYS["paypal"](values, False),
        values=values,
        hangs_up=hang_up,
        amount=Money(5880, "EUR"),
        approve=lambda charge: at_paypal.approve(at_paypal.order_of(charge.payment_id)),
        decline=lambda charge: at_paypal.approve(at_paypal.order_of(charge.payment_id), "PAYER_CANNOT_PAY"),
        charges=lambda: len(at_paypal.orders),
        message=message,
        foreign="XAF",
    )


@pytest.fixture(name="paypal_server")
def _paypal_server() -> Iterator[paypal.PayPal]:
    needs.require("specs")
    with paypal_server.serving(paypal.PayPal()) as server:
        yield server
    assert server.violations == []


def void(_result: object) -> None:
    """For what is done, not told."""


def _mtn_momo(request: pytest.FixtureRequest) -> Counter:
    needs.require("specs")
    momo = request.getfixturevalue("momo")
    values = momo.settings(callback_host="localhost")
    gateway = MtnMomoGateway.open(values, False)

    def message(charge: Charge) -> tuple[Mapping[str, str], bytes]:
        path = momo.pushes[str(charge.key)].callback_url.removeprefix(f"{charge.webhook_url}/")
        return {":path": path}, json.dumps(momo.told(momo.pushes[str(charge.key)])).encode()

    def hang_up(afterwards: bool) -> None:
        verb = "GET" if momo.pushes else "POST"
        momo.faults.append(mtn_momo.Fault(f"{verb} /collection/v1_0/requesttopay", "lost" if afterwards else "never"))

    return Counter(
        gateway=gateway,
        values=values,
        hangs_up=hang_up,
        amount=Money(32000, "XAF"),
        approve=lambda charge: momo.approve(charge.key),
        decline=lambda charge: momo.refuse(charge.key, code="NOT_ENOUGH_FUNDS"),
        charges=lambda: len(momo.pushes),
        message=message,
        country="CM",
        details={"phone": "+237 6 71 23 45 67"},
        foreign="EUR",
        # Not signed at all: a hint to ask, at an address that nobody guesses.
        signed=False,
    )


@pytest.fixture
def momo() -> Iterator[mtn_momo.Momo]:
    with mtn_momo_server.judged(environment="mtncameroon", callbacks="never") as running:
        yield running
        assert running.violations == []


COUNTERS: dict[str, Callable[[pytest.FixtureRequest], Counter]] = {
    "bank_transfer": _bank_transfer,
    "fake": _fake,
    "mtn_momo": _mtn_momo,
    "paypal": _paypal,
    "stripe": _stripe,
}


def test_every_gateway_is_held_to_this_contract() -> None:
    assert set(COUNTERS) == set(GATEWAYS)


@pytest.fixture(params=sorted(COUNTERS))
def counter(request: pytest.FixtureRequest, db: None) -> Counter:
    return COUNTERS[request.param](request)


@pytest.fixture
def charge(counter: Counter) -> Charge:
    number = f"PAR2026{uuid.uuid4().int % 10**6:06d}"
    return Charge(
        payment_id=uuid.uuid4(),
        number=number,
        order_number="CMD-2026-000001",
        key=uuid.uuid4(),
        amount=counter.amount,
        description="Tryton Bronze CMD-2026-000001",
        payer=Payer(name="L’Atelier d’Awa", email="awa@example.com", phone="+237671234567", country=counter.country),
        return_url="http://localhost:8000/orders/1/return/2",
        cancel_url="http://localhost:8000/orders/1?cancelled=1",
        webhook_url="http://localhost:8000/webhooks/x",
        details=counter.details or {},
    )


def known(charge: Charge, outcome: Outcome) -> Charge:
    """The charge as we would send it next time."""
    return replace(charge, provider_id=outcome.provider_id or charge.provider_id, memo={**charge.memo, **outcome.memo})


@pytest.fixture
def started(counter: Counter, charge: Charge) -> Charge:
    outcome = counter.gateway.start(charge)
    assert isinstance(outcome, Redirect | Instructions | Pending)
    return known(charge, outcome)


@pytest.fixture
def paid(counter: Counter, started: Charge) -> Charge:
    counter.approve(started)
    outcome = counter.gateway.fetch(started)
    assert isinstance(outcome, Paid)
    assert outcome.received == counter.amount
    assert outcome.fee is None or outcome.fee.minor >= 0
    return known(started, outcome)


def test_settings_that_are_right_have_no_problems(counter: Counter) -> None:
    assert counter.gateway.problems() == []


def test_settings_have_names_of_their_own(counter: Counter) -> None:
    names = [setting.name for setting in counter.gateway.settings]
    assert len(set(names)) == len(names)


def test_it_says_what_it_cannot_take(counter: Counter) -> None:
    assert counter.gateway.accepts(counter.amount, counter.country)
    if counter.foreign:
        assert not counter.gateway.accepts(Money(1000, counter.foreign), counter.country)


def test_p10_starting_twice_is_one_charge(counter: Counter, charge: Charge) -> None:
    outcomes = [counter.gateway.start(charge) for _time in range(2)]
    assert outcomes[0] == outcomes[1]
    assert counter.charges() == 1


@pytest.mark.parametrize("afterwards", [False, True])
def test_p09_without_an_answer_nothing_is_settled_until_the_service_tells(
    counter: Counter, charge: Charge, afterwards: bool
) -> None:
    if counter.hangs_up is None:
        pytest.skip("this service is in the house and always answers")
    counter.hangs_up(afterwards)
    with pytest.raises(GatewayError) as lost:
        counter.gateway.start(charge)
    assert lost.value.unknown
    outcome, started = until_it_tells(counter, replace(charge, memo={**charge.memo, **lost.value.memo}))
    assert isinstance(outcome, Redirect | Pending)
    assert counter.charges() == 1
    counter.approve(started)
    counter.hangs_up(True)
    with pytest.raises(GatewayError):
        counter.gateway.fetch(started)
    paid = counter.gateway.fetch(started)
    assert isinstance(paid, Paid)
    assert (paid.received, counter.charges()) == (counter.amount, 1)


def until_it_tells(counter: Counter, charge: Charge) -> tuple[Outcome, Charge]:
    """Some want to be asked twice before they are believed that they know of nothing."""
    for _time in range(3):
        try:
            outcome = counter.gateway.fetch(charge)
        except GatewayError as error:
            charge = replace(charge, memo={**charge.memo, **error.memo})
        else:
            return outcome, known(charge, outcome)
    raise AssertionError("it never told")


def test_p07_a_message_that_comes_twice_is_stored_once(counter: Counter, started: Charge) -> None:
    if counter.message is None:
        pytest.skip("this service sends no messages")
    name = counter.gateway.name
    GatewaySettings.objects.update_or_create(name=name, defaults={"enabled": True, "values": dict(counter.values)})
    counter.approve(started)
    headers, body = counter.message(started)
    came = [webhooks.receive(name, headers=headers, body=body, now=people.NOW) for _time in range(3)]
    assert came == [True, False, False]
    assert GatewayEvent.objects.filter(gateway=name).count() == 1


@pytest.mark.parametrize("code", sorted(DECLINE_CODES))
def test_every_decline_has_words_in_both_languages(code: str) -> None:
    said = {}
    for language in ("fr", "en"):
        with translation.override(language):
            said[language] = decline_sentence(code), str(PAYMENT_REASONS[code])
    assert code in DECLINES
    for french, english in zip(said["fr"], said["en"], strict=True):
        assert french.strip() and english.strip()
        assert french != english


def test_before_the_customer_does_anything_it_is_pending(counter: Counter, started: Charge) -> None:
    assert isinstance(counter.gateway.fetch(started), Pending | Redirect | Instructions)


def test_an_approved_charge_is_paid_however_often_one_asks(counter: Counter, paid: Charge) -> None:
    again = counter.gateway.fetch(paid)
    assert isinstance(again, Paid)
    assert again.received == counter.amount


def test_a_declined_charge_says_why_in_a_known_word(counter: Counter, started: Charge) -> None:
    counter.decline(started)
    outcome = counter.gateway.fetch(started)
    assert isinstance(outcome, Declined)
    assert outcome.code in DECLINE_CODES


def test_its_messages_lead_to_the_charge_and_cannot_be_forged(counter: Counter, started: Charge) -> None:
    if counter.message is None:
        pytest.skip("this service sends no messages")
    counter.approve(started)
    headers, body = counter.message(started)
    event = counter.gateway.parse_webhook(headers, body)
    assert event.subject in {str(started.payment_id), started.provider_id}
    assert event == counter.gateway.parse_webhook(headers, body)
    forgeries = [({}, body), (headers, b"")]
    if counter.signed:
        forgeries.append((headers, body + b" "))
    for forged in forgeries:
        with pytest.raises(Forged):
            counter.gateway.parse_webhook(*forged)


def refund(minor: int, currency: str, key: uuid.UUID | None = None) -> RefundRequest:
    return RefundRequest(key=key or uuid.uuid4(), amount=Money(minor, currency), reason="goodwill")


def test_p06_refunds_never_exceed_the_charge(counter: Counter, paid: Charge) -> None:
    if not counter.gateway.abilities.refunds:
        pytest.skip("money is given back by hand")
    whole = counter.amount.minor
    part = refund(whole // 2, counter.amount.currency)
    first = counter.gateway.refund(paid, part)
    assert first.state in {"done", "pending"}
    assert counter.gateway.refund(paid, part) == first
    assert counter.gateway.refund(paid, refund(whole, counter.amount.currency)).state == "failed"
    rest = counter.gateway.refund(paid, refund(whole - whole // 2, counter.amount.currency))
    assert rest.state in {"done", "pending"}


WRONG: tuple[dict[str, str], ...] = (
    {},
    {"secret_key": "pk_test_1", "base_url": "http://elsewhere.example", "verification": "x", "environment": "moon"},
    {"secret_key": "sk_test_1", "webhook_secrets": "x", "api_url": "https://x.example", "environment": "mtncameroon"},
    {"holder": "Atelier", "iban": "FR00", "days": "x", "environment": "sandbox", "api_user": "me", "currency": "USD"},
)


@pytest.mark.parametrize("production", [False, True])
@pytest.mark.parametrize("values", WRONG)
@pytest.mark.parametrize("name", sorted(GATEWAYS))
def test_what_is_wrong_with_settings_is_said_in_french_too(
    name: str, values: dict[str, str], production: bool, db: None
) -> None:
    for sentence in GATEWAYS[name](values, production).problems():
        with translation.override("fr"):
            french = translated(sentence)
        assert french.strip()
        assert french != sentence
        with translation.override("en"):
            assert translated(sentence) == sentence
