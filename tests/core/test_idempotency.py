"""One key, one effect: whoever comes second waits for the first one's answer, or takes over from who died."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest

from parcelle.core import idempotency
from parcelle.core.idempotency import InProgress, Kept, KeyReused, Turn
from parcelle.core.models import KeptAnswer
from tests.people import NOW
from tests.together import at_once

TOKEN = uuid.UUID(int=1)
ANSWER = {"status": 201, "body": {"orderId": "4711"}}


def take(digest: str = "a", *, scope: uuid.UUID = TOKEN, after: timedelta = timedelta()) -> Any:
    return idempotency.take(scope, "key", digest, now=NOW + after)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "_PATIENCE", 0.0)


@pytest.mark.django_db
def test_the_answer_of_the_first_is_everybodys() -> None:
    take().keep(ANSWER)
    assert take() == Kept(ANSWER)


@pytest.mark.django_db
def test_another_request_may_not_use_the_key() -> None:
    take().keep(ANSWER)
    with pytest.raises(KeyReused):
        take("b")


@pytest.mark.django_db
def test_scopes_do_not_know_each_other() -> None:
    take().keep(ANSWER)
    assert isinstance(take("b", scope=uuid.UUID(int=2)), Turn)


@pytest.mark.django_db
def test_what_was_refused_leaves_the_key_free() -> None:
    take().free()
    assert isinstance(take("b"), Turn)


@pytest.mark.django_db
@pytest.mark.usefixtures("impatient")
def test_who_takes_too_long_is_not_overtaken() -> None:
    take()
    with pytest.raises(InProgress):
        take(after=timedelta(seconds=60))
    with pytest.raises(KeyReused):
        take("b")


@pytest.mark.django_db
def test_who_died_is_followed_by_the_same_request_only() -> None:
    dead = take()
    with pytest.raises(KeyReused):
        take("b", after=timedelta(minutes=3))
    follower = take(after=timedelta(minutes=3))
    assert isinstance(follower, Turn)
    dead.keep({"status": 500})
    dead.free()
    follower.keep(ANSWER)
    assert take() == Kept(ANSWER)


@pytest.mark.django_db
def test_who_broke_down_leaves_it_at_once() -> None:
    take().leave(now=NOW)
    assert isinstance(take(after=timedelta(seconds=1)), Turn)


@pytest.mark.django_db
def test_keys_expire() -> None:
    take().keep(ANSWER)
    assert isinstance(take("b", after=timedelta(hours=24)), Turn)
    assert idempotency.forget(now=NOW + timedelta(hours=47)) == 0
    assert idempotency.forget(now=NOW + timedelta(hours=48)) == 1
    assert not KeptAnswer.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_twenty_at_once_have_one_effect() -> None:
    effects: list[int] = []

    def ask() -> Any:
        turn = take()
        if isinstance(turn, Kept):
            return turn.answer
        effects.append(threading.get_ident())
        turn.keep(ANSWER)
        return ANSWER

    assert at_once([ask] * 20).all() == [ANSWER] * 20
    assert len(effects) == 1


@pytest.mark.django_db(transaction=True)
def test_control_without_the_key_everybody_has_an_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "take", lambda scope, key, digest, now: Turn(uuid.uuid4(), key, now))
    turns = at_once([take] * 20).all()
    assert len({turn.scope for turn in turns}) == 20
