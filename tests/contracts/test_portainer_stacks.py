"""Stacks through Portainer when things go wrong in the ways Portainer is known for, on both generations.

The simulator really deploys; what it cannot do by itself (slowness, hung-up lines, restarts) is asked of it by name.
"""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from parcelle.core import turns
from parcelle.domain.catalog import blueprints
from parcelle.domain.provisioning import specs
from parcelle.domain.provisioning.compose.answers import NameInUse
from parcelle.domain.provisioning.errors import (
    CredentialsRefused,
    NotYet,
    PortTaken,
    ProvisioningError,
    TryAgain,
)
from parcelle.domain.provisioning.providers import portainer as provider_module
from parcelle.domain.provisioning.providers import portainer_api as api
from parcelle.domain.provisioning.providers.base import Found, Spec, Status
from parcelle.domain.provisioning.providers.portainer import PortainerProvider
from tests import loopback, needs
from tests.docker import subnets
from tests.docker.belongings import Belongings
from tests.docker.health import ASKING
from tests.docker.swarm import Node, Swarm
from tests.simulators import repository
from tests.simulators.portainer import Fault, Portainer, serving
from tests.simulators.portainer_stacks import ACTIVE, DEPLOYING, ERROR, INACTIVE

needs.require("docker")
needs.require("specs")
pytestmark = [pytest.mark.slow, pytest.mark.django_db]
BLOCKING, BACKGROUND = "2.33.1", "2.44.0"
VENDOR = Path(__file__).resolve().parents[1] / "simulators" / "erp-btp"
SHIPPED = Path(__file__).resolve().parents[2] / "blueprints"
PAGE: dict[str, Any] = {
    "services": {
        "web": {
            "image": "parcelle-test/web:1",
            "environment": {"APP_VERSION": "1"},
            "healthcheck": {
                "test": list(ASKING),
                "interval": "1s",
                "timeout": "20s",
                "retries": 2,
                "start_period": "60s",
            },
            "volumes": [{"type": "volume", "source": "data", "target": "/data"}],
            "restart": "unless-stopped",
            "stop_grace_period": "2s",
        }
    },
    "volumes": {"data": {}},
}


def silent(_note: str, _fraction: float | None) -> None:
    """No progress is shown."""


@dataclass
class Stand:
    """A server, the provider for it, and one stack that should be."""

    portainer: Portainer
    provider: PortainerProvider
    folder: Path
    spec: Spec

    def page(self, **environment: str) -> None:
        """What the application is from now on."""
        self.write({"APP_VERSION": "1", **environment})

    def write(self, environment: dict[str, str], image: str = "parcelle-test/web:1") -> None:
        web = {**PAGE["services"]["web"], "environment": environment, "image": image}
        (self.folder / "compose.yaml").write_text(yaml.safe_dump({**PAGE, "services": {"web": web}}))

    def ensure(self) -> None:
        for phase in self.provider.phases:
            self.provider.ensure(self.spec, phase, silent)

    def ensure_at_last(self, seconds: float = 60) -> None:
        """As the runner does: again after a passing fault, later after being told to wait."""
        give_up = time.monotonic() + seconds
        while True:
            try:
                return self.ensure()
            except (TryAgain, NotYet):
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.2)

    def found(self) -> Found:
        """Of what is on the engine, which other tests use as well."""
        (one,) = (found for found in self.provider.inventory() if found.ref == self.spec.ref)
        return one

    def status(self) -> Status:
        return self.provider.observe(self.spec.ref).status

    def answer(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.provider.endpoint(self.spec), timeout=5) as response:
            return dict(json.loads(response.read()))

    def containers(self, engine: docker.DockerClient) -> list[Any]:
        label = f"com.docker.compose.project={self.spec.name}"
        return list(engine.containers.list(all=True, filters={"label": label}, ignore_removed=True))

    @property
    def records(self) -> list[int]:
        return [stack.status for stack in self.portainer.named(self.spec.name)]


@pytest.fixture(params=[BLOCKING, BACKGROUND], ids=["blocking", "background"])
def portainer(request: pytest.FixtureRequest) -> Iterator[Portainer]:
    made = Portainer(request.param)
    made.add_user()
    made.add_environment()
    with serving(made):
        yield made
    made.close()
    assert made.violations == []


@pytest.fixture
def stand(
    portainer: Portainer, web_image: str, belongings: Belongings, tmp_path: Path, settings: Settings
) -> Iterator[Stand]:
    folder = tmp_path / "page"
    folder.mkdir()
    settings.BLUEPRINTS_DIR = tmp_path
    (folder / "blueprint.yaml").write_text(
        "{name: page, version: '1', title: {en: Page, fr: Page}, compose: {service: web, port: 8080}}"
    )
    (folder / "compose.yaml").write_text(yaml.safe_dump(PAGE))
    connection = {"url": portainer.url, "api_key": portainer.add_key(portainer.users[1]), "environment": 2}
    made = Stand(portainer, PortainerProvider(connection), folder, _spec(belongings, "page"))
    yield made
    portainer.faults.clear()
    portainer.deployments.stuck = False
    if 1 not in portainer.keys.values():
        made = replace(
            made, provider=PortainerProvider({**connection, "api_key": portainer.add_key(portainer.users[1])})
        )
    _destroyed(made)
    assert made.provider.engine.volumes(f"io.parcelle.instance={made.spec.ref}") == {}


def _destroyed(stand: Stand) -> None:
    for _attempt in range(100):
        try:
            return stand.provider.destroy(stand.spec.ref)
        except (TryAgain, NotYet):
            for stack in stand.portainer.stacks.values():
                stack.status = INACTIVE if stack.status == DEPLOYING else stack.status
            time.sleep(0.2)
    raise AssertionError("cannot be destroyed")


def _spec(belongings: Belongings, blueprint: str, **variables: str) -> Spec:
    loaded = blueprints.load(blueprint)
    ref = belongings.new_ref()
    return Spec(
        ref=ref,
        name=f"client-{ref.hex[:8]}",
        blueprint=loaded,
        variables={"slug": ref.hex[:8], "company": "Acme", "email": "a@example.com", "url": "", **variables},
        secrets=specs.new_secrets(loaded),
        ports={"application": loopback.free_port(), "database": loopback.free_port()},
        subnets={"front": subnets.take(), "back": subnets.take()},
    )


# --- a creation whose end nobody saw ------------------------------------------------------------------------


def test_a_creation_that_outlasts_the_clients_patience_is_one_stack(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.portainer.deployments.delay = 2
    stand.provider.ensure(stand.spec, "claim_name", silent)
    if not stand.portainer.background:
        with monkeypatch.context() as hasty:
            hasty.setattr(api, "WRITE_SECONDS", 0.5)
            with pytest.raises(api.NoAnswer):
                stand.provider.ensure(stand.spec, "deploy_stack", silent)
        # Nothing can be seen of it yet: whoever asked again now would make a second one.
        with pytest.raises(NotYet):
            stand.provider.ensure(stand.spec, "deploy_stack", silent)
    stand.portainer.deployments.delay = 0
    stand.ensure_at_last()
    assert stand.records == [ACTIVE]
    assert len(stand.portainer.lines("POST /stacks/create")) == 1
    assert stand.answer()["version"] == "1"


def test_the_simulator_would_make_two_stacks_of_two_creations(stand: Stand) -> None:
    """The control: what the look-up before asking again is for."""
    if stand.portainer.background:
        pytest.skip("a server that saves the record first refuses the second one")
    stand.portainer.deployments.delay = 1
    environment = stand.provider.environment
    body = {
        "StackFileContent": yaml.safe_dump({"services": {"a": PAGE["services"]["web"] | {"volumes": []}}}),
        "Env": [],
    }
    threads = [
        threading.Thread(target=stand.provider.server.create, args=(environment, stand.spec.name, body))
        for _number in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stand.records == [ACTIVE, ACTIVE]


@pytest.mark.parametrize("status", [None, 524, 502])
def test_an_answer_that_got_lost_is_looked_for_before_anything_else(stand: Stand, status: int | None) -> None:
    stand.portainer.faults.append(Fault("POST /stacks/create", status))
    stand.ensure()
    assert stand.records == [ACTIVE]
    assert len(stand.portainer.lines("POST /stacks/create")) == 1


def test_a_creation_that_never_arrived_is_asked_again_after_a_while(stand: Stand) -> None:
    stand.portainer.faults.append(Fault("POST /stacks/create", after=False))
    with pytest.raises(api.NoAnswer):
        stand.ensure()
    with pytest.raises(NotYet):
        stand.ensure()
    stand.provider._patience = 0
    stand.ensure_at_last()
    assert stand.records == [ACTIVE]


def test_two_records_of_one_stack_are_both_destroyed(stand: Stand) -> None:
    stand.ensure()
    (first,) = stand.portainer.named(stand.spec.name)
    second = replace(first, id=99, folder=first.folder.with_name("99"))
    second.folder.mkdir()
    (second.folder / second.entry).write_text((first.folder / first.entry).read_text())
    stand.portainer.stacks[99] = second
    assert stand.status() is Status.RUNNING
    stand.provider.destroy(stand.spec.ref)
    assert stand.records == []


# --- deployments that fail ----------------------------------------------------------------------------------


def test_what_a_failed_deployment_left_does_not_block_its_name(stand: Stand, engine: docker.DockerClient) -> None:
    stand.portainer.deployments.leaves_leftovers = True
    with socket.create_server(("127.0.0.1", stand.spec.ports["application"])):
        for _attempt in range(2):
            with pytest.raises(PortTaken) as caught:
                stand.ensure()
            assert caught.value.port == stand.spec.ports["application"]
    # Half-made it is, and known to be ours.
    assert stand.status() is (Status.FAILED if stand.portainer.background else Status.CREATING)
    assert stand.found().name == stand.spec.name
    # The runner comes again with another port.
    stand.spec = replace(stand.spec, ports={**stand.spec.ports, "application": loopback.free_port()})
    stand.ensure()
    assert (stand.status(), stand.records) == (Status.RUNNING, [ACTIVE])
    assert stand.answer()["version"] == "1"


def test_an_image_that_cannot_be_fetched_ends_the_creation_and_is_nothing_permanent(stand: Stand) -> None:
    stand.write({}, image="parcelle-test/nowhere:1")
    with pytest.raises(ProvisioningError, match="web"):
        stand.ensure()
    assert stand.records == ([ERROR] if stand.portainer.background else [])
    stand.page()
    stand.ensure()
    assert stand.records == [ACTIVE]


def test_an_active_stack_whose_container_is_not_well_has_not_succeeded(stand: Stand) -> None:
    stand.page(WEB_CRASH_AFTER="0.2")
    with pytest.raises(ProvisioningError, match="web"):
        stand.ensure()
    assert stand.records == [ACTIVE]
    assert stand.status() is not Status.RUNNING
    stand.page()
    stand.ensure()
    assert stand.status() is Status.RUNNING


def test_an_application_that_falls_ill_is_seen(stand: Stand, engine: docker.DockerClient) -> None:
    stand.ensure()
    (container,) = stand.containers(engine)
    container.exec_run(["touch", "/tmp/unhealthy"])
    give_up = time.monotonic() + 90
    while stand.status() is Status.RUNNING:
        assert time.monotonic() < give_up
        time.sleep(0.5)
    assert "unhealthy" in stand.provider.observe(stand.spec.ref).detail
    assert stand.records == [ACTIVE]
    # Converging mends it: what is in /tmp is gone with a restart.
    stand.ensure()
    assert stand.status() is Status.RUNNING


def test_a_deployment_that_never_ends_is_not_waited_for_without_end(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not stand.portainer.background:
        pytest.skip("only deployments in the background can")
    monkeypatch.setattr(provider_module, "WELL_SECONDS", 1.0)
    stand.portainer.lose_deployments()
    with pytest.raises(TryAgain, match="has been deploying"):
        stand.ensure()
    assert stand.status() is Status.CREATING
    assert stand.records == [DEPLOYING]


# --- other people, other stacks -----------------------------------------------------------------------------


def test_a_name_that_is_somebody_elses_is_not_touched(
    stand: Stand, engine: docker.DockerClient, belongings: Belongings
) -> None:
    foreign = engine.containers.run(
        "parcelle-test/web:1",
        detach=True,
        labels={"com.docker.compose.project": stand.spec.name, **belongings.labels},
    )
    with pytest.raises(NameInUse, match="not ours"):
        stand.ensure()
    stand.provider.destroy(stand.spec.ref)
    foreign.reload()
    assert foreign.status == "running"
    foreign.remove(force=True)
    stand.ensure()
    assert stand.status() is Status.RUNNING


def test_names_that_portainer_takes_for_equal_collide(stand: Stand) -> None:
    stand.ensure()
    server, environment = stand.provider.server, stand.provider.environment
    with pytest.raises(api.Conflict, match="normalized name"):
        server.create(environment, stand.spec.name.upper() + ".", {"StackFileContent": "services: {}", "Env": []})


def test_a_stack_that_somebody_deleted_by_hand_is_made_again_with_its_data(
    stand: Stand, engine: docker.DockerClient
) -> None:
    stand.ensure()
    volume = engine.volumes.get(f"{stand.spec.name}_data")
    server = stand.provider.server
    server.delete(server.stacks(2)[0])
    assert stand.status() is Status.CREATING
    stand.ensure()
    assert stand.status() is Status.RUNNING
    assert engine.volumes.get(f"{stand.spec.name}_data").attrs["CreatedAt"] == volume.attrs["CreatedAt"]


def test_one_container_of_several_that_somebody_removed_is_missed_and_comes_back(
    stand: Stand, engine: docker.DockerClient
) -> None:
    web = PAGE["services"]["web"]
    beside = {name: value for name, value in web.items() if name != "volumes"}
    (stand.folder / "compose.yaml").write_text(yaml.safe_dump({**PAGE, "services": {"web": web, "beside": beside}}))
    stand.ensure()
    (gone,) = [one for one in stand.containers(engine) if one.labels["com.docker.compose.service"] == "beside"]
    gone.remove(force=True)
    found = stand.found()
    assert (found.status, found.detail) == (Status.CREATING, "without beside")
    stand.ensure_at_last()
    assert stand.status() is Status.RUNNING
    assert len(stand.containers(engine)) == 2


def test_containers_that_somebody_removed_by_hand_are_missed_and_come_back(
    stand: Stand, engine: docker.DockerClient
) -> None:
    stand.ensure()
    for container in stand.containers(engine):
        container.remove(force=True)
    seen = stand.provider.observe(stand.spec.ref)
    assert (seen.status, "none of its containers" in seen.detail) == (Status.FAILED, True)
    stand.ensure()
    assert stand.status() is Status.RUNNING


def test_what_is_being_changed_is_waited_for_and_then_compared(stand: Stand) -> None:
    stand.ensure()
    (stack,) = stand.portainer.named(stand.spec.name)
    stand.page(APP_VERSION="2")
    if stand.portainer.background:
        stack.note(DEPLOYING)
        threading.Timer(1.5, stack.note, [ACTIVE]).start()
    else:
        # Another stack of this server is being deployed.
        stand.portainer.deployments.lock.acquire()
        threading.Timer(1.5, stand.portainer.deployments.lock.release).start()
    stand.ensure()
    assert stand.answer()["version"] == "2"


def test_a_change_refused_because_of_another_one_is_tried_again(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between our look and our request somebody else's change began."""
    stand.ensure()
    (stack,) = stand.portainer.named(stand.spec.name)
    stand.page(APP_VERSION="2")
    if not stand.portainer.background:
        pytest.skip("this generation lets changes queue up")
    ours = stand.provider.server.update

    def late(*words: Any) -> None:
        stack.note(DEPLOYING)
        threading.Timer(1, stack.note, [ACTIVE]).start()
        monkeypatch.undo()
        ours(*words)

    monkeypatch.setattr(stand.provider.server, "update", late)
    stand.ensure_at_last()
    assert stand.answer()["version"] == "2"


def test_a_server_that_deploys_one_after_the_other_is_given_one_change_at_a_time(stand: Stand) -> None:
    stand.provider.ensure(stand.spec, "claim_name", silent)
    with turns.turn(f"portainer {stand.portainer.url}") as free:
        assert free
        if stand.portainer.background:
            stand.ensure()
        else:
            with pytest.raises(NotYet):
                stand.ensure()
            assert stand.portainer.lines("POST /stacks/create") == []
    stand.ensure()


def test_variables_are_sent_as_a_whole_every_time(stand: Stand) -> None:
    stand.ensure()
    stand.page(APP_VERSION="2")
    stand.ensure()
    sent = [seen for seen in stand.portainer.seen if seen.method in {"POST", "PUT"} and "/stacks/" in seen.path]
    assert len(sent) == 2
    for seen in sent:
        assert {"name": "PARCELLE_INSTANCE", "value": str(stand.spec.ref)} in seen.field("Env")


def test_a_key_that_was_revoked_stops_everything_without_a_retry(stand: Stand) -> None:
    stand.ensure()
    stand.portainer.keys.clear()
    for act in (stand.ensure, lambda: stand.provider.observe(stand.spec.ref)):
        with pytest.raises(CredentialsRefused) as caught:
            act()
        assert not caught.value.retry


def test_stopping_is_down_and_volumes_go_only_with_the_instance(stand: Stand, engine: docker.DockerClient) -> None:
    stand.ensure()
    stand.provider.stop(stand.spec.ref)
    assert (stand.status(), stand.containers(engine)) == (Status.STOPPED, [])
    kept = engine.volumes.get(f"{stand.spec.name}_data").attrs["CreatedAt"]
    stand.provider.start(stand.spec.ref)
    assert stand.status() is Status.RUNNING
    assert engine.volumes.get(f"{stand.spec.name}_data").attrs["CreatedAt"] == kept
    stand.provider.destroy(stand.spec.ref)
    with pytest.raises(docker.errors.NotFound):
        engine.volumes.get(f"{stand.spec.name}_data")
    assert not any("removeVolumes" in seen.query for seen in stand.portainer.seen)


def test_everything_of_a_stack_is_in_the_inventory(stand: Stand) -> None:
    stand.ensure()
    found = stand.found()
    assert (found.name, found.status) == (stand.spec.name, Status.RUNNING)
    assert {f"stack/{stand.spec.name}", f"container/{stand.spec.name}-web-1", f"volume/{stand.spec.name}_data"} <= set(
        found.parts
    )


# --- from the vendor's repository ---------------------------------------------------------------------------


@dataclass
class Vendor:
    stand: Stand
    repository: repository.Repository


@pytest.fixture
def vendor(
    portainer: Portainer, stack_images: None, belongings: Belongings, tmp_path: Path, settings: Settings
) -> Iterator[Vendor]:
    settings.BLUEPRINTS_DIR = SHIPPED
    with repository.serving(tmp_path, VENDOR, password="a secret of Git") as served:
        git = {"url": served.url, "username": served.user, "password": served.password}
        connection = {
            "url": portainer.url,
            "api_key": portainer.add_key(portainer.users[1]),
            "environment": 2,
            "git": git,
        }
        spec = _spec(belongings, "erp-btp", company="L’Atelier d'Émile & « Fils » $HOME #1")
        made = Stand(portainer, PortainerProvider(connection), tmp_path, spec)
        yield Vendor(made, served)
        _destroyed(made)


def test_the_erp_for_builders_deploys_as_its_description_says(vendor: Vendor, engine: docker.DockerClient) -> None:
    stand = vendor.stand
    stand.ensure()
    assert stand.records == [ACTIVE]
    (stack,) = stand.portainer.named(stand.spec.name)
    assert stack.git is not None
    assert (stack.git["URL"], stack.entry) == (vendor.repository.url, "docker-compose.portainer.yml")
    body = json.dumps({"login": stand.spec.variables["slug"], "password": stand.spec.secrets["initial_password"]})
    request = urllib.request.Request(f"{stand.provider.endpoint(stand.spec)}/sign-in", body.encode())
    with urllib.request.urlopen(request, timeout=10) as response:
        assert json.loads(response.read())["company"] == stand.spec.variables["company"]
    published = {
        f"{service}": container.ports
        for container in stand.containers(engine)
        if (service := container.labels["com.docker.compose.service"]) != "migrate"
    }
    ports = stand.spec.ports
    assert published["app"]["8080/tcp"][0]["HostPort"] == str(ports["application"])
    assert published["db"]["5432/tcp"][0]["HostPort"] == str(ports["database"])
    # Once more changes nothing.
    before = sorted(container.id for container in stand.containers(engine))
    changes = len(stand.portainer.lines("(POST|PUT) /stacks"))
    stand.ensure()
    assert sorted(container.id for container in stand.containers(engine)) == before
    assert len(stand.portainer.lines("(POST|PUT) /stacks")) == changes
    # New variables reach the containers; a repository stays one.
    stand.spec = replace(stand.spec, variables={**stand.spec.variables, "email": "b@example.com", "company": "Other"})
    stand.ensure()
    assert len(stand.portainer.lines("PUT /stacks/.*/git/redeploy")) == 1
    assert not stack.detached
    assert stand.status() is Status.RUNNING


def test_a_repository_that_cannot_be_cloned_says_so_without_the_password(vendor: Vendor) -> None:
    stand = vendor.stand
    right, vendor.repository.password = vendor.repository.password, "another one"
    with pytest.raises(ProvisioningError, match="clone") as caught:
        stand.ensure()
    assert right not in caught.value.detail
    assert stand.records == []


# --- an environment of several machines ---------------------------------------------------------------------


def test_a_swarm_is_told_by_its_tasks(stand: Stand, three_nodes: Swarm) -> None:
    manager = three_nodes.manager
    environment = stand.portainer.add_environment(
        "swarm", engine=f"unix://{manager.socket}", public_url=manager.address
    )
    key = stand.portainer.add_key(stand.portainer.users[1])
    stand = replace(
        stand,
        provider=PortainerProvider({"url": stand.portainer.url, "api_key": key, "environment": environment.id}),
        spec=replace(stand.spec, ref=uuid.uuid4(), ports={"application": 18300, "database": 18301}),
    )
    provider, ref = stand.provider, stand.spec.ref
    try:
        assert provider.environment.kind == "swarm"
        stand.write({}, image="parcelle-test/nowhere:1")
        # The command behind it called this a success.
        with pytest.raises(ProvisioningError, match="No such image"):
            stand.ensure()
        assert stand.records == [ACTIVE]
        stand.page()
        stand.ensure_at_last()
        assert stand.answer()["version"] == "1"
        before = _services(manager, ref)
        stand.ensure()
        assert _services(manager, ref) == before
        assert provider.run(ref, ["cat", "/proc/1/comm"], timeout=10)
        assert "listening" in provider.logs(ref, lines=20)
        provider.stop(ref)
        assert (stand.status(), _services(manager, ref)) == (Status.STOPPED, [])
        provider.start(ref)
        assert stand.answer()["version"] == "1"
        stand.page(APP_VERSION="2")
        stand.ensure()
        assert stand.answer()["version"] == "2"
        assert f"service/{stand.spec.name}_web" in next(iter(provider.inventory())).parts
    finally:
        _destroyed(stand)
    assert (provider.inventory(), _services(manager, ref)) == ((), [])


def _services(node: Node, ref: uuid.UUID) -> list[tuple[str, int]]:
    found = node.client.api.services(filters={"label": f"io.parcelle.instance={ref}"})
    return sorted((one["ID"], one["Version"]["Index"]) for one in found)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20), min_size=1, max_size=6))
def test_any_value_reaches_compose_as_it_is(tmp_path: Path, values: list[str]) -> None:
    """Portainer writes raw lines; compose reads them with a shell's eyes."""
    spelled = PortainerProvider.__new__(PortainerProvider)
    spelled.__dict__["environment"] = api.Environment(id=2, name="x", kind="docker", up=True, host="")
    lines = [f"V{number}={spelled._spelled(value)}" for number, value in enumerate(values)]
    (tmp_path / "stack.env").write_text("".join(f"{line}\n" for line in lines))
    environment = {f"V{number}": f"${{V{number}}}" for number in range(len(values))}
    (tmp_path / "c.yml").write_text(yaml.safe_dump({"services": {"a": {"image": "x", "environment": environment}}}))
    words = [
        "docker",
        "compose",
        "-p",
        "spelling",
        "-f",
        "c.yml",
        "--env-file",
        "stack.env",
        "config",
        "--format",
        "json",
    ]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    read = json.loads(done.stdout)["services"]["a"]["environment"]
    assert [read[f"V{number}"].replace("$$", "$") for number in range(len(values))] == values
