"""One Docker Engine: opened from a target's connection, read and cleaned up by labels, never by names alone."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from parcelle.core.files import write_secret
from parcelle.core.logs import redact
from parcelle.domain.provisioning.compose import answers, labels
from parcelle.domain.provisioning.compose.cli import LOCAL_ENGINE
from parcelle.domain.provisioning.compose.parts import RESTARTS, Part, part_of
from parcelle.domain.provisioning.errors import ProvisioningError, TargetUnreachable, TryAgain

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.networks import Network

# How long one answer of the engine may take, in seconds.
ANSWER_SECONDS: Final = 60
# A program that began less than this ago may be about to end again; the engine itself waits as long to forget it.
YOUNG_SECONDS: Final = 10


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Everything on an engine that carries one ref."""

    ref: UUID
    # The compose project; a stack keeps the one it was made under. "" when there is nothing.
    project: str = ""
    parts: tuple[Part, ...] = ()
    # Containers that belong to no service: they copied something and should be gone.
    helpers: tuple[str, ...] = ()
    # name -> subnet
    networks: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    # Volumes of its project without any label: the engine made them itself, for containers whose volumes somebody took
    # away in that moment.
    unlabelled: tuple[str, ...] = ()
    # What is noted of it on empty volumes: label -> text.
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_there(self) -> bool:
        return bool(self.parts or self.helpers or self.networks or self.volumes or self.unlabelled)

    def part(self, service: str) -> Part | None:
        return next((part for part in self.parts if part.service == service), None)

    @property
    def names(self) -> tuple[str, ...]:
        """What there is, such as "container/client-acme-db-1"."""
        containers = sorted([*(part.name for part in self.parts), *self.helpers])
        return (
            *(f"container/{name}" for name in containers),
            *(f"network/{name}" for name in sorted(self.networks)),
            *(f"volume/{name}" for name in sorted({*self.volumes, *self.unlabelled})),
        )


class Engine:
    """Opened when first used. Every method raises ProvisioningError and its kinds only.

    `connection`: {"url": "unix://…" | "ssh://…" | "tcp://…", "ca": …, "certificate": …, "key": …} with the TLS material
    as PEM text. Without a url it is the engine of this machine. `certificates` is the folder where TLS material is put
    for the programs that want files.
    """

    def __init__(self, connection: Mapping[str, Any], *, certificates: Path) -> None:
        self.url = str(connection.get("url") or LOCAL_ENGINE)
        self._material = {name: str(connection.get(name) or "") for name in ("ca", "certificate", "key")}
        self._folder = certificates

    @property
    def is_local(self) -> bool:
        return urlsplit(self.url).scheme == "unix"

    @property
    def host(self) -> str:
        """The name or address of the engine's machine."""
        return "127.0.0.1" if self.is_local else urlsplit(self.url).hostname or ""

    @cached_property
    def certificates(self) -> Path | None:
        """A private folder with ca.pem, cert.pem and key.pem; None without TLS."""
        if not all(self._material.values()):
            return None
        digest = hashlib.sha256("\0".join((self.url, *self._material.values())).encode()).hexdigest()[:16]
        folder = self._folder / digest
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, file in (("ca", "ca.pem"), ("certificate", "cert.pem"), ("key", "key.pem")):
            if not (folder / file).exists():
                write_secret(folder / file, self._material[name])
        return folder

    # --- the connection ---------------------------------------------------------------------------------

    @cached_property
    def client(self) -> DockerClient:
        # A second of imports that a command which never talks to an engine should not pay for.
        import docker
        from docker.tls import TLSConfig

        tls: TLSConfig | bool = False
        if folder := self.certificates:
            pair = (str(folder / "cert.pem"), str(folder / "key.pem"))
            tls = TLSConfig(client_cert=pair, ca_cert=str(folder / "ca.pem"), verify=True)
        elif urlsplit(self.url).scheme == "tcp" and not _is_this_machine(self.host):
            raise TargetUnreachable(
                f"{self.url} would hand the engine to everybody on the way: give the target a CA, a certificate and a "
                "key, or use ssh://."
            )

        def opened(version: str) -> DockerClient:
            made = docker.DockerClient(
                base_url=self.url, version=version, timeout=ANSWER_SECONDS, tls=tls, use_ssh_client=True
            )
            # The environment's proxies and certificate authorities are for the world outside, and would win.
            made.api.trust_env = False
            return made

        with self._boundary():
            # Any version will do for the question; for the rest it is the engine's own: engines refuse what is too new
            # for them, and what is too old.
            with contextlib.closing(opened("1.41")) as asking:
                version = asking.api.version(api_version=False)["ApiVersion"]
            return opened(version)

    @contextlib.contextmanager
    def asked(self) -> Iterator[DockerClient]:
        """The SDK's client; what it raises inside becomes our errors."""
        client = self.client
        with self._boundary():
            yield client

    @contextlib.contextmanager
    def _boundary(self) -> Iterator[None]:
        from docker.errors import APIError, DockerException
        from requests.exceptions import RequestException, Timeout
        from urllib3.exceptions import HTTPError, ReadTimeoutError

        try:
            yield
        except APIError as error:
            raise _refusal(error) from error
        except (Timeout, ReadTimeoutError) as error:
            # It may have done what it was asked: whoever asked looks before asking again.
            raise TryAgain(f"the Docker Engine did not answer within {ANSWER_SECONDS} seconds") from error
        except (DockerException, RequestException, HTTPError, OSError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> TargetUnreachable:
        text = redact(str(error))
        if "Permission denied" in text or "PermissionError" in text:
            return TargetUnreachable(
                "Parcelle's worker may not use the Docker Engine's socket: add its system user to the group docker, "
                "then start the worker again."
            )
        if "CERTIFICATE" in text.upper():
            return TargetUnreachable(
                f"The Docker Engine at {self.url} is not trusted: check the target's certificates."
            )
        return TargetUnreachable(
            f"No Docker Engine answers at {self.url}: start it there, or correct the target's address."
        )

    def versions(self) -> dict[str, str]:
        """What it is, such as {"docker": "20.10.24", "api": "1.12 – 1.41"}."""
        with self.asked() as client:
            found = client.version()
        return {
            "docker": str(found.get("Version", "")),
            "api": f"{found.get('MinAPIVersion', '?')} – {found.get('ApiVersion', '?')}",
        }

    def free_bytes(self) -> int | None:
        """Room for images and volumes; None when the engine's disk cannot be seen from here."""
        if not self.is_local:
            return None
        with self.asked() as client:
            root = client.info().get("DockerRootDir") or ""
        try:
            return shutil.disk_usage(root).free
        except OSError:
            return None

    def port_is_free(self, port: int) -> bool:
        """Whether nothing of the engine's machine answers there, as far as can be seen from here."""
        with socket.socket() as probe:
            probe.settimeout(0.5)
            return probe.connect_ex((self.host, port)) != 0

    # --- what there is ----------------------------------------------------------------------------------

    def stack(self, ref: UUID) -> Stack:
        """Everything that carries this ref."""
        return self._stacks(labels.selector(ref)).get(ref, Stack(ref=ref))

    def stacks(self) -> list[Stack]:
        """Everything of ours, one stack after the other by name."""
        found = self._stacks(f"{labels.MANAGED}=1")
        return sorted(found.values(), key=lambda stack: (stack.project, stack.ref))

    def running(self) -> int:
        """How many stacks run at least in part."""
        with self.asked() as client:
            running = client.api.containers(filters={"label": f"{labels.MANAGED}=1", "status": "running"})
        return len({(container["Labels"] or {}).get(labels.INSTANCE) for container in running})

    def _stacks(self, selector: str) -> dict[UUID, Stack]:
        chosen = {"label": selector}
        with self.asked() as client:
            containers = [_inspect(client, listed["Id"]) for listed in client.api.containers(all=True, filters=chosen)]
            networks = client.api.networks(filters=chosen)
            volumes = client.api.volumes(filters=chosen).get("Volumes") or []
            grouped: dict[UUID, _Group] = {}
            for inspected in filter(None, containers):
                if group := _group(grouped, inspected["Config"].get("Labels")):
                    group.add_container(self._part(client, inspected), inspected)
            for network in networks:
                if group := _group(grouped, network.get("Labels")):
                    group.add_network(network)
            for volume in volumes:
                if group := _group(grouped, volume.get("Labels")):
                    group.add_volume(volume)
        return {ref: group.stack(ref) for ref, group in grouped.items()}

    def _part(self, client: DockerClient, inspected: Mapping[str, Any]) -> Part:
        part = part_of(inspected)
        if part.restarts < RESTARTS or part.state != "running":
            return part
        # By its own clock: the two machines need not agree.
        age = _moment(client.info()["SystemTime"]) - _moment(part.started_at)
        return part_of(inspected, young=age.total_seconds() < YOUNG_SECONDS)

    def foreign(
        self, ref: UUID, *, containers: Iterable[str], networks: Iterable[str], volumes: Iterable[str]
    ) -> list[str]:
        """What has one of these names and does not carry the ref, such as "volume/client-acme_data".

        Compose would attach to such networks and volumes with a warning, and remove them with the project.
        """
        with self.asked() as client:
            found = [
                *_named("container", client.api.containers(all=True, filters=_exactly(containers)), ref),
                *_named("network", client.api.networks(filters=_exactly(networks)), ref),
                *_named("volume", client.api.volumes(filters=_exactly(volumes)).get("Volumes") or [], ref),
            ]
        return sorted(found)

    # --- one container ----------------------------------------------------------------------------------

    def logs(self, stack: Stack, *, lines: int) -> str:
        """The last lines of all services, oldest first, each with its service's name."""
        told: list[tuple[str, str]] = []
        with self.asked() as client:
            for part in stack.parts:
                written = client.api.logs(part.id, tail=lines, timestamps=True)
                for line in written.decode(errors="replace").splitlines():
                    moment, _space, text = line.partition(" ")
                    told.append((moment, f"{part.service} | {text}"))
        last = sorted(told, key=lambda entry: entry[0])[-lines:]
        return redact("\n".join(text for _moment, text in last))

    def stats(self, stack: Stack) -> dict[str, dict[str, int]]:
        """service -> what it uses now: memory_bytes, memory_limit_bytes, cpu_nanoseconds (ever), pids."""
        found = {}
        with self.asked() as client:
            for part in stack.parts:
                if part.state != "running":
                    continue
                now = client.api.stats(part.id, stream=False, one_shot=True)
                memory = now.get("memory_stats", {})
                cache = memory.get("stats", {})
                used = memory.get("usage", 0) - cache.get("inactive_file", cache.get("total_inactive_file", 0))
                found[part.service] = {
                    "memory_bytes": max(0, used),
                    "memory_limit_bytes": memory.get("limit", 0),
                    "cpu_nanoseconds": now.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage", 0),
                    "pids": now.get("pids_stats", {}).get("current", 0),
                }
        return found

    # --- taking away ------------------------------------------------------------------------------------

    def remove_helpers(self, stack: Stack) -> None:
        """Ends what a dead worker left at work."""
        from docker.errors import NotFound

        with self.asked() as client:
            for name in stack.helpers:
                with contextlib.suppress(NotFound):
                    client.containers.get(name).remove(force=True, v=True)

    def remove(self, stack: Stack) -> None:
        """Takes away what is left of a stack, piece by piece; what will not go is not an error here: list again."""
        from docker.errors import APIError

        with self.asked() as client:
            for container in client.containers.list(
                all=True, filters={"label": labels.selector(stack.ref)}, sparse=True, ignore_removed=True
            ):
                with contextlib.suppress(APIError):
                    container.remove(force=True, v=True)
            for name in stack.networks:
                with contextlib.suppress(APIError):
                    _remove_network(client.networks.get(name))
            for name in (*stack.volumes, *stack.unlabelled):
                with contextlib.suppress(APIError):
                    client.volumes.get(name).remove()


def _remove_network(network: Network) -> None:
    network.reload()
    # Somebody else's container may be attached to it: it loses a network that leads nowhere any more.
    for identifier in network.attrs.get("Containers") or {}:
        network.disconnect(identifier, force=True)
    network.remove()


class _Group:
    """What was found of one stack so far."""

    def __init__(self) -> None:
        self.projects: list[str] = []
        self.parts: list[Part] = []
        self.helpers: list[str] = []
        self.networks: dict[str, str] = {}
        self.volumes: list[str] = []
        self.mounted: set[str] = set()
        self.notes: dict[str, str] = {}

    def add_container(self, part: Part, inspected: Mapping[str, Any]) -> None:
        known = inspected["Config"]["Labels"]
        self._note(known)
        self.mounted |= {mount["Name"] for mount in inspected.get("Mounts") or () if mount.get("Type") == "volume"}
        if part.service and known.get(labels.ONE_OFF) != "True":
            self.parts.append(part)
        else:
            self.helpers.append(part.name)

    def add_network(self, network: Mapping[str, Any]) -> None:
        self._note(network["Labels"])
        configured = (network.get("IPAM") or {}).get("Config") or [{}]
        self.networks[network["Name"]] = configured[0].get("Subnet", "")

    def add_volume(self, volume: Mapping[str, Any]) -> None:
        self._note(volume["Labels"])
        self.volumes.append(volume["Name"])
        if labels.STACK in volume["Labels"]:
            self.notes |= volume["Labels"]

    def _note(self, known: Mapping[str, str]) -> None:
        if project := known.get(labels.PROJECT) or known.get(labels.STACK):
            self.projects.append(project)

    def stack(self, ref: UUID) -> Stack:
        project = next(iter(self.projects), "")
        return Stack(
            ref=ref,
            project=project,
            parts=tuple(sorted(self.parts, key=lambda part: part.name)),
            helpers=tuple(self.helpers),
            networks=self.networks,
            volumes=tuple(self.volumes),
            unlabelled=tuple(
                name
                for name in sorted(self.mounted.difference(self.volumes))
                if project and name.startswith(f"{project}_")
            ),
            notes=self.notes,
        )


def _group(grouped: dict[UUID, _Group], known: Mapping[str, str] | None) -> _Group | None:
    """None for what carries our label with something else than a ref: it is not ours to touch."""
    try:
        ref = UUID((known or {}).get(labels.INSTANCE, ""))
    except ValueError:
        return None
    return grouped.setdefault(ref, _Group())


def _exactly(names: Iterable[str]) -> dict[str, list[str]]:
    return {"name": [f"^/?{re.escape(name)}$" for name in names]}


def _named(kind: str, listed: Iterable[Mapping[str, Any]], ref: UUID) -> Iterator[str]:
    for one in listed:
        if (one.get("Labels") or {}).get(labels.INSTANCE) != str(ref):
            yield f"{kind}/{one.get('Name') or str(one['Names'][0]).lstrip('/')}"


def _inspect(client: DockerClient, identifier: str) -> Mapping[str, Any] | None:
    from docker.errors import NotFound

    try:
        return dict(client.api.inspect_container(identifier))
    except NotFound:
        # Removed between the two questions.
        return None


def _moment(text: str) -> datetime:
    """From the engine's RFC 3339 with nanoseconds, which Python does not read."""
    whole, _dot, rest = text.partition(".")
    zone = "+" + rest.partition("+")[2] if "+" in rest else "+00:00"
    return datetime.fromisoformat(whole.removesuffix("Z") + zone)


def _is_this_machine(host: str) -> bool:
    return host in {"localhost", "127.0.0.1", "::1"}


def _refusal(error: Any) -> ProvisioningError:
    """The engine's own answer, told by its text like compose tells it: the same texts mean the same."""
    text = str(error.explanation or error)
    told = answers.error_of(1, text, project="")
    assert told is not None
    if type(told) is ProvisioningError and (error.status_code or 0) >= 500:
        return TryAgain(told.detail)
    return told
