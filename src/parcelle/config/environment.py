"""Where settings come from: the process environment first, then what `parcelle up` wrote for this home.

What cannot be used ends the program with one sentence: which setting, what is allowed, and what was given.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Collection
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

# The highest port that applications are given.
LAST_PORT = 32767
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
    text = read(name).strip().lower()
    if not text:
        return default
    if text in _YES:
        return True
    if text in _NO:
        return False
    raise _refused(name, f"1 ({', '.join(_YES[1:])}) or 0 ({', '.join(_NO[1:])})", text)


_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def listed(name: str) -> list[str]:
    """Several values with commas between them."""
    return [value for part in read(name).split(",") if (value := part.strip())]


def number(name: str, default: int, *, least: int = 0) -> int:
    text = read(name) or str(default)
    try:
        value = int(text)
    except ValueError:
        raise _refused(name, "a whole number", text) from None
    if value < least:
        raise _refused(name, f"at least {least}", text)
    return value


def port(name: str, default: int, *, last: int = 65535) -> int:
    text = read(name) or str(default)
    if not (text.isdecimal() and 1 <= int(text) <= last):
        raise _refused(name, f"a port from 1 to {last}", text)
    return int(text)


def first_port(name: str, default: int) -> int:
    """From where on ports are leased. Those above the last one Linux gives to outgoing connections."""
    return port(name, default, last=LAST_PORT)


def choice(name: str, allowed: Collection[str], default: str = "") -> str:
    """One of these words, however it is capitalised."""
    text = read(name) or default
    if text == default:
        return default
    for word in allowed:
        if text.strip().lower() == word.lower():
            return word
    *others, last = allowed
    raise _refused(name, f"{', '.join(others)} or {last}", text)


def zone(name: str, default: str) -> str:
    """A time zone that this machine knows."""
    text = read(name) or default
    try:
        ZoneInfo(text)
    except (ValueError, OSError, KeyError):
        raise _refused(name, f"a time zone such as {default} or Africa/Douala", text) from None
    return text


def address(name: str, default: str = "") -> str:
    """The beginning of an address in the web, without a slash at its end."""
    text = read(name) or default
    try:
        parts = urlsplit(text)
        good = not text or (parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0)
    except ValueError:
        good = False
    if not good:
        raise _refused(name, "an address that begins with https:// or http://", text)
    return text.rstrip("/")


def host_and_port(name: str, default: str) -> str:
    text = read(name) or default
    host, _colon, number = text.rpartition(":")
    if not (host and number.isdecimal() and 1 <= int(number) <= 65535):
        raise _refused(name, "a host and a port such as 127.0.0.1:8443", text)
    return text


def network(name: str, default: str) -> str:
    """A block of IPv4 addresses."""
    text = read(name) or default
    try:
        ipaddress.IPv4Network(text)
    except ValueError:
        raise _refused(name, f"a network such as {default}", text) from None
    return text


def folder(name: str) -> Path | None:
    """A folder that exists; None where none is set."""
    text = read(name)
    if not text:
        return None
    path = Path(text).expanduser()
    if not path.is_dir():
        raise _refused(name, "a folder that exists", text)
    return path


def file(name: str) -> str:
    """A file that can be written to; empty where none is set."""
    text = read(name)
    try:
        if text:
            with Path(text).open("a"):
                pass
    except OSError as error:
        raise _refused(name, f"a file that can be written ({error.strerror})", text) from None
    return text


def _refused(name: str, allowed: str, given: str) -> SystemExit:
    return SystemExit(f"parcelle: {name} must be {allowed}, not {given!r}.")
