"""Routes of applications that their target moves by itself."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from parcelle.domain.provisioning import routes, states
from parcelle.domain.provisioning.errors import TargetUnreachable
from parcelle.domain.provisioning.ingress import RouteState
from parcelle.domain.provisioning.models import Instance, Operation, PublishedRoute, Target
from parcelle.domain.provisioning.providers import PROVIDERS
from parcelle.domain.provisioning.providers.base import Spec
from parcelle.domain.provisioning.providers.null import NullProvider
from tests import people
from tests.people import NOW, Cast


class Moving(NullProvider):
    capabilities = frozenset({"application", "moves"})

    def __init__(self) -> None:
        self.where = "http://192.0.2.1:8080"
        self.silent = False

    def endpoint(self, spec: Spec) -> str:
        if self.silent:
            raise TargetUnreachable("it does not answer")
        return self.where


@pytest.fixture
def moving(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Moving:
    settings.INGRESS, settings.APPS_DOMAIN = "caddy", "apps.test"
    provider = Moving()
    monkeypatch.setitem(PROVIDERS, "moving", lambda _connection: provider)
    monkeypatch.setattr(routes, "push", lambda _ref: None)
    return provider


@pytest.fixture
def instance(cast: Cast, moving: Moving) -> Instance:
    made = people.live_instance(cast.organization, cast.plan)
    Target.objects.filter(pk=made.target_id).update(provider="moving")
    routes.record(made, RouteState.LIVE, now=NOW, endpoint=moving.where)
    return made


def upstream(instance: Instance) -> str:
    return PublishedRoute.objects.get(instance=instance).upstream


def test_a_route_follows_what_a_target_has_moved(instance: Instance, moving: Moving) -> None:
    assert routes.follow(now=NOW) == 0
    moving.where = "http://192.0.2.2:8081"
    assert routes.follow(now=NOW) == 1
    assert upstream(instance) == "192.0.2.2:8081"
    assert routes.follow(now=NOW) == 0


def test_maintenance_stays_maintenance(instance: Instance, moving: Moving) -> None:
    routes.record(instance, RouteState.MAINTENANCE, now=NOW, note="Back at noon")
    moving.where = "http://192.0.2.2:8081"
    assert routes.follow(now=NOW) == 1
    route = PublishedRoute.objects.get(instance=instance)
    assert (route.state, route.note, route.upstream) == (states.MAINTENANCE, "Back at noon", "192.0.2.2:8081")


def test_what_an_operation_works_on_and_what_nobody_can_ask_stays(instance: Instance, moving: Moving) -> None:
    moving.where, moving.silent = "http://192.0.2.2:8081", True
    assert routes.follow(now=NOW) == 0
    moving.silent = False
    Operation.objects.filter(instance=instance).update(state=states.RUNNING, finished_at=None)
    assert Operation.objects.filter(instance=instance).exists()
    assert routes.follow(now=NOW) == 0
    assert upstream(instance) == "192.0.2.1:8080"


def test_a_target_that_moves_nothing_is_not_asked(instance: Instance, moving: Moving) -> None:
    moving.capabilities = frozenset({"application"})  # type: ignore[misc]
    moving.where = "http://192.0.2.2:8081"
    assert routes.follow(now=NOW) == 0


@pytest.mark.parametrize(("port", "address"), [(443, "https://shop.example"), (8443, "https://shop.example:8443")])
def test_an_address_has_the_port_that_visitors_must_type(settings: Settings, port: int, address: str) -> None:
    settings.EDGE_HTTPS_PORT = port
    assert routes.address_of("shop.example") == address
