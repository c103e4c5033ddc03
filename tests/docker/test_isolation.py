"""What an instance can reach from its inside, tried from its inside: itself, and nothing else of ours."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker
import psutil
import pytest
import yaml
from django.test import override_settings
from docker.models.containers import Container

from parcelle.domain.catalog import blueprints as catalog
from parcelle.domain.provisioning.compose import firewall
from parcelle.domain.provisioning.providers.base import Spec
from parcelle.domain.provisioning.providers.docker import DockerProvider
from tests import blueprints, loopback, needs
from tests.docker import subnets
from tests.docker.belongings import Belongings
from tests.docker.swarm import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
_numbers = itertools.count()
DOCKER_PORTS = (2375, 2376, 2377, 4243)
# Prints which of the places on its standard input accept a connection.
TRY = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def attempt(place):
    try:
        socket.create_connection(tuple(place), timeout=2).close()
    except OSError:
        return False
    return True
places = json.loads(sys.argv[1])
with ThreadPoolExecutor(64) as together:
    print(json.dumps([place for place, there in zip(places, together.map(attempt, places)) if there]))
"""

Place = tuple[str, int]


@dataclass
class Tenant:
    spec: Spec
    web: Container
    db: Container

    def reaches(self, places: list[Place]) -> set[Place]:
        """Which of them accept a connection from the web service."""
        done = self.web.exec_run(["python3", "-c", TRY, json.dumps(places)])
        assert done.exit_code == 0, done.output
        assert isinstance(done.output, bytes)
        return {(host, port) for host, port in json.loads(done.output)}

    def database_reaches(self, place: Place) -> bool:
        attempt = ["timeout", "2", "bash", "-c", f"</dev/tcp/{place[0]}/{place[1]}"]
        return self.db.exec_run(attempt).exit_code == 0

    def addresses(self, container: Container) -> list[str]:
        container.reload()
        return [network["IPAddress"] for network in container.attrs["NetworkSettings"]["Networks"].values()]

    @property
    def gateways(self) -> list[str]:
        """The addresses of the machine on the tenant's own networks."""
        self.web.reload()
        assert self.web.client
        networks = self.web.client.networks
        names = self.web.attrs["NetworkSettings"]["Networks"]
        return [networks.get(name).attrs["IPAM"]["Config"][0]["Gateway"] for name in names]

    def doors(self) -> list[Place]:
        """Everything of the tenant that listens, by every address it has."""
        return [
            *((address, 8080) for address in self.addresses(self.web)),
            *((address, 5432) for address in self.addresses(self.db)),
        ]


@pytest.fixture(scope="module")
def blueprint_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The blueprint `stack` without a template: nothing here is about data."""
    folder = tmp_path_factory.mktemp("blueprints")
    target = folder / "stack"
    target.mkdir()
    source = blueprints.ECHO.parent / "stack"
    (target / "compose.yaml").write_text((source / "compose.yaml").read_text())
    content = yaml.safe_load((source / "blueprint.yaml").read_text())
    content["compose"] |= {"seed_volumes": [], "initialise": [], "adopt": []}
    (target / "blueprint.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture(scope="module")
def tenants(
    engine: docker.DockerClient, stack_images: None, belongings: Belongings, blueprint_folder: Path
) -> Iterator[list[Tenant]]:
    """Two customers of the same product on the same engine, both with a published port."""
    with override_settings(BLUEPRINTS_DIR=blueprint_folder, INGRESS="port"):
        yield [_tenant(engine, belongings, DockerProvider({}), name) for name in ("acme", "bolt")]


def _tenant(engine: docker.DockerClient, belongings: Belongings, provider: DockerProvider, slug: str) -> Tenant:
    ref = belongings.new_ref()
    spec = Spec(
        ref=ref,
        name=f"client-{slug}-{ref.hex[:6]}",
        blueprint=catalog.load("stack"),
        variables={"slug": slug, "url": ""},
        secrets={"database_password": ref.hex, "template_password": "T" * 16, "initial_password": "I" * 12},
        ports={purpose: loopback.free_port() for purpose in provider.port_purposes},
        subnets={purpose: subnets.take() for purpose in provider.subnet_purposes},
    )
    for phase in provider.phases:
        provider.ensure(spec, phase, lambda _note, _fraction: None)
    return Tenant(spec, *(engine.containers.get(f"{spec.name}-{service}-1") for service in ("web", "db")))


@contextmanager
def _listening(address: str) -> Iterator[int]:
    server = ThreadingHTTPServer((address, 0), BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture
def control_plane() -> Iterator[int]:
    """Something that listens as `parcelle up` does; its port."""
    with _listening("127.0.0.1") as port:
        yield port


@pytest.fixture
def open_service() -> Iterator[int]:
    """Another service of the machine, which listens on all of its addresses; its port."""
    with _listening("0.0.0.0") as port:
        yield port


def test_an_instance_reaches_itself_and_nothing_else_of_ours(tenants: list[Tenant], control_plane: int) -> None:
    own, other = tenants
    machine = {*own.gateways, *other.gateways, *_addresses_of_this_machine()}
    # That trying works at all.
    home: list[Place] = [("db", 5432), ("web", 8080), *own.doors()]
    until(lambda: own.reaches(home) == set(home), "an instance reaches itself")
    until(lambda: own.database_reaches(("web", 8080)), "its database reaches it")

    neighbour: list[Place] = other.doors()
    neighbour += [(f"{other.spec.name}-{service}-1", port) for service, port in (("web", 8080), ("db", 5432))]
    published = [(address, tenant.spec.ports["application"]) for tenant in tenants for address in machine]
    control: list[Place] = [(address, control_plane) for address in machine]
    engine_api: list[Place] = [(address, port) for address in machine for port in DOCKER_PORTS]
    away = [*neighbour, *published, *control, *engine_api]
    assert own.reaches(away) == set()
    assert [place for place in [*neighbour, *control] if own.database_reaches(place)] == []


def test_an_instance_has_no_way_to_the_engine(tenants: list[Tenant]) -> None:
    for container in (tenants[0].web, tenants[0].db):
        found = container.exec_run(["find", "/run", "/var/run/", "-name", "docker*"])
        assert found.output == b""
        assert [mount["Type"] for mount in container.attrs["Mounts"] if mount["Type"] == "bind"] == []
        status = container.exec_run(["cat", "/proc/1/status"]).output
        assert isinstance(status, bytes)
        assert b"NoNewPrivs:\t1" in status
        assert b"Seccomp:\t2" in status


@pytest.fixture
def machine_next_door() -> Iterator[Callable[[str], None]]:
    """Puts a machine with an open port 80 behind a cable of its own, under the address it is given."""
    if os.geteuid() or not shutil.which("ip"):
        needs.cannot("docker", "only root with iproute2 can change the machine's network")
    # The kernel takes a cable away some time after its namespace has gone.
    name = f"p{os.getpid()}x{next(_numbers)}"
    servers: list[subprocess.Popen[bytes]] = []

    def put(address: str) -> None:
        for command in (
            f"ip netns add {name}",
            f"ip link add {name}a type veth peer name {name}b netns {name}",
            f"ip link set {name}a up",
            f"ip route add {address}/32 dev {name}a",
            f"ip -netns {name} addr add {address}/32 dev {name}b",
            f"ip -netns {name} link set {name}b up",
            f"ip -netns {name} route add default dev {name}b",
        ):
            subprocess.run(command.split(), check=True, capture_output=True)
        serve = ["ip", "netns", "exec", name, sys.executable, "-m", "http.server", "80", "--bind", address]
        servers.append(subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    yield put
    for server in servers:
        server.kill()
        server.wait()
    # The cable goes with it, and the route with the cable.
    subprocess.run(["ip", "netns", "delete", name], check=True)


@pytest.fixture
def rules() -> Iterator[Callable[[], None]]:
    """Runs what `parcelle firewall` prints, for this process's networks only."""
    pool, chain = subnets.own(), f"PCL{os.getpid()}"
    ran = False

    def run() -> None:
        nonlocal ran
        ran = True
        subprocess.run(["sh"], input=firewall.script(pool, chain=chain).encode(), check=True)

    yield run
    if not ran:
        return
    for jump in (f"-D DOCKER-USER -s {pool} -j {chain}", f"-D INPUT -s {pool} -j {chain}-HOST"):
        subprocess.run(["iptables", "-w", *jump.split()], check=True)
    for removed in (chain, f"{chain}-HOST"):
        subprocess.run(["iptables", "-w", "-F", removed], check=True)
        subprocess.run(["iptables", "-w", "-X", removed], check=True)


# Not the real address of metadata: a machine of a cloud, which this may be, needs that one for itself.
@pytest.mark.parametrize("address", ["169.254.77.77", "10.214.77.77"])
def test_the_firewall_closes_metadata_and_private_networks(
    tenants: list[Tenant],
    machine_next_door: Callable[[str], None],
    rules: Callable[[], None],
    open_service: int,
    address: str,
) -> None:
    own = tenants[0]
    machine_next_door(address)
    next_door: list[Place] = [(address, 80)]
    services: list[Place] = [(gateway, open_service) for gateway in own.gateways]
    until(lambda: own.reaches([*next_door, *services]) == {*next_door, *services}, "without rules all of it is open")
    for _ in range(2):
        rules()
        assert own.reaches([*next_door, *services]) == set()
        assert not own.database_reaches(services[0])
    # What belongs together still works, and the machine still reaches the instance.
    home: list[Place] = [("db", 5432), *own.doors()]
    until(lambda: own.reaches(home) == set(home), "an instance still reaches itself")
    assert own.reaches(tenants[1].doors()) == set()
    with urllib.request.urlopen(f"http://127.0.0.1:{own.spec.ports['application']}/healthz", timeout=20) as answer:
        assert answer.status == 200
    jumps = subprocess.run(["iptables", "-w", "-S", "INPUT"], capture_output=True, text=True, check=True).stdout
    assert jumps.count(subnets.own()) == 1


def test_two_databases_share_no_name_and_no_password(tenants: list[Tenant]) -> None:
    own, other = tenants
    asked = ["psql", "-hdb", "-Uapp", "app", "-Atc", "SELECT inet_server_addr()"]
    answer = own.db.exec_run(asked, environment={"PGPASSWORD": own.spec.secrets["database_password"]})
    assert answer.output == f"{own.addresses(own.db)[0]}\n".encode()
    refused = own.db.exec_run(asked, environment={"PGPASSWORD": other.spec.secrets["database_password"]})
    assert refused.exit_code
    assert isinstance(refused.output, bytes)
    assert b"password authentication failed" in refused.output


def _addresses_of_this_machine() -> set[str]:
    """IPv4, loopback aside: inside a container that is the container."""
    every = (
        address.address for of in psutil.net_if_addrs().values() for address in of if address.family.name == "AF_INET"
    )
    return {address for address in every if not address.startswith("127.")}
