"""A tiny application for the `process` provider, and the ways in which it can be broken."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ECHO = Path(__file__).parent / "echo"
SHIPPED = Path(__file__).parents[2] / "blueprints"


def write_echo(
    into: Path,
    name: str = "echo",
    *,
    version: str = "1",
    process: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    **changes: Any,
) -> None:
    """Writes the blueprint `echo` as `<into>/<name>/`, run by this very interpreter, with parts of it replaced."""
    folder = into / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in ECHO.iterdir():
        if file.is_file():
            text = file.read_text().replace("@PYTHON@", sys.executable)
            (folder / file.name).write_text(text)
    content = yaml.safe_load((folder / "blueprint.yaml").read_text())
    content |= {"name": name, "version": version, **changes}
    content["process"] |= dict(process or {})
    content["process"]["environment"] |= dict(environment or {})
    draft = folder / "draft"
    draft.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    draft.replace(folder / "blueprint.yaml")


def copy_with_images(name: str, into: Path, images: Mapping[str, str], *, version: str) -> None:
    """A shipped blueprint as `<into>/<name>/`, with other images and a version, and so a template, of its own."""
    shutil.copytree(SHIPPED / name, into / name)
    file = into / name / "compose.yaml"
    text = file.read_text()
    for public, own in images.items():
        assert f"image: {public}\n" in text, f"{name} has no image {public}"
        text = text.replace(f"image: {public}\n", f"image: {own}\n")
    file.write_text(text)
    file = into / name / "blueprint.yaml"
    content = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(content | {"version": version}, sort_keys=False, allow_unicode=True))


def write_all(into: Path) -> None:
    """The application as it should be, and one of each kind that is not."""
    write_echo(into)
    # Takes its time to start.
    write_echo(into, "slow", environment={"ECHO_MISBEHAVE": "slow"})
    # Runs, but never answers: what a creation meets that has to end at its deadline.
    write_echo(into, "silent", environment={"ECHO_MISBEHAVE": "silent"})
    # Answers, but does not let itself be personalised, and shouts the password it was given.
    write_echo(into, "shouting", environment={"ECHO_MISBEHAVE": "shouting"})
    # Does what it was asked, but neither says so nor answers the next question.
    write_echo(into, "tongue-tied", environment={"ECHO_MISBEHAVE": "tongue-tied"})
    # Ends right after it was started.
    write_echo(into, "dying", environment={"ECHO_MISBEHAVE": "dying"})
    # Cannot even be started: what its command needs is not there.
    write_echo(into, "nonsense", process={"run": ["${nobody_knows}"]})
    # Its database cannot be initialised; it says the template's password while failing.
    write_echo(into, "hopeless", environment={"ECHO_MISBEHAVE": "hopeless"})
