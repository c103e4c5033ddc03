"""`parcelle blueprint …`: write, check and look at what can be sold."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from django.conf import settings
from rich.markup import escape

from parcelle.domain.catalog import blueprints
from parcelle.domain.catalog.blueprints import BlueprintError
from parcelle.domain.provisioning.compose import checking, conversion
from parcelle.domain.provisioning.compose.reading import Problem
from parcelle.domain.provisioning.compose.render import LOOPBACK
from parcelle.domain.provisioning.compose.render import render as rendered
from parcelle.domain.provisioning.errors import TargetUnreachable
from parcelle.surfaces.cli.output import AsJson, console, fail, print_json

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Write, check and look at what can be sold.")


@app.command()
def check(
    which: Annotated[list[str] | None, typer.Argument(help="Names or folders; all of them when left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say everything that is wrong with blueprints, with lines, and end with an error if there is something.

    With Docker's compose plugin installed, compose itself reads the finished file too.
    """
    found = {name: _problems(_folder(name)) for name in which or blueprints.names()}
    if as_json:
        print_json([{"blueprint": name, "problems": [_shown(one) for one in those]} for name, those in found.items()])
    else:
        for name, those in found.items():
            _tell(name, those)
    raise typer.Exit(1 if any(not one.is_warning for those in found.values() for one in those) else 0)


@app.command()
def render(
    name: Annotated[str, typer.Argument(help="A blueprint's name or folder.")],
    slug: Annotated[str, typer.Option(help="The short name of the customer shown.")] = "acme",
    publish: Annotated[bool, typer.Option("--publish", help="With a port of the machine for the web service.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the compose file of an instance as it would run. Secrets stand there as their names in brackets.

    Where the compose file stays in a repository: which one, and the variables that it is given.
    """
    found = checking.check(_folder(name))
    if found.blueprint is None or not found.is_sound:
        _tell(name, list(found.problems))
        raise typer.Exit(1)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{1,49}", slug):
        fail("A short name has small letters, digits and hyphens.")
    example = checking.Example.of(found.blueprint, slug=slug)
    if given := checking.given_to_portainer(example):
        _show_given(example.name, given, as_json=as_json)
        return
    try:
        made = rendered(example, publish=LOOPBACK if publish else "")
    except BlueprintError as error:
        fail(str(error))
    files = {of.folder: sorted(file.name for file in of.files) for of in made.file_volumes}
    if as_json:
        print_json({"project": made.project, "model": yaml.safe_load(made.text), "files": files})
    else:
        typer.echo(made.text, nl=False)
        for volume in made.file_volumes:
            for file in volume.files:
                typer.echo(f"\n# {file.path} in {volume.service}:\n{file.content.decode(errors='replace').rstrip()}")


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Of the blueprint: small letters, digits and hyphens.")],
    compose: Annotated[Path | None, typer.Option(help="Your application's compose file.")] = None,
    service: Annotated[str, typer.Option(help="The service that visitors reach.")] = "",
    port: Annotated[int, typer.Option(help="The port on which it listens.")] = 0,
    title: Annotated[str, typer.Option(help="What customers read.")] = "",
    as_json: AsJson = False,
) -> None:
    """Write a blueprint from your application's compose file, and say what had to be changed."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{1,40}", name):
        fail("A blueprint's name has small letters, digits and hyphens and begins with a letter.")
    folder = Path(settings.BLUEPRINTS_DIR) / name
    if folder.exists():
        fail(f"{folder} exists: choose another name, or remove it first.")
    path = compose or _asked()
    try:
        made = conversion.convert(path, name=name, title=title, service=service, port=port)
    except conversion.CannotConvert as error:
        fail(str(error))
    folder.mkdir(parents=True)
    for file, content in made.files.items():
        (folder / file).write_text(content, encoding="utf-8")
    problems = _problems(folder)
    if as_json:
        notes = [{"line": note.line, "change": note.sentence} for note in made.notes]
        print_json({"folder": folder, "changes": notes, "problems": [_shown(one) for one in problems]})
    else:
        for note in made.notes:
            typer.echo(f"{path.name}:{note.line}: {note.sentence}" if note.line else f"added: {note.sentence}")
        typer.echo(f"\n{folder} is written. Comments of your file are not in it.")
        _tell(name, problems)
        typer.echo(f"Look at an instance of it: parcelle blueprint render {name}")
    raise typer.Exit(1 if any(not one.is_warning for one in problems) else 0)


def _show_given(project: str, given: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json({"project": project, **given})
        return
    typer.echo("# The compose file stays in its repository; Portainer fetches it and gives it these variables.")
    typer.echo(yaml.safe_dump({"name": project, **given}, sort_keys=False, allow_unicode=True), nl=False)


def _asked() -> Path:
    if not sys.stdin.isatty():
        fail("Say where your compose file is: --compose path/to/compose.yaml")
    return Path(typer.prompt("Your application's compose file", default="compose.yaml", err=True)).expanduser()


def _folder(name: str) -> Path:
    """What was typed is a folder, or the name of one among the blueprints."""
    if (Path(name) / checking.FILE).is_file():
        return Path(name)
    folder = Path(settings.BLUEPRINTS_DIR) / name
    if "/" in name or not (folder / checking.FILE).is_file():
        fail(f"There is no blueprint {name!r}: name one of {', '.join(blueprints.names()) or 'your own'}, or a folder.")
    return folder


def _problems(folder: Path) -> list[Problem]:
    found = checking.check(folder)
    problems = list(found.problems)
    if found.is_sound and found.blueprint and found.blueprint.compose and not found.blueprint.compose.repository:
        try:
            problems += checking.second_look(found.blueprint)
        except BlueprintError as error:
            problems.append(Problem(key="", line=0, sentence=str(error), file=checking.FILE))
        except TargetUnreachable:
            typer.echo("Docker's compose plugin is not installed here, so compose was not asked.", err=True)
    return problems


def _tell(name: str, problems: list[Problem]) -> None:
    if not problems:
        console().print(f"[green]ok[/]  [bold]{escape(name)}[/]", soft_wrap=True)
        return
    errors = sum(not problem.is_warning for problem in problems)
    mark = f"[red]{errors} to change[/]" if errors else "[green]ok[/]"
    console().print(f"{mark}  [bold]{escape(name)}[/]", soft_wrap=True)
    for problem in problems:
        word = "[yellow]note[/]  " if problem.is_warning else ""
        console().print(f"  {word}{escape(str(problem))}", soft_wrap=True)


def _shown(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.line or None,
        "key": problem.key,
        "sentence": problem.sentence,
        "severity": "note" if problem.is_warning else "error",
    }
