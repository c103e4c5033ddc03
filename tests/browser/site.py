"""A whole installation for the browser: what `parcelle up` starts, with the demo product."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.installation import Installation

START_SECONDS = 120
# address -> what runs there, for commands of its own
_STARTED: dict[str, Installation] = {}


@contextmanager
def running() -> Iterator[str]:
    """Its address. `PARCELLE_TEST_SITE` names one that runs already, which saves building its template again."""
    if known := os.environ.get("PARCELLE_TEST_SITE"):
        yield known.rstrip("/")
        return
    with tempfile.TemporaryDirectory(prefix="parcelle-browser-", ignore_cleanup_errors=True) as folder:
        installation = Installation(
            Path(folder) / "home",
            PARCELLE_DEMO="1",
            # Far from the ports of an installation that somebody uses on this machine.
            PARCELLE_FIRST_APPLICATION_PORT="28080",
            PARCELLE_TRIALS_PER_HOUR="1000",
        )
        log = Path(folder) / "up.log"
        try:
            # Its output goes to a file: a pipe that nobody reads would stop it after a few minutes.
            with log.open("wb") as output:
                installation.process = subprocess.Popen(
                    [sys.executable, "-m", "parcelle.config.program", "up"],
                    env=installation.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    text=True,
                    start_new_session=True,
                )
            address = f"http://localhost:{installation.port}"
            _wait_until_it_answers(address, installation.process, log)
            _STARTED[address] = installation
            yield address
        finally:
            installation.remove()


def command(address: str, *words: str) -> str:
    """What `parcelle <words>` prints for the installation at this address.

    One that ran before (`PARCELLE_TEST_SITE`) is known by its home, which `PARCELLE_TEST_SITE_HOME` names.
    """
    done = _installation(address).run(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def operator_of(address: str) -> tuple[str, str]:
    """Who may enter the back office of this installation: e-mail and password."""
    known = json.loads(_installation(address).home.secrets_file.read_text())
    return known["PARCELLE_OPERATOR_EMAIL"], known["PARCELLE_OPERATOR_PASSWORD"]


@contextmanager
def workers_stopped(address: str) -> Iterator[None]:
    """Meanwhile nobody works on anything, so that a page shows what it shows before the first step."""
    workers = [each for each in _installation(address).processes() if "worker" in each.cmdline()]
    assert workers
    for worker in workers:
        worker.suspend()
    try:
        yield
    finally:
        for worker in workers:
            worker.resume()


@contextmanager
def simulated(address: str, service: str) -> Iterator[None]:
    """`parcelle simulate <service>` stands in at this address, as a vendor would start it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "parcelle.config.program", "simulate", service],
        env=_installation(address).environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        said = iter(process.stdout.readline, "")
        assert any(line.startswith("╰") for line in said), "it did not start"
        yield
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _installation(address: str) -> Installation:
    return _STARTED.get(address) or Installation(Path(os.environ["PARCELLE_TEST_SITE_HOME"]))


def _wait_until_it_answers(address: str, process: subprocess.Popen[str], log: Path) -> None:
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{address}/healthz", timeout=2):
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > give_up:
                raise AssertionError(f"parcelle up does not answer:\n{log.read_text(errors='replace')}") from None
            time.sleep(0.2)
