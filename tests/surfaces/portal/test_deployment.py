"""`/deployments/<id>`: who may see what, and that what is shown is what is recorded."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test import AsyncClient, Client

from parcelle.core import states as transitions
from parcelle.domain.catalog.models import Product
from parcelle.domain.provisioning import states
from parcelle.domain.provisioning.models import Instance, Operation, Step
from parcelle.domain.tenancy.models import Membership
from parcelle.surfaces.portal import live as live_pages
from tests import people
from tests.surfaces.portal.companies import Company
from tests.surfaces.portal.conftest import BACKEND

PASSWORD = "Kp7mWq2xRt9v"


def text_of(response: Any) -> str:
    return unescape(response.content.decode())


@pytest.fixture
def live(company: Company) -> Instance:
    instance = company.instance("live", url="http://localhost:8085")
    company.operation(instance, "succeeded", done=9)
    return instance


def test_how_long_a_later_repair_took_is_not_shown_as_the_time_of_setting_up(
    owner_client: Client, company: Company, live: Instance
) -> None:
    Operation.objects.update(finished_at=F("created_at") + timedelta(seconds=4))
    assert "a été installé en" in text_of(owner_client.get(f"/deployments/{live.pk}"))
    Operation.objects.update(kind="repair")
    page = text_of(owner_client.get(f"/deployments/{live.pk}"))
    assert "a été installé en" not in page and "votre connexion a été testée" in page


def watcher_of(instance: Instance) -> Client:
    """A browser that asked for the instance without being signed in."""
    client = Client()
    session = client.session
    session["watched_instances"] = [str(instance.pk)]
    session.save()
    return client


@pytest.mark.parametrize("what", ["", "/events", "/progress"])
def test_strangers_find_nothing(live: Instance, client: Client, stranger_client: Client, what: str) -> None:
    assert client.get(f"/deployments/{live.pk}{what}").status_code == 404
    assert stranger_client.get(f"/deployments/{live.pk}{what}").status_code == 404


def test_strangers_cannot_retry(company: Company, stranger_client: Client) -> None:
    failed = company.instance("failed")
    company.operation(failed, "failed", done=3, error_code="timeout")
    assert stranger_client.post(f"/deployments/{failed.pk}/retry").status_code == 404
    failed.refresh_from_db()
    assert failed.state == "failed"


def test_a_member_sees_the_credentials_which_are_not_stored_anywhere(owner_client: Client, live: Instance) -> None:
    response = owner_client.get(f"/deployments/{live.pk}")
    page = text_of(response)
    assert PASSWORD in page
    assert "Ouvrir mon application" in page
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize(("role", "sees"), [("admin", True), ("member", False), ("viewer", False)])
def test_of_the_others_only_administrators_see_them(company: Company, live: Instance, role: str, sees: bool) -> None:
    colleague = people.person("Moussa", f"moussa-{role}")
    Membership.objects.create(organization=company.organization, user=colleague, role=role, created_at=people.NOW)
    client = Client()
    client.force_login(colleague, backend=BACKEND)
    page = text_of(client.get(f"/deployments/{live.pk}"))
    assert (PASSWORD in page) is sees
    assert "Se connecter pour les voir" not in page


def test_what_cannot_be_tried_again_says_so(owner_client: Client, company: Company) -> None:
    failed = company.instance("failed")
    company.operation(failed, "failed", done=3, error_code="timeout")
    Product.objects.update(blueprint="gone")
    page = owner_client.post(f"/deployments/{failed.pk}/retry", follow=True)
    assert page.status_code == 200
    assert "Un nouvel essai n’est pas possible pour le moment" in text_of(page)


def test_who_only_watches_never_sees_the_credentials(live: Instance) -> None:
    watcher = watcher_of(live)
    for what in ("", "/progress"):
        page = text_of(watcher.get(f"/deployments/{live.pk}{what}"))
        assert PASSWORD not in page
        assert "localhost:8085" not in page
        assert "Se connecter pour les voir" in page


def test_progress_is_what_is_recorded(owner_client: Client, company: Company) -> None:
    instance = company.instance("provisioning")
    company.operation(instance, "running", done=4)
    Step.objects.filter(name="claim_standby").update(state="skipped")
    page = text_of(owner_client.get(f"/deployments/{instance.pk}"))
    assert "Recherche d’un espace déjà prêt" not in page
    assert page.count('class="step step-succeeded"') == 3
    assert page.count('class="step step-running"') == 1
    assert '<progress class="bar" max="100" value="44"' in page
    assert 'data-announce="Démarrage de l’application"' in page
    assert '<meta http-equiv="refresh" content="3">' in page


def test_an_instance_without_an_operation_waits(owner_client: Client, company: Company) -> None:
    instance = company.instance("requested")
    assert "Votre demande est dans la file d’attente" in text_of(owner_client.get(f"/deployments/{instance.pk}"))


@pytest.mark.parametrize(
    ("code", "detail", "french", "english"),
    [
        (
            "target_unreachable",
            "connection refused by nowhere",
            "Cible de déploiement injoignable : réessayez dans quelques minutes",
            "Deployment target unreachable: try again in a few minutes",
        ),
        (
            "timeout",
            "",
            "Timeout : la création de la stack a pris trop de temps",
            "Timeout: creating the stack took too long",
        ),
        (
            "step_failed",
            "port 8080 is used",
            "Erreur lors de la création de la stack : un imprévu l’a interrompue",
            "Error while creating the stack: something unforeseen stopped it; try again in a few minutes",
        ),
    ],
)
def test_a_failure_says_what_and_offers_to_retry(
    owner_client: Client, company: Company, code: str, detail: str, french: str, english: str
) -> None:
    instance = company.instance("failed")
    company.operation(instance, "failed", done=4, error_code=code, error_detail=detail)
    page = text_of(owner_client.get(f"/deployments/{instance.pk}"))
    assert french in page
    assert not detail or detail not in page
    assert f'action="/deployments/{instance.pk}/retry"' in page
    assert english in text_of(owner_client.get(f"/deployments/{instance.pk}", headers={"Accept-Language": "en"}))


@pytest.mark.django_db(transaction=True)
def test_retrying_begins_again_once(owner_client: Client, company: Company) -> None:
    instance = company.instance("failed", name="acme")
    company.operation(instance, "failed", done=4, error_code="timeout")
    for _click in range(2):
        assert owner_client.post(f"/deployments/{instance.pk}/retry").status_code == 302
    instance.refresh_from_db()
    assert instance.state == "requested"
    assert instance.operations.count() == 2


@pytest.mark.django_db(transaction=True)
def test_retrying_when_the_name_is_gone_says_so(owner_client: Client, company: Company) -> None:
    instance = company.instance("failed", name="acme")
    company.operation(instance, "failed", done=4, error_code="timeout")
    company.instance("live", name="acme")
    page = text_of(owner_client.post(f"/deployments/{instance.pk}/retry", follow=True))
    assert "Un autre client a pris ce nom entre-temps" in page


@pytest.mark.parametrize(("state", "title"), [("suspended", "est suspendu"), ("archived", "a été archivé")])
def test_an_instance_that_is_gone_points_to_the_dashboard(
    owner_client: Client, company: Company, state: str, title: str
) -> None:
    page = text_of(owner_client.get(f"/deployments/{company.instance(state).pk}"))
    assert title in page
    assert 'href="/dashboard"' in page


def test_a_standby_belongs_to_nobody(owner_client: Client, company: Company) -> None:
    standby = company.instance("standby")
    Instance.objects.filter(pk=standby.pk).update(organization=None, slug=None)
    assert owner_client.get(f"/deployments/{standby.pk}").status_code == 404


# --- the live stream ---------------------------------------------------------------------------------------


def parse(chunk: bytes) -> tuple[str, str]:
    lines = chunk.decode().splitlines()
    name = next((line[7:] for line in lines if line.startswith("event: ")), "")
    return name, unescape("\n".join(line[6:] for line in lines if line.startswith("data: ")))


async def read(client: AsyncClient, path: str, *, after_first: Any = None) -> list[tuple[str, str]]:
    response: Any = await client.get(path)
    assert response["Content-Type"] == "text/event-stream"
    assert "no-store" in response["Cache-Control"]
    events = []
    async for chunk in response.streaming_content:
        events.append(parse(chunk))
        if len(events) == 1 and after_first:
            await asyncio.to_thread(after_first)
    return events


def async_client(company: Company) -> AsyncClient:
    client = AsyncClient()
    client.force_login(company.owner, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.mark.django_db(transaction=True)
def test_the_stream_says_the_present_state_then_every_change_and_ends(company: Company) -> None:
    instance = company.instance("provisioning")
    operation = company.operation(instance, "running", done=8)
    client = async_client(company)

    def finish() -> None:
        operation.steps.update(state="succeeded")
        type(operation).objects.filter(pk=operation.pk).update(state="succeeded", finished_at=operation.created_at)
        transitions.move(instance, states.LIVE, table=states.INSTANCE_TRANSITIONS, url="http://localhost:8085")
        connection.close()

    events = asyncio.run(asyncio.wait_for(read(client, f"/deployments/{instance.pk}/events", after_first=finish), 20))
    names = [name for name, _html in events]
    assert names[0] == "progress"
    assert names[-1] == "finished"
    assert "Ouverture de votre adresse" in events[0][1]
    assert PASSWORD not in events[0][1]
    assert PASSWORD in events[-2][1]


@pytest.mark.django_db(transaction=True)
def test_a_stream_opened_late_tells_the_end_at_once(company: Company, live: Instance) -> None:
    events = asyncio.run(asyncio.wait_for(read(async_client(company), f"/deployments/{live.pk}/events"), 10))
    assert [name for name, _html in events] == ["progress", "finished"]


@pytest.mark.django_db(transaction=True)
def test_a_silent_stream_still_shows_that_it_lives(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is notified here: the state is read again by itself, and comments keep proxies from hanging up."""
    monkeypatch.setattr(live_pages, "_LOOK_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(live_pages, "_HEARTBEAT_SECONDS", 0.1)
    instance = company.instance("requested")

    async def first_three() -> list[str]:
        stream = live_pages._events(lambda: ("<p>waiting</p>", False), f"instance:{instance.pk}", "fr")
        chunks = [await anext(stream) for _ in range(3)]
        await stream.aclose()  # type: ignore[attr-defined]
        return chunks

    first, *rest = asyncio.run(asyncio.wait_for(first_three(), 10))
    assert first.startswith("event: progress\n")
    assert rest == [": still here\n\n"] * 2
