"""Instances behind a real Caddy: reached by name, held with a page, put to sleep and woken by a visitor."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from parcelle.core.models import Fact
from parcelle.core.states import IllegalTransition
from parcelle.domain.catalog.models import Plan
from parcelle.domain.provisioning import domains, routes, states
from parcelle.domain.provisioning.models import Domain, Instance, PublishedRoute
from parcelle.domain.provisioning.providers.base import Status
from parcelle.journeys import idle
from tests import edge, front_door, nameserver, needs
from tests.front_door import FrontDoor
from tests.nameserver import NameServer
from tests.system import System

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def caddy() -> Iterator[edge.Caddy]:
    needs.require("caddy")
    with edge.caddy() as running:
        yield running


@pytest.fixture(scope="module")
def opened(caddy: edge.Caddy, system: System) -> Iterator[FrontDoor]:
    with front_door.opened(system, caddy) as door:
        yield door


@pytest.fixture
def door(opened: FrontDoor) -> Iterator[FrontDoor]:
    yield opened
    opened.clear()


def host_of(instance: Instance) -> str:
    return routes.platform_host(instance)


def page(door: FrontDoor, instance: Instance, *, user_agent: str = edge.BROWSER) -> str:
    """The kind of the page that answers, or the application's own answer."""
    answer = door.caddy.get(host_of(instance), User_Agent=user_agent)
    return answer.headers.get("X-Parcelle-Page") or answer.body


APPLICATION = '{"application": "echo"}'


def test_a_new_instance_answers_by_its_name_over_https(door: FrontDoor) -> None:
    instance = door.live()
    assert instance.url == f"https://acme-fils.apps.test:{door.caddy.https_port}"
    answer = door.caddy.get(host_of(instance))
    assert (answer.status, answer.body) == (200, APPLICATION)
    plain = door.caddy.get(host_of(instance), "/x", secure=False)
    assert (plain.status, plain.headers["Location"]) == (308, f"{instance.url}/x")


def test_unknown_hosts_get_no_certificate_and_a_page(door: FrontDoor) -> None:
    with pytest.raises(edge.NoCertificate):
        door.caddy.get("nobody.apps.test")
    with pytest.raises(edge.NoCertificate):
        door.caddy.get("shop.example.com")
    assert door.caddy.get("nobody.apps.test", secure=False).status == 404


def test_suspended_resumed_archived(door: FrontDoor) -> None:
    instance = door.live()
    door.change(instance, "suspend", "trial_ended")
    answer = door.caddy.get(host_of(instance), Accept_Language="fr")
    assert answer.status == 402
    assert "L’essai gratuit est terminé" in answer.body
    door.change(instance, "resume")
    assert page(door, instance) == APPLICATION
    door.change(instance, "archive", "operator")
    assert not PublishedRoute.objects.filter(instance=instance).exists()
    # Its certificate is still there, so the connection opens, but nothing of it is left behind it.
    assert door.caddy.get(host_of(instance)).status == 404


def test_an_application_that_does_not_answer_is_not_a_blank_page(door: FrontDoor) -> None:
    instance = door.live()
    door.system.provider.stop(instance.ref)
    answer = door.caddy.get(host_of(instance))
    assert (answer.status, answer.headers["X-Parcelle-Page"]) == (503, "unavailable")


def test_caddy_restarted_gets_its_routes_back(door: FrontDoor) -> None:
    first, second = door.live("First"), door.live("Second")
    door.change(second, "suspend", "operator")
    door.caddy.restart()
    routes.keep(thorough=False, now=timezone.now())
    assert page(door, first) == APPLICATION
    assert page(door, second) == "suspended"


def test_a_route_published_to_a_caddy_that_forgot_everything_brings_the_others_back(door: FrontDoor) -> None:
    first = door.live("First")
    door.caddy.restart()
    second = door.live("Second")
    assert page(door, first) == page(door, second) == APPLICATION


def test_a_creation_waits_for_a_caddy_that_is_away(door: FrontDoor) -> None:
    instance = door.system.sign_up()
    door.caddy.stop()
    back = threading.Timer(2, door.caddy.start)
    back.start()
    door.work()
    back.join()
    instance.refresh_from_db()
    assert instance.state == states.LIVE
    assert page(door, instance) == APPLICATION


# --- sleep and wake ---------------------------------------------------------------------------------------------


def test_asleep_until_somebody_opens_it(door: FrontDoor) -> None:
    instance = door.live()
    door.change(instance, "sleep")
    assert instance.state == states.SLEEPING
    assert door.system.provider.observe(instance.ref).status is Status.STOPPED
    assert page(door, instance, user_agent="curl/8.5") == "asleep"
    assert door.caddy.get(host_of(instance), method="HEAD").status == 503
    assert not instance.operations.filter(kind="wake").exists()

    assert page(door, instance) == page(door, instance) == "waking"
    assert instance.operations.filter(kind="wake").count() == 1
    door.work()
    instance.refresh_from_db()
    assert instance.state == states.LIVE
    assert page(door, instance) == APPLICATION
    names = set(Fact.objects.filter(instance_id=instance.pk).values_list("name", flat=True))
    assert {"InstanceAsleep", "InstanceWoken"} <= names


def test_the_address_waits_before_the_application_stops(door: FrontDoor) -> None:
    instance = door.live()
    door.ask(instance, "sleep")
    operation = instance.operations.get(kind="sleep")
    assert [step.name for step in operation.steps.all()] == ["sleep_route", "drain", "stop"]
    door.work()


def test_a_wake_that_fails_ends_in_a_page_and_goes_back_to_sleep(
    door: FrontDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = door.live()
    door.change(instance, "sleep")
    program = door.system.home.path / "tenants" / instance.ref.hex[:16] / "program.conf"
    kept = program.read_text()
    program.write_text(kept.replace("app.py", "lost.py"))
    monkeypatch.setattr("parcelle.domain.provisioning.runner.BACK_OFF", (0.1,))
    monkeypatch.setattr("parcelle.domain.provisioning.workflows.common.HEALTH_SECONDS", 1.0)
    page(door, instance)
    door.work()
    instance.refresh_from_db()
    assert instance.state == states.SLEEPING
    assert page(door, instance) == page(door, instance) == "wake_failed"
    assert instance.operations.filter(kind="wake").count() == 1
    program.write_text(kept)


def test_suspending_a_sleeping_one_shows_the_right_page(door: FrontDoor) -> None:
    instance = door.live()
    door.change(instance, "sleep")
    door.change(instance, "suspend", "trial_ended")
    assert page(door, instance) == "suspended"


def test_idle_trials_are_put_to_sleep_and_visited_ones_are_not(door: FrontDoor) -> None:
    used, unused = door.live("Used"), door.live("Unused")
    Plan.objects.update(trial_sleep_minutes=60)
    later = timezone.now() + timedelta(minutes=61)
    assert idle.run(now=timezone.now()) == 0
    assert page(door, used) == APPLICATION
    Instance.objects.filter(pk=used.pk).update(last_seen_at=later)
    assert idle.run(now=later) == 1
    door.work()
    unused.refresh_from_db()
    used.refresh_from_db()
    assert (used.state, unused.state) == (states.LIVE, states.SLEEPING)


def test_a_plan_may_let_its_instances_be_awake_for_ever(door: FrontDoor) -> None:
    door.live()
    Plan.objects.update(trial_sleep_minutes=0)
    assert idle.run(now=timezone.now() + timedelta(days=3)) == 0
    Plan.objects.update(trial_sleep_minutes=60)


def test_who_is_being_answered_keeps_it_awake(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = door.live()
    monkeypatch.setattr("parcelle.domain.provisioning.workflows.sleep.DRAIN_SECONDS", 0.5)
    monkeypatch.setattr(routes, "is_visited", lambda _ref: True)
    operation = door.change(instance, "sleep")
    assert operation.state == states.FAILED
    assert instance.state == states.LIVE
    assert page(door, instance) == APPLICATION


# --- custom domains ---------------------------------------------------------------------------------------------


@pytest.fixture
def dns(door: FrontDoor, settings: Settings) -> Iterator[NameServer]:
    with nameserver.serving() as server:
        settings.DNS_RESOLVERS = [server.place]
        yield server


def set_up(domain: Domain, dns: NameServer) -> None:
    dns.records.clear()
    for record in domains.records(domain):
        dns.records[record.name, record.kind] = [record.value]
    domains.check(domain.pk, now=timezone.now())
    domain.refresh_from_db()


def test_a_custom_domain_goes_live_and_moves_to_another_customer(door: FrontDoor, dns: NameServer) -> None:
    first, second = door.live("First"), door.live("Second")
    domain = domains.add(first, "shop.example.com", actor="test", now=timezone.now())
    domains.check(domain.pk, now=timezone.now())
    with pytest.raises(edge.NoCertificate):
        door.caddy.get("shop.example.com")
    set_up(domain, dns)
    assert (domain.state, domain.problem) == (states.LIVE, "")
    assert door.caddy.get("shop.example.com").body == APPLICATION
    assert page(door, first) == APPLICATION

    door.change(first, "suspend", "trial_ended")
    assert door.caddy.get("shop.example.com").status == 402
    domains.remove(domain, actor="test", now=timezone.now())
    domains.check(domain.pk, now=timezone.now())
    assert door.caddy.get("shop.example.com").status == 404

    moved = domains.add(second, "shop.example.com", actor="test", now=timezone.now())
    set_up(moved, dns)
    assert moved.state == states.LIVE
    assert door.caddy.get("shop.example.com").body == APPLICATION


def test_archiving_lets_the_domains_go(door: FrontDoor, dns: NameServer) -> None:
    instance = door.live()
    domain = domains.add(instance, "shop.example.org", actor="test", now=timezone.now())
    set_up(domain, dns)
    door.change(instance, "archive", "operator")
    domain.refresh_from_db()
    assert domain.state == states.REMOVED
    assert door.caddy.get("shop.example.org").status == 404


def test_maintenance_is_said_while_the_application_runs(door: FrontDoor) -> None:
    instance = door.live()
    routes.begin_maintenance(instance, note="De retour à 14 h.", actor="test", now=timezone.now())
    answer = door.caddy.get(host_of(instance))
    assert (answer.status, answer.headers["X-Parcelle-Page"]) == (503, "maintenance")
    assert "De retour à 14 h." in answer.body
    assert idle.run(now=timezone.now() + timedelta(days=1)) == 0
    routes.end_maintenance(instance, actor="test", now=timezone.now())
    assert page(door, instance) == APPLICATION
    with pytest.raises(IllegalTransition):
        routes.end_maintenance(instance, actor="test", now=timezone.now())
