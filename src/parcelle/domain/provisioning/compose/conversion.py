"""From a vendor's own compose file to a blueprint that can be sold.

Nothing is guessed in silence: every change is told, with the line of the vendor's file it comes from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from parcelle.domain.provisioning.compose import policy, values
from parcelle.domain.provisioning.compose.known_images import KNOWN, KnownImage
from parcelle.domain.provisioning.compose.source import Number, Source, Unreadable, read
from parcelle.domain.provisioning.compose.source import Path as Key
from parcelle.domain.provisioning.compose.vendor_settings import Settings, variables_in

_MOST_ROUNDS: Final = 200


class CannotConvert(Exception):
    """The file cannot be used; the text says why and what to do first."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """One change, and where in the vendor's file it comes from; line 0 for what was added."""

    line: int
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Converted:
    """The blueprint's files, name -> content, and what was changed on the way, in the order of the lines."""

    files: Mapping[str, str]
    notes: tuple[Note, ...]


def convert(path: Path, *, name: str, title: str = "", service: str = "", port: int = 0) -> Converted:
    """The blueprint `name` made of the compose file at `path`. Raises CannotConvert.

    `service` and `port` say what visitors reach; otherwise it is the first service with a published port.
    """
    try:
        source = read(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CannotConvert(f"{path} cannot be read: {error}") from None
    except Unreadable as error:
        raise CannotConvert(f"{path}:{error.line}: {error.sentence}") from None
    services = source.content.get("services") if isinstance(source.content, dict) else None
    if not isinstance(services, dict) or not all(isinstance(of, dict) for of in services.values()) or not services:
        raise CannotConvert(f"{path} describes no services: name a compose file")
    if "include" in source.content or any("extends" in of for of in services.values()):
        raise CannotConvert(f"{path} takes in other files: put it together first with `docker compose config`")
    return _Conversion(source, path.parent, name=name, title=title).run(service, port)


@dataclass
class _Conversion:
    source: Source
    folder: Path
    name: str
    title: str
    notes: list[Note] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    # folder of the vendor's machine -> volume: what two services shared they go on sharing
    folders: dict[str, str] = field(default_factory=dict)

    def run(self, service: str, port: int) -> Converted:
        self.content = {key: value for key, value in self.source.content.items() if not key.startswith("x-")}
        self.services: dict[str, dict[str, Any]] = self.content["services"]
        web, port = self._visited(service, port)
        self.settings = Settings(dict(variables_in(self.folder / ".env")), self.note)
        for key in ("networks", "name", "version"):
            if self.content.pop(key, None) and key == "networks":
                self.note(("networks",), "networks removed: every instance has two of its own, back and front")
        for key, of in self.services.items():
            self._service(key, of)
        self.settings.declared(self.content)
        self.settings.passwords(self.services)
        # Twice: what turns out to be a password in one place is looked for in all.
        for _round in range(2):
            self.content = self.settings.substituted(self.content, ())
        self.files = {key: self.settings.without_passwords(text) for key, text in self.files.items()}
        self.services = self.content["services"]
        for key, of in self.services.items():
            self._health(key, of, port if key == web else 0)
            self._rights(key, of)
        self._volumes()
        self._order()
        self._comply()
        return Converted(
            files={"blueprint.yaml": self._blueprint(web, port), "compose.yaml": _dump(self.content), **self.files},
            notes=tuple(sorted(self.notes, key=lambda note: (note.line == 0, note.line))),
        )

    def note(self, path: Key, sentence: str) -> None:
        self.notes.append(Note(line=self.source.line(path) if path else 0, sentence=sentence))

    # --- what visitors reach ----------------------------------------------------------------------------

    def _visited(self, service: str, port: int) -> tuple[str, int]:
        if service and service not in self.services:
            raise CannotConvert(f"there is no service {service!r}: choose one of {', '.join(self.services)}")
        published = {name: _inside(of["ports"]) for name, of in self.services.items() if of.get("ports")}
        exposed = {name: _inside(of["expose"]) for name, of in self.services.items() if of.get("expose")}
        found = {**exposed, **published}
        likely = [name for name in (*published, *exposed) if not _known(self.services[name].get("image"))]
        web = (
            service or next(iter([*likely, *published]), "") or (len(self.services) == 1 and next(iter(self.services)))
        )
        if not web:
            raise CannotConvert("no service publishes a port: say with --service which one visitors reach, and --port")
        port = port or found.get(str(web), 0)
        if not port:
            raise CannotConvert(f"say with --port on which port the service {web!r} listens")
        return str(web), port

    # --- one service ------------------------------------------------------------------------------------

    def _service(self, name: str, of: dict[str, Any]) -> None:
        path: Key = ("services", name)
        for key in [key for key in of if key.startswith("x-")]:
            del of[key]
        if of.pop("ports", None):
            self.note(
                (*path, "ports"), f"{name}: host ports removed: visitors come in by the address of their instance"
            )
        if of.pop("networks", None):
            self.note((*path, "networks"), f"{name}: networks removed: services reach each other by their names")
        self._image(name, of, path)
        self._environment(name, of, path)
        self._mounts(name, of, path)
        for key in ("command", "entrypoint"):
            if isinstance(of.get(key), str) and values.words_of(of[key]) is None:
                of[key] = ["sh", "-c", of[key]]
                self.note((*path, key), f"{name}: {key} is run by a shell now: compose itself would cut it off")
        if of.get("restart") in {"no", False}:
            del of["restart"]

    def _image(self, name: str, of: dict[str, Any], path: Key) -> None:
        if not of.pop("build", None) and of.get("image"):
            return
        of.setdefault("image", f"registry.example.com/{self.name}/{name}:1")
        self.note(
            (*path, "build"),
            f"{name}: an image is needed instead of `build`: push yours and write its name, now {of['image']}",
        )

    def _environment(self, name: str, of: dict[str, Any], path: Key) -> None:
        found: dict[str, Any] = {}
        files = of.pop("env_file", None) or []
        for entry in [files] if isinstance(files, str | dict) else files:
            file = entry.get("path", "") if isinstance(entry, dict) else str(entry)
            found |= dict(variables_in(self.folder / file))
            self.note((*path, "env_file"), f"{name}: the variables of {file} are written under `environment`")
        given = of.get("environment") or {}
        if isinstance(given, list):
            given = {key: text if equals else None for key, equals, text in (str(one).partition("=") for one in given)}
        for key, value in given.items():
            # Without a value it comes from whoever starts compose.
            found[key] = f"${{{key}}}" if value is None else value
        if found:
            of["environment"] = {key: _text(value) for key, value in found.items()}

    def _mounts(self, name: str, of: dict[str, Any], path: Key) -> None:
        kept: list[Any] = []
        for number, mount in enumerate(of.pop("volumes", None) or []):
            found = self._mount(name, of, mount, (*path, "volumes", number))
            kept += [found] if found else []
        if kept:
            of["volumes"] = kept

    def _mount(self, name: str, of: dict[str, Any], mount: Any, path: Key) -> Any:
        if isinstance(mount, dict):
            if mount.get("type") == "tmpfs":
                return mount
            source, target, read_only = mount.get("source"), str(mount.get("target")), mount.get("read_only", False)
        else:
            parts = str(mount).split(":")
            source, target = (parts[0], parts[1]) if len(parts) > 1 else (None, parts[0])
            read_only = "ro" in parts[2:]
        if (
            source
            and re.fullmatch(r"[A-Za-z0-9][\w.-]*", str(source))
            and (not isinstance(mount, dict) or mount.get("type", "volume") == "volume")
        ):
            return {"type": "volume", "source": source, "target": target} | ({"read_only": True} if read_only else {})
        if source and str(source).endswith("docker.sock"):
            self.note(path, f"{name}: the engine's socket removed: it is root on the machine")
            return None
        if source and (self.folder / str(source)).is_file():
            return self._file(name, of, str(source), target, path)
        made = self._volume_for(name, str(source or ""), target)
        what = f"the folder {source}" if source else "the nameless volume"
        self.note(path, f"{name}: {what} at {target} is the volume {made!r} now, empty in every new instance")
        self.content["volumes"] = {**(self.content.get("volumes") or {}), made: None}
        return {"type": "volume", "source": made, "target": target}

    def _volume_for(self, name: str, source: str, target: str) -> str:
        if source in self.folders:
            return self.folders[source]
        words = re.sub(r"[^a-z0-9]+", "-", (source or f"{name}-{target}").lower()).strip("-") or "data"
        declared = self.content.get("volumes") or {}
        made = next(one for one in (words[:36], *(f"{words[:36]}-{i}" for i in range(2, 999))) if one not in declared)
        if source:
            self.folders[source] = made
        return made

    def _file(self, name: str, of: dict[str, Any], source: str, target: str, path: Key) -> None:
        text = (self.folder / source).read_text(encoding="utf-8", errors="replace").replace("$", "$$")
        key = re.sub(r"[^\w.-]", "-", Path(source).name).lstrip(".-_")[-30:] or "file"
        if self.files.get(key, text) != text:
            key = f"{name}-{key}"[:41]
        self.files[key] = text
        of.setdefault("configs", []).append({"source": key, "target": target})
        folder = target.rpartition("/")[0]
        self.note(
            path,
            f"{name}: {source} was copied into the blueprint, a `$` in it written as `$$`; the service sees nothing "
            f"else in {folder or chr(47)} then",
        )

    # --- what an instance needs -------------------------------------------------------------------------

    def _health(self, name: str, of: dict[str, Any], port: int) -> None:
        given = of.get("healthcheck")
        if isinstance(given, dict) and given.get("test") and given["test"] not in ("NONE", ["NONE"]):
            for key in ("start_interval", "disable"):
                given.pop(key, None)
            return
        if self._runs_once(name):
            of.pop("healthcheck", None)
            return
        image = _known(of.get("image"))
        if image and image.health:
            test = image.health
        elif port:
            test = [
                "CMD-SHELL",
                f"wget -q -O /dev/null http://127.0.0.1:{port}/ || curl -fsS -o /dev/null http://127.0.0.1:{port}/",
            ]
        else:
            test = ["CMD-SHELL", "kill -0 1"]
        of["healthcheck"] = {"test": test, "interval": "5s", "timeout": "30s", "retries": 12, "start_period": "60s"}
        better = "" if image else ": write a better one if the application has it"
        self.note((), f"{name}: a health check was added{better}")

    def _runs_once(self, name: str) -> bool:
        return any(
            isinstance(of.get("depends_on"), dict)
            and (of["depends_on"].get(name) or {}).get("condition") == "service_completed_successfully"
            for of in self.services.values()
        )

    def _rights(self, name: str, of: dict[str, Any]) -> None:
        image = _known(of.get("image")) or KnownImage()
        of.pop("cap_drop", None)
        of.setdefault("cap_add", list(image.capabilities))
        if of["cap_add"] and not image.pattern:
            self.note(
                (),
                f"{name}: it may change users and owners, as many images do at first: remove what it can do without",
            )
        if image.read_only:
            mounted = {one["target"] for one in of.get("volumes", []) if isinstance(one, dict)}
            if folders := [folder for folder in image.tmpfs if folder not in mounted]:
                of.setdefault("tmpfs", folders)
        elif "read_only" not in of:
            of["read_only"] = False
            self.note(
                (), f"{name}: its file system can be written to: try `read_only: true` with `tmpfs` for what it writes"
            )

    def _volumes(self) -> None:
        declared = self.content.pop("volumes", None) or {}
        for name, of in declared.items():
            if of:
                self.note(
                    ("volumes", name), f"the options of the volume {name} were removed: it is made for one instance"
                )
        if declared:
            self.content["volumes"] = dict.fromkeys(declared, None)

    def _order(self) -> None:
        """Who waits for a service waits until it is healthy."""
        for name, of in self.services.items():
            if isinstance(of.get("depends_on"), list):
                of["depends_on"] = {other: {"condition": "service_healthy"} for other in of["depends_on"]}
                self.note(("services", name, "depends_on"), f"{name}: it waits until what it depends on is healthy")

    def _comply(self) -> None:
        """Whatever is still refused is removed, with the sentence that refuses it."""
        for _round in range(_MOST_ROUNDS):
            text = _dump(self.content)
            problems = policy.look(text, files=self.files).problems
            if not problems:
                return
            problem = problems[0]
            path = _path_of(self.content, problem.key)
            if path is None:
                raise CannotConvert(f"{problem.key}: {problem.sentence}")
            _remove(self.content, path)
            self.note(path, f"{problem.key} removed: {problem.sentence}")
        raise CannotConvert("there is too much in this file that an instance may not have")

    # --- blueprint.yaml ---------------------------------------------------------------------------------

    def _blueprint(self, web: str, port: int) -> str:
        title = self.title or self.name.replace("-", " ").capitalize()
        used = {key for text in (_dump(self.content), *self.files.values()) for key in values.names_in(text)}
        used |= {of["environment"] for of in (self.content.get("secrets") or {}).values() if of}
        secrets = {
            key: length for key, length in self.settings.secrets.items() if key in used or key == "initial_password"
        }
        compose: dict[str, Any] = {"file": "compose.yaml", "service": web, "port": port}
        if self.files:
            compose["files"] = {key: key for key in self.files}
        lasting = [name for name in self.services if not self._runs_once(name)]
        compose["limits"] = {
            name: {"memory_mb": 512, "cpus": 1.0} for name in lasting if "mem_limit" not in self.services[name]
        }
        if dump := next(filter(None, (self._dump_of(name) for name in lasting)), None):
            compose |= dump
        return _dump(
            {
                "name": self.name,
                "version": "1",
                "title": {"fr": title, "en": title},
                "requires": ["compose"],
                "secrets": secrets,
                "compose": compose,
                "probe": {"path": "/", "status": 200},
            }
        )

    def _dump_of(self, name: str) -> dict[str, Any] | None:
        image = _known(self.services[name].get("image"))
        if not (image and image.dump):
            return None
        self.note((), f"{name}: backups are taken with {image.dump[0][2]}")
        return {
            "dump": {"service": name, "run": list(image.dump[0])},
            "load": {"service": name, "run": list(image.dump[1])},
        }


# --- small things -------------------------------------------------------------------------------------------


def _known(image: Any) -> KnownImage | None:
    repository = re.sub(r"[:@].*", "", str(image or "").rpartition("/")[2])
    return next((known for known in KNOWN if re.fullmatch(known.pattern, repository)), None)


def _inside(ports: Iterable[Any]) -> int:
    """The first port inside the container."""
    for port in ports:
        text = str(port.get("target", "")) if isinstance(port, Mapping) else str(port)
        if found := re.search(r"(\d+)(?:/tcp)?$", text):
            return int(found[1])
    return 0


def _text(value: Any) -> str:
    if isinstance(value, Number):
        return value.text
    return values.text_of(value) or ""


def _path_of(content: Any, key: str) -> Key | None:
    """The path that a dotted key stands for: names may hold dots themselves."""
    if not key:
        return ()
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for name, inner in items:
        if key == str(name):
            return (name,)
        if key.startswith(f"{name}.") and (rest := _path_of(inner, key[len(str(name)) + 1 :])) is not None:
            return (name, *rest)
    return () if content is not None else None


def _remove(content: Any, path: Key) -> None:
    """What is at the path, and what is empty without it."""
    for key in path[:-1]:
        content = content[key]
    del content[path[-1]]


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


_Dumper.add_representer(Number, lambda dumper, number: dumper.represent_scalar("tag:yaml.org,2002:float", number.text))
_Dumper.add_representer(type(None), lambda dumper, _nothing: dumper.represent_scalar("tag:yaml.org,2002:null", ""))


def _dump(content: Mapping[str, Any]) -> str:
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
