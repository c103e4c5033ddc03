"""`parcelle check`: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from cryptography.fernet import Fernet
from django.conf import settings
from django.core import mail
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from procrastinate.contrib.django.models import ProcrastinateWorker
from rich.console import Console
from rich.markup import escape

from parcelle.core import crypto
from parcelle.domain.billing import rails
from parcelle.domain.billing.invoicing import numbering, press
from parcelle.domain.catalog import blueprints
from parcelle.domain.provisioning import queries as provisioning

_LEAST_FREE_BYTES = 1_000_000_000


# What to do about a target that cannot be worked with, by the code of what it answered.
ADVICE = {
    "step_failed": "See what it says under Targets > Check in the back office, put that right, then check again.",
    "target_unreachable": "Start it, or correct its address, the network and the firewall in between.",
    "wrong_address": "Something else answers there: correct the address and the port, under targets.",
    "no_swarm": "Run `docker swarm init` on it, give the address of a manager, or add it as a Docker target.",
    "credentials_refused": "Enter valid credentials in the back office, under targets; the old ones may be revoked.",
    "certificate_unknown": "Compare its fingerprint with the server's own, then trust it under targets, or give a CA.",
    "certificate_changed": "Trust the new certificate, under targets, only if the server itself shows it.",
    "environment_unknown": "Choose another environment in the back office, under targets.",
    "settings_refuse": "Use an administrator's key, or change the setting that is named.",
    "target_full": "Free some room on it, or give products another target in the back office.",
    "disk_full": "Free some room on its disk before anything else is created there.",
}


class Problem(Exception):
    """Something is wrong: what, and what to do."""

    def __init__(self, detail: str, advice: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.advice = advice


@dataclass(frozen=True)
class Finding:
    name: str
    ok: bool
    detail: str
    advice: str = ""


def check(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False) -> None:
    findings = list(examine())
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        console = Console(highlight=False, soft_wrap=True)
        for finding in findings:
            mark = "[green]ok[/]     " if finding.ok else "[red]problem[/]"
            console.print(f"{mark}  [bold]{finding.name}[/]  {escape(finding.detail)}")
            if finding.advice:
                console.print(f"         {escape(finding.advice)}")
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


def examine() -> Iterator[Finding]:
    """Every check in order; those that need the database are left out when it does not answer."""
    first = _find("database", _database)
    yield first
    if first.ok:
        yield _find("role", _role)
        yield _find("tables", _tables)
    secrets = _find("secrets", _secrets)
    yield secrets
    for name in blueprints.names():
        yield _find(f"blueprint {name}", lambda name=name: _blueprint(name))  # type: ignore[misc]
    if first.ok:
        yield _find("worker", _worker)
    if first.ok and secrets.ok:
        # What a target is reached with is stored encrypted.
        yield from _targets()
        yield from _ways_to_pay()
    yield _find("invoices", _invoices)
    yield _find("mail", _mail)
    yield _find("disk", _disk)


def _find(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, look())
    except Problem as problem:
        return Finding(name, False, problem.detail, problem.advice)
    except DatabaseError as error:
        return _unreadable(name, error)


def _unreadable(name: str, error: DatabaseError) -> Finding:
    return Finding(name, False, str(error).strip().splitlines()[0], "Run `parcelle migrate`, then check again.")


def _database() -> str:
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        reason = str(error).strip().splitlines()[-1]
        raise Problem(reason, "Start PostgreSQL (`parcelle up`), or correct DATABASE_URL.") from None
    number = connection.pg_version  # type: ignore[attr-defined]
    if number < 150000:
        raise Problem(f"PostgreSQL {number // 10000} is too old.", "Parcelle needs PostgreSQL 15 or newer.")
    return f"PostgreSQL {number // 10000}"


def _role() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
        name, superuser, bypasses = cursor.fetchone()
        cursor.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
            "AND pg_has_role(current_user, relowner, 'MEMBER')"
        )
        (owned,) = cursor.fetchone()
    advice = (
        "Let DATABASE_URL name a role that is neither superuser nor owner of the tables and has no BYPASSRLS, "
        "and PARCELLE_OWNER_DATABASE_URL the owner."
    )
    if superuser:
        raise Problem(f"{name} is a superuser: customers are not kept apart.", advice)
    if bypasses:
        raise Problem(f"{name} bypasses row-level security: customers are not kept apart.", advice)
    if owned:
        raise Problem(f"{name} owns {owned} of the tables: customers are not kept apart.", advice)
    return f"{name}, neither owner nor superuser"


def _tables() -> str:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _backwards in missing[:3])
        raise Problem(f"{len(missing)} migrations are not applied ({names}…)", "Run `parcelle migrate`.")
    return "up to date"


def _secrets() -> str:
    if settings.SECRET_KEY.startswith("not-for-serving"):
        raise Problem("DJANGO_SECRET_KEY is not set.", "Set it to a long random text and keep it.")
    if not settings.SECRET_KEYS:
        raise Problem("PARCELLE_SECRET_KEYS is not set.", _new_key())
    for position, key in enumerate(settings.SECRET_KEYS, 1):
        try:
            Fernet(key)
        except ValueError:
            raise Problem(f"Key {position} of PARCELLE_SECRET_KEYS is not a Fernet key.", _new_key()) from None
    opened = 0
    try:
        for model, field in crypto.encrypted_fields():
            opened += len(model._base_manager.values_list(field.attname, flat=True).order_by("-pk")[:1])
    except crypto.CannotDecrypt:
        raise Problem(
            "None of the keys opens a secret that is stored.",
            "Add the key that was removed back to the end of PARCELLE_SECRET_KEYS, then run `parcelle secrets rotate`.",
        ) from None
    except DatabaseError:
        return f"{_keys()} (stored secrets were not tried: no database)"
    return f"{_keys()}, stored secrets can be opened"


def _keys() -> str:
    return "1 key" if len(settings.SECRET_KEYS) == 1 else f"{len(settings.SECRET_KEYS)} keys"


def _new_key() -> str:
    return "Make one: parcelle secrets new-key"


def _blueprint(name: str) -> str:
    try:
        return f"version {blueprints.load(name).version}"
    except blueprints.BlueprintError as error:
        raise Problem(str(error), "Correct the file; docs/guide describes every key.") from None


def _worker() -> str:
    with connection.cursor() as cursor:
        table = ProcrastinateWorker._meta.db_table
        cursor.execute(f"SELECT count(*) FROM {table} WHERE last_heartbeat > now() - interval '60 seconds'")  # noqa: S608
        (alive,) = cursor.fetchone()
    if not alive:
        raise Problem("No worker has shown a sign of life in the last minute.", "Start one: `parcelle worker`.")
    return f"{alive} at work"


def _targets() -> Iterator[Finding]:
    try:
        problems = provisioning.target_problems()
    except DatabaseError as error:
        yield _unreadable("targets", error)
        return
    for name, problem in problems.items():
        if problem is None:
            yield Finding(f"target {name}", True, "reachable")
        else:
            yield Finding(f"target {name}", False, problem.detail, ADVICE.get(problem.code, ADVICE["step_failed"]))


def _ways_to_pay() -> Iterator[Finding]:
    try:
        problems = rails.problems()
    except DatabaseError as error:
        yield _unreadable("ways to pay", error)
        return
    for name, found in problems.items():
        advice = "Correct its settings in the back office, under payment methods." if found else ""
        yield Finding(f"payment by {name}", not found, " ".join(found) or "ready", advice)


def _invoices() -> str:
    """The shapes of the numbers, the libraries that PDF files are made with, and what the vendor has to fill in."""
    for name, shape in (("INVOICE", settings.INVOICE_NUMBER), ("CREDIT_NOTE", settings.CREDIT_NOTE_NUMBER)):
        if mistake := numbering.mistake(shape):
            raise Problem(f"PARCELLE_{name}_NUMBER {mistake}.", "Correct it; numbers that were given stay as they are.")
    if missing := press.missing_library():
        raise Problem(
            f"PDF invoices cannot be made: {missing}. They wait as drafts.",
            "Install Pango (Debian and Ubuntu: apt install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0; "
            "macOS: brew install pango), then restart Parcelle.",
        )
    return f"numbers {settings.INVOICE_NUMBER} and {settings.CREDIT_NOTE_NUMBER}, PDF files can be made"


def _mail() -> str:
    backend = settings.EMAIL_BACKEND.rpartition(".")[2]
    try:
        sender = mail.get_connection(fail_silently=False)
        if settings.MAILBOX_PAGE and not settings.AT_HOME:
            raise Problem(
                "Mails stay on this machine: customers get none of them.",
                "Set PARCELLE_SMTP_URL. Until then operators read them at /mailbox.",
            )
        if settings.MAILBOX_PAGE:
            return "kept on this machine, readable at /mailbox"
        sender.open()
        sender.close()
    except Exception as error:  # noqa: BLE001 every mail library has errors of its own
        raise Problem(f"{backend}: {error}", "Correct PARCELLE_SMTP_URL (or PARCELLE_EMAIL_BACKEND).") from None
    return backend


def _disk() -> str:
    try:
        free = shutil.disk_usage(settings.HOME).free
    except FileNotFoundError:
        return "nothing is stored here"
    if free < _LEAST_FREE_BYTES:
        raise Problem(f"{free // 1_000_000} MB are left in {settings.HOME}.", "Free at least 1 GB.")
    return f"{free // 1_000_000_000} GB free"
