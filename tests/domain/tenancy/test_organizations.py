from __future__ import annotations

import pytest

from parcelle.core.models import Fact
from parcelle.domain.tenancy import permissions, queries
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


def test_a_member_owns_nothing(cast: Cast) -> None:
    assert queries.owned_organization(cast.member) is None
    assert list(queries.organizations_of(cast.member)) == [cast.organization]


def test_a_role_is_known_to_its_organization_only(cast: Cast) -> None:
    inside = [queries.role_of(user, cast.organization.pk) for user in (cast.owner, cast.member, cast.viewer)]
    outside = [queries.role_of(user, cast.organization.pk) for user in (cast.stranger, cast.operator)]
    assert inside == ["owner", "member", "viewer"] and outside == [None] * 2
    assert queries.role_of(cast.owner, None) is None


def test_who_may_do_less_may_do_nothing_that_who_may_do_more_may_not() -> None:
    for allowed in permissions.TABLE.values():
        known = [role in allowed for role in permissions.ROLES]
        assert known == sorted(known, reverse=True)
    assert not permissions.may(None, permissions.SEE)


def test_owners_are_touched_by_owners_only() -> None:
    able = {
        role: [other for other in permissions.ROLES if permissions.may_touch(role, other)] for role in permissions.ROLES
    }
    assert able == {
        "owner": ["owner", "admin", "member", "viewer"],
        "admin": ["admin", "member", "viewer"],
        "member": [],
        "viewer": [],
    }
