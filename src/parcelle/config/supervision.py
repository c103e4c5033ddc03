"""One supervisord for everything that runs: what it is told, how it is asked, how its remains are removed."""

from __future__ import annotations

import http.client
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import psutil

from parcelle.config import edge, environment
from parcelle.config.embedded import Home, Postgres, Refusal, die_with_parent, supervisor_socket
from parcelle.core.files import write_secret

# Every supervised process carries the home it belongs to: what is left of a killed start is found by it.
MARK = "PARCELLE_SUPERVISED_HOME"

# The programs that are not tenants.
OURS = ("postgres", "web", "ingress", "caddy", "worker")
_STOPPED = frozenset({"STOPPED", "EXITED", "FATAL"})


@dataclass(frozen=True)
class Program:
    """One section of supervisord's configuration."""

    name: str
    command: list[str]
    # Started in this order, stopped in the opposite one. Tenants have supervisord's default, 999.
    priority: int
    options: dict[str, str] = field(default_factory=dict)

    def section(self, logs: Path) -> str:
        options = {
            "command": shlex.join(self.command),
            "priority": str(self.priority),
            "autostart": "true",
            "autorestart": "true",
            "startsecs": "1",
            # A program that cannot start yet (the database is recovering) is tried again for about an hour.
            "startretries": "80",
            "stopwaitsecs": "10",
            "redirect_stderr": "true",
            "stdout_logfile": str(logs / f"{self.name}.log"),
            "stdout_logfile_maxbytes": "10MB",
            "stdout_logfile_backups": "5",
            **self.options,
        }
        return _section(f"program:{self.name}", options)


def programs(home: Home, *, postgres: Postgres | None, bind: str, port: int) -> list[Program]:
    """What runs besides the tenants, in the order in which it starts."""
    listed: list[Program] = []
    if postgres:
        # SIGINT is PostgreSQL's "fast" shutdown: it ends all connections itself and loses nothing.
        options = {"stopsignal": "INT", "stopwaitsecs": "60", "directory": str(postgres.data)}
        if postgres.system_user:
            options["user"] = postgres.system_user
        listed.append(Program("postgres", postgres.command, 1, options))
    listed.append(
        Program(
            "web",
            [sys.executable, "-m", "parcelle.config.web", bind, str(port)],
            10,
            {"stopasgroup": "true", "killasgroup": "true"},
        )
    )
    if edge.runs_here(home):
        found = {name: f'"{value}"' for name, value in edge.program_environment(home).items()}
        options = {
            "environment": ",".join(f"{name}={value}" for name, value in found.items()),
            # Requests that do not end would keep it for ever.
            "stopwaitsecs": "5",
        }
        listed.append(Program("caddy", edge.command(home), 15, options))
    if find_spec("parcelle.domain.provisioning.ingress.holding"):
        listed.append(
            Program(
                "ingress",
                [sys.executable, "-m", "parcelle.domain.provisioning.ingress.holding", str(home.ingress)],
                20,
            )
        )
    listed.append(
        Program(
            "worker",
            [sys.executable, "-m", "parcelle.config.program", "worker"],
            30,
            {
                # A job that does not end in time is cut off, with what it started: all of them can be resumed.
                "stopwaitsecs": "4",
                "killasgroup": "true",
                "numprocs": str(environment.number("PARCELLE_WORKERS", 1)),
                "process_name": "%(program_name)s_%(process_num)d",
                "stdout_logfile": str(home.logs / "worker_%(process_num)d.log"),
            },
        )
    )
    return listed


def _section(title: str, options: dict[str, str]) -> str:
    lines = [f"[{title}]"]
    for key, value in options.items():
        if any(mark in value for mark in (" ;", " #", "\n")):
            raise Refusal(
                f"supervisord cannot work in a folder with this name: {value}. Move it, or set PARCELLE_HOME."
            )
        # "%(" is supervisord's own expression; any other per cent sign is meant as one. Log files it expands twice.
        escaped = re.sub(r"%(?!\()", "%%%%" if key == "stdout_logfile" else "%%", value)
        lines.append(f"{key}={escaped}")
    return "\n".join(lines) + "\n"


def configuration(home: Home, listed: list[Program], *, with_tenants: bool) -> str:
    sock = supervisor_socket(home)
    parts = [
        _section(
            "supervisord",
            {
                "nodaemon": "true",
                "silent": "true",
                "logfile": str(home.logs / "supervisord.log"),
                "logfile_maxbytes": "10MB",
                "logfile_backups": "3",
                "pidfile": str(home.run / "supervisord.pid"),
                "childlogdir": str(home.logs),
                "directory": str(home.path),
                # Many tenants: each costs supervisord two or three descriptors.
                "minfds": "4096" if _soft_limit() >= 4096 else "1024",
                "identifier": "parcelle",
                **({"user": "root"} if os.geteuid() == 0 else {}),
            },
        ),
        _section("unix_http_server", {"file": str(sock), "chmod": "0700"}),
        _section(
            "rpcinterface:supervisor",
            {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
        ),
        _section("supervisorctl", {"serverurl": f"unix://{sock}"}),
        *(program.section(home.logs) for program in listed),
    ]
    if with_tenants:
        # Relative to this file, because supervisord splits the value at blanks.
        parts.append("[include]\nfiles=tenants/*.conf\n")
    return "\n".join(parts)


def _soft_limit() -> int:
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


class SupervisorAway(Exception):
    """supervisord does not answer: it is not there yet, or no more."""


class Supervisor:
    """A running supervisord, spoken to over its socket."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def configuration_file(self) -> Path:
        return self.home.supervisor / "supervisord.conf"

    def configure(self, listed: list[Program], *, with_tenants: bool) -> None:
        write_secret(self.configuration_file, configuration(self.home, listed, with_tenants=with_tenants))

    def start(self) -> None:
        """Runs supervisord as a child in a session of its own, so that Ctrl-C reaches only us."""
        supervisor_socket(self.home).unlink(missing_ok=True)
        output = (self.home.logs / "supervisord.out").open("wb")
        with output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.configuration_file)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.home.path,
                env={**os.environ, "PARCELLE_HOME": str(self.home.path), MARK: str(self.home.path)},
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(signal.SIGTERM),  # noqa: PLW1509 one system call, no lock
            )

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @contextmanager
    def _server(self) -> Iterator[Any]:
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(None, None, f"unix://{supervisor_socket(self.home)}")
        try:
            with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as server:
                yield server.supervisor
        except (OSError, http.client.HTTPException) as error:
            raise SupervisorAway(str(error)) from error

    def wait_until_answering(self, seconds: float = 15) -> bool:
        deadline = time.monotonic() + seconds
        while self.alive() and time.monotonic() < deadline:
            with suppress(SupervisorAway), self._server() as server:
                server.getState()
                return True
            time.sleep(0.02)
        return False

    def update(self) -> None:
        """Reads the configuration again and starts the programs that are new in it."""
        with self._server() as server:
            ((added, _changed, _removed),) = server.reloadConfig()
            for group in added:
                server.addProcessGroup(group)

    def states(self) -> dict[str, str]:
        """`group:name` of every program, with supervisord's word for its state."""
        return {f"{info['group']}:{info['name']}": info["statename"] for info in self._programs()}

    def _programs(self) -> list[dict[str, Any]]:
        with self._server() as server:
            return cast("list[dict[str, Any]]", server.getAllProcessInfo())

    def wait_for_tenants(self, *, seconds: float) -> None:
        """Returns when every tenant that can run listens on its port, or after `seconds`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            tenants = [info for info in self._programs() if info["group"] not in OURS]
            if all(info["statename"] in _STOPPED or _listens(info["pid"]) for info in tenants):
                return
            time.sleep(0.1)

    def stop(self) -> None:
        """Stops every program at once, then the database, then supervisord itself.

        supervisord alone would stop one group after the other: a second for each tenant.
        """
        if not self.alive():
            return
        with suppress(SupervisorAway, xmlrpc.client.Fault):
            self._stop_all_but_postgres(seconds=25)
        process = cast("subprocess.Popen[bytes]", self.process)
        process.terminate()
        try:
            process.wait(45)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _stop_all_but_postgres(self, *, seconds: float) -> None:
        with self._server() as server:
            for name, state in self.states().items():
                if state not in _STOPPED and not name.startswith("postgres:"):
                    with suppress(xmlrpc.client.Fault):
                        server.stopProcess(name, False)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            running = [n for n, s in self.states().items() if s not in _STOPPED and not n.startswith("postgres:")]
            if not running:
                return
            time.sleep(0.05)


def _listens(pid: int) -> bool:
    try:
        return any(found.status == psutil.CONN_LISTEN for found in psutil.Process(pid).net_connections("inet"))
    except psutil.Error:
        return False


# --- what a killed start left behind ---------------------------------------------------------------------


def remove_leftovers(home: Home, postgres: Postgres | None) -> int:
    """Ends the processes that an earlier `parcelle up` of this home could not stop; returns how many.

    Only called while holding the home's lock. Nothing is believed from a pid file alone: the process must
    carry this home in its command line or in its environment.
    """
    removed = 0
    supervisor = _process(home.run / "supervisord.pid", str(home.supervisor / "supervisord.conf"))
    if supervisor:
        # It may be in the middle of an orderly end already (Linux tells it when `up` dies).
        removed += _end([supervisor], signal.SIGTERM, seconds=30)
    removed += _end(list(_marked(home)), signal.SIGTERM, seconds=5)
    if postgres:
        server = _process(postgres.data / "postmaster.pid", str(postgres.data))
        if server:
            removed += _end([server], signal.SIGINT, seconds=20)
    return removed


def _process(pid_file: Path, sign: str) -> psutil.Process | None:
    try:
        process = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
        return process if sign in process.cmdline() else None
    except (OSError, ValueError, psutil.Error):
        return None


def _marked(home: Home) -> Iterator[psutil.Process]:
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid not in spared and process.environ().get(MARK) == str(home.path):
                yield process


def _end(processes: list[psutil.Process], signum: signal.Signals, *, seconds: float) -> int:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(signum)
    _gone, alive = psutil.wait_procs(processes, timeout=seconds)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=5)
    return len(processes)
