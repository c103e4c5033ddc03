"""An embedded system for tests: PostgreSQL for instances, supervisord and the holding process, all real.

What `parcelle up` starts, without the site and with workers that the test starts itself. The control
plane's own tables stay in the database of the test run (`tests/cluster.py`).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from parcelle.config import embedded
from parcelle.config.supervision import Supervisor, programs
from parcelle.core.models import Reaction
from parcelle.domain.catalog import blueprints as catalog
from parcelle.domain.catalog.models import Plan, Product
from parcelle.domain.notifications.models import Message
from parcelle.domain.provisioning import specs, states
from parcelle.domain.provisioning.models import Instance, Operation, Target
from parcelle.domain.provisioning.operations import request_operation
from parcelle.domain.provisioning.providers.process import ProcessProvider
from parcelle.journeys import signup
from tests import blueprints, cluster, workers

LEASE_SECONDS = 0.5
LANGUAGE = "fr"


def _first_port() -> int:
    """Where this process's instances begin: another run on this machine has another hundred ports."""
    return 21000 + 100 * (os.getpid() % 100)


@dataclass
class System:
    """One embedded system in a folder of its own."""

    home: embedded.Home
    postgres: embedded.Postgres
    supervisor: Supervisor
    values: dict[str, str]
    first_port: int
    # Names below are of blueprints in this folder.
    blueprints: Path
    server: subprocess.Popen[bytes] | None = None

    # --- life -------------------------------------------------------------------------------------------

    @classmethod
    @contextmanager
    def running(cls, *, deadline: int = 60) -> Iterator[System]:
        home = embedded.Home(Path(settings.HOME))
        home.create_folders()
        system = cls(
            home=home,
            postgres=embedded.Postgres(home, durable=False),
            supervisor=Supervisor(home),
            values=embedded.secrets_of(home, port=0),
            first_port=_first_port(),
            blueprints=home.path / "blueprints",
        )
        blueprints.write_all(system.blueprints)
        try:
            system.start()
            with override_settings(
                BLUEPRINTS_DIR=system.blueprints,
                OPERATION_LEASE_SECONDS=LEASE_SECONDS,
                OPERATION_DEADLINE_SECONDS=deadline,
            ):
                workers.prepare(system.environment(deadline=deadline))
                yield system
        finally:
            workers.stop()
            system.stop()
            shutil.rmtree(home.path, ignore_errors=True)
            home.path.mkdir()

    def start(self) -> None:
        password = self.values["POSTGRES_PASSWORD"]
        self.postgres.prepare(password)
        self.server = self.postgres.start()
        self.postgres.wait_until_ready(password)
        embedded.create_roles(
            self.values["PARCELLE_SUPERUSER_DATABASE_URL"],
            {
                embedded.OWNER: self.values["OWNER_PASSWORD"],
                embedded.APP: self.values["APP_PASSWORD"],
                embedded.TENANTS: self.values["TENANTS_PASSWORD"],
            },
        )
        listed = programs(self.home, postgres=None, bind="127.0.0.1", port=1)
        self.supervisor.configure([p for p in listed if p.name == "ingress"], with_tenants=True)
        self.supervisor.start()
        assert self.supervisor.wait_until_answering()

    def stop(self) -> None:
        self.supervisor.stop()
        if self.server:
            self.server.send_signal(signal.SIGINT)
            self.server.wait(30)

    def environment(self, *, deadline: int) -> dict[str, str]:
        return {
            "DATABASE_URL": os.environ["DATABASE_URL"],
            "PARCELLE_HOME": str(self.home.path),
            "PARCELLE_BLUEPRINTS": str(self.blueprints),
            "PARCELLE_TEST_LEASE": str(LEASE_SECONDS),
            "PARCELLE_OPERATION_DEADLINE": str(deadline),
            "PARCELLE_FIRST_APPLICATION_PORT": str(self.first_port),
            "PARCELLE_LOG_FORMAT": "json",
            "PARCELLE_LOG_LEVEL": "DEBUG",
        }

    def forget_everything(self) -> None:
        """Empties every table, as after a test that commits."""
        connection.close()
        call_command(
            "flush",
            interactive=False,
            verbosity=0,
            allow_cascade=True,
            reset_sequences=False,
            inhibit_post_migrate=True,
        )
        cluster.empty_queue()

    # --- rows -------------------------------------------------------------------------------------------

    def target(self) -> Target:
        here = {
            "home": str(self.home.path),
            "database_url": self.values["PARCELLE_TENANTS_DATABASE_URL"],
            "supervisor_socket": str(embedded.supervisor_socket(self.home)),
        }
        target, _new = Target.objects.get_or_create(name="here", defaults={"provider": "process", "connection": here})
        return target

    def product(self, blueprint: str = "echo", *, slug: str = "", pool_size: int = 0) -> Product:
        """The product `slug` that sells this blueprint, with a plan."""
        product, _new = Product.objects.get_or_create(
            slug=slug or blueprint,
            defaults={
                "name": (slug or blueprint).title(),
                "blueprint": blueprint,
                "target_name": self.target().name,
                "pool_size": pool_size,
            },
        )
        Plan.objects.get_or_create(product=product, slug="essai", defaults={"name": "Essai"})
        return product

    @property
    def provider(self) -> ProcessProvider:
        provider = specs.provider_of(self.target())
        assert isinstance(provider, ProcessProvider)
        return provider

    def sign_up(self, product: Product | None = None, *, company: str = "Acmé & Fils") -> Instance:
        """A new customer's form, sent; nothing works on it yet."""
        product = product or self.product()
        started = signup.start_trial(
            signup.TrialRequest(
                submission=uuid.uuid4(),
                email=f"{uuid.uuid4().hex[:12]}@example.com",
                first_name="Zoë",
                last_name="Ndiaye",
                company=company,
                phone="",
                plan_id=product.plans.get().pk,
                language=LANGUAGE,
            ),
            now=timezone.now(),
        )
        return Instance.objects.get(pk=started.instance_id)

    def standby(self, product: Product) -> Operation:
        """The preparation of a standby for this product, asked for as the pool's keeper does."""
        blueprint = catalog.load(product.blueprint)
        now = timezone.now()
        instance = Instance.objects.create(
            product=product, target=self.target(), created_at=now, secrets=specs.new_secrets(blueprint)
        )
        return request_operation(instance, "prepare_standby", now=now)

    # --- work -------------------------------------------------------------------------------------------

    def begin(self, *, crash_at: str = "", mark: Path | None = None) -> workers.Worker:
        """Starts a worker that ends when nothing is due, or when it is killed."""
        return workers.Worker.start(self.home.logs / "worker.log", crash_at=crash_at, mark=mark)

    def work(self, *, crash_at: str = "", mark: Path | None = None, seconds: float = 60) -> int:
        """Runs one worker until nothing is due or it is killed; its exit code."""
        return self.begin(crash_at=crash_at, mark=mark).end(seconds=seconds)

    def finish(self, operation: Operation, *, seconds: float = 60) -> Operation:
        """Lets workers run until this operation has ended."""
        give_up = time.monotonic() + seconds
        while True:
            # Whoever died with it is believed to be alive until then.
            self.wait_for_lease_to_end(operation)
            assert self.work() == 0
            operation.refresh_from_db()
            if operation.state not in states.UNFINISHED:
                self.settle()
                return operation
            assert time.monotonic() < give_up, f"{operation} is still {operation.state} after {seconds} s"
            time.sleep(0.1)

    def settle(self, *, seconds: float = 30) -> None:
        """Lets workers run until everything is done, also what dead workers had begun."""
        give_up = time.monotonic() + seconds
        jobs = ProcrastinateJob.objects.filter(status__in=("todo", "doing"), queue_name__in=workers.QUEUES)
        unsent = Message.objects.filter(due_at__isnull=False)
        while jobs.exists() or Reaction.objects.exists() or unsent.exists():
            assert time.monotonic() < give_up, [*jobs.values(), *Reaction.objects.values(), *unsent.values("kind")]
            assert self.work() == 0
            time.sleep(0.1)

    def wait_for_lease_to_end(self, operation: Operation) -> None:
        give_up = time.monotonic() + LEASE_SECONDS + 5
        while True:
            operation.refresh_from_db()
            if operation.lease_until is None or operation.lease_until < timezone.now():
                return
            assert time.monotonic() < give_up, "somebody still renews the lease"
            time.sleep(0.05)
