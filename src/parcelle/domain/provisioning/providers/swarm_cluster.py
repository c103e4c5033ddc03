"""A Docker Swarm, spoken to through one of its managers: what carries our labels is read, made, changed, removed.

Where a node's own engine can be reached as well, containers and volumes on it can be worked with directly.
"""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from uuid import UUID

from parcelle.core.logs import redact
from parcelle.domain.provisioning.compose import labels
from parcelle.domain.provisioning.compose.cli import Credential
from parcelle.domain.provisioning.compose.engine import Engine
from parcelle.domain.provisioning.compose.swarm import Content, Json, Network
from parcelle.domain.provisioning.errors import NoSwarm, SubnetTaken, TryAgain
from parcelle.domain.provisioning.providers.swarm_state import Node, Record, Running, Seen, Task, task_of

POLL_SECONDS: Final = 0.15
_NETWORK_SECONDS = 10
_REMOVAL_SECONDS = 90
_LOG_SECONDS = 20
# How an engine refuses to remove a network for a moment: tasks end, or its own node let go of it before the swarm did
# (an internal error then, not its usual answer for what does not exist).
_NETWORK_LETS_GO = ("in use", "active endpoints", "not found")


@dataclass
class _Group:
    """What was found of one ref so far."""

    services: list[Running] = field(default_factory=list)
    networks: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    configs: dict[str, str] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)
    # The newest record and when it was written.
    record: tuple[str, Record] | None = None


class _Groups(dict[UUID, _Group]):
    def of(self, known: Mapping[str, str]) -> _Group:
        try:
            return self.setdefault(UUID(known[labels.INSTANCE]), _Group())
        except (KeyError, ValueError):
            # Our label with something else than a ref: it is not ours to touch.
            return _Group()

    def seen(self) -> dict[UUID, Seen]:
        return {
            ref: Seen(
                ref=ref,
                record=group.record[1] if group.record else None,
                services=tuple(group.services),
                networks=group.networks,
                secrets=group.secrets,
                configs=group.configs,
                records=group.records,
            )
            for ref, group in self.items()
        }


class Cluster:
    """`manager` is any manager's engine, `nodes` the engines of other nodes by host name."""

    def __init__(
        self, manager: Engine, nodes: Mapping[str, Engine], registries: Mapping[str, Credential] | None = None
    ) -> None:
        self.manager = manager
        self.engines = nodes
        self.registries = registries or {}

    @contextlib.contextmanager
    def asked(self) -> Iterator[Any]:
        """The SDK's client of the engine's API, half of which has no types; what it raises becomes our errors."""
        with self.manager.asked() as client:
            yield client.api

    @property
    def api_version(self) -> tuple[int, int]:
        with self.asked() as api:
            major, _, minor = api.api_version.partition(".")
        return int(major), int(minor)

    def require_manager(self) -> str:
        """The id of the node that answers. Raises NoSwarm, saying what to do, when it leads none."""
        with self.asked() as api:
            swarm = api.info().get("Swarm") or {}
        if swarm.get("LocalNodeState") != "active":
            raise NoSwarm(
                "The Docker Engine is in no swarm: run `docker swarm init` there, or choose the docker provider."
            )
        if not swarm.get("ControlAvailable"):
            managers = ", ".join(str(one["Addr"]).rpartition(":")[0] for one in swarm.get("RemoteManagers") or [])
            raise NoSwarm(f"This node of the swarm is a worker: give the target a manager's address ({managers}).")
        return str(swarm["NodeID"])

    # --- what there is ----------------------------------------------------------------------------------

    def nodes(self) -> dict[str, Node]:
        with self.asked() as api:
            answers = api.nodes()
        return {answer["ID"]: _node(answer) for answer in answers}

    def look(self, ref: UUID) -> Seen:
        """Everything that carries this ref."""
        return self._seen(labels.selector(ref)).get(ref, Seen(ref=ref))

    def look_at_all(self) -> list[Seen]:
        """Everything of ours, one stack after the other by name."""
        return sorted(self._seen(f"{labels.MANAGED}=1").values(), key=lambda seen: (seen.stack, seen.ref))

    def _seen(self, selector: str) -> dict[UUID, Seen]:
        chosen = {"label": selector}
        with self.asked() as api:
            services = api.services(filters=chosen)
            tasks = api.tasks(filters={"service": [one["ID"] for one in services]}) if services else []
            # An overlay network that a task uses is also known to the engine; only the swarm's own is meant.
            networks = [one for one in api.networks(filters=chosen) if one.get("Scope") == "swarm"]
            secrets, configs = api.secrets(filters=chosen), api.configs(filters=chosen)
        groups = _Groups()
        for service in services:
            own = [task for task in tasks if task["ServiceID"] == service["ID"]]
            groups.of(service["Spec"]["Labels"]).services.append(_running(service, own))
        for network in networks:
            groups.of(network["Labels"]).networks[network["Name"]] = network["Id"]
        for secret in secrets:
            groups.of(secret["Spec"]["Labels"]).secrets[secret["Spec"]["Name"]] = secret["ID"]
        for config in configs:
            _add_config(groups.of(config["Spec"]["Labels"]), config)
        return groups.seen()

    def service(self, identifier: str) -> Running | None:
        from docker.errors import NotFound

        with self.asked() as api:
            try:
                answer = api.inspect_service(identifier)
            except NotFound:
                return None
            return _running(answer, api.tasks(filters={"service": identifier}))

    # --- records, secrets, configs, networks ------------------------------------------------------------

    def remember(self, seen: Seen, record: Record) -> None:
        """Writes the record down, and then forgets the one of before."""
        data = json.dumps({"version": 1, **asdict(record)}, sort_keys=True).encode()
        content = Content(key="", name=f"{record.stack}_{time.time_ns():x}", data=data)
        if record != seen.record:
            self._create("config", content, {**labels.of(seen.ref), labels.RECORD: "1"})
            with self.asked() as api:
                for identifier in seen.records.values():
                    _gone(api.remove_config, identifier)

    def keep(self, seen: Seen, kind: str, contents: Sequence[Content]) -> dict[str, str]:
        """Makes the secrets or configs that are not there yet; name -> id of all of them."""
        there = dict(seen.secrets if kind == "secret" else seen.configs)
        for content in contents:
            if content.name not in there:
                there[content.name] = self._create(kind, content, dict(labels.of(seen.ref)))
        return there

    def _create(self, kind: str, content: Content, known: dict[str, str]) -> str:
        with self.asked() as api:
            create = api.create_secret if kind == "secret" else api.create_config
            return str(create(content.name, content.data, labels=known)["ID"])

    def homes(self) -> list[str]:
        """For every stack with volumes, the node that has them."""
        with self.asked() as api:
            records = api.configs(filters={"label": labels.RECORD})
        return [json.loads(base64.b64decode(one["Spec"]["Data"]))["home"] for one in records]

    def running(self) -> int:
        """How many stacks should run at least in part."""
        with self.asked() as api:
            services = api.services(filters={"label": f"{labels.MANAGED}=1"})
        wanted = (one["Spec"] for one in services if (one["Spec"]["Mode"].get("Replicated") or {}).get("Replicas"))
        return len({spec["Labels"].get(labels.INSTANCE) for spec in wanted})

    def forget(self, ref: UUID) -> None:
        """Removes secrets and configs, and as the last thing the record."""
        seen = self.look(ref)
        with self.asked() as api:
            for identifier in seen.secrets.values():
                _gone(api.remove_secret, identifier)
            for identifier in (*seen.configs.values(), *seen.records.values()):
                _gone(api.remove_config, identifier)

    def drop_unused(self, ref: UUID, *, used: Iterable[str]) -> None:
        """Removes the ref's secrets and configs that no service needs any more. One still in use stays for later."""
        from docker.errors import APIError

        seen, wanted = self.look(ref), set(used)
        with self.asked() as api:
            for names, remove in ((seen.secrets, api.remove_secret), (seen.configs, api.remove_config)):
                for name in names.keys() - wanted:
                    with contextlib.suppress(APIError):
                        remove(names[name])

    def join_networks(self, seen: Seen, networks: Sequence[Network]) -> None:
        """Makes the networks that are not there yet. Raises SubnetTaken when the swarm refuses a subnet.

        The manager accepts any subnet and hands out addresses of it later, or never, without a word.
        """
        from docker.types import IPAMConfig, IPAMPool

        for network in networks:
            if network.name not in seen.networks:
                pools = [IPAMPool(subnet=network.subnet)] if network.subnet else []
                with self.asked() as api:
                    api.create_network(
                        network.name, driver="overlay", internal=network.internal, labels=dict(labels.of(seen.ref)),
                        ipam=IPAMConfig(driver="default", pool_configs=pools), check_duplicate=True, scope="swarm",
                    )  # fmt: skip
        for network in networks:
            if not self._until(_NETWORK_SECONDS, lambda name=network.name: bool(self.subnet(name))):  # type: ignore[misc]
                self.remove_network(network.name)
                raise SubnetTaken(network.key)

    def subnet(self, network: str) -> str:
        """The subnet that the swarm hands addresses out of; empty when it does not."""
        from docker.errors import NotFound

        with self.asked() as api:
            try:
                answer = api.inspect_network(network, scope="swarm")
            except NotFound:
                return ""
        configured = (answer.get("IPAM") or {}).get("Config") or [{}]
        return str(configured[0].get("Subnet") or "")

    def remove_network(self, identifier: str) -> None:
        """Waits for the tasks that still use it to end."""
        from docker.errors import APIError, NotFound

        def gone() -> bool:
            with self.asked() as api:
                try:
                    api.remove_network(identifier)
                except NotFound:
                    return True
                except APIError as error:
                    if not any(words in str(error.explanation) for words in _NETWORK_LETS_GO):
                        raise
            # Even "removed" may come before it is: the next round has the last word.
            return False

        if not self._until(_REMOVAL_SECONDS, gone):
            raise TryAgain("a network of the instance is still in use")

    # --- services ---------------------------------------------------------------------------------------

    def create(self, body: Json) -> Running:
        body = self._pinned(body)
        with self._with_logins() as api:
            made = api.create_service(
                body["TaskTemplate"], name=body["Name"], labels=body["Labels"], mode=body["Mode"],
                update_config=body.get("UpdateConfig"), rollback_config=body.get("RollbackConfig"),
                endpoint_spec=body["EndpointSpec"],
            )  # fmt: skip
        found = self.service(made["ID"])
        if found is None:
            raise TryAgain(f"the service {body['Name']} was removed while it was made")
        return found

    def replace(self, service: Running, body: Mapping[str, Any]) -> None:
        """Gives a service another specification; refused when it was changed since it was looked at."""
        body = self._pinned(body)
        with self._with_logins() as api:
            api.update_service(
                service.id, service.version, task_template=body["TaskTemplate"], name=body["Name"],
                labels=body["Labels"], mode=body["Mode"], update_config=body.get("UpdateConfig"),
                rollback_config=body.get("RollbackConfig"), endpoint_spec=body.get("EndpointSpec"),
            )  # fmt: skip

    def _pinned(self, body: Mapping[str, Any]) -> Json:
        """With the image as the registry knows it now: every node, today and later, runs the same."""
        from docker.errors import APIError

        task = body["TaskTemplate"]
        image = task["ContainerSpec"]["Image"]
        if "@" in image or image.startswith("sha256:"):
            return dict(body)
        with self._with_logins() as api:
            try:
                digest = api.inspect_distribution(image)["Descriptor"]["digest"]
            except APIError:
                # An image that was loaded onto the nodes by hand, or a registry that is away for a moment.
                return dict(body)
        return {
            **body,
            "TaskTemplate": {**task, "ContainerSpec": {**task["ContainerSpec"], "Image": f"{image}@{digest}"}},
        }

    @contextlib.contextmanager
    def _with_logins(self) -> Iterator[Any]:
        """The managers pass a registry's password on to the nodes that pull from it."""
        from docker.auth import AuthConfig

        with self.asked() as api:
            entries = {host: {"username": of.user, "password": of.password} for host, of in self.registries.items()}
            api._auth_configs = AuthConfig({"auths": entries})
            yield api

    def scale(self, service: Running, replicas: int) -> None:
        if service.replicas != replicas and not service.is_job:
            self.replace(service, {**service.spec, "Mode": {"Replicated": {"Replicas": replicas}}})

    def remove_services(self, services: Iterable[Running]) -> None:
        """Removes services and waits until nothing of them runs any more on a node that is up."""
        from docker.errors import NotFound

        gone = list(services)
        with self.asked() as api:
            for service in gone:
                _gone(api.remove_service, service.id)

        def ended() -> bool:
            nodes = self.nodes()
            with self.asked() as api:
                for service in gone:
                    for task in service.tasks:
                        with contextlib.suppress(NotFound):
                            found = api.inspect_task(task.id)
                            ended = found["Status"]["State"] in {
                                "complete",
                                "failed",
                                "rejected",
                                "shutdown",
                                "orphaned",
                            }
                            node = nodes.get(found.get("NodeID") or "")
                            if not ended and node and node.is_up:
                                return False
            return True

        if gone and not self._until(_REMOVAL_SECONDS, ended):
            raise TryAgain("a container of the instance is still ending")

    def logs(self, service: Running, *, lines: int, timestamps: bool = False, errors: bool = True) -> str:
        """The last lines a service's tasks wrote, wherever they ran; nothing from nodes that are down."""
        from docker.errors import NotFound
        from requests.exceptions import RequestException

        with self.asked() as api:
            try:
                # The answer is a stream without an end when a node does not hand its part over.
                stream = api.service_logs(service.id, stdout=True, stderr=errors, tail=lines, timestamps=timestamps)
                written = _read(stream, until=time.monotonic() + _LOG_SECONDS)
            except (NotFound, RequestException):
                return ""
        return written.decode(errors="replace")

    # --- nodes ------------------------------------------------------------------------------------------

    def engine_of(self, node_id: str) -> Engine | None:
        """The engine of a node; None when nobody said how it is reached."""
        return dict(self.reachable()).get(node_id)

    def reachable(self) -> list[tuple[str, Engine]]:
        """The nodes that are up and whose engines may be asked directly: (id, engine)."""
        own = self.require_manager()
        found = []
        for node in self.nodes().values():
            engine = self.manager if node.id == own else self.engines.get(node.hostname)
            if engine is not None and node.is_up:
                found.append((node.id, engine))
        return found

    def _until(self, seconds: float, is_so: Callable[[], bool]) -> bool:
        give_up = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > give_up:
                return False
            time.sleep(POLL_SECONDS)
        return True


def _read(stream: Iterable[bytes], *, until: float) -> bytes:
    parts = []
    for part in stream:
        parts.append(part)
        if time.monotonic() > until:
            break
    return b"".join(parts)


def last_words(cluster: Cluster, service: Running) -> str:
    """What a service that failed wrote last."""
    lines = [line.strip() for line in cluster.logs(service, lines=5).splitlines() if line.strip()]
    return redact(" | ".join(lines[-3:]))[-300:]


def _gone(remove: Callable[[str], Any], identifier: str) -> None:
    from docker.errors import NotFound

    with contextlib.suppress(NotFound):
        remove(identifier)


def _add_config(group: _Group, config: Mapping[str, Any]) -> None:
    spec = config["Spec"]
    if labels.RECORD not in spec["Labels"]:
        group.configs[spec["Name"]] = config["ID"]
        return
    group.records[spec["Name"]] = config["ID"]
    if group.record is None or config["CreatedAt"] > group.record[0]:
        group.record = (config["CreatedAt"], _record(json.loads(base64.b64decode(spec["Data"]))))


def _record(data: Mapping[str, Any]) -> Record:
    return Record(
        stack=data["stack"],
        service=data["service"],
        port=data["port"],
        home=data["home"],
        volumes=tuple(data["volumes"]),
        image=data["image"],
        waves=tuple(tuple(wave) for wave in data["waves"]),
        dump=data["dump"],
        load=data["load"],
        initialised=data["initialised"],
    )


def _running(answer: Mapping[str, Any], tasks: Iterable[Mapping[str, Any]]) -> Running:
    update = answer.get("UpdateStatus") or {}
    found: list[Task] = sorted(map(task_of, tasks), key=lambda task: task.created_at)
    return Running(
        id=answer["ID"],
        version=answer["Version"]["Index"],
        spec=answer["Spec"],
        update=update.get("State") or "",
        update_message=update.get("Message") or "",
        tasks=tuple(found),
    )


def _node(answer: Mapping[str, Any]) -> Node:
    description, spec, status = answer["Description"], answer["Spec"], answer["Status"]
    address = status.get("Addr") or ""
    if address in {"", "0.0.0.0", "127.0.0.1"}:  # noqa: S104 what a manager may know of itself
        address = str((answer.get("ManagerStatus") or {}).get("Addr") or "").rpartition(":")[0] or address
    return Node(
        id=answer["ID"],
        hostname=description.get("Hostname", ""),
        state=status["State"],
        availability=spec["Availability"],
        role=spec["Role"],
        address=address,
        version=(description.get("Engine") or {}).get("EngineVersion", ""),
        labels=spec.get("Labels") or {},
    )
