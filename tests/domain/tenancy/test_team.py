"""Members and invitations: what is possible, what is refused, and what is known about it afterwards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from parcelle.core.models import Fact
from parcelle.domain.accounts.models import User
from parcelle.domain.tenancy import queries, team
from parcelle.domain.tenancy.errors import NotAllowed, TeamRefused
from parcelle.domain.tenancy.models import Invitation, Membership
from tests import people
from tests.people import NOW, Cast

NEWCOMER = "noa@example.com"


def invite(cast: Cast, email: str = NEWCOMER, role: str = "member", *, by: User | None = None, day: int = 0) -> str:
    return team.invite(
        organization_id=cast.organization.pk,
        email=email,
        role=role,
        by=by or cast.owner,
        now=NOW + timedelta(days=day),
    ).token


def role(cast: Cast, user: User) -> str | None:
    return queries.role_of(user, cast.organization.pk)


def membership(cast: Cast, user: User) -> Membership:
    return Membership.objects.get(organization=cast.organization, user=user)


def refused(code: str) -> pytest.RaisesExc[TeamRefused]:
    return pytest.raises(TeamRefused, match=f"^{code}$")


def test_who_is_invited_joins_once(cast: Cast) -> None:
    token = invite(cast, " Noa@Example.com ")
    noa = people.person("Noa", "noa")
    team.accept(token, user=noa, now=NOW)
    assert role(cast, noa) == "member"
    with refused("used"):
        team.accept(token, user=noa, now=NOW)
    facts = Fact.objects.filter(organization_id=cast.organization.pk).order_by("pk")
    assert [fact.name for fact in facts][-2:] == ["MemberInvited", "MemberJoined"]
    assert {fact.actor for fact in facts[1:]} == {f"user:{cast.owner.pk}", f"user:{noa.pk}"}
    assert token not in str([fact.data for fact in facts]) and token not in Invitation.objects.get().digest


def test_an_invitation_is_for_one_address(cast: Cast) -> None:
    with refused("other_person"):
        team.accept(invite(cast), user=cast.stranger, now=NOW)
    assert role(cast, cast.stranger) is None
    with refused("unknown"):
        team.accept("made-up", user=cast.stranger, now=NOW)


def test_an_invitation_ends(cast: Cast) -> None:
    noa = people.person("Noa", "noa")
    token = invite(cast)
    with refused("expired"):
        team.accept(token, user=noa, now=NOW + team.LASTS)
    again = invite(cast, role="viewer", day=8)
    with refused("unknown"):
        team.accept(token, user=noa, now=NOW + timedelta(days=8))
    row = Invitation.objects.get()
    team.revoke(row, by=cast.owner, now=NOW)
    with refused("revoked"):
        team.accept(again, user=noa, now=NOW + timedelta(days=8))
    with refused("used"):
        team.revoke(row, by=cast.owner, now=NOW)
    assert role(cast, noa) is None


def test_the_same_address_again_is_the_same_invitation(cast: Cast) -> None:
    invite(cast)
    noa = people.person("Noa", "noa")
    team.accept(invite(cast, role="admin"), user=noa, now=NOW)
    assert Invitation.objects.count() == 1 and role(cast, noa) == "admin"
    with refused("member"):
        invite(cast)


def test_who_joined_meanwhile_keeps_their_role(cast: Cast) -> None:
    token, noa = invite(cast, role="viewer"), people.person("Noa", "noa")
    Membership.objects.create(organization=cast.organization, user=noa, role="admin", created_at=NOW)
    assert team.accept(token, user=noa, now=NOW).role == "admin"


@pytest.mark.parametrize("who", ["member", "viewer", "stranger"])
def test_who_may_not_manage_changes_nothing(cast: Cast, who: str) -> None:
    by = getattr(cast, who)
    invite(cast)
    target = membership(cast, cast.viewer)
    acts: tuple[Callable[[], object], ...] = (
        lambda: invite(cast, by=by),
        lambda: team.revoke(Invitation.objects.get(), by=by, now=NOW),
        lambda: team.change_role(target, role="admin", by=by, now=NOW),
        lambda: team.remove(target, by=by, now=NOW),
        lambda: team.hand_over(target, by=by, now=NOW),
    )
    for act in acts:
        with pytest.raises(NotAllowed):
            act()


def test_administrators_touch_no_owner_and_make_none(cast: Cast) -> None:
    Membership.objects.filter(user=cast.member).update(role="admin")
    owner, viewer = membership(cast, cast.owner), membership(cast, cast.viewer)
    acts: tuple[Callable[[], object], ...] = (
        lambda: team.remove(owner, by=cast.member, now=NOW),
        lambda: team.change_role(owner, role="viewer", by=cast.member, now=NOW),
        lambda: team.change_role(viewer, role="owner", by=cast.member, now=NOW),
        lambda: team.hand_over(viewer, by=cast.member, now=NOW),
    )
    for act in acts:
        with pytest.raises(NotAllowed):
            act()
    team.change_role(viewer, role="member", by=cast.member, now=NOW)
    assert Fact.objects.get(name="MemberRoleChanged").data == {
        "user_id": str(cast.viewer.pk),
        "before": "viewer",
        "after": "member",
    }


def test_the_last_owner_stays(cast: Cast) -> None:
    owner = membership(cast, cast.owner)
    acts: tuple[Callable[[], object], ...] = (
        lambda: team.leave(cast.organization.pk, user=cast.owner, now=NOW),
        lambda: team.remove(owner, by=cast.owner, now=NOW),
        lambda: team.change_role(owner, role="admin", by=cast.owner, now=NOW),
    )
    for act in acts:
        with refused("last_owner"):
            act()
    team.change_role(membership(cast, cast.member), role="owner", by=cast.owner, now=NOW)
    team.leave(cast.organization.pk, user=cast.owner, now=NOW)
    assert role(cast, cast.owner) is None and queries.owner_of(cast.organization.pk) == cast.member


def test_handing_over(cast: Cast) -> None:
    team.hand_over(membership(cast, cast.viewer), by=cast.owner, now=NOW)
    assert (role(cast, cast.viewer), role(cast, cast.owner)) == ("owner", "admin")
    assert Fact.objects.get(name="OwnershipTransferred").data == {
        "user_id": str(cast.viewer.pk),
        "before": "viewer",
        "former_owner": str(cast.owner.pk),
    }
    with pytest.raises(NotAllowed):
        team.hand_over(membership(cast, cast.member), by=cast.owner, now=NOW)


def test_who_is_removed_is_gone_at_once(cast: Cast) -> None:
    gone = membership(cast, cast.member)
    team.remove(gone, by=cast.owner, now=NOW)
    assert role(cast, cast.member) is None
    with pytest.raises(Membership.DoesNotExist):
        team.remove(gone, by=cast.owner, now=NOW)
