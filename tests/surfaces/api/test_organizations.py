"""`X-Organization-ID`: one of several organizations, for its members only; and what a role is enough for."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.surfaces.api.asking import Asking, kind_of

if TYPE_CHECKING:
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
