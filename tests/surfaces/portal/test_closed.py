"""Suspended, expired and cancelled organizations: a page that says why and what to do; paying stays possible."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client

from parcelle.core.models import Fact
from parcelle.core.states import IllegalTransition
from parcelle.domain.tenancy import actions
from parcelle.domain.tenancy.models import Membership
from parcelle.surfaces import current
from parcelle.surfaces.portal.urls import urlpatterns
from tests.people import NOW, Cast

pytestmark = pytest.mark.django_db


def text_of(response: Any) -> str:
    return unescape(response.content.decode())


def asking(cast: Cast, state: str, who: str = "owner") -> Client:
    actions.change_state(cast.organization, to=state, actor="test", now=NOW)
    client = Client()
    client.force_login(getattr(cast, who))
    return client


@pytest.mark.parametrize(
    ("state", "sentence"),
    [("suspended", "vos données sont conservées"), ("expired", "Choisissez-en une"), ("cancelled", "Vos factures")],
)
def test_it_says_why_and_what_to_do(cast: Cast, state: str, sentence: str) -> None:
    page = asking(cast, state).get("/dashboard")
    assert page.status_code == 403 and sentence in text_of(page)
    assert 'href="/billing"' in text_of(page) and "mailto:" in text_of(page) and "/accounts/logout/" in text_of(page)


def test_paying_invoices_and_signing_out_stay_possible(cast: Cast) -> None:
    owner = asking(cast, "suspended")
    for path in ("/billing", f"/billing/details/{cast.organization.slug}", "/pricing", "/contact", "/accounts/logout/"):
        assert owner.get(path).status_code == 200, path
    for path in ("/team", "/trial", "/team/leave"):
        assert owner.get(path).status_code == 403, path


def test_who_may_not_pay_is_told_who_can(cast: Cast) -> None:
    assert "propriétaires et les administrateurs" in text_of(asking(cast, "suspended", "viewer").get("/dashboard"))


def test_another_organization_of_theirs_stays_open(cast: Cast) -> None:
    Membership.objects.create(
        organization=cast.other_organization, user=cast.owner, role=Membership.VIEWER, created_at=NOW
    )
    owner = asking(cast, "suspended")
    assert cast.other_organization.name in text_of(owner.get("/dashboard"))
    owner.post("/organization", {"organization": str(cast.other_organization.pk)})
    assert owner.get("/dashboard").status_code == 200


def test_the_exempt_pages_are_pages(cast: Cast) -> None:
    assert {str(pattern.name) for pattern in urlpatterns} >= current.OPEN_WHILE_CLOSED


def test_it_is_opened_again_and_known_who_did_it(cast: Cast) -> None:
    owner = asking(cast, "suspended")
    actions.change_state(cast.organization, to="active", actor="test", now=NOW)
    assert owner.get("/dashboard").status_code == 200
    changes = Fact.objects.filter(name="OrganizationStateChanged").order_by("pk")
    assert [fact.data for fact in changes] == [
        {"before": "active", "after": "suspended"},
        {"before": "suspended", "after": "active"},
    ]
    actions.change_state(cast.organization, to="cancelled", actor="test", now=NOW)
    with pytest.raises(IllegalTransition):
        actions.change_state(cast.organization, to="active", actor="test", now=NOW)


def test_a_visitor_with_the_address_of_a_closed_one_is_led_to_its_page(cast: Cast, client: Client) -> None:
    actions.change_state(cast.organization, to="suspended", actor="test", now=NOW)
    page = client.get("/trial")
    found = re.search(r'name="submission" value="([^"]+)"', text_of(page))
    assert found
    said = {"last_name": "Diop", "first_name": "Awa", "company": "Diop", "phone": "0612345678", "terms": "on"}
    answer = client.post("/trial", {**said, "email": cast.owner.email, "plan": cast.plan.pk, "submission": found[1]})
    assert answer.status_code == 409 and "Connectez-vous pour savoir pourquoi" in text_of(answer)
    assert "/accounts/login/?next=/dashboard" in text_of(answer)
