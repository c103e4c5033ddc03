"""A deployment in the words of the person who waits for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from parcelle.surfaces import failures

if TYPE_CHECKING:
    from parcelle.domain.provisioning.queries import Credentials, Progress, StepView
    from parcelle.journeys.delivery import Trouble
    from parcelle.surfaces.portal.watching import Watcher

STEP_NAMES: dict[str, Promise] = {
    "claim_standby": _("Looking for a space that is ready"),
    "reserve": _("Reserving your address"),
    "await_template": _("Preparing the application"),
    "create_database": _("Creating your database"),
    "create_networks": _("Creating your private network"),
    "pull_images": _("Fetching the application"),
    "copy_template": _("Copying the model"),
    "prepare_data": _("Creating your database"),
    "start_services": _("Starting the application"),
    "claim_name": _("Reserving your address"),
    "deploy_stack": _("Starting the application"),
    "initialise_stack": _("Setting up the modules"),
    "start": _("Starting the application"),
    "check_health": _("Checking that it answers"),
    "personalise": _("Setting up your account"),
    "check_sign_in": _("Testing your sign-in"),
    "publish_route": _("Opening your address"),
    "install_packages": _("Installing the application"),
    "install_npm": _("Installing the web interface"),
    "build": _("Assembling the web interface"),
    "create_template_database": _("Creating the model database"),
    "initialise": _("Setting up the modules"),
    "check_template": _("Checking the model"),
    "pull_template": _("Fetching the application"),
    "keep_template": _("Keeping the model"),
}

_GONE = {"suspended", "archived"}


@dataclass(frozen=True)
class Line:
    """One step as a line of the list; a running one is as old as it is now."""

    name: str
    title: str
    state: str
    attempt: int
    seconds: float | None
    percent: int | None


@dataclass(frozen=True)
class Deployment:
    watcher: Watcher
    progress: Progress | None
    now: datetime
    credentials: Credentials | None = None
    # What we do about it by ourselves, when the space was paid for and could not be created.
    trouble: Trouble | None = None

    @property
    def instance_state(self) -> str:
        return self.progress.instance_state if self.progress else self.watcher.instance.state

    @property
    def ready(self) -> bool:
        return self.instance_state in {"live", "sleeping"}

    @property
    def failed(self) -> bool:
        return self.instance_state == "failed"

    @property
    def gone(self) -> bool:
        return self.instance_state in _GONE

    @property
    def finished(self) -> bool:
        """Nothing more will happen by itself."""
        return self.ready or self.gone or (self.failed and not self.tried_again)

    @property
    def tried_again(self) -> bool:
        """It failed, but it was paid for, and we try again without being asked."""
        return self.trouble is not None and not self.trouble.needs_human(self.now)

    @property
    def percent(self) -> int:
        if self.ready:
            return 100
        return self.progress.percent if self.progress else 0

    @property
    def lines(self) -> list[Line]:
        return lines_of(self.progress.steps if self.progress else (), now=self.now)

    @property
    def template_lines(self) -> list[Line]:
        return lines_of((self.progress.template or ()) if self.progress else (), now=self.now)

    @property
    def seconds(self) -> float | None:
        """How long it took to create the instance; None when something else was done to it since."""
        return self.progress.seconds if self.progress and self.progress.kind == "create" else None

    @property
    def current(self) -> Line | None:
        """The step that is being done, for the one-line summary."""
        lines = [*self.template_lines, *self.lines]
        return next((line for line in lines if line.state == "running"), None)

    @property
    def announcement(self) -> str:
        """What a screen reader is told; it changes with the step, not with every second."""
        if self.ready:
            return gettext("Your application is ready.")
        if self.failed:
            return gettext("This takes longer than planned.") if self.trouble else self.failure
        if self.gone:
            return ""
        return self.current.title if self.current else gettext("Your request is in the queue.")

    @property
    def failure(self) -> str:
        """What went wrong and what to do next; what the step itself said is for operators."""
        return failures.sentence(self.progress.error_code if self.progress else "")


def lines_of(steps: tuple[StepView, ...], *, now: datetime) -> list[Line]:
    return [_line(step, now=now) for step in steps if step.state != "skipped"]


def _line(step: StepView, *, now: datetime) -> Line:
    undone = step.name.removeprefix("undo_")
    title = str(STEP_NAMES.get(undone, undone.replace("_", " ")))
    if undone != step.name:
        title = gettext("Undoing: %(step)s") % {"step": title}
    seconds = step.seconds
    if step.state == "running" and step.started_at:
        seconds = (now - step.started_at).total_seconds()
    percent = round(100 * step.fraction) if step.fraction is not None and step.state == "running" else None
    return Line(name=step.name, title=title, state=step.state, attempt=step.attempt, seconds=seconds, percent=percent)
