"""`/instances/<id>/domains`: the records to create, what is wrong with them, and who may change what."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from parcelle.domain.provisioning import domains, routes
from parcelle.domain.provisioning.ingress import RouteState
from parcelle.domain.provisioning.models import Domain, DomainProof, Instance
from parcelle.surfaces.portal.pages import domains as page_of_domains
from tests import people
from tests.people import NOW, Cast


@pytest.fixture(autouse=True)
def by_name(settings: Settings) -> None:
    settings.INGRESS, settings.APPS_DOMAIN = "caddy", "apps.test"


@pytest.fixture
def instance(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Instance:
    monkeypatch.setattr(routes, "push", lambda _ref: None)
    instance = people.live_instance(cast.organization, cast.plan)
    routes.record(instance, RouteState.LIVE, now=NOW, endpoint="http://127.0.0.1:9")
    Instance.objects.filter(pk=instance.pk).update(url=f"https://{routes.platform_host(instance)}")
    return instance


@pytest.fixture
def domain(instance: Instance) -> Domain:
    return domains.add(instance, "shop.example.com", actor="test", now=NOW)


def text_of(response: Any) -> str:
    return unescape(response.content.decode())


def address(instance: Instance, *rest: object) -> str:
    return "/".join(map(str, ("", "instances", instance.pk, "domains", *rest)))


def test_the_dashboard_leads_there(client: Client, cast: Cast, instance: Instance, settings: Settings) -> None:
    client.force_login(cast.owner)
    assert address(instance) in text_of(client.get("/dashboard"))
    settings.INGRESS = "port"
    assert address(instance) not in text_of(client.get("/dashboard"))
    assert client.get(address(instance)).status_code == 404


def test_the_owner_adds_one_and_sees_the_exact_records(client: Client, cast: Cast, instance: Instance) -> None:
    client.force_login(cast.owner)
    answer = client.post(address(instance), {"host": "Épicerie.example"}, follow=True)
    page = text_of(answer)
    token = DomainProof.objects.get().token
    for shown in (
        "épicerie.example",
        "xn--picerie-9xa.example",
        routes.platform_host(instance),
        "_parcelle.xn--picerie-9xa.example",
        f"parcelle-verification={token}",
    ):
        assert shown in page
    assert page.count("data-copy=") == 4


@pytest.mark.parametrize(("typed", "sentence"), [("nonsense", "pas un nom de domaine"), ("x.apps.test", "à nous")])
def test_a_refusal_says_what_to_do_and_keeps_what_was_typed(
    client: Client, cast: Cast, instance: Instance, typed: str, sentence: str
) -> None:
    client.force_login(cast.owner)
    answer = client.post(address(instance), {"host": typed})
    assert answer.status_code == 422
    assert sentence in text_of(answer)
    assert f'value="{typed}"' in text_of(answer)


@pytest.mark.parametrize("problem", domains.PROBLEMS)
def test_every_problem_says_what_to_do(client: Client, cast: Cast, domain: Domain, problem: str) -> None:
    Domain.objects.update(problem=problem, seen="203.0.113.9")
    client.force_login(cast.owner)
    page = text_of(client.get(address(domain.instance)))
    what, advice = page_of_domains.PROBLEMS[problem]
    assert str(what) in page
    assert str(advice) in page


def test_every_refusal_has_its_sentence() -> None:
    assert set(page_of_domains.REFUSALS) == set(domains.REFUSALS)
    assert set(page_of_domains.PROBLEMS) == set(domains.PROBLEMS)


def test_removing_asks_first(client: Client, cast: Cast, domain: Domain) -> None:
    client.force_login(cast.owner)
    place = address(domain.instance, domain.pk, "remove")
    assert "shop.example.com" in text_of(client.get(place))
    domain.refresh_from_db()
    assert not domain.leaving
    assert "est en cours de retrait" in text_of(client.post(place, follow=True))
    domain.refresh_from_db()
    assert domain.leaving


def test_checking_now_is_limited(client: Client, cast: Cast, domain: Domain, settings: Settings) -> None:
    settings.RATE_LIMITS = True
    client.force_login(cast.owner)
    place = address(domain.instance, domain.pk, "check")
    for _turn in range(page_of_domains._CHECKS_PER_MINUTE):
        assert "maintenant" in text_of(client.post(place, follow=True))
    assert "patienter une minute" in text_of(client.post(place, follow=True))


def test_members_look_and_do_not_touch(client: Client, cast: Cast, domain: Domain) -> None:
    client.force_login(cast.viewer)
    page = text_of(client.get(address(domain.instance)))
    assert "shop.example.com" in page
    assert "<button class=" not in page
    for rest in ((), (domain.pk, "check"), (domain.pk, "remove")):
        assert client.post(address(domain.instance, *rest), {"host": "a.example.com"}).status_code == 403


def test_strangers_find_nothing(client: Client, cast: Cast, domain: Domain) -> None:
    client.force_login(cast.stranger)
    for method, rest in (("get", ()), ("post", ()), ("post", (domain.pk, "check")), ("post", (domain.pk, "remove"))):
        assert getattr(client, method)(address(domain.instance, *rest)).status_code == 404
    others = people.live_instance(cast.other_organization, cast.plan)
    # Nor by way of an instance of their own.
    assert client.post(address(others, domain.pk, "remove")).status_code == 404
    client.logout()
    assert client.get(address(domain.instance)).status_code == 302


def test_the_number_of_queries_does_not_grow_much(client: Client, cast: Cast, instance: Instance) -> None:
    for number in range(10):
        domains.add(instance, f"n{number}.example.com", actor="test", now=NOW)
    client.force_login(cast.owner)
    assert client.get(address(instance)).status_code == 200
