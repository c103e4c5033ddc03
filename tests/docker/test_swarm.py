"""The swarm provider on three machines: what dies, what moves, what stays; versions that fail and that do not."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from docker.types import IPAMConfig, IPAMPool
from pytest_django import Settings

from parcelle.domain.catalog import blueprints
from parcelle.domain.catalog.blueprints import Blueprint
from parcelle.domain.provisioning import specs
from parcelle.domain.provisioning.compose.answers import ServiceFailed
from parcelle.domain.provisioning.errors import (
    ImageMissing,
    PortTaken,
    ProvisioningError,
    SubnetTaken,
    TargetUnreachable,
    TryAgain,
    UpdateRolledBack,
)
from parcelle.domain.provisioning.providers.base import Spec, Status
from parcelle.domain.provisioning.providers.swarm import SwarmProvider
from tests.docker import subnets
from tests.docker.swarm import Node, Swarm, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
STACK = Path(__file__).resolve().parents[1] / "blueprints" / "stack"
_ports = itertools.count(19000)


def silent(_note: str, _fraction: float | None) -> None:
    """No progress is shown."""


@dataclass
class Tenants:
    """Instances of the tests' stack, which a test may change before it asks for it."""

    swarm: Swarm
    folder: Path
    made: list[tuple[SwarmProvider, Spec]] = field(default_factory=list)

    def provider(self, **connection: Any) -> SwarmProvider:
        sockets = {node.name: f"unix://{node.socket}" for node in self.swarm.nodes}
        return SwarmProvider.open({"url": sockets[self.swarm.manager.name], "nodes": sockets, **connection})

    def blueprint(self, change: Callable[[dict[str, Any]], None] = lambda _file: None, **recipe: Any) -> Blueprint:
        """The stack after `change` has had its way with the compose file."""
        file = yaml.safe_load((STACK / "compose.yaml").read_text())
        # A busy machine takes its time to answer; what a test wants otherwise it says itself.
        file["services"]["web"]["healthcheck"]["timeout"] = "30s"
        change(file)
        folder = self.folder / uuid.uuid4().hex
        folder.mkdir()
        (folder / "compose.yaml").write_text(yaml.safe_dump(file))
        whole = blueprints.load("stack")
        assert whole.compose is not None
        return whole.model_copy(update={"folder": folder, "compose": whole.compose.model_copy(update=recipe)})

    def spec(self, blueprint: Blueprint, provider: SwarmProvider) -> Spec:
        ref = uuid.uuid4()
        spec = Spec(
            ref=ref,
            name=f"client-{ref.hex[:8]}",
            blueprint=blueprint,
            variables={"slug": "acme", "company": "Acme", "email": "a@example.com", "language": "fr", "url": ""},
            secrets=specs.new_secrets(blueprint),
            ports={purpose: next(_ports) for purpose in provider.port_purposes},
            subnets={purpose: subnets.take() for purpose in provider.subnet_purposes},
        )
        self.made.append((provider, spec))
        return spec

    def deploy(self, blueprint: Blueprint, **connection: Any) -> tuple[SwarmProvider, Spec]:
        provider = self.provider(**connection)
        spec = self.spec(blueprint, provider)
        ensure(provider, spec)
        return provider, spec

    def clear(self) -> None:
        for provider, spec in self.made:
            provider.destroy(spec.ref)
            assert provider.observe(spec.ref).status is Status.ABSENT
            # A node's agent clears the containers away in its own time.
            until(lambda spec=spec: left(self.swarm, spec) == [], "nothing is left on any machine")  # type: ignore[misc]


def ensure(provider: SwarmProvider, spec: Spec) -> None:
    for phase in provider.phases:
        provider.ensure(spec, phase, silent)


def ensure_in_the_end(provider: SwarmProvider, spec: Spec) -> None:
    """Like the runner, which repeats what may pass."""
    for _attempt in range(3):
        with contextlib.suppress(TryAgain):
            return ensure(provider, spec)
    return ensure(provider, spec)


def left(swarm: Swarm, spec: Spec) -> list[str]:
    """What any of the machines still has of it."""
    chosen: dict[str, Any] = {"label": f"io.parcelle.instance={spec.ref}"}
    found = []
    for node in swarm.nodes:
        api: Any = node.client.api
        found += [f"container {one['Id']}" for one in api.containers(all=True, filters=chosen)]
        found += [f"volume {one['Name']}" for one in api.volumes(filters=chosen).get("Volumes") or []]
        found += [f"network {one['Name']}" for one in api.networks(filters=chosen)]
    return found


@pytest.fixture
def tenants(three_nodes: Swarm, tmp_path: Path, settings: Settings) -> Iterator[Tenants]:
    settings.BLUEPRINTS_DIR = STACK.parent
    made = Tenants(three_nodes, tmp_path)
    yield made
    made.clear()


# --- changes to the stack -----------------------------------------------------------------------------------


def only_web(file: dict[str, Any], **environment: str) -> None:
    """The web application works without a database; it is there sooner."""
    file["services"] = {"web": file["services"]["web"]}
    file["services"]["web"]["environment"] = {"APP_VERSION": "1", **environment}
    del file["services"]["web"]["depends_on"], file["volumes"]


ALONE: dict[str, Any] = {"initialise": [], "adopt": [], "seed_volumes": [], "dump": None, "load": None, "limits": {}}


def alone(tenants: Tenants, **environment: str) -> Blueprint:
    return tenants.blueprint(lambda file: only_web(file, **environment), **ALONE)


def version_2(file: dict[str, Any]) -> None:
    for service in ("migrate", "web"):
        file["services"][service]["environment"] = {**file["services"][service]["environment"], "APP_VERSION": "2"}


# --- looking ------------------------------------------------------------------------------------------------


def answer(address: str) -> str:
    """The version that answers, or how it does not."""
    try:
        with urllib.request.urlopen(f"{address}/healthz", timeout=10) as response:
            return str(json.load(response)["version"])
    except urllib.error.HTTPError as error:
        return f"status {error.code}"
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def watching(provider: SwarmProvider, spec: Spec) -> Iterator[list[str]]:
    """Asks the application all the time, where the provider says that it is; what answered."""
    answers: list[str] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            try:
                answers.append(answer(provider.endpoint(spec)))
            except ProvisioningError as error:
                answers.append(error.detail)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield answers
    finally:
        over.set()
        watcher.join(20)
    assert not watcher.is_alive() and len(answers) > 5


def machine(tenants: Tenants, provider: SwarmProvider, spec: Spec, service: str) -> Node:
    """Where a service runs."""
    nodes = provider.cluster.nodes()
    (task,) = provider.cluster.look(spec.ref).by_key[service].serving(nodes)
    return tenants.swarm.node(nodes[task.node_id].hostname)


def say(provider: SwarmProvider, spec: Spec, statement: str) -> str:
    words = ["psql", "--username=app", "--dbname=app", "--quiet", "--tuples-only", "--no-align", "-c", statement]
    return provider._run_in(spec.ref, "db", words, timeout=30)


# --- machines -----------------------------------------------------------------------------------------------


def test_what_can_move_moves_and_what_cannot_is_told(tenants: Tenants) -> None:
    provider, spec = tenants.deploy(tenants.blueprint(), constraints=["node.role==worker"])
    assert provider.observe(spec.ref).status is Status.RUNNING
    say(provider, spec, "INSERT INTO setting VALUES ('value', 'kept')")
    web, home = machine(tenants, provider, spec, "web"), machine(tenants, provider, spec, "db")
    assert web.name != home.name
    assert answer(f"http://{web.address}:{spec.ports['application']}") == "1"

    web.kill()
    until(lambda: provider.observe(spec.ref).status is not Status.RUNNING, "the death is noticed", 90)
    until(lambda: provider.observe(spec.ref).status is Status.RUNNING, "the application runs somewhere else", 120)
    assert provider.endpoint(spec) == f"http://{home.address}:{spec.ports['application']}"
    assert answer(provider.endpoint(spec)) == "1"
    assert f"{web.name} is down" in provider.check().versions["nodes"]
    web.start()
    until(lambda: tenants.swarm.states()[web.name] == "ready", "the first machine is back")

    home.kill()
    lost = f"db cannot run: its data is on node {home.name}, which is down"
    until(lambda: lost in provider.observe(spec.ref).detail, "the loss is told", 90)
    assert provider.observe(spec.ref).status is Status.FAILED
    (found,) = [one for one in provider.inventory() if one.ref == spec.ref]
    assert found.status is Status.FAILED and lost in found.detail
    with pytest.raises(TryAgain, match=f"the instance's data is on node {home.name}"):
        provider.destroy(spec.ref)
    home.start()
    until(lambda: tenants.swarm.states()[home.name] == "ready", "the second machine is back")
    # Destroying began, and what it began can still be made whole again: the data was not touched.
    ensure(provider, spec)
    assert say(provider, spec, "SELECT value FROM setting") == "kept"
    assert answer(provider.endpoint(spec)) == "1"


def test_a_constraint_that_no_node_meets_is_told(tenants: Tenants) -> None:
    provider = tenants.provider(region="mars")
    with pytest.raises(TargetUnreachable, match=r"node\.labels\.region==mars"):
        provider.check()
    spec = tenants.spec(tenants.blueprint(), provider)
    with pytest.raises(TargetUnreachable):
        provider.ensure(spec, provider.phases[0], silent)
    # Without volumes nothing has to be decided beforehand.
    spec = tenants.spec(alone(tenants), provider)
    with pytest.raises(TryAgain, match="web finds no node: no suitable node"):
        ensure(provider, spec)
    observed = provider.observe(spec.ref)
    assert observed.status is Status.FAILED and "no suitable node" in observed.detail


def test_a_worker_and_a_lonely_engine_are_no_target(tenants: Tenants) -> None:
    worker = tenants.swarm.workers[0]
    with pytest.raises(TargetUnreachable, match=f"worker.*{tenants.swarm.manager.address}"):
        SwarmProvider.open({"url": f"unix://{worker.socket}"}).check()
    # This machine's own.
    with pytest.raises(TargetUnreachable, match="swarm init"):
        SwarmProvider.open({}).check()


# --- versions -----------------------------------------------------------------------------------------------


def test_a_new_version_takes_over_without_a_gap(tenants: Tenants) -> None:
    # One machine only: the two versions stand side by side on it.
    here = {"constraints": [f"node.hostname=={tenants.swarm.workers[0].name}"]}
    provider, spec = tenants.deploy(tenants.blueprint(), **here)
    say(provider, spec, "INSERT INTO setting VALUES ('value', 'kept')")
    before = provider.cluster.look(spec.ref).by_key
    with watching(provider, spec) as answers:
        ensure_in_the_end(provider, replace(spec, blueprint=tenants.blueprint(version_2)))
        until(lambda: answers[-1:] == ["2"], "the new version answers")
    assert set(answers) == {"1", "2"}
    assert provider.endpoint(spec).endswith(f":{spec.ports['spare']}")
    assert say(provider, spec, "SELECT value FROM setting") == "kept"
    assert say(provider, spec, "SELECT count(*) FROM migration") == "2"
    # What did not change was left alone.
    assert provider.cluster.look(spec.ref).by_key["db"].version == before["db"].version
    assert provider.observe(spec.ref).status is Status.RUNNING


@pytest.mark.parametrize("way", ["ends at once", "is never healthy", "has no image"])
def test_a_version_that_fails_is_taken_back_while_the_old_one_serves(tenants: Tenants, way: str) -> None:
    provider, spec = tenants.deploy(alone(tenants))
    address = provider.endpoint(spec)

    def fail(file: dict[str, Any]) -> None:
        only_web(file)
        web = file["services"]["web"]
        if way == "ends at once":
            web["image"] = "parcelle-test/broken:1"
        elif way == "has no image":
            web["image"] = "parcelle-test/nowhere:1"
        else:
            web["environment"] |= {"APP_VERSION": "2", "WEB_UNHEALTHY_AFTER": "0.01"}
            web["healthcheck"] |= {"interval": "1s", "retries": 2, "start_period": "1s"}

    with watching(provider, spec) as answers, pytest.raises(UpdateRolledBack) as refused:
        ensure_in_the_end(provider, replace(spec, blueprint=tenants.blueprint(fail, **ALONE)))
    reasons = {
        "ends at once": "non-zero exit (3)",
        "is never healthy": "its health check failed",
        "has no image": "No such image: parcelle-test/nowhere:1",
    }
    assert reasons[way] in refused.value.detail and not refused.value.retry
    assert set(answers) == {"1"}
    observed = provider.observe(spec.ref)
    assert observed.status is Status.RUNNING and "the last update of web was rolled back" in observed.detail
    assert provider.endpoint(spec) == address
    # The old version is still what can be asked for, and a better one still comes.
    ensure(provider, spec)
    assert answer(address) == "1"
    ensure_in_the_end(provider, replace(spec, blueprint=alone(tenants, APP_VERSION="3")))
    assert answer(provider.endpoint(spec)) == "3"


def test_what_was_updated_before_goes_back_too(tenants: Tenants) -> None:
    provider, spec = tenants.deploy(tenants.blueprint())

    def fail(file: dict[str, Any]) -> None:
        version_2(file)
        file["services"]["db"]["environment"]["NEW"] = "yes"
        file["services"]["migrate"]["environment"]["WEB_FAIL_MIGRATION"] = "yes"

    with pytest.raises(ServiceFailed, match=r"migrate.*migration refused, as told"):
        ensure(provider, replace(spec, blueprint=tenants.blueprint(fail)))
    # The database is on its way back to its version of before.
    until(lambda: provider.observe(spec.ref).status is Status.RUNNING, "the version of before runs")
    assert "migrate ended badly" in provider.observe(spec.ref).detail
    assert "NEW" not in json.dumps(provider.cluster.look(spec.ref).by_key["db"].spec)
    until(lambda: answer(provider.endpoint(spec)) == "1", "the version of before answers")
    ensure(provider, spec)
    assert provider.observe(spec.ref).detail == ""


# --- refusals -----------------------------------------------------------------------------------------------


def test_a_missing_image_is_named(tenants: Tenants) -> None:
    def miss(file: dict[str, Any]) -> None:
        only_web(file)
        file["services"]["web"]["image"] = "parcelle-test/nowhere:1"

    provider = tenants.provider()
    spec = tenants.spec(tenants.blueprint(miss, **ALONE), provider)
    with pytest.raises(ImageMissing, match="parcelle-test/nowhere:1"):
        ensure(provider, spec)
    observed = provider.observe(spec.ref)
    assert observed.status is Status.FAILED and "No such image" in observed.detail


def test_a_taken_subnet_is_told_by_purpose_and_another_one_does(tenants: Tenants) -> None:
    provider = tenants.provider()
    spec = tenants.spec(alone(tenants), provider)
    pools = IPAMConfig(pool_configs=[IPAMPool(subnet=spec.subnets["front"])])
    foreign = tenants.swarm.manager.client.networks.create("foreign", driver="overlay", ipam=pools)
    try:
        with pytest.raises(SubnetTaken) as taken:
            ensure(provider, spec)
        assert taken.value.purpose == "front"
        moved = replace(spec, subnets={**spec.subnets, "front": subnets.take()})
        ensure(provider, moved)
        assert answer(provider.endpoint(spec)) == "1"
    finally:
        foreign.remove()


def test_a_subnet_that_only_a_node_uses_is_told_and_another_one_does(tenants: Tenants) -> None:
    worker = tenants.swarm.workers[0]
    provider = tenants.provider(constraints=[f"node.hostname=={worker.name}"])
    spec = tenants.spec(alone(tenants), provider)
    pools = IPAMConfig(pool_configs=[IPAMPool(subnet=spec.subnets["back"])])
    foreign = worker.client.networks.create("foreign", driver="bridge", ipam=pools)
    try:
        with pytest.raises(SubnetTaken) as taken:
            ensure(provider, spec)
        assert taken.value.purpose == "back"
        ensure(provider, replace(spec, subnets={**spec.subnets, "back": subnets.take()}))
        assert answer(provider.endpoint(spec)) == "1"
    finally:
        foreign.remove()


def test_a_taken_port_is_told_and_another_one_does(tenants: Tenants) -> None:
    worker = tenants.swarm.workers[0]
    provider = tenants.provider(constraints=[f"node.hostname=={worker.name}"])
    spec = tenants.spec(alone(tenants), provider)
    port = spec.ports["application"]
    foreign = worker.client.containers.run("parcelle-test/web:1", detach=True, ports={"8080/tcp": port})
    try:
        until(lambda: not provider.port_is_free(port), "the port is seen to be used")
        assert provider.port_is_free(next(_ports))
        with pytest.raises(PortTaken) as taken:
            ensure(provider, spec)
        assert taken.value.port == port
        other = next(_ports)
        ensure(provider, replace(spec, ports={**spec.ports, "application": other}))
        assert provider.endpoint(spec).endswith(f":{other}")
        assert answer(provider.endpoint(spec)) == "1"
    finally:
        foreign.remove(force=True)


# --- secrets and nodes --------------------------------------------------------------------------------------


def with_secrets(file: dict[str, Any]) -> None:
    file["secrets"] = {"database_password": {"environment": "database_password"}}
    for service, variable in (("db", "POSTGRES_PASSWORD"), ("migrate", "PGPASSWORD"), ("web", "PGPASSWORD")):
        own = file["services"][service]
        own["environment"] = {name: value for name, value in own["environment"].items() if name != variable}
        own["environment"][f"{variable}_FILE"] = "/run/secrets/database_password"
        own["secrets"] = ["database_password"]


def test_secrets_are_the_swarms_own_and_change_by_name(tenants: Tenants) -> None:
    provider, spec = tenants.deploy(tenants.blueprint(with_secrets))
    seen = provider.cluster.look(spec.ref)
    (first,) = seen.secrets
    password = spec.secrets["database_password"]
    assert password not in json.dumps([service.spec for service in seen.services])
    assert password == say_file(provider, spec)
    assert answer(provider.endpoint(spec)) == "1"

    renewed = replace(spec, secrets={**spec.secrets, "database_password": "another-password"})
    say(provider, spec, "ALTER ROLE app PASSWORD 'another-password'")
    ensure(provider, renewed)
    (second,) = provider.cluster.look(spec.ref).secrets
    assert second != first
    assert say_file(provider, spec) == "another-password"
    assert answer(provider.endpoint(spec)) == "1"


def say_file(provider: SwarmProvider, spec: Spec) -> str:
    return provider.run(spec.ref, ["cat", "/run/secrets/database_password"], timeout=30).strip()


def test_a_node_whose_engine_is_out_of_reach(tenants: Tenants) -> None:
    """Only the manager is known: commands go beside the application, and a volume's content goes all the same."""
    worker = tenants.swarm.workers[0]
    provider, spec = tenants.deploy(tenants.blueprint(), constraints=[f"node.hostname=={worker.name}"], nodes={})
    assert provider.run(spec.ref, ["sh", "-c", "echo in $PGDATABASE"], timeout=30).strip() == "in app"
    with pytest.raises(ProvisioningError, match="non-zero exit"):
        provider.run(spec.ref, ["sh", "-c", "exit 3"], timeout=30)
    with pytest.raises(TryAgain, match="took longer"):
        provider.run(spec.ref, ["sleep", "60"], timeout=3)
    with pytest.raises(ProvisioningError, match=f"engine of node {worker.name} cannot be reached.*nodes"):
        provider.dump(spec.ref, io.BytesIO())
    assert "web | listening on 8080" in provider.logs(spec.ref, lines=200)

    (volume,) = provider.cluster.look(spec.ref).record.volumes  # type: ignore[union-attr]
    provider.destroy(spec.ref)
    assert provider.observe(spec.ref).status is Status.ABSENT
    command = ["find", "/data", "-mindepth", "1"]
    mounts = {volume: {"bind": "/data", "mode": "ro"}}
    inside = worker.client.containers.run(
        "parcelle-test/web:1", entrypoint=command, remove=True, volumes=mounts, user="0"
    )
    assert inside == b""
    # With the engines in reach the rest goes as well.
    for node in tenants.swarm.nodes:
        for container in node.client.containers.list(all=True, filters={"label": f"io.parcelle.instance={spec.ref}"}):
            container.remove(force=True)
    worker.client.volumes.get(volume).remove()


def test_a_backup_of_what_was_stopped_leaves_it_stopped(tenants: Tenants) -> None:
    provider, spec = tenants.deploy(tenants.blueprint())
    say(provider, spec, "INSERT INTO setting VALUES ('value', 'as it was')")
    provider.stop(spec.ref)
    dump = io.BytesIO()
    provider.dump(spec.ref, dump)
    assert provider.observe(spec.ref).status is Status.STOPPED
    dump.seek(0)
    provider.load(spec.ref, dump)
    assert provider.observe(spec.ref).status is Status.STOPPED
    begun = time.monotonic()
    provider.start(spec.ref)
    assert time.monotonic() - begun < 120
    assert say(provider, spec, "SELECT value FROM setting") == "as it was"
