"""What Caddy is told: pure functions from routes to its JSON. Nothing here talks to anybody."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from parcelle.domain.provisioning.ingress.base import Route, RouteState

SERVER, PLAIN_SERVER, LOG = "parcelle", "parcelle-plain", "parcelle"
ACCESS = f"http.log.access.{LOG}"
ROUTE_PREFIX, SITE_ID, PAGES_ID, POLICY_ID = "parcelle-route-", "parcelle-site", "parcelle-pages", "parcelle-policy"
_UNANSWERED = "{http.error.status_code} >= 500"
# The site learns with it that an application did not answer.
ERROR_HEADER = "X-Parcelle-Edge-Error"


@dataclass(frozen=True, kw_only=True)
class Edge:
    """How the front door is set up. `site` is where the site listens, as "host:port"."""

    site: str
    # Host names of the site itself, if it is to be reached through this door too.
    site_hosts: tuple[str, ...] = ()
    bind: str = ""
    http_port: int = 80
    https_port: int = 443
    # "internal": certificates of Caddy's own authority; "acme": of a public one.
    tls: str = "acme"
    acme_email: str = ""
    acme_directory: str = ""
    access_log: str = ""


def route_id(ref: UUID) -> str:
    return ROUTE_PREFIX + ref.hex


def route(found: Route, edge: Edge) -> dict[str, Any]:
    """One instance: its application, or the site's page while the route is not live."""
    live = found.state is RouteState.LIVE
    return {
        "@id": route_id(found.ref),
        "match": [{"host": list(found.hosts)}],
        "handle": [_proxy(found.upstream) if live else _pages(edge)],
        "terminal": True,
    }


def routes(found: Iterable[Route], edge: Edge) -> list[dict[str, Any]]:
    """Every route in the one order they always have, then the site, then the page for unknown hosts."""
    listed = sorted((route(each, edge) for each in found), key=lambda each: str(each["@id"]))
    if edge.site_hosts:
        site = {"@id": SITE_ID, "match": [{"host": list(edge.site_hosts)}], "handle": [_proxy(edge.site)]}
        listed.append({**site, "terminal": True})
    return [*listed, {"@id": PAGES_ID, "handle": [_pages(edge)]}]


def whole(existing: dict[str, Any] | None, found: Iterable[Route], edge: Edge, *, permission: bool) -> dict[str, Any]:
    """Caddy's configuration with our part as it should be; whatever else is in it stays as it is.

    `permission`: the shape in which newer versions are told whom to ask before making a certificate.
    """
    config = copy.deepcopy(existing) or {}
    apps = config.setdefault("apps", {})
    http = apps.setdefault("http", {})
    http.setdefault("http_port", edge.http_port)
    http.setdefault("https_port", edge.https_port)
    servers = http.setdefault("servers", {})
    servers[SERVER] = _server(found, edge)
    servers[PLAIN_SERVER] = {
        "listen": [f"{edge.bind}:{edge.http_port}"],
        "automatic_https": {"disable": True},
        "routes": [{"handle": [_pages(edge)]}],
    }
    automation = apps.setdefault("tls", {}).setdefault("automation", {})
    automation["on_demand"] = _ask(edge, permission=permission)
    others = [each for each in automation.get("policies", []) if each.get("@id") != POLICY_ID]
    automation["policies"] = [*others, {"@id": POLICY_ID, "on_demand": True, "issuers": [_issuer(edge)]}]
    if edge.tls == "internal":
        authorities = apps.setdefault("pki", {}).setdefault("certificate_authorities", {})
        # Trusting it is the person's choice, not a side effect of starting.
        authorities.setdefault("local", {}).setdefault("install_trust", False)
    if edge.access_log:
        _add_log(config.setdefault("logging", {}).setdefault("logs", {}), edge)
    return config


def _server(found: Iterable[Route], edge: Edge) -> dict[str, Any]:
    made: dict[str, Any] = {
        "listen": [f"{edge.bind}:{edge.https_port}"],
        # Which certificates there are is decided by the question above alone, never by what a rule mentions.
        "automatic_https": {"disable": True},
        "tls_connection_policies": [{}],
        # Whoever opens a connection for one host does not get to another one's through it.
        "strict_sni_host": True,
        "routes": routes(found, edge),
        "errors": {"routes": [{"match": [{"expression": _UNANSWERED}], "handle": [_pages(edge, error=True)]}]},
    }
    if edge.access_log:
        made["logs"] = {"default_logger_name": LOG}
    return made


def _proxy(upstream: str) -> dict[str, Any]:
    return {"handler": "reverse_proxy", "upstreams": [{"dial": upstream}]}


def _pages(edge: Edge, *, error: bool = False) -> dict[str, Any]:
    """The site looks at the Host header and answers with the page for it."""
    headers: dict[str, Any] = {"delete": [ERROR_HEADER]}
    if error:
        headers = {"set": {ERROR_HEADER: ["{http.error.status_code}"]}}
    return {**_proxy(edge.site), "headers": {"request": headers}}


def _ask(edge: Edge, *, permission: bool) -> dict[str, Any]:
    endpoint = f"http://{edge.site}/edge/tls-ask"
    return {"permission": {"module": "http", "endpoint": endpoint}} if permission else {"ask": endpoint}


def _issuer(edge: Edge) -> dict[str, Any]:
    if edge.tls == "internal":
        return {"module": "internal"}
    issuer = {"module": "acme", "email": edge.acme_email, "ca": edge.acme_directory}
    return {name: value for name, value in issuer.items() if value}


def _add_log(logs: dict[str, Any], edge: Edge) -> None:
    """One line per request, without what says who asked for what: enough to know when an instance was visited."""
    default = logs.setdefault("default", {})
    default["exclude"] = sorted({*default.get("exclude", []), ACCESS})
    withheld = ("uri", "remote_ip", "remote_port", "tls", "headers>Referer", "headers>Cookie", "headers>Authorization")
    logs[LOG] = {
        "writer": {"output": "file", "filename": edge.access_log, "roll_size_mb": 20, "roll_keep": 2},
        "encoder": {
            "format": "filter",
            "wrap": {"format": "json"},
            "fields": {
                **{f"request>{name}": {"filter": "delete"} for name in withheld},
                "resp_headers": {"filter": "delete"},
            },
        },
        "include": [ACCESS],
    }
