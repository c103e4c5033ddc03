"""`/webhooks/<gateway>`: 2xx means stored, and nothing else does."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from procrastinate.contrib.django import app as queue
from procrastinate.jobs import Job

from parcelle.domain.billing.gateways import fake
from parcelle.domain.billing.models import FakeCharge, GatewayEvent, Payment
from tests import jobs
from tests.domain.billing.selling import LATER, attempt, click, open_shop, order

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]


@pytest.fixture
def payment() -> Payment:
    made = attempt(order(open_shop()))
    click(made, "approved")
    return made


def send(body: bytes, *, secret: str = "s" * 32, method: str = "post", to: str = "fake") -> int:
    client = Client(raise_request_exception=False)
    headers = {fake.SIGNATURE: fake.sign(secret, body)}
    ask = getattr(client, method)
    return int(ask(f"/webhooks/{to}", body, content_type="application/json", headers=headers).status_code)


def news(payment: Payment) -> bytes:
    # Bytes that nobody would write again the same way.
    return b"  " + fake.message(FakeCharge.objects.get(payment_id=payment.pk)).replace(b", ", b" ,\n\t")


@pytest.mark.parametrize("method", ["post", "put"])
def test_it_is_stored_byte_by_byte_acknowledged_and_dealt_with_by_a_job(payment: Payment, method: str) -> None:
    body = news(payment)
    assert send(body, method=method) == 200
    event = GatewayEvent.objects.get()
    assert (event.state, bytes(event.body)) == ("received", body)
    assert event.headers[fake.SIGNATURE] == fake.sign("s" * 32, body)
    payment.refresh_from_db()
    assert payment.state == "pending"
    jobs.work_off(LATER)
    event.refresh_from_db()
    payment.refresh_from_db()
    assert (event.state, payment.state) == ("done", "paid")


def test_p07_again_it_is_acknowledged_and_nothing_is_stored_twice(payment: Payment) -> None:
    assert [send(news(payment)) for _time in range(3)] == [200, 200, 200]
    assert GatewayEvent.objects.count() == 1


@pytest.mark.parametrize("wrong", [{"secret": "guessed"}, {"to": "nobody"}, {"to": "stripe"}])
def test_p12_what_is_not_genuine_is_not_stored(payment: Payment, wrong: Any) -> None:
    assert 400 <= send(news(payment), **wrong) < 500
    assert not GatewayEvent.objects.exists()


def test_a_browser_gets_nothing(client: Client) -> None:
    assert client.get("/webhooks/fake").status_code == 405


def test_p11_without_a_database_it_is_not_acknowledged(payment: Payment) -> None:
    body, settings = news(payment), []

    def down(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        settings.append(sql)
        raise OperationalError("the connection is closed")

    with connection.execute_wrapper(down):
        assert send(body) >= 500
    assert settings
    assert not GatewayEvent.objects.exists()
    assert send(body) == 200


def test_p11_when_it_cannot_be_stored_it_is_not_acknowledged(payment: Payment) -> None:
    body = news(payment)

    def full(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("INSERT"):
            raise OperationalError("the disk is full")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(full):
        assert send(body) >= 500
    assert not GatewayEvent.objects.exists()
    # The service sends it again, and nothing of the first time is in the way.
    assert send(body) == 200
    jobs.work_off(LATER)
    payment.refresh_from_db()
    assert payment.state == "paid"


def test_p11_what_fails_stays_is_tried_again_by_the_queue_and_ends_well(
    payment: Payment, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(news(payment))
    with monkeypatch.context() as broken:
        broken.setattr(fake.FakeGateway, "fetch", lambda *_arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            jobs.work_off(LATER)
    event = GatewayEvent.objects.get()
    assert (event.state, event.error) == ("failed", "ZeroDivisionError: division by zero")
    task = queue.tasks["billing.process_event"]
    job = Job(id=0, queue="payments", lock=None, queueing_lock=None, task_name=task.name, attempts=3)
    assert task.get_retry_exception(ZeroDivisionError(), job) is not None
    task(event_id=event.pk)
    event.refresh_from_db()
    payment.refresh_from_db()
    assert (event.state, event.error, payment.state) == ("done", "", "paid")
