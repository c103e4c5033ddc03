from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from parcelle.core import events
from parcelle.core.models import Fact, Reaction
from parcelle.journeys import reactions
from tests.people import NOW


@events.event
class SomethingTested:
    organization_id: UUID
    count: int
    price: Decimal = Decimal("1.50")
    until: datetime = NOW


heard: list[Fact] = []
refused: list[Fact] = []


def hear(fact: Fact) -> None:
    heard.append(fact)


def hear_but_once(fact: Fact) -> None:
    if not refused:
        refused.append(fact)
        raise OSError("not now")
    heard.append(fact)


@pytest.fixture
def listening() -> Iterator[None]:
    events.react(SomethingTested, hear)
    yield
    events._reactions.pop("SomethingTested")
    heard.clear()
    refused.clear()


def happen(organization_id: UUID | None = None) -> Fact:
    return events.record(SomethingTested(organization_id=organization_id or uuid4(), count=3), now=NOW, actor="Ann")


def retries() -> list[dict[str, Any]]:
    return list(ProcrastinateJob.objects.filter(task_name="core.react").order_by("id").values_list("args", flat=True))


def deliver() -> None:
    for piece in events.take(10):
        piece()


@pytest.mark.django_db
def test_a_fact_keeps_what_happened_when_and_by_whom() -> None:
    organization_id = uuid4()
    fact = Fact.objects.get(pk=happen(organization_id).pk)
    assert (fact.name, fact.at, fact.actor) == ("SomethingTested", NOW, "Ann")
    assert fact.organization_id == organization_id
    assert fact.data == {"count": 3, "price": "1.50", "until": NOW.isoformat()}


@pytest.mark.django_db
@pytest.mark.usefixtures("listening")
def test_a_fact_and_who_cares_are_stored_together() -> None:
    fact = happen()
    assert list(Reaction.objects.values_list("fact_id", "function")) == [(fact.pk, f"{__name__}.hear")]


@pytest.mark.django_db
@pytest.mark.usefixtures("listening")
def test_facts_together_are_stored_with_one_statement_in_their_order() -> None:
    with CaptureQueriesContext(connection) as asked, events.together():
        facts = [happen() for _number in range(3)]
        assert not Fact.objects.exists()
    assert len(asked) == 2
    assert list(Fact.objects.order_by("pk")) == facts
    assert list(Reaction.objects.order_by("pk").values_list("fact_id", flat=True)) == [fact.pk for fact in facts]


@pytest.mark.django_db
def test_of_facts_together_nothing_is_left_when_it_ends_badly() -> None:
    def end_badly() -> None:
        with events.together():
            happen()
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        end_badly()
    assert not Fact.objects.exists()
    happen()
    assert Fact.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("listening")
def test_what_is_rolled_back_never_happened_and_nobody_hears_of_it() -> None:
    with transaction.atomic():
        happen()
        transaction.set_rollback(True)
    assert not Fact.objects.exists() and not Reaction.objects.exists()


@pytest.mark.django_db
@pytest.mark.usefixtures("listening")
def test_a_reaction_is_called_with_the_stored_fact_once() -> None:
    facts = [happen(), happen()]
    deliver()
    deliver()
    assert heard == facts and not Reaction.objects.exists()


@pytest.mark.django_db
@pytest.mark.usefixtures("listening")
def test_what_one_worker_took_is_not_given_to_another_until_it_is_taken_for_dead() -> None:
    happen()
    assert len(events.take(10)) == 1 and not events.take(10)
    Reaction.objects.update(taken_until=timezone.now() - timedelta(seconds=1))
    assert len(events.take(10)) == 1


@pytest.mark.django_db
@pytest.mark.usefixtures("listening")
def test_a_reaction_that_fails_is_tried_again_by_the_queue_and_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    function = f"{__name__}.hear"
    monkeypatch.setitem(events._reactions["SomethingTested"], function, hear_but_once)
    first, second = happen(), happen()
    deliver()
    assert heard == [second] and not Reaction.objects.exists()
    (retry,) = retries()
    assert retry == {"fact_id": first.pk, "function": function}
    events.run_reaction(**retry)
    assert heard == [second, first]


@pytest.mark.django_db
def test_a_job_for_a_reaction_that_was_removed_fails_loudly() -> None:
    with pytest.raises(LookupError, match="no longer reacts"):
        events.run_reaction(fact_id=happen().pk, function="gone.away")


@pytest.mark.usefixtures("listening")
def test_registering_a_reaction_twice_calls_it_once() -> None:
    events.react(SomethingTested, hear)
    assert len(events._reactions["SomethingTested"]) == 1


def test_two_events_of_one_name_are_refused() -> None:
    class SomethingTested: ...

    with pytest.raises(TypeError, match="Two events"):
        events.event(SomethingTested)


def test_an_event_cannot_be_changed() -> None:
    happened = SomethingTested(organization_id=uuid4(), count=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        happened.count = 2  # type: ignore[misc]


def test_every_event_has_a_name_of_its_own() -> None:
    assert len(events.names()) == len(set(events.names())) > 10


def test_no_event_has_a_field_for_a_secret() -> None:
    fields = [f"{kind.__name__}.{f.name}" for kind in events._event_names for f in dataclasses.fields(kind)]
    assert not [name for name in fields if re.search("pass|secret|token|key|credential|cookie", name, re.IGNORECASE)]


def test_every_reaction_in_the_table_is_registered() -> None:
    for kind, functions in reactions.TABLE.items():
        assert set(functions) <= set(events._reactions[kind.__name__].values())
