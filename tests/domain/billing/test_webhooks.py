"""Messages of payment services: stored before they are believed, dealt with once, visible when they fail."""

from __future__ import annotations

import json
import uuid

import pytest

from parcelle.domain.billing import webhooks
from parcelle.domain.billing.errors import GatewayUnusable
from parcelle.domain.billing.gateways import fake
from parcelle.domain.billing.gateways.base import Charge, Forged, GatewayError, Outcome
from parcelle.domain.billing.models import FakeCharge, GatewayEvent, Payment
from parcelle.domain.catalog.models import Price
from tests.domain.billing.selling import LATER, attempt, click, open_shop, order
from tests.people import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]


@pytest.fixture
def payment() -> Payment:
    return attempt(order(open_shop()))


def news(payment: Payment) -> bytes:
    return fake.message(FakeCharge.objects.get(payment_id=payment.pk))


def deliver(body: bytes, *, secret: str = "s" * 32) -> bool:
    return webhooks.receive("fake", headers={fake.SIGNATURE: fake.sign(secret, body)}, body=body, now=NOW)


def test_a_message_is_stored_and_dealt_with_by_a_job(payment: Payment) -> None:
    click(payment, "approved")
    assert deliver(news(payment))
    event = GatewayEvent.objects.get()
    assert (event.state, bytes(event.body)) == ("received", news(payment))
    webhooks.process(event.pk, now=LATER)
    event.refresh_from_db()
    payment.refresh_from_db()
    assert (event.state, event.payment, payment.state) == ("done", payment, "paid")


def test_p07_the_same_message_again_is_the_same_message(payment: Payment) -> None:
    click(payment, "approved")
    assert [deliver(news(payment)) for _time in range(3)] == [True, False, False]
    assert GatewayEvent.objects.count() == 1


def test_p12_a_forged_message_changes_nothing(payment: Payment) -> None:
    click(payment, "approved")
    with pytest.raises(Forged):
        deliver(news(payment), secret="guessed")
    with pytest.raises(Forged):
        webhooks.receive("fake", headers={}, body=news(payment), now=NOW)
    assert not GatewayEvent.objects.exists()


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff\xfe", b'{"id": 1, "kind": 2}'])
def test_a_signed_message_that_is_none_is_refused(payment: Payment, body: bytes) -> None:
    with pytest.raises(Forged):
        deliver(body)


def test_p12_what_a_message_claims_is_not_believed(payment: Payment) -> None:
    lie = json.dumps({"id": "1", "kind": "charge.approved", "payment": str(payment.pk)}).encode()
    assert deliver(lie)
    webhooks.process(GatewayEvent.objects.get().pk, now=LATER)
    payment.refresh_from_db()
    assert payment.state == "pending"


@pytest.mark.parametrize("subject", ["", str(uuid.UUID(int=5)), "nonsense"])
def test_a_message_about_nothing_of_ours_is_visibly_ignored(payment: Payment, subject: str) -> None:
    assert deliver(json.dumps({"id": "1", "kind": "x", "payment": subject}).encode())
    webhooks.process(GatewayEvent.objects.get().pk, now=LATER)
    assert GatewayEvent.objects.get().state == "ignored"


def test_p11_a_message_that_fails_stays_visible_and_is_tried_again(
    payment: Payment, monkeypatch: pytest.MonkeyPatch
) -> None:
    click(payment, "approved")
    deliver(news(payment))
    event = GatewayEvent.objects.get()
    with monkeypatch.context() as broken:
        broken.setattr(fake.FakeGateway, "fetch", lambda *_args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            webhooks.process(event.pk, now=LATER)
    event.refresh_from_db()
    assert (event.state, "ZeroDivisionError" in event.error) == ("failed", True)
    webhooks.process(event.pk, now=LATER)
    event.refresh_from_db()
    assert (event.state, event.error) == ("done", "")


def test_no_answer_of_the_service_leaves_the_payment_to_the_sweeper(
    payment: Payment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_args: object) -> None:
        raise GatewayError("no answer", unknown=True)

    deliver(news(payment))
    monkeypatch.setattr(fake.FakeGateway, "fetch", silent)
    webhooks.process(GatewayEvent.objects.get().pk, now=LATER)
    payment.refresh_from_db()
    assert payment.state == "pending"
    assert payment.look_at is not None


def test_a_way_to_pay_that_is_not_set_up_takes_no_messages() -> None:
    with pytest.raises(GatewayUnusable):
        webhooks.receive("paypal", headers={}, body=b"{}", now=NOW)


# --- taking them up -----------------------------------------------------------------------------------------


def tell(number: int, about: object) -> None:
    assert deliver(json.dumps({"id": f"evt-{number}", "kind": "x", "payment": str(about)}).encode())


def states() -> dict[str, str]:
    return dict(GatewayEvent.objects.values_list("event_id", "state"))


@pytest.mark.parametrize("most", [1, 4])
def test_many_about_one_payment_cost_one_question_and_those_about_nothing_none(
    payment: Payment, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    click(payment, "approved")
    other = attempt(order(Price.objects.get()))
    asked: list[object] = []
    fetch = fake.FakeGateway.fetch

    def noted(gateway: fake.FakeGateway, charge: Charge) -> Outcome:
        asked.append(charge.payment_id)
        return fetch(gateway, charge)

    monkeypatch.setattr(fake.FakeGateway, "fetch", noted)
    subjects = [payment.pk, uuid.UUID(int=5), payment.pk, "", other.pk, "nonsense", str(payment.pk).upper()]
    for number, about in enumerate(subjects):
        tell(number, about)
    pieces = webhooks.take(most)
    assert 0 < len(pieces) <= most
    assert webhooks.take(most) == []
    for piece in pieces:
        piece()
    assert set(asked) == {payment.pk, other.pk} and len(asked) == 3
    assert states() == {f"evt-{n}": "ignored" if n in {1, 3, 5} else "done" for n in range(7)}
    payment.refresh_from_db()
    assert payment.state == "paid"


def test_what_a_dead_worker_had_taken_up_is_due_again(payment: Payment) -> None:
    click(payment, "approved")
    deliver(news(payment))
    assert webhooks.take(4)
    assert webhooks.take(4) == []
    GatewayEvent.objects.update(wait_until=NOW)
    (piece,) = webhooks.take(4)
    piece()
    event = GatewayEvent.objects.get()
    assert (event.state, event.attempts, event.wait_until) == ("done", 2, None)
    # The first one was only slow.
    piece()
    event.refresh_from_db()
    assert (event.state, event.wait_until) == ("done", None)


def test_p11_the_last_attempt_that_fails_is_the_last(payment: Payment, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(news(payment))
    event = GatewayEvent.objects.get()
    monkeypatch.setattr(fake.FakeGateway, "fetch", lambda *_args: 1 / 0)
    pauses = []
    for _attempt in range(webhooks.MOST_ATTEMPTS):
        (piece,) = webhooks.take(1)
        piece()
        event.refresh_from_db()
        pauses.append(event.wait_until)
        GatewayEvent.objects.filter(wait_until__isnull=False).update(wait_until=NOW)
    assert [pause is None for pause in pauses] == [False] * (webhooks.MOST_ATTEMPTS - 1) + [True]
    assert webhooks.take(1) == []
    webhooks.retry(event.pk, actor="user:1", now=LATER)
    event.refresh_from_db()
    assert (event.state, event.attempts) == ("received", 0)
    assert len(webhooks.take(1)) == 1
