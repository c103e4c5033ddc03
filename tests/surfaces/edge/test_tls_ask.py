"""`/edge/tls-ask`: for whom the proxy may ask for a certificate."""

from __future__ import annotations

import time

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from parcelle.domain.provisioning import routes
from parcelle.domain.provisioning.ingress import RouteState
from parcelle.domain.provisioning.models import Instance, PublishedRoute, RouteHost
from tests import people
from tests.people import NOW, Cast


@pytest.fixture
def instance(cast: Cast, settings: Settings) -> Instance:
    settings.INGRESS, settings.APPS_DOMAIN, settings.PUBLIC_URL = "caddy", "apps.test", "https://parcelle.test"
    instance = people.live_instance(cast.organization, cast.plan)
    routes.record(instance, RouteState.LIVE, now=NOW, endpoint="http://127.0.0.1:9")
    return instance


def allowed(client: Client, host: str) -> bool:
    status = client.get("/edge/tls-ask", {"domain": host}).status_code
    assert status in {200, 404}
    return status == 200


def test_only_hosts_that_lead_somewhere(client: Client, instance: Instance) -> None:
    host = routes.platform_host(instance)
    assert allowed(client, host)
    assert allowed(client, host.upper())
    assert allowed(client, "parcelle.test")
    for other in ("nobody.apps.test", f"x.{host}", "apps.test", "localhost", "127.0.0.1", "", "a" * 5000, "é\x00"):
        assert not allowed(client, other)


def test_a_suspended_one_keeps_its_certificate_for_its_page(client: Client, instance: Instance) -> None:
    routes.record(instance, RouteState.SUSPENDED, now=NOW)
    assert allowed(client, routes.platform_host(instance))


def test_a_domain_only_while_it_is_verified(client: Client, instance: Instance) -> None:
    host = RouteHost.objects.create(host="shop.example.com", route_id=instance.ref, custom=True)
    assert allowed(client, host.host)
    RouteHost.objects.update(certificate=False)
    assert not allowed(client, host.host)


def test_nothing_is_left_when_the_route_is_gone(client: Client, instance: Instance) -> None:
    PublishedRoute.objects.all().delete()
    assert not allowed(client, routes.platform_host(instance))


def test_one_look_into_an_index(
    client: Client, instance: Instance, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    RouteHost.objects.bulk_create(
        RouteHost(host=f"n{number}.example.com", route_id=instance.ref, custom=True) for number in range(20_000)
    )
    with django_assert_num_queries(1) as asked:
        allowed(client, "n777.example.com")
    sql = asked.captured_queries[0]["sql"]
    assert "JOIN" not in sql
    begun = time.perf_counter()
    for number in range(50):
        allowed(client, f"n{number}.example.com")
    print(f"\ntls-ask among 20,000 hosts: {(time.perf_counter() - begun) / 50 * 1000:.1f} ms each")
