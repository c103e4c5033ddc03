"""What people and programs get at the host of an instance whose application does not answer."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from parcelle.domain.provisioning import pages, routes
from parcelle.domain.provisioning.ingress import RouteState
from parcelle.domain.provisioning.models import Instance, Operation
from parcelle.journeys import doorstep
from tests import people
from tests.people import NOW, Cast

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


@pytest.fixture(autouse=True)
def by_name(settings: Settings) -> None:
    settings.INGRESS, settings.APPS_DOMAIN, settings.PUBLIC_URL = "caddy", "apps.test", "https://parcelle.test"
    settings.ALLOWED_HOSTS = ["parcelle.test", "testserver"]
    settings.EDGE_HTTPS_PORT = 443


@pytest.fixture
def instance(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Instance:
    # Only the rows: what Caddy is told is the business of `tests/contracts`.
    monkeypatch.setattr(routes, "push", lambda _ref: None)
    return people.live_instance(cast.organization, cast.plan)


def put(instance: Instance, state: RouteState, note: str = "", **changes: str) -> str:
    """Its host, after its route and its row became this."""
    Instance.objects.filter(pk=instance.pk).update(state=state if state != "maintenance" else "live", **changes)
    instance.refresh_from_db()
    routes.record(instance, state, now=NOW, endpoint="http://127.0.0.1:9", note=note)
    return routes.platform_host(instance)


def visit(client: Client, host: str, method: str = "get", path: str = "/", **headers: str) -> Any:
    sent = {"Host": host, "User-Agent": FIREFOX, "Accept": "text/html,*/*", "Accept-Language": "fr", **headers}
    return getattr(client, method)(path, headers=sent)


def text_of(answer: Any) -> str:
    return unescape(answer.content.decode())


def wakes(instance: Instance) -> int:
    return Operation.objects.filter(instance=instance, kind="wake").count()


# --- the pages --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "status", "french", "english"),
    [
        ("trial_ended", 402, "L’essai gratuit est terminé", "The free trial has ended"),
        ("operator", 503, "mis en pause par son administrateur", "paused by its administrator"),
        ("customer", 503, "à la demande de son propriétaire", "at its owner’s request"),
    ],
)
def test_a_suspended_one_says_why_and_how_to_go_on(
    client: Client, instance: Instance, reason: str, status: int, french: str, english: str
) -> None:
    host = put(instance, RouteState.SUSPENDED, reason=reason)
    for language, sentence in (("fr", french), ("en-GB,en;q=0.9", english)):
        answer = visit(client, host, **{"Accept-Language": language})
        assert answer.status_code == status
        assert sentence in text_of(answer)
        assert 'href="https://parcelle.test/dashboard"' in text_of(answer)
        assert answer["Content-Language"] == language[:2]
        assert answer["X-Robots-Tag"] == "noindex"
    assert wakes(instance) == 0


def test_maintenance_carries_the_operators_words_and_no_markup_of_theirs(client: Client, instance: Instance) -> None:
    host = put(instance, RouteState.MAINTENANCE, note="De retour à 14 h. <script>")
    answer = visit(client, host)
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 60
    assert "De retour à 14 h. &lt;script&gt;" in answer.content.decode()


def test_an_unknown_host_is_a_404_with_a_way_on(client: Client, db: None) -> None:
    answer = visit(client, "nobody.apps.test")
    assert answer.status_code == 404
    assert "nobody.apps.test" in text_of(answer)
    assert 'href="https://parcelle.test/"' in text_of(answer)


def test_an_application_that_does_not_answer(client: Client, instance: Instance) -> None:
    answer = visit(client, put(instance, RouteState.LIVE), **{"X-Parcelle-Edge-Error": "502"})
    assert (answer.status_code, answer["X-Parcelle-Page"]) == (503, "unavailable")
    assert "http-equiv" not in text_of(answer)


@pytest.mark.parametrize("accept", ["application/json", "*/*", ""])
def test_programs_get_plain_text(client: Client, instance: Instance, accept: str) -> None:
    answer = visit(client, put(instance, RouteState.SUSPENDED, reason="trial_ended"), Accept=accept)
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert "<" not in text_of(answer).replace("<https://parcelle.test/dashboard>", "")
    assert "https://parcelle.test/dashboard" in text_of(answer)


@pytest.mark.parametrize("kind", sorted(pages.KINDS))
def test_every_page_is_whole_in_both_languages(instance: Instance, kind: str, settings: Settings) -> None:
    made = pages.page(kind, instance=instance, host="h.apps.test")
    assert sorted(made.words) == ["en", "fr"]
    for words in made.words.values():
        assert "src=" not in words.html
        assert "<h1>" in words.html
        assert len(words.text) > 30
    # Whoever is left without an answer for longer than a moment is told where to turn to.
    assert "http-equiv" in made.words["fr"].html or "href=" in made.words["fr"].html
    assert (kind == "unknown") or made.retry_after


def test_the_site_itself_is_never_shown_under_another_name(client: Client, instance: Instance) -> None:
    host = put(instance, RouteState.SUSPENDED)
    for path in ("/", "/trial", "/admin/", "/edge/traefik", "/healthz", "/accounts/login/"):
        assert visit(client, host, path=path)["X-Parcelle-Page"] == "suspended"
        assert "X-Parcelle-Page" not in visit(client, "parcelle.test", path=path)


def test_behind_ports_the_site_answers_as_always(client: Client, db: None, settings: Settings) -> None:
    settings.INGRESS = "port"
    assert visit(client, "nobody.apps.test").status_code == 400


def test_plain_http_on_a_known_host_is_sent_to_https(client: Client, instance: Instance) -> None:
    host = put(instance, RouteState.LIVE)
    answer = visit(client, host, path="/a?b=c", **{"X-Forwarded-Proto": "http"})
    assert (answer.status_code, answer["Location"]) == (308, f"https://{host}/a?b=c")
    assert visit(client, "nobody.apps.test", **{"X-Forwarded-Proto": "http"}).status_code == 404


def test_every_method_is_answered(client: Client, instance: Instance) -> None:
    host = put(instance, RouteState.SUSPENDED)
    for method in ("post", "put", "delete", "options", "head"):
        assert visit(client, host, method).status_code == 503
    assert visit(client, host, "head").content == b""


# --- waking -----------------------------------------------------------------------------------------------------


def test_the_first_person_wakes_it_and_the_others_wait_with_them(client: Client, instance: Instance) -> None:
    host = put(instance, RouteState.SLEEPING)
    for _visitor in range(3):
        answer = visit(client, host)
        assert (answer.status_code, answer["X-Parcelle-Page"]) == (503, "waking")
        assert int(answer["Retry-After"]) <= 5
        assert '<meta http-equiv="refresh"' in text_of(answer)
    assert wakes(instance) == 1


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("head", "/", {}),
        ("post", "/", {}),
        ("get", "/", {"User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}),
        ("get", "/", {"User-Agent": "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)"}),
        ("get", "/", {"User-Agent": "curl/8.5.0"}),
        ("get", "/", {"User-Agent": ""}),
        ("get", "/", {"Accept": "application/json"}),
        ("get", "/", {"Sec-Purpose": "prefetch;prerender"}),
        ("get", "/", {"Sec-Fetch-Dest": "image"}),
        ("get", "/favicon.ico", {}),
        ("get", "/.well-known/acme-challenge/x", {}),
    ],
)
def test_robots_monitors_and_programs_do_not_wake(
    client: Client, instance: Instance, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = visit(client, put(instance, RouteState.SLEEPING), method, path, **headers)
    assert (answer.status_code, answer["X-Parcelle-Page"]) == (503, "asleep")
    assert wakes(instance) == 0


def test_a_wake_that_failed_is_said_and_not_repeated_at_once(client: Client, instance: Instance) -> None:
    host = put(instance, RouteState.SLEEPING)
    visit(client, host)
    now = timezone.now()
    Operation.objects.filter(instance=instance, kind="wake").update(state="failed", finished_at=now, created_at=now)
    answer = visit(client, host)
    assert (answer.status_code, answer["X-Parcelle-Page"]) == (503, "wake_failed")
    assert "http-equiv" not in text_of(answer)
    assert "mailto:" in text_of(answer)
    assert wakes(instance) == 1
    later = now - doorstep.PAUSE_AFTER_FAILURE * 2
    Operation.objects.filter(instance=instance, kind="wake").update(finished_at=later)
    assert visit(client, host)["X-Parcelle-Page"] == "waking"
    assert wakes(instance) == 2


def test_wakes_are_counted(client: Client, instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorstep, "WAKES_PER_HOUR", 2)
    host = put(instance, RouteState.SLEEPING)
    for turn in range(4):
        assert visit(client, host)["X-Parcelle-Page"] == ("waking" if turn < 2 else "wake_failed")
        Operation.objects.filter(instance=instance, kind="wake").update(state="succeeded", finished_at=NOW)
    assert wakes(instance) == 2


def test_who_waits_while_it_resumes_is_told_so(client: Client, instance: Instance) -> None:
    host = put(instance, RouteState.SUSPENDED, reason="operator")
    Operation.objects.create(instance=instance, kind="resume", created_at=timezone.now(), deadline_at=NOW)
    assert visit(client, host)["X-Parcelle-Page"] == "starting"


def test_a_page_that_cannot_be_made_is_still_an_answer(
    client: Client, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = put(instance, RouteState.SUSPENDED)

    def broken(*_arguments: object, **_named: object) -> None:
        raise RuntimeError("the database is away")

    monkeypatch.setattr(doorstep, "answer", broken)
    answer = visit(client, host)
    assert (answer.status_code, answer["Retry-After"]) == (503, "10")
    assert "database" not in text_of(answer)
