"""Three machines on one: engines in containers of `parcelle-test/node:1`, joined to one Swarm.

The kernel may have no IPVS, and then neither a service's virtual address nor the routing mesh works: services of tests
use `endpoint_mode: dnsrr` and ports of `mode: host`, as the provider does.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests
from docker.models.containers import Container
from docker.types import IPAMConfig, IPAMPool

from tests.docker import build
from tests.docker.belongings import Belongings

NAMES = ("manager", "worker-1", "worker-2")
# Instead of `privileged`, which an outer machine refuses that lacks one of the capabilities itself.
RUN_AS_A_MACHINE: dict[str, Any] = {
    "cap_add": ["ALL"],
    "cap_drop": ["SYS_RESOURCE"],
    "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
    "device_cgroup_rules": ["a *:* rwm"],
}
PATIENCE = 120  # seconds; a machine of its own needs ten


@dataclass
class Node:
    """One engine of the Swarm. `socket` is its API; `address` is reachable from this machine and the other nodes."""

    name: str
    container: Container
    socket: Path
    address: str
    _client: docker.DockerClient | None = field(default=None, repr=False)

    @property
    def client(self) -> docker.DockerClient:
        if self._client is None:
            self._client = docker.DockerClient(base_url=f"unix://{self.socket}", version="auto", timeout=60)
        return self._client

    def wait(self) -> None:
        """Until the engine answers."""
        until(self._answers, f"the engine of {self.name} answers")

    def _answers(self) -> bool:
        self.container.reload()
        assert self.container.status == "running", f"{self.name} ended: {self.container.logs(tail=20).decode()}"
        try:
            return bool(self.client.ping())
        except (docker.errors.DockerException, requests.exceptions.RequestException):
            return False

    def load(self, archive: Path) -> None:
        with archive.open("rb") as stream:
            self.client.images.load(stream)

    def kill(self) -> None:
        """As by a power cut."""
        self.container.kill()

    def start(self) -> None:
        """Brings a killed node back, with everything it had on its disk."""
        self.container.start()
        self.wait()


@dataclass
class Swarm:
    nodes: list[Node]

    @property
    def manager(self) -> Node:
        return self.nodes[0]

    @property
    def workers(self) -> list[Node]:
        return self.nodes[1:]

    def states(self) -> dict[str, str]:
        """Node name -> ready, down, unknown, as the manager sees it."""
        return {node.attrs["Description"]["Hostname"]: node.attrs["Status"]["State"] for node in self._listed()}

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def tasks(self, service: str) -> list[tuple[str, str, str]]:
        """(node name or "", state, error) of every task that should run."""
        by_id = {node.id: node.attrs["Description"]["Hostname"] for node in self._listed()}
        return [
            (by_id.get(task.get("NodeID", ""), ""), task["Status"]["State"], task["Status"].get("Err", ""))
            for task in self.manager.client.services.get(service).tasks(filters={"desired-state": "running"})
        ]

    def _listed(self) -> list[Any]:
        return list(self.manager.client.nodes.list())


@contextmanager
def running(client: docker.DockerClient, images: Sequence[str]) -> Iterator[Swarm]:
    """A Swarm of NAMES whose engines have `images` (names of ours). Everything of it is gone afterwards."""
    build.ensure(client, "node")
    tags = [build.ensure(client, name) for name in images]
    belongings = Belongings(client)
    # Sockets have short paths.
    work = Path(tempfile.mkdtemp(prefix="pcl-swarm-"))
    nodes: list[Node] = []
    try:
        network = _network(client, belongings)
        nodes += [_node(client, belongings, network, name, work) for name in NAMES]
        archive = work / "images.tar"
        # The SDK saves one image at a time, and with it once more what the images share.
        subprocess.run(["docker", "save", "--output", str(archive), *tags], check=True)
        with ThreadPoolExecutor() as together:
            list(together.map(lambda node: (node.wait(), node.load(archive)), nodes))
        archive.unlink()
        _join(nodes)
        yield Swarm(nodes)
    finally:
        for node in nodes:
            if node._client:
                node._client.close()
        belongings.remove()
        shutil.rmtree(work, ignore_errors=True)


def _network(client: docker.DockerClient, belongings: Belongings) -> str:
    """In the range 10.213.0.0/16, which no default pool of an engine uses; several sessions may want one."""
    for number in range(256):
        pool = IPAMPool(subnet=f"10.213.{number}.0/24", gateway=f"10.213.{number}.1")
        with contextlib.suppress(docker.errors.APIError):
            made = client.networks.create(
                f"parcelle-test-swarm-{belongings.owner[-8:]}",
                ipam=IPAMConfig(pool_configs=[pool]),
                labels=belongings.labels,
                check_duplicate=True,
            )
            return str(made.name)
    raise AssertionError("no range is free for the Swarm's network")


def _node(client: docker.DockerClient, belongings: Belongings, network: str, name: str, work: Path) -> Node:
    folder = work / name
    folder.mkdir()
    disk = client.volumes.create(f"{network}-{name}", labels=belongings.labels)
    host = client.api.create_host_config(
        **RUN_AS_A_MACHINE,
        binds=[f"{disk.name}:/var/lib/docker", f"{folder}:/run/parcelle", "/sys/fs/cgroup:/sys/fs/cgroup"],
        network_mode=network,
    )
    # What the command line calls `systempaths=unconfined`; the SDK has no word for it.
    host |= {"MaskedPaths": [], "ReadonlyPaths": []}
    made = client.api.create_container(
        build.tag("node"),
        ["--log-level=warn", f"--host=unix:///run/parcelle/{name}.sock", "--host=unix:///run/docker.sock"],
        name=f"{network}-{name}",
        hostname=name,
        labels=belongings.labels,
        host_config=host,
    )
    container = client.containers.get(made["Id"])
    container.start()
    container.reload()
    address = container.attrs["NetworkSettings"]["Networks"][network]["IPAddress"]
    return Node(name, container, folder / f"{name}.sock", address)


def _join(nodes: list[Node]) -> None:
    manager, *workers = nodes
    manager.client.swarm.init(advertise_addr=manager.address, listen_addr=f"{manager.address}:2377")
    token = manager.client.swarm.attrs["JoinTokens"]["Worker"]
    for worker in workers:
        worker.client.swarm.join([f"{manager.address}:2377"], token, advertise_addr=worker.address)
    swarm = Swarm(nodes)
    until(lambda: list(swarm.states().values()) == ["ready"] * len(nodes), "all nodes are ready")


def until(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience:.0f} s: {what}"
        time.sleep(0.25)


def listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True
