"""The rights of the three roles, on the database that every test runs on."""

from __future__ import annotations

import psycopg
import pytest
from django.db import connection

from parcelle.config import embedded
from tests import cluster


@pytest.mark.django_db
def test_the_application_is_neither_owner_nor_superuser() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolname, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole FROM pg_roles "
            "WHERE rolname = current_user"
        )
        assert cursor.fetchone() == (embedded.APP, False, False, False, False)
        cursor.execute(
            "SELECT count(*), count(*) FILTER (WHERE tableowner = current_user) FROM pg_tables "
            "WHERE schemaname = 'public'"
        )
        tables, owned = cursor.fetchone()
    assert tables > 30
    assert owned == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id int)",
        "ALTER TABLE core_fact ADD COLUMN x int",
        "DROP TABLE core_fact",
        "CREATE DATABASE mine",
    ],
)
def test_the_application_cannot_change_the_schema(statement: str) -> None:
    address = cluster.url(embedded.APP, f"parcelle_{cluster.worker()}")
    with (
        psycopg.connect(address, autocommit=True) as plain,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        plain.execute(statement)


@pytest.mark.django_db
def test_the_tenants_role_cannot_connect_to_our_database() -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(cluster.url(embedded.TENANTS, f"parcelle_{cluster.worker()}"))


@pytest.mark.django_db
def test_the_tenants_role_makes_and_removes_a_tenant_that_sees_only_itself() -> None:
    with psycopg.connect(cluster.url(embedded.TENANTS, "postgres"), autocommit=True) as tenants:
        tenants.execute("CREATE ROLE tenant_a LOGIN PASSWORD 'secret-a'")
        try:
            tenants.execute("CREATE DATABASE tenant_a OWNER tenant_a")
            tenants.execute("REVOKE ALL ON DATABASE tenant_a FROM PUBLIC")
            address = cluster.url(embedded.TENANTS, "tenant_a")
            own = cluster.with_parts(address, user="tenant_a", password="secret-a")
            with psycopg.connect(own, autocommit=True) as tenant:
                tenant.execute("CREATE TABLE things (id int)")
                # A session of the tenant is still open, and does not keep the database alive.
                tenants.execute("DROP DATABASE tenant_a WITH (FORCE)")
            for other in ("postgres", "template1", f"parcelle_{cluster.worker()}"):
                with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                    psycopg.connect(cluster.with_parts(own, database=other))
        finally:
            tenants.execute("DROP DATABASE IF EXISTS tenant_a WITH (FORCE)")
            tenants.execute("DROP ROLE tenant_a")


@pytest.mark.django_db
def test_a_wrong_password_is_refused_over_the_socket() -> None:
    for role in (embedded.APP, embedded.OWNER, embedded.TENANTS, "postgres"):
        address = cluster.with_parts(cluster.superuser_url(), user=role, password="wrong")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(address)


@pytest.mark.django_db(transaction=True)
def test_tables_are_emptied_after_a_test_that_commits() -> None:
    from procrastinate.contrib.django import app

    app.configure_task("core.react", queue="reactions").defer(fact_id=1, function="x")
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM procrastinate_jobs")
        assert cursor.fetchone() == (1,)


@pytest.mark.django_db(transaction=True)
def test_and_the_next_one_finds_nothing() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM procrastinate_jobs")
        assert cursor.fetchone() == (0,)
