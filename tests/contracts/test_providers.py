"""What every provider promises (`providers/base.py`), held to by each one in the registry.

A new provider adds a workbench below: where the tests find it, and how they look behind its back.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import shutil
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from django.test import override_settings
from docker import DockerClient
from pytest_django import DjangoDbBlocker

from parcelle.domain.catalog import blueprints as catalog
from parcelle.domain.catalog.blueprints import Blueprint
from parcelle.domain.provisioning import specs
from parcelle.domain.provisioning.errors import CannotBeSaved, ProvisioningError, TryAgain
from parcelle.domain.provisioning.providers import PROVIDERS, open_provider
from parcelle.domain.provisioning.providers.base import Provider, Spec, Status, TemplateSpec
from parcelle.domain.provisioning.providers.portainer import PortainerProvider
from parcelle.domain.provisioning.providers.process import ProcessProvider
from tests import blueprints, needs
from tests.docker import subnets
from tests.docker.swarm import Node, Swarm
from tests.simulators import portainer as simulator
from tests.system import System

# Building a template is done several times in one of them.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
TEMPLATE_SECRETS = {"template_password": "T-template-password", "database_password": "T-database-password"}


def silent(_note: str, _fraction: float | None) -> None:
    """No progress is shown."""


def _as_the_runner(act: Callable[[], None]) -> None:
    """Once more after a passing fault: an engine may be busy, or still hold a port that was just given back."""
    try:
        act()
    except TryAgain:
        act()


@dataclass
class Workbench:
    """A provider with a place to work, and eyes that do not need it."""

    provider: Provider
    blueprint: Blueprint
    ports: Iterator[int]
    # What must not change when nothing is to be done: identities of processes, databases, files.
    identity: Callable[[uuid.UUID], Any]
    write: Callable[[uuid.UUID, str], None]
    read: Callable[[uuid.UUID], str]
    # False for a provider that runs nothing: it has no states to observe.
    runs: bool = True
    # What PGDATABASE is inside; None where the provider says it.
    database: str | None = None
    # Seconds until something that was started must be there.
    patience: float = 20

    def spec(self) -> Spec:
        ref = uuid.uuid4()
        spec = Spec(
            ref=ref,
            name=f"client-acme-{ref.hex[:8]}",
            blueprint=self.blueprint,
            variables={"slug": "acme", "company": "Acme", "email": "a@example.com", "language": "fr", "url": ""},
            secrets=specs.new_secrets(self.blueprint) | {"template_password": "T-template-password"},
            ports={purpose: next(self.ports) for purpose in self.provider.port_purposes},
            subnets={purpose: subnets.take() for purpose in self.provider.subnet_purposes},
        )
        return replace(spec, variables={**spec.variables, **self.provider.describe(spec)})

    def build(self, *phases: str) -> None:
        made = TemplateSpec(blueprint=self.blueprint, secrets={"secret_key": "x" * 32, **TEMPLATE_SECRETS})
        for phase in phases or self.provider.template_phases:
            self.provider.build(made, phase, silent)

    def ensure(self, spec: Spec) -> None:
        for phase in self.provider.phases:
            _as_the_runner(partial(self.provider.ensure, spec, phase, silent))

    def start(self, spec: Spec) -> None:
        _as_the_runner(partial(self.provider.start, spec.ref))

    def stop(self, spec: Spec) -> None:
        _as_the_runner(partial(self.provider.stop, spec.ref))

    def status(self, spec: Spec) -> Status:
        return self.provider.observe(spec.ref).status

    def wait_until(self, spec: Spec, status: Status) -> None:
        give_up = time.monotonic() + self.patience
        while self.runs and self.status(spec) is not status:
            assert time.monotonic() < give_up, f"still {self.provider.observe(spec.ref)}"
            time.sleep(0.05)

    def wait_until_it_answers(self, spec: Spec) -> None:
        give_up = time.monotonic() + self.patience
        while "application" in self.provider.capabilities:
            try:
                with urllib.request.urlopen(self.provider.endpoint(spec) + spec.blueprint.probe.path, timeout=5):
                    return
            except OSError:
                assert time.monotonic() < give_up
                time.sleep(0.05)


# --- the workbenches ----------------------------------------------------------------------------------------


def process(request: pytest.FixtureRequest) -> Workbench:
    system: System = request.getfixturevalue("system")
    provider = system.provider

    def superuser(ref: uuid.UUID) -> psycopg.Connection[Any]:
        return psycopg.connect(system.values["PARCELLE_SUPERUSER_DATABASE_URL"], dbname=f"tenant_{ref.hex[:16]}")

    def identity(ref: uuid.UUID) -> Any:
        with superuser(ref) as connection:
            (database,) = connection.execute(
                "SELECT oid FROM pg_database WHERE datname = current_database()"
            ).fetchall()
        folder = system.home.path / "tenants" / ref.hex[:16]
        with provider.supervisor._api() as api:
            pid = api.getProcessInfo(f"tenant-{ref.hex[:16]}")["pid"]
        return database, pid, sorted((path.name, path.stat().st_mtime_ns) for path in folder.iterdir())

    def write(ref: uuid.UUID, text: str) -> None:
        with superuser(ref) as connection:
            connection.execute("UPDATE person SET company = %s", [text])

    def read(ref: uuid.UUID) -> str:
        with superuser(ref) as connection:
            row = connection.execute("SELECT company FROM person").fetchone()
        return str(row[0]) if row else ""

    blueprint = catalog.load("echo")
    return Workbench(provider, blueprint, itertools.count(system.first_port), identity, write, read)


def null(request: pytest.FixtureRequest) -> Workbench:
    nothing: dict[uuid.UUID, str] = {}
    blueprint = catalog.load("plain")
    return Workbench(
        open_provider("null", {}),
        blueprint,
        ports=itertools.count(),
        identity=lambda _ref: None,
        write=nothing.__setitem__,
        read=nothing.__getitem__,
        runs=False,
    )


def docker(request: pytest.FixtureRequest) -> Workbench:
    engine: DockerClient = request.getfixturevalue("engine")
    request.getfixturevalue("stack_images")

    def part(ref: uuid.UUID, service: str) -> Any:
        (found,) = engine.containers.list(
            filters={"label": [f"io.parcelle.instance={ref}", f"com.docker.compose.service={service}"]}
        )
        return found

    def identity(ref: uuid.UUID) -> Any:
        found = engine.containers.list(all=True, filters={"label": f"io.parcelle.instance={ref}"})
        return sorted((one.name, one.id, one.attrs["State"]["StartedAt"]) for one in found)

    def sql(ref: uuid.UUID, statement: str) -> str:
        words = ["psql", "--username=app", "--dbname=app", "--quiet", "--tuples-only", "--no-align", "-c", statement]
        done = part(ref, "db").exec_run(words)
        assert done.exit_code == 0, done.output
        return str(done.output.decode()).strip()

    def write(ref: uuid.UUID, text: str) -> None:
        sql(ref, f"INSERT INTO setting VALUES ('t', '{text}') ON CONFLICT (name) DO UPDATE SET value = excluded.value")

    return Workbench(
        open_provider("docker", {"namespace": f"t{os.getpid()}"}),
        catalog.load("stack"),
        ports=itertools.count(24000 + 100 * (os.getpid() % 50)),
        identity=identity,
        write=write,
        read=lambda ref: sql(ref, "SELECT value FROM setting WHERE name = 't'"),
        database="app",
        patience=90,
    )


def swarm(request: pytest.FixtureRequest) -> Workbench:
    three: Swarm = request.getfixturevalue("three_nodes")
    sockets = {node.name: f"unix://{node.socket}" for node in three.nodes}
    provider = open_provider("swarm", {"url": sockets[three.manager.name], "nodes": sockets})

    def identity(ref: uuid.UUID) -> Any:
        chosen: dict[str, Any] = {"label": f"io.parcelle.instance={ref}"}
        api: Any = three.manager.client.api
        services = sorted((one["ID"], one["Version"]["Index"]) for one in api.services(filters=chosen))
        kept = [*api.networks(filters=chosen), *api.configs(filters=chosen), *api.secrets(filters=chosen)]
        running = [one.id for node in three.nodes for one in node.client.containers.list(filters=chosen)]
        return services, sorted(one.get("Id") or one["ID"] for one in kept), sorted(map(str, running))

    def sql(ref: uuid.UUID, statement: str) -> str:
        words = ["psql", "--username=app", "--dbname=app", "--quiet", "--tuples-only", "--no-align", "-c", statement]
        done = _database(three.nodes, ref).exec_run(words)
        assert done.exit_code == 0, done.output
        return str(done.output.decode()).strip()

    def write(ref: uuid.UUID, text: str) -> None:
        sql(ref, f"INSERT INTO setting VALUES ('t', '{text}') ON CONFLICT (name) DO UPDATE SET value = excluded.value")

    return Workbench(
        provider,
        catalog.load("stack"),
        ports=itertools.count(18100),
        identity=identity,
        write=write,
        read=lambda ref: sql(ref, "SELECT value FROM setting WHERE name = 't'"),
        database="app",
        patience=90,
    )


def portainer(version: str) -> Callable[[pytest.FixtureRequest], Workbench]:
    def made(request: pytest.FixtureRequest) -> Workbench:
        needs.require("specs")
        request.getfixturevalue("django_db_setup")
        blocker: DjangoDbBlocker = request.getfixturevalue("django_db_blocker")
        as_docker = docker(request)
        server = simulator.Portainer(version)
        held = contextlib.ExitStack()
        request.addfinalizer(held.close)
        # Where changes must take turns, they do so in the database.
        held.enter_context(blocker.unblock())
        held.callback(server.close)
        held.enter_context(simulator.serving(server))
        key = server.add_key(server.add_user())
        provider = open_provider(
            "portainer", {"url": server.url, "api_key": key, "environment": server.add_environment().id}
        )
        return replace(as_docker, provider=provider, ports=itertools.count(26000 + 100 * (os.getpid() % 50)))

    return made


def _database(nodes: list[Node], ref: uuid.UUID) -> Any:
    """The container of the stack's database, wherever it runs."""
    for node in nodes:
        for container in node.client.containers.list(filters={"label": f"io.parcelle.instance={ref}"}):
            if "_db." in (container.name or ""):
                return container
    raise AssertionError("no database runs")


WORKBENCHES: dict[str, Callable[[pytest.FixtureRequest], Workbench]] = {
    "process": process,
    "null": null,
    "docker": docker,
    "swarm": swarm,
    # Two generations that answer differently.
    "portainer": portainer("2.33.1"),
    "portainer-background": portainer("2.44.0"),
}
# Where each finds its blueprint; the embedded system of `process` has its own.
BLUEPRINTS = dict.fromkeys(WORKBENCHES.keys() - {"process"}, blueprints.ECHO.parent)


def test_every_provider_is_held_to_this_contract() -> None:
    assert {name.partition("-")[0] for name in WORKBENCHES} == set(PROVIDERS)


@pytest.fixture(scope="module", params=sorted(WORKBENCHES))
def bench(request: pytest.FixtureRequest) -> Iterator[Workbench]:
    folder = BLUEPRINTS.get(request.param)
    with override_settings(**({"BLUEPRINTS_DIR": folder} if folder else {})):
        made = WORKBENCHES[request.param](request)
        made.build()
        yield made
        made.provider.discard_template(made.blueprint)


@pytest.fixture
def spec(bench: Workbench) -> Iterator[Spec]:
    made = bench.spec()
    yield made
    bench.provider.destroy(made.ref)


@pytest.fixture
def running(bench: Workbench, spec: Spec) -> Spec:
    bench.ensure(spec)
    bench.wait_until(spec, Status.RUNNING)
    bench.wait_until_it_answers(spec)
    return spec


# --- the contract -------------------------------------------------------------------------------------------


def test_a_target_that_answers_tells_its_versions(bench: Workbench) -> None:
    health = bench.provider.check()
    assert all(health.versions.values())
    assert bool(health.versions) == bench.runs


def test_phases_are_unique_names(bench: Workbench) -> None:
    names = [*bench.provider.phases, *bench.provider.template_phases]
    assert len(set(names)) == len(names)


def test_building_twice_is_building_once(bench: Workbench) -> None:
    bench.build()
    bench.build()


def test_ensuring_twice_changes_nothing(bench: Workbench, running: Spec) -> None:
    before = bench.identity(running.ref) if bench.runs else None
    bench.ensure(running)
    bench.ensure(running)
    assert (bench.identity(running.ref) if bench.runs else None) == before
    bench.wait_until_it_answers(running)


def test_a_stack_is_observed_in_every_state(bench: Workbench, spec: Spec) -> None:
    if not bench.runs:
        pytest.skip("runs nothing")
    assert bench.status(spec) is Status.ABSENT
    for phase in bench.provider.phases[:-1]:
        bench.provider.ensure(spec, phase, silent)
        assert bench.status(spec) is Status.CREATING
    bench.ensure(spec)
    bench.wait_until(spec, Status.RUNNING)
    bench.provider.stop(spec.ref)
    assert bench.status(spec) is Status.STOPPED
    bench.provider.start(spec.ref)
    bench.wait_until(spec, Status.RUNNING)
    bench.provider.destroy(spec.ref)
    assert bench.status(spec) is Status.ABSENT


def test_a_stack_that_cannot_run_is_observed_as_such(bench: Workbench, running: Spec) -> None:
    if not isinstance(bench.provider, ProcessProvider):
        pytest.skip("another provider has tests of its own for this")
    supervisor, name = bench.provider.supervisor, f"tenant-{running.ref.hex[:16]}"
    bench.provider.stop(running.ref)
    kept = bench.provider._folder(running.ref) / "program.conf"
    # Giving up after the first attempt instead of the tenth.
    hasty = kept.read_text().replace("startretries=10", "startretries=0").replace("startsecs=1", "startsecs=5")
    (kept.parent / "app.py").write_text("raise SystemExit('broken')")
    kept.write_text(hasty)
    bench.provider.start(running.ref)
    bench.wait_until(running, Status.FAILED)
    assert supervisor.state(name) == "FATAL"
    # Converging mends it: what was rendered is rendered again.
    bench.ensure(running)
    bench.wait_until_it_answers(running)


def test_starting_and_stopping_twice_is_once(bench: Workbench, running: Spec) -> None:
    bench.write(running.ref, "kept")
    bench.start(running)
    bench.stop(running)
    bench.stop(running)
    bench.start(running)
    bench.start(running)
    bench.wait_until(running, Status.RUNNING)
    bench.wait_until_it_answers(running)
    assert bench.read(running.ref) == "kept"


def test_ensuring_brings_a_stopped_stack_back(bench: Workbench, running: Spec) -> None:
    bench.stop(running)
    bench.ensure(running)
    bench.wait_until_it_answers(running)


def test_what_is_not_there_can_be_stopped_and_destroyed(bench: Workbench) -> None:
    nobody = uuid.uuid4()
    bench.provider.stop(nobody)
    bench.provider.destroy(nobody)
    bench.provider.destroy(nobody)
    assert bench.provider.logs(nobody, lines=5) == ""


def test_what_is_not_there_cannot_be_started_or_asked(bench: Workbench) -> None:
    if not bench.runs:
        pytest.skip("runs nothing")
    for act in (
        bench.provider.start,
        lambda ref: bench.provider.run(ref, ["true"], timeout=5),
        lambda ref: bench.provider.dump(ref, io.BytesIO()),
    ):
        with pytest.raises(ProvisioningError):
            act(uuid.uuid4())


def test_half_made_is_destroyed_like_whole(bench: Workbench) -> None:
    for number in range(1, len(bench.provider.phases) + 1):
        spec = bench.spec()
        for phase in bench.provider.phases[:number]:
            bench.provider.ensure(spec, phase, silent)
        bench.provider.destroy(spec.ref)
        bench.provider.destroy(spec.ref)
        if bench.runs:
            assert bench.status(spec) is Status.ABSENT


def test_what_was_destroyed_can_be_made_again(bench: Workbench, running: Spec) -> None:
    bench.write(running.ref, "gone")
    bench.provider.destroy(running.ref)
    bench.ensure(running)
    bench.wait_until_it_answers(running)
    if bench.runs:
        assert bench.read(running.ref) == ""


def test_a_command_runs_with_the_applications_environment(bench: Workbench, running: Spec) -> None:
    if not bench.runs:
        pytest.skip("runs nothing")
    output = bench.provider.run(running.ref, ["sh", "-c", "echo in $PGDATABASE"], timeout=10)
    assert output.strip() == f"in {bench.database or running.variables['database']}"
    with pytest.raises(ProvisioningError):
        bench.provider.run(running.ref, ["sh", "-c", "exit 3"], timeout=10)
    begun = time.monotonic()
    with pytest.raises(TryAgain, match="took longer"):
        bench.provider.run(running.ref, ["sleep", "30"], timeout=0.5)
    assert time.monotonic() - begun < 5


def test_the_log_is_what_the_application_wrote_last(bench: Workbench, running: Spec) -> None:
    if not bench.runs:
        pytest.skip("runs nothing")
    give_up = time.monotonic() + bench.patience
    while True:
        # Something else may have been logged in between: a health check, for one.
        for number in range(3):
            _ask(f"{bench.provider.endpoint(running)}/?number={number}")
        lines = bench.provider.logs(running.ref, lines=2)
        if "number=1" in lines and "number=2" in lines:
            break
        assert time.monotonic() < give_up, lines
        time.sleep(0.05)
    assert "number=0" not in lines


def _ask(address: str) -> None:
    with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(address):
        pass


def test_a_dump_brings_the_data_back(bench: Workbench, running: Spec) -> None:
    bench.write(running.ref, "as it was, café")
    dump = io.BytesIO()
    bench.provider.dump(running.ref, dump)
    bench.write(running.ref, "changed" if bench.runs else "as it was, café")
    dump.seek(0)
    bench.provider.load(running.ref, dump)
    assert bench.read(running.ref) == "as it was, café"
    bench.wait_until_it_answers(running)


def test_a_dump_can_be_loaded_into_another_stack(bench: Workbench, running: Spec) -> None:
    if not bench.runs:
        pytest.skip("keeps nothing")
    other, dump = bench.spec(), io.BytesIO()
    bench.ensure(other)
    bench.write(running.ref, "moved")
    try:
        bench.provider.dump(running.ref, dump)
        dump.seek(0)
        bench.provider.load(other.ref, dump)
        assert bench.read(other.ref) == "moved"
    finally:
        bench.provider.destroy(other.ref)


def test_a_broken_dump_is_refused(bench: Workbench, running: Spec) -> None:
    if not bench.runs:
        pytest.skip("keeps nothing")
    bench.write(running.ref, "still here")
    with pytest.raises(ProvisioningError):
        bench.provider.load(running.ref, io.BytesIO(b"this is no dump" * 100_000))
    assert bench.read(running.ref) == "still here"


def test_what_has_data_must_be_saved(bench: Workbench, running: Spec) -> None:
    assert bench.provider.must_save(running.ref) is bench.runs
    assert (bench.provider.archive_path(running.ref) is not None) is bench.runs


@pytest.fixture
def silent_recipe(bench: Workbench, tmp_path: Path) -> Iterator[Workbench]:
    """The same place to work with a recipe that has a volume and says nothing about backups."""
    if bench.blueprint.compose is None:
        pytest.skip("has no recipe of that kind")
    folder = Path(shutil.copytree(bench.blueprint.folder, tmp_path / bench.blueprint.name))
    said = yaml.safe_load((folder / "blueprint.yaml").read_text())
    del said["compose"]["dump"], said["compose"]["load"]
    (folder / "blueprint.yaml").write_text(yaml.safe_dump(said))
    with override_settings(BLUEPRINTS_DIR=tmp_path):
        yield replace(bench, blueprint=catalog.load(bench.blueprint.name))


def test_without_a_dump_data_are_copied_as_they_are_or_nothing_is_touched(silent_recipe: Workbench) -> None:
    bench, provider = silent_recipe, silent_recipe.provider
    spec = bench.spec()
    try:
        bench.ensure(spec)
        bench.write(spec.ref, "kept")
        if isinstance(provider, PortainerProvider):
            with pytest.raises(CannotBeSaved, match=r"compose\.dump"):
                provider.must_save(spec.ref)
            assert bench.status(spec) is Status.RUNNING
            return
        assert provider.must_save(spec.ref)
        dump = io.BytesIO()
        # As it is when an instance is archived.
        bench.stop(spec)
        provider.dump(spec.ref, dump)
        bench.start(spec)
        bench.write(spec.ref, "changed")
        dump.seek(0)
        provider.load(spec.ref, dump)
        bench.wait_until(spec, Status.RUNNING)
        assert bench.read(spec.ref) == "kept"
    finally:
        provider.destroy(spec.ref)


def test_a_template_is_discarded_half_made_or_whole(bench: Workbench) -> None:
    phases = bench.provider.template_phases
    for number in range(len(phases) + 1):
        bench.provider.discard_template(bench.blueprint)
        if number:
            bench.build(*phases[:number])
    bench.provider.discard_template(bench.blueprint)
    bench.provider.discard_template(bench.blueprint)
    bench.build()
