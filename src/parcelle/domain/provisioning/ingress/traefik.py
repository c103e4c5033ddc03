"""Addresses are host names, and Traefik is the front door: it fetches its dynamic configuration from the site.

It takes the whole of it every few seconds, so an answer that lacks routes would cut customers off: the answer is
made from the committed snapshot alone, is never empty, and an error of ours is a 503, upon which Traefik keeps
what it has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import structlog
from django.conf import settings

from parcelle.domain.provisioning.errors import RouteRefused
from parcelle.domain.provisioning.ingress.base import Route, RouteState, Snapshot

logger = structlog.get_logger(__name__)

ENTRY_POINT, PAGES = "websecure", "pages"
# Names of the certificate resolvers in Traefik's static configuration: one wildcard, and one per single host.
WILDCARD_RESOLVER, SINGLE_RESOLVER = "wild", "http01"


class TraefikIngress:
    # Traefik does not say who visited what: nothing can be put to sleep behind it.
    capabilities: ClassVar[frozenset[str]] = frozenset({"hosts"})

    def __init__(self, *, site: str, apps_domain: str, https_port: int, file: Path | None) -> None:
        self.site = site
        self.apps_domain = apps_domain
        self.https_port = https_port
        self.file = file

    @classmethod
    def open(cls) -> TraefikIngress:
        file = Path(settings.TRAEFIK_FILE) if settings.TRAEFIK_FILE else None
        return cls(
            site=settings.SITE_ADDRESS,
            apps_domain=settings.APPS_DOMAIN,
            https_port=settings.EDGE_HTTPS_PORT,
            file=file,
        )

    def address(self, route: Route) -> str:
        if not route.hosts:
            return ""
        port = "" if self.https_port == 443 else f":{self.https_port}"
        return f"https://{route.hosts[0]}{port}"

    def publish(self, route: Route) -> None:
        """Traefik comes for it by itself."""
        if not route.sound:
            raise RouteRefused(f"not a route: {', '.join(route.hosts) or 'no host'} -> {route.upstream or 'nowhere'}")

    def make_way(self, route: Route) -> None:
        """The application's port is its own."""

    def withdraw(self, route: Route) -> None:
        """Traefik comes for what is left by itself."""

    def keep(self, snapshot: Snapshot, *, thorough: bool) -> int:
        """Keeps the file from which Traefik starts when the site does not answer."""
        if self.file is None or not thorough:
            return 0
        text = self.configuration(snapshot())
        if self.file.exists() and self.file.read_text() == text:
            return 0
        draft = self.file.with_name(f".{self.file.name}.draft")
        draft.write_text(text)
        draft.replace(self.file)
        return 1

    def visits(self) -> Mapping[str, datetime]:
        return {}

    def in_flight(self) -> frozenset[str]:
        return frozenset()

    def configuration(self, routes: Iterable[Route]) -> str:
        """The dynamic configuration as JSON; equal routes give equal bytes."""
        routers: dict[str, Any] = {
            PAGES: {
                "entryPoints": [ENTRY_POINT],
                "rule": "HostRegexp(`^.+$`)",
                "priority": 1,
                "service": PAGES,
                "tls": {},
            }
        }
        services: dict[str, Any] = {PAGES: _service(self.site)}
        for route in routes:
            if not route.sound:
                logger.error("a route is left out", ref=str(route.ref), hosts=route.hosts, upstream=route.upstream)
                continue
            name = f"inst-{route.ref.hex}"
            live = route.state is RouteState.LIVE
            if live:
                services[name] = _service(route.upstream, health_path=route.health_path)
            for number, host in enumerate(route.hosts):
                routers[f"{name}-d{number}" if number else name] = {
                    "entryPoints": [ENTRY_POINT],
                    "rule": f"Host(`{host}`)",
                    "service": name if live else PAGES,
                    "tls": self._tls(host),
                }
        return json.dumps({"http": {"routers": routers, "services": services}}, sort_keys=True, indent=1)

    def _tls(self, host: str) -> dict[str, Any]:
        domain = self.apps_domain
        if not host.endswith(f".{domain}"):
            return {"certResolver": SINGLE_RESOLVER}
        return {"certResolver": WILDCARD_RESOLVER, "domains": [{"main": domain, "sans": [f"*.{domain}"]}]}


def _service(upstream: str, *, health_path: str = "") -> dict[str, Any]:
    balancer: dict[str, Any] = {"passHostHeader": True, "servers": [{"url": f"http://{upstream}"}]}
    if health_path:
        balancer["healthCheck"] = {"path": health_path, "interval": "10s", "timeout": "3s"}
    return {"loadBalancer": balancer}
