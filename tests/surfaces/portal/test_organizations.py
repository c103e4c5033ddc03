"""For which organization a page is asked: membership, header, the session's choice, and what the page is about."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from parcelle.domain.tenancy.models import Membership
from tests.surfaces.portal.companies import Company


@pytest.fixture
def both(owner_client: Client, company: Company, stranger: Company) -> Client:
    """The owner of one company, who may look at another one as well."""
    Membership.objects.create(
        organization=stranger.organization, user=company.owner, role=Membership.VIEWER, created_at=timezone.now()
    )
    company.instance("live", name="first", url="http://localhost:8001")
    stranger.instance("live", name="second", url="http://localhost:8002")
    return owner_client


def text_of(response: Any) -> str:
    return unescape(response.content.decode())


def choose(client: Client, company: Company, path: str = "/dashboard") -> Any:
    return client.post("/organization", {"organization": str(company.organization.pk), "next": path})


def test_who_belongs_to_one_sees_no_switcher(owner_client: Client) -> None:
    assert "switcher" not in text_of(owner_client.get("/dashboard"))


def test_who_belongs_to_several_sees_one_at_a_time(both: Client, stranger: Company) -> None:
    first = text_of(both.get("/dashboard"))
    assert "localhost:8001" in first and "localhost:8002" not in first and 'class="switcher"' in first
    assert choose(both, stranger)["Location"] == "/dashboard"
    second = text_of(both.get("/dashboard"))
    assert "localhost:8002" in second and "localhost:8001" not in second


def test_a_page_about_one_thing_is_left_for_the_dashboard(both: Client, stranger: Company) -> None:
    assert choose(both, stranger, "/billing?organization=x")["Location"] == "/billing"
    for path in ("/subscriptions/00000000-0000-0000-0000-000000000000", "//evil.example/", "https://evil.example"):
        assert choose(both, stranger, path)["Location"] == "/dashboard"


def test_what_a_page_is_about_decides(both: Client, stranger: Company) -> None:
    """A link in a mail works, and says which organization it is about."""
    instance = stranger.instance("live", url="http://localhost:8003")
    page = text_of(both.get(f"/deployments/{instance.pk}"))
    assert f'switcher-name">{stranger.organization.name}' in page
    # Only this page.
    assert "localhost:8001" in text_of(both.get("/dashboard"))


def test_the_header_counts_for_members_only(both: Client, stranger_client: Client, company: Company) -> None:
    for header in (str(company.organization.pk), "nonsense"):
        assert stranger_client.get("/dashboard", headers={"X-Organization-ID": header}).status_code == 404
    theirs = {"X-Organization-ID": str(company.organization.pk)}
    assert "localhost:8001" in text_of(both.get("/dashboard", headers=theirs))


def test_the_header_hides_what_is_of_another_one(both: Client, company: Company, stranger: Company) -> None:
    instance = stranger.instance("live")
    headers = {"X-Organization-ID": str(company.organization.pk)}
    assert both.get(f"/deployments/{instance.pk}").status_code == 200
    assert both.get(f"/deployments/{instance.pk}", headers=headers).status_code == 404


def test_nobody_chooses_what_is_not_theirs(owner_client: Client, stranger: Company) -> None:
    assert choose(owner_client, stranger).status_code == 404
    assert owner_client.post("/organization", {"organization": "nonsense"}).status_code == 404


def test_switching_keeps_the_forms_safe(both: Client, company: Company, stranger: Company) -> None:
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(company.owner)
    assert choose(careful, stranger).status_code == 403


def test_who_was_removed_falls_back_to_what_they_have(both: Client, company: Company, stranger: Company) -> None:
    choose(both, stranger)
    Membership.objects.filter(organization=stranger.organization, user=company.owner).delete()
    assert "localhost:8001" in text_of(both.get("/dashboard"))


def test_who_only_looks_orders_for_what_is_theirs(both: Client, company: Company, stranger: Company) -> None:
    choose(both, stranger)
    assert f'value="{company.organization.name}"' in text_of(both.get("/trial"))
