"""What every ingress promises (`ingress/base.py`), held to by each one in the registry.

Caddy is real. Traefik is a model of the few rules that our configuration uses; `test_traefik.py` holds what we
say to its published schema.
"""

from __future__ import annotations

import http.server
import json
import re
import socket
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

import pytest
from pytest_django import Settings

from parcelle.domain.provisioning.errors import RouteRefused, TryAgain
from parcelle.domain.provisioning.ingress import INGRESSES, Ingress, Page, Route, RouteState, port
from parcelle.domain.provisioning.ingress.caddy import CaddyIngress
from parcelle.domain.provisioning.ingress.page import Wording
from parcelle.domain.provisioning.ingress.port import PortIngress
from parcelle.domain.provisioning.ingress.traefik import TraefikIngress
from tests import edge, needs
from tests.loopback import free_port
from tests.system import System

pytestmark = pytest.mark.slow
HELD = (RouteState.SUSPENDED, RouteState.SLEEPING, RouteState.MAINTENANCE)
PAGE = Page(
    "suspended",
    503,
    1800,
    {
        "fr": Wording("<!doctype html><title>Suspendu</title><p>« Que faire ? »", "Suspendu\n"),
        "en": Wording("<!doctype html><title>Suspended</title><p>What now?", "Suspended\n"),
    },
)


@contextmanager
def serving(says: str, at: int = 0) -> Iterator[str]:
    """Something that listens like an application, or like the site; it answers with its name and the host asked."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/edge/tls-ask"):
                known = self.path.partition("domain=")[2] in SITE.certificates
                self.send_response(200 if known else 404)
                self.end_headers()
                return
            body = f"{says} {self.headers['Host'].partition(':')[0]}".encode()
            self.send_response(503 if says == "page" else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", at), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Site:
    """What the stand-in for the site knows: for whom there may be certificates."""

    certificates: set[str] = field(default_factory=set)


SITE = Site()


class Front(Protocol):
    """An ingress with whatever stands in front of it, as a visitor meets it."""

    @property
    def ingress(self) -> Ingress: ...

    def route(self, name: str = "acme") -> Route: ...

    def visit(self, route: Route) -> str | None:
        """The name of who answered, None when nobody does."""


@dataclass
class PortFront:
    ingress: PortIngress

    def route(self, name: str = "acme") -> Route:
        there = free_port()
        return Route(
            ref=uuid.uuid4(), slug=name, port=there, upstream=f"127.0.0.1:{there}", state=RouteState.LIVE, page=PAGE
        )

    def visit(self, route: Route) -> str | None:
        try:
            status, _headers, body = ask(f"http://127.0.0.1:{route.port}")
        except OSError:
            return None
        return "page" if status == 503 else body.split()[0]


@dataclass
class CaddyFront:
    ingress: CaddyIngress
    caddy: edge.Caddy

    def route(self, name: str = "acme") -> Route:
        host = f"{name}-{uuid.uuid4().hex[:6]}.apps.test"
        SITE.certificates.add(host)
        return Route(
            ref=uuid.uuid4(), slug=name, upstream=f"127.0.0.1:{free_port()}", hosts=(host,), state=RouteState.LIVE
        )

    def visit(self, route: Route) -> str | None:
        body = self.caddy.get(route.hosts[0]).body
        assert not body or body.endswith(route.hosts[0])
        return body.split()[0] if body else None


@dataclass
class TraefikFront:
    """The model: the router whose rule matches, with the highest priority; a longer rule has a higher one."""

    ingress: TraefikIngress
    published: dict[uuid.UUID, Route] = field(default_factory=dict)

    def route(self, name: str = "acme") -> Route:
        host = f"{name}-{uuid.uuid4().hex[:6]}.apps.test"
        return Route(
            ref=uuid.uuid4(), slug=name, upstream=f"127.0.0.1:{free_port()}", hosts=(host,), state=RouteState.LIVE
        )

    def visit(self, route: Route) -> str | None:
        told = json.loads(self.ingress.configuration(self.published.values()))["http"]
        matching = [router for router in told["routers"].values() if _matches(router["rule"], route.hosts[0])]
        chosen = max(matching, key=lambda router: router.get("priority", len(router["rule"])))
        url = told["services"][chosen["service"]]["loadBalancer"]["servers"][0]["url"]
        request = urllib.request.Request(url, headers={"Host": route.hosts[0]})
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return str(response.read().decode().split()[0])
        except urllib.error.HTTPError as error:
            return error.read().decode().split()[0]
        except OSError:
            return None


def _matches(rule: str, host: str) -> bool:
    kind, pattern = re.fullmatch(r"(Host|HostRegexp)\(`(.*)`\)", rule).groups()  # type: ignore[union-attr]
    return host == pattern if kind == "Host" else re.search(pattern, host) is not None


@pytest.fixture(scope="module")
def running_caddy() -> Iterator[edge.Caddy]:
    needs.require("caddy")
    with edge.caddy() as running:
        yield running


@pytest.fixture
def site() -> Iterator[str]:
    SITE.certificates.clear()
    with serving("page") as address:
        yield address


def start(name: str, request: pytest.FixtureRequest, settings: Settings, site: str) -> Front:
    settings.APPS_DOMAIN, settings.SITE_ADDRESS = "apps.test", site
    if name == "caddy":
        caddy: edge.Caddy = request.getfixturevalue("running_caddy")
        for key, value in caddy.settings(site).items():
            setattr(settings, key, value)
        front = CaddyFront(CaddyIngress.open(), caddy)
        front.ingress.keep(list, thorough=True)
        return front
    if name == "traefik":
        return TraefikFront(TraefikIngress.open())
    request.getfixturevalue("system")
    return PortFront(PortIngress.open())


@pytest.fixture(params=sorted(INGRESSES))
def front(request: pytest.FixtureRequest, settings: Settings, site: str) -> Front:
    return start(request.param, request, settings, site)


@pytest.fixture
def caddy_front(request: pytest.FixtureRequest, settings: Settings, site: str) -> CaddyFront:
    front = start("caddy", request, settings, site)
    assert isinstance(front, CaddyFront)
    return front


def publish(front: Front, route: Route) -> None:
    front.ingress.publish(route)
    if isinstance(front, TraefikFront):
        front.published[route.ref] = route


def withdraw(front: Front, route: Route) -> None:
    front.ingress.withdraw(route)
    if isinstance(front, TraefikFront):
        front.published.pop(route.ref, None)


@contextmanager
def application(route: Route, says: str = "application") -> Iterator[None]:
    with serving(says, int(route.upstream.rpartition(":")[2])):
        yield


def ask(url: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    request = urllib.request.Request(url, method=method, headers={"Accept": "text/html", **headers})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, dict(response.headers), response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode()


# --- all of them ------------------------------------------------------------------------------------------------


def test_a_live_route_leads_to_the_application(front: Front) -> None:
    route = front.route()
    with application(route):
        publish(front, route)
        publish(front, route)
        assert front.visit(route) == "application"
    address = front.ingress.address(route)
    assert address.startswith("http")
    assert not address.endswith("/")


@pytest.mark.parametrize("state", HELD)
def test_a_route_that_is_not_live_leads_to_its_page(front: Front, state: RouteState) -> None:
    route = front.route()
    publish(front, replace(route, state=state))
    publish(front, replace(route, state=state))
    assert front.visit(route) == "page"


def test_there_and_back(front: Front) -> None:
    route = front.route()
    for _turn in range(2):
        publish(front, replace(route, state=RouteState.SUSPENDED))
        assert front.visit(route) == "page"
        front.ingress.make_way(route)
        with application(route):
            publish(front, route)
            # While Caddy changes over, its old configuration may still take a visitor or two.
            _until_visit(front, route, "application")


def _until_visit(front: Front, route: Route, answer: str) -> None:
    give_up = time.monotonic() + 10
    while (seen := front.visit(route)) != answer:
        assert time.monotonic() < give_up, seen
        time.sleep(0.05)


def test_another_upstream_replaces_the_first(front: Front) -> None:
    route = front.route()
    publish(front, route)
    moved = replace(route, upstream=f"127.0.0.1:{free_port()}")
    moved = replace(moved, port=int(moved.upstream.rpartition(":")[2])) if route.port else moved
    publish(front, moved)
    with application(moved, "second"):
        assert front.visit(moved) == "second"


def test_withdrawn_means_that_nothing_of_it_answers(front: Front) -> None:
    route = front.route()
    publish(front, replace(route, state=RouteState.SUSPENDED))
    withdraw(front, route)
    withdraw(front, route)
    with application(route):
        # The port is the application's own again; a host name leads to the page for unknown ones.
        assert front.visit(route) == ("application" if route.port else "page")


def test_what_was_never_published_can_be_withdrawn(front: Front) -> None:
    withdraw(front, front.route())
    withdraw(front, replace(front.route(), port=None))


def test_routes_do_not_disturb_each_other(front: Front) -> None:
    first, second = front.route("first"), front.route("second")
    publish(front, first)
    publish(front, replace(second, state=RouteState.SUSPENDED))
    with application(first):
        assert front.visit(first) == "application"
        withdraw(front, second)
        assert front.visit(first) == "application"


def test_a_bad_route_is_refused_while_the_others_stay(front: Front) -> None:
    if "hosts" not in front.ingress.capabilities:
        pytest.skip("its addresses are numbers")
    good = front.route()
    publish(front, good)
    for bad in (
        replace(front.route(), hosts=("not a host",)),
        replace(front.route(), hosts=("a`) || Host(`b.test",)),
        replace(front.route(), hosts=()),
        replace(front.route(), upstream="nowhere"),
    ):
        with pytest.raises(RouteRefused):
            front.ingress.publish(bad)
        if isinstance(front, TraefikFront):
            front.published[bad.ref] = bad
    with application(good):
        assert front.visit(good) == "application"


def test_a_customers_domain_moves_to_another_customer(front: Front) -> None:
    if "hosts" not in front.ingress.capabilities:
        pytest.skip("its addresses are numbers")
    shop = f"shop-{uuid.uuid4().hex[:6]}.example.com"
    SITE.certificates.add(shop)
    first, second = front.route("first"), front.route("second")
    publish(front, replace(first, hosts=(*first.hosts, shop)))
    at_shop = replace(first, hosts=(shop,))
    with application(first, "first"), application(second, "second"):
        assert front.visit(at_shop) == "first"
        publish(front, first)
        assert front.visit(at_shop) == "page"
        publish(front, replace(second, hosts=(*second.hosts, shop)))
        assert front.visit(at_shop) == "second"
        assert front.visit(first) == "first"


# --- ports ------------------------------------------------------------------------------------------------------


@pytest.fixture
def port_front(system: System) -> PortFront:
    return PortFront(PortIngress.open())


def held(route: Route, page: Page = PAGE) -> Route:
    return replace(route, state=RouteState.SUSPENDED, page=page)


@pytest.fixture
def held_route(port_front: PortFront) -> Iterator[Route]:
    route = port_front.route()
    port_front.ingress.publish(held(route))
    yield route
    port_front.ingress.withdraw(route)


@pytest.mark.parametrize(
    ("language", "words"), [("fr-CA,en;q=0.5", "« Que faire ? »"), ("en-GB", "What now?"), ("de", "« Que faire ? »")]
)
def test_the_page_on_a_port_says_why_and_when_to_come_back(held_route: Route, language: str, words: str) -> None:
    url = f"http://127.0.0.1:{held_route.port}"
    for path in ("/", "/anything?at=all"):
        status, headers, body = ask(url + path, **{"Accept-Language": language})
        assert status == 503
        assert words in body
        assert int(headers["Retry-After"]) > 0
        assert headers["Cache-Control"] == "no-store"
        assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert ask(url, "HEAD")[::2] == (503, "")
    assert ask(url, "POST")[0] == 503
    status, headers, body = ask(url, Accept="application/json")
    assert (status, body, headers["Content-Type"]) == (503, "Suspendu\n", "text/plain; charset=utf-8")


def test_another_page_replaces_the_first(port_front: PortFront, held_route: Route) -> None:
    another = replace(PAGE, status=402, words={"fr": Wording("<p>Another", "another")})
    port_front.ingress.publish(held(held_route, another))
    status, _headers, body = ask(f"http://127.0.0.1:{held_route.port}")
    assert (status, body) == (402, "<p>Another")


def test_many_slow_visitors_do_not_keep_the_page_from_others(held_route: Route) -> None:
    idle = [socket.create_connection(("127.0.0.1", held_route.port or 0)) for _number in range(50)]
    try:
        begun = time.monotonic()
        assert ask(f"http://127.0.0.1:{held_route.port}")[0] == 503
        assert time.monotonic() - begun < 2
    finally:
        for connection in idle:
            connection.close()


def test_an_application_on_another_machine_has_its_address_there(port_front: PortFront, held_route: Route) -> None:
    front = port_front.ingress
    elsewhere = replace(held_route, ref=uuid.uuid4(), upstream=f"10.99.0.7:{held_route.port}")
    assert front.address(elsewhere) == f"http://10.99.0.7:{held_route.port}"
    assert front.address(held_route) == f"http://localhost:{held_route.port}"
    # The same port of this machine belongs to somebody else, whose page stays whatever becomes of the other one.
    another = replace(PAGE, status=402)
    for change in (held(elsewhere, another), elsewhere):
        front.publish(change)
    front.make_way(elsewhere)
    front.withdraw(replace(elsewhere, upstream=""))
    assert ask(f"http://127.0.0.1:{held_route.port}")[0] == 503


def test_a_port_where_something_else_answers_is_not_called_held(
    port_front: PortFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port, "NOTICE_SECONDS", 0.5)
    route = port_front.route()
    with application(route), pytest.raises(TryAgain):
        port_front.ingress.publish(held(route))
    port_front.ingress.withdraw(route)


# --- Caddy ------------------------------------------------------------------------------------------------------


def snapshot(*routes: Route) -> Sequence[Route]:
    return routes


def test_unknown_hosts_get_no_certificate(caddy_front: CaddyFront) -> None:
    route = caddy_front.route()
    caddy_front.ingress.publish(route)
    with pytest.raises(edge.NoCertificate):
        caddy_front.caddy.get("somebody-elses.example.com")
    # Nor one that is not theirs by opening a connection for one host and asking for another.
    with application(route):
        answer = caddy_front.caddy.get(route.hosts[0], Host="somebody-elses.example.com")
    assert (answer.status, answer.body) == (421, "")


def test_caddy_gets_its_routes_back_after_a_restart(caddy_front: CaddyFront) -> None:
    first, second = caddy_front.route("first"), replace(caddy_front.route("second"), state=RouteState.SUSPENDED)
    ingress = caddy_front.ingress
    ingress.publish(first)
    ingress.publish(second)
    caddy_front.caddy.restart()
    assert caddy_front.caddy.ids() == []
    assert ingress.keep(lambda: snapshot(first, second), thorough=False) > 0
    with application(first):
        assert caddy_front.visit(first) == "application"
        assert caddy_front.visit(second) == "page"
    assert ingress.keep(lambda: snapshot(first, second), thorough=False) == 0
    assert ingress.keep(lambda: snapshot(first, second), thorough=True) == 0


def test_what_somebody_changed_by_hand_is_repaired(caddy_front: CaddyFront) -> None:
    route, gone = caddy_front.route(), caddy_front.route()
    caddy_front.ingress.publish(route)
    caddy_front.ingress.publish(gone)
    admin = caddy_front.ingress.admin
    name = f"parcelle-route-{route.ref.hex}"
    assert admin.request("PATCH", f"/id/{name}/handle/0/upstreams", [{"dial": "127.0.0.1:1"}]).status == 200
    assert caddy_front.ingress.keep(lambda: snapshot(route), thorough=True) > 0
    assert name in caddy_front.caddy.ids()
    assert f"parcelle-route-{gone.ref.hex}" not in caddy_front.caddy.ids()
    with application(route):
        assert caddy_front.visit(route) == "application"


def test_what_else_caddy_serves_is_left_alone(caddy_front: CaddyFront) -> None:
    other = {"listen": [f"127.0.0.1:{free_port()}"], "routes": [{"handle": [{"handler": "static_response"}]}]}
    admin = caddy_front.ingress.admin
    assert admin.request("PUT", "/config/apps/http/servers/others", other).status == 200
    caddy_front.ingress.publish(caddy_front.route())
    assert caddy_front.ingress.keep(list, thorough=True) > 0
    assert admin.request("GET", "/config/apps/http/servers/others").body == other
    admin.request("DELETE", "/config/apps/http/servers/others")


def test_writers_at_once_do_not_undo_each_other(caddy_front: CaddyFront) -> None:
    routes = [caddy_front.route(f"n{number}") for number in range(12)]
    threads = [threading.Thread(target=CaddyIngress.open().publish, args=(route,)) for route in routes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = sorted(f"parcelle-route-{route.ref.hex}" for route in routes)
    assert [name for name in caddy_front.caddy.ids() if name.startswith("parcelle-route-")] == expected


def test_a_stale_etag_is_refused_by_caddy_itself(caddy_front: CaddyFront) -> None:
    """The control: without it the writers above would have lost each other's routes."""
    admin = caddy_front.ingress.admin
    routes = "/config/apps/http/servers/parcelle/routes"
    before = admin.request("GET", routes)
    assert before.etag
    caddy_front.ingress.publish(caddy_front.route())
    assert admin.request("PATCH", routes, before.body, if_match=before.etag).status == 412
    assert admin.request("PATCH", routes, before.body).status == 200


def test_equal_routes_make_an_equal_configuration(caddy_front: CaddyFront) -> None:
    routes = [caddy_front.route(f"n{number}") for number in range(5)]
    caddy_front.ingress.keep(lambda: routes, thorough=True)
    first = caddy_front.ingress.admin.request("GET", "/config/").etag
    caddy_front.ingress.keep(list, thorough=True)
    for route in reversed(routes):
        caddy_front.ingress.publish(route)
    assert caddy_front.ingress.admin.request("GET", "/config/").etag == first


def test_visits_of_people_are_known(caddy_front: CaddyFront) -> None:
    seen, robots, nobody = caddy_front.route("seen"), caddy_front.route("robots"), caddy_front.route("nobody")
    for route in (seen, robots, nobody):
        caddy_front.ingress.publish(route)
    caddy_front.ingress.visits()
    with application(seen), application(robots):
        caddy_front.visit(seen)
        caddy_front.caddy.get(robots.hosts[0], User_Agent="UptimeRobot/2.0")
        caddy_front.caddy.get(robots.hosts[0], method="HEAD")
    found: dict[str, datetime] = {}
    for _attempt in range(50):
        found |= caddy_front.ingress.visits()
        if found:
            break
        time.sleep(0.1)
    assert list(found) == [seen.hosts[0]]
    assert "User-Agent" in caddy_front.caddy.access_log.read_text()
    assert not re.search(r'"(uri|remote_ip|Cookie)"', caddy_front.caddy.access_log.read_text())


@pytest.mark.parametrize("address", ["http://192.0.2.1:2019", "caddy.example.com:2019", "http://0.0.0.0:2019"])
def test_the_admin_api_is_only_spoken_to_on_this_machine(address: str) -> None:
    with pytest.raises(ValueError, match="no password"):
        CaddyIngress(admin=address, edge=CaddyIngress.open().edge)
