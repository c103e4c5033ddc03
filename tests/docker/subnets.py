"""A range of addresses for each test process: several of them make networks on one engine at the same time."""

from __future__ import annotations

import fcntl
import tempfile
from functools import cache
from ipaddress import IPv4Network
from itertools import count
from pathlib import Path
from typing import IO

# No engine's default pool; pytest lets tests connect to it (--allow-hosts in pyproject.toml).
RANGE = IPv4Network("10.216.0.0/13")
_SLICE = 20  # 256 networks of 16 addresses
_held: list[IO[str]] = []
_taken = count()


@cache
def own() -> str:
    """This process's part of RANGE, until the process ends."""
    folder = Path(tempfile.gettempdir()) / "parcelle-test-subnets"
    folder.mkdir(exist_ok=True)
    for number, part in enumerate(RANGE.subnets(new_prefix=_SLICE)):
        file = (folder / str(number)).open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            continue
        _held.append(file)
        return str(part)
    raise AssertionError(f"every part of {RANGE} is in use; their locks are in {folder}")


def take() -> str:
    """A /28 that nobody else has, from the end of `own()`: leases in the database begin at its start."""
    networks = list(IPv4Network(own()).subnets(new_prefix=28))
    return str(networks[-1 - next(_taken) % (len(networks) // 2)])
