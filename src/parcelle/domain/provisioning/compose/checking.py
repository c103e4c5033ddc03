"""Everything that is wrong with a blueprint, at once and with lines, before anybody buys it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pydantic

from parcelle.domain.catalog.blueprints import Blueprint, BlueprintError, ComposeRecipe, fill
from parcelle.domain.provisioning.compose import policy, values
from parcelle.domain.provisioning.compose.answers import FileRefused
from parcelle.domain.provisioning.compose.cli import Compose
from parcelle.domain.provisioning.compose.file import ComposeFile
from parcelle.domain.provisioning.compose.judgement import judge
from parcelle.domain.provisioning.compose.limits import shares
from parcelle.domain.provisioning.compose.reading import Grants, Problem
from parcelle.domain.provisioning.compose.render import APPLICATION, BACK, FRONT, recipe_of, render, variables_of
from parcelle.domain.provisioning.compose.source import Source, Unreadable, read

FILE: Final = "blueprint.yaml"
# Whose a stack is: known at the sign-up, so a standby in the warm pool has other values until it is claimed.
OWNERS: Final = frozenset({"company", "email", "first_name", "last_name", "language", "slug", "url"})
# Every stack has them, whoever's it is.
STANDING: Final = frozenset({"ref", "stack", "template_password"})


_UNSAVED: Final = (
    "without `dump`, an archive is a copy of {} while the application stands still; through Portainer, which hands out "
    "no volumes, an instance cannot be archived"
)
_UNSAVED_IN_PORTAINER: Final = "without `dump`, an instance that has volumes cannot be archived"


@dataclass(frozen=True, kw_only=True)
class Example:
    """An instance that nobody has, to show a stack with. Secrets stand there as their names in brackets."""

    blueprint: Blueprint
    name: str = "client-acme"
    ref: UUID = field(default_factory=lambda: UUID(int=0))
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=lambda: {APPLICATION: 8080, "database": 5432})
    subnets: Mapping[str, str] = field(default_factory=lambda: {FRONT: "10.201.0.0/28", BACK: "10.201.0.16/28"})
    limits: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, blueprint: Blueprint, *, slug: str = "acme") -> Example:
        secrets = [*blueprint.secrets, "template_password"]
        return cls(
            blueprint=blueprint,
            name=f"client-{slug}",
            variables={
                "company": "Acme", "email": "owner@example.com", "first_name": "Ada", "last_name": "Acme",
                "language": "fr", "slug": slug, "url": f"https://{slug}.example.com",
            },
            secrets={name: f"[{name}]" for name in secrets},
        )  # fmt: skip


def given_to_portainer(example: Example) -> dict[str, Any] | None:
    """Repository and variables of a stack whose compose file is not in the blueprint; None where it is."""
    recipe = recipe_of(example.blueprint)
    if recipe.repository is None:
        return None
    known = variables_of(example)
    return {
        "repository": {
            "url": fill(recipe.repository.url, known),
            "reference": recipe.repository.reference,
            "path": recipe.repository.path,
        },
        "variables": {name: str(fill(template, known)) for name, template in recipe.variables.items()},
    }


@dataclass(frozen=True, kw_only=True)
class Checked:
    """`blueprint` is None when its file cannot be used at all."""

    problems: tuple[Problem, ...]
    blueprint: Blueprint | None = None

    @property
    def is_sound(self) -> bool:
        return all(problem.is_warning for problem in self.problems)


def check(folder: Path) -> Checked:
    """Reads `blueprint.yaml` in `folder` and what it names. Raises nothing: all that is wrong is in the answer."""
    try:
        source = read((folder / FILE).read_text(encoding="utf-8"))
    except OSError:
        return Checked(problems=(Problem(key="", line=0, sentence="there is no such file", file=FILE),))
    except UnicodeDecodeError:
        return Checked(problems=(Problem(key="", line=0, sentence="this is not UTF-8 text", file=FILE),))
    except Unreadable as error:
        return Checked(problems=(Problem(key="", line=error.line, sentence=error.sentence, file=FILE),))
    blueprint, problems = _validated(source, folder)
    if blueprint is None:
        return Checked(problems=tuple(problems))
    missing = list(_missing_files(blueprint, source))
    problems += missing
    if blueprint.compose and not blueprint.compose.repository and not missing:
        problems += _compose(blueprint, blueprint.compose, source)
    elif blueprint.compose and blueprint.compose.repository and not blueprint.compose.dump:
        problems.append(_at(source, ("compose",), _UNSAVED_IN_PORTAINER, is_warning=True))
    return Checked(problems=tuple(problems), blueprint=blueprint)


def second_look(blueprint: Blueprint) -> tuple[Problem, ...]:
    """What `docker compose` itself and our judgement of its answer say of an example instance.

    Raises BlueprintError when it cannot be rendered, TargetUnreachable where compose is not installed.
    """
    example = Example.of(blueprint)
    try:
        model = Compose().config(render(example))
    except FileRefused as error:
        return (Problem(key="", line=0, sentence=error.detail, file=recipe_of(blueprint).file),)
    return tuple(judge(model, example))


def known(blueprint: Blueprint, *, ports: Iterable[str] = (APPLICATION,)) -> frozenset[str]:
    """The placeholders that a compose file of this blueprint may use."""
    return OWNERS | STANDING | blueprint.secrets.keys() | {f"ports.{purpose}" for purpose in ports}


def _validated(source: Source, folder: Path) -> tuple[Blueprint | None, list[Problem]]:
    if not isinstance(source.content, dict):
        return None, [_at(source, (), "write keys with values here")]
    content = {**_plain(source.content), "folder": folder}
    problems: list[Problem] = []
    try:
        blueprint = Blueprint.model_validate(content)
    except pydantic.ValidationError as error:
        problems = [_at(source, fault["loc"], _sentence(fault)) for fault in error.errors()]
        # A wrong name is no reason to keep silent about the rest.
        if {fault["loc"] for fault in error.errors()} != {("name",)}:
            return None, problems
        blueprint = Blueprint.model_validate({**content, "name": "unnamed"})
        return blueprint, problems
    if blueprint.name != folder.resolve().name:
        problems.append(_at(source, ("name",), f"write {folder.resolve().name!r}, the name of the folder"))
    if not (blueprint.process or blueprint.compose):
        problems.append(_at(source, (), "say how it runs: with a `compose` section, or a `process` section"))
    return blueprint, problems


def _sentence(fault: Any) -> str:
    named = {"missing": "this is required", "extra_forbidden": "remove it: there is no such key"}
    return named.get(fault["type"], f"{fault['msg'][0].lower()}{fault['msg'][1:]}")


def _plain(value: Any) -> Any:
    """Numbers as pydantic wants them."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return float(value) if isinstance(value, float) else value


def _missing_files(blueprint: Blueprint, source: Source) -> Iterator[Problem]:
    named: list[tuple[tuple[str | int, ...], str | None]] = []
    if process := blueprint.process:
        named += [(("process", "requirements"), process.requirements), (("process", "npm"), process.npm)]
        named += [(("process", "files", key), name) for key, name in process.files.items()]
    if compose := blueprint.compose:
        named += [(("compose", "files", key), name) for key, name in compose.files.items()]
        named += [] if compose.repository else [(("compose", "file"), compose.file)]
    root = blueprint.folder.resolve()
    for path, name in named:
        if name and not (root / name).resolve().is_relative_to(root):
            yield _at(source, path, f"{name} lies outside the blueprint's folder: copy it there")
        elif name and not (root / name).is_file():
            yield _at(source, path, f"there is no file {name} in the blueprint's folder")
        elif name and path[0] == "compose" and not _is_text(root / name):
            yield _at(source, path, f"{name} is not UTF-8 text")


def _is_text(path: Path) -> bool:
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _compose(blueprint: Blueprint, recipe: ComposeRecipe, source: Source) -> list[Problem]:
    files = {key: (blueprint.folder / name).read_text(encoding="utf-8") for key, name in recipe.files.items()}
    text = (blueprint.folder / recipe.file).read_text(encoding="utf-8")
    found = policy.look(text, name=recipe.file, files=files, known=known(blueprint), grants=Grants())
    problems = [*found.problems, *_recipe(blueprint, recipe, found.file, source)]
    if not problems:
        problems += _unlimited(recipe, found.file, source)
        problems += _unsaved(recipe, found.file, source)
        problems += _changing(text, files, recipe.file)
    return problems


def _recipe(blueprint: Blueprint, recipe: ComposeRecipe, file: ComposeFile, source: Source) -> Iterator[Problem]:
    if not file.services:
        return
    services = ", ".join(file.services)

    def unknown(path: tuple[str | int, ...], name: str) -> Iterator[Problem]:
        if name not in file.services:
            yield _at(source, path, f"there is no service {name!r} in {recipe.file}, which has {services}")

    yield from unknown(("compose", "service"), recipe.service)
    if recipe.service in file.one_shots:
        yield _at(source, ("compose", "service"), "others wait for its end: name the service that visitors reach")
    for name in recipe.limits:
        yield from unknown(("compose", "limits", name), name)
    for number, volume in enumerate(recipe.seed_volumes):
        if volume not in file.volumes:
            yield _at(source, ("compose", "seed_volumes", number), f"{recipe.file} declares no volume {volume!r}")
    several = [("initialise", recipe.initialise), ("adopt", recipe.adopt)]
    commands = [((key, number), of) for key, those in several for number, of in enumerate(those)]
    commands += [((key,), of) for key, of in (("dump", recipe.dump), ("load", recipe.load)) if of]  # type: ignore[misc]
    for where, command in commands:
        path = ("compose", *where)
        yield from unknown((*path, "service"), command.service)
        for name in sorted({name for word in command.run for name in values.names_in(word)} - known(blueprint)):
            yield _at(source, (*path, "run"), f"there is no variable ${{{name}}}: declare it under `secrets`")


def _unlimited(recipe: ComposeRecipe, file: ComposeFile, source: Source) -> Iterator[Problem]:
    try:
        shares(file, recipe.limits, {})
    except BlueprintError as error:
        yield _at(source, ("compose", "limits"), str(error))
    for name, service in file.services.items():
        if name not in recipe.limits and not service.memory and name not in file.one_shots:
            sentence = f"nothing says how much memory {name!r} needs, so it gets 512 MB: add it under `limits`"
            yield _at(source, ("compose", "limits"), sentence, is_warning=True)


def _unsaved(recipe: ComposeRecipe, file: ComposeFile, source: Source) -> Iterator[Problem]:
    """What becomes of data when an instance is archived, where the recipe does not say."""
    if recipe.dump is None and file.volumes:
        sentence = _UNSAVED.format(", ".join(sorted(file.volumes)))
        yield _at(source, ("compose",), sentence, is_warning=True)


def _changing(text: str, files: Mapping[str, str], name: str) -> Iterator[Problem]:
    for file, content in {name: text, **files}.items():
        for number, line in enumerate(content.splitlines(), 1):
            for placeholder in sorted(values.names_in(line.split("#", 1)[0]) & OWNERS):
                sentence = (
                    f"${{{placeholder}}} is known only once somebody signs up, so a standby's containers are replaced "
                    "then: set it by `personalise` where the application can"
                )
                yield Problem(key="", line=number, sentence=sentence, file=file, is_warning=True)


def _at(source: Source, path: tuple[str | int, ...], sentence: str, *, is_warning: bool = False) -> Problem:
    key = ".".join(map(str, path))
    return Problem(key=key, line=source.line(path), sentence=sentence, file=FILE, is_warning=is_warning)
