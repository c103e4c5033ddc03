"""Looks at the machine itself: what really runs and lies around, against what our rows say should."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import psutil
import psycopg

from parcelle.core.models import Fact
from parcelle.domain.catalog import blueprints
from parcelle.domain.notifications.models import MailboxMail, Message
from parcelle.domain.provisioning import drift, leases, queries, states
from parcelle.domain.provisioning.models import Instance, Operation, PortLease, Template
from tests.system import System

# Stopped, with a page at their address.
RESTING = frozenset({states.SUSPENDED, states.SLEEPING})


@dataclass(frozen=True)
class Inventory:
    """Everything on the machine that belongs to instances; each as name -> how often it is there."""

    databases: Counter[str]
    roles: Counter[str]
    programs: Counter[str]
    processes: Counter[str]
    configurations: Counter[str]
    folders: Counter[str]
    ports: Counter[str]
    pages: Counter[str]
    archives: Counter[str]
    builds: Counter[str]

    def difference(self, other: Inventory) -> dict[str, tuple[Counter[str], Counter[str]]]:
        """Kind -> (only here, only there)."""
        pairs = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        return {name: (here - there, there - here) for name, (here, there) in pairs.items() if here != there}


def found(system: System) -> Inventory:
    with psycopg.connect(system.values["PARCELLE_SUPERUSER_DATABASE_URL"]) as connection:
        ours = r"~ '^(tenant|template)_'"
        databases = connection.execute(f"SELECT datname FROM pg_database WHERE datname {ours}").fetchall()
        roles = connection.execute(f"SELECT rolname FROM pg_roles WHERE rolname {ours}").fetchall()
    home = system.home.path
    running = {name: state for name, state in system.supervisor.states().items() if name.startswith("tenant-")}
    return Inventory(
        databases=Counter(name for (name,) in databases),
        roles=Counter(name for (name,) in roles),
        programs=Counter(name.partition(":")[0] for name, state in running.items() if state in {"STARTING", "RUNNING"}),
        processes=Counter(_tenant_processes(home / "tenants")),
        configurations=_names(home / "supervisor" / "tenants"),
        folders=_names(home / "tenants"),
        ports=Counter(f"{lease.ref.hex[:16]} {lease.purpose}" for lease in PortLease.objects.all()),
        pages=_names(home / "ingress"),
        archives=_names(home / "archives"),
        builds=_names(home / "builds"),
    )


def expected(system: System) -> Inventory:
    """What must be there, and nothing else, when no operation is under way."""
    assert not Operation.objects.filter(state__in=states.UNFINISHED).exists()
    instances = list(Instance.objects.all())
    kept = [i for i in instances if i.state in {states.LIVE, states.STANDBY, *RESTING}]
    serving = [i for i in kept if i.state not in RESTING]
    resting = [i for i in kept if i.state in RESTING]
    archived = [i for i in instances if i.state == states.ARCHIVED and i.organization_id and i.live_at]
    # A failed one keeps what is done: its next building goes on from there.
    built = Template.objects.filter(state__in=(states.READY, states.FAILED))
    templates = Counter(version_key(template) for template in built)
    template_databases = Counter(f"template_{name}" for name in templates)
    databases = Counter(f"tenant_{key(i)}" for i in kept) + template_databases
    return Inventory(
        databases=databases,
        roles=databases,
        programs=Counter(f"tenant-{key(i)}" for i in serving),
        processes=Counter(key(i) for i in serving),
        configurations=Counter(f"tenant-{key(i)}.conf" for i in serving),
        folders=Counter(key(i) for i in kept),
        ports=Counter(f"{key(i)} application" for i in kept),
        pages=Counter(f"{leases.ports_of(i.ref)['application']}.json" for i in resting),
        archives=Counter(f"{key(i)}.dump" for i in archived),
        builds=templates,
    )


def assert_nothing_orphaned(system: System) -> None:
    difference = found(system).difference(expected(system))
    assert not difference, f"(there, but no row knows it; missing): {difference}"


def version_key(template: Template | None) -> str:
    assert template is not None
    return blueprints.load(template.blueprint).model_copy(update={"version": template.version}).version_key


def key(instance: Instance) -> str:
    return instance.ref.hex[:16]


def _names(folder: Path) -> Counter[str]:
    return Counter(path.name for path in folder.iterdir()) if folder.exists() else Counter()


def _tenant_processes(folder: Path) -> list[str]:
    names = []
    for process in psutil.process_iter(["cmdline"]):
        inside = [word for word in process.info["cmdline"] or () if word.startswith(f"{folder}/")]
        if inside:
            names.append(Path(inside[0]).relative_to(folder).parts[0])
    return names


# --- one instance -------------------------------------------------------------------------------------------


def portrait(system: System, operation: Operation) -> dict[str, Any]:
    """All that can be seen of an operation's outcome, inside and outside, without what differs between any two."""
    operation = Operation.objects.get(pk=operation.pk)
    seen: dict[str, Any] = {
        "operation": (operation.kind, operation.state, operation.error_code),
        "steps": [(step.name, step.state) for step in operation.steps.all()],
        "facts": Counter(Fact.objects.filter(operation_id=operation.pk).values_list("name", flat=True)),
    }
    if operation.template:
        name = f"template_{version_key(operation.template)}"
        return seen | {"state": operation.template.state, "database": _database(system, name, owner=name)}
    if operation.instance_id is None:
        assert operation.finding is not None
        left = drift.parts_of(operation.finding, system.provider)
        return seen | {"gone": operation.finding.closed_at is not None, "left": left}
    instance = Instance.objects.get(pk=operation.instance_id)
    name = f"tenant_{key(instance)}"
    if operation.kind in {"restrict", "unrestrict"}:
        told = (system.home.path / "tenants" / key(instance) / "read-only").exists()
        seen["read_only"] = (instance.read_only, told)
    return seen | {
        "state": instance.state,
        "from_standby": instance.from_standby,
        "has_template": instance.template_id is not None,
        "secrets": sorted(instance.secrets),
        "messages": Counter(Message.objects.filter(instance_id=instance.pk).values_list("kind", "state")),
        "mails": MailboxMail.objects.filter(to=instance.owner.get("email", "nobody")).count(),
        "leases": PortLease.objects.filter(ref=instance.ref).count(),
        "answer": _answer(instance),
        "database": _database(system, name, owner=name),
        "signs_in": _signs_in(instance),
    }


def _port(instance: Instance) -> int | None:
    return leases.ports_of(instance.ref).get("application")


def _answer(instance: Instance) -> int | None:
    """The status of the instance's own address; None when nothing listens there."""
    port = _port(instance)
    if port is None:
        return None
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def _signs_in(instance: Instance) -> bool | None:
    """Whether the customer gets in with exactly what their mail says."""
    there = instance.organization_id and instance.state not in RESTING
    credentials = queries.credentials(instance.pk) if there else None
    if credentials is None:
        return None
    asked = {"login": credentials.user_name, "password": credentials.password}
    request = urllib.request.Request(
        f"{credentials.url.partition('#')[0].rstrip('/')}/sign-in",
        data=json.dumps(asked).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=5) as response:
        answer = json.load(response)
    return bool(answer["session"]) and answer["company"] == instance.owner["company"]


def _database(system: System, name: str, *, owner: str) -> Any:
    """Who owns what in a database, how often it was made somebody's, and what its role may do."""
    if not system.provider.postgres.has_database(name):
        return None
    superuser = system.values["PARCELLE_SUPERUSER_DATABASE_URL"]
    with psycopg.connect(superuser, dbname=name) as connection:
        owners = connection.execute(
            "SELECT relname, pg_get_userbyid(relowner) = %s FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
            [owner],
        ).fetchall()
        rows = connection.execute("SELECT count(*), sum(become) FROM person").fetchone()
        role = connection.execute(
            "SELECT rolcanlogin, rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = %s", [owner]
        ).fetchone()
    return owners, rows, role
