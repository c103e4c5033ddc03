"""Three engines on one machine are a Swarm: work is spread, and moves when a machine dies."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import docker
import pytest
from docker.types import EndpointSpec, ServiceMode

from tests.docker import build, swarm
from tests.docker.swarm import Swarm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PUBLISHED: Any = {"Protocol": "tcp", "PublishedPort": 18080, "TargetPort": 8080, "PublishMode": "host"}


@pytest.fixture
def _as_before(three_nodes: Swarm) -> Iterator[None]:
    """Whatever becomes of the test, the next one, or itself once more, finds three machines without services."""
    yield
    for node in three_nodes.nodes:
        node.container.reload()
        if node.container.status != "running":
            node.start()
    for service in three_nodes.manager.client.services.list():
        service.remove()


@pytest.mark.usefixtures("_as_before")
def test_work_is_spread_and_moves_when_a_machine_dies(three_nodes: Swarm) -> None:
    services = three_nodes.manager.client.services
    free = services.create(
        build.tag("web"),
        name="free",
        mode=ServiceMode("replicated", 3),
        endpoint_spec=EndpointSpec(mode="dnsrr", ports=[PUBLISHED]),
    )
    services.create(
        build.tag("web"),
        name="pinned",
        constraints=["node.hostname==worker-2"],
        endpoint_spec=EndpointSpec(mode="dnsrr"),
    )
    names = {node.name for node in three_nodes.nodes}
    swarm.until(lambda: _running(three_nodes, "free") == names, "one task runs on every machine")
    swarm.until(lambda: _running(three_nodes, "pinned") == {"worker-2"}, "the pinned task runs where it belongs")
    for node in three_nodes.nodes:
        swarm.until(partial(swarm.listens, node.address, 18080), f"{node.name} publishes the port")

    victim = three_nodes.node("worker-2")
    victim.kill()
    swarm.until(lambda: three_nodes.states()["worker-2"] == "down", "the manager notices")
    free.update(endpoint_spec=EndpointSpec(mode="dnsrr"), mode=ServiceMode("replicated", 3))
    swarm.until(lambda: _running(three_nodes, "free", tasks=3) == names - {"worker-2"}, "what can move has moved")
    swarm.until(
        lambda: any("no suitable node" in error for _, _, error in three_nodes.tasks("pinned")), "what is pinned waits"
    )

    victim.start()
    swarm.until(lambda: three_nodes.states()["worker-2"] == "ready", "the machine is back")
    swarm.until(lambda: _running(three_nodes, "pinned") == {"worker-2"}, "what is pinned runs again")


def test_no_machine_is_part_of_the_outer_engine(engine: docker.DockerClient, three_nodes: Swarm) -> None:
    outer = {container.id for container in engine.containers.list(all=True, sparse=True)}
    for node in three_nodes.nodes:
        inner = {container.id for container in node.client.containers.list(all=True, sparse=True)}
        assert not inner & outer
        assert {node.client.images.get(build.tag(name)).id for name in ("postgres", "web")}


def _running(three_nodes: Swarm, service: str, tasks: int = 0) -> set[str]:
    """Where its tasks run; nothing while one of them does not, or while there are not as many as `tasks`."""
    found = three_nodes.tasks(service)
    well = all(state == "running" for _, state, _ in found) and len(found) >= tasks
    return {node for node, _, _ in found} if well else set()
