"""The pool of connections to the database."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection
from psycopg_pool import ConnectionPool

from parcelle.core.database.base import SURE_SECONDS, DatabaseWrapper, check
from tests import cluster

pytestmark = pytest.mark.django_db


@pytest.fixture
def pool() -> Iterator[ConnectionPool[Any]]:
    """One like that of a process, beside that of the tests."""
    settings = copy.deepcopy({**connection.settings_dict, "OPTIONS": {"pool": {"min_size": 3, "max_size": 3}}})
    wrapper = DatabaseWrapper(settings, alias="beside")
    pool = wrapper.pool
    assert pool is not None
    pool.open(wait=True)
    yield pool
    wrapper.close_pool()


def backends(pool: ConnectionPool[Any], number: int) -> list[int]:
    taken = [pool.getconn() for _number in range(number)]
    for each in taken:
        pool.putconn(each)
    return [each.info.backend_pid for each in taken]


def test_what_came_back_last_goes_out_first(pool: ConnectionPool[Any]) -> None:
    *_others, last = backends(pool, 3)
    assert [backends(pool, 1) for _number in range(4)] == [[last]] * 4
    assert len(set(backends(pool, 3))) == 3


def test_a_connection_that_ended_is_not_handed_out(pool: ConnectionPool[Any]) -> None:
    before = set(backends(pool, 3))
    with psycopg.connect(cluster.superuser_url(), autocommit=True) as operator:
        for ended in before:
            operator.execute("SELECT pg_terminate_backend(%s, 10000)", [ended])
    with pool.connection() as fresh:
        assert fresh.execute("SELECT 1").fetchone() == (1,)
        assert fresh.info.backend_pid not in before


def test_a_connection_is_asked_now_and_then(pool: ConnectionPool[Any]) -> None:
    with pool.connection() as one:
        first = one._checked_at
        check(one)
        assert one._checked_at == first
        one._checked_at -= 2 * SURE_SECONDS
        check(one)
        assert one._checked_at >= first
