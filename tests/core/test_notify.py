from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection

from parcelle.core import notify
from tests import people
from tests.people import Cast

pytestmark = pytest.mark.django_db(transaction=True)


def execute(statement: str, *values: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


async def say(topic: str) -> None:
    await sync_to_async(execute)(f"SELECT pg_notify('{notify.CHANNEL}', %s)", topic)


async def heard(news: AsyncIterator[str]) -> str:
    return await asyncio.wait_for(anext(news), 5)


def in_a_loop(scenario: Callable[[], Awaitable[None]]) -> None:
    """Runs the scenario and ends the loop's listening connection with it."""

    async def scene() -> None:
        try:
            await scenario()
        finally:
            hub = notify._hubs.pop(asyncio.get_running_loop())
            assert hub.task is not None
            hub.task.cancel()

    async_to_sync(scene)()


def test_a_listener_hears_of_its_topic_and_of_no_other() -> None:
    async def scenario() -> None:
        news = notify.listen("instance:1")
        assert await heard(news) == "instance:1"  # on connecting: look at the present state
        await say("instance:2")
        await say("instance:1")
        assert await heard(news) == "instance:1"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(news), 0.1)

    in_a_loop(scenario)


def test_many_changes_in_a_row_wake_a_slow_listener_once() -> None:
    async def scenario() -> None:
        news = notify.listen("a")
        await heard(news)
        for _ in range(20):
            await say("a")
        await asyncio.sleep(0.1)
        await heard(news)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(news), 0.1)

    in_a_loop(scenario)


def test_a_listener_of_several_topics_loses_none_of_them() -> None:
    async def scenario() -> None:
        news = notify.listen("a", "b")
        await heard(news)
        await asyncio.sleep(0.1)
        await say("a")
        await say("b")
        await asyncio.sleep(0.1)
        assert {await heard(news), await heard(news)} == {"a", "b"}

    in_a_loop(scenario)


def test_a_lost_connection_is_opened_again_and_everybody_looks_again() -> None:
    async def scenario() -> None:
        news = notify.listen("a")
        await heard(news)
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query = %s"
        await sync_to_async(execute)(cut, f"LISTEN {notify.CHANNEL}")
        assert await heard(news) == "a"
        await say("a")
        assert await heard(news) == "a"

    in_a_loop(scenario)


def test_nothing_is_kept_for_a_listener_who_left() -> None:
    async def scenario() -> None:
        news = notify.listen("a")
        await heard(news)
        await news.aclose()  # type: ignore[attr-defined]
        assert not notify._hubs[asyncio.get_running_loop()].waiting

    in_a_loop(scenario)


def test_the_database_itself_announces_every_step_of_an_operation(cast: Cast) -> None:
    instance = people.requested_instance(cast.organization, cast.plan)

    async def scenario() -> None:
        news = notify.listen(f"instance:{instance.pk}")
        await heard(news)
        await sync_to_async(people.work)(instance)
        assert await heard(news) == f"instance:{instance.pk}"

    in_a_loop(scenario)
