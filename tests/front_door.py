"""A whole front door for tests: real Caddy, the real site behind it, instances of the embedded system."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connection
from django.test import override_settings
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from parcelle.domain.catalog.models import Product
from parcelle.domain.provisioning import actions, routes, runner, states
from parcelle.domain.provisioning.models import Domain, Instance, Operation
from parcelle.domain.provisioning.workflows import WORKFLOWS
from tests.edge import Caddy
from tests.system import System


@dataclass
class FrontDoor:
    system: System
    caddy: Caddy
    site: str

    def live(self, company: str = "Acmé & Fils", product: Product | None = None) -> Instance:
        """A customer signed up and their instance runs."""
        instance = self.system.sign_up(product, company=company)
        self.work()
        instance.refresh_from_db()
        assert instance.state == states.LIVE, [(o.kind, o.error_detail) for o in instance.operations.all()]
        return instance

    def ask(self, instance: Instance, kind: str, reason: str = "") -> None:
        actions.change(instance, kind, reason=reason, actor="test", now=timezone.now())

    def change(self, instance: Instance, kind: str, reason: str = "") -> Operation:
        self.ask(instance, kind, reason)
        self.work()
        instance.refresh_from_db()
        return instance.operations.order_by("-created_at")[0]

    def work(self, *, seconds: float = 60) -> None:
        """Runs every operation as a worker would, until none is left."""
        give_up = time.monotonic() + seconds
        while unfinished := list(Operation.objects.filter(state__in=states.UNFINISHED).order_by("created_at")):
            assert time.monotonic() < give_up, unfinished
            for operation in unfinished:
                runner.run(operation.pk, WORKFLOWS)
            time.sleep(0.05)

    def clear(self) -> None:
        for instance in Instance.objects.exclude(state=states.ARCHIVED):
            if states.may_change(instance.state, "archive"):
                self.ask(instance, "archive", "operator")
        self.work()
        Domain.objects.all().delete()
        routes.keep(thorough=True, now=timezone.now())


@contextmanager
def opened(system: System, caddy: Caddy) -> Iterator[FrontDoor]:
    server = LiveServer("127.0.0.1")
    site = server.url.removeprefix("http://")
    try:
        with override_settings(**caddy.settings(site), PUBLIC_URL="http://localhost", ALLOWED_HOSTS=["127.0.0.1"]):
            yield FrontDoor(system, caddy, site)
    finally:
        server.stop()
        connection.close()
