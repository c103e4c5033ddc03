"""What a vendor's compose file may ask for: an allow-list over the raw text, before compose resolves and hides things.

Everything wrong is collected, each with its line, and what is right comes out in one spelling. The second look, at
what compose makes of the finished file, is in `judgement.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from parcelle.domain.provisioning.compose import keys, refusals, values
from parcelle.domain.provisioning.compose.file import ComposeFile, Service
from parcelle.domain.provisioning.compose.reading import NAME, Grants, Problem, Reader
from parcelle.domain.provisioning.compose.source import Path, Unreadable, read

# A network has thirteen addresses for containers, and one of them is for what runs once.
MOST_SERVICES: Final = 12


@dataclass
class Findings:
    """What the first look at a file found: problems, and the file itself, incomplete when there are any."""

    file: ComposeFile
    problems: list[Problem]


def look(
    text: str,
    *,
    name: str = "compose.yaml",
    files: Mapping[str, str] | None = None,
    known: Collection[str] | None = None,
    grants: Grants | None = None,
) -> Findings:
    """Judges a compose file. `files` are the blueprint's own (name -> content); `known` the placeholders that exist.

    Raises nothing: what cannot be read at all is a problem like any other.
    """
    try:
        source = read(text)
    except Unreadable as error:
        return Findings(
            ComposeFile(services={}), [Problem(key="", line=error.line, sentence=error.sentence, file=name)]
        )
    reader = Reader(source=source, name=name, known=known, grants=grants or Grants())
    found = _whole(reader, files or {})
    return Findings(found, sorted(reader.problems, key=lambda problem: (problem.line, problem.key)))


def _whole(reader: Reader, files: Mapping[str, str]) -> ComposeFile:
    top = reader.mapping(reader.source.content, ())
    for key in top:
        if key not in {"services", "volumes", "networks", "secrets", "configs", "version", "name"}:
            reader.refuse((key,), refusals.TOP)
    reader.volumes = list(_declared(reader, top, "volumes", _volume))
    reader.networks = [*_declared(reader, top, "networks", _network), "default"]
    configs = {**files, **_declared(reader, top, "configs", _content)}
    secrets = _declared(reader, top, "secrets", _content)
    reader.configs, reader.secrets = list(configs), list(secrets)
    for key in configs.keys() & secrets.keys():
        reader.problem(("secrets", key), "a config has this name too: rename one of them")
    for key, template in files.items():
        _file(reader, key, template)
    services = {}
    for key, value in reader.mapping(top.get("services"), ("services",), optional=True).items():
        _named(reader, key, ("services", key))
        services[key] = keys.service(reader, value, ("services", key))
    found = ComposeFile(services=services, volumes=tuple(reader.volumes), contents={**configs, **secrets})
    _together(reader, found)
    return found


def _file(reader: Reader, key: str, template: str) -> None:
    for number, line in enumerate(template.splitlines(), 1):
        sentences = [reader.about_dollar(stray)] if (stray := values.stray_dollar(line)) else []
        if reader.known is not None and not stray:
            unknown = sorted(values.names_in(line) - set(reader.known))
            sentences += [f"there is no variable ${{{name}}}: {reader.advice(name)}" for name in unknown]
        reader.problems += [Problem(key="", line=number, sentence=sentence, file=key) for sentence in sentences]


def _named(reader: Reader, name: str, path: Path) -> None:
    if not NAME.fullmatch(name):
        reader.problem(path, "a name has letters, digits, `-`, `_` and `.` only, at most 41 of them")


def _declared(
    reader: Reader, top: Mapping[str, Any], key: str, one: Callable[[Reader, Any, Path], Any]
) -> dict[str, Any]:
    found = {}
    for name, value in reader.mapping(top.get(key), (key,), optional=True).items():
        _named(reader, name, (key, name))
        found[name] = one(reader, value, (key, name))
    return found


def _volume(reader: Reader, value: Any, path: Path) -> None:
    for key, inner in reader.mapping(value, path, optional=True).items():
        if key == "driver" and inner == "local":
            continue
        if key == "labels":
            keys.labels(reader, inner, (*path, key))
        elif key == "driver":
            reader.problem((*path, key), "remove it: volumes are the engine's own (`local`)")
        else:
            reader.refuse((*path, key), refusals.VOLUME)


def _network(reader: Reader, value: Any, path: Path) -> None:
    for key, inner in reader.mapping(value, path, optional=True).items():
        if key == "labels":
            keys.labels(reader, inner, (*path, key))
        elif key == "driver" and inner == "bridge":
            continue
        elif key != "internal":
            reader.refuse((*path, key), refusals.NETWORK)


def _content(reader: Reader, value: Any, path: Path) -> str:
    """The template of a secret or a config."""
    given = reader.mapping(value, path, optional=True)
    for key in given:
        if key not in {"content", "environment", "labels"}:
            reader.refuse((*path, key), refusals.FILE)
    if "environment" in given:
        name = reader.plain(given["environment"], (*path, "environment"))
        if reader.known is not None and name and name not in reader.known:
            reader.problem((*path, "environment"), f"there is no variable {name!r}: {reader.advice(name)}")
        return f"${{{name}}}"
    if "content" in given:
        return reader.text(given["content"], (*path, "content"))
    if not {"file", "external"} & given.keys():
        reader.problem(path, "say what it holds: `environment: name` for one of the blueprint's secrets, or `content`")
    return ""


def _together(reader: Reader, file: ComposeFile) -> None:
    if not file.services and not {problem.key for problem in reader.problems} & {"", "services"}:
        reader.problem(("services",), "describe at least one service")
    if len(file.services) > MOST_SERVICES:
        reader.problem(("services",), f"there are {len(file.services)}: an instance's network holds {MOST_SERVICES}")
    for name, service in file.services.items():
        path = ("services", name)
        for other in service.depends_on:
            if other not in file.services:
                reader.problem((*path, "depends_on", other), f"there is no service {other!r}")
        _lifetime(reader, name, service, file)
    for cycle in _cycles(file):
        reader.problem(("services", cycle[0], "depends_on"), f"these wait for each other: {' -> '.join(cycle)}")


def _lifetime(reader: Reader, name: str, service: Service, file: ComposeFile) -> None:
    path: Path = ("services", name)
    if name in file.one_shots:
        if service.restart not in {"", "no"} and not service.restart.startswith("on-failure"):
            reader.problem((*path, "restart"), 'others wait for its end: write restart: "no"')
    elif service.restart == "no":
        reader.problem(
            (*path, "restart"),
            "if it ends by itself, let a service wait for it with `depends_on: {" + name + ": {condition: "
            "service_completed_successfully}}`; if not, remove `restart`",
        )
    elif service.healthcheck is None and not reader.said((*path, "healthcheck")):
        reader.problem(
            path,
            "add a `healthcheck`: without one a service that crashes every second passes for healthy; if it ends "
            "by itself, let another one wait for it with `condition: service_completed_successfully`",
        )


def _cycles(file: ComposeFile) -> list[list[str]]:
    """One cycle of dependencies for every service it can be entered by first."""
    found: list[list[str]] = []
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> None:
        if name in way:
            found.append([*way[way.index(name) :], name])
        elif name not in done and name in file.services:
            for other in file.services[name].depends_on:
                walk(other, [*way, name])
            done.add(name)

    for name in file.services:
        walk(name, [])
    return found
