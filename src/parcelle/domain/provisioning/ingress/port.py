"""Addresses are ports: the embedded default. A live application listens on its port itself.

While an instance on this machine is suspended, one small process (`holding`) listens in its place. It is told through
files: `<folder>/<port>.json` is the page for that port and says whose it is, no file means that nobody listens there.
An application on another machine has its address there, where none answers while it rests: that port here is another's.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings

from parcelle.core import http
from parcelle.domain.provisioning.errors import TryAgain
from parcelle.domain.provisioning.ingress.base import Route, RouteState, Snapshot
from parcelle.domain.provisioning.ingress.page import MARK, Page

# How long the holding process may take to notice a changed file.
NOTICE_SECONDS = 5.0


class PortIngress:
    capabilities: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, *, folder: Path, host: str) -> None:
        self.folder = folder
        self.host = host

    @classmethod
    def open(cls) -> PortIngress:
        return cls(folder=Path(settings.HOME) / "ingress", host=urlsplit(settings.PUBLIC_URL).hostname or "localhost")

    def address(self, route: Route) -> str:
        if not route.port:
            return ""
        return f"http://{self.host}:{route.port}" if route.is_here else f"http://{route.upstream}"

    def publish(self, route: Route) -> None:
        if route.state is RouteState.LIVE:
            self.withdraw(route)
        elif route.port is not None and route.page and route.is_here:
            self._hold(route.port, route.page, route.ref)

    def make_way(self, route: Route) -> None:
        self.withdraw(route)

    def withdraw(self, route: Route) -> None:
        if route.port is not None:
            self._release(route.port, route.ref)

    def keep(self, snapshot: Snapshot, *, thorough: bool) -> int:
        """Files forget nothing."""
        return 0

    def visits(self) -> Mapping[str, datetime]:
        return {}

    def in_flight(self) -> frozenset[str]:
        return frozenset()

    def _hold(self, port: int, page: Page, ref: UUID) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f"{port}.draft"
        draft.write_text(page.to_json(of=str(ref)))
        draft.replace(self.folder / f"{port}.json")
        _wait(lambda: _is_held(port), "the holding page does not answer: is `parcelle up` running?")

    def _release(self, port: int, ref: UUID) -> None:
        page = self.folder / f"{port}.json"
        with contextlib.suppress(FileNotFoundError):
            if Page.owner(page.read_text()) not in {"", str(ref)}:
                return
            page.unlink()
            _wait(lambda: not _listens(port), f"port {port} is still held")


def _wait(until: Callable[[], bool], otherwise: str) -> None:
    give_up = time.monotonic() + NOTICE_SECONDS
    while not until():
        if time.monotonic() > give_up:
            raise TryAgain(otherwise)
        time.sleep(0.03)


def _is_held(port: int) -> bool:
    """Whether it is the holding page that answers, and not what was there before."""
    try:
        return MARK in http.request("HEAD", f"http://127.0.0.1:{port}/", timeout=1).headers
    except http.OutsideError:
        return False


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
