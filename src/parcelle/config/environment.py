"""Where settings come from: the process environment first, then what `parcelle up` wrote for this home."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

# The highest port that applications are given.
LAST_PORT = 32767
CHECKOUT = Path(__file__).resolve().parents[3]


def home() -> Path:
    """The folder that holds all state of this installation: `PARCELLE_HOME`, or `var/` in the checkout."""
    return Path(os.environ.get("PARCELLE_HOME") or CHECKOUT / "var").expanduser().resolve()


@cache
def _embedded() -> dict[str, str]:
    path = home() / "embedded.json"
    try:
        values: dict[str, str] = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return values


def forget() -> None:
    """Reads the file of the embedded system again at the next question: `parcelle up` has just written it."""
    _embedded.cache_clear()


def read(name: str, default: str = "") -> str:
    """One setting as text; empty when it is set nowhere.

    The file of the embedded system is only believed when no `DATABASE_URL` is given from outside, so that
    a test or a production process never picks up the embedded database by accident.
    """
    if name in os.environ:
        return os.environ[name]
    if "DATABASE_URL" in os.environ:
        return default
    return _embedded().get(name, default)


def file_of(name: str) -> Path | None:
    """The file of the embedded system when `read` finds this setting there; None when it comes from elsewhere."""
    if name in os.environ or "DATABASE_URL" in os.environ or name not in _embedded():
        return None
    return home() / "embedded.json"


def flag(name: str, default: bool = False) -> bool:
    return read(name, "1" if default else "0").lower() in {"1", "true", "yes", "on"}


def listed(name: str) -> list[str]:
    """Several values with commas between them."""
    return [value for part in read(name).split(",") if (value := part.strip())]


def number(name: str, default: int) -> int:
    text = read(name) or str(default)
    try:
        return int(text)
    except ValueError:
        raise SystemExit(f"{name} must be a whole number, not {text!r}.") from None


def first_port(name: str, default: int) -> int:
    """From where on ports are leased. Those above the last one Linux gives to outgoing connections."""
    port = number(name, default)
    if not 1 <= port <= LAST_PORT:
        raise SystemExit(f"{name} must be a port from 1 to {LAST_PORT}, not {port}.")
    return port
