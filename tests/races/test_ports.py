"""Many stacks want a port at the same moment; the control takes the lock and the unique constraint away."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import psycopg
import pytest

from parcelle.domain.provisioning import leases
from parcelle.domain.provisioning.models import PortLease, Target
from tests.together import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def lease_forty() -> list[int]:
    target = Target.objects.create(name=uuid.uuid4().hex, provider="null")
    ask = lambda: leases.lease_port(target, uuid.uuid4(), purpose="application", first=8080)  # noqa: E731
    return at_once([ask] * 40).all()


def test_forty_stacks_get_forty_ports() -> None:
    assert sorted(lease_forty()) == list(range(8080, 8120))


def test_one_stack_that_asks_from_many_workers_gets_one_port() -> None:
    target, ref = Target.objects.create(name="here", provider="null"), uuid.uuid4()
    ask = lambda: leases.lease_port(target, ref, purpose="application", first=8080)  # noqa: E731
    assert set(at_once([ask] * 20).all()) == {8080}
    assert PortLease.objects.count() == 1


@pytest.fixture
def no_guard(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(leases, "_one_at_a_time", lambda _target: None)
    owner = psycopg.connect(os.environ["PARCELLE_OWNER_DATABASE_URL"], autocommit=True)
    with owner:
        owner.execute("ALTER TABLE provisioning_portlease DROP CONSTRAINT port_leased_once")
        # Between looking for a free port and taking it.
        owner.execute(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(0.2); RETURN NEW; END'"
        )
        owner.execute(
            "CREATE TRIGGER dawdle BEFORE INSERT ON provisioning_portlease FOR EACH ROW EXECUTE FUNCTION dawdle()"
        )
        yield
        owner.execute("DROP FUNCTION dawdle CASCADE")
        owner.execute("DELETE FROM provisioning_portlease")
        owner.execute("ALTER TABLE provisioning_portlease ADD CONSTRAINT port_leased_once UNIQUE (target_id, port)")


@pytest.mark.usefixtures("no_guard")
def test_control_without_the_guards_ports_are_given_twice() -> None:
    assert any(len(set(lease_forty())) < 40 for _round in range(20))
