"""`X-Organization-ID`: one of several organizations, for its members only; and what a role is enough for."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.surfaces.api.asking import Asking, kind_of

if TYPE_CHECKING:
    from pytest_django import Settings

    from parcelle.domain.accounts.models import User
    from tests.people import Cast

pytestmark = pytest.mark.django_db


def test_a_member_of_two_sees_the_one_that_is_asked_for(cast: Cast, as_user: Callable[[User], Asking]) -> None:
    from parcelle.domain.tenancy.models import Membership
    from tests import people

    one = people.requested_instance(cast.organization, cast.plan)
    other = people.requested_instance(cast.other_organization, cast.plan)
    Membership.objects.create(
        organization=cast.other_organization, user=cast.owner, role=Membership.VIEWER, created_at=people.NOW
    )
    asking = as_user(cast.owner)
    headers = {"x-organization-id": str(cast.other_organization.pk)}
    listed = json.loads(asking.get("/api/instances", **headers).content)["items"]
    assert [each["instanceId"] for each in listed] == [str(other.pk)]
    assert asking.get(f"/api/instances/{one.pk}").status_code == 200
    assert asking.get(f"/api/instances/{one.pk}", **headers).status_code == 404


@pytest.mark.parametrize("header", ["nonsense", str(uuid.UUID(int=0)), "other"])
def test_what_is_not_theirs_is_a_problem(cast: Cast, as_user: Callable[[User], Asking], header: str) -> None:
    named = str(cast.other_organization.pk) if header == "other" else header
    answer = as_user(cast.owner).get("/api/instances", **{"x-organization-id": named})
    assert answer.status_code == 404 and kind_of(answer) == "unknown-organization"


def test_who_only_looks_does_not_pay(cast: Cast, as_user: Callable[[User], Asking]) -> None:
    from tests.domain.billing import selling

    order = selling.order(selling.open_shop(plan=cast.plan))
    type(order).objects.filter(pk=order.pk).update(organization=cast.organization)
    path = f"/api/tenants/orders/{order.pk}/"
    viewer = as_user(cast.viewer)
    assert viewer.get(path).status_code == 200
    refused = viewer.post(f"{path}initiate_payment/", {"method": "fake"})
    assert refused.status_code == 403 and kind_of(refused) == "forbidden"


def test_a_suspended_organization_changes_nothing_and_reads_on(
    cast: Cast, as_user: Callable[[User], Asking], operator: Asking
) -> None:
    from parcelle.domain.tenancy import actions
    from tests import people

    instance = people.live_instance(cast.organization, cast.plan)
    actions.change_state(cast.organization, to="suspended", actor="test", now=people.NOW)
    path = f"/api/instances/{instance.pk}"
    owner = as_user(cast.owner)
    assert owner.get(path).status_code == 200
    refused = owner.post(f"{path}/suspend")
    assert refused.status_code == 403 and kind_of(refused) == "organization-closed"
    assert operator.post(f"{path}/suspend").status_code == 202


# --- /api/tenants/organizations/ ----------------------------------------------------------------------------


def _path(cast: Cast, what: str = "") -> str:
    return f"/api/tenants/organizations/{cast.organization.pk}/{what}"


def test_the_organizations_of_a_token_with_its_role(
    cast: Cast, as_user: Callable[[User], Asking], operator: Asking
) -> None:
    listed = json.loads(as_user(cast.member).get("/api/tenants/organizations/").content)
    assert [(one["slug"], one["role"], one["status"]) for one in listed["items"]] == [
        ("maconnerie-diop", "member", "active")
    ]
    everything = json.loads(operator.get("/api/tenants/organizations/?slug=stranger-sons").content)
    assert [(one["name"], one["role"]) for one in everything["items"]] == [("Stranger & Sons", None)]
    assert json.loads(operator.get("/api/tenants/organizations/?status=suspended").content)["count"] == 0
    assert operator.get("/api/tenants/organizations/?slgu=x").status_code == 400


def test_everybody_in_it_owners_first(cast: Cast, as_user: Callable[[User], Asking]) -> None:
    shown = json.loads(as_user(cast.viewer).get(_path(cast, "members/")).content)
    assert [one["role"] for one in shown["items"]] == ["owner", "member", "viewer"]
    assert shown["items"][0]["email"] == cast.owner.email


def test_an_invitation_is_mailed_once_for_each_key(cast: Cast, as_user: Callable[[User], Asking]) -> None:
    from parcelle.domain.notifications.models import Message
    from parcelle.domain.tenancy.models import Invitation

    owner = as_user(cast.owner)
    wanted = {"email": "Noa@Example.com", "role": "viewer"}
    answers = [owner.post(_path(cast, "invite_member/"), wanted, **{"idempotency-key": "once"}) for _time in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert {json.loads(answer.content)["email"] for answer in answers} == {"noa@example.com"}
    assert Invitation.objects.get().role == "viewer" and Message.objects.filter(kind="team_invitation").count() == 1


@pytest.mark.parametrize(
    ("wanted", "status", "kind"),
    [
        ({"email": "member@example.com", "role": "viewer"}, 409, "invitation-refused"),
        ({"email": "no address", "role": "viewer"}, 400, "invalid-request"),
        ({"email": "a@example.com", "role": "king"}, 400, "invalid-request"),
    ],
)
def test_who_cannot_be_invited(
    cast: Cast, as_user: Callable[[User], Asking], wanted: dict[str, str], status: int, kind: str
) -> None:
    answer = as_user(cast.owner).post(_path(cast, "invite_member/"), wanted)
    assert (answer.status_code, kind_of(answer)) == (status, kind)


def test_only_an_owner_makes_owners(cast: Cast, as_user: Callable[[User], Asking]) -> None:
    from parcelle.domain.tenancy.models import Membership
    from tests import people

    admin = people.person("Adam", "admin")
    Membership.objects.create(organization=cast.organization, user=admin, role="admin", created_at=people.NOW)
    wanted = {"email": "a@example.com", "role": "owner"}
    assert as_user(admin).post(_path(cast, "invite_member/"), wanted).status_code == 403
    assert as_user(cast.owner).post(_path(cast, "invite_member/"), wanted).status_code == 201


def test_so_many_invitations_an_hour(cast: Cast, as_user: Callable[[User], Asking], settings: Settings) -> None:
    from parcelle.journeys import team

    settings.RATE_LIMITS = True
    owner = as_user(cast.owner)
    for number in range(team.INVITATIONS_PER_HOUR):
        wanted = {"email": f"n{number}@example.com", "role": "viewer"}
        assert owner.post(_path(cast, "invite_member/"), wanted).status_code == 201
    refused = owner.post(_path(cast, "invite_member/"), {"email": "last@example.com", "role": "viewer"})
    assert refused.status_code == 429 and refused.headers["Retry-After"]


def test_a_list_of_organizations_costs_the_same_whatever_its_length(
    cast: Cast, operator: Asking, django_assert_max_num_queries: Any
) -> None:
    from tests import people

    for number in range(12):
        people._organization(f"Company {number}", f"company-{number}", cast.stranger)
    operator.get("/api/tenants/organizations/")
    with django_assert_max_num_queries(4):
        operator.ask("GET", "/api/tenants/organizations/", documented=False)
