"""What `parcelle up` shows while it runs: warnings, restarts, and how far a template is."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from django.db import DatabaseError, connection
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from parcelle.config.embedded import Home
from parcelle.config.supervision import OURS, Supervisor, SupervisorAway
from parcelle.domain.provisioning import states
from parcelle.domain.provisioning.models import Operation, Step

_COLOURS = {"warning": "yellow", "error": "red", "critical": "red"}
_STEPS = {
    "install_packages": "installing its packages",
    "install_npm": "installing its web client",
    "build": "building it",
    "create_template_database": "creating its database",
    "initialise": "initialising its database",
    "check_template": "checking it",
}


def follow(
    home: Home, supervisor: Supervisor, console: Console, stop_asked: threading.Event, *, in_terminal: bool
) -> None:
    """Returns when supervisord is gone or `stop_asked` is set; normally a signal ends it by an exception.

    A closed terminal counts as asked even when its signal went only to a program above us, as `make` above
    `parcelle up` in `ssh -t host make run`. `nohup` ignores that signal and so do we.
    """
    attached = in_terminal and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    logs = Logs(home.logs)
    watch = Programs(supervisor)
    template = TemplateBuild(console)
    turn = 0
    try:
        while supervisor.alive() and not stop_asked.is_set():
            for line in logs.news():
                console.print(line)
            if turn % 4 == 0:
                for line in watch.news():
                    console.print(line)
            # Every half second while one is being built; otherwise it is enough to look now and then.
            if template.active or turn % 6 == 0:
                template.show()
            turn += 1
            time.sleep(0.5)
            if attached and not os.isatty(sys.stdout.fileno()):
                stop_asked.set()
    finally:
        template.close()


class Logs:
    """New lines of our own programs that a person at the terminal should see."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # What was logged before this start is history.
        self.read_until = {path: path.stat().st_size for path in self._files()}

    def _files(self) -> list[Path]:
        return [*self.folder.glob("web.log"), *self.folder.glob("worker_*.log"), *self.folder.glob("ingress.log")]

    def news(self) -> Iterator[str]:
        for path in self._files():
            size = path.stat().st_size
            start = self.read_until.get(path, 0)
            if size < start:  # rotated
                start = 0
            if size == start:
                continue
            with path.open("rb") as file:
                file.seek(start)
                text = file.read(1_000_000)
            whole = text.rfind(b"\n") + 1
            self.read_until[path] = start + whole
            for line in text[:whole].decode(errors="replace").splitlines():
                if shown := _readable(line):
                    yield f"[dim]{path.stem}[/] {shown}"


def _readable(line: str) -> str | None:
    try:
        entry = json.loads(line)
        level = str(entry.pop("level", "info"))
        words = escape(str(entry.pop("event", "")))
    except (ValueError, AttributeError):
        return f"[red]{escape(line)}[/]" if line.startswith(("[ERROR]", "[CRITICAL]")) else None
    if level not in _COLOURS and not words.startswith("operation"):
        return None
    when = str(entry.pop("timestamp", ""))[11:19]
    trace = str(entry.pop("exception", ""))
    details = " ".join(f"{key}={_short(value)}" for key, value in entry.items() if value and key != "logger")
    colour = _COLOURS.get(level, "default")
    shown = f"[dim]{when}[/] [{colour}]{words}[/] [dim]{escape(details)}[/]"
    return f"{shown}\n[red]{escape(trace.strip().splitlines()[-1])}[/]" if trace.strip() else shown


def _short(value: object) -> str:
    """A UUID by its first eight characters, as people say it."""
    text = str(value)
    return text[:8] if len(text) == 36 and text.count("-") == 4 else text


class Programs:
    """Programs of ours that stopped by themselves, and came back."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.known: dict[str, str] = {}

    def news(self) -> Iterator[str]:
        try:
            now = {name: state for name, state in self.supervisor.states().items() if name.split(":")[0] in OURS}
        except SupervisorAway:
            return
        for name, state in now.items():
            before = self.known.get(name)
            program = name.split(":")[-1]
            if before == "RUNNING" and state != "RUNNING":
                yield f"[yellow]{program} stopped and is being started again[/]"
            elif before not in (None, "RUNNING", "STARTING") and state == "RUNNING":
                yield f"[green]{program} runs again[/]"
        self.known = now


class TemplateBuild:
    """The template that is being built now: a moving line in a terminal, one line per step elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.status: Status | None = None
        self.said = ""
        self.operation: Operation | None = None

    @property
    def active(self) -> bool:
        return self.operation is not None

    def show(self) -> None:
        # The database may be restarting at this very moment.
        with suppress(DatabaseError):
            self._show()
        with suppress(DatabaseError):
            connection.close()

    def _show(self) -> None:
        running = (
            Operation.objects.filter(kind="build_template", state__in=states.UNFINISHED)
            .select_related("template")
            .order_by("created_at")
            .first()
        )
        if running is None:
            if self.operation is not None:
                self._say_how_it_ended(self.operation)
            self.operation = None
            return
        self.operation = running
        self._say(running)

    def _say(self, operation: Operation) -> None:
        steps = list(operation.steps.order_by("position"))
        done = sum(step.state in (states.SUCCEEDED, states.SKIPPED) for step in steps)
        current = next((step for step in steps if step.state == states.RUNNING), None)
        place = f"step {min(done + 1, len(steps))} of {len(steps)}"
        words = f"Building the template of {operation.template}: {_doing(current)}, {place}"
        if not self.console.is_terminal:
            if words != self.said:
                self.console.print(words)
            self.said = words
            return
        fraction = f", {current.fraction:.0%}" if current and current.fraction is not None else ""
        note = f" [dim]{escape(current.note)}[/]" if current and current.note else ""
        seconds = (datetime.now(UTC) - (operation.started_at or operation.created_at)).total_seconds()
        text = f"{words}{fraction} ({seconds:.0f} s){note}"
        if self.status is None:
            self.status = self.console.status(text)
            self.status.start()
        self.status.update(text)

    def _say_how_it_ended(self, operation: Operation) -> None:
        self.close()
        operation.refresh_from_db()
        if operation.state == states.SUCCEEDED:
            seconds = ((operation.finished_at or datetime.now(UTC)) - operation.created_at).total_seconds()
            self.console.print(f"[green]The template of {operation.template} is ready[/] ({seconds:.0f} s).")
        else:
            self.console.print(
                f"[red]The template of {operation.template} could not be built:[/] {escape(operation.error_detail)}"
            )

    def close(self) -> None:
        if self.status is not None:
            self.status.stop()
            self.status = None


def _doing(step: Step | None) -> str:
    return _STEPS.get(step.name, step.name.replace("_", " ")) if step else "waiting for a worker"
