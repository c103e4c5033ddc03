"""The PostgreSQL that the tests run on: one cluster for a whole run, one database for each worker.

Started by the code of the embedded system, without waiting for the disk. The tables are migrated once, as
their owner, into a template; every pytest-xdist worker gets a copy, and every test connects to it as the
application's role, which owns nothing. `PARCELLE_TEST_DATABASE_URL`, a superuser's address on a throw-away
PostgreSQL >= 15, replaces the cluster; its `parcelle_*` roles get new passwords.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from parcelle.config import embedded
from tests.docker import subnets

TEMPLATE = "parcelle_template"
_ROLES = {embedded.OWNER: "OWNER_PASSWORD", embedded.APP: "APP_PASSWORD", embedded.TENANTS: "TENANTS_PASSWORD"}


def worker() -> str:
    """This process among the pytest-xdist workers; `main` without xdist and in its controller."""
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


class Cluster:
    """Started by the first pytest process; the workers find it by what it put into the environment."""

    def __init__(self, folder: Path) -> None:
        self.home = embedded.Home(folder)
        self.postgres = embedded.Postgres(self.home, durable=False)
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls) -> Cluster:
        cluster = cls(Path(tempfile.mkdtemp(prefix="parcelle-tests-")).resolve())
        cluster.home.path.chmod(0o711)
        cluster.home.create_folders()
        values = embedded.secrets_of(cluster.home, port=0)
        superuser = os.environ.get("PARCELLE_TEST_DATABASE_URL", "")
        if not superuser:
            cluster.postgres.prepare(values["POSTGRES_PASSWORD"])
            cluster.process = cluster.postgres.start()
            cluster.postgres.wait_until_ready(values["POSTGRES_PASSWORD"])
            superuser = values["PARCELLE_SUPERUSER_DATABASE_URL"]
        os.environ["PARCELLE_TEST_FOLDER"] = str(cluster.home.path)
        os.environ["PARCELLE_TEST_SUPERUSER_URL"] = superuser
        for name in ("DJANGO_SECRET_KEY", "PARCELLE_SECRET_KEYS"):
            os.environ[name] = values[name]
        for role, password in _ROLES.items():
            os.environ[f"PARCELLE_TEST_{role.upper()}"] = values[password]
        return cluster

    def stop(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGQUIT)
                self.process.wait()
        shutil.rmtree(self.home.path, ignore_errors=True)


def superuser_url(database: str = "postgres") -> str:
    return with_parts(os.environ["PARCELLE_TEST_SUPERUSER_URL"], database=database)


def url(role: str, database: str) -> str:
    return with_parts(superuser_url(database), user=role, password=os.environ[f"PARCELLE_TEST_{role.upper()}"])


def with_parts(address: str, *, database: str = "", user: str = "", password: str = "") -> str:
    parts = urlsplit(address)
    place = parts.netloc
    if user:
        place = f"{user}:{quote(password, safe='')}@{place.rpartition('@')[2]}"
    path = f"/{database}" if database else parts.path
    # urlunsplit would drop the empty host of a socket address.
    query = urlencode(parse_qsl(parts.query), quote_via=quote, safe="/")
    return urlunsplit((parts.scheme, place or "", path, query, "")).replace(":///", "://") if place else address


def choose_settings() -> None:
    """What the settings module reads when it is imported, for this process and for those it starts."""
    database = f"parcelle_{worker()}"
    home = Path(os.environ["PARCELLE_TEST_FOLDER"]) / worker()
    home.mkdir(exist_ok=True)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "parcelle.config.settings",
        "DATABASE_URL": url(embedded.APP, database),
        "PARCELLE_OWNER_DATABASE_URL": url(embedded.OWNER, database),
        "PARCELLE_TENANTS_DATABASE_URL": url(embedded.TENANTS, "postgres"),
        "PARCELLE_HOME": str(home),
        "PARCELLE_SUBNET_POOL": subnets.own(),
    }


def create_database() -> None:
    """This worker's database, a copy of the migrated template; the first worker that asks makes the template."""
    with (Path(os.environ["PARCELLE_TEST_FOLDER"]) / "template.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if lock.read() != "made":
            _make_template()
            lock.write("made")
    with psycopg.connect(superuser_url(), autocommit=True) as connection:
        _drop(connection, f"parcelle_{worker()}")
        embedded.create_database(connection, f"parcelle_{worker()}", template=TEMPLATE)


def make_database(name: str) -> None:
    """An empty database of the test's own, with the roles' rights, gone with the run."""
    passwords = {role: os.environ[f"PARCELLE_TEST_{role.upper()}"] for role in _ROLES}
    with psycopg.connect(superuser_url(), autocommit=True) as connection:
        _drop(connection, name)
    embedded.create_roles(superuser_url(), passwords, database=name)


def drop_database() -> None:
    with psycopg.connect(superuser_url(), autocommit=True) as connection:
        _drop(connection, f"parcelle_{worker()}")


def _drop(connection: psycopg.Connection[tuple[object, ...]], name: str) -> None:
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _make_template() -> None:
    with psycopg.connect(superuser_url(), autocommit=True) as connection:
        _drop(connection, TEMPLATE)
    passwords = {role: os.environ[f"PARCELLE_TEST_{role.upper()}"] for role in _ROLES}
    embedded.create_roles(superuser_url(), passwords, database=TEMPLATE)
    done = subprocess.run(
        [sys.executable, "-m", "parcelle.config.program", "migrate"],
        env={**os.environ, "PARCELLE_OWNER_DATABASE_URL": url(embedded.OWNER, TEMPLATE)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"The migrations failed:\n{done.stderr[-4000:]}")
    with psycopg.connect(superuser_url(TEMPLATE), autocommit=True) as connection:
        # Only tests empty whole tables; the product's own role cannot.
        connection.execute(f"GRANT TRUNCATE ON ALL TABLES IN SCHEMA public TO {embedded.APP}")
        for table in ("billing_ledgertransaction", "billing_ledgerentry"):
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER {table}_whole")


def empty_queue() -> None:
    """Removes all jobs and what is cached: Django does not count these tables among those it empties after a test."""
    names = ("jobs", "periodic_defers", "events", "workers")
    tables = ", ".join(["core_cache", *(f"procrastinate_{name}" for name in names)])
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f"TRUNCATE {tables} CASCADE")
