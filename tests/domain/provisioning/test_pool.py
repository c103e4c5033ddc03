from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from parcelle.core.models import Fact
from parcelle.domain.catalog.models import Product
from parcelle.domain.provisioning import pool, queries, states
from parcelle.domain.provisioning.errors import ProvisioningError
from parcelle.domain.provisioning.models import Instance, Target
from parcelle.journeys import instance_control
from tests import people
from tests.domain.provisioning.scripted import ScriptedProvider
from tests.people import NOW, Cast

LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def product(cast: Cast, provider: ScriptedProvider) -> Product:
    Target.objects.update(provider="scripted")
    Product.objects.update(pool_size=2)
    return Product.objects.get()


def standbys(*in_states: str) -> list[Instance]:
    return list(Instance.objects.filter(organization=None, state__in=in_states or ["standby"]))


def fill(product: Product, *, now: datetime = NOW) -> None:
    pool.keep(product, now=now)
    for standby in standbys("requested", "failed"):
        people.work(standby, now=now)


def test_the_pool_is_filled_to_its_size_and_not_beyond(product: Product) -> None:
    fill(product)
    fill(product)
    assert len(standbys()) == 2


def test_those_that_are_being_made_count(product: Product) -> None:
    pool.keep(product, now=NOW)
    pool.keep(product, now=NOW)
    assert len(standbys("requested")) == 2


def test_a_sign_up_takes_over_a_running_standby(product: Product, cast: Cast, provider: ScriptedProvider) -> None:
    fill(product)
    refs = {standby.ref for standby in standbys()}
    instance = people.live_instance(cast.organization, cast.plan)
    assert instance.from_standby and instance.ref in refs and len(standbys()) == 1


def test_the_customer_keeps_the_identity_and_the_password_they_know(product: Product, cast: Cast) -> None:
    fill(product)
    before = people.requested_instance(cast.organization, cast.plan)
    password = before.secrets["initial_password"]
    people.work(before)
    assert before.state == states.LIVE and before.secrets["initial_password"] == password


def test_a_standby_prepared_after_the_sign_up_does_not_become_its_progress(product: Product, cast: Cast) -> None:
    instance = people.requested_instance(cast.organization, cast.plan, now=NOW)
    fill(product, now=LATER)
    people.work(instance, now=LATER)
    progress = queries.progress(instance.pk)
    assert instance.from_standby and progress is not None and progress.kind == "create"


def test_a_creation_that_failed_after_a_late_claim_can_be_tried_again(
    product: Product, cast: Cast, provider: ScriptedProvider
) -> None:
    instance = people.requested_instance(cast.organization, cast.plan, now=NOW)
    fill(product, now=LATER)
    provider.on_ensure = [ProvisioningError("no")]
    people.work(instance, now=LATER)
    assert instance.state == states.FAILED
    instance_control.retry_last(instance.pk, actor="Olga", now=LATER)
    people.work(instance, now=LATER)
    assert instance.state == states.LIVE


def test_a_claim_is_a_fact_that_says_whose_pool_it_was(product: Product, cast: Cast) -> None:
    fill(product)
    instance = people.live_instance(cast.organization, cast.plan)
    fact = Fact.objects.get(name="StandbyClaimed")
    assert fact.instance_id == instance.pk and fact.data == {"product_id": str(product.pk)}


def test_without_a_standby_an_instance_is_created_from_nothing(cast: Cast) -> None:
    assert not people.live_instance(cast.organization, cast.plan).from_standby


def test_a_smaller_pool_gives_back_what_is_too_much(product: Product, provider: ScriptedProvider) -> None:
    fill(product)
    product.pool_size = 0
    fill(product)
    assert not standbys() and len(provider.destroyed) == 2


def test_a_full_target_gets_no_standbys(product: Product) -> None:
    Target.objects.update(capacity=1)
    fill(product)
    assert len(standbys()) == 1


def test_after_a_failure_the_pool_waits_before_it_tries_again(product: Product, provider: ScriptedProvider) -> None:
    provider.on_ensure = [KeyError("x"), KeyError("x")]
    fill(product)
    fill(product)
    assert len(provider.ensured) == 2
    fill(product, now=NOW + pool.PAUSE_AFTER_FAILURE + timedelta(seconds=1))
    assert len(standbys()) == 2


def test_a_product_off_the_shelf_keeps_no_pool(product: Product) -> None:
    product.enabled = False
    fill(product)
    assert not standbys("standby", "requested")
