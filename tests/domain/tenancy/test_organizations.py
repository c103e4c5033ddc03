from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser

from parcelle.core.models import Fact
from parcelle.domain.tenancy import queries
from parcelle.domain.tenancy.actions import create_organization
from tests import people
from tests.people import NOW, Cast


@pytest.mark.django_db
def test_a_new_organization_has_its_creator_as_owner_and_leaves_a_fact() -> None:
    ann = people.person("Ann", "ann")
    acme = create_organization(name="Acme", slug="acme", owner=ann, language="en", now=NOW, actor="Ann")
    assert queries.owner_of(acme.pk) == ann and queries.owned_organization(ann) == acme
    assert Fact.objects.get(name="OrganizationCreated").data == {"slug": "acme"}


def test_a_taken_short_name_gets_a_number(cast: Cast) -> None:
    wanted = cast.organization.slug
    found = [
        create_organization(name="Acme", slug=wanted, owner=cast.owner, language="en", now=NOW, actor="Ann").slug
        for _number in range(2)
    ]
    assert found == [f"{wanted}-2", f"{wanted}-3"]


def test_members_belong_and_strangers_do_not(cast: Cast) -> None:
    inside = [queries.is_member(user, cast.organization.pk) for user in (cast.owner, cast.member, cast.viewer)]
    outside = [
        queries.is_member(user, cast.organization.pk) for user in (cast.stranger, cast.operator, AnonymousUser())
    ]
    assert inside == [True] * 3 and outside == [False] * 3


def test_nobody_is_a_member_of_no_organization(cast: Cast) -> None:
    assert not queries.is_member(cast.owner, None)


def test_a_member_owns_nothing(cast: Cast) -> None:
    assert queries.owned_organization(cast.member) is None
    assert list(queries.organizations_of(cast.member)) == [cast.organization]
