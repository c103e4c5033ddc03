"""Watching an operation from the terminal: its steps as they happen."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from django.utils import timezone
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from parcelle.domain.provisioning import queries
from parcelle.domain.provisioning.queries import Progress, StepView

_POLL_SECONDS = 0.1
_WORKER_LATE_SECONDS = 10.0
_GRACE = timedelta(minutes=1)
_MARKS = {
    "pending": "[dim]·[/]",
    "running": "[cyan]›[/]",
    "succeeded": "[green]✓[/]",
    "failed": "[red]✗[/]",
    "skipped": "[dim]–[/]",
}
_TITLES = {
    "claim_standby": "Looking for a standby that is ready",
    "reserve": "Reserving an address",
    "await_template": "Waiting for the application's template",
    "create_database": "Creating the database",
    "pull_images": "Fetching the images",
    "copy_template": "Copying the template's data",
    "prepare_data": "Making the data its own",
    "start": "Starting the application",
    "check_health": "Checking that it answers",
    "personalise": "Setting up the account",
    "check_sign_in": "Proving that the first user can sign in",
    "publish_route": "Opening the address",
    "stop": "Stopping the application",
    "restrict": "Having the application refuse changes",
    "unrestrict": "Having the application take changes again",
    "hold_route": "Putting up the page that says why",
    "withdraw_page": "Taking down the page that said why",
    "dump": "Writing the last dump",
    "destroy": "Removing everything that runs",
    "release": "Freeing the address",
    "install_packages": "Template: installing packages",
    "install_npm": "Template: installing the web client",
    "build": "Template: building",
    "create_template_database": "Template: creating its database",
    "initialise": "Template: initialising its database",
    "check_template": "Template: checking",
    "pull_template": "Template: fetching the images",
    "keep_template": "Template: keeping its data",
    "restore_state": "Bringing it into the state it should be in",
    "look_again": "Looking at it again",
    "recognise": "Making sure that it is what was shown",
    "sleep_route": "Putting up the waiting page",
    "drain": "Letting the last visitors finish",
    "undo_sleep": "Starting it again",
    "undo_wake": "Back to sleep",
    "undo_stack": "Removing what was half-made",
    "undo_reservations": "Freeing the address",
}


class Unattended(Exception):
    """The operation's deadline went by without a worker giving up on it: none is running."""


class Interrupted(Exception):
    """The person stopped watching; the operation goes on."""


@dataclass
class Watch:
    """Follows one operation of one instance until it ends; says so when nobody seems to work on it."""

    instance_id: UUID
    operation_id: UUID
    console: Console
    began: float = field(default_factory=time.monotonic)
    said: set[str] = field(default_factory=set)

    def follow(self) -> Progress:
        try:
            return self._live() if self.console.is_terminal else self._lines()
        except KeyboardInterrupt:
            raise Interrupted from None

    def _live(self) -> Progress:
        with Live(console=self.console, refresh_per_second=12, transient=False) as live:
            while True:
                progress = self._look()
                live.update(picture(progress, self._hint(progress)))
                if progress.finished:
                    return progress
                time.sleep(_POLL_SECONDS)

    def _lines(self) -> Progress:
        while True:
            progress = self._look()
            for step in (*(progress.template or ()), *progress.steps):
                self._say(step)
            if progress.finished:
                return progress
            if hint := self._hint(progress):
                self._once(hint, hint)
            time.sleep(_POLL_SECONDS)

    def _look(self) -> Progress:
        progress = queries.progress(self.instance_id, operation_id=self.operation_id)
        assert progress is not None
        late = timezone.now() - (progress.deadline_at or timezone.now())
        if not progress.finished and late > _GRACE:
            raise Unattended
        return progress

    def _hint(self, progress: Progress) -> str:
        if progress.state == "queued" and time.monotonic() - self.began > _WORKER_LATE_SECONDS:
            return "Still waiting for a worker: does `parcelle up` or `parcelle worker` run? Ask `parcelle check`."
        return ""

    def _say(self, step: StepView) -> None:
        if step.state in {"succeeded", "failed"}:
            seconds = f"  {step.seconds:.2f} s" if step.seconds is not None else ""
            self._once(f"{step.name} {step.state}", f"{_MARKS[step.state]} {_title(step)}{seconds}")

    def _once(self, key: str, line: str) -> None:
        if key not in self.said:
            self.said.add(key)
            self.console.print(line, soft_wrap=True)


def _title(step: StepView) -> str:
    return _TITLES.get(step.name) or step.name.removeprefix("undo_").replace("_", " ").capitalize()


def picture(progress: Progress, hint: str = "") -> RenderableType:
    """The steps of an operation as they stand."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column(min_width=44)
    table.add_column(justify="right", min_width=9)
    for step in progress.steps:
        _add_row(table, step)
        if step.name == "await_template" and step.state == "running":
            for inner in progress.template or ():
                _add_row(table, inner, indent="  ")
    parts: list[RenderableType] = [table]
    if not progress.finished:
        parts.append(ProgressBar(total=100, completed=progress.percent, width=56))
    if hint:
        parts.append(Text(hint, style="yellow"))
    return Group(*parts)


def _add_row(table: Table, step: StepView, indent: str = "") -> None:
    if step.state == "skipped":
        return
    seconds = step.seconds
    if step.state == "running" and step.started_at:
        seconds = (timezone.now() - step.started_at).total_seconds()
    style = "dim" if step.state == "pending" else ""
    title = f"{indent}{_title(step)}"
    if step.fraction is not None and step.state == "running":
        title += f" {step.fraction:.0%}"
    if step.attempt > 1:
        title += f" (attempt {step.attempt})"
    if step.error and step.state != "succeeded":
        title += f"\n{indent}  {step.error}"
    table.add_row(
        _MARKS[step.state],
        Text(title, style=style),
        Text(f"{seconds:.2f} s" if seconds is not None else "", style=style),
    )


def reason(progress: Progress) -> str:
    """Why a failed operation failed, as one sentence."""
    detail = progress.error_detail or "unknown cause"
    if progress.error_code == "timeout":
        return "it took too long (PARCELLE_OPERATION_DEADLINE sets how many seconds it may take)."
    return detail
