"""Addresses are host names, and Caddy is the front door: told through its admin API, one route at a time.

Caddy keeps its configuration in memory. Our snapshot is the truth: `keep` compares and brings back what is lost.
Every write carries the ETag of what was read, so that of two writers one is told to look again.
"""

from __future__ import annotations

import bisect
import contextlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from django.conf import settings

from parcelle.core.http import OutsideError
from parcelle.domain.provisioning import visitors
from parcelle.domain.provisioning.errors import RouteRefused, TargetUnreachable, TryAgain
from parcelle.domain.provisioning.ingress import caddy_config
from parcelle.domain.provisioning.ingress.base import ConfigurationLost, Route, Snapshot
from parcelle.domain.provisioning.ingress.caddy_api import Admin, Answer
from parcelle.domain.provisioning.ingress.caddy_config import Edge

logger = structlog.get_logger(__name__)

_ROUTES = f"/config/apps/http/servers/{caddy_config.SERVER}/routes"
_STALE = 412
# How often somebody else may be faster before we give the step back to the runner.
_ATTEMPTS = 20
_LOG_BYTES_AT_ONCE = 20_000_000


class CaddyIngress:
    capabilities: ClassVar[frozenset[str]] = frozenset({"hosts", "sleep"})

    def __init__(self, *, admin: str, edge: Edge) -> None:
        self.admin = Admin(admin)
        self.where = admin
        self.edge = edge

    @classmethod
    def open(cls) -> CaddyIngress:
        site = urlsplit(settings.PUBLIC_URL)
        return cls(
            admin=settings.CADDY_ADMIN,
            edge=Edge(
                site=settings.SITE_ADDRESS,
                site_hosts=(site.hostname,) if site.scheme == "https" and site.hostname else (),
                bind=settings.EDGE_BIND,
                http_port=settings.EDGE_HTTP_PORT,
                https_port=settings.EDGE_HTTPS_PORT,
                tls=settings.EDGE_TLS,
                acme_email=settings.ACME_EMAIL,
                acme_directory=settings.ACME_DIRECTORY,
                access_log=settings.CADDY_ACCESS_LOG,
            ),
        )

    def address(self, route: Route) -> str:
        if not route.hosts:
            return ""
        port = "" if self.edge.https_port == 443 else f":{self.edge.https_port}"
        return f"https://{route.hosts[0]}{port}"

    def publish(self, route: Route) -> None:
        if not route.sound:
            raise RouteRefused(f"not a route: {', '.join(route.hosts) or 'no host'} -> {route.upstream or 'nowhere'}")
        self._change(route.ref, caddy_config.route(route, self.edge))

    def make_way(self, route: Route) -> None:
        """The application's port is its own: the page stays until it answers."""

    def withdraw(self, route: Route) -> None:
        # What has forgotten everything has forgotten this one as well.
        with contextlib.suppress(ConfigurationLost):
            self._change(route.ref, None)

    def keep(self, snapshot: Snapshot, *, thorough: bool) -> int:
        if not thorough and self._send("GET", f"/id/{caddy_config.PAGES_ID}").status == 200:
            return 0
        for _attempt in range(_ATTEMPTS):
            # In this order: whatever is committed after the snapshot was read changes Caddy after its ETag was.
            found = self._send("GET", "/config/")
            wanted = [route for route in snapshot() if self._is_sound(route)]
            missing = _differences(found.body, caddy_config.routes(wanted, self.edge))
            shapes = [caddy_config.whole(found.body, wanted, self.edge, permission=new) for new in (True, False)]
            if found.body in shapes:
                return 0
            if self._replace(found, shapes):
                logger.warning("caddy's routes were brought back", routes=missing)
                return max(1, missing)
        raise TryAgain("Caddy's configuration keeps being changed by others")

    def visits(self) -> Mapping[str, datetime]:
        return _read_log(Path(self.edge.access_log)) if self.edge.access_log else {}

    def in_flight(self) -> frozenset[str]:
        upstreams = self._send("GET", "/reverse_proxy/upstreams").body or ()
        return frozenset(str(each["address"]) for each in upstreams if each.get("num_requests", 0) > 0)

    # --- talking to Caddy -------------------------------------------------------------------------------

    def _change(self, ref: UUID, wanted: dict[str, Any] | None) -> None:
        """Brings one route to what it should be, if nobody changes any route in between; None removes it."""
        name = caddy_config.route_id(ref)
        for _attempt in range(_ATTEMPTS):
            found = self._send("GET", _ROUTES)
            if found.status != 200 or not found.body:
                raise ConfigurationLost(f"Caddy at {self.where} has lost its configuration")
            held = {str(each.get("@id", "")): each for each in found.body}
            if held.get(name) == wanted:
                return
            if wanted is None:
                answer = self._send("DELETE", f"/id/{name}", if_match=found.etag)
            elif name in held:
                answer = self._send("PATCH", f"/id/{name}", wanted, if_match=found.etag)
            else:
                ours = [each for each in held if each.startswith(caddy_config.ROUTE_PREFIX)]
                place = bisect.bisect(ours, name)
                answer = self._send("PUT", f"{_ROUTES}/{place}", wanted, if_match=found.etag)
            if answer.status == 200:
                return
            if answer.status != _STALE:
                raise RouteRefused(f"Caddy refuses the route: {answer.error[:300]}")
        raise TryAgain("Caddy's routes keep being changed by others")

    def _replace(self, found: Answer, shapes: list[dict[str, Any]]) -> bool:
        """Puts the first of the configurations in place that Caddy understands; false when somebody was faster."""
        for number, config in enumerate(shapes):
            answer = self._send("POST", "/config/", config, if_match=found.etag)
            if answer.status == 200:
                return True
            if answer.status == _STALE:
                return False
            # An older Caddy does not know the newer word for whom to ask.
            if number + 1 < len(shapes) and "permission" in answer.error:
                continue
            raise RouteRefused(f"Caddy refuses the configuration: {answer.error[:300]}")
        return False

    def _send(self, method: str, path: str, body: Any = None, *, if_match: str = "") -> Answer:
        try:
            return self.admin.request(method, path, body, if_match=if_match)
        except OutsideError as error:
            # Looked at first whenever it is tried again, so it does not matter whether this one arrived.
            raise TargetUnreachable(f"{error} at {self.where}: is it running?") from error

    def _is_sound(self, route: Route) -> bool:
        if not route.sound:
            logger.error("a route is left out", ref=str(route.ref), hosts=route.hosts, upstream=route.upstream)
        return route.sound


def _differences(config: dict[str, Any] | None, wanted: list[dict[str, Any]]) -> int:
    """How many of the wanted routes Caddy lacks or has otherwise."""
    server = (config or {}).get("apps", {}).get("http", {}).get("servers", {}).get(caddy_config.SERVER, {})
    held = server.get("routes") or []
    return sum(each not in held for each in wanted) if len(held) < 200 else abs(len(wanted) - len(held))


def _read_log(log: Path) -> dict[str, datetime]:
    """Host name -> newest visit of a person in what was written since the last time."""
    mark = log.with_name(f"{log.name}.position")
    newest: dict[str, datetime] = {}
    try:
        size = log.stat().st_size
        begin = int(mark.read_text()) if mark.exists() else 0
        with log.open("rb") as file:
            # A smaller file is a new one: Caddy puts the full one aside.
            file.seek(begin if begin <= size else 0)
            text = file.read(_LOG_BYTES_AT_ONCE)
            whole = text.rfind(b"\n") + 1
            end = file.tell() - len(text) + whole
    except (OSError, ValueError):
        return newest
    for line in text[:whole].splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            entry = json.loads(line)
            asked = entry["request"]
            agent = (asked.get("headers", {}).get("User-Agent") or [""])[0]
            if asked["method"] != "HEAD" and not visitors.is_robot(agent):
                newest[asked["host"].partition(":")[0].lower()] = datetime.fromtimestamp(entry["ts"], UTC)
    with contextlib.suppress(OSError):
        mark.write_text(str(end))
    return newest
