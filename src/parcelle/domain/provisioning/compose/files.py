"""Files for services: secrets and configs, brought into volumes of ours before anything starts.

docs/decisions says why not otherwise: 0010-files-for-services.md.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field

from parcelle.domain.provisioning.compose.file import FileMount, Service


@dataclass(frozen=True, kw_only=True)
class GivenFile:
    """One file for a service. `path` is absolute inside the container."""

    path: str
    content: bytes = field(repr=False)
    uid: int = 0
    gid: int = 0
    mode: int = 0o444

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class FileVolume:
    """A volume of ours that is mounted read-only into one service and must hold these files before it starts."""

    # As the compose file calls it, and as the engine does.
    key: str
    name: str
    service: str
    image: str
    folder: str
    files: tuple[GivenFile, ...]

    def archive(self, inside: str = "/") -> bytes:
        """The files as a tar archive, for `PUT /containers/…/archive`; `inside` is where the volume is mounted."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for file in self.files:
                member = tarfile.TarInfo(f"{inside.strip('/')}/{file.name}".lstrip("/"))
                member.size, member.mode = len(file.content), file.mode
                member.uid, member.gid = file.uid, file.gid
                tar.addfile(member, io.BytesIO(file.content))
        return packed.getvalue()


def folders(name: str, service: Service, taken: Iterable[str]) -> Iterable[tuple[str, str, tuple[FileMount, ...]]]:
    """(volume, folder, files) of a service, in the order of the folders' names."""
    folders: dict[str, list[FileMount]] = {}
    for mount in service.files:
        folders.setdefault(mount.target.rpartition("/")[0], []).append(mount)
    for number, folder in enumerate(sorted(folders)):
        key = f"{name}-files" + (f"-{number + 1}" if number else "")
        while key in taken:
            key = f"{key}-"
        yield key, folder, tuple(folders[folder])
