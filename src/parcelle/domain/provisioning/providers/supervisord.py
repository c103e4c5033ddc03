"""Programs under a supervisord that is reached through its unix socket (http://supervisord.org/api.html)."""

from __future__ import annotations

import contextlib
import http.client
import os
import time
import xmlrpc.client
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from supervisor.xmlrpc import Faults, SupervisorTransport

from parcelle.domain.provisioning.errors import ProvisioningError, TargetUnreachable, TryAgain

# Seconds that a program gets to end by itself.
STOP_SECONDS = 8


class Supervisord:
    """One supervisord whose configuration includes `<programs>/*.conf`."""

    def __init__(self, socket: str, programs: Path) -> None:
        self.socket = socket
        self.programs = programs

    @contextlib.contextmanager
    def _api(self) -> Iterator[Any]:
        transport = SupervisorTransport(None, None, f"unix://{self.socket}")
        try:
            yield cast("Any", xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)).supervisor
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == Faults.SHUTDOWN_STATE:
                raise TryAgain("the supervisor is stopping") from fault
            raise ProvisioningError(f"the supervisor refused: {fault.faultString}") from fault
        except (OSError, http.client.HTTPException) as error:
            raise TargetUnreachable(
                "The process supervisor does not answer: start `parcelle up`, then try again."
            ) from error
        finally:
            transport.close()

    def version(self) -> str:
        with self._api() as api:
            return str(api.getSupervisorVersion())

    def count(self) -> int:
        return len(list(self.programs.glob("*.conf")))

    def write(
        self, name: str, *, command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
    ) -> bool:
        """Writes the program's configuration; true when that changed something."""
        text = "\n".join(
            [
                f"[program:{name}]",
                "command=" + " ".join(_quote(part) for part in command),
                f"directory={_escape(str(folder))}",
                "environment=" + ",".join(f"{key}={_quote(value)}" for key, value in sorted(environment.items())),
                "autostart=true",
                "autorestart=true",
                "startsecs=1",
                "startretries=10",
                f"stopwaitsecs={STOP_SECONDS}",
                "stopasgroup=true",
                "killasgroup=true",
                f"stdout_logfile={_escape(str(log))}",
                "stdout_logfile_maxbytes=5MB",
                "stdout_logfile_backups=2",
                "redirect_stderr=true",
                "",
            ]
        )
        path = self.programs / f"{name}.conf"
        if path.exists() and path.read_text() == text:
            return False
        self.restore(name, text)
        return True

    def restore(self, name: str, text: str) -> None:
        """Puts a program's configuration in place at once: supervisord may read all of them at any moment."""
        self.programs.mkdir(parents=True, exist_ok=True)
        write_private(self.programs / f"{name}.conf", text)

    def state(self, name: str) -> str | None:
        """supervisord's own name of the program's state, such as RUNNING or FATAL; None when it has no such program."""
        with self._api() as api:
            try:
                return str(api.getProcessInfo(name)["statename"])
            except xmlrpc.client.Fault as fault:
                if fault.faultCode == Faults.BAD_NAME:
                    return None
                raise

    def states(self) -> dict[str, str]:
        """The same for every program it has."""
        with self._api() as api:
            return {str(info["name"]): str(info["statename"]) for info in api.getAllProcessInfo()}

    def start(self, name: str) -> None:
        """Makes the program run now, from its written configuration."""
        with self._api() as api:
            api.reloadConfig()
            with _allowing(Faults.ALREADY_ADDED):
                api.addProcessGroup(name)
            with _allowing(Faults.ALREADY_STARTED):
                api.startProcess(name, False)

    def remove(self, name: str) -> None:
        """Stops the program and forgets it, its configuration included."""
        (self.programs / f"{name}.conf").unlink(missing_ok=True)
        with self._api() as api:
            with _allowing(Faults.BAD_NAME, Faults.NOT_RUNNING):
                api.stopProcess(name, False)
            give_up = time.monotonic() + STOP_SECONDS + 5
            while True:
                try:
                    api.removeProcessGroup(name)
                except xmlrpc.client.Fault as fault:
                    if fault.faultCode == Faults.BAD_NAME:
                        break
                    if fault.faultCode != Faults.STILL_RUNNING or time.monotonic() > give_up:
                        raise
                    time.sleep(0.05)
            api.reloadConfig()


@contextlib.contextmanager
def _allowing(*codes: int) -> Iterator[None]:
    try:
        yield
    except xmlrpc.client.Fault as fault:
        if fault.faultCode not in codes:
            raise


def write_private(path: Path, text: str) -> None:
    """Replaces a file that only we may read in one step: nobody ever sees half of it."""
    draft = path.with_name(f"{path.name}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)


def _escape(text: str) -> str:
    return text.replace("%", "%%")


def _quote(text: str) -> str:
    if "\n" in text or "\r" in text:
        raise ProvisioningError("a program's configuration cannot hold a line break")
    return '"' + _escape(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
