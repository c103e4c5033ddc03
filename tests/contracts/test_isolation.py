"""What keeps the tenants of the `process` provider apart, from each other and from us."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Any

import psutil
import psycopg
import pytest
from psycopg import conninfo

from parcelle.config import embedded
from parcelle.domain.provisioning import states
from parcelle.domain.provisioning.models import Instance
from tests import world
from tests.system import System

pytestmark = pytest.mark.slow


@dataclass
class Tenant:
    system: System
    instance: Instance

    @property
    def role(self) -> str:
        return f"tenant_{world.key(self.instance)}"

    def connect(self, database: str = "") -> psycopg.Connection[Any]:
        """As whoever holds this tenant's password."""
        server = self.system.values["PARCELLE_TENANTS_DATABASE_URL"]
        password = self.instance.secrets["database_password"]
        return psycopg.connect(
            conninfo.make_conninfo(server, dbname=database or self.role, user=self.role, password=password),
            autocommit=True,
        )


@pytest.fixture(scope="module")
def tenants(system: System) -> tuple[Tenant, Tenant]:
    made = []
    for company in ("Un", "Deux"):
        instance = system.sign_up(company=company)
        assert system.finish(instance.operations.get()).state == states.SUCCEEDED
        made.append(Tenant(system, Instance.objects.get(pk=instance.pk)))
    return made[0], made[1]


def test_a_tenant_enters_its_own_database_only(tenants: tuple[Tenant, Tenant]) -> None:
    one, other = tenants
    assert one.connect().execute("SELECT company FROM person").fetchone() == ("Un",)
    template = f"template_{world.version_key(tenants[0].instance.template)}"
    for database in (other.role, template, "postgres", "template1", embedded.DATABASE):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            one.connect(database)


def test_a_tenant_can_make_nothing_on_the_server(tenants: tuple[Tenant, Tenant]) -> None:
    one, other = tenants
    with one.connect() as connection:
        for statement in (
            "CREATE DATABASE mine",
            "CREATE ROLE mine",
            f"ALTER ROLE {other.role} PASSWORD 'x'",
            f"SET ROLE {other.role}",
            f"SET ROLE {embedded.TENANTS}",
            f"DROP DATABASE {other.role}",
            f"ALTER ROLE {one.role} SUPERUSER",
            "COPY person TO PROGRAM 'id'",
            "SELECT pg_read_file('/etc/passwd')",
            "SELECT rolpassword FROM pg_authid",
        ):
            with pytest.raises(psycopg.Error):
                connection.execute(statement)


def test_a_tenant_sees_nothing_of_what_others_ask(tenants: tuple[Tenant, Tenant]) -> None:
    one, other = tenants
    with other.connect() as theirs, one.connect() as ours:
        theirs.execute("SELECT 'a secret of the other'")
        seen = ours.execute("SELECT query FROM pg_stat_activity WHERE usename <> current_user").fetchall()
    assert all("secret" not in (query or "") for (query,) in seen)


def test_nobody_enters_with_a_wrong_password(tenants: tuple[Tenant, Tenant]) -> None:
    one, _other = tenants
    server = one.system.values["PARCELLE_TENANTS_DATABASE_URL"]
    for password in ("", "wrong", one.instance.secrets["initial_password"]):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(conninfo.make_conninfo(server, dbname=one.role, user=one.role, password=password))


def test_nobody_signs_in_as_a_template(tenants: tuple[Tenant, Tenant], system: System) -> None:
    template = tenants[0].instance.template
    assert template is not None
    name = f"template_{world.version_key(tenants[0].instance.template)}"
    server = system.values["PARCELLE_TENANTS_DATABASE_URL"]
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        psycopg.connect(
            conninfo.make_conninfo(server, dbname=name, user=name, password=template.secrets["database_password"])
        )


def test_the_files_of_a_tenant_are_nobody_elses(tenants: tuple[Tenant, Tenant], system: System) -> None:
    for tenant in tenants:
        key = world.key(tenant.instance)
        folder = system.home.path / "tenants" / key
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert len(files) >= 4
        for path in (*files, system.home.tenants / f"tenant-{key}.conf"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_tenant_process_knows_no_secret_of_ours(tenants: tuple[Tenant, Tenant], system: System) -> None:
    names = [name for name in os.environ if not name.startswith("PARCELLE_TEST_")]
    ours = [name for name in names if any(word in name for word in ("PASSWORD", "SECRET", "DATABASE_URL"))]
    assert {"DATABASE_URL", "DJANGO_SECRET_KEY", "PARCELLE_SECRET_KEYS"} <= set(ours)
    for tenant in tenants:
        with system.provider.supervisor._api() as api:
            pid = api.getProcessInfo(f"tenant-{world.key(tenant.instance)}")["pid"]
        known = psutil.Process(pid).environ()
        assert not {name for name in ours if known.get(name)}


def test_two_tenants_share_no_secret(tenants: tuple[Tenant, Tenant]) -> None:
    one, other = (set(tenant.instance.secrets.values()) for tenant in tenants)
    assert not one & other
    assert len(one) == len(other) == 3
