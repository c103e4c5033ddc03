"""`/webhooks/<gateway>`: 2xx means stored, and nothing else does."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, connections
from django.test import Client

from parcelle.domain.billing import gateways, intake
from parcelle.domain.billing.gateways import fake
from parcelle.domain.billing.models import FakeCharge, GatewayEvent, GatewaySettings, Payment
from parcelle.surfaces.api import webhooks
from parcelle.surfaces.api.webhooks import Door
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


def test_p11_what_fails_stays_is_tried_again_by_itself_and_ends_well(
    payment: Payment, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(news(payment))
    with monkeypatch.context() as broken:
        broken.setattr(fake.FakeGateway, "fetch", lambda *_arguments: 1 / 0)
        jobs.work_off(LATER)
    event = GatewayEvent.objects.get()
    assert (event.state, event.error) == ("failed", "ZeroDivisionError: division by zero")
    jobs.work_off(LATER + timedelta(seconds=4))
    event.refresh_from_db()
    payment.refresh_from_db()
    assert (event.state, event.error, payment.state) == ("done", "", "paid")


# --- the door before Django ---------------------------------------------------------------------------------


@dataclass
class Asked:
    """One request to the door, as the web server puts it, and what came back."""

    path: str
    body: bytes = b""
    method: str = "POST"
    host: str = "localhost:8000"
    headers: dict[str, str] = field(default_factory=dict)
    parts: int = 1
    stays: bool = True
    status: int = 0
    allow: str = ""

    @property
    def scope(self) -> dict[str, Any]:
        headers = {"Host": self.host, "Content-Type": "application/json", **self.headers}
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        return {"type": "http", "path": self.path, "method": self.method, "headers": pairs}

    async def through(self, door: Door) -> None:
        step = len(self.body) // self.parts + 1
        pieces = [self.body[at : at + step] for at in range(0, len(self.body), step)] or [b""]
        events: list[dict[str, Any]] = [
            {"type": "http.request", "body": piece, "more_body": not self.stays or number < len(pieces) - 1}
            for number, piece in enumerate(pieces)
        ]
        events.append({"type": "http.disconnect"})

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0)
            return events.pop(0)

        async def send(event: Any) -> None:
            if event["type"] == "http.response.start":
                self.status = event["status"]
                self.allow = dict(event["headers"]).get(b"allow", b"").decode()

        await door(self.scope, receive, send)


async def site(_scope: Any, _receive: Any, send: Any) -> None:
    """Stands for Django: whatever is not the door's gets an answer that no message gets."""
    await send({"type": "http.response.start", "status": 418, "headers": []})


def ask(*asked: Asked, door: Door | None = None) -> list[int]:
    door = door or Door(site)

    async def all_of_them() -> None:
        await asyncio.gather(*(one.through(door) for one in asked))
        # Its thread keeps a connection: the test database could not be dropped.
        await in_its_thread(door, connections.close_all)

    asyncio.run(all_of_them())
    assert door.held == 0
    return [one.status for one in asked]


async def in_its_thread[T](door: Door, act: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(door.together.thread, act)


def signed(body: bytes, *, path: str = "/webhooks/fake", **more: Any) -> Asked:
    return Asked(path, body, headers={"X-Test-Payment-Signature": fake.sign("s" * 32, body)}, **more)


def numbered(number: int) -> bytes:
    return json.dumps({"id": f"evt-{number}", "kind": "x", "payment": ""}).encode()


at_the_door = pytest.mark.django_db(transaction=True)


@at_the_door
def test_what_comes_at_once_is_stored_together_and_each_has_its_own_answer(payment: Payment) -> None:
    calls: list[int] = []

    def counted(items: Sequence[Any]) -> list[Any]:
        calls.append(len(items))
        return intake.take_in(items)

    door = Door(site)
    door.together.serve = counted
    body = news(payment)
    asked = [
        *(signed(numbered(number)) for number in range(20)),
        signed(body, parts=3),
        signed(body, method="PUT"),
        Asked("/webhooks/fake", numbered(99), headers={"X-Test-Payment-Signature": "guessed"}),
        signed(body, path="/webhooks/paypal"),
        signed(b"{}"),
        # What the database cannot take is no reason not to take the others.
        signed(json.dumps({"id": "evt-\0", "kind": "x", "payment": ""}).encode()),
    ]
    assert ask(*asked, door=door) == [200] * 22 + [400, 404, 400, 503]
    assert sum(calls) == len(asked) and len(calls) <= 4
    assert GatewayEvent.objects.count() == 21
    event = GatewayEvent.objects.exclude(event_id__startswith="evt-").get()
    assert bytes(event.body) == body
    assert event.headers["content-type"] == "application/json"
    assert event.headers[":path"] == ""


@at_the_door
def test_the_doors_limits(payment: Payment, monkeypatch: pytest.MonkeyPatch) -> None:
    large = b"x" * (intake.MOST_BYTES + 1)
    get = signed(b"", method="GET")
    gone = signed(numbered(1), stays=False)
    told = signed(large)
    told.headers["Content-Length"] = str(len(large))
    assert ask(get, told, signed(large, parts=9), gone) == [405, 413, 413, 0]
    assert get.allow == "POST, PUT"
    monkeypatch.setattr(webhooks, "MOST_HELD", 2 * len(numbered(1)))
    # The third finds the house full; nothing of it stays.
    assert sorted(ask(*(signed(numbered(number)) for number in range(3)))) == [200, 200, 503]
    assert ask(signed(numbered(7))) == [200]
    assert GatewayEvent.objects.count() == 3


@pytest.mark.parametrize(
    ("path", "host"),
    [
        ("/webhooks/fake", "instance.example.com"),
        ("/webhooks/fake", ""),
        ("/webhooks/", "localhost"),
        ("/webhooks/fake/", "localhost"),
        ("/webhooks/fake/one/two", "localhost"),
        ("/webhooks/../admin", "localhost"),
        ("/pricing", "localhost"),
    ],
)
def test_what_is_no_message_to_the_site_goes_on_to_the_site(path: str, host: str) -> None:
    assert ask(Asked(path, host=host)) == [418]


@at_the_door
def test_what_came_before_the_database_was_started_again_is_stored_all_the_same(payment: Payment) -> None:
    door = Door(site)

    async def twice() -> list[int]:
        await (first := signed(numbered(1))).through(door)
        # As a restart does, seen from here.
        await asyncio.to_thread(end_connection, await in_its_thread(door, backend))
        await (second := signed(numbered(2))).through(door)
        await in_its_thread(door, connections.close_all)
        return [first.status, second.status]

    assert asyncio.run(twice()) == [200, 200]


def backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def end_connection(pid: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
    connection.close()


@at_the_door
def test_a_service_that_has_to_be_asked_holds_up_nobody_else(payment: Payment, monkeypatch: pytest.MonkeyPatch) -> None:
    parse = fake.FakeGateway.parse_webhook
    others_are_stored, both_ask, count = threading.Event(), asyncio.Event(), itertools.count(1)
    loop: asyncio.AbstractEventLoop

    class Asking(fake.FakeGateway):
        abilities = replace(fake.FakeGateway.abilities, asks_about_messages=True)

        def parse_webhook(self, headers: Any, body: bytes) -> Any:
            if next(count) == 2:
                loop.call_soon_threadsafe(both_ask.set)
            assert others_are_stored.wait(60)
            return parse(self, headers, body)

    GatewaySettings.objects.create(name="stripe", values={"secret": "s" * 32})
    monkeypatch.setitem(gateways.GATEWAYS, "stripe", Asking.open)
    monkeypatch.setattr(webhooks, "WAITING", 2)
    door = Door(site)
    slow = [signed(numbered(number), path="/webhooks/stripe") for number in range(2)]

    async def walk() -> None:
        nonlocal loop
        loop = asyncio.get_running_loop()
        waiting = [asyncio.create_task(one.through(door)) for one in slow]
        await both_ask.wait()
        # No more of them than can be dealt with, and everybody else at once.
        await (third := signed(numbered(3), path="/webhooks/stripe")).through(door)
        await (other := signed(numbered(4))).through(door)
        assert (third.status, other.status) == (503, 200)
        others_are_stored.set()
        await asyncio.gather(*waiting)
        await in_its_thread(door, connections.close_all)

    asyncio.run(walk())
    assert [one.status for one in slow] == [200, 200]
    assert set(GatewayEvent.objects.values_list("gateway", "event_id")) == {
        ("stripe", "evt-0"),
        ("stripe", "evt-1"),
        ("fake", "evt-4"),
    }
