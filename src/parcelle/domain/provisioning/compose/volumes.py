"""Volumes of an engine: made under compose's own names, copied, filled from a tar stream and read as one.

The engine reaches a volume only through a container. The ones made here run nothing but a copy, or nothing at all,
without a network; they carry the stack's label, so that one which a dead worker left is found and removed.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.client import CONFLICT
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final
from uuid import UUID

from parcelle.domain.provisioning.compose import labels
from parcelle.domain.provisioning.compose.engine import Engine
from parcelle.domain.provisioning.errors import DiskFull, ProvisioningError, TryAgain

if TYPE_CHECKING:
    from docker.models.containers import Container

COPY_SECONDS: Final = 900
CHUNK_BYTES: Final = 1 << 20
# Where several volumes are mounted to be read or filled as one.
TOGETHER: Final = "/volumes"
_FROM, _TO = "/from", "/to"
_EMPTY = f"find {_TO} -mindepth 1 -delete"
# Owners, modes and times stay as they are; a half copy of before is not mixed with this one.
_COPY = f"{_EMPTY} && cp -a {_FROM}/. {_TO}/"


def name_of(project: str, volume: str) -> str:
    """As compose calls it on the engine."""
    return f"{project}_{volume}"


def create(engine: Engine, ref: UUID, project: str, volume: str) -> str:
    """Makes the volume as compose would, which then takes it for its own; one that exists stays as it is."""
    known = {**labels.of(ref), labels.PROJECT: project, labels.VOLUME: volume}
    with engine.asked() as client:
        return str(client.volumes.create(name_of(project, volume), labels=known).name)


def note(engine: Engine, ref: UUID, project: str, volume: str, said: Mapping[str, str] | None = None) -> None:
    """Makes an empty volume that only says something, by being there and by its labels.

    Compose is not told: the note stays when compose takes the project's volumes away.
    """
    known = {**labels.of(ref), labels.STACK: project, **(said or {})}
    with engine.asked() as client:
        client.volumes.create(name_of(project, volume), labels=known)


def remove(engine: Engine, name: str) -> None:
    """Nothing there is fine. Raises TryAgain while a container uses it."""
    from docker.errors import APIError, NotFound

    with engine.asked() as client, contextlib.suppress(NotFound):
        try:
            client.volumes.get(name).remove()
        except APIError as error:
            if error.status_code != CONFLICT:
                raise
            raise TryAgain(f"the volume {name} is still in use") from error


def remove_stillborn(engine: Engine, ref: UUID, names: Iterable[str]) -> None:
    """Removes those of these volumes that are nobody's: without a label, a container that uses them, or a file in them.

    An engine makes such a volume itself when it is creating a container while somebody takes its volume away, as two
    workers on one stack do: one that lost its lease without having noticed, and the next one, which begins anew.
    """
    from docker.errors import APIError, NotFound

    for name in names:
        with engine.asked() as client, contextlib.suppress(NotFound):
            volume = client.volumes.get(name)
            image = next(iter(client.api.images(quiet=True)), None)
            used = client.api.containers(all=True, filters={"volume": name})
            if volume.attrs.get("Labels") or used or image is None:
                continue
            if _is_empty(engine, ref, str(image), name):
                with contextlib.suppress(APIError):
                    volume.remove()


def _is_empty(engine: Engine, ref: UUID, image: str, name: str) -> bool:
    # The folder itself is one entry, which takes far less than this.
    most = 1 << 16
    begin = bytearray()
    with reading(engine, ref, image, {_FROM: name}, folder=_FROM) as stream:
        for piece in stream:
            begin += piece
            if len(begin) > most:
                return False
    with tarfile.open(fileobj=io.BytesIO(begin)) as tar:
        return len(tar.getmembers()) <= 1


def copy(engine: Engine, ref: UUID, image: str, *, source: str, destination: str) -> None:
    """Makes the second volume equal to the first. `image` is any that the engine has; best is one with a shell.

    With one, the copy is the engine's own and takes half the time; without, it streams through here.
    """
    from docker.errors import APIError

    mounts = {_FROM: source, _TO: destination}
    with engine.asked(), _helper(engine, ref, image, mounts, command=["sh", "-c", _COPY]) as helper:
        try:
            helper.start()
        except APIError as error:
            if not re.search("executable file not found|no such file", str(error.explanation)):
                raise
        else:
            _finish(helper)
            return
    with reading(engine, ref, image, {_FROM: source}, folder=_FROM) as stream:
        fill(engine, ref, image, {_FROM: destination}, stream)


def empty(engine: Engine, ref: UUID, image: str, names: Iterable[str]) -> None:
    """Removes what is in volumes that containers still refer to; needs an image with a shell."""
    mounts = {f"{_TO}/{name}": name for name in names}
    command = ["sh", "-c", f"for folder in {_TO}/*; do find $folder -mindepth 1 -delete || exit; done"]
    with engine.asked(), _helper(engine, ref, image, mounts, command=command) as helper:
        helper.start()
        _finish(helper)


def fill(
    engine: Engine, ref: UUID, image: str, mounts: Mapping[str, str], tar: bytes | BinaryIO | Iterable[bytes]
) -> None:
    """Unpacks a tar stream into volumes. `mounts` says for which paths in it they stand."""
    with engine.asked(), _helper(engine, ref, image, mounts) as helper:
        helper.put_archive("/", tar)


@contextlib.contextmanager
def reading(
    engine: Engine, ref: UUID, image: str, mounts: Mapping[str, str], *, folder: str
) -> Iterator[Iterator[bytes]]:
    """Volumes as one tar stream: all below `folder`, where `mounts` put them."""
    with engine.asked(), _helper(engine, ref, image, mounts) as helper:
        stream, _status = helper.get_archive(folder, chunk_size=CHUNK_BYTES)
        yield stream


def refuse_broken(archive: BinaryIO, folders: set[str]) -> None:
    """Before anything is replaced: is this whole, and of this kind of stack?"""
    size = archive.seek(0, os.SEEK_END)
    archive.seek(max(0, size - 1024))
    # Two empty blocks are the end of a tar; nothing else tells a whole one from the beginning of one.
    if size < 1024 or any(archive.read()):
        raise ProvisioningError("this is no backup of an instance, or only the beginning of one")
    archive.seek(0)
    wanted = {folder.strip("/") for folder in folders}
    try:
        with tarfile.open(fileobj=archive, mode="r|*") as tar:
            found = {"/".join(Path(member.name).parts[:2]) for member in tar if len(Path(member.name).parts) > 1}
    except tarfile.TarError as error:
        raise ProvisioningError(f"this is no backup of an instance: {error}") from error
    if found - wanted:
        raise ProvisioningError(f"this backup is of another application: {', '.join(sorted(found - wanted))}")


@contextlib.contextmanager
def _helper(
    engine: Engine, ref: UUID, image: str, mounts: Mapping[str, str], *, command: Sequence[str] = ("none",)
) -> Iterator[Container]:
    from docker.types import LogConfig, Mount

    with engine.asked() as client:
        helper = client.containers.create(
            image,
            entrypoint=list(command[:1]),
            command=list(command[1:]),
            user="0:0",
            labels=dict(labels.of(ref)),
            mounts=[Mount(target, name, no_copy=True, read_only=target == _FROM and len(mounts) > 1)
                    for target, name in mounts.items()],
            network_mode="none",
            cap_drop=["ALL"],
            cap_add=["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"],
            security_opt=["no-new-privileges:true"],
            log_config=LogConfig(type="json-file", config={"max-size": "1m"}),
        )  # fmt: skip
    try:
        yield helper
    finally:
        with engine.asked():
            # With what the image declares as a volume and nobody asked for.
            helper.remove(force=True, v=True)


def _finish(helper: Container) -> None:
    answer = helper.wait(timeout=COPY_SECONDS)
    if not answer["StatusCode"]:
        return
    told = helper.logs(tail=5).decode(errors="replace").strip()
    if "No space left on device" in told:
        raise DiskFull("The disk of the Docker Engine is full: free space there, then try again.")
    error = TryAgain if answer["StatusCode"] == 137 else ProvisioningError
    raise error(f"copying a volume ended with code {answer['StatusCode']}: {told[-300:]}")
