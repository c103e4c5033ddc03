"""A whole installation as a person starts it: the program `parcelle up` with a home and a port of its own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from parcelle.config.embedded import Home
from parcelle.config.supervision import MARK, Supervisor, SupervisorAway

# What the test run chose for itself must not reach a program that chooses for itself.
_OWN = ("DATABASE_URL", "DJANGO_SETTINGS_MODULE", "DJANGO_SECRET_KEY", MARK)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Installation:
    """Started and stopped as often as a test likes; the home stays."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = Home(home)
        self.port = free_port()
        self.settings = {"PARCELLE_DEMO": "0", **settings}
        self.process: subprocess.Popen[str] | None = None

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k not in _OWN and not k.startswith("PARCELLE_")}
        return {**kept, "PARCELLE_HOME": str(self.home.path), "PARCELLE_PORT": str(self.port), **self.settings}

    def up(self) -> subprocess.Popen[str]:
        """Starts it and returns at once."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "parcelle.config.program", "up"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return self.process

    def run(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Runs another command of the program for this home."""
        return subprocess.run(
            [sys.executable, "-m", "parcelle.config.program", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def wait_for_panel(self, seconds: float = 120) -> str:
        """Everything printed up to the panel with the addresses."""
        process = self._process()
        assert process.stdout
        lines: list[str] = []
        deadline = time.monotonic() + seconds
        for line in process.stdout:
            lines.append(line)
            if line.startswith("╰"):
                return "".join(lines)
            assert time.monotonic() < deadline
        errors = process.stderr.read() if process.stderr else ""
        raise AssertionError(f"parcelle up ended by itself: {''.join(lines)}{errors}")

    def stop(self, signum: signal.Signals = signal.SIGINT, seconds: float = 60) -> int:
        process = self._process()
        with suppress(ProcessLookupError):
            process.send_signal(signum)
        process.communicate(timeout=seconds)
        return process.returncode

    def remove(self) -> None:
        """After a test, however it ended: nothing of this home runs any more."""
        if self.process and self.process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self.stop()
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()

    def _process(self) -> subprocess.Popen[str]:
        assert self.process, "not started"
        return self.process

    # --- looking at it --------------------------------------------------------------------------------------

    def processes(self) -> list[psutil.Process]:
        """Everything that runs for this home, however it was started."""
        found: list[psutil.Process] = []
        home = str(self.home.path)
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == home or any(home in word for word in process.cmdline()):
                    found.append(process)
        return found

    def wait_until_nothing_runs(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while left := self.processes():
            assert time.monotonic() < deadline, [process.cmdline() for process in left]
            time.sleep(0.1)

    def wait_for_state(self, program: str, state: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while True:
            with suppress(SupervisorAway):
                states = Supervisor(self.home).states()
                if states.get(program) == state:
                    return
                assert time.monotonic() < deadline, states
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def secrets(self) -> dict[str, str]:
        values: dict[str, str] = json.loads(self.home.secrets_file.read_text())
        return values

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path, headers={"Host": "localhost"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def check(self) -> dict[str, dict[str, Any]]:
        """What `parcelle check` finds, by name."""
        found: list[dict[str, Any]] = json.loads(self.run("check", "--json").stdout)
        return {finding["name"]: finding for finding in found}
