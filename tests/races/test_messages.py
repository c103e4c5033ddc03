"""Messages of a payment service that arrive together, and together with the browser; with controls."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import psycopg
import pytest
from django.db.models import Model, QuerySet

from parcelle.core.compiled import Compiled
from parcelle.core.models import Fact
from parcelle.domain.billing import gateways, intake, orders, payments, webhooks
from parcelle.domain.billing.gateways import fake
from parcelle.domain.billing.models import FakeCharge, GatewayEvent, LedgerTransaction, Payment
from tests.domain.billing.selling import LATER, attempt, click, open_shop, order
from tests.people import NOW
from tests.together import at_once, meeting

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("test_blueprints")]


@pytest.fixture
def approved() -> Payment:
    payment = attempt(order(open_shop()))
    click(payment, "approved")
    return payment


def receive(body: bytes) -> bool:
    return webhooks.receive("fake", headers={fake.SIGNATURE: fake.sign("s" * 32, body)}, body=body, now=NOW)


def news(payment: Payment) -> bytes:
    return fake.message(FakeCharge.objects.get(payment_id=payment.pk))


def two_messages(payment: Payment) -> list[GatewayEvent]:
    """Two different ones about the same payment, both stored and neither dealt with."""
    for number in (b"1", b"2"):
        assert receive(news(payment).replace(b'"id": "', b'"id": "' + number))
    return list(GatewayEvent.objects.all())


def counted() -> dict[str, int]:
    names = ("OrderPaid", "PaymentReceived")
    postings = LedgerTransaction.objects.filter(kind=LedgerTransaction.PAYMENT).count()
    return {name: Fact.objects.filter(name=name).count() for name in names} | {"postings": postings}


ONCE = {"OrderPaid": 1, "PaymentReceived": 1, "postings": 1}

# --- one message, many times at once ------------------------------------------------------------------------


def deliver_twenty_times(payment: Payment) -> int:
    """How many rows there are afterwards: each would be dealt with."""
    at_once([partial(receive, news(payment))] * 20).all()
    return GatewayEvent.objects.count()


def test_p07_one_message_twenty_times_at_once_is_one_row(approved: Payment) -> None:
    assert deliver_twenty_times(approved) == 1


def test_p07_batches_that_hold_the_same_messages_do_not_wait_for_each_other(approved: Payment) -> None:
    def some(turn: int) -> int:
        gateway = gateways.open_gateway("fake")
        bodies = [news(approved).replace(b'"id": "', f'"id": "{number} '.encode()) for number in range(30)]
        signed = [({fake.SIGNATURE: fake.sign("s" * 32, body)}, body) for body in bodies]
        rows = [
            intake.genuine(gateway, intake.Incoming(gateway="fake", headers=headers, body=body, at=NOW))
            for headers, body in signed
        ]
        return intake.store(rows[::-1] if turn % 2 else rows)

    assert sum(at_once([partial(some, turn) for turn in range(8)]).all()) == 30
    assert GatewayEvent.objects.count() == 30


def test_p07_what_is_taken_up_by_one_worker_is_not_taken_up_by_another(approved: Payment) -> None:
    two_messages(approved)
    taken = at_once([partial(webhooks.take, 4)] * 6).all()
    pieces = [piece for some in taken for piece in some]
    assert len(pieces) == 1
    assert webhooks.take(4) == []


@pytest.fixture
def no_index() -> Iterator[None]:
    with psycopg.connect(os.environ["PARCELLE_OWNER_DATABASE_URL"], autocommit=True) as owner:
        owner.execute("ALTER TABLE billing_gatewayevent DROP CONSTRAINT gateway_event_once")
        yield
        owner.execute("SET parcelle.platform = 'commands'; DELETE FROM billing_gatewayevent")
        owner.execute("ALTER TABLE billing_gatewayevent ADD CONSTRAINT gateway_event_once UNIQUE (gateway, event_id)")


@pytest.mark.usefixtures("no_index")
def test_control_without_the_index_it_is_dealt_with_more_than_once(
    approved: Payment, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Everybody looks whether it is there before anybody writes it.
    monkeypatch.setattr(QuerySet, "get_or_create", _look_then_create(meeting(_absent, of=20)))
    assert deliver_twenty_times(approved) > 1


def _absent(rows: QuerySet[Any], named: dict[str, Any]) -> bool:
    return not rows.filter(**named).exists()


def _look_then_create(absent: Any) -> Any:
    def get_or_create(rows: QuerySet[Any], defaults: dict[str, Any], **named: Any) -> tuple[Model, bool]:
        if absent(rows, named):
            return rows.create(**named, **defaults), True
        return rows.filter(**named)[0], False

    return get_or_create


# --- several about one payment, and the browser -------------------------------------------------------------


def all_at_once(payment: Payment) -> None:
    messages = two_messages(payment)
    acts: list[Callable[[], object]] = [partial(payments.look, payment.pk, now=LATER)] * 3
    acts += [partial(webhooks.process, message.pk, now=LATER) for message in messages * 3]
    at_once(acts)


def test_p07_two_messages_and_the_browser_at_once_count_once(approved: Payment) -> None:
    all_at_once(approved)
    assert counted() == ONCE
    assert set(GatewayEvent.objects.values_list("state", flat=True)) == {"done"}


@pytest.fixture
def careless(approved: Payment, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on no row is locked, and a state is written whatever it is by now."""

    def move(row: Any, to: str, *, table: object, **changes: Any) -> None:
        values = {"state": to, **changes}
        type(row)._base_manager.filter(pk=row.pk).update(**values)
        for name, value in values.items():
            setattr(row, name, value)

    monkeypatch.setattr(QuerySet, "select_for_update", lambda rows, **_how: rows)
    # These were compiled with their locks.
    for name in ("_order_of_payment_locked", "_locked"):
        monkeypatch.setattr(payments, name, Compiled(getattr(payments, name).make))
    monkeypatch.setattr(payments, "move", move)
    monkeypatch.setattr(orders, "move", move)
    # Two have read how things stand before either writes.
    remember, meet = payments._remember, meeting(lambda: None)
    monkeypatch.setattr(payments, "_remember", lambda *known: (meet(), remember(*known)))


@pytest.mark.usefixtures("careless")
def test_control_without_locks_two_messages_count_twice(approved: Payment) -> None:
    messages = two_messages(approved)
    at_once([partial(webhooks.process, message.pk, now=LATER) for message in messages])
    assert counted()["OrderPaid"] == counted()["PaymentReceived"] == 2


@pytest.mark.usefixtures("careless")
def test_control_without_locks_browser_and_message_count_twice(approved: Payment) -> None:
    message = two_messages(approved)[0]
    acts: list[Callable[[], object]] = [partial(payments.look, approved.pk, now=LATER)]
    at_once([*acts, lambda: webhooks.process(message.pk, now=LATER)])
    assert counted()["OrderPaid"] == counted()["PaymentReceived"] == 2
    # The books still know better: what is booked has a key of its own.
    assert counted()["postings"] == 1
