"""The spellings of values in compose files: sizes, durations, commands, placeholders."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from parcelle.domain.catalog.blueprints import fill
from parcelle.domain.provisioning.compose.source import Number

_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[bkmgt]?)i?b?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:us|ms|s|m|h))+")
_MODE = re.compile(r"0o?([0-7]{3})")
_NAME = re.compile(r"\$\{([a-z_][a-z0-9_.]*)\}")
_PLACEHOLDER = re.compile(rf"{_NAME.pattern}|\$\{{base64:(?:[^{{}}$]|{_NAME.pattern})*\}}")


def text_of(value: Any) -> str | None:
    """A scalar as compose passes it on; None for what has more than one spelling and must be quoted, or no value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Number) or not isinstance(value, str | int):
        return None
    return str(value)


def size_of(value: Any) -> int | None:
    """Bytes of "512m", "1.5G", 67108864; None when it is not a size."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value > 0 else None
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    size = int(float(found["number"]) * _UNITS[found["unit"].lower()]) if found else 0
    return size or None


def number_of(value: Any) -> float | None:
    """A positive number, quoted or not."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 < number < float("inf") else None


def is_duration(value: Any) -> bool:
    """Such as "90s", "1m30s"."""
    return isinstance(value, str) and _DURATION.fullmatch(value) is not None


def mode_of(value: Any) -> int | None:
    """The permissions in 0440, 0o440 or "0440"; None for 440, which is not what it looks like."""
    text = value.text if isinstance(value, Number) else value
    found = _MODE.fullmatch(text) if isinstance(text, str) else None
    return int(found[1], 8) if found else None


def words_of(text: str) -> tuple[str, ...] | None:
    """A command in one text as its words; None for what compose would cut off or read otherwise than a shell.

    Compose starts no shell: it drops everything from the first `&&`, `|`, `>` or `;` on without a word.
    """
    outside_quotes = re.sub(r"'[^']*'|\"[^\"]*\"", "", text)
    if "\\" in text or re.search(r"[;&|<>()`\n]", outside_quotes) or re.search(r"`|\$\(", text):
        return None
    try:
        return tuple(shlex.split(text))
    except ValueError:
        return None


def stray_dollar(text: str) -> str:
    """The first `$` in a template that is neither a placeholder nor `$$`, with what follows it; empty if none."""
    for part in text.split("$$"):
        left = _PLACEHOLDER.sub("", part)
        if "$" in left:
            found = re.search(r"\$(?:\{[^}]*\}?|\w*)", left)
            return found[0] if found else "$"
    return ""


def names_in(text: str) -> set[str]:
    """The placeholders of a template."""
    return {name for part in text.split("$$") for name in _NAME.findall(part)}


def filled(text: str, variables: Mapping[str, Any]) -> str:
    """A template with its placeholders replaced and `$$` turned into `$`. Raises BlueprintError."""
    return "$".join(str(fill(part, variables)) for part in text.split("$$"))
