"""The Docker Engine of a Portainer environment, asked through Portainer's proxy.

The proxy upgrades no connection, so nothing can be written to a command's standard input: what a command is to read is
put into the container as a file first.
"""

from __future__ import annotations

import base64
import contextlib
import io
import shlex
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, BinaryIO, Final
from uuid import uuid4

from parcelle.core.http import OutsideError
from parcelle.core.logs import redact
from parcelle.domain.provisioning.compose import labels
from parcelle.domain.provisioning.compose.parts import Part, part_of
from parcelle.domain.provisioning.errors import ImageMissing, ProvisioningError, TryAgain
from parcelle.domain.provisioning.providers.portainer_api import EngineRefused, NoAnswer, Portainer

# The longest silence of a dump or a load.
STREAM_SECONDS: Final = 900.0
_PIECE: Final = 1 << 20
_SWARM_SERVICE: Final = "com.docker.swarm.service.name"


class ProxiedEngine:
    """Everything is found by labels. Raises ProvisioningError and its kinds only."""

    def __init__(self, server: Portainer, environment: int) -> None:
        self._server = server
        self._environment = environment

    def _ask(self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        response = self._server.docker(self._environment, method, path, query=query, body=body)
        return response.json() if response.content and "json" in response.headers.get("Content-Type", "") else None

    # --- what there is ----------------------------------------------------------------------------------

    def version(self) -> str:
        return str(self._ask("GET", "/version")["Version"])

    def containers(self, label: str) -> list[Mapping[str, Any]]:
        """As `inspect` shows them, running or not."""
        listed = self._ask("GET", "/containers/json", {"all": True, "filters": {"label": [label]}})
        found = []
        for container in listed:
            with contextlib.suppress(EngineRefused):
                # One that was removed in between is not there.
                found.append(self._ask("GET", f"/containers/{container['Id']}/json"))
        return found

    def inspect(self, identifier: str, *, node: str = "") -> Mapping[str, Any]:
        """Raises ProvisioningError where the environment does not reach the node that it runs on."""
        found: Mapping[str, Any] = self._server.docker(
            self._environment, "GET", f"/containers/{identifier}/json", node=node
        ).json()
        return found

    def parts(self, label: str) -> tuple[Part, ...]:
        """One per service's container, by name; helpers of one-off commands are none."""
        found = []
        for one in self.containers(label):
            known, part = one["Config"]["Labels"], part_of(one)
            if known.get(labels.ONE_OFF) != "True":
                found.append(replace(part, service=part.service or known.get(_SWARM_SERVICE, "")))
        return tuple(sorted(found, key=lambda part: part.name))

    def volumes(self, label: str) -> dict[str, Mapping[str, str]]:
        """name -> labels"""
        found = self._ask("GET", "/volumes", {"filters": {"label": [label]}})["Volumes"] or ()
        return {one["Name"]: one["Labels"] or {} for one in found}

    def services(self, label: str) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self._ask("GET", "/services", {"filters": {"label": [label]}})
        return found

    def tasks(self, service: str) -> list[Mapping[str, Any]]:
        """Of one Swarm service by name, the newest first."""
        found = self._ask("GET", "/tasks", {"filters": {"service": [service]}})
        return sorted(found, key=lambda task: str(task["CreatedAt"]), reverse=True)

    def node(self, identifier: str) -> Mapping[str, Any]:
        """A Swarm node."""
        found: Mapping[str, Any] = self._ask("GET", f"/nodes/{identifier}")
        return found

    def own_node(self) -> str:
        """The id of the Swarm node that is asked."""
        return str(self._ask("GET", "/info")["Swarm"]["NodeID"])

    def publishes(self, port: int) -> bool:
        """Whether a container of the engine holds the port."""
        listed = self._ask("GET", "/containers/json", {"filters": {"publish": [f"{port}/tcp"]}})
        return bool(listed)

    # --- changes ----------------------------------------------------------------------------------------

    def make_volume(self, name: str, known: Mapping[str, str]) -> None:
        """An existing one of that name stays as it is."""
        self._ask("POST", "/volumes/create", body={"Name": name, "Labels": dict(known)})

    def make_secret(self, name: str, content: bytes, known: Mapping[str, str]) -> None:
        """A Swarm secret; it cannot be changed, so its name must change with its content."""
        body = {"Name": name, "Data": base64.b64encode(content).decode(), "Labels": dict(known)}
        try:
            self._ask("POST", "/secrets/create", body=body)
        except EngineRefused as error:
            if error.status != 409:
                raise

    def fill(self, volume: str, image: str, archive: bytes, folder: str, known: Mapping[str, str]) -> None:
        """Unpacks a tar, whose paths begin with `folder`, into a volume: through a container that never runs."""
        body = {
            "Image": image,
            "Entrypoint": ["none"],
            "Cmd": [],
            "Labels": dict(known),
            "HostConfig": {
                "NetworkMode": "none",
                "Mounts": [{"Type": "volume", "Source": volume, "Target": folder, "VolumeOptions": {"NoCopy": True}}],
            },
        }
        helper = self._created(body)
        try:
            self._server.docker(
                self._environment,
                "PUT",
                f"/containers/{helper}/archive",
                query={"path": "/"},
                content=iter([archive]),
            )
        finally:
            self.remove("containers", helper)

    def _created(self, body: Mapping[str, Any]) -> str:
        for again in (True, False):
            try:
                return str(self._ask("POST", "/containers/create", body=body)["Id"])
            except EngineRefused as error:
                if not again or error.status != 404:
                    raise
                self._pull(body["Image"])
        raise AssertionError("unreachable")

    def _pull(self, image: str) -> None:
        """Answers 200 and tells a failure in the stream's last line."""
        query = (
            {"fromImage": image}
            if "@" in image or ":" in image.rpartition("/")[2]
            else {"fromImage": f"{image}:latest"}
        )
        with self._server.docker_stream(
            self._environment, "POST", "/images/create", query=query, seconds=STREAM_SECONDS
        ) as pieces:
            told = b"".join(pieces)[-2000:].decode(errors="replace")
        if '"error"' in told:
            raise ImageMissing(f"The image {image} is not on the engine and its registry does not hand it out.")

    def start(self, identifier: str) -> None:
        self._ask("POST", f"/containers/{identifier}/start")

    def restart(self, identifier: str) -> None:
        self._ask("POST", f"/containers/{identifier}/restart")

    def remove(self, kind: str, identifier: str) -> None:
        """One container, network, volume, service, secret or config; what will not go is seen by listing again."""
        # A container with the volumes that only its image asked for: nothing would ever remove them.
        query = {"containers": {"force": True, "v": True}, "volumes": {"force": True}}.get(kind)
        with contextlib.suppress(EngineRefused):
            self._ask("DELETE", f"/{kind}/{identifier}", query)

    def listed(self, kind: str, label: str) -> dict[str, str]:
        """What there is of one of the kinds of `remove`: what to remove it by -> its name."""
        if kind == "volumes":
            return {name: name for name in sorted(self.volumes(label))}
        path = "/containers/json" if kind == "containers" else f"/{kind}"
        query: dict[str, Any] = {"filters": {"label": [label]}} | ({"all": True} if kind == "containers" else {})
        found = self._ask("GET", path, query)
        if kind == "containers":
            return {one["Id"]: str(one["Names"][0]).lstrip("/") for one in found}
        if kind == "networks":
            return {one["Id"]: one["Name"] for one in found}
        return {one["ID"]: one["Spec"]["Name"] for one in found}

    # --- inside one container ---------------------------------------------------------------------------

    def logs(self, parts: Iterable[Part], *, lines: int) -> str:
        """The last lines of all services, oldest first, each with its service's name."""
        told: list[tuple[str, str]] = []
        query = {"stdout": True, "stderr": True, "timestamps": True, "tail": str(lines)}
        for part in parts:
            with contextlib.suppress(EngineRefused):
                written = self._server.docker(self._environment, "GET", f"/containers/{part.id}/logs", query=query)
                for line in b"".join(piece for _kind, piece in _frames(iter([written.content]))).splitlines():
                    at, _space, text = line.decode(errors="replace").partition(" ")
                    told.append((at, f"{part.service} | {text}"))
        last = sorted(told, key=lambda entry: entry[0])[-lines:]
        return redact("\n".join(text for _at, text in last))

    def run(self, container: str, command: Sequence[str], *, user: str = "", node: str = "", seconds: float) -> str:
        """A command's output, both streams together. One that takes longer goes on in there; nobody waits for it."""
        collected = io.BytesIO()
        self.execute(container, command, user=user, node=node, into=collected, also_errors=True, seconds=seconds)
        return collected.getvalue().decode(errors="replace")

    def execute(
        self,
        container: str,
        command: Sequence[str],
        *,
        user: str = "",
        node: str = "",
        into: BinaryIO | io.BytesIO | None = None,
        also_errors: bool = False,
        seconds: float = STREAM_SECONDS,
    ) -> None:
        """Runs a command and writes what it writes. Raises TryAgain when it fails or says nothing for `seconds`."""
        wanted = {"AttachStdout": True, "AttachStderr": True, "Cmd": list(command), "User": user}
        ask = self._server.docker
        made = ask(self._environment, "POST", f"/containers/{container}/exec", body=wanted, node=node).json()["Id"]
        errors, deadline = b"", time.monotonic() + seconds
        stream = self._server.docker_stream(
            self._environment,
            "POST",
            f"/exec/{made}/start",
            body={"Detach": False, "Tty": False},
            node=node,
            seconds=seconds,
        )
        try:
            with stream as pieces:
                for kind, piece in _frames(pieces):
                    if into is not None and (kind == 1 or also_errors):
                        into.write(piece)
                    if kind != 1:
                        errors = (errors + piece)[-2000:]
                    if also_errors and time.monotonic() > deadline:
                        raise TryAgain(f"{command[0]} took longer than {seconds:g} s")
        except (NoAnswer, OutsideError) as error:
            raise TryAgain(f"{command[0]} took longer than {seconds:g} s") from error
        code = self._exit_code(made, node)
        if code:
            told = redact(errors.decode(errors="replace").strip())[-600:]
            raise TryAgain(f"{command[0]} ended with code {code}: {told}")

    def _exit_code(self, identifier: str, node: str) -> int:
        """The stream ends a moment before the engine knows how the command did."""
        for _attempt in range(50):
            found = self._server.docker(self._environment, "GET", f"/exec/{identifier}/json", node=node).json()
            if not found["Running"]:
                return int(found["ExitCode"])
            time.sleep(0.1)
        raise TryAgain("the engine does not say how the command ended")

    def feed(
        self, inspected: Mapping[str, Any], command: Sequence[str], source: BinaryIO, *, user: str, node: str
    ) -> None:
        """Runs a command that reads `source` from its standard input."""
        container = inspected["Id"]
        folder, name = _writable_folder(inspected), f".parcelle-{uuid4().hex}"
        path = f"{folder.rstrip('/')}/{name}"
        with tempfile.TemporaryFile() as kept:
            while piece := source.read(_PIECE):
                kept.write(piece)
            size = kept.tell()
            kept.seek(0)
            self._server.docker(
                self._environment,
                "PUT",
                f"/containers/{container}/archive",
                query={"path": folder},
                content=_archive(name, size, kept),
                node=node,
                seconds=STREAM_SECONDS,
            )
        try:
            reading = f"exec {shlex.join(command)} < {shlex.quote(path)}"
            self.execute(container, ["sh", "-c", reading], user=user, node=node)
        finally:
            with contextlib.suppress(ProvisioningError):
                self.execute(container, ["rm", "-f", path], user="0", node=node)


def _frames(pieces: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """(stream, bytes) of the engine's framed answer: eight bytes of header, the last four the length; 1 is stdout."""
    held = b""
    for piece in pieces:
        held += piece
        while len(held) >= 8 and len(held) >= (end := 8 + int.from_bytes(held[4:8])):
            yield held[0], held[8:end]
            held = held[end:]


def _writable_folder(inspected: Mapping[str, Any]) -> str:
    """Where the engine can put a file that the container then sees: not on a read-only root, nor on a tmpfs."""
    if not inspected["HostConfig"].get("ReadonlyRootfs"):
        return "/"
    for mount in inspected.get("Mounts") or ():
        if mount["Type"] == "volume" and mount["RW"]:
            return str(mount["Destination"])
    raise ProvisioningError("the service has no volume and no writable folder that a backup could be put into")


def _archive(name: str, size: int, source: Any) -> Iterator[bytes]:
    """A tar of one file that everybody in the container may read."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o644, int(time.time())
    yield entry.tobuf(tarfile.GNU_FORMAT)
    while piece := source.read(_PIECE):
        yield piece
    yield b"\0" * (-size % 512 + 1024)
