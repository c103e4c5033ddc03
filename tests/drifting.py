"""What happens to a target behind Parcelle's back."""

from __future__ import annotations

import time
import uuid

import psycopg
from django.utils import timezone
from psycopg import sql

from parcelle.domain.provisioning import drift, routes
from parcelle.domain.provisioning.models import Finding, Instance
from parcelle.domain.provisioning.providers.base import Status
from tests.system import System


def lose_database(system: System, ref: uuid.UUID) -> None:
    _as_superuser(system, "DROP DATABASE {} WITH (FORCE)", f"tenant_{drift.short(ref)}")


def lose_template(system: System, version_key: str) -> None:
    _as_superuser(system, "DROP DATABASE {} WITH (FORCE)", f"template_{version_key}")


def _as_superuser(system: System, statement: str, name: str) -> None:
    with psycopg.connect(system.values["PARCELLE_SUPERUSER_DATABASE_URL"], autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


def stop_program(system: System, ref: uuid.UUID) -> None:
    """As an operator does who knows the supervisor and not Parcelle."""
    with system.provider.supervisor._api() as api:
        api.stopProcess(f"tenant-{drift.short(ref)}")


def start_by_hand(system: System, instance: Instance) -> None:
    """Somebody wants a suspended application back and does not ask Parcelle for it."""
    routes.make_way(instance)
    system.provider.start(instance.ref)
    wait_until_it_runs(system, instance.ref)


def wait_until_it_runs(system: System, ref: uuid.UUID) -> None:
    """A supervisor calls a program that began a moment ago "starting"."""
    give_up = time.monotonic() + 20
    while system.provider.observe(ref).status is not Status.RUNNING:
        assert time.monotonic() < give_up, system.provider.observe(ref)
        time.sleep(0.05)


def leave_something(system: System, ref: uuid.UUID) -> None:
    """A database with its role and a folder, as half an installation leaves them."""
    name = f"tenant_{drift.short(ref)}"
    system.provider.postgres.ensure_role(name, None)
    system.provider.postgres.ensure_empty_database(name, role=name)
    (system.home.path / "tenants" / drift.short(ref)).mkdir(parents=True)


def finding_about(system: System, ref: uuid.UUID) -> Finding:
    open_now = drift.look(system.target(), now=timezone.now(), pause=0)
    (finding,) = [finding for finding in open_now if drift.short(finding.ref) == drift.short(ref)]
    return finding
