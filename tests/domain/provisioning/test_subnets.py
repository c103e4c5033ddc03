"""Networks of a target are leased one by one, given back, and skipped when the target refuses them."""

from __future__ import annotations

import uuid
from ipaddress import ip_network

import pytest
from pytest_django import Settings

from parcelle.domain.provisioning import leases
from parcelle.domain.provisioning.errors import TargetFull
from parcelle.domain.provisioning.models import SubnetLease, Target
from tests.together import at_once


@pytest.fixture
def target(settings: Settings) -> Target:
    settings.SUBNET_POOL = "10.77.0.0/24"
    return Target.objects.create(name="here", provider="null")


@pytest.mark.django_db
def test_networks_are_distinct_and_kept(target: Target) -> None:
    ref, other = uuid.uuid4(), uuid.uuid4()
    front, back = (leases.lease_subnet(target, ref, purpose=purpose) for purpose in ("front", "back"))
    elsewhere = leases.lease_subnet(target, other, purpose="front")
    assert [front, back, elsewhere] == ["10.77.0.0/28", "10.77.0.16/28", "10.77.0.32/28"]
    assert leases.lease_subnet(target, ref, purpose="back") == back
    assert leases.subnets_of(ref) == {"front": front, "back": back}


@pytest.mark.django_db
def test_a_network_given_back_is_given_again(target: Target) -> None:
    ref = uuid.uuid4()
    leases.lease_subnet(target, ref, purpose="front")
    leases.release(ref)
    assert leases.lease_subnet(target, uuid.uuid4(), purpose="front") == "10.77.0.0/28"


@pytest.mark.django_db
def test_a_refused_network_is_never_offered_again(target: Target) -> None:
    ref = uuid.uuid4()
    refused = leases.lease_subnet(target, ref, purpose="front")
    leases.skip_subnet(target, ref, purpose="front")
    assert leases.lease_subnet(target, ref, purpose="front") != refused
    leases.release(ref)
    assert leases.lease_subnet(target, uuid.uuid4(), purpose="front") != refused


@pytest.mark.django_db
def test_a_used_up_pool_says_what_to_do(target: Target) -> None:
    leased = {leases.lease_subnet(target, uuid.uuid4(), purpose="front") for _number in range(16)}
    assert len(leased) == 16
    assert all(ip_network(network).subnet_of(ip_network("10.77.0.0/24")) for network in leased)  # type: ignore[arg-type]
    with pytest.raises(TargetFull, match="PARCELLE_SUBNET_POOL"):
        leases.lease_subnet(target, uuid.uuid4(), purpose="front")


@pytest.mark.django_db(transaction=True)
def test_many_at_once_get_different_networks(target: Target) -> None:
    ask = lambda: leases.lease_subnet(target, uuid.uuid4(), purpose="front")  # noqa: E731
    assert len(set(at_once([ask] * 16).all())) == SubnetLease.objects.count() == 16
