"""Where settings come from: the process environment first, then what `parcelle up` wrote for this home.

What cannot be used ends the program with one sentence: which setting, what is allowed, and what was given.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

from parcelle.config import allowed

LAST_PORT = allowed.LAST_PORT
CHECKOUT = Path(__file__).resolve().parents[3]


def home() -> Path:
    """The folder that holds all state of this installation: `PARCELLE_HOME`, or `var/` in the checkout."""
    return Path(os.environ.get("PARCELLE_HOME") or CHECKOUT / "var").expanduser().resolve()


@cache
def _embedded() -> dict[str, str]:
    try:
        return kept(home() / "embedded.json")
    except BrokenFile as broken:
        raise SystemExit(f"parcelle: {broken}") from None
    except (FileNotFoundError, NotADirectoryError):
        return {}


class BrokenFile(Exception):
    """The file of the embedded system is there and says nothing that can be used; as one sentence."""


def kept(path: Path) -> dict[str, str]:
    """What the file of the embedded system says. Raises BrokenFile, or FileNotFoundError."""
    try:
        values = json.loads(path.read_text())
    except PermissionError:
        raise BrokenFile(
            f"{path} is for the user that started Parcelle first: run this command as that user."
        ) from None
    except ValueError as error:
        raise _broken(path, str(error)) from None
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise _broken(path, "it is no object of texts")
    return values


def _broken(path: Path, reason: str) -> BrokenFile:
    return BrokenFile(
        f"{path} is damaged ({reason}): put it back from a backup, for without it the stored passwords of your "
        "customers' instances cannot be opened."
    )


def forget() -> None:
    """Reads the file of the embedded system again at the next question: `parcelle up` has just written it."""
    _embedded.cache_clear()


def read(name: str, default: str = "") -> str:
    """One setting as text, in the spelling that `allowed` gives it; empty when it is set nowhere.

    The file of the embedded system is only believed when no `DATABASE_URL` is given from outside, so that
    a test or a production process never picks up the embedded database by accident.
    """
    if name in os.environ:
        text = os.environ[name]
    elif "DATABASE_URL" in os.environ:
        text = default
    else:
        text = _embedded().get(name, default)
    return allowed.fitting(name, text) if text else text


def file_of(name: str) -> Path | None:
    """The file of the embedded system when `read` finds this setting there; None when it comes from elsewhere."""
    if name in os.environ or "DATABASE_URL" in os.environ or name not in _embedded():
        return None
    return home() / "embedded.json"


def flag(name: str, default: bool = False) -> bool:
    return (read(name) or ("1" if default else "0")) == "1"


def listed(name: str) -> list[str]:
    """Several values with commas between them."""
    return [value for part in read(name).split(",") if (value := part.strip())]


def number(name: str, default: int) -> int:
    return int(read(name) or default)


def first_port(name: str, default: int) -> int:
    """From where on ports are leased. Those above the last one Linux gives to outgoing connections."""
    return number(name, default)
