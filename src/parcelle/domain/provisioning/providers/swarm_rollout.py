"""Bringing the services of one stack to what they should be, and back when that goes wrong.

Waves start one after the other. The engine itself takes back an update that fails; what was updated before in the same
rollout is taken back here, so that all of the old version serves on.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from parcelle.core.logs import redact
from parcelle.domain.provisioning.compose import answers, render
from parcelle.domain.provisioning.compose.swarm import Service, Stack, published
from parcelle.domain.provisioning.errors import PortTaken, ProvisioningError, SubnetTaken, TryAgain, UpdateRolledBack
from parcelle.domain.provisioning.providers.base import Progress
from parcelle.domain.provisioning.providers.swarm_cluster import POLL_SECONDS, Cluster, last_words
from parcelle.domain.provisioning.providers.swarm_state import CHANGING, PATIENCE, Running, Task, reason

# How long the services that start together may take, a pull included.
START_SECONDS: Final = 240
# How long "no suitable node" is believed to pass by itself.
PENDING_SECONDS: Final = 15


@dataclass(frozen=True, kw_only=True)
class Web:
    """The service that visitors reach, its port inside, and the two ports of a node that it may be published on."""

    service: str
    inside: int
    ports: tuple[int, int]


@dataclass
class Rollout:
    cluster: Cluster
    ref: UUID
    stack: Stack
    web: Web
    secrets: Sequence[str] = field(repr=False)
    progress: Progress
    # As they were before.
    updated: list[Running] = field(default_factory=list)

    def go(self, keys: set[str]) -> None:
        """Starts or updates the services wave by wave; when one cannot, those updated before it go back too."""
        before = self.cluster.look(self.ref).by_key
        started = 0
        try:
            for wave in self.stack.waves:
                chosen = [service for service in wave if service.key in keys]
                for service in chosen:
                    self._begin(service, before.get(service.key))
                give_up = time.monotonic() + START_SECONDS
                for service in chosen:
                    self.progress(f"starting {service.key}", started / len(keys))
                    self._await(service, before.get(service.key), give_up=give_up)
                    started += 1
        except ProvisioningError as error:
            # What is tried again goes on from here.
            for former in () if error.retry else self.updated:
                self._take_back(former)
            raise

    def _begin(self, service: Service, current: Running | None) -> None:
        """Makes what is not there, changes what is different, and leaves what is as it should be untouched."""
        if current is not None and service.one_shot and (current.revision != service.revision or current.failures):
            self.cluster.remove_services([current])
            current = None
        if current is None:
            self.cluster.create(service.body)
        elif current.revision != service.revision:
            if current.replicas:
                self.updated.append(current)
            self.cluster.replace(current, self._on_free_port(service, current))
        elif not service.one_shot:
            self.cluster.scale(current, 1)

    def _on_free_port(self, service: Service, current: Running) -> dict[str, Any]:
        """The new version on the port that the old one does not use, so that both fit on one node."""
        if service.key != self.web.service:
            return service.body
        first, spare = self.web.ports
        port = spare if current.published(self.web.inside) == first else first
        return published(service.body, port, inside=self.web.inside)

    def _await(self, service: Service, before: Running | None, *, give_up: float) -> None:
        """Returns when the service is as it should be; raises with what its tasks say when it will not be."""
        stuck_at = time.monotonic() + PENDING_SECONDS
        while True:
            now = self.cluster.service(service.name)
            if now is None:
                raise TryAgain(f"the service {service.key} was removed while it started")
            own = [task for task in now.tasks if task.revision == service.revision]
            if now.update not in CHANGING:
                if now.revision != service.revision:
                    raise self._rolled_back(service, now, own)
                if self._is_ready(service, now):
                    return
                self._raise_failure(service, now)
            pending = own[-1] if own and own[-1].state == "pending" and own[-1].error else None
            if pending is None:
                stuck_at = time.monotonic() + PENDING_SECONDS
            elif time.monotonic() > stuck_at:
                if before is not None:
                    self._take_back(before)
                raise self._without_node(service, now, pending)
            if time.monotonic() > give_up:
                raise TryAgain(f"{service.key} is still {own[-1].state if own else 'waiting'} after {START_SECONDS} s")
            time.sleep(POLL_SECONDS)

    def _is_ready(self, service: Service, now: Running) -> bool:
        if service.one_shot:
            return any(task.state == "complete" for task in now.tasks)
        return any(task.revision == service.revision for task in now.serving(self.cluster.nodes()))

    def _rolled_back(self, service: Service, now: Running, own: Sequence[Task]) -> ProvisioningError:
        failed = next(filter(now.went_wrong, reversed(own)), None)
        why = reason(failed) if failed else now.update_message
        told = answers.error_of(1, why, project="")
        # Neither says anything against the new version: a port that another program of the node uses, and a node that
        # was given the task before it was given its part of the network.
        if isinstance(told, PortTaken):
            return told
        if "missing network attachments" in why:
            return TryAgain(f"the new version of {service.key!r} was taken back: {why}")
        return UpdateRolledBack(service.key, self._shown(why))

    def _raise_failure(self, service: Service, now: Running) -> None:
        failures = [task for task in now.failures if task.revision == service.revision]
        if not failures or (not service.one_shot and len(failures) < PATIENCE):
            return
        text = reason(failures[0])
        if "ool overlaps" in text:
            # The node has a network of its own there. Which of the two is not said: one that runs elsewhere is fine.
            raise SubnetTaken(self._suspect(service))
        told = answers.error_of(1, text, project="")
        if told is not None and type(told) is not ProvisioningError:
            raise told
        said = last_words(self.cluster, now)
        raise answers.ServiceFailed(service.key, self._shown(f"keeps ending: {text}" + (f" ({said})" if said else "")))

    def _suspect(self, service: Service) -> str:
        nodes = self.cluster.nodes()
        others = [other for other in self.cluster.look(self.ref).by_key.values() if other.key != service.key]
        fronted = service.key == self.web.service
        return render.FRONT if fronted and any(other.serving(nodes) for other in others) else render.BACK

    def _without_node(self, service: Service, now: Running, pending: Task) -> ProvisioningError:
        if "host-mode port already in use" in pending.error and service.key == self.web.service:
            return PortTaken(now.published(self.web.inside))
        return TryAgain(f"{service.key} finds no node: {redact(pending.error)}")

    def _shown(self, text: str) -> str:
        return redact(text, self.secrets)

    def _take_back(self, before: Running) -> None:
        """Gives a service the specification it had; it must not stay in a state of its own."""
        now = self.cluster.service(before.id)
        if now is None or now.revision == before.revision:
            return
        with contextlib.suppress(TryAgain):
            self.cluster.replace(now, before.spec)
        give_up = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up:
            now = self.cluster.service(before.id)
            if now is None or (now.update not in CHANGING and now.serving(self.cluster.nodes())):
                return
            time.sleep(POLL_SECONDS)
