"""Instances as services of a Docker Swarm: compose stacks on several machines.

What the blueprint's compose file says becomes services, overlay networks, secrets and configs, made through the
services API. A stack's volumes stay on the node where they were made, its home; whatever has none may move. No virtual
addresses are used: services find each other by round-robin DNS, and the web service is reached on a leased port of the
node it runs on. It has two: a new version starts on the other one, beside the old.

Swarm has no templates: an instance is initialised by itself.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Final
from uuid import UUID

from django.conf import settings

from parcelle.core.logs import redact
from parcelle.domain.catalog.blueprints import Blueprint, BlueprintError, ComposeRecipe, ServiceCommand, fill
from parcelle.domain.provisioning.compose import images, render, volumes
from parcelle.domain.provisioning.compose import swarm as translation
from parcelle.domain.provisioning.compose.cli import Credential
from parcelle.domain.provisioning.compose.engine import Engine
from parcelle.domain.provisioning.compose.swarm import Place, Service, Stack
from parcelle.domain.provisioning.errors import CannotBeSaved, ProvisioningError, TargetUnreachable, TryAgain
from parcelle.domain.provisioning.providers import swarm_inside
from parcelle.domain.provisioning.providers.base import (
    Found,
    Observation,
    Progress,
    Spec,
    TargetHealth,
    TemplateSpec,
)
from parcelle.domain.provisioning.providers.swarm_cluster import POLL_SECONDS, Cluster
from parcelle.domain.provisioning.providers.swarm_rollout import START_SECONDS, Rollout, Web
from parcelle.domain.provisioning.providers.swarm_state import (
    Node,
    Record,
    Running,
    Seen,
    Task,
    observation,
    suits,
    trouble,
)

APPLICATION: Final = render.APPLICATION
SPARE: Final = "spare"
STOP_SECONDS: Final = 90
COMMAND_SECONDS: Final = 120
# Initialising, writing and reading a backup.
LONG_SECONDS: Final = 1500


class SwarmProvider:
    phases: ClassVar[tuple[str, ...]] = ("create_networks", "start_services")
    template_phases: ClassVar[tuple[str, ...]] = ()
    capabilities: ClassVar[frozenset[str]] = frozenset({"application", "moves"})
    port_purposes = (APPLICATION, SPARE)
    subnet_purposes = (render.BACK, render.FRONT)

    def __init__(self, cluster: Cluster, *, constraints: Sequence[str] = (), addresses: Mapping[str, str]) -> None:
        """`constraints` as the scheduler has them; `addresses` by which nodes are reached instead of their own."""
        self.cluster = cluster
        self.constraints = tuple(constraints)
        self.addresses = addresses

    @classmethod
    def open(cls, connection: Mapping[str, Any]) -> SwarmProvider:
        """From a target's connection: `url` and TLS material of a manager's engine (see `compose/engine.py`), and

        region, labels {name: value}, constraints […]   which nodes may run instances; `region` is a node label too
        nodes {host name: url}        engines of other nodes, for backups, restores and commands without a detour
        registries {host name: {user, password}}
        addresses {host name: address}   by which a node's ports are reached, when not by what the swarm calls it
        """
        certificates = Path(settings.HOME) / "docker"
        nodes = {
            name: Engine({**connection, "url": url}, certificates=certificates)
            for name, url in (connection.get("nodes") or {}).items()
        }
        named = {
            **({"region": connection["region"]} if connection.get("region") else {}),
            **(connection.get("labels") or {}),
        }
        constraints = [f"node.labels.{name}=={value}" for name, value in sorted(named.items())]
        logins = {
            host: Credential(user=of["user"], password=of["password"])
            for host, of in (connection.get("registries") or {}).items()
        }
        return cls(
            Cluster(Engine(connection, certificates=certificates), nodes, logins),
            constraints=[*constraints, *(connection.get("constraints") or [])],
            addresses=connection.get("addresses") or {},
        )

    def check(self) -> TargetHealth:
        self.cluster.require_manager()
        nodes = self.cluster.nodes().values()
        if not any(suits(node, self.constraints) for node in nodes):
            raise TargetUnreachable(
                "No node of the swarm may run instances: none that is up and active has "
                f"{' and '.join(self.constraints) or 'availability `active`'}."
            )
        down = sorted(f"{node.hostname} is {node.state}" for node in nodes if not node.is_up)
        spoken = self.cluster.api_version
        versions = {
            "docker": ", ".join(sorted({node.version for node in nodes})),
            "api": ".".join(map(str, spoken)),
            "nodes": f"{len(nodes) - len(down)} of {len(nodes)} up" + (f" ({', '.join(down)})" if down else ""),
        }
        if spoken < translation.NO_NEW_PRIVILEGES_API:
            versions["hardening"] = "no-new-privileges only where a node's daemon.json says so"
        return TargetHealth(versions=versions, running=self.cluster.running())

    def port_is_free(self, port: int) -> bool:
        """On no node that may run instances does anything answer there."""
        return not any(
            _answers(self._address(node), port)
            for node in self.cluster.nodes().values()
            if suits(node, self.constraints)
        )

    # --- templates: none --------------------------------------------------------------------------------

    def build(self, spec: TemplateSpec, phase: str, progress: Progress) -> None:
        return None

    def discard_template(self, blueprint: Blueprint) -> None:
        return None

    def has_template(self, blueprint: Blueprint) -> bool:
        return True

    # --- converging -------------------------------------------------------------------------------------

    def describe(self, spec: Spec) -> Mapping[str, str]:
        return {}

    def ensure(self, spec: Spec, phase: str, progress: Progress) -> None:
        seen = self.cluster.look(spec.ref)
        # A stack that was made as a standby keeps that name.
        spec = replace(spec, name=seen.stack or translation.stack_name(spec.name, spec.ref))
        stack, record = self._prepare(spec, seen)
        if phase == "create_networks":
            return
        for text in stack.weaker:
            progress(text, None)
        stack = self._with_contents(self.cluster.look(spec.ref), stack)
        rollout = self._rollout(spec, stack, progress)
        if record.initialised != "done":
            self._initialise(spec, stack, record, rollout, progress)
        rollout.go({service.key for service in stack.services})
        self._tidy(spec.ref, stack)

    def _prepare(self, spec: Spec, seen: Seen) -> tuple[Stack, Record]:
        """Networks, and the record by which everything is found again; nothing that runs is touched."""
        model = render.normalised(spec)
        recipe = _recipe(spec)
        home = self._home(seen, needed=translation.has_volumes(model))
        secrets, configs = render.contents(spec)
        stack = translation.translate(
            model, ref=spec.ref, name=spec.name, place=Place(constraints=self.constraints, home=home),
            web=(recipe.service, recipe.port, spec.ports[APPLICATION]), secrets=secrets, configs=configs,
            api=self.cluster.api_version,
        )  # fmt: skip
        record = Record(
            stack=stack.name, service=recipe.service, port=recipe.port, home=home, volumes=stack.volumes,
            image=model["services"][recipe.service]["image"],
            waves=tuple(tuple(service.key for service in wave) for wave in stack.waves),
            dump=_command(recipe.dump), load=_command(recipe.load),
            initialised=seen.record.initialised if seen.record else "" if recipe.initialise else "done",
        )  # fmt: skip
        self.cluster.remember(seen, record)
        self._give_way(seen, stack)
        self.cluster.join_networks(self.cluster.look(spec.ref), stack.networks)
        return stack, record

    def _home(self, seen: Seen, *, needed: bool) -> str:
        """The node of the stack's volumes: for a new one, of those that may run it the one with the fewest."""
        if seen.record and seen.record.home:
            return seen.record.home
        if not needed:
            return ""
        fit = [node for node in self.cluster.nodes().values() if suits(node, self.constraints)]
        if not fit:
            raise TargetUnreachable(
                "No node of the swarm that is up and active may run instances: see the target's check."
            )
        taken = Counter(self.cluster.homes())
        return min(fit, key=lambda node: (taken[node.id], node.role == "manager", node.hostname)).id

    def _give_way(self, seen: Seen, stack: Stack) -> None:
        """Removes networks whose subnet was refused and replaced since, while nothing runs in them."""
        moved = [
            network
            for network in stack.networks
            if network.name in seen.networks and network.subnet not in {"", self.cluster.subnet(network.name)}
        ]
        nodes = self.cluster.nodes()
        if moved and not any(service.serving(nodes) for service in seen.services):
            self.cluster.remove_services(seen.services)
            for network in moved:
                self.cluster.remove_network(network.name)

    def _with_contents(self, seen: Seen, stack: Stack) -> Stack:
        """The stack with the ids of its secrets and configs, which are made if need be."""
        secrets = self.cluster.keep(seen, "secret", stack.secrets)
        configs = self.cluster.keep(seen, "config", stack.configs)
        return stack.identified(secrets, configs)

    def _initialise(self, spec: Spec, stack: Stack, record: Record, rollout: Rollout, progress: Progress) -> None:
        """Runs the blueprint's first commands while only the services that these need run.

        One for a service that waits for others to run is a job of its own, because the service itself may not be able
        to run yet. Any other is run inside its service.
        """
        if record.initialised == "begun":
            # A second time on top of the half of a first is not something applications promise.
            self._clear(spec.ref, record)
        self.cluster.remember(self.cluster.look(spec.ref), replace(record, initialised="begun"))
        commands = [(self._service(spec, stack, command.service), command) for command in _recipe(spec).initialise]
        backing = [(service.needs if stack.waits(service) else {service.key}) for service, _command in commands]
        rollout.go(stack.closure(set().union(*backing)))
        variables, hidden = render.variables_of(spec), tuple(spec.secrets.values())
        for service, command in commands:
            progress(f"initialising {service.key}", None)
            words = [str(word) for word in fill(command.run, variables)]
            if stack.waits(service):
                swarm_inside.run_beside(
                    self.cluster, service.body, words, timeout=LONG_SECONDS, user=command.user, secrets=hidden
                )
            else:
                self._run_in(spec.ref, service.key, words, timeout=LONG_SECONDS, user=command.user, secrets=hidden)
        self.cluster.remember(self.cluster.look(spec.ref), replace(record, initialised="done"))

    def _service(self, spec: Spec, stack: Stack, key: str) -> Service:
        if service := stack.service(key):
            return service
        raise BlueprintError(f"{spec.blueprint.name}: a command is for the unknown service {key!r}")

    def _clear(self, ref: UUID, record: Record) -> None:
        """Takes the services and their volumes away, so that a stack can begin anew."""
        seen = self.cluster.look(ref)
        self.cluster.remove_services(seen.services)
        swarm_inside.remove_containers(self.cluster, seen)
        swarm_inside.remove_volumes(self.cluster, seen, record)

    def _rollout(self, spec: Spec, stack: Stack, progress: Progress) -> Rollout:
        recipe = _recipe(spec)
        ports = (spec.ports[APPLICATION], spec.ports[SPARE])
        web = Web(service=recipe.service, inside=recipe.port, ports=ports)
        return Rollout(self.cluster, spec.ref, stack, web, tuple(spec.secrets.values()), progress)

    def _tidy(self, ref: UUID, stack: Stack) -> None:
        """Removes what an earlier version of the stack had and this one has not."""
        seen = self.cluster.look(ref)
        kept = {service.key for service in stack.services}
        self.cluster.remove_services(service for service in seen.services if service.key not in kept)
        self.cluster.drop_unused(ref, used=[content.name for content in (*stack.secrets, *stack.configs)])

    # --- state ------------------------------------------------------------------------------------------

    def endpoint(self, spec: Spec) -> str:
        """Where the web service runs now: it may have moved since it was last asked."""
        recipe = _recipe(spec)
        service = self.cluster.look(spec.ref).by_key.get(recipe.service)
        if service is None:
            raise TryAgain("the application is on no node of the swarm")
        nodes = self.cluster.nodes()
        placed = service.serving(nodes) or [task for task in reversed(service.tasks) if task.node_id in nodes]
        if not placed:
            raise TryAgain("the application runs on no node of the swarm at the moment")
        port = placed[0].ports.get(recipe.port) or service.published(recipe.port)
        return f"http://{self._address(nodes[placed[0].node_id])}:{port}"

    def observe(self, ref: UUID) -> Observation:
        return observation(self.cluster.look(ref), self.cluster.nodes())

    def inventory(self) -> Sequence[Found]:
        nodes = self.cluster.nodes()
        found = []
        for seen in self.cluster.look_at_all():
            state = observation(seen, nodes)
            found.append(
                Found(ref=seen.ref, name=seen.stack, status=state.status, parts=seen.parts, detail=state.detail)
            )
        return found

    def start(self, ref: UUID) -> None:
        seen, record = self._known(ref)
        for wave in record.waves:
            keys = [key for key in wave if key in seen.by_key and not seen.by_key[key].is_job]
            for key in keys:
                self.cluster.scale(seen.by_key[key], 1)
            self._until_served(ref, record, keys)

    def _until_served(self, ref: UUID, record: Record, keys: Iterable[str]) -> None:
        wanted, give_up = set(keys), time.monotonic() + START_SECONDS
        while wanted:
            seen, nodes = self.cluster.look(ref), self.cluster.nodes()
            waited_for = [seen.by_key[key] for key in sorted(wanted) if key in seen.by_key]
            if troubles := [text for service in waited_for if (text := trouble(service, nodes, record))]:
                raise TryAgain("; ".join(troubles))
            wanted = {service.key for service in waited_for if not service.serving(nodes)}
            if wanted and time.monotonic() > give_up:
                raise TryAgain(f"{', '.join(sorted(wanted))} did not start within {START_SECONDS} s")
            time.sleep(POLL_SECONDS if wanted else 0)

    def stop(self, ref: UUID) -> None:
        seen = self.cluster.look(ref)
        waves = reversed(seen.record.waves) if seen.record else [tuple(seen.by_key)]
        for wave in waves:
            chosen = [seen.by_key[key] for key in wave if key in seen.by_key]
            for service in chosen:
                self.cluster.scale(service, 0)
            self._until_ended([service.id for service in chosen if not service.is_job])

    def _until_ended(self, identifiers: Sequence[str]) -> None:
        give_up = time.monotonic() + STOP_SECONDS
        for identifier in identifiers:
            while (service := self.cluster.service(identifier)) and service.alive(self.cluster.nodes()):
                if time.monotonic() > give_up:
                    raise TryAgain(f"{service.key} did not stop within {STOP_SECONDS} s")
                time.sleep(POLL_SECONDS)

    # --- inside -----------------------------------------------------------------------------------------

    def run(self, ref: UUID, command: Sequence[str], *, timeout: float = COMMAND_SECONDS) -> str:
        _seen, record = self._known(ref)
        return self._run_in(ref, record.service, command, timeout=timeout)

    def _run_in(
        self,
        ref: UUID,
        key: str,
        command: Sequence[str],
        *,
        timeout: float,
        user: str = "",
        secrets: Sequence[str] = (),
    ) -> str:
        """In the service's container where its node's engine can be reached, beside it on the node otherwise."""
        service, task = self._serving(ref, key)
        if engine := self.cluster.engine_of(task.node_id):
            return swarm_inside.run(engine, service, task, command, timeout=timeout, user=user, secrets=secrets)
        return swarm_inside.run_beside(
            self.cluster, service.spec, command, timeout=timeout, node=task.node_id, user=user, secrets=secrets
        )

    def _serving(self, ref: UUID, key: str) -> tuple[Running, Task]:
        service = self.cluster.look(ref).by_key.get(key)
        tasks = service.serving(self.cluster.nodes()) if service else []
        if service is None or not tasks:
            raise ProvisioningError(f"the service {key} does not run on the swarm")
        return service, tasks[-1]

    def logs(self, ref: UUID, *, lines: int) -> str:
        """The last lines of all services, oldest first, each with its service's name."""
        told: list[tuple[str, str]] = []
        for service in self.cluster.look(ref).services:
            for line in self.cluster.logs(service, lines=lines, timestamps=True).splitlines():
                moment, _space, text = line.partition(" ")
                told.append((moment, f"{service.key} | {text}"))
        last = sorted(told, key=lambda entry: entry[0])[-lines:]
        return redact("\n".join(text for _moment, text in last))

    def dump(self, ref: UUID, into: BinaryIO) -> None:
        """As the recipe's command writes it; without one, a tar of the volumes, read while the stack stands still."""
        _seen, record = self._known(ref)
        if record.dump is None:
            engine, mounts = self._home_engine(record), _mounts(record)
            with (
                self._standing_still(ref),
                volumes.reading(engine, ref, self._image_at(engine, record), mounts, folder=volumes.TOGETHER) as tar,
            ):
                into.writelines(tar)
            return
        with self._by_hand(ref, record.dump, record) as (engine, service, task, command):
            swarm_inside.run(
                engine, service, task, command["run"], timeout=LONG_SECONDS, user=command["user"], into=into
            )

    def load(self, ref: UUID, source: BinaryIO) -> None:
        _seen, record = self._known(ref)
        if record.load is None:
            engine, mounts = self._home_engine(record), _mounts(record)
            image = self._image_at(engine, record)
            with tempfile.TemporaryFile() as whole:
                shutil.copyfileobj(source, whole)
                volumes.refuse_broken(whole, set(mounts))
                with self._standing_still(ref):
                    volumes.empty(engine, ref, image, mounts.values())
                    whole.seek(0)
                    volumes.fill(engine, ref, image, mounts, whole)
            return
        with self._by_hand(ref, record.load, record) as (engine, _service, task, command):
            swarm_inside.feed(engine, task, command["run"], source, timeout=LONG_SECONDS, user=command["user"])

    def _home_engine(self, record: Record) -> Engine:
        """Of the node with the volumes. Raises CannotBeSaved when there are none, or it cannot be spoken to."""
        home = self.cluster.nodes().get(record.home)
        engine = self.cluster.engine_of(home.id) if home else None
        if engine is None:
            raise CannotBeSaved(
                "the blueprint has no `dump` command, and the engine of the node with the volumes "
                + (
                    f"cannot be reached: name it under `nodes` of the target, {_such_as(home)}"
                    if home
                    else "left the swarm: make it join again"
                )
            )
        return engine

    def _image_at(self, engine: Engine, record: Record) -> str:
        return images.resolve(engine, record.image, credentials=self.cluster.registries, fresh=False)

    @contextlib.contextmanager
    def _standing_still(self, ref: UUID) -> Iterator[None]:
        """Files of a program that writes to them are no backup."""
        runs = any(service.replicas for service in self.cluster.look(ref).services if not service.is_job)
        self.stop(ref)
        try:
            yield
        finally:
            if runs:
                self.start(ref)

    @contextlib.contextmanager
    def _by_hand(
        self, ref: UUID, command: Mapping[str, Any], record: Record
    ) -> Iterator[tuple[Engine, Running, Task, Mapping[str, Any]]]:
        """The container for a backup or a restore. What was stopped is started just so far, and stopped again."""
        stopped = self.cluster.look(ref).by_key.get(command["service"])
        if stopped is not None and not stopped.replicas:
            self.cluster.scale(stopped, 1)
            self._until_served(ref, record, [stopped.key])
        try:
            service, task = self._serving(ref, command["service"])
            engine = self.cluster.engine_of(task.node_id)
            if engine is None:
                node = self.cluster.nodes()[task.node_id]
                raise ProvisioningError(
                    f"the engine of node {node.hostname} cannot be reached: name it under `nodes` of the target, "
                    + _such_as(node)
                )
            yield engine, service, task, command
        finally:
            if stopped is not None and not stopped.replicas and (now := self.cluster.service(stopped.id)):
                self.cluster.scale(now, 0)
                self._until_ended([now.id])

    # --- the end ----------------------------------------------------------------------------------------

    def destroy(self, ref: UUID) -> None:
        seen = self.cluster.look(ref)
        if not seen.is_there:
            return
        self.cluster.remove_services(seen.services)
        swarm_inside.remove_containers(self.cluster, seen)
        if seen.record:
            swarm_inside.remove_volumes(self.cluster, seen, seen.record)
        for identifier in seen.networks.values():
            self.cluster.remove_network(identifier)
        self.cluster.forget(ref)
        left = self.cluster.look(ref)
        if left.is_there:
            raise TryAgain(f"something of the instance is still there: {', '.join(left.parts)}")

    def must_save(self, ref: UUID) -> bool:
        """Volumes of a recipe without a `dump` are copied as they are, where their node's engine can be reached."""
        record = self.cluster.look(ref).record
        if record is None or (record.dump is None and not record.volumes):
            return False
        if record.dump is None:
            self._home_engine(record)
        return True

    def archive_path(self, ref: UUID) -> Path | None:
        return Path(settings.HOME) / "archives" / f"{ref.hex}.dump"

    # --- small things -----------------------------------------------------------------------------------

    def _known(self, ref: UUID) -> tuple[Seen, Record]:
        seen = self.cluster.look(ref)
        if seen.record is None or not seen.by_key:
            raise ProvisioningError("this instance is not on the swarm, or was never completed: create it again")
        return seen, seen.record

    def _address(self, node: Node) -> str:
        return self.addresses.get(node.hostname) or node.address


def _recipe(spec: Spec) -> ComposeRecipe:
    return render.recipe_of(spec.blueprint)


def _command(command: ServiceCommand | None) -> Mapping[str, Any] | None:
    """With its words as they are: what a backup needs to know is in the service's environment."""
    if command is None:
        return None
    return {"service": command.service, "run": [str(word) for word in fill(command.run, {})], "user": command.user}


def _mounts(record: Record) -> dict[str, str]:
    """Where each volume is in an archive -> its name on the node."""
    return {f"{volumes.TOGETHER}/{name.removeprefix(f'{record.stack}_')}": name for name in record.volumes}


def _such_as(node: Node) -> str:
    return 'such as {"' + node.hostname + '": "ssh://user@address"}'


def _answers(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((address, port)) == 0
