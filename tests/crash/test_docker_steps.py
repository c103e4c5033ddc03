"""A worker is killed before and after every effect on a real Docker Engine; another one finishes.

`test_steps.py` does this for every step there is, on the embedded provider. Here are the steps that touch an engine,
found in the same registry: what the world looks like in the end is what an undisturbed run leaves.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.utils import timezone
from docker import DockerClient
from docker.models.containers import Container
from pytest_django import DjangoDbBlocker

from parcelle.core.models import Fact
from parcelle.domain.catalog import blueprints as catalog
from parcelle.domain.catalog.models import Plan, Product
from parcelle.domain.provisioning import pool, specs, states, templates
from parcelle.domain.provisioning.models import Instance, Operation, PortLease, SubnetLease, Target
from parcelle.domain.provisioning.operations import request_operation
from parcelle.domain.provisioning.providers.docker import DockerProvider
from parcelle.domain.provisioning.workflows import WORKFLOWS
from parcelle.journeys import instance_control
from tests.docker.health import ASKING
from tests.system import System

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(900)]
SECONDS = 300
LABEL = "io.parcelle.instance"
# What workflows call their steps that change something on a target, beside the provider's own phases.
CHANGING = {"stop", "start", "dump", "destroy", "undo_stack"}
TOUCHING = {*DockerProvider.phases, *DockerProvider.template_phases, *CHANGING}
ENGINE = {"provider": "docker", "connection": {"namespace": f"t{os.getpid()}"}}
_numbers = itertools.count(1)


class Site:
    """The embedded system, with an engine as one of its targets."""

    def __init__(self, system: System, client: DockerClient) -> None:
        self.system = system
        self.client = client
        self.write("small")
        # Answers, but not to what it is asked when it is about to become the customer's.
        self.write("refusing", personalise=[{"path": "/nobody-knows", "json": {}}])

    def write(self, name: str, **changes: Any) -> None:
        """The smallest blueprint with everything that the provider does: data to seed, to adopt and to save."""
        folder = self.system.blueprints / name
        folder.mkdir(exist_ok=True)
        web = {
            "image": "parcelle-test/web:1",
            "user": "0:0",
            "volumes": [{"type": "volume", "source": "files", "target": "/files"}],
            "healthcheck": {
                "test": list(ASKING),
                "interval": "1s",
                "timeout": "10s",
                "retries": 60,
            },
            "stop_grace_period": "2s",
        }
        (folder / "compose.yaml").write_text(yaml.safe_dump({"services": {"web": web}, "volumes": {"files": {}}}))
        blueprint = {
            "name": name,
            "version": "1",
            "title": {"fr": "Petit", "en": "Small"},
            "compose": {
                "service": "web",
                "port": 8080,
                "seed_volumes": ["files"],
                "initialise": [{"service": "web", "run": ["sh", "-c", "echo seed > /files/seed"]}],
                "adopt": [{"service": "web", "run": ["sh", "-c", "echo own > /files/adopted"]}],
            },
            "probe": {"path": "/healthz"},
            **changes,
        }
        (folder / "blueprint.yaml").write_text(yaml.safe_dump(blueprint))

    @property
    def target(self) -> Target:
        return Target.objects.get_or_create(name="engine", defaults=ENGINE)[0]

    @property
    def provider(self) -> DockerProvider:
        provider = specs.provider_of(self.target)
        assert isinstance(provider, DockerProvider)
        return provider

    def product(self, blueprint: str = "small", *, slug: str = "", pool_size: int = 0) -> Product:
        product, _new = Product.objects.get_or_create(
            slug=slug or blueprint,
            defaults={
                "name": slug or blueprint,
                "blueprint": blueprint,
                "target_name": self.target.name,
                "pool_size": pool_size,
            },
        )
        Plan.objects.get_or_create(product=product, slug="essai", defaults={"name": "Essai"})
        return product

    def finish(self, operation: Operation) -> Operation:
        """Lets workers run until the operation has ended, with the patience that an engine needs."""
        for _attempt in range(100):
            self.system.wait_for_lease_to_end(operation)
            assert self.system.work(seconds=SECONDS) == 0
            operation.refresh_from_db()
            if operation.state not in states.UNFINISHED:
                return operation
        raise AssertionError(f"{operation} is still {operation.state}")

    # --- what is there ----------------------------------------------------------------------------------

    def portrait(self, operation: Operation) -> dict[str, Any]:
        """What can be seen of the outcome, without what differs between any two."""
        operation = Operation.objects.get(pk=operation.pk)
        seen: dict[str, Any] = {
            "operation": (operation.kind, operation.state, operation.error_code),
            "steps": [(step.name, step.state) for step in operation.steps.all()],
            "facts": Counter(Fact.objects.filter(operation_id=operation.pk).values_list("name", flat=True)),
        }
        if operation.template:
            blueprint = catalog.load(operation.template.blueprint)
            return seen | {"state": operation.template.state, "whole": self.provider.has_template(blueprint)}
        assert operation.instance_id is not None
        instance = Instance.objects.get(pk=operation.instance_id)
        archive = self.provider.archive_path(instance.ref)
        assert archive is not None
        return seen | {
            "state": instance.state,
            "ports": PortLease.objects.filter(ref=instance.ref).count(),
            "subnets": SubnetLease.objects.filter(ref=instance.ref).count(),
            "parts": self.parts(instance),
            "observed": self.provider.observe(instance.ref).status,
            "data": self.data(instance),
            "archive": archive.exists() and archive.stat().st_size > 0,
        }

    def parts(self, instance: Instance) -> Counter[str]:
        """Kinds and names of everything on the engine with this ref, helpers and half-made things included."""
        chosen: dict[str, Any] = {"label": f"{LABEL}={instance.ref}"}
        containers = self.client.containers.list(all=True, filters=chosen, ignore_removed=True)
        found = [f"container {one.labels.get('com.docker.compose.service')} {one.status}" for one in containers]
        found += [f"network {str(one.name).rpartition('_')[2]}" for one in self.client.networks.list(filters=chosen)]
        found += [f"volume {str(one.name).rpartition('_')[2]}" for one in self.client.volumes.list(filters=chosen)]
        return Counter(found)

    def data(self, instance: Instance) -> str | None:
        """The files of an instance that runs."""
        running = self.client.containers.list(filters={"label": f"{LABEL}={instance.ref}"})
        if not running:
            return None
        listed: Any = running[0].exec_run(["ls", "/files"])
        return str(listed.output.decode())

    def rest(self) -> None:
        """Freezes what earlier cases left running: their health checks alone, once a second, would fill the machine."""
        for container in self._running():
            container.pause()

    def wake(self, instance: Instance) -> None:
        for container in self._running(instance, state="paused"):
            container.unpause()

    def _running(self, instance: Instance | None = None, *, state: str = "running") -> list[Container]:
        instances = [instance] if instance else Instance.objects.all()
        labels = (f"{LABEL}={one.ref}" for one in instances)
        listed = (self.client.containers.list(filters={"label": label, "status": state}) for label in labels)
        return [container for found in listed for container in found]

    def assert_nothing_orphaned(self) -> None:
        """No row of an instance that is gone has anything left."""
        for instance in Instance.objects.filter(state__in=(states.FAILED, states.ARCHIVED)):
            assert not self.parts(instance), instance

    def clear(self) -> None:
        for instance in Instance.objects.all():
            self.wake(instance)
            self.provider.destroy(instance.ref)
        for name in catalog.names():
            if catalog.load(name).compose:
                self.provider.discard_template(catalog.load(name))


@pytest.fixture(scope="module")
def site(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, engine: DockerClient, web_image: str
) -> Iterator[Site]:
    with django_db_blocker.unblock(), System.running(deadline=SECONDS) as system:
        made = Site(system, engine)
        try:
            yield made
        finally:
            made.clear()
            system.forget_everything()


# --- how each operation comes about -------------------------------------------------------------------------


def creation(site: Site) -> Operation:
    _built(site, "small")
    return site.system.sign_up(site.product()).operations.get()


def refused_creation(site: Site) -> Operation:
    _built(site, "refusing")
    return site.system.sign_up(site.product("refusing")).operations.get()


def standby_preparation(site: Site) -> Operation:
    _built(site, "small")
    product = site.product(slug="warm", pool_size=1)
    now = timezone.now()
    secrets = specs.new_secrets(catalog.load(product.blueprint))
    instance = Instance.objects.create(product=product, target=site.target, created_at=now, secrets=secrets)
    return request_operation(instance, "prepare_standby", now=now)


def standby_discarding(site: Site) -> Operation:
    standby = _some(site, states.STANDBY)
    pool._put_aside(standby, now=timezone.now())
    return standby.operations.get(kind="discard_standby")


def suspension(site: Site) -> Operation:
    return instance_control.suspend_instance(_some(site, states.LIVE).pk, reason="operator", **_asked())


def resumption(site: Site) -> Operation:
    return instance_control.resume_instance(_some(site, states.SUSPENDED).pk, reason="", **_asked())


def archiving(site: Site) -> Operation:
    return instance_control.archive_instance(_some(site, states.LIVE).pk, reason="operator", **_asked())


def template_building(site: Site) -> Operation:
    name = f"built-{next(_numbers)}"
    site.write(name)
    return templates.ensure(site.target, catalog.load(name), now=timezone.now()).operations.get()


def _asked() -> Any:
    return {"actor": "tests", "now": timezone.now()}


def _built(site: Site, blueprint: str) -> None:
    template = templates.ensure(site.target, catalog.load(blueprint), now=timezone.now())
    if template.state != states.READY:
        built = site.finish(template.operations.get())
        assert built.state == states.SUCCEEDED, built.error_detail


def _some(site: Site, state: str) -> Instance:
    """An instance in this state: one that an earlier case left, or a new one."""
    left = Instance.objects.filter(state=state).select_related("target", "product").first()
    if left:
        site.wake(left)
        return left
    make = {states.LIVE: creation, states.SUSPENDED: suspension, states.STANDBY: standby_preparation}[state]
    made = site.finish(make(site))
    assert made.state == states.SUCCEEDED, made.error_detail
    return _some(site, state)


@dataclass(frozen=True)
class Scenario:
    kind: str
    begin: Callable[[Site], Operation]
    # How it ends; one that fails is disturbed on its way back.
    ends: str = states.SUCCEEDED

    def points(self) -> Iterator[str]:
        workflow = WORKFLOWS[self.kind]
        works = workflow.undo if self.ends == states.FAILED else workflow.steps(DockerProvider({}))
        for work in works:
            if work.name in TOUCHING:
                yield from (f"{work.name}:before", f"{work.name}:after")


SCENARIOS = [
    Scenario("create", creation),
    Scenario("create", refused_creation, ends=states.FAILED),
    Scenario("suspend", suspension),
    Scenario("resume", resumption),
    Scenario("archive", archiving),
    Scenario("discard_standby", standby_discarding),
    Scenario("build_template", template_building),
]


def test_everything_that_the_provider_does_in_steps_is_disturbed() -> None:
    disturbed = {point.partition(":")[0] for scenario in SCENARIOS for point in scenario.points()}
    assert disturbed == TOUCHING


@pytest.fixture(scope="module")
def undisturbed(site: Site) -> Callable[[Scenario], dict[str, Any]]:
    """What each scenario leads to when nobody is killed."""
    known: dict[Scenario, dict[str, Any]] = {}

    def portrait(scenario: Scenario) -> dict[str, Any]:
        if scenario not in known:
            operation = site.finish(scenario.begin(site))
            assert operation.state == scenario.ends, operation.error_detail
            known[scenario] = site.portrait(operation)
            site.assert_nothing_orphaned()
        return known[scenario]

    return portrait


@pytest.mark.parametrize(
    ("scenario", "point"),
    [
        pytest.param(scenario, point, id=f"{scenario.begin.__name__}.{point}")
        for scenario in SCENARIOS
        for point in scenario.points()
    ],
)
def test_a_worker_killed_there_changes_nothing(
    scenario: Scenario,
    point: str,
    site: Site,
    undisturbed: Callable[[Scenario], dict[str, Any]],
    tmp_path: Path,
) -> None:
    wanted = undisturbed(scenario)
    operation = scenario.begin(site)

    code = site.system.work(crash_at=f"{scenario.kind}.{point}", mark=tmp_path / "killed", seconds=SECONDS)
    assert code == -signal.SIGKILL, "the worker never came to this point"

    site.finish(operation)
    assert site.portrait(operation) == wanted
    site.assert_nothing_orphaned()
    site.rest()
