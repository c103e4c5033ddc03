"""The toolbox for reading a vendor's compose file: values by their kind, and everything wrong with its line."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from parcelle.domain.provisioning.compose import values
from parcelle.domain.provisioning.compose.source import Path, Source

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}")


@dataclass(frozen=True, kw_only=True)
class Grants:
    """What a plan or a target allows beyond the strict list."""

    # Purposes of leased ports that a service may be reached by from outside the stack.
    ports: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing to change. `key` is its dotted path, `line` counts from one, 0 when there is no line to show."""

    key: str
    line: int
    sentence: str
    file: str = "compose.yaml"
    # Works, but is worth knowing.
    is_warning: bool = False

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.key}: {self.sentence}" if self.key else f"{where}: {self.sentence}"


@dataclass(kw_only=True)
class Reader:
    source: Source
    name: str
    known: Collection[str] | None
    grants: Grants
    problems: list[Problem] = field(default_factory=list)
    # What is declared at the end of the file.
    volumes: Collection[str] = ()
    networks: Collection[str] = ()
    configs: Collection[str] = ()
    secrets: Collection[str] = ()

    # --- scalars ----------------------------------------------------------------------------------------

    def text(self, value: Any, path: Path) -> str:
        """A text that may hold placeholders."""
        found = values.text_of(value)
        if found is None:
            self.problem(path, "write it in quotes" if value is not None else 'write a value, "" for an empty one')
            return ""
        if "\0" in found:
            self.problem(path, "it holds a NUL character, which no program can be given")
        if stray := values.stray_dollar(found):
            self.problem(path, self.about_dollar(stray))
        elif self.known is not None:
            for name in sorted(values.names_in(found) - set(self.known)):
                self.problem(path, f"there is no variable ${{{name}}}: {self.advice(name)}")
        return found

    def plain(self, value: Any, path: Path) -> str:
        """A text without placeholders."""
        found = values.text_of(value)
        if not found:
            self.problem(path, "write a text")
            return ""
        if "$" in found:
            self.problem(path, "write it out: placeholders are filled in values, not here")
        return found

    def folder(self, value: Any, path: Path) -> str:
        text = self.plain(value, path)
        if text and (not text.startswith("/") or ".." in text.split("/") or re.search(r"[:,\s\0]", text)):
            self.problem(path, "write an absolute path inside the container")
        if text.startswith("/") and not text.strip("/"):
            self.problem(path, "choose a folder below the root")
        return "/" + text.strip("/")

    def duration(self, value: Any, path: Path) -> str:
        if not values.is_duration(value):
            self.problem(path, "write a time with its unit, such as 30s or 1m30s")
            return ""
        return str(value)

    def size(self, value: Any, path: Path) -> int:
        found = values.size_of(value)
        if found is None:
            self.problem(path, "write a size, such as 256m or 1g")
        return found or 0

    def number(self, value: Any, path: Path) -> float:
        found = values.number_of(value)
        if found is None:
            self.problem(path, "write a number above zero, such as 0.5")
        return found or 1.0

    def whole(self, value: Any, path: Path, *, least: int = 1, most: int = 2**31) -> int:
        text = values.text_of(value) or ""
        if not text.isdecimal() or not least <= int(text) <= most:
            self.problem(path, f"write a whole number from {least} to {most}")
            return least
        return int(text)

    def mode(self, value: Any, path: Path) -> int:
        found = values.mode_of(value)
        if found is None:
            self.problem(path, 'write the permissions with a zero in front and in quotes, such as "0440"')
        return found or 0o444

    def flag(self, value: Any, path: Path) -> bool:
        if not isinstance(value, bool):
            self.problem(path, "write true or false")
        return value is True

    # --- shapes -----------------------------------------------------------------------------------------

    def mapping(self, value: Any, path: Path, *, optional: bool = False) -> dict[str, Any]:
        if value is None and optional:
            return {}
        if not isinstance(value, dict):
            self.problem(path, "write keys with values here")
            return {}
        return {key: inner for key, inner in value.items() if not key.startswith("x-")}

    def listing(self, value: Any, path: Path) -> list[Any]:
        if not isinstance(value, list):
            self.problem(path, "write a list here")
            return []
        return value

    def pairs(self, value: Any, path: Path) -> dict[str, Any]:
        """A mapping, or a list of KEY=value."""
        if not isinstance(value, list):
            return self.mapping(value, path)
        found: dict[str, Any] = {}
        for number, inner in enumerate(value):
            key, equals, text = (values.text_of(inner) or "").partition("=")
            if key in found:
                self.problem((*path, number), f"{key} stands here twice: remove one of them")
            self.source.lines.setdefault((*path, key), self.source.line((*path, number)))
            found[key] = text if equals else None
        return found

    # --- problems ---------------------------------------------------------------------------------------

    def problem(self, path: Path, sentence: str) -> None:
        key = ".".join(map(str, path))
        self.problems.append(Problem(key=key, line=self.source.line(path), sentence=sentence, file=self.name))

    def refuse(self, path: Path, named: Mapping[str, str]) -> None:
        key = str(path[-1])
        if not key.startswith("x-"):
            self.problem(path, named.get(key, "remove it: Parcelle does not know this key"))

    def said(self, path: Path) -> bool:
        key = ".".join(map(str, path))
        return any(problem.key.startswith(key) for problem in self.problems)

    def about_dollar(self, stray: str) -> str:
        name = re.sub(r"\W.*", "", stray.removeprefix("${").removeprefix("$")).lower()
        if not name:
            return "write `$$` for a dollar sign"
        default = re.fullmatch(r"\$\{\w+:?-(.*)\}", stray)
        if default and default[1]:
            return (
                f"{stray} is not filled in from a shell here: write {default[1]!r}, or a variable such as ${{{name}}}"
            )
        return f"{stray} is not filled in from a shell here: {self.advice(name)}; for a dollar sign write `$$`"

    @staticmethod
    def advice(name: str) -> str:
        return f"write a value, or declare `{name}` under `secrets` of blueprint.yaml and use ${{{name}}}"
