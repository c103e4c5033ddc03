from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from django.db import connection

from parcelle.domain.provisioning import leases
from parcelle.domain.provisioning.errors import TargetFull
from parcelle.domain.provisioning.models import PortLease, Target

pytestmark = pytest.mark.django_db


@pytest.fixture
def target() -> Target:
    return Target.objects.create(name="here", provider="null")


def lease(target: Target, ref: UUID | None = None, purpose: str = "application", first: int = 8080) -> int:
    return leases.lease_port(target, ref or uuid4(), purpose=purpose, first=first)


def test_ports_are_given_out_from_the_first_on(target: Target) -> None:
    assert [lease(target) for _ in range(3)] == [8080, 8081, 8082]


def test_asking_again_gives_the_same_port(target: Target) -> None:
    ref = uuid4()
    assert [lease(target, ref), lease(target), lease(target, ref)] == [8080, 8081, 8080]


def test_one_stack_has_a_port_for_each_purpose(target: Target) -> None:
    ref = uuid4()
    lease(target, ref)
    lease(target, ref, "database", 5432)
    assert leases.ports_of(ref) == {"application": 8080, "database": 5432}


def test_a_released_port_is_the_next_to_be_given(target: Target) -> None:
    ref = uuid4()
    lease(target, ref), lease(target)
    leases.release(ref)
    assert leases.ports_of(ref) == {} and lease(target) == 8080


def test_every_target_has_ports_of_its_own(target: Target) -> None:
    lease(target)
    assert lease(Target.objects.create(name="there", provider="null")) == 8080


@pytest.mark.parametrize("hole", [8080, 8123, 10_579])
def test_the_lowest_free_port_is_found_among_thousands(target: Target, hole: int) -> None:
    taken = (port for port in range(8080, 10_580) if port != hole)
    PortLease.objects.bulk_create(PortLease(target=target, port=p, purpose="application", ref=uuid4()) for p in taken)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE provisioning_portlease")
    assert lease(target) == hole


def test_a_target_without_a_free_port_is_full(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LAST_PORT", 8081)
    assert [lease(target), lease(target)] == [8080, 8081]
    with pytest.raises(TargetFull, match="no free port is left on here"):
        lease(target)


def test_ports_below_the_first_do_not_count_when_a_target_is_full(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LAST_PORT", 8080)
    lease(target, purpose="database", first=5432)
    assert lease(target) == 8080


def test_ports_of_other_programs_are_never_given_out(target: Target) -> None:
    ref = uuid4()
    lease(target, ref)
    for port in (8080, 8081, 8083):
        leases.skip_port(target, port)
    assert [lease(target, ref), lease(target)] == [8082, 8084]


def test_skipping_a_port_twice_is_skipping_it_once(target: Target) -> None:
    for _ in range(2):
        leases.skip_port(target, 8080)
    assert lease(target) == 8081
