"""The warm pool under a rush, and with more than one keeper; the controls show what the locks are good for."""

from __future__ import annotations

import uuid
from collections import Counter
from functools import partial

import pytest
from django.db import IntegrityError
from django.db.models import QuerySet

from parcelle.core.models import Fact
from parcelle.domain.catalog import blueprints
from parcelle.domain.catalog.models import Product
from parcelle.domain.provisioning import pool, specs, states
from parcelle.domain.provisioning.models import Instance, Operation, Target
from tests import people
from tests.people import NOW
from tests.together import Outcome, at_once, meeting

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("test_blueprints")]


@pytest.fixture
def product() -> Product:
    product = people.offer().product
    Product.objects.filter(pk=product.pk).update(pool_size=20)
    product.refresh_from_db()
    return product


# --- two hundred customers, twenty standbys -----------------------------------------------------------------


def rush(product: Product) -> tuple[set[uuid.UUID], list[Instance], Outcome[bool]]:
    """The refs of twenty standbys, two hundred instances, and what came of their claims."""
    target = Target.objects.get()
    blueprint = blueprints.load(product.blueprint)
    made = {"product": product, "target": target, "created_at": NOW}
    standbys = Instance.objects.bulk_create(
        Instance(state=states.STANDBY, secrets=specs.new_secrets(blueprint), **made) for _number in range(20)
    )
    customers = Instance.objects.bulk_create(
        Instance(state=states.PROVISIONING, slug=f"customer-{number}", secrets=specs.new_secrets(blueprint), **made)
        for number in range(200)
    )
    operations = Operation.objects.bulk_create(
        Operation(kind="create", instance=customer, state=states.RUNNING, created_at=NOW, deadline_at=NOW)
        for customer in customers
    )
    claims = [
        partial(pool.claim, customer, operation, now=NOW)
        for customer, operation in zip(customers, operations, strict=True)
    ]
    refs = {standby.ref for standby in standbys}
    return refs, customers, at_once(claims)


def test_no_standby_is_handed_out_twice(product: Product) -> None:
    refs, _customers, outcome = rush(product)

    assert Counter(outcome.all()) == {True: 20, False: 180}
    served = Instance.objects.filter(from_standby=True)
    assert {instance.ref for instance in served} == refs
    assert served.count() == 20
    assert not Instance.objects.filter(state=states.STANDBY).exists()
    assert Fact.objects.filter(name="StandbyClaimed").count() == 20
    assert Instance.objects.filter(from_standby=False).count() == 180


def test_control_without_the_row_lock_two_reach_for_the_same(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QuerySet, "select_for_update", lambda self, **_options: self)
    monkeypatch.setattr(pool, "_is_outdated", meeting(pool._is_outdated))
    # Twice the same ref would be a stack with two owners; only the unique constraint is left to refuse it.
    refs, _customers, outcome = rush(product)
    assert outcome.errors
    assert {type(error) for error in outcome.errors} == {IntegrityError}
    assert {instance.ref for instance in Instance.objects.filter(from_standby=True)} <= refs


# --- two keepers --------------------------------------------------------------------------------------------


def keep_eight_times(product: Product) -> int:
    """How many standbys were asked for."""
    at_once([lambda: pool.keep(product, now=NOW)] * 8).all()
    return Instance.objects.filter(organization=None).count()


def test_keepers_at_the_same_moment_fill_the_pool_once(product: Product) -> None:
    assert keep_eight_times(product) == 20
    pool.keep(product, now=NOW)
    assert Operation.objects.filter(kind="prepare_standby").count() == 20


def test_control_without_the_keepers_lock_the_pool_overflows(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_keeper_lock", lambda _product: True)
    monkeypatch.setattr(specs, "new_secrets", meeting(specs.new_secrets))
    assert keep_eight_times(product) > 20
