"""After everything that can happen to an instance, no secret is anywhere but where it belongs."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from parcelle.core.models import Fact
from parcelle.domain.notifications.models import MailboxMail
from parcelle.domain.provisioning import queries, states
from parcelle.domain.provisioning.models import Instance, Operation, Template
from parcelle.journeys import instance_control
from tests.system import System

pytestmark = [pytest.mark.crash, pytest.mark.slow]


def done(operation: Operation) -> None:
    assert operation.state == states.SUCCEEDED, (operation.kind, operation.error_code, operation.error_detail)


@pytest.fixture(scope="module")
def secrets(system: System) -> dict[str, str]:
    """Name -> every secret that was made during the lives of three customers."""
    # As an operator might who looks for a slow statement.
    with psycopg.connect(system.values["PARCELLE_SUPERUSER_DATABASE_URL"], autocommit=True) as server:
        server.execute("ALTER SYSTEM SET log_statement = 'ddl'")
        server.execute("ALTER SYSTEM SET log_min_error_statement = 'error'")
        server.execute("SELECT pg_reload_conf()")
    known = {f"installation {name}": value for name, value in system.values.items() if "PASSWORD" in name}
    known |= {name: system.values[name] for name in ("DJANGO_SECRET_KEY", "PARCELLE_SECRET_KEYS")}

    def remember(instance: Instance) -> None:
        secrets = Instance.objects.get(pk=instance.pk).secrets
        known.update({f"{instance.slug} {name}": value for name, value in secrets.items()})

    lucky = system.sign_up(company="Chanceux")
    remember(lucky)
    done(system.finish(lucky.operations.get()))
    remember(lucky)
    gone = system.sign_up(company="Parti")
    remember(gone)
    done(system.finish(gone.operations.get()))
    for control in (instance_control.suspend_instance, instance_control.archive_instance):
        operation = control(gone.pk, reason="operator", actor="tests", now=timezone.now())
        done(system.finish(operation))

    # Its application answers with the password it was given, and prints it.
    unlucky = system.sign_up(system.product("shouting"), company="Malchanceux")
    remember(unlucky)
    assert system.finish(unlucky.operations.get()).state == states.FAILED
    # Its template's password is in the output of the command that fails.
    hopeless = system.sign_up(system.product("hopeless"), company="Sans Espoir")
    remember(hopeless)
    assert system.finish(hopeless.operations.get()).state == states.FAILED
    for template in Template.objects.all():
        known.update({f"template {template} {name}": value for name, value in template.secrets.items()})
    assert len(known) > 20
    return known


def leaks(text: str, secrets: dict[str, str]) -> set[str]:
    """The names of the secrets that can be read in `text`, also in the disguises that programs give them."""
    found = set()
    for name, secret in secrets.items():
        encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
        if any(form in text for form in {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], encoded}):
            found.add(name)
    return found


def belongs(path: Path, system: System) -> bool:
    """Whether secrets may be in this file: it is only readable by us, and the program it is for needs them."""
    parts = path.relative_to(system.home.path).parts
    ours = path.stat().st_mode & 0o077 == 0
    # What a template that could not be built left, so that building can go on.
    template = parts[0] == "builds" and parts[2:3] == ("template",)
    return ours and (
        parts[0] in {"postgres", "embedded.json", "tenants"} or parts[:2] == ("supervisor", "tenants") or template
    )


def files(system: System) -> Iterator[Path]:
    for path in system.home.path.rglob("*"):
        if path.is_file() and not path.is_symlink() and not belongs(path, system):
            yield path


def test_the_journeys_said_what_they_should(secrets: dict[str, str]) -> None:
    """The control: there was something to leak, and the mail has it."""
    mail = MailboxMail.objects.get(to=Instance.objects.get(slug="chanceux").owner["email"])
    credentials = queries.credentials(Instance.objects.get(slug="chanceux").pk)
    assert credentials is not None
    assert credentials.password in bytes(mail.raw).decode()
    shouted = Operation.objects.get(instance__slug="malchanceux", kind="create")
    assert "not to my taste" in shouted.error_detail
    assert "[redacted]" in shouted.error_detail
    hopeless = Operation.objects.get(instance__slug="sans-espoir", kind="create")
    assert "cannot be initialised with [redacted]" in hopeless.error_detail
    assert Fact.objects.filter(name="InstanceCreationFailed").count() == 2


def test_no_file_of_the_installation_holds_a_secret(secrets: dict[str, str], system: System) -> None:
    names = {str(path.relative_to(system.home.path)) for path in files(system)}
    assert {"logs/worker.log", "logs/postgres.log", "logs/supervisord.log"} <= names
    assert any(name.startswith("logs/tenants/") for name in names)
    found = {str(path): leaks(path.read_bytes().decode(errors="replace"), secrets) for path in files(system)}
    assert {path: names for path, names in found.items() if names} == {}


def test_the_log_of_postgresql_was_worth_reading(secrets: dict[str, str], system: System) -> None:
    """The control: roles with passwords were made while statements were logged."""
    text = (system.home.logs / "postgres.log").read_text()
    assert 'ROLE "tenant_' in text
    assert "LOGIN PASSWORD" in text


def test_no_table_holds_a_secret_in_the_open(secrets: dict[str, str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
        tables = [name for (name,) in cursor.fetchall()]
        assert {"core_fact", "procrastinate_jobs", "provisioning_step", "notifications_message"} <= set(tables)
        found = {}
        for table in tables:
            if table == "django_migrations":
                continue
            cursor.execute(f'SELECT string_agg(t::text, chr(10)) FROM "{table}" t')
            found[table] = leaks(cursor.fetchone()[0] or "", secrets)
    assert {table: names for table, names in found.items() if names} == {}


def test_no_process_shows_a_secret_in_its_command_line(secrets: dict[str, str], system: System) -> None:
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    ours = [line for line in lines if str(system.home.path) in line]
    assert ours
    assert leaks("\n".join(ours), secrets) == set()


def test_nothing_is_kept_of_the_secrets_of_who_left(secrets: dict[str, str]) -> None:
    gone = Instance.objects.get(slug="parti")
    assert gone.state == states.ARCHIVED
    assert gone.secrets == {}
