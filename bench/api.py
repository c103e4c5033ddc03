"""Claims about the API and about row-level security, on 2 cores with the site as `parcelle up` runs it.

- `GET /api/tenants/organizations/` with 100,000 organizations in the database takes p95 <= 50 ms, for an operator, who
  sees all of them, and for a customer.
- What a customer's requests read costs at most 15 % more with row-level security than the same statements without it:
  once as the application on behalf of the organization, once as a superuser, whom no policy holds. What it costs a
  statement outside a transaction that it gets one of its own is printed as well.

Run: `.venv/bin/python bench/api.py`, or with the names of some of its parts: `organizations`, `policies`.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from harness import claim, percentile, running_system, summary

ORGANIZATIONS = 100_000
REQUESTS, MILLISECONDS = 200, 50
ROUNDS, EACH, MORE = 7, 300, 0.15

# Stored by a superuser in one go: with policies it would be the same rows, later.
_ROWS = """
INSERT INTO tenancy_organization (id, name, slug, state, language, created_at)
    SELECT gen_random_uuid(), 'Company ' || n, 'company-' || n, 'active', 'fr', now() - n * interval '1 minute'
    FROM generate_series(1, %(many)s) AS n;
INSERT INTO core_fact (name, at, actor, organization_id, data)
    SELECT 'Benched', created_at, 'bench', id, '{}' FROM tenancy_organization, generate_series(1, 5);
ANALYZE;
"""
# What pages of customers ask: by key, by organization, and for parts of what is theirs.
_STATEMENTS = {
    "one organization by its key": "SELECT id, name, slug, state FROM tenancy_organization WHERE id = %(own)s",
    "its newest facts": "SELECT id, name, at FROM core_fact WHERE organization_id = %(own)s ORDER BY id DESC LIMIT 20",
    "its instances with their last operation": (
        "SELECT i.id, i.slug, o.kind, o.state FROM provisioning_instance i"
        " LEFT JOIN provisioning_operation o ON o.instance_id = i.id"
        " WHERE i.organization_id = %(own)s ORDER BY i.created_at DESC LIMIT 50"
    ),
    "its members": (
        "SELECT m.id, m.role, u.email FROM tenancy_membership m JOIN accounts_user u ON u.id = m.user_id"
        " WHERE m.organization_id = %(own)s"
    ),
}


def fill(superuser: Any) -> None:
    superuser.execute(_ROWS.replace("%(many)s", str(ORGANIZATIONS)), prepare=False)


# --- the list of organizations --------------------------------------------------------------------------------


def organizations(address: str, tokens: dict[str, str]) -> bool:
    met = []
    for who, token in tokens.items():
        path = f"{address}/api/tenants/organizations/?limit=50"
        taken = [_timed(path, token) for _request in range(REQUESTS + 20)][20:]
        print(f"{who}: {summary(taken)}")
        p95 = percentile(taken, 95) * 1000
        text = f"GET organizations as {who}, {ORGANIZATIONS:,} in the database: p95 <= {MILLISECONDS} ms"
        met.append(claim(text, f"{p95:.0f} ms", p95 <= MILLISECONDS))
    return all(met)


def _timed(path: str, token: str) -> float:
    request = urllib.request.Request(path, headers={"Authorization": f"Bearer {token}"})
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=30) as answer:
        json.load(answer)
    return time.perf_counter() - began


# --- what policies cost ---------------------------------------------------------------------------------------


def policies(own: uuid.UUID, superuser: Any) -> bool:
    """The medians of alternating rounds, so that a machine that becomes slower is slower for both."""
    import psycopg

    from parcelle.core.context import Context

    with psycopg.connect(os.environ["BENCH_APPLICATION_URL"], autocommit=True, prepare_threshold=0) as application:
        said = b"BEGIN; " + Context(organizations=frozenset({own})).opening
        whole: dict[str, list[float]] = {"with": [], "without": []}
        for name, statement in _STATEMENTS.items():
            found: dict[str, list[float]] = {"with": [], "without": []}
            for _round in range(ROUNDS):
                found["without"].append(_reads(superuser, b"BEGIN", statement, own))
                found["with"].append(_reads(application, said, statement, own))
            medians = {kind: percentile(times, 50) / EACH * 1e6 for kind, times in found.items()}
            print(
                f"{name}: {medians['with']:.0f} µs with policies, {medians['without']:.0f} µs without, "
                f"ratio {medians['with'] / medians['without']:.2f}"
            )
            for kind, times in found.items():
                whole[kind].append(percentile(times, 50))
        lone = percentile([_lone(application, said) for _round in range(ROUNDS)], 50)
        print(f"a statement outside a transaction waits for two messages more: {lone * 1e6:.0f} µs")
    ratio = sum(whole["with"]) / sum(whole["without"]) - 1
    text = f"row-level security costs <= {MORE:.0%} of the same statements"
    return claim(text, f"{ratio:+.0%}", bool(ratio <= MORE))


def _reads(connection: Any, begin: bytes, statement: str, own: uuid.UUID) -> float:
    connection.pgconn.exec_(begin)
    began = time.perf_counter()
    for _time in range(EACH):
        connection.execute(statement, {"own": own}).fetchall()
    taken = time.perf_counter() - began
    connection.pgconn.exec_(b"COMMIT")
    return taken


def _lone(connection: Any, begin: bytes) -> float:
    """Seconds for a transaction around a statement that has none: its first and last message."""
    began = time.perf_counter()
    for _time in range(EACH):
        connection.pgconn.exec_(begin)
        connection.pgconn.exec_(b"COMMIT")
    return (time.perf_counter() - began) / EACH


def main() -> bool:
    with running_system(PARCELLE_DEMO="0", PARCELLE_RATE_LIMITS="0") as (address, home):
        import django

        django.setup()
        import psycopg
        from django.conf import settings
        from django.utils import timezone

        from parcelle.core import context

        context.of_process(context.Platform.COMMANDS)
        values = json.loads((Path(home) / "embedded.json").read_text())
        os.environ["BENCH_APPLICATION_URL"] = values["DATABASE_URL"]
        superuser_url = values["PARCELLE_SUPERUSER_DATABASE_URL"]
        name = str(settings.DATABASES["default"]["NAME"])
        with psycopg.connect(superuser_url, dbname=name, autocommit=True, prepare_threshold=0) as superuser:
            fill(superuser)
            own, tokens = customers(now=timezone.now())
            parts: dict[str, Callable[[], bool]] = {
                "organizations": lambda: organizations(address, tokens),
                "policies": lambda: policies(own, superuser),
            }
            met = [parts[part]() for part in sys.argv[1:] or parts]
    return all(met)


def customers(*, now: datetime) -> tuple[uuid.UUID, dict[str, str]]:
    """A customer with instances, members and facts like others, and a token of theirs and one of an operator."""
    from parcelle.domain.accounts.models import ApiToken, User
    from parcelle.domain.catalog.models import Product
    from parcelle.domain.provisioning.models import Instance, Operation, Target
    from parcelle.domain.tenancy.models import Membership, Organization

    organization = Organization.objects.order_by("-created_at").first()
    assert organization is not None
    target = Target.objects.create(name="local", provider="null")
    product = Product.objects.create(slug="nothing", name="Nothing", blueprint="tryton", target_name="local")
    users = [User.objects.create_user(f"user{number}@example.com") for number in range(5)]
    for user, role in zip(users, ("owner", "admin", "member", "viewer", "viewer"), strict=True):
        Membership.objects.create(organization=organization, user=user, role=role, created_at=now)
    for number in range(20):
        instance = Instance.objects.create(
            organization=organization, product=product, target=target, slug=f"bench-{number}", created_at=now
        )
        Operation.objects.create(
            kind="create", instance=instance, state="succeeded", created_at=now, deadline_at=now + timedelta(minutes=5)
        )
    operator = User.objects.create_superuser("bench@vendor.example")
    tokens = {
        who: ApiToken.issue(user=user, name="bench", now=now)[1]
        for who, user in {"an operator": operator, "a customer": users[0]}.items()
    }
    return organization.pk, tokens


if __name__ == "__main__":
    sys.exit(not main())
