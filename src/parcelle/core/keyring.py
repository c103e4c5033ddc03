"""The keys that stored secrets are encrypted with: the first one encrypts, every one of them decrypts.

The embedded system keeps them in a file of its own (`settings.SECRET_KEYS_FILE`). Every process looks, before
each use, whether that file was replaced; so a new key is known everywhere before anything can be stored with
it, and nothing needs to be restarted. Elsewhere the keys come from the environment and change by deployment:
see docs/decisions/0008-secret-keys.md.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from cryptography.fernet import Fernet
from django.conf import settings

from parcelle.core.files import write_secret

_NAME = "PARCELLE_SECRET_KEYS"


def keys() -> tuple[str, ...]:
    """The keys as they are now, the encrypting one first."""
    path: Path | None = settings.SECRET_KEYS_FILE
    if path is None:
        return tuple(settings.SECRET_KEYS)
    found = path.stat()
    return _read(path, found.st_ino, found.st_mtime_ns)


def is_ours() -> bool:
    """Whether this installation keeps its keys itself, so that commands can change them."""
    return settings.SECRET_KEYS_FILE is not None


def new_key() -> str:
    return Fernet.generate_key().decode()


def add() -> None:
    """Puts a new key in front. The others go on decrypting."""
    with _changing() as (path, values):
        values[_NAME] = ",".join([new_key(), *_split(values[_NAME])])
        write_secret(path, json.dumps(values, indent=2) + "\n")


def forget_all_but_first() -> int:
    """Removes every key that only decrypts; returns how many. What they alone open is lost."""
    with _changing() as (path, values):
        first, *others = _split(values[_NAME])
        values[_NAME] = first
        write_secret(path, json.dumps(values, indent=2) + "\n")
    return len(others)


@lru_cache(maxsize=2)
def _read(path: Path, _inode: int, _changed: int) -> tuple[str, ...]:
    return _split(json.loads(path.read_text())[_NAME])


def _split(text: str) -> tuple[str, ...]:
    return tuple(key for key in text.split(",") if key)


@contextlib.contextmanager
def _changing() -> Iterator[tuple[Path, dict[str, str]]]:
    """The file's content, while nobody else changes it: two rotations at once must not lose a key."""
    path: Path | None = settings.SECRET_KEYS_FILE
    assert path is not None
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield path, json.loads(path.read_text())
