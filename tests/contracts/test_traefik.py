"""What Traefik is told: valid by its published schema, the same bytes for the same routes, never nothing."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from django.db import DatabaseError
from django.test import Client
from pytest_django import Settings

from parcelle.domain.provisioning import routes
from parcelle.domain.provisioning.ingress import Route, RouteState
from parcelle.domain.provisioning.ingress.traefik import TraefikIngress
from parcelle.domain.provisioning.models import Instance
from tests import needs, people
from tests.people import NOW, Cast

TOKEN = "t0ken-of-traefik"


def ingress(file: Path | None = None) -> TraefikIngress:
    return TraefikIngress(site="127.0.0.1:8000", apps_domain="apps.example.net", https_port=443, file=file)


def route(number: int, state: RouteState = RouteState.LIVE, *hosts: str) -> Route:
    return Route(
        ref=uuid.UUID(int=number),
        slug=f"n{number}",
        state=state,
        upstream=f"10.201.4.{number}:8080",
        hosts=hosts or (f"n{number}.apps.example.net",),
        health_path="/healthz",
    )


def schema() -> Any:
    needs.require("specs")
    return json.loads((needs.specs() / "traefik-v3-dynamic-file-provider.schema.json").read_text())


@pytest.mark.parametrize(
    "published",
    [
        [],
        [route(1)],
        [route(n, state) for n, state in enumerate(RouteState, start=1)],
        [route(1, RouteState.LIVE, "n1.apps.example.net", "shop.acme.com")],
    ],
)
def test_it_is_valid_by_traefiks_schema(published: list[Route]) -> None:
    jsonschema_rs.validate(schema(), json.loads(ingress().configuration(published)))


def test_the_schema_would_notice_a_mistake() -> None:
    told = json.loads(ingress().configuration([route(1)]))
    told["http"]["routers"]["pages"]["service"] = 7
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(schema(), told)


def test_no_key_is_ever_empty() -> None:
    # Traefik refuses empty maps although its schema does not.
    told = json.loads(ingress().configuration([]))["http"]
    assert list(told["routers"]) == list(told["services"]) == ["pages"]


def test_equal_routes_give_equal_bytes() -> None:
    published = [route(n) for n in range(1, 9)]
    assert ingress().configuration(published) == ingress().configuration(list(reversed(published)))


def test_one_bad_route_is_left_out_and_the_others_stay() -> None:
    told = json.loads(ingress().configuration([route(1), route(2, RouteState.LIVE, "a`) || Host(`b.test")]))["http"]
    assert sorted(told["routers"]) == ["inst-00000000000000000000000000000001", "pages"]


def test_the_wildcard_is_for_our_hosts_and_each_domain_has_its_own_certificate() -> None:
    told = json.loads(ingress().configuration([route(1, RouteState.LIVE, "n1.apps.example.net", "shop.acme.com")]))
    by_rule = {router["rule"]: router["tls"] for router in told["http"]["routers"].values()}
    assert by_rule["Host(`n1.apps.example.net`)"]["domains"] == [
        {"main": "apps.example.net", "sans": ["*.apps.example.net"]}
    ]
    assert by_rule["Host(`shop.acme.com`)"] == {"certResolver": "http01"}


def test_a_file_is_kept_for_when_the_site_is_away(tmp_path: Path) -> None:
    file = tmp_path / "routes.json"
    keeper = ingress(file)
    assert keeper.keep(lambda: [route(1)], thorough=True) == 1
    assert file.read_text() == keeper.configuration([route(1)])
    assert keeper.keep(lambda: [route(1)], thorough=True) == 0


# --- the endpoint -----------------------------------------------------------------------------------------------


@pytest.fixture
def published(cast: Cast, settings: Settings) -> Instance:
    settings.INGRESS, settings.APPS_DOMAIN, settings.TRAEFIK_TOKEN = "traefik", "apps.example.net", TOKEN
    instance = people.live_instance(cast.organization, cast.plan)
    routes.record(instance, RouteState.LIVE, now=NOW, endpoint="http://10.201.4.2:8080")
    return instance


def fetch(client: Client, token: str = TOKEN) -> Any:
    return client.get("/edge/traefik", headers={"Authorization": f"Bearer {token}"})


def test_traefik_fetches_the_committed_routes(client: Client, published: Instance) -> None:
    answer = fetch(client)
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    rules = {router["rule"] for router in answer.json()["http"]["routers"].values()}
    assert f"Host(`{published.slug}.apps.example.net`)" in rules
    assert fetch(client).content == answer.content


@pytest.mark.parametrize("token", ["", "wrong", TOKEN.upper()])
def test_nobody_else_does(client: Client, published: Instance, token: str) -> None:
    assert fetch(client, token).status_code == 401


def test_without_a_token_set_nobody_does(client: Client, published: Instance, settings: Settings) -> None:
    settings.TRAEFIK_TOKEN = ""
    assert fetch(client, "").status_code == 401


def test_an_error_of_ours_is_a_503_and_never_an_empty_answer(
    client: Client, published: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> list[Route]:
        raise DatabaseError("gone")

    monkeypatch.setattr(routes, "snapshot", away)
    answer = fetch(client)
    assert answer.status_code == 503
    assert b"routers" not in answer.content
