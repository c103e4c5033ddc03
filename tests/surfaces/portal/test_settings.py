"""`/settings`: what an organization is called and in which language it is written to."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from django.test import Client

from parcelle.core.models import Fact
from parcelle.domain.accounts.models import User
from tests import people
from tests.domain.billing import documents
from tests.people import Cast

pytestmark = pytest.mark.django_db


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def text_of(response: Any) -> str:
    return unescape(response.content.decode())


def save(cast: Cast, **typed: str) -> Any:
    form = {"organization": str(cast.organization.pk), "name": "Diop & Filles", "language": "en", **typed}
    return signed_in(cast.owner).post("/settings", form)


def test_an_owner_changes_name_and_language_and_it_is_recorded(cast: Cast) -> None:
    slug, name = cast.organization.slug, cast.organization.name
    assert save(cast)["Location"] == "/settings"
    cast.organization.refresh_from_db()
    assert (cast.organization.name, cast.organization.language) == ("Diop & Filles", "en")
    assert cast.organization.slug == slug
    fact = Fact.objects.get(name="OrganizationChanged")
    assert fact.data["before"] == {"name": name, "language": "fr"}
    assert fact.data["after"] == {"name": "Diop & Filles", "language": "en"}
    assert fact.actor == f"user:{cast.owner.pk}" and fact.organization_id == cast.organization.pk


def test_saving_what_it_says_already_changes_nothing(cast: Cast) -> None:
    save(cast, name=cast.organization.name, language=cast.organization.language)
    assert not Fact.objects.filter(name="OrganizationChanged").exists()


@pytest.mark.parametrize("wrong", [{"name": " "}, {"name": "x" * 201}, {"language": "tlh"}])
def test_what_cannot_be_saved_stays_typed_and_is_marked(cast: Cast, wrong: dict[str, str]) -> None:
    answer = save(cast, **wrong)
    assert answer.status_code == 422 and "is-invalid" in text_of(answer)
    assert not Fact.objects.filter(name="OrganizationChanged").exists()


def test_a_name_is_one_line(cast: Cast) -> None:
    save(cast, name="Diop\r\nBcc: everybody@example.com")
    cast.organization.refresh_from_db()
    assert cast.organization.name == "Diop Bcc: everybody@example.com"


def test_a_viewer_reads_it(cast: Cast) -> None:
    documents.customer(cast.organization)
    page = text_of(signed_in(cast.viewer).get("/settings"))
    assert cast.organization.name in page and "Français" in page and "Enregistrer" not in page
    assert "/billing/details/" not in page and "/billing/details/" in text_of(signed_in(cast.owner).get("/settings"))


def test_who_belongs_nowhere_is_told_how_to_begin(cast: Cast) -> None:
    alone = people.person("Noa", "noa")
    assert "/trial" in text_of(signed_in(alone).get("/settings"))
