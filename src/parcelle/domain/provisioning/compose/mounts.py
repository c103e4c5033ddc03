"""What a service may mount: named volumes, folders in memory, and files brought by secrets and configs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from parcelle.domain.provisioning.compose import values
from parcelle.domain.provisioning.compose.file import FileMount, Service, VolumeMount
from parcelle.domain.provisioning.compose.reading import NAME, Reader
from parcelle.domain.provisioning.compose.source import Path

TMPFS_SIZE: Final = "64m"
# A folder that is given files shows nothing else; these are the image's own.
_SYSTEM_FOLDERS: Final = frozenset(
    {
        "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/mnt", "/opt", "/proc", "/root", "/run",
        "/sbin", "/srv", "/sys", "/tmp", "/usr",  # noqa: S108
        "/usr/bin", "/usr/lib", "/usr/local", "/usr/local/bin", "/usr/sbin",
        "/usr/share", "/var", "/var/lib", "/var/log", "/var/run",
    }
)  # fmt: skip
_INSTEAD_OF_BIND: Final = (
    "use a volume declared under `volumes` for data, and `configs` with `compose.files` of blueprint.yaml for files "
    "of yours"
)
_OR_FILES: Final = {True: "", False: ", or name its file under `compose.files` of blueprint.yaml"}


def mounts(reader: Reader, value: Any, path: Path) -> dict[str, Any]:
    volumes: list[VolumeMount] = []
    tmpfs: dict[str, str] = {}
    for number, inner in enumerate(reader.listing(value, path)):
        here = (*path, number)
        if isinstance(inner, dict) and inner.get("type") == "tmpfs":
            tmpfs |= tmpfs_mount(reader, inner, here)
        elif found := mount(reader, inner, here):
            volumes.append(found)
    return {"volumes": tuple(volumes), "tmpfs_mounts": tmpfs}


def mount(reader: Reader, value: Any, path: Path) -> VolumeMount | None:
    given = reader.mapping(_long_mount(value), path)
    kind, source = given.get("type", "volume"), given.get("source")
    if source is None and kind == "volume":
        reader.problem(path, "give the volume a name and declare it under `volumes`: nobody finds a nameless one again")
        return None
    if kind != "volume" or not isinstance(source, str) or not NAME.fullmatch(source):
        reader.problem(
            path, f"{source if isinstance(source, str) else kind} is a folder of the machine: {_INSTEAD_OF_BIND}"
        )
        return None
    if source not in reader.volumes:
        reader.problem(path, f"declare the volume {source!r} under `volumes` at the end of the file")
    options = reader.mapping(given.get("volume"), (*path, "volume"), optional=True)
    for key in given.keys() - {"type", "source", "target", "read_only", "volume"}:
        reader.refuse((*path, key), {"bind": _INSTEAD_OF_BIND})
    for key in options.keys() - {"nocopy"}:
        reader.refuse((*path, "volume", key), {})
    return VolumeMount(
        source=source,
        target=reader.folder(given.get("target"), (*path, "target")),
        read_only=reader.flag(given.get("read_only", False), (*path, "read_only")),
        nocopy=reader.flag(options.get("nocopy", False), (*path, "volume", "nocopy")),
    )


def tmpfs_mount(reader: Reader, given: Mapping[str, Any], path: Path) -> dict[str, str]:
    for key in given.keys() - {"type", "target", "tmpfs"}:
        reader.refuse((*path, key), {})
    options = []
    for key, inner in reader.mapping(given.get("tmpfs"), (*path, "tmpfs"), optional=True).items():
        if key == "size":
            options.append(f"size={reader.size(inner, (*path, 'tmpfs', key))}")
        elif key == "mode" and (mode := values.mode_of(inner)) is not None:
            options.append(f"mode={mode:o}")
        else:
            reader.refuse((*path, "tmpfs", key), {"mode": 'write it as in "0755"'})
    return tmpfs_entry(reader, reader.folder(given.get("target"), (*path, "target")), ",".join(options), path)


def tmpfs(reader: Reader, value: Any, path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, inner in enumerate([value] if isinstance(value, str) else reader.listing(value, path)):
        here = (*path, number)
        target, _, options = reader.plain(inner, here).partition(":")
        found |= tmpfs_entry(reader, reader.folder(target, here), options, here)
    return found


def tmpfs_entry(reader: Reader, target: str, options: str, path: Path) -> dict[str, str]:
    given = [option for option in options.split(",") if option]
    for option in given:
        if not re.fullmatch(r"size=\d+[kmg]?|mode=[0-7]{3,4}|[ug]id=\d+|(?:no)?exec|noatime|nosuid|nodev", option):
            reader.problem(path, f"remove {option!r}: size, mode, uid, gid, exec and noexec can be chosen")
    if not any(option.startswith("size=") for option in given):
        given.append(f"size={TMPFS_SIZE}")
    return {target: ",".join(sorted(given))}


def file_mounts(reader: Reader, value: Any, path: Path) -> tuple[FileMount, ...]:
    secret = path[-1] == "secrets"
    sources = reader.secrets if secret else reader.configs
    found = []
    for number, inner in enumerate(reader.listing(value, path)):
        here = (*path, number)
        given = reader.mapping({"source": inner} if isinstance(inner, str) else inner, here)
        for key in given.keys() - {"source", "target", "uid", "gid", "mode"}:
            reader.refuse((*here, key), {})
        name = reader.plain(given.get("source"), (*here, "source"))
        if name not in sources:
            kind = "secrets" if secret else "configs"
            reader.problem(here, f"declare {name!r} under `{kind}` at the end of the file{_OR_FILES[secret]}")
        target = reader.plain(given.get("target", name), (*here, "target"))
        if not target.startswith("/"):
            target = f"/run/secrets/{target}" if secret else f"/{target}"
        found.append(
            FileMount(
                source=name,
                target=reader.folder(target, (*here, "target")),
                uid=reader.whole(given.get("uid", 0), (*here, "uid"), least=0),
                gid=reader.whole(given.get("gid", 0), (*here, "gid"), least=0),
                mode=reader.mode(given.get("mode", "0444"), (*here, "mode")),
                is_secret=secret,
            )
        )
    return tuple(found)


def targets(reader: Reader, service: Service, path: Path) -> None:
    """No two mounts in one place, and files only in folders of their own."""
    taken = [*(mount.target for mount in service.volumes), *service.tmpfs]
    for mount in service.files:
        folder, _, name = mount.target.rpartition("/")
        if (folder or "/") in _SYSTEM_FOLDERS:
            reader.problem(
                path,
                f"{mount.target} lies in {folder or '/'}, of which the service would see nothing else: "
                "give it a folder of its own, such as `target: /etc/parcelle/" + name + "`",
            )
        if folder in taken:
            reader.problem(path, f"{mount.target} lies in {folder}, where something else is mounted: choose another")
    twice = {target for target in taken if taken.count(target) > 1}
    twice |= {mount.target for mount in service.files if [m.target for m in service.files].count(mount.target) > 1}
    for target in sorted(twice):
        reader.problem(path, f"{target} is mounted twice: remove one of them")


def _long_mount(value: Any) -> Any:
    """`name:/path:ro` in the long form; a one-letter name is no drive."""
    if not isinstance(value, str):
        return value
    parts = value.split(":")
    if len(parts) == 1:
        return {"type": "volume", "target": value}
    long: dict[str, Any] = {"type": "volume", "source": parts[0], "target": parts[1]}
    for option in ",".join(parts[2:]).split(","):
        if option == "ro":
            long["read_only"] = True
        elif option == "nocopy":
            long["volume"] = {"nocopy": True}
        elif option not in {"", "rw", "z", "Z"}:
            long[option] = True
    return long
