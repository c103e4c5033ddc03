"""What a test needs from the machine: it is skipped with a reason, or fails when `PARCELLE_REQUIRE` names it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NoReturn

CHECKOUT = Path(__file__).resolve().parents[1]


def require(name: str) -> None:
    """Call at the top of a test, a fixture or a test module."""
    reason = missing(name)
    if reason:
        cannot(name, reason)


def cannot(name: str, reason: str) -> NoReturn:
    """The machine has `name`, yet not what the test needs of it."""
    # Simulators ask where the specifications are, and run by hand where nothing for tests is installed.
    import pytest

    if name in os.environ.get("PARCELLE_REQUIRE", "").replace(" ", "").split(","):
        pytest.fail(f"PARCELLE_REQUIRE asks for {name}: {reason}", pytrace=False)
    pytest.skip(f"{name}: {reason}", allow_module_level=True)


def chromium() -> str | None:
    """The system's Chromium, as a program on the path."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def specs() -> Path:
    """The published specifications of the outside systems, kept beside the checkout."""
    return Path(os.environ.get("PARCELLE_SPECS") or CHECKOUT.parent / "shared" / "specs")


def _no_browser() -> str:
    return "" if chromium() else "no Chromium is installed (Debian: apt install chromium)"


def _no_docker() -> str:
    if not shutil.which("docker"):
        return "no docker program is installed"
    done = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if done.returncode:
        return "docker has no compose plugin"
    done = subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=30)
    return "no Docker Engine answers" if done.returncode else ""


def _no_pooler() -> str:
    return "" if shutil.which("pgbouncer") else "no pgbouncer program is installed (Debian: apt install pgbouncer)"


def _no_caddy() -> str:
    return "" if shutil.which("caddy") else "no caddy program is installed (Debian: apt install caddy)"


def _no_gettext() -> str:
    return "" if shutil.which("xgettext") else "no xgettext is installed (Debian: apt install gettext)"


def _no_make() -> str:
    return "" if shutil.which("make") else "no make is installed (Debian: apt install make)"


def _no_mounts() -> str:
    if os.geteuid() != 0:
        return "only root can mount a small file system"
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True, check=False
    )
    return f"no file system can be mounted here ({tried.stderr.strip()})" if tried.returncode else ""


def _no_specs() -> str:
    return "" if specs().is_dir() else f"{specs()} does not exist (PARCELLE_SPECS moves it)"


_PROBES: dict[str, Callable[[], str]] = {
    "browser": _no_browser,
    "docker": _no_docker,
    "pooler": _no_pooler,
    "caddy": _no_caddy,
    "specs": _no_specs,
    "gettext": _no_gettext,
    "make": _no_make,
    "mounts": _no_mounts,
}


@cache
def missing(name: str) -> str:
    """Why tests that need `name` cannot run here, or an empty text."""
    return _PROBES[name]()
