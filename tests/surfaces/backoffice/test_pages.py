"""Every page of the back office opens, and none of them shows a secret."""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from django.contrib import admin
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import translation

from parcelle.core.crypto import encrypted_fields
from parcelle.core.models import Fact
from parcelle.domain.catalog.blueprints import BlueprintError
from parcelle.domain.notifications.models import MailboxMail
from parcelle.domain.provisioning.errors import ChangedMeanwhile, NothingToDo, ProvisioningError
from parcelle.surfaces.backoffice.base import Page
from parcelle.surfaces.backoffice.changes import refusal
from tests.surfaces.backoffice.rows import World

pytestmark = pytest.mark.django_db

LANGUAGES = ("fr", "en")


def own_models() -> list[type[Model]]:
    return list(admin.site._registry)


def name(model: type[Model], page: str) -> str:
    return f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"


def addresses(client: Client, *, every_choice: bool) -> Iterator[str]:
    """Every page there is; with `every_choice` also every filter, order and search of every list."""
    yield reverse("admin:index")
    yield reverse("admin:password_change")
    yield reverse("admin:search") + "?s=one"
    for label in {model._meta.app_label for model in own_models()}:
        yield reverse("admin:app_list", args=[label])
    for model, page in admin.site._registry.items():
        changelist = reverse(name(model, "changelist"))
        yield changelist
        if page.has_add_permission(_asked_by_operator(client)):
            yield reverse(name(model, "add"))
        for row in model._default_manager.all():
            yield reverse(name(model, "change"), args=[row.pk])
            yield reverse(name(model, "history"), args=[row.pk])
        if not every_choice:
            continue
        yield f"{changelist}?q=one"
        yield f"{changelist}?q=3f2504e0-4f89-41d3-9a0c-0305e82c3301"
        # Every choice of every filter, as the list itself offers them.
        listed = client.get(changelist)
        if listed.status_code == 302:
            continue
        shown = listed.context["cl"]
        for filter_ in shown.filter_specs:
            for choice in filter_.choices(shown):
                if "query_string" in choice:
                    yield changelist + choice["query_string"]
        columns = [str(number) for number in range(1, len(page.list_display) + 1)]
        yield f"{changelist}?o={'.'.join(columns)}"
        yield f"{changelist}?o=-{'.-'.join(reversed(columns))}"


def _asked_by_operator(client: Client):  # type: ignore[no-untyped-def]
    return client.get(reverse("admin:index")).wsgi_request


def test_every_kind_of_row_is_looked_at(operator: Client, world: World) -> None:
    for model in own_models():
        if model._meta.app_label == "procrastinate":
            continue
        assert model._default_manager.exists(), f"the world has no {model.__name__}"
    shown = {model for model, _field in encrypted_fields()} & set(own_models())
    # Mails are read at /mailbox by their recipients; operators have no page for them.
    assert MailboxMail not in own_models()
    assert len(shown) == 10


def test_every_list_says_what_would_be_in_it() -> None:
    ours = [page for page in admin.site._registry.values() if isinstance(page, Page)]
    assert {type(page).__name__ for page in ours if not page.when_empty} == set()


# Some hundreds of pages, with every choice of every filter.
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_page_fails_and_none_shows_a_secret(operator: Client, world: World, language: str) -> None:
    operator.cookies["parcelle_language"] = language
    seen = set()
    for address in addresses(operator, every_choice=language == "en"):
        if address in seen:
            continue
        seen.add(address)
        # What there is one of has no list: it leads to the one, or to where it is made.
        answer = operator.get(address, follow=True)
        assert answer.status_code == 200, address
        html = answer.content.decode()
        for secret in world.secrets:
            assert secret not in html, address
    assert len(seen) > 70


def test_actions_and_their_confirmations_show_no_secret(operator: Client, world: World) -> None:
    for instance in (world.live, world.failed, world.suspended, world.standby):
        for verb in ("retry", "suspend", "resume", "archive"):
            page = f"/admin/provisioning/instance/{instance.pk}/{verb}/"
            for answer in (operator.get(page), operator.post(page, {"confirmed": verb}, follow=True)):
                assert answer.status_code == 200
                assert not [secret for secret in world.secrets if secret in answer.content.decode()], page


def test_rows_of_the_past_cannot_be_changed_or_removed(operator: Client, world: World) -> None:
    editable = {"organization", "user", "apitoken", "product", "plan", "coupon", "target", "gatewaysettings"}
    editable |= {"seller", "billingdetails", "exchangerate", "addon"}
    for model in own_models():
        if model._meta.model_name in editable:
            continue
        row = model._default_manager.first()
        if row is None:
            continue
        before = model._default_manager.filter(pk=row.pk).values().get()
        change, delete = (reverse(name(model, page), args=[row.pk]) for page in ("change", "delete"))
        assert operator.post(change, {"state": "archived", "name": "changed"}).status_code == 403, model
        assert operator.post(delete, {"post": "yes"}).status_code == 403, model
        assert operator.get(reverse(name(model, "add"))).status_code == 403, model
        assert model._default_manager.filter(pk=row.pk).values().get() == before


@pytest.mark.parametrize("page", ["tenancy_organization", "accounts_user"])
def test_customers_and_people_cannot_be_deleted(operator: Client, world: World, page: str) -> None:
    row = operator.get(reverse(f"admin:{page}_changelist")).context["cl"].result_list[0]
    assert operator.post(reverse(f"admin:{page}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403


def test_an_identifier_finds_its_row_and_what_belongs_to_it(operator: Client, world: World) -> None:
    for page, key in (
        ("provisioning_instance", world.live.pk),
        ("provisioning_instance", world.live.ref),
        ("provisioning_operation", world.live.pk),
        ("core_fact", world.live.pk),
        ("notifications_message", world.live.pk),
        ("tenancy_organization", world.live.organization_id),
        ("billing_subscription", world.live.subscription_id),
    ):
        found = operator.get(reverse(f"admin:{page}_changelist"), {"q": str(key)}).context["cl"]
        assert found.result_count >= 1, (page, key)


@pytest.mark.parametrize(
    ("page", "term"),
    [
        ("provisioning_instance", "Maçonnerie"),
        ("provisioning_instance", "owner@example.com"),
        ("provisioning_operation", "live-one"),
        ("provisioning_operation", "stranger"),
        ("tenancy_organization", "OWNER@example"),
        ("tenancy_organization", "live-one"),
        ("billing_subscription", "owner@example"),
        ("accounts_user", "maçonnerie"),
    ],
)
def test_rows_are_found_by_what_people_remember(operator: Client, world: World, page: str, term: str) -> None:
    found = operator.get(reverse(f"admin:{page}_changelist"), {"q": term}).context["cl"]
    everything = operator.get(reverse(f"admin:{page}_changelist")).context["cl"]
    assert 0 < found.result_count < everything.result_count, (page, term)


def test_facts_are_found_by_the_names_of_what_they_are_about(operator: Client, world: World) -> None:
    page = reverse("admin:core_fact_changelist")
    by_instance = operator.get(page, {"q": "live-one"}).context["cl"].result_list
    assert {fact.instance_id for fact in by_instance} == {world.live.pk}
    by_organization = operator.get(page, {"q": "Stranger"}).context["cl"].result_list
    assert {fact.organization_id for fact in by_organization} == {world.failed.organization_id}
    assert operator.get(page, {"q": "nobody-is-called-so"}).context["cl"].result_count == 0


def test_the_pool_is_kept_apart_from_the_customers(operator: Client, world: World) -> None:
    page = reverse("admin:provisioning_instance_changelist")
    assert world.standby not in operator.get(page).context["cl"].result_list
    assert list(operator.get(page, {"of": "pool"}).context["cl"].result_list) == [world.standby]
    assert operator.get(page, {"of": "all"}).context["cl"].result_count == 4


def test_the_search_of_the_sidebar_finds_customers_people_and_instances(operator: Client, world: World) -> None:
    page = reverse("admin:search")
    assert "live-one" in operator.get(page, {"s": "LIVE-ONE"}).content.decode()
    assert "Maçonnerie Diop" in operator.get(page, {"s": "maçonnerie"}).content.decode()
    assert "owner@example.com" in operator.get(page, {"s": "owner@"}).content.decode()
    assert "live-one" in operator.get(page, {"s": str(world.live.pk)}).content.decode()


def test_steps_show_how_long_they_took(operator: Client, world: World) -> None:
    html = operator.get(f"/admin/provisioning/operation/{world.failed.operations.get().pk}/change/").content.decode()
    assert "Take a standby from the pool" in html
    assert "it broke" in html
    assert "line of output" in html
    assert 'class="bo-bar bo-danger"' in html


def test_a_running_operation_is_followed_and_a_finished_one_is_not(operator: Client, world: World) -> None:
    operation = world.failed.operations.get()
    page = f"/admin/provisioning/operation/{operation.pk}/change/"
    assert "data-follow" not in operator.get(page).content.decode()
    type(operation).objects.filter(pk=operation.pk).update(state="running", finished_at=None)
    assert "data-follow" in operator.get(page).content.decode()
    assert "data-follow" in operator.get(f"/admin/provisioning/instance/{world.failed.pk}/change/").content.decode()


def test_a_page_is_called_by_what_its_reader_reads_and_a_programs_words_are_labelled(
    operator: Client, world: World
) -> None:
    french: Any = {"headers": {"Accept-Language": "fr"}}
    operation = world.failed.operations.get()
    html = unescape(operator.get(f"/admin/provisioning/operation/{operation.pk}/change/", **french).content.decode())
    title = html.partition("<title>")[2].partition("</title>")[0]
    assert "Création" in title and "create" not in title
    assert 'Message d’origine\xa0: <samp class="bo-original" lang="en">it broke</samp>' in html
    fact = Fact.objects.filter(name="InstanceRequested").first()
    assert fact
    html = operator.get(f"/admin/core/fact/{fact.pk}/change/", **french).content.decode()
    assert "InstanceRequested" not in html.partition("<title>")[2].partition("</title>")[0]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NothingToDo("nothing to repair"), "Il n’y a plus rien à faire"),
        (ChangedMeanwhile("look again"), "a changé entre-temps"),
        (ProvisioningError("no answer on port 1"), "Message d’origine\xa0: no answer on port 1"),
        (BlueprintError("there is no blueprint 'x'"), "Message d’origine\xa0: there is no blueprint 'x'"),
    ],
)
def test_a_refusal_is_french_and_a_programs_words_are_labelled(error: Exception, said: str) -> None:
    with translation.override("fr"):
        text = refusal(error)
    assert text and said in text
    assert str(error) not in text or "Message d’origine" in text
