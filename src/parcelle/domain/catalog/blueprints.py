"""Blueprints: how one application is deployed, initialised, probed and personalised; data, not code.

A blueprint is the folder `blueprints/<name>/` with a `blueprint.yaml` that these models validate.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from django.conf import settings


class BlueprintError(Exception):
    """A blueprint cannot be used; the text says which file and why. Not worth a retry."""


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Expectation(_Strict):
    """What the answer to a call must look like."""

    status: int = 200
    # path in the JSON answer ("result.0") -> the literal that must stand there, or "present"
    json_values: dict[str, Any] = pydantic.Field(default_factory=dict, alias="json")


class Call(_Strict):
    """One HTTP request to the application. `${name}` is replaced in every text."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    path: str
    headers: dict[str, str] = pydantic.Field(default_factory=dict)
    body: Any = pydantic.Field(default=None, alias="json")
    expect: Expectation = pydantic.Field(default_factory=Expectation)
    # name -> path in the JSON answer; usable as ${name} in the calls that follow
    capture: dict[str, str] = pydantic.Field(default_factory=dict)


class Probe(_Strict):
    """A cheap request that answers once the application serves."""

    path: str = "/"
    status: int = 200


class ProcessRecipe(_Strict):
    """How the application is built and run as an operating-system process."""

    python: str = "3.12"
    requirements: str | None = None
    npm: str | None = None
    # name in the instance's folder -> template in the blueprint's folder, `${…}` filled in
    files: dict[str, str] = pydantic.Field(default_factory=dict)
    # the same, but only while the template is built: no customer's folder gets these
    template_files: dict[str, str] = pydantic.Field(default_factory=dict)
    build: list[list[str]] = pydantic.Field(default_factory=list)
    template: list[list[str]] = pydantic.Field(default_factory=list)
    run: list[str]
    environment: dict[str, str] = pydantic.Field(default_factory=dict)


class ServiceCommand(_Strict):
    """A command inside one service of a compose stack."""

    service: str
    run: list[str] = pydantic.Field(min_length=1)
    # "" = the image's own user
    user: str = ""


class Repository(_Strict):
    """A compose file that stays in the vendor's Git repository."""

    url: str
    reference: str = "refs/heads/main"
    path: str = "docker-compose.yml"


class ServiceLimits(_Strict):
    """The most that one service may use. A plan's limits are for the whole stack and divided in proportion."""

    memory_mb: Annotated[int, pydantic.Field(ge=16)] | None = None
    cpus: Annotated[float, pydantic.Field(gt=0)] | None = None
    pids: Annotated[int, pydantic.Field(ge=16)] = 200


class ComposeRecipe(_Strict):
    """How the application is run as a compose stack. Our `${name}` are filled in before compose sees the text."""

    file: str = "compose.yaml"
    # The service that visitors reach, and the port it listens on inside.
    service: str
    port: Annotated[int, pydantic.Field(ge=1, le=65535)]
    # Instead of `file`, for platforms that fetch the stack themselves.
    repository: Repository | None = None
    # What such a stack is given as its environment: name -> template
    variables: dict[str, str] = pydantic.Field(default_factory=dict)
    # Files for `configs` of the compose file: name -> template in the blueprint's folder, `${…}` filled in
    files: dict[str, str] = pydantic.Field(default_factory=dict)
    limits: dict[str, ServiceLimits] = pydantic.Field(default_factory=dict)
    # Volumes whose content is initialised once, in the template, and copied into every new instance.
    seed_volumes: list[str] = pydantic.Field(default_factory=list)
    # Once in the template; once per instance where there is no template or nothing to seed.
    initialise: list[ServiceCommand] = pydantic.Field(default_factory=list)
    # In every instance after its volumes were seeded, while only the named services run.
    adopt: list[ServiceCommand] = pydantic.Field(default_factory=list)
    # Writes a backup to standard output, and reads it from standard input.
    dump: ServiceCommand | None = None
    load: ServiceCommand | None = None


class ReadOnly(_Strict):
    """How the application is made to refuse changes, and to take them again; both may be run twice."""

    # Commands inside the application, `${name}` filled in.
    enter: list[list[str]] = pydantic.Field(min_length=1)
    leave: list[list[str]] = pydantic.Field(min_length=1)


class Credentials(_Strict):
    """Where the customer's first user signs in and under which name."""

    url: str = "${url}"
    user: str = "${slug}"


class Blueprint(_Strict):
    """A validated `blueprint.yaml`."""

    name: str = pydantic.Field(pattern=r"^[a-z][a-z0-9-]{1,40}$")
    version: str = pydantic.Field(pattern=r"^[A-Za-z0-9._-]{1,40}$")
    title: dict[Literal["fr", "en"], str]
    description: dict[Literal["fr", "en"], str] = pydantic.Field(default_factory=dict)
    requires: list[str] = pydantic.Field(default_factory=list)
    # name -> length
    secrets: dict[str, Annotated[int, pydantic.Field(ge=8, le=128)]] = pydantic.Field(
        default_factory=lambda: {"database_password": 16, "secret_key": 32, "initial_password": 12}
    )
    # Values of `${name}` where the platform makes none, such as the database's name in a stack of its own
    defaults: dict[str, str] = pydantic.Field(default_factory=dict)
    process: ProcessRecipe | None = None
    compose: ComposeRecipe | None = None
    probe: Probe = pydantic.Field(default_factory=Probe)
    personalise: list[Call] = pydantic.Field(default_factory=list)
    sign_in: list[Call] = pydantic.Field(default_factory=list)
    credentials: Credentials = pydantic.Field(default_factory=Credentials)
    # Without it there is no stage between running and suspended for who has not paid.
    read_only: ReadOnly | None = None
    usage: dict[str, Any] = pydantic.Field(default_factory=dict)
    backup: dict[str, Any] = pydantic.Field(default_factory=dict)
    upgrade: dict[str, Any] = pydantic.Field(default_factory=dict)

    folder: Path = pydantic.Field(default=Path(), exclude=True)

    @property
    def version_key(self) -> str:
        """Name and version as one short token that is safe in names of folders and databases."""
        digest = hashlib.sha256(f"{self.name} {self.version}".encode()).hexdigest()[:8]
        return f"{self.name.replace('-', '_')}_{digest}"


_VARIABLE = re.compile(r"\$\{(?:(?P<function>base64):(?P<text>(?:[^{}]|\$\{[^{}]*\})*)|(?P<name>[a-z_][a-z0-9_.]*))\}")


def fill(value: Any, variables: Mapping[str, Any]) -> Any:
    """`value` with every `${name}` replaced, in texts at any depth; `${base64:…}` encodes what it encloses.

    A text that is one variable and nothing else takes the variable's own type. Raises BlueprintError for a
    name that is not in `variables`.
    """
    if isinstance(value, Mapping):
        return {key: fill(inner, variables) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, variables) for inner in value]
    if not isinstance(value, str):
        return value
    whole = _VARIABLE.fullmatch(value)
    if whole and whole["name"]:
        return _look_up(whole["name"], variables)
    replace: Callable[[re.Match[str]], str] = lambda match: _replacement(match, variables)  # noqa: E731
    return _VARIABLE.sub(replace, value)


def _look_up(name: str, variables: Mapping[str, Any]) -> Any:
    try:
        return variables[name]
    except KeyError:
        raise BlueprintError(f"the blueprint uses the unknown variable ${{{name}}}") from None


def _replacement(match: re.Match[str], variables: Mapping[str, Any]) -> str:
    if match["name"]:
        return str(_look_up(match["name"], variables))
    return base64.b64encode(str(fill(match["text"], variables)).encode()).decode()


def load(name: str) -> Blueprint:
    """The blueprint `name`. Raises BlueprintError with the reason when it is missing or not valid."""
    path = Path(settings.BLUEPRINTS_DIR) / name / "blueprint.yaml"
    try:
        return _parse(path, path.stat().st_mtime_ns)
    except OSError:
        raise BlueprintError(f"there is no blueprint {name!r}") from None


@lru_cache(maxsize=100)
def _parse(path: Path, _changed: int) -> Blueprint:
    file = f"{path.parent.name}/blueprint.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise BlueprintError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from None
    except UnicodeDecodeError:
        raise BlueprintError(f"{file} is not UTF-8 text") from None
    if not isinstance(content, dict):
        raise BlueprintError(f"{file} must be a mapping of fields to values")
    try:
        blueprint = Blueprint.model_validate({**content, "folder": path.parent})
    except pydantic.ValidationError as error:
        raise BlueprintError(f"{file}: {_readable(error)}") from None
    if blueprint.name != path.parent.name:
        raise BlueprintError(f"{file}: name: must be {path.parent.name!r} like its folder, not {blueprint.name!r}")
    return blueprint


def _readable(error: pydantic.ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())


def names() -> list[str]:
    """Names of all blueprint folders, sorted."""
    return sorted(path.parent.name for path in Path(settings.BLUEPRINTS_DIR).glob("*/blueprint.yaml"))
