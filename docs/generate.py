"""`make docs`: writes the pages of `docs/reference` from the code; a test notices when one is out of date."""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "parcelle.config.settings")

import django
import pydantic

FOLDER = Path(__file__).resolve().parent / "reference"
_TABLE = "\n| key | what it holds | default | meaning |\n| --- | --- | --- | --- |\n"
NOTE = "<!-- Written by `make docs`: change the code instead. -->\n\n"


def pages() -> dict[str, str]:
    """File name -> text of every generated page."""
    django.setup()
    return {
        "blueprint.md": blueprint_page(),
        "blueprint.schema.json": blueprint_schema(),
        "commands.md": commands_page(),
    }


# --- blueprint.yaml ---------------------------------------------------------------------------------------


def blueprint_page() -> str:
    from parcelle.domain.catalog import blueprints

    parts = [
        NOTE,
        "# `blueprint.yaml`\n\nThe same for programs: [blueprint.schema.json](blueprint.schema.json).\n",
    ]
    for model in _models(blueprints.Blueprint, []):
        title = "The file" if model is blueprints.Blueprint else model.__name__
        parts.append(f"\n## {title}\n\n{_sentence(model)}\n{_TABLE}")
        comments = _comments(model)
        for name, field in model.model_fields.items():
            if not field.exclude:
                cells = (f"`{field.alias or name}`", _kind(field.annotation), _default(field), comments.get(name, ""))
                parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return "".join(parts)


def blueprint_schema() -> str:
    """As JSON Schema, with what the comments in the code say."""
    from parcelle.domain.catalog import blueprints

    schema = blueprints.Blueprint.model_json_schema()
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    for model in _models(blueprints.Blueprint, []):
        described = schema if model is blueprints.Blueprint else schema["$defs"][model.__name__]
        comments = _comments(model)
        for name, field in model.model_fields.items():
            if field.exclude:
                described["properties"].pop(field.alias or name)
            elif comment := comments.get(name):
                described["properties"][field.alias or name]["description"] = comment
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _models(model: type[pydantic.BaseModel], seen: list[type[pydantic.BaseModel]]) -> list[type[pydantic.BaseModel]]:
    """The model and all it is made of, in the order in which a reader meets them."""
    if model not in seen:
        seen.append(model)
        for field in model.model_fields.values():
            for part in _parts(field.annotation):
                _models(part, seen)
    return seen


def _parts(annotation: Any) -> Iterator[type[pydantic.BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _parts(inner)


def _sentence(model: type[pydantic.BaseModel]) -> str:
    return inspect.getdoc(model) or ""


def _comments(model: type[pydantic.BaseModel]) -> dict[str, str]:
    """What the comment above a field says."""
    found: dict[str, str] = {}
    waiting: list[str] = []
    for line in inspect.getsource(model).splitlines():
        if comment := re.match(r"    # (.*)", line):
            waiting.append(comment[1])
        elif field := re.match(r"    (\w+):", line):
            found[field[1]] = " ".join(waiting)
            waiting = []
    return found


def _kind(annotation: Any) -> str:
    text = (
        annotation.__name__
        if inspect.isclass(annotation) and not getattr(annotation, "__args__", ())
        else str(annotation)
    )
    text = re.sub(r"\b(?:[a-z_]+\.)+", "", text)
    text = re.sub(r"Annotated\[(\w+), .*?\)\]\)?\]", r"\1", text)
    return f"`{text}`"


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "" if value in (None, {}, []) or isinstance(value, pydantic.BaseModel) else f"`{value}`"


# --- the program -------------------------------------------------------------------------------------------


def commands_page() -> str:
    from parcelle.config import program
    from parcelle.surfaces import cli

    parts = [NOTE, "# The program `parcelle`\n"]
    for name, entry in sorted({**cli.COMMANDS, **program.COMMANDS}.items()):
        parts.append(f"\n## `parcelle {name}`\n\n{entry.help}\n")
        command = cli.load(entry, name)
        group = getattr(command, "commands", None)
        for sub in sorted(group) if group else ():
            parts.append(f"\n### `parcelle {name} {sub}`\n\n{(group[sub].help or '').strip()}\n")
            parts.extend(_parameters(group[sub]))
        if not group:
            parts.extend(_parameters(command))
    return "".join(parts)


def _parameters(command: Any) -> Iterator[str]:
    rows = [parameter for parameter in command.params if parameter.name != "help"]
    if rows:
        yield "\n| argument or option | meaning |\n| --- | --- |\n"
    for parameter in rows:
        shown = ", ".join(f"`{word}`" for word in parameter.opts)
        meaning = getattr(parameter, "help", None) or ""
        yield f"| {shown if parameter.opts[0].startswith('-') else shown.upper()} | {meaning} |\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file_name, text in pages().items():
        (FOLDER / file_name).write_text(text)
        sys.stdout.write(f"docs/reference/{file_name}\n")
