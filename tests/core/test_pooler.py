"""Behind a real pooler that gives a connection to somebody else after every transaction."""

from __future__ import annotations

import copy
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from parcelle.config import embedded
from parcelle.core import context
from parcelle.core.context import Platform
from parcelle.core.database.base import DatabaseWrapper
from tests import cluster, needs
from tests.people import Cast

_CONFIGURATION = """\
[databases]
* = host={sockets} port={port} user={user} password={password} pool_size=1
[pgbouncer]
listen_addr =
unix_socket_dir = {folder}
listen_port = 6432
pool_mode = transaction
auth_type = any
max_client_conn = 50
logfile = {folder}/pooler.log
pidfile = {folder}/pooler.pid
"""


@pytest.fixture
def pooler(tmp_path: Path) -> Iterator[Path]:
    """The folder of its socket. All its clients share one connection to the database."""
    needs.require("pooler")
    parameters = psycopg.conninfo.conninfo_to_dict(os.environ["DATABASE_URL"])
    folder = Path(os.environ["PARCELLE_TEST_FOLDER"]) / cluster.worker() / "pooler"
    folder.mkdir(exist_ok=True)
    configuration = folder / "pooler.ini"
    configuration.write_text(
        _CONFIGURATION.format(
            sockets=parameters["host"],
            port=parameters.get("port", 5432),
            user=parameters["user"],
            password=parameters["password"],
            folder=folder,
        )
    )
    user = embedded.Postgres(embedded.Home(folder)).system_user
    if user:
        for path in (folder, configuration):
            subprocess.run(["chown", user, str(path)], check=True)
    process = subprocess.Popen(["pgbouncer", "-q", str(configuration)], user=user, cwd=folder)
    try:
        deadline = time.monotonic() + 15
        while not (folder / ".s.PGSQL.6432").exists():
            assert process.poll() is None and time.monotonic() < deadline, (folder / "pooler.log").read_text()
            time.sleep(0.05)
        yield folder
    finally:
        process.terminate()
        process.wait(10)


def _client(pooler: Path, alias: str) -> DatabaseWrapper:
    settings = copy.deepcopy(connection.settings_dict)
    # Prepared statements belong to a connection.
    settings |= {"HOST": str(pooler), "PORT": "6432", "OPTIONS": {}}
    return DatabaseWrapper(settings, alias=alias)


def _slugs(client: DatabaseWrapper) -> set[str]:
    with client.cursor() as cursor:
        cursor.execute("SELECT slug FROM tenancy_organization")
        return {slug for (slug,) in cursor.fetchall()}


def _backend(client: DatabaseWrapper) -> int:
    with client.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
def test_who_shares_a_connection_shares_no_rows(cast: Cast, pooler: Path) -> None:
    with closing(_client(pooler, "one")) as one, closing(_client(pooler, "two")) as two:
        assert _backend(one) == _backend(two), "both have the pooler's only connection"
        for _round in range(3):
            with context.organization(cast.organization.pk):
                assert _slugs(one) == {"maconnerie-diop"}
            with context.within(context.NOBODY):
                assert _slugs(two) == set()
            with context.organization(cast.other_organization.pk):
                assert _slugs(two) == {"stranger-sons"}
                two.set_autocommit(False)
                assert _slugs(two) == {"stranger-sons"}
                two.rollback()
                two.set_autocommit(True)
            with context.platform(Platform.JOBS), context.within(context.NOBODY):
                assert _slugs(one) == set()


@pytest.mark.django_db(transaction=True)
def test_control_what_is_set_for_a_session_reaches_the_other_client(cast: Cast, pooler: Path) -> None:
    with context.within(context.NOBODY), closing(_client(pooler, "one")) as one, closing(_client(pooler, "two")) as two:
        with one.cursor() as cursor:
            cursor.execute(f"SET parcelle.organizations = '{{{cast.organization.pk}}}'")
        assert _slugs(two) == {"maconnerie-diop"}
