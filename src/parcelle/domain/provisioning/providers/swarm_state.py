"""What a stack on a swarm is doing, told from services, tasks and nodes. Decides only; asks nobody.

A command's success says nothing on Swarm: what counts is what the tasks do, and how the last update ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from parcelle.core.logs import redact
from parcelle.domain.provisioning.compose import labels
from parcelle.domain.provisioning.providers.base import Observation, Status

# So many tasks that ended badly one after the other are no accident.
PATIENCE: Final = 3
BAD: Final = frozenset({"failed", "rejected", "orphaned"})
OVER: Final = BAD | {"complete", "shutdown", "remove"}
# An update that is under way, in either direction.
CHANGING: Final = frozenset({"updating", "rollback_started"})
ROLLED_BACK: Final = frozenset({"rollback_completed", "rollback_paused"})


@dataclass(frozen=True, kw_only=True)
class Node:
    id: str
    hostname: str
    # ready, down, unknown, disconnected
    state: str
    # active, pause, drain
    availability: str
    role: str
    address: str
    version: str
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_up(self) -> bool:
        return self.state == "ready"


@dataclass(frozen=True, kw_only=True)
class Task:
    id: str
    created_at: str
    state: str
    desired: str
    error: str
    revision: str
    node_id: str = ""
    container: str = ""
    # port inside -> port on the node
    ports: Mapping[int, int] = field(default_factory=dict)

    @property
    def is_meant(self) -> bool:
        """Neither replaced nor stopped. A job's task is meant to be complete."""
        return self.desired in {"running", "complete", "ready"}

    def is_alive(self, nodes: Mapping[str, Node]) -> bool:
        node = nodes.get(self.node_id)
        return node is not None and node.is_up and self.state not in OVER


def task_of(answer: Mapping[str, Any]) -> Task:
    """From the engine's answer to `GET /tasks`."""
    status, container = answer["Status"], answer["Spec"].get("ContainerSpec") or {}
    ports = ((status.get("PortStatus") or {}).get("Ports")) or []
    return Task(
        id=answer["ID"],
        created_at=answer["CreatedAt"],
        state=status["State"],
        desired=answer["DesiredState"],
        error=status.get("Err") or "",
        revision=(container.get("Labels") or {}).get(labels.REVISION, ""),
        node_id=answer.get("NodeID") or "",
        container=(status.get("ContainerStatus") or {}).get("ContainerID") or "",
        ports={port["TargetPort"]: port["PublishedPort"] for port in ports},
    )


@dataclass(frozen=True, kw_only=True)
class Running:
    """One service as the manager knows it, with its tasks, oldest first."""

    id: str
    version: int
    spec: Mapping[str, Any] = field(repr=False)
    update: str = ""
    update_message: str = ""
    tasks: tuple[Task, ...] = ()

    @property
    def name(self) -> str:
        return str(self.spec["Name"])

    @property
    def key(self) -> str:
        """Its name in the compose file; "" for what is no service of the stack, such as a one-off command."""
        return str(self.spec["Labels"].get(labels.SWARM_SERVICE, ""))

    @property
    def revision(self) -> str:
        return str(self.spec["Labels"].get(labels.REVISION, ""))

    @property
    def is_job(self) -> bool:
        return "ReplicatedJob" in self.spec["Mode"]

    @property
    def replicas(self) -> int:
        return int((self.spec["Mode"].get("Replicated") or {}).get("Replicas") or 0)

    @property
    def is_pinned(self) -> bool:
        constraints = (self.spec["TaskTemplate"].get("Placement") or {}).get("Constraints") or []
        return any(constraint.startswith("node.id==") for constraint in constraints)

    def published(self, inside: int) -> int:
        """The port on a node for a port inside; 0 when there is none."""
        ports = (self.spec.get("EndpointSpec") or {}).get("Ports") or []
        return next((int(port["PublishedPort"]) for port in ports if port["TargetPort"] == inside), 0)

    def serving(self, nodes: Mapping[str, Node]) -> list[Task]:
        """The tasks that run where a node is up to run them; one that is about to be replaced comes first."""
        return [
            task
            for task in self.tasks
            if task.state == "running" and task.is_meant and task.node_id in nodes and nodes[task.node_id].is_up
        ]

    def alive(self, nodes: Mapping[str, Node]) -> list[Task]:
        """The tasks that hold something on a node: a container, a port, a volume."""
        return [task for task in self.tasks if task.is_alive(nodes)]

    def went_wrong(self, task: Task) -> bool:
        """Of what should stay, also a container that ended without an error: by itself, or because it was unhealthy."""
        return task.state in BAD or (task.state == "complete" and not self.is_job)

    @property
    def failures(self) -> list[Task]:
        """The tasks that ended badly since one last did well, newest first."""
        found: list[Task] = []
        for task in reversed(self.tasks):
            if self.went_wrong(task):
                found.append(task)
            elif task.state in {"running", "complete", "shutdown"}:
                break
        return found


@dataclass(frozen=True, kw_only=True)
class Record:
    """What the swarm itself remembers of a stack, so that it can be worked with by its ref alone."""

    stack: str
    # The service that visitors reach, and its port inside.
    service: str
    port: int
    # Node with the volumes; "" when there are none.
    home: str = ""
    volumes: tuple[str, ...] = ()
    # One of the stack's images, to reach the volumes with.
    image: str = ""
    # Services by the order in which they start: those of one wave need only those of the waves before.
    waves: tuple[tuple[str, ...], ...] = ()
    # Commands as {"service", "run", "user"}.
    dump: Mapping[str, Any] | None = None
    load: Mapping[str, Any] | None = None
    # "", "begun", "done"
    initialised: str = ""

    @property
    def services(self) -> frozenset[str]:
        return frozenset(name for wave in self.waves for name in wave)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Everything on a swarm that carries one ref."""

    ref: UUID
    record: Record | None = None
    services: tuple[Running, ...] = ()
    # name -> id
    networks: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    configs: Mapping[str, str] = field(default_factory=dict)
    # name -> id of the configs that hold the record
    records: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def by_key(self) -> dict[str, Running]:
        return {service.key: service for service in self.services if service.key}

    @property
    def is_there(self) -> bool:
        return bool(self.parts)

    @property
    def stack(self) -> str:
        if self.record:
            return self.record.stack
        return next((str(service.spec["Labels"].get(labels.SWARM_STACK, "")) for service in self.services), "")

    @property
    def parts(self) -> tuple[str, ...]:
        kinds = {
            "service": [service.name for service in self.services],
            "network": self.networks,
            "secret": self.secrets,
            "config": {**self.configs, **self.records},
        }
        return tuple(f"{kind}/{name}" for kind, names in kinds.items() for name in sorted(names))


def observation(seen: Seen, nodes: Mapping[str, Node]) -> Observation:
    """The state of a whole stack. A failure of one service is the stack's."""
    if not seen.is_there:
        return Observation(Status.ABSENT)
    services = sorted(seen.by_key.values(), key=lambda service: service.key)
    lacking = sorted((seen.record.services if seen.record else frozenset()) - seen.by_key.keys())
    if not services or not seen.record or not seen.record.services:
        return Observation(Status.CREATING, "without services")
    troubles = {service.key: text for service in services if (text := trouble(service, nodes, seen.record))}
    # A migration that failed in an update does not keep the version of before from serving.
    if lacking or any(not service.is_job and not is_well(service, nodes) for service in services):
        fatal = troubles
    else:
        fatal = {key: text for key, text in troubles.items() if not seen.by_key[key].is_job}
    if fatal:
        return Observation(Status.FAILED, _sentence(fatal.values()))
    if lacking:
        return Observation(Status.CREATING, f"without {', '.join(lacking)}")
    staying = [service for service in services if not service.is_job]
    stopped = [service.key for service in staying if not service.replicas]
    if staying and len(stopped) == len(staying):
        ending = [service.key for service in staying if service.alive(nodes)]
        return Observation(Status.STOPPED, f"{', '.join(ending)} still ending" if ending else "")
    if stopped:
        return Observation(Status.FAILED, f"{', '.join(stopped)} stopped while the others run")
    unready = [f"{one.key} {_state(one)}" for one in services if not is_well(one, nodes) and one.key not in troubles]
    if unready:
        return Observation(Status.CREATING, ", ".join(unready))
    updates = (text for service in services if (text := _about_update(service)))
    return Observation(Status.RUNNING, _sentence([*troubles.values(), *updates]))


def is_well(service: Running, nodes: Mapping[str, Node]) -> bool:
    """Runs as often as it should, healthy where it has a health check; a job has done its work."""
    if service.is_job:
        # The engine forgets old tasks; a job that went wrong stays to be seen.
        return any(task.state == "complete" for task in service.tasks) or not service.tasks
    return len(service.serving(nodes)) >= service.replicas


def trouble(service: Running, nodes: Mapping[str, Node], record: Record) -> str:
    """Why a service cannot run, which waiting alone does not mend; empty when there is no such thing."""
    if is_well(service, nodes) or (not service.is_job and not service.replicas):
        return ""
    failures, last = service.failures, next(reversed(service.tasks), None)
    if service.is_job:
        return (
            f"{service.key} ended badly: {reason(failures[0])}" if failures else _waiting(service, last, nodes, record)
        )
    if len(failures) >= PATIENCE:
        return f"{service.key} keeps ending: {reason(failures[0])}"
    if failures and failures[0].state == "rejected" and "No such image" in failures[0].error:
        return f"{service.key} cannot start: {reason(failures[0])}"
    return _waiting(service, last, nodes, record)


def _waiting(service: Running, last: Task | None, nodes: Mapping[str, Node], record: Record) -> str:
    home = nodes.get(record.home)
    lost = service.is_pinned and (home is None or not home.is_up)
    # Told before the manager has noticed that nothing else can take its place.
    if lost:
        where = f"node {home.hostname}, which is {home.state}" if home else "a node that has left the swarm"
        return f"{service.key} cannot run: its data is on {where}"
    if last and last.state == "pending" and last.error:
        return f"{service.key} finds no node: {last.error}"
    return ""


def reason(task: Task) -> str:
    if task.state == "complete":
        return "it ended without an error, or was ended because its health check failed"
    return redact(task.error or task.state)


def _state(service: Running) -> str:
    last = next(reversed(service.tasks), None)
    return last.state if last else "not scheduled yet"


def _about_update(service: Running) -> str:
    if service.update in ROLLED_BACK:
        failed = next(filter(service.went_wrong, reversed(service.tasks)), None)
        return f"the last update of {service.key} was rolled back" + (f": {reason(failed)}" if failed else "")
    if service.update in CHANGING:
        return f"{service.key} is being updated"
    return f"the update of {service.key} is paused: {service.update_message}" if service.update == "paused" else ""


def _sentence(texts: Iterable[str]) -> str:
    return redact("; ".join(texts))[:500]


def suits(node: Node, constraints: Sequence[str]) -> bool:
    """Whether the scheduler would put a task with these constraints on the node."""
    if not node.is_up or node.availability != "active":
        return False
    known = {"node.id": node.id, "node.hostname": node.hostname, "node.role": node.role}
    known |= {f"node.labels.{name}": value for name, value in node.labels.items()}
    for constraint in constraints:
        name, equal, value = constraint.partition("!=" if "!=" in constraint else "==")
        if (known.get(name.strip(), "") == value.strip()) is not (equal == "=="):
            return False
    return True
