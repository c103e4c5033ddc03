"""The contract of an ingress: the neutral route model, values in, values out.

Ingresses know nothing of our tables. All of them are held to the same tests in `tests/contracts/test_ingress.py`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Protocol
from urllib.parse import urlsplit
from uuid import UUID

from parcelle.domain.provisioning.errors import TryAgain
from parcelle.domain.provisioning.ingress.page import Page

_HOST = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_UPSTREAM = re.compile(r"([a-z0-9][a-z0-9._-]*|\[[0-9a-f:]+\]):[0-9]{1,5}", re.IGNORECASE)


class RouteState(enum.StrEnum):
    LIVE = "live"
    SLEEPING = "sleeping"
    SUSPENDED = "suspended"
    MAINTENANCE = "maintenance"


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where one instance is reached, and what answers there."""

    ref: UUID
    slug: str
    state: RouteState
    # Where the application listens on its machine; only for ingresses whose addresses are ports.
    port: int | None = None
    # "host:port" under which the ingress reaches the application.
    upstream: str = ""
    # The platform's own host name first, then the customer's domains.
    hosts: tuple[str, ...] = ()
    health_path: str = "/"
    # What answers while the route is not live, for ingresses that cannot ask the site for it.
    page: Page | None = None

    @property
    def is_here(self) -> bool:
        """Whether the application runs on this machine; what has no upstream yet counts as such."""
        host = urlsplit(f"//{self.upstream}").hostname or "localhost"
        return host in {"localhost", "::1"} or host.startswith("127.")

    @property
    def sound(self) -> bool:
        """Whether an ingress that works by host names can carry it: one bad name could break all the others."""
        leads_somewhere = self.state is not RouteState.LIVE or bool(_UPSTREAM.fullmatch(self.upstream))
        return bool(self.hosts) and all(map(is_host, self.hosts)) and leads_somewhere


def is_host(name: str) -> bool:
    """Whether this is a host name as it stands in certificates and rules: lower case, two labels or more."""
    return bool(_HOST.fullmatch(name))


class ConfigurationLost(TryAgain):
    """The ingress runs but has forgotten everything, as after a restart: `keep` brings it all back."""


Snapshot = Callable[[], Sequence[Route]]


class Ingress(Protocol):
    """A way to give instances addresses. Every method is safe to call again."""

    # "hosts": addresses are host names, customers may bring their own. "sleep": visits are known, so that an
    # idle instance can be put to sleep and woken by the next one.
    capabilities: ClassVar[frozenset[str]]

    def address(self, route: Route) -> str:
        """The public address, without a final slash; empty when the route cannot have one."""

    def publish(self, route: Route) -> None:
        """Makes the route answer. Raises TryAgain and its kinds, RouteRefused when it can never work."""

    def make_way(self, route: Route) -> None:
        """Before the application starts again: whatever of ours listens in its place lets go."""

    def withdraw(self, route: Route) -> None:
        """Removes whatever answers for this route; nothing there is fine."""

    def keep(self, snapshot: Snapshot, *, thorough: bool) -> int:
        """Looks whether the ingress still has what was published and brings back what it lacks; how many.

        Without `thorough` only whether it has lost everything: cheap enough for every few seconds.
        """

    def visits(self) -> Mapping[str, datetime]:
        """Host name -> the newest visit of a person since the last call."""

    def in_flight(self) -> frozenset[str]:
        """The upstreams that are answering somebody at this moment."""
