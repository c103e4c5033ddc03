"""A query that was compiled once finds what the same queryset finds, whatever it was asked before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connections

from parcelle.core.compiled import Compiled, Given, any_of
from parcelle.domain.notifications.models import Message
from parcelle.domain.tenancy.models import Membership, Organization
from tests.people import NOW, person

pytestmark = pytest.mark.django_db

organization = Compiled(lambda: Organization.objects.filter(pk=Given("id"), state="active"))
named = Compiled(
    lambda: Organization.objects.filter(any_of("id", "ids")).order_by("name").values_list("name", flat=True)
)
owners = Compiled(
    lambda: (
        Membership.objects.filter(organization_id=Given("organization"), created_at__lte=Given("now"))
        .select_related("user", "organization")
        .order_by("created_at")[:1]
    )
)
messages = Compiled(lambda: Message.objects.filter(pk=Given("id")))


def company(name: str, **values: object) -> Organization:
    return Organization.objects.create(name=name, slug=name.lower(), created_at=NOW, **values)


def test_each_asking_has_its_own_values() -> None:
    one, two = company("Awa"), company("Binta", state="suspended")
    assert organization(id=one.pk) == [one]
    assert organization.first(id=two.pk) is None
    assert organization(id=one.pk) == [one]
    assert organization(id=uuid4()) == []


def test_a_list_of_keys_and_single_columns() -> None:
    keys = [company(name).pk for name in ("Cora", "Awa", "Binta")]
    assert named(ids=keys) == ["Awa", "Binta", "Cora"]
    assert named(ids=keys[:1]) == ["Cora"]
    assert named(ids=[]) == []


def test_related_rows_come_along(django_assert_num_queries: pytest.FixtureRequest) -> None:
    acme, awa, binta = company("Acme"), person("Awa", "awa"), person("Binta", "binta")
    for days, user in ((2, awa), (1, binta)):
        Membership.objects.create(
            organization=acme, user=user, role=Membership.OWNER, created_at=NOW - timedelta(days=days)
        )
    with django_assert_num_queries(1):  # type: ignore[operator]
        (found,) = owners(organization=acme.pk, now=NOW)
        assert (found.user, found.organization) == (awa, acme)
    assert owners(organization=acme.pk, now=NOW - timedelta(days=9)) == []


def test_encrypted_columns_are_opened() -> None:
    stored = Message.objects.create(key="k", kind="welcome", to="a@example.com", context={"a": 1}, created_at=NOW)
    assert messages.first(id=stored.pk).context == {"a": 1}  # type: ignore[union-attr]


def test_a_forgotten_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="id"):
        organization()


@pytest.mark.django_db(transaction=True)
def test_threads_do_not_mix_their_values() -> None:
    companies = [company(f"Acme{number}") for number in range(8)]

    def ask(number: int) -> bool:
        try:
            return all(organization(id=companies[number].pk) == [companies[number]] for _ in range(20))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(8)))
