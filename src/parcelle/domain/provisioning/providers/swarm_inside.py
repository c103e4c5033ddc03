"""What happens on the nodes of a swarm: commands in and beside a task's container, its volumes.

The swarm's managers offer none of it. Where a node's own engine can be reached it is asked directly; otherwise a job is
sent to the node.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO, Final

import structlog

from parcelle.core.logs import redact
from parcelle.domain.provisioning.compose import inside, labels, render, volumes
from parcelle.domain.provisioning.compose.engine import Engine
from parcelle.domain.provisioning.compose.parts import Part
from parcelle.domain.provisioning.compose.swarm import ONCE, Json, one_off
from parcelle.domain.provisioning.errors import ProvisioningError, SubnetTaken, TryAgain
from parcelle.domain.provisioning.providers.swarm_cluster import POLL_SECONDS, Cluster
from parcelle.domain.provisioning.providers.swarm_state import Record, Running, Seen, Task, reason

logger = structlog.get_logger(__name__)

VOLUME_SECONDS: Final = 60
EMPTYING_SECONDS: Final = 600
_LOG_LINES = 200
# As much as was announced, so that the other side need not be told where it ends.
_FEED = 'size=$1; shift; head -c "$size" | "$@"'


def run(
    engine: Engine,
    service: Running,
    task: Task,
    words: Sequence[str],
    *,
    timeout: float,
    user: str = "",
    into: BinaryIO | None = None,
    secrets: Iterable[str] = (),
) -> str:
    """Runs a command in the task's container; see `compose/inside.py`."""
    part = Part(service=service.key, id=task.container, name=service.name, state="running")
    return inside.run(engine, part, words, timeout=timeout, user=user, into=into, secrets=secrets)


def run_beside(
    cluster: Cluster,
    body: Mapping[str, Any],
    words: Sequence[str],
    *,
    timeout: float,
    node: str = "",
    user: str = "",
    secrets: Iterable[str] = (),
) -> str:
    """Runs a command as a job with all that the service `body` has but its name; returns its output."""
    name = f"{body['Labels'][labels.SWARM_STACK]}_run-{uuid.uuid4().hex[:8]}"
    job = one_off(body, name=name, command=words, node=node, user=user)
    return _job(cluster, job, words[0], timeout=timeout, secrets=secrets)


def _job(cluster: Cluster, body: Json, name: str, *, timeout: float, secrets: Iterable[str] = ()) -> str:
    job = cluster.create(body)
    try:
        ended = _ended(cluster, job, time.monotonic() + timeout)
        if ended is None:
            raise TryAgain(f"{name} took longer than {timeout:g} s")
        output = redact(cluster.logs(job, lines=_LOG_LINES).strip(), secrets)
        if ended.state != "complete":
            if "ool overlaps" in reason(ended):
                # The node has a network of its own there. What the job stands beside runs already, on the back network.
                raise SubnetTaken(render.FRONT if _is_fronted(body) else render.BACK)
            raise ProvisioningError(f"{name} failed: {reason(ended)}: {output[-600:]}")
        return output
    finally:
        cluster.remove_services(filter(None, [cluster.service(job.id)]))


def _is_fronted(body: Json) -> bool:
    return any(network["Target"].endswith(f"_{render.FRONT}") for network in body["TaskTemplate"].get("Networks") or ())


def _ended(cluster: Cluster, job: Running, give_up: float) -> Task | None:
    while time.monotonic() < give_up:
        now = cluster.service(job.id)
        if now is None:
            raise TryAgain("a job was removed before it ended")
        for task in now.tasks:
            if task.state in {"complete", "failed", "rejected", "orphaned"}:
                return task
        time.sleep(POLL_SECONDS)
    return None


def feed(engine: Engine, task: Task, words: Sequence[str], source: BinaryIO, *, timeout: float, user: str = "") -> None:
    """Runs a command in the task's container with `source` as its standard input. Needs `sh` and `head` there."""
    with tempfile.TemporaryFile() as spooled:
        shutil.copyfileobj(source, spooled, 1 << 20)
        size = spooled.tell()
        spooled.seek(0)
        command = ["sh", "-c", _FEED, "sh", str(size), *words]
        with engine.asked() as client:
            created = client.api.exec_create(task.container, command, stdin=True, user=user)
            connection: Any = client.api.exec_start(created["Id"], socket=True)
            said, in_time = _converse(connection, spooled, timeout)
    with engine.asked() as client:
        code = client.api.exec_inspect(created["Id"])["ExitCode"]
    if code is None:
        raise TryAgain(f"{words[0]} was cut off" if in_time else f"{words[0]} took longer than {timeout:g} s")
    if code:
        raise ProvisioningError(f"{words[0]} ended with code {code}: {redact(said)[-600:]}")


def _converse(connection: Any, source: BinaryIO, timeout: float) -> tuple[str, bool]:
    """Sends everything while it listens; the end of what was said, and whether the other side ended in time."""
    from docker.utils import socket as framing

    raw = getattr(connection, "_sock", connection)

    def hang_up() -> None:
        with contextlib.suppress(OSError):
            raw.shutdown(socket.SHUT_RDWR)

    def send() -> None:
        # A program that ended early says why in its output.
        with contextlib.suppress(OSError, ValueError):
            while chunk := source.read(1 << 16):
                raw.sendall(chunk)

    raw.settimeout(None)
    clock = threading.Timer(timeout, hang_up)
    sender = threading.Thread(target=send, name="command-input", daemon=True)
    said: deque[bytes] = deque(maxlen=20)
    clock.start()
    sender.start()
    try:
        with contextlib.suppress(OSError):
            said.extend(data for _stream, data in framing.frames_iter(connection, tty=False))
    finally:
        in_time = clock.is_alive()
        clock.cancel()
        # Wakes a sender that waits for a program that has ended.
        hang_up()
        sender.join(5)
        connection.close()
    return b"".join(said).decode(errors="replace"), in_time


def remove_containers(cluster: Cluster, seen: Seen) -> None:
    """Removes the ended containers of a stack whose services are gone, wherever a node's engine can be reached.

    A node's agent does so by itself, but forgets those whose service went while the node was down.
    """
    from docker.errors import APIError

    for _node, engine in cluster.reachable():
        # One that cannot be asked keeps no volume in use: the home is asked again, and loudly.
        with contextlib.suppress(ProvisioningError), engine.asked() as client:
            found = client.api.containers(all=True, filters={"label": labels.selector(seen.ref)})
            for container in found:
                with contextlib.suppress(APIError):
                    client.api.remove_container(container["Id"], force=True, v=True)


def remove_volumes(cluster: Cluster, seen: Seen, record: Record) -> None:
    """Removes a stack's volumes from its home, once its services are gone.

    A volume on a node whose engine cannot be reached is emptied by a job there; its empty shell stays.
    """
    if not record.volumes:
        return
    home = cluster.nodes().get(record.home)
    if home is None:
        logger.warning("volumes went with a node that left the swarm", instance=str(seen.ref), volumes=record.volumes)
        return
    if not home.is_up:
        raise TryAgain(
            f"the instance's data is on node {home.hostname}, which is {home.state}: start it, or give it up with "
            f"`docker node rm --force {home.hostname}`"
        )
    engine = cluster.engine_of(home.id)
    if engine is None:
        _empty(cluster, seen, record)
        logger.warning("emptied volumes stay on a node", node=home.hostname, volumes=record.volumes)
        return
    give_up = time.monotonic() + VOLUME_SECONDS
    while left := _remove(engine, seen):
        remove_containers(cluster, seen)
        if time.monotonic() > give_up:
            raise TryAgain(f"volumes are still in use on node {home.hostname}: {', '.join(left)}")
        time.sleep(POLL_SECONDS)


def _remove(engine: Engine, seen: Seen) -> list[str]:
    """Those that would not go: a container's end is reported a moment before it lets go of them."""
    with engine.asked() as client:
        found = client.api.volumes(filters={"label": labels.selector(seen.ref)}).get("Volumes") or []
    left = []
    for name in (volume["Name"] for volume in found):
        try:
            volumes.remove(engine, name)
        except ProvisioningError as error:
            if "in use" not in error.detail:
                raise
            left.append(name)
    return left


def _empty(cluster: Cluster, seen: Seen, record: Record) -> None:
    places = [f"/volumes/{number}" for number in range(len(record.volumes))]
    body: Json = {
        "Name": f"{record.stack}_run-{uuid.uuid4().hex[:8]}",
        "Labels": {**labels.of(seen.ref), labels.SWARM_STACK: record.stack},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": record.image,
                "Labels": dict(labels.of(seen.ref)),
                "Command": ["find", *places, "-mindepth", "1", "-delete"],
                "User": "0:0",
                "Healthcheck": {"Test": ["NONE"]},
                "Mounts": [
                    {"Type": "volume", "Source": name, "Target": place, "VolumeOptions": {"NoCopy": True}}
                    for name, place in zip(record.volumes, places, strict=True)
                ],
            },
            "RestartPolicy": {"Condition": "none"},
            "Placement": {"Constraints": [f"node.id=={record.home}"]},
        },
        "Mode": ONCE,
        "EndpointSpec": {"Mode": "dnsrr"},
    }
    _job(cluster, body, "emptying the volumes", timeout=EMPTYING_SECONDS)
