"""Two owners leave at the same moment, two people use one link; with controls that show what keeps them apart."""

from __future__ import annotations

from functools import partial

import pytest

from parcelle.domain.tenancy import team
from parcelle.domain.tenancy.errors import TeamRefused
from parcelle.domain.tenancy.models import Membership, Organization
from tests import people
from tests.people import NOW, Cast
from tests.together import Outcome, at_once, meeting

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("test_blueprints")]


@pytest.fixture
def two_owners() -> Cast:
    cast = people.gather()
    Membership.objects.filter(user=cast.member).update(role=Membership.OWNER)
    return cast


def leave_together(cast: Cast) -> Outcome[None]:
    return at_once(
        [partial(team.leave, cast.organization.pk, user=user, now=NOW) for user in (cast.owner, cast.member)]
    )


def owners(cast: Cast) -> int:
    return Membership.objects.filter(organization=cast.organization, role=Membership.OWNER).count()


def test_of_two_owners_who_leave_at_once_one_stays(two_owners: Cast) -> None:
    outcome = leave_together(two_owners)
    assert [str(error) for error in outcome.errors] == ["last_owner"] and owners(two_owners) == 1


def test_control_without_holding_the_organization_nobody_is_left(
    two_owners: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(team, "hold", lambda key: Organization.objects.get(pk=key))
    monkeypatch.setattr(team, "_not_the_last_owner", meeting(team._not_the_last_owner))
    assert leave_together(two_owners).errors == [] and owners(two_owners) == 0


def test_a_link_that_is_used_twice_at_once_counts_once() -> None:
    cast = people.gather()
    token = team.invite(
        organization_id=cast.organization.pk, email="noa@example.com", role="member", by=cast.owner, now=NOW
    ).token
    noa = people.person("Noa", "noa")
    outcome = at_once([partial(team.accept, token, user=noa, now=NOW) for _number in range(4)])
    assert len(outcome.results) == 1 and {type(error) for error in outcome.errors} == {TeamRefused}
    assert Membership.objects.filter(user=noa).count() == 1
