"""The worker: a job's own jobs commit with its rows, and its connections go back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from procrastinate.contrib.django import app as queue
from procrastinate.contrib.django.models import ProcrastinateJob

from parcelle.core.models import RateCounter
from parcelle.surfaces.cli import worker
from tests import cluster

pytestmark = pytest.mark.django_db(transaction=True)

Define = Callable[[Callable[..., Any]], Any]


@pytest.fixture
def task() -> Iterator[Define]:
    """Declares tasks that are gone after the test."""
    before = dict(queue.tasks)
    yield lambda function: queue.task(name=f"test.{function.__name__}", queue="test")(function)
    queue.tasks.clear()
    queue.tasks.update(before)


def _work() -> None:
    # Once more: it may have looked for work just before a job asked for another.
    for _round in range(2):
        asyncio.run(worker.work(concurrency=4, queues=["test"], wait=False))


def _counted() -> set[str]:
    return set(RateCounter.objects.values_list("key", flat=True))


def _count(key: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO core_ratecounter (key, window_ends_at, count) VALUES (%s, now(), 1)", [key])


def test_a_job_that_fails_takes_back_the_jobs_it_asked_for(task: Define) -> None:
    @task
    def inner(key: str) -> None:
        _count(key)

    @task
    def outer(fail: bool) -> None:
        with transaction.atomic():
            _count(f"outer {fail}")
            inner.defer(key=f"inner {fail}")
            if fail:
                raise ArithmeticError("on purpose")

    outer.defer(fail=True)
    outer.defer(fail=False)
    _work()
    assert _counted() == {"outer False", "inner False"}
    assert not ProcrastinateJob.objects.filter(task_name="test.inner", status="todo").exists()


def test_a_job_is_not_seen_before_the_transaction_that_asked_for_it_ends(task: Define) -> None:
    @task
    def inner() -> None:
        _count("inner")

    with transaction.atomic():
        inner.defer()
        _in_another_process()
        assert _counted() == set()
    _work()
    assert _counted() == {"inner"}


def _in_another_process() -> None:
    import threading

    thread = threading.Thread(target=_work)
    thread.start()
    thread.join()


def test_jobs_leave_no_connection_behind(task: Define) -> None:
    @task
    def one(number: int) -> None:
        _count(str(number))

    for number in range(30):
        one.defer(number=number)
    _work()
    assert len(_counted()) == 30
    connection.close()
    with psycopg.connect(cluster.superuser_url(), autocommit=True) as observer:
        row = observer.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state = 'idle in transaction'",
            [f"parcelle_{cluster.worker()}"],
        ).fetchone()
    assert row == (0,)
