"""What the provider `docker` meets on real engines besides the contract: what is taken, full, gone or broken."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import psutil
import pytest
import yaml
from docker.models.containers import Container
from docker.types import IPAMConfig, IPAMPool, Mount
from pytest_django import Settings

from parcelle.domain.catalog import blueprints as catalog
from parcelle.domain.provisioning.compose.answers import NameInUse
from parcelle.domain.provisioning.errors import (
    DiskFull,
    ImageMissing,
    PortTaken,
    ProvisioningError,
    SubnetTaken,
    TargetUnreachable,
    TryAgain,
)
from parcelle.domain.provisioning.providers.base import Spec, Status, TemplateSpec
from parcelle.domain.provisioning.providers.docker import DockerProvider
from tests import blueprints
from tests.docker import subnets
from tests.docker.belongings import Belongings
from tests.docker.health import ASKING
from tests.docker.swarm import Node, _network, _node, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
STACK = blueprints.ECHO.parent / "stack"
PATIENCE = 180
# The smallest stack: one service that needs nothing.
WEB: Mapping[str, Any] = {
    "image": "parcelle-test/web:1",
    "environment": {"APP_VERSION": "1"},
    "healthcheck": {
        "test": list(ASKING),
        "interval": "1s",
        "timeout": "30s",
        "retries": 30,
    },
    "volumes": [{"type": "volume", "source": "files", "target": "/files"}],
    "user": "0:0",
    "stop_grace_period": "2s",
}
_numbers = itertools.count(25000 + 100 * (os.getpid() % 50))


def silent(_note: str, _fraction: float | None) -> None:
    """No progress is shown."""


class Yard:
    """A folder of blueprints, and stacks on the machine's engine that are gone afterwards."""

    def __init__(self, client: docker.DockerClient, folder: Path, belongings: Belongings) -> None:
        self.client = client
        self.folder = folder
        self.belongings = belongings
        self.provider = DockerProvider({"namespace": f"t{os.getpid()}"})

    def blueprint(self, services: Mapping[str, Any], name: str = "small", **recipe: Any) -> None:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        used = {
            mount["source"] for of in services.values() for mount in of.get("volumes", ()) if mount["type"] == "volume"
        }
        compose = {"services": dict(services), "volumes": {volume: {} for volume in sorted(used)}}
        (folder / "compose.yaml").write_text(yaml.safe_dump(compose))
        described = {
            "name": name,
            "version": "1",
            "title": {"fr": "Petit", "en": "Small"},
            "compose": {"service": "web", "port": 8080, **recipe},
            "probe": {"path": "/healthz"},
        }
        (folder / "blueprint.yaml").write_text(yaml.safe_dump(described))

    def spec(self, name: str = "small") -> Spec:
        ref = self.belongings.new_ref()
        return Spec(
            ref=ref,
            name=f"client-t{ref.hex[:8]}",
            blueprint=catalog.load(name),
            variables={"slug": "acme", "url": ""},
            secrets={"database_password": "D" * 16, "template_password": "T" * 16, "initial_password": "I" * 12},
            ports={purpose: next(_numbers) for purpose in self.provider.port_purposes},
            subnets={purpose: subnets.take() for purpose in self.provider.subnet_purposes},
        )

    def ensure(self, spec: Spec, provider: DockerProvider | None = None) -> None:
        for phase in DockerProvider.phases:
            (provider or self.provider).ensure(spec, phase, silent)

    def parts(self, spec: Spec) -> dict[str, Container]:
        found = self.client.containers.list(all=True, filters={"label": f"io.parcelle.instance={spec.ref}"})
        return {one.labels["com.docker.compose.service"]: one for one in found}

    def identity(self, spec: Spec) -> dict[str, tuple[str | None, str]]:
        return {name: (one.id, one.attrs["State"]["StartedAt"]) for name, one in self.parts(spec).items()}

    def wait_until(self, spec: Spec, status: Status) -> str:
        """What is told of it at the moment it is seen like that."""
        told = ""

        def is_so() -> bool:
            nonlocal told
            seen = self.provider.observe(spec.ref)
            told = seen.detail
            return seen.status is status

        until(is_so, f"{spec.name} is {status}", PATIENCE)
        return told


@pytest.fixture
def yard(
    engine: docker.DockerClient, stack_images: None, belongings: Belongings, tmp_path: Path, settings: Settings
) -> Iterator[Yard]:
    settings.BLUEPRINTS_DIR = tmp_path
    settings.INGRESS = "port"
    made = Yard(engine, tmp_path, belongings)
    made.blueprint({"web": WEB})
    yield made
    belongings.remove()


# --- what is taken ------------------------------------------------------------------------------------------


def test_a_port_that_another_program_uses_is_named_and_the_next_one_taken(yard: Yard) -> None:
    spec = yard.spec()
    with socket.create_server(("127.0.0.1", spec.ports["application"])):
        assert not yard.provider.port_is_free(spec.ports["application"])
        with pytest.raises(PortTaken) as caught:
            yard.ensure(spec)
        assert caught.value.port == spec.ports["application"]
        assert yard.provider.observe(spec.ref).status is Status.FAILED
        # As the runner does it: the lease is another one, the step is repeated.
        other = replace(spec, ports={"application": next(_numbers)})
        yard.provider.ensure(other, "start", silent)
    assert _get(yard.provider.endpoint(other)) == 200


def test_a_network_that_overlaps_is_named_and_another_one_taken(yard: Yard) -> None:
    spec = yard.spec()
    yard.client.networks.create(
        f"foreign-{spec.ref.hex[:8]}",
        labels=yard.belongings.labels,
        ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=spec.subnets["back"])]),
    )
    with pytest.raises(SubnetTaken) as caught:
        yard.ensure(spec)
    assert caught.value.purpose == "back"
    other = replace(spec, subnets={**spec.subnets, "back": subnets.take()})
    yard.provider.ensure(other, "start", silent)
    assert yard.provider.observe(spec.ref).status is Status.RUNNING


def test_a_lease_that_moved_moves_the_network(yard: Yard) -> None:
    """Compose itself would leave it where it is, without a word."""
    spec = yard.spec()
    yard.ensure(spec)
    yard.provider.stop(spec.ref)
    moved = replace(spec, subnets={**spec.subnets, "front": subnets.take()})
    yard.ensure(moved)
    (network,) = yard.client.networks.list(names=[f"{spec.name}_front"])
    assert network.attrs["IPAM"]["Config"][0]["Subnet"] == moved.subnets["front"]


def test_a_network_without_an_address_left_is_said_and_leaves_nothing(yard: Yard) -> None:
    yard.blueprint({"web": WEB, "worker": {**WEB, "volumes": []}})
    spec = yard.spec()
    # One address beside the gateway's.
    tiny = replace(spec, subnets={**spec.subnets, "back": spec.subnets["back"].replace("/28", "/30")})
    with pytest.raises(ProvisioningError, match="addresses"):
        yard.ensure(tiny)
    yard.provider.destroy(spec.ref)
    assert yard.provider.observe(spec.ref).status is Status.ABSENT


@pytest.mark.parametrize("kind", ["container", "network", "volume"])
def test_what_somebody_else_made_under_our_name_is_refused_and_left_alone(yard: Yard, kind: str) -> None:
    spec = yard.spec()
    foreign: Any
    if kind == "container":
        foreign = yard.client.containers.create(
            "parcelle-test/web:1", name=f"{spec.name}-web-1", labels=yard.belongings.labels
        )
    elif kind == "network":
        foreign = yard.client.networks.create(
            f"{spec.name}_back", labels={**yard.belongings.labels, "com.docker.compose.project": spec.name}
        )
    else:
        foreign = yard.client.volumes.create(f"{spec.name}_files", labels=yard.belongings.labels)
    with pytest.raises(NameInUse, match=f"{kind}/{spec.name}"):
        yard.ensure(spec)
    yard.provider.destroy(spec.ref)
    foreign.reload()


def test_a_volume_that_the_engine_made_by_itself_is_in_nobodys_way(yard: Yard) -> None:
    """As it does for a container whose volume is taken away while it is being made."""
    spec = yard.spec()
    yard.client.volumes.create(f"{spec.name}_files")
    yard.ensure(spec)
    assert yard.client.volumes.get(f"{spec.name}_files").attrs["Labels"]["io.parcelle.instance"] == str(spec.ref)
    yard.provider.destroy(spec.ref)


def test_one_with_something_in_it_is_left_alone(yard: Yard) -> None:
    spec = yard.spec()
    foreign = yard.client.volumes.create(f"{spec.name}_files")
    attached: dict[str, Any] = {"user": "0:0", "volumes": [f"{foreign.name}:/files"], "remove": True}
    try:
        yard.client.containers.run("parcelle-test/web:1", entrypoint=["touch", "/files/of-somebody"], **attached)
        with pytest.raises(NameInUse, match=f"volume/{spec.name}"):
            yard.ensure(spec)
        yard.provider.destroy(spec.ref)
        found = yard.client.containers.run("parcelle-test/web:1", entrypoint=["ls", "/files"], **attached)
        assert found == b"of-somebody\n"
    finally:
        foreign.remove()


def test_one_that_a_container_of_the_stack_got_is_taken_away_when_it_is_made_anew(yard: Yard) -> None:
    yard.blueprint({"web": WEB}, initialise=[{"service": "web", "run": ["sh", "-c", "echo own >> /files/own"]}])
    spec = yard.spec()
    yard.provider.ensure(spec, "pull_images", silent)
    half_made = yard.client.containers.create(
        "parcelle-test/web:1",
        name=f"{spec.name}-web-1",
        labels={
            **yard.belongings.labels,
            "io.parcelle.managed": "1",
            "io.parcelle.instance": str(spec.ref),
            "com.docker.compose.project": spec.name,
            "com.docker.compose.service": "web",
            "com.docker.compose.oneoff": "False",
            "com.docker.compose.config-hash": "0",
        },
        mounts=[Mount("/files", f"{spec.name}_files")],
    )
    half_made.start()
    half_made.exec_run(["touch", "/files/of-the-first-try"])
    with pytest.raises(TryAgain, match="files"):
        yard.provider.ensure(spec, "start", silent)
    yard.provider.ensure(spec, "prepare_data", silent)
    yard.provider.ensure(spec, "start", silent)
    assert yard.provider.run(spec.ref, ["ls", "/files"]).split() == ["own"]

    yard.provider.destroy(spec.ref)
    assert yard.provider.observe(spec.ref).status is Status.ABSENT
    with pytest.raises(docker.errors.NotFound):
        yard.client.volumes.get(f"{spec.name}_files")


def test_a_name_that_is_taken_between_the_look_and_the_making_is_refused_too(yard: Yard) -> None:
    spec = yard.spec()
    for phase in DockerProvider.phases[:-1]:
        yard.provider.ensure(spec, phase, silent)
    yard.client.containers.create("parcelle-test/web:1", name=f"{spec.name}-web-1", labels=yard.belongings.labels)
    with pytest.raises(NameInUse, match=f"{spec.name}-web-1"):
        yard.provider.ensure(spec, "start", silent)


# --- images -------------------------------------------------------------------------------------------------


def test_an_image_nobody_has_is_named_before_anything_is_made(yard: Yard) -> None:
    yard.blueprint({"web": {**WEB, "image": "registry.invalid/nobody/absent:1"}})
    spec = yard.spec()
    with pytest.raises(ImageMissing, match=r"registry\.invalid/nobody/absent:1"):
        yard.ensure(spec)
    assert yard.provider.observe(spec.ref).status is Status.ABSENT


def test_what_runs_is_untouched_while_a_new_image_cannot_be_had(yard: Yard) -> None:
    spec = yard.spec()
    yard.ensure(spec)
    before = yard.identity(spec)
    yard.blueprint({"web": {**WEB, "image": "registry.invalid/nobody/absent:2"}})
    with pytest.raises(ImageMissing):
        yard.ensure(replace(spec, blueprint=catalog.load("small")))
    assert yard.identity(spec) == before


def test_a_stack_keeps_the_image_it_was_made_of(yard: Yard) -> None:
    """The name means something else by tomorrow; for a stack that exists it does not."""
    name = f"parcelle-test/moving-{os.getpid()}"
    web, broken = (yard.client.images.get(f"parcelle-test/{image}:1") for image in ("web", "broken"))
    web.tag(name, "1")
    try:
        yard.blueprint({"web": {**WEB, "image": f"{name}:1"}})
        spec = yard.spec()
        yard.ensure(spec)
        before = yard.identity(spec)
        broken.tag(name, "1")
        yard.ensure(spec)
        assert yard.identity(spec) == before
        # Not even when it has to be made again.
        yard.parts(spec)["web"].remove(force=True)
        yard.ensure(spec)
        assert yard.parts(spec)["web"].attrs["Image"] == web.id
    finally:
        yard.client.images.remove(f"{name}:1")


# --- disk, memory, programs ---------------------------------------------------------------------------------


def test_a_full_disk_is_said_and_leaves_nothing_behind(yard: Yard) -> None:
    yard.blueprint({"web": WEB}, seed_volumes=["files"], initialise=[_fill_command(megabytes=4)])
    blueprint = catalog.load("small")
    _build(yard, blueprint.name)
    spec = yard.spec()
    yard.provider.ensure(spec, "pull_images", silent)
    # A disk of one megabyte, under the name that the volume will have.
    yard.client.volumes.create(
        f"{spec.name}_files",
        driver_opts={"type": "tmpfs", "device": "tmpfs", "o": "size=1m"},
        labels={"io.parcelle.instance": str(spec.ref), "io.parcelle.managed": "1"},
    )
    try:
        with pytest.raises(DiskFull):
            yard.provider.ensure(spec, "copy_template", silent)
        yard.provider.destroy(spec.ref)
        assert yard.provider.observe(spec.ref).status is Status.ABSENT
    finally:
        yard.provider.discard_template(blueprint)


def test_a_service_that_is_healthy_between_two_crashes_is_a_failure(yard: Yard) -> None:
    worker = {**WEB, "volumes": [], "environment": {"WEB_CRASH_AFTER": "8"}}
    yard.blueprint({"web": WEB, "worker": worker})
    spec = yard.spec()
    with contextlib.suppress(ProvisioningError):
        yard.ensure(spec)
    assert "worker keeps ending" in yard.wait_until(spec, Status.FAILED)


def test_a_service_out_of_memory_is_said(yard: Yard) -> None:
    greedy = ["python3", "-c", "import time; time.sleep(2); x = bytearray(300_000_000); time.sleep(60)"]
    worker = {**WEB, "volumes": [], "entrypoint": greedy, "command": [], "restart": "on-failure:1"}
    worker["healthcheck"] = {"test": ["CMD-SHELL", "true"], "interval": "1s"}
    yard.blueprint({"web": WEB, "worker": worker}, limits={"worker": {"memory_mb": 32}})
    spec = yard.spec()
    with contextlib.suppress(ProvisioningError):
        yard.ensure(spec)
    assert "out of memory" in yard.wait_until(spec, Status.FAILED)


def test_a_service_that_became_unhealthy_is_said(yard: Yard) -> None:
    spec = yard.spec()
    yard.blueprint({"web": {**WEB, "healthcheck": {**WEB["healthcheck"], "retries": 1}}})
    spec = replace(spec, blueprint=catalog.load("small"))
    yard.ensure(spec)
    yard.provider.run(spec.ref, ["touch", "/tmp/unhealthy"], timeout=60)
    assert "told to be unhealthy" in yard.wait_until(spec, Status.FAILED)
    yard.provider.run(spec.ref, ["rm", "/tmp/unhealthy"], timeout=60)
    yard.wait_until(spec, Status.RUNNING)


def test_one_service_that_somebody_stopped_is_a_failure_and_converging_mends_it(yard: Yard) -> None:
    yard.blueprint({"web": WEB, "worker": {**WEB, "volumes": []}})
    spec = yard.spec()
    yard.ensure(spec)
    yard.parts(spec)["worker"].stop(timeout=1)
    assert "worker" in yard.wait_until(spec, Status.FAILED)
    yard.ensure(spec)
    assert yard.provider.observe(spec.ref).status is Status.RUNNING


def test_a_command_that_takes_too_long_is_killed_with_its_children(yard: Yard) -> None:
    spec = yard.spec()
    yard.ensure(spec)
    with pytest.raises(TryAgain, match="took longer"):
        yard.provider.run(spec.ref, ["sh", "-c", "sleep 4711 & sleep 4712"], timeout=1)
    left = yard.parts(spec)["web"].top(ps_args="-eo pid,args")["Processes"]
    assert not [line for line in left if "sleep 471" in " ".join(line)]


# --- what interrupts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0.2, 0.6, 1.2, 2.0])
def test_compose_killed_in_the_middle_converges(yard: Yard, after: float) -> None:
    yard.blueprint({"web": WEB, "worker": {**WEB, "volumes": []}})
    spec = yard.spec()
    for phase in DockerProvider.phases[:-1]:
        yard.provider.ensure(spec, phase, silent)
    failed: list[BaseException] = []

    def start() -> None:
        try:
            yard.provider.ensure(spec, "start", silent)
        except ProvisioningError as error:
            failed.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    until(lambda: bool(_compose_processes("up")), "compose is at work", 30)
    time.sleep(after)
    for process in _compose_processes("up"):
        process.send_signal(signal.SIGKILL)
    thread.join(PATIENCE)
    yard.ensure(spec)
    assert yard.provider.observe(spec.ref).status is Status.RUNNING
    before = yard.identity(spec)
    yard.ensure(spec)
    assert yard.identity(spec) == before
    assert len(before) == 2


@pytest.fixture
def second_engine(
    engine: docker.DockerClient, belongings: Belongings, web_image: str, tmp_path: Path
) -> Iterator[Node]:
    """An engine of its own in a container, which may be killed."""
    from tests.docker import build

    build.ensure(engine, "node")
    work = Path("/tmp") / f"pcl-{uuid.uuid4().hex[:6]}"
    work.mkdir()
    try:
        node = _node(engine, belongings, _network(engine, belongings), "alone", work)
        node.wait()
        archive = tmp_path / "web.tar"
        subprocess.run(["docker", "save", "--output", str(archive), web_image], check=True)
        node.load(archive)
        yield node
    finally:
        shutil.rmtree(work, ignore_errors=True)


def test_an_engine_restarted_in_the_middle_converges(yard: Yard, second_engine: Node) -> None:
    provider = DockerProvider({"url": f"unix://{second_engine.socket}"})
    spec = yard.spec()
    for phase in DockerProvider.phases[:-1]:
        provider.ensure(spec, phase, silent)
    begun = threading.Thread(target=_quietly(lambda: provider.ensure(spec, "start", silent)))
    begun.start()
    until(lambda: bool(_compose_processes("up")), "compose is at work", 30)
    second_engine.kill()
    begun.join(PATIENCE)
    with pytest.raises(TargetUnreachable, match="start it there"):
        provider.observe(spec.ref)
    second_engine.start()
    # What the worker holds is a connection of before. The engine starts again what it finds, at the same time.
    spec = _as_the_runner_does(yard, spec, provider)
    assert provider.observe(spec.ref).status is Status.RUNNING
    # And an engine that comes back brings the stack back.
    second_engine.kill()
    second_engine.start()
    until(lambda: provider.observe(spec.ref).status is Status.RUNNING, "the stack is back", PATIENCE)
    provider.destroy(spec.ref)


# --- templates and standbys ---------------------------------------------------------------------------------


def test_data_is_seeded_once_and_never_again(yard: Yard) -> None:
    yard.blueprint(
        {"web": {**WEB, "volumes": [], "depends_on": {"keeper": {"condition": "service_healthy"}}}, "keeper": WEB},
        seed_volumes=["files"],
        initialise=[_fill_command(megabytes=1, service="keeper")],
        adopt=[{"service": "keeper", "run": ["sh", "-c", "echo adopted >> /files/adopted"]}],
    )
    blueprint = catalog.load("small")
    _build(yard, blueprint.name)
    spec = yard.spec()

    def tell(text: str) -> list[str]:
        return yard.provider.run(spec.ref, ["sh", "-c", text], timeout=60, service="keeper").split()

    try:
        yard.ensure(spec)
        assert tell("ls /files; cat /files/adopted") == ["adopted", "seed", "adopted"]
        tell("echo mine > /files/mine; rm /files/seed")
        # Even if the note that says so was lost.
        yard.client.volumes.get(f"{spec.name}_prepared").remove()
        yard.ensure(spec)
        assert tell("ls /files; cat /files/adopted") == ["adopted", "mine", "adopted"]
        # A volume that is gone is not replaced by an empty or a fresh one.
        yard.provider.stop(spec.ref)
        for part in yard.parts(spec).values():
            part.remove()
        yard.client.volumes.get(f"{spec.name}_files").remove()
        with pytest.raises(ProvisioningError, match="backup"):
            yard.ensure(spec)
    finally:
        yard.provider.discard_template(blueprint)


def test_a_preparation_that_was_cut_off_is_done_again(yard: Yard) -> None:
    """Also where it runs inside the application, which is therefore running already."""
    adopt = {"service": "web", "run": ["sh", "-c", "test -e /files/allowed && echo adopted > /files/adopted"]}
    yard.blueprint({"web": WEB}, seed_volumes=["files"], initialise=[_fill_command(megabytes=1)], adopt=[adopt])
    blueprint = catalog.load("small")
    _build(yard, blueprint.name)
    spec = yard.spec()
    try:
        with pytest.raises(ProvisioningError, match="ended with code 1"):
            yard.ensure(spec)
        yard.provider.run(spec.ref, ["touch", "/files/allowed"], timeout=60)
        yard.provider.ensure(spec, "prepare_data", silent)
        assert yard.provider.run(spec.ref, ["cat", "/files/adopted"], timeout=60) == "adopted"
    finally:
        yard.provider.discard_template(blueprint)


def test_a_half_made_copy_is_made_again(yard: Yard) -> None:
    yard.blueprint({"web": WEB}, seed_volumes=["files"], initialise=[_fill_command(megabytes=1)])
    blueprint = catalog.load("small")
    _build(yard, blueprint.name)
    spec = yard.spec()
    try:
        yard.provider.ensure(spec, "pull_images", silent)
        yard.provider.ensure(spec, "copy_template", silent)
        yard.client.containers.run(
            "parcelle-test/web:1",
            entrypoint=["sh", "-c", "rm /files/*; touch /files/half"],
            user="0:0",
            volumes={f"{spec.name}_files": {"bind": "/files"}},
            labels=yard.belongings.labels,
            remove=True,
        )
        # What copied it is still there: its worker was killed.
        yard.client.containers.create(
            "parcelle-test/web:1", labels={"io.parcelle.instance": str(spec.ref), "io.parcelle.managed": "1"}
        )
        yard.ensure(spec)
        assert yard.provider.run(spec.ref, ["ls", "/files"], timeout=60).split() == ["seed"]
        assert set(yard.parts(spec)) == {"web"}
    finally:
        yard.provider.discard_template(blueprint)


def test_without_its_template_nothing_is_made(yard: Yard) -> None:
    yard.blueprint({"web": WEB}, seed_volumes=["files"], initialise=[_fill_command(megabytes=1)])
    spec = yard.spec()
    assert not yard.provider.has_template(spec.blueprint)
    with pytest.raises(ProvisioningError, match="template"):
        yard.ensure(spec)


def test_an_image_without_a_shell_is_copied_for_as_well(yard: Yard, tmp_path: Path) -> None:
    """Streamed through the control plane instead of by a program inside."""
    from parcelle.domain.provisioning.compose import volumes
    from parcelle.domain.provisioning.compose.engine import Engine

    empty = yard.client.images.load(_image_of_nothing(f"parcelle-test/nothing-{os.getpid()}:1"))[0]
    ref = yard.belongings.new_ref()
    engine = Engine({}, certificates=tmp_path)
    source, destination = (volumes.create(engine, ref, f"client-{ref.hex[:8]}", name) for name in ("one", "two"))
    try:
        yard.client.containers.run(
            "parcelle-test/web:1",
            entrypoint=["sh", "-c", "mkdir /v/deep && echo text > /v/deep/file && chown -R 10001 /v/deep"],
            user="0:0",
            volumes={source: {"bind": "/v"}},
            remove=True,
        )
        volumes.copy(engine, ref, str(empty.id), source=source, destination=destination)
        seen = yard.client.containers.run(
            "parcelle-test/web:1",
            entrypoint=["sh", "-c", "stat -c %u /v/deep/file; cat /v/deep/file"],
            volumes={destination: {"bind": "/v"}},
            remove=True,
        )
        assert seen.split() == [b"10001", b"text"]
    finally:
        yard.client.images.remove(str(empty.id))


def test_what_only_an_image_declares_as_a_volume_goes_with_the_container(
    yard: Yard, postgres_image: str, tmp_path: Path
) -> None:
    from parcelle.domain.provisioning.compose import volumes
    from parcelle.domain.provisioning.compose.engine import Engine

    ref = yard.belongings.new_ref()
    engine = Engine({}, certificates=tmp_path)
    asked_for = volumes.create(engine, ref, f"client-{ref.hex[:8]}", "one")
    with volumes.reading(engine, ref, postgres_image, {"/from": asked_for}, folder="/from"):
        (helper,) = yard.client.containers.list(all=True, filters={"label": f"io.parcelle.instance={ref}"})
        declared = {mount["Name"] for mount in helper.attrs["Mounts"]} - {asked_for}
    assert declared
    for name in declared:
        with pytest.raises(docker.errors.NotFound):
            yard.client.volumes.get(name)
    assert yard.client.volumes.get(asked_for).name == asked_for


def test_a_standby_that_was_claimed_keeps_its_name_and_its_programs(yard: Yard) -> None:
    standby = replace(yard.spec(), name="standby-1a2b3c4d")
    yard.ensure(standby)
    before = yard.identity(standby)
    claimed = replace(standby, name="client-somebody", variables={"slug": "somebody", "url": "https://x.example.com"})
    yard.ensure(claimed)
    assert yard.identity(claimed) == before
    (found,) = [found for found in yard.provider.inventory() if found.ref == standby.ref]
    assert found.name == "standby-1a2b3c4d"
    assert "container/standby-1a2b3c4d-web-1" in found.parts
    assert found.status is Status.RUNNING


def test_behind_a_proxy_the_application_is_reached_on_its_network_and_uses_no_port(
    yard: Yard, settings: Settings
) -> None:
    settings.INGRESS = "caddy"
    spec = yard.spec()
    assert spec.ports == {}
    yard.ensure(spec)
    assert (
        yard.provider.endpoint(spec)
        == f"http://{spec.subnets['front'].rsplit('.', 1)[0]}."
        + str(int(spec.subnets["front"].rsplit(".", 1)[1].split("/")[0]) + 2)
        + ":8080"
    )
    assert _get(yard.provider.endpoint(spec)) == 200
    assert not yard.parts(spec)["web"].attrs["HostConfig"]["PortBindings"]


# --- backups ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_volumes_are_the_backup_of_a_stack_that_knows_no_better_one(yard: Yard, running: bool) -> None:
    spec = yard.spec()
    yard.ensure(spec)

    def tell(text: str) -> str:
        return yard.provider.run(spec.ref, ["sh", "-c", text], timeout=60)

    tell("mkdir /files/deep; echo one > /files/deep/file; chmod 600 /files/deep/file")
    if not running:
        yard.provider.stop(spec.ref)
    dump = io.BytesIO()
    yard.provider.dump(spec.ref, dump)
    assert (yard.provider.observe(spec.ref).status is Status.RUNNING) == running
    yard.provider.start(spec.ref)
    tell("echo two > /files/deep/file; touch /files/later")
    if not running:
        yard.provider.stop(spec.ref)
    for broken in (b"no archive", dump.getvalue()[: len(dump.getvalue()) // 2]):
        with pytest.raises(ProvisioningError, match="no backup"):
            yard.provider.load(spec.ref, io.BytesIO(broken))
    dump.seek(0)
    yard.provider.load(spec.ref, dump)
    yard.provider.start(spec.ref)
    assert tell("find /files -type f; cat /files/deep/file; stat -c %a /files/deep/file").split("\n") == [
        "/files/deep/file",
        "one",
        "600",
    ]


def test_a_stopped_stack_is_started_for_its_backup_only_as_far_as_needed(yard: Yard) -> None:
    dump = {"service": "worker", "run": ["echo", "saved"]}
    yard.blueprint({"web": WEB, "worker": {**WEB, "volumes": []}}, dump=dump)
    spec = yard.spec()
    yard.ensure(spec)
    yard.provider.stop(spec.ref)
    stopped_at = yard.parts(spec)["web"].attrs["State"]["FinishedAt"]
    saved = io.BytesIO()
    yard.provider.dump(spec.ref, saved)
    assert saved.getvalue() == b"saved\n"
    assert yard.provider.observe(spec.ref).status is Status.STOPPED
    assert yard.parts(spec)["web"].attrs["State"]["FinishedAt"] == stopped_at


# --- the end ------------------------------------------------------------------------------------------------


def test_what_somebody_else_attached_does_not_keep_a_stack_alive(yard: Yard) -> None:
    spec = yard.spec()
    yard.ensure(spec)
    guest = yard.client.containers.run(
        "parcelle-test/web:1", ["serve"], detach=True, labels=yard.belongings.labels, network=f"{spec.name}_back"
    )
    yard.provider.destroy(spec.ref)
    assert yard.provider.observe(spec.ref).status is Status.ABSENT
    guest.reload()
    assert guest.status == "running"


def test_a_destruction_that_leaves_something_says_what_and_goes_on_the_next_time(yard: Yard) -> None:
    spec = yard.spec()
    yard.ensure(spec)
    holder = yard.client.containers.create(
        "parcelle-test/web:1", labels=yard.belongings.labels, volumes={f"{spec.name}_files": {"bind": "/v"}}
    )
    with pytest.raises(TryAgain, match=f"volume/{spec.name}_files"):
        yard.provider.destroy(spec.ref)
    holder.remove()
    yard.provider.destroy(spec.ref)
    assert yard.provider.observe(spec.ref).status is Status.ABSENT


# --- connections --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("connection", "told"),
    [
        ({"url": "unix:///nowhere/docker.sock"}, "start it there"),
        ({"url": "tcp://engine.invalid:2375"}, "certificate"),
        ({"url": "tcp://127.0.0.1:9"}, "start it there"),
    ],
)
def test_an_engine_that_cannot_be_had_is_said_in_one_sentence(connection: dict[str, str], told: str) -> None:
    provider = DockerProvider(connection)
    for act in (provider.check, provider.inventory, lambda: provider.observe(uuid.uuid4())):
        with pytest.raises(TargetUnreachable, match=told):
            act()


def test_an_engine_far_away_is_reached_by_ssh(yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ssh` here is a script that goes nowhere and runs what it was asked to run there."""
    log = tmp_path / "ssh.log"
    script = tmp_path / "bin" / "ssh"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec env -u DOCKER_HOST docker system dial-stdio\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    provider = DockerProvider({"url": "ssh://operator@far.example.com", "address": "127.0.0.1"})
    spec = yard.spec()
    yard.ensure(spec, provider)
    assert provider.observe(spec.ref).status is Status.RUNNING
    assert _get(provider.endpoint(spec)) == 200
    assert provider.run(spec.ref, ["echo", "there"], timeout=60) == "there"
    assert "operator" in log.read_text() and "far.example.com" in log.read_text()
    provider.destroy(spec.ref)


def test_an_engine_far_away_is_reached_by_tls_with_certificates_on_both_sides(
    yard: Yard, tmp_path: Path, settings: Settings
) -> None:
    settings.HOME = tmp_path
    ours, theirs, ca = _certificates(tmp_path)
    with _tls_front(theirs, ca) as port:
        url = f"tcp://localhost:{port}"
        provider = DockerProvider({"url": url, **ours, "address": "127.0.0.1"})
        spec = yard.spec()
        yard.ensure(spec, provider)
        assert provider.observe(spec.ref).status is Status.RUNNING
        provider.destroy(spec.ref)
        folder = provider.engine.certificates
        assert folder is not None
        assert {path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())} == {0}
        stranger, _theirs, _ca = _certificates(tmp_path / "other")
        with pytest.raises(TargetUnreachable):
            DockerProvider({"url": url, **stranger}).check()


# --- helpers ------------------------------------------------------------------------------------------------


def _as_the_runner_does(yard: Yard, spec: Spec, provider: DockerProvider) -> Spec:
    """Tries again what may pass, with another port if that is what is taken."""
    for pause in (0.2, 0.5, 1, 2, 4, 8, 8):
        try:
            yard.ensure(spec, provider)
        except PortTaken:
            spec = replace(spec, ports={"application": next(_numbers)})
        except TryAgain:
            time.sleep(pause)
        else:
            break
    return spec


def _build(yard: Yard, name: str) -> None:
    blueprint = catalog.load(name)
    for phase in DockerProvider.template_phases:
        yard.provider.build(TemplateSpec(blueprint=blueprint, secrets={}), phase, silent)


def _fill_command(*, megabytes: int, service: str = "web") -> dict[str, Any]:
    return {"service": service, "run": ["sh", "-c", f"head -c {megabytes}000000 /dev/urandom > /files/seed"]}


def _get(address: str) -> int:
    with urllib.request.urlopen(f"{address}/healthz", timeout=10) as answer:
        return int(answer.status)


def _quietly(act: Callable[[], None]) -> Callable[[], None]:
    def do() -> None:
        with contextlib.suppress(ProvisioningError):
            act()

    return do


def _compose_processes(word: str) -> list[psutil.Process]:
    """Those that this process started."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if word in process.cmdline() and re.search("docker", process.cmdline()[0]):
                found.append(process)
    return found


def _image_of_nothing(tag: str) -> bytes:
    import hashlib
    import json
    import tarfile

    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("nothing"))
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]).encode()
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        for name, content in (("layer.tar", layer.getvalue()), ("config.json", config), ("manifest.json", manifest)):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return whole.getvalue()


def _certificates(folder: Path) -> tuple[dict[str, str], Path, Path]:
    """(connection values of a client, the server's certificate and key in one file, the CA), all by openssl."""
    folder.mkdir(exist_ok=True)

    def run(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca")
    (folder / "san").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name in ("server", "client"):
        asked = ("-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        run("req", "-newkey", "rsa:2048", "-nodes", *asked)
        run(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-extfile", "san",
        )  # fmt: skip
    (folder / "server.both").write_text((folder / "server.pem").read_text() + (folder / "server.key").read_text())
    ours = {"ca": "ca.pem", "certificate": "client.pem", "key": "client.key"}
    return {name: (folder / file).read_text() for name, file in ours.items()}, folder / "server.both", folder / "ca.pem"


@contextlib.contextmanager
def _tls_front(certificate: Path, ca: Path) -> Iterator[int]:
    """The machine's engine behind TLS that asks for a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ca))
    context.load_cert_chain(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _address = server.accept()
                threading.Thread(target=pass_on, args=(plain,), daemon=True).start()

    def pass_on(plain: socket.socket) -> None:
        with contextlib.suppress(OSError):
            outside = context.wrap_socket(plain, server_side=True)
            inside = socket.socket(socket.AF_UNIX)
            inside.connect("/var/run/docker.sock")
            threading.Thread(target=copy, args=(outside, inside), daemon=True).start()
            copy(inside, outside)

    def copy(source: socket.socket, destination: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                destination.sendall(data)
        with contextlib.suppress(OSError):
            destination.shutdown(socket.SHUT_WR)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield int(server.getsockname()[1])
    finally:
        server.close()
