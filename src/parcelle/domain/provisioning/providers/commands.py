"""Commands that install and initialise an application on this machine, and what a worker that died left of them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from parcelle.core.logs import redact
from parcelle.domain.provisioning.errors import TryAgain
from parcelle.domain.provisioning.providers.base import Progress

COMMAND_SECONDS = 120


def end_leftovers(folder: Path) -> None:
    """Ends every process that works in `folder`: a command outlives the worker that started it and was killed."""
    left = [process for process in psutil.process_iter() if _works_in(process, folder)]
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=5)


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return Path(process.cwd()).is_relative_to(folder.resolve())
    except (psutil.Error, OSError):
        # Somebody else's, or gone already.
        return False


def _own_environment() -> dict[str, str]:
    """This process's environment without anything that is Parcelle's own: installers get no secret."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PARCELLE_", "DJANGO_", "DATABASE_", "SUPERVISOR_", "PG"))
    }


_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def execute(
    words: Sequence[str],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    timeout: float = COMMAND_SECONDS,
    secrets: Any = (),
) -> str:
    """Runs a command, passes its last line of output on as progress, and returns the output's tail.

    Raises TryAgain when the command fails: most build failures are a network or a disk that comes back.
    """
    hidden = list(secrets)
    tail: list[str] = []
    process = subprocess.Popen(
        list(words),
        cwd=folder,
        env=dict(environment) if environment is not None else _own_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    expired = threading.Event()

    def end() -> None:
        expired.set()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    clock = threading.Timer(timeout, end)
    clock.start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            clean = redact(_ANSI.sub("", line).strip(), hidden)
            if clean:
                tail = [*tail[-39:], clean]
                if progress:
                    progress(clean[:200], None)
        code = process.wait()
    finally:
        clock.cancel()
        if process.poll() is None:
            end()
            process.wait()
    if expired.is_set():
        raise TryAgain(f"{Path(words[0]).name} took longer than {timeout:.0f} s")
    output = "\n".join(tail)
    if code:
        raise TryAgain(f"{Path(words[0]).name} ended with code {code}: {output[-600:]}")
    return output
