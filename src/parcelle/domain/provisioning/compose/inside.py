"""Commands inside a service that runs: bounded in time and output, streamed where they carry a backup.

Through the engine's API, so that a command's words, which may hold a password, are in no process list of ours. Only
what reads from standard input goes through compose: the API's two-way streams do not survive every kind of connection.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import yaml

from parcelle.core.logs import redact
from parcelle.domain.provisioning.compose import answers
from parcelle.domain.provisioning.compose.cli import Compose
from parcelle.domain.provisioning.compose.engine import Engine
from parcelle.domain.provisioning.compose.parts import Part
from parcelle.domain.provisioning.compose.render import Rendered
from parcelle.domain.provisioning.errors import ProvisioningError, TryAgain

# The most of a command's output that is kept: its end.
LINES: Final = 200
LINE_CHARACTERS: Final = 2000
_MARK: Final = "PARCELLE_COMMAND"
_SECONDS_TO_DIE = 5
_ANSI: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def run(
    engine: Engine,
    part: Part,
    words: Sequence[str],
    *,
    timeout: float,
    user: str = "",
    into: BinaryIO | None = None,
    report: Callable[[str], None] | None = None,
    secrets: Iterable[str] = (),
) -> str:
    """Runs `words` in the part's container and returns the end of its output, secrets removed.

    `into` takes standard output instead, whole and as it comes. Raises ProvisioningError when the command fails, and
    TryAgain when it took too long: it is killed then.
    """
    mark = uuid.uuid4().hex
    with engine.asked() as client:
        created = client.api.exec_create(part.id, list(words), user=user, environment={_MARK: mark})
        stream = client.api.exec_start(created["Id"], stream=True, demux=True)
    tail = _Tail(report, secrets)
    try:
        _within(timeout, lambda: _follow(engine, stream, tail, into))
    except TimeoutError:
        _kill(engine, part, user, mark)
        raise TryAgain(f"{_name(words)} took longer than {timeout:g} s") from None
    with engine.asked() as client:
        code = client.api.exec_inspect(created["Id"])["ExitCode"]
    output = tail.end()
    if code is None:
        raise TryAgain(f"{_name(words)} was cut off")
    if code:
        raise ProvisioningError(f"{_name(words)} ended with code {code}: {output[-600:]}")
    return output


def _follow(
    engine: Engine, stream: Iterable[tuple[bytes | None, bytes | None]], tail: _Tail, into: BinaryIO | None
) -> None:
    with engine.asked():
        for out, errors in stream:
            if out and into is not None:
                into.write(out)
            elif out:
                tail.add(out)
            if errors:
                tail.add(errors)


def _within(seconds: float, act: Callable[[], None]) -> None:
    """Does it in another thread, which is left alone when it takes too long: TimeoutError."""
    broken: list[BaseException] = []

    def do() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 raised again by the thread that waits for this one
            broken.append(error)

    thread = threading.Thread(target=do, name="command-output", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError
    if broken:
        raise broken[0]


def _kill(engine: Engine, part: Part, user: str, mark: str) -> None:
    """The API cannot end a command; what it and its children were started with tells them from everything else."""
    script = f'for p in /proc/[0-9]*; do grep -qs {_MARK}={mark} "$p/environ" && kill -9 "${{p#/proc/}}"; done; true'
    # Without a shell in the image it goes on until the container stops.
    with contextlib.suppress(ProvisioningError), engine.asked() as client:
        created = client.api.exec_create(part.id, ["sh", "-c", script], user=user)
        client.api.exec_start(created["Id"])


def feed(
    compose: Compose,
    project: str,
    service: str,
    words: Sequence[str],
    source: BinaryIO,
    *,
    timeout: float,
    user: str = "",
) -> None:
    """Runs `words` in a service with `source` as its standard input. Raises like `run`."""
    command = ["exec", "-T", *(["--user", user] if user else []), service, *words]
    with compose.started(*command, project=project) as process:
        _attend(process, source, project=project, name=_name(words), timeout=timeout, tail=_Tail(None, ()))


def once(
    compose: Compose,
    file: Rendered,
    service: str,
    words: Sequence[str],
    *,
    timeout: float,
    user: str = "",
    report: Callable[[str], None] | None = None,
) -> str:
    """Runs `words` in a container of its own, made like the service's, once what that depends on runs.

    Returns the end of the output; raises like `run`.
    """
    model = yaml.safe_load(file.text)
    model["services"][service] |= {"entrypoint": [word.replace("$", "$$") for word in words], "command": []}
    if user:
        model["services"][service]["user"] = user
    with compose.started("run", "--rm", "--no-TTY", "--quiet-pull", service, file=file) as process:
        tail = _Tail(report, file.secrets)
        source = io.BytesIO(yaml.safe_dump(model).encode())
        _attend(process, source, project=file.project, name=_name(words), timeout=timeout, tail=tail)
    return tail.end()


def _attend(
    process: subprocess.Popen[bytes], source: BinaryIO, *, project: str, name: str, timeout: float, tail: _Tail
) -> None:
    """Gives the process its input and follows its output until it ends, or until its time is up."""
    clock = threading.Timer(timeout, process.kill)
    clock.start()
    listener = threading.Thread(target=_listen, args=(process, tail), name="command-output", daemon=True)
    listener.start()
    try:
        assert process.stdin is not None
        # A program that ended early says why in its output.
        with contextlib.suppress(BrokenPipeError), process.stdin:
            shutil.copyfileobj(source, process.stdin, 1 << 20)
        code = process.wait()
        listener.join(_SECONDS_TO_DIE)
    finally:
        expired = not clock.is_alive()
        clock.cancel()
    if expired:
        raise TryAgain(f"{name} took longer than {timeout:g} s")
    if code:
        output = tail.end()
        error = answers.error_of(code, output, project=project)
        if error and type(error) is not ProvisioningError:
            raise error
        # Compose says in the same place how it got there, which is not what went wrong.
        said = "\n".join(answers.telling(output))
        raise ProvisioningError(f"{name} ended with code {code}: {said[-600:]}")


def _listen(process: subprocess.Popen[bytes], tail: _Tail) -> None:
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    with contextlib.suppress(OSError, ValueError):
        while chunk := os.read(descriptor, 65536):
            tail.add(chunk)


class _Tail:
    """The last lines of a stream without secrets, each reported as it comes."""

    def __init__(self, report: Callable[[str], None] | None, secrets: Iterable[str]) -> None:
        self.lines: deque[str] = deque(maxlen=LINES)
        self.report = report
        self.secrets = list(secrets)
        self.begun = b""

    def add(self, data: bytes) -> None:
        *whole, self.begun = (self.begun + data).split(b"\n")
        self.begun = self.begun[-LINE_CHARACTERS:]
        for line in whole:
            self._keep(line)

    def end(self) -> str:
        self._keep(self.begun)
        self.begun = b""
        return "\n".join(self.lines)

    def _keep(self, line: bytes) -> None:
        clean = redact(_ANSI.sub("", line.decode(errors="replace")).strip()[:LINE_CHARACTERS], self.secrets)
        if clean:
            self.lines.append(clean)
            if self.report:
                self.report(clean[:200])


def _name(words: Sequence[str]) -> str:
    """What to call a command: its words may hold secrets."""
    return Path(words[0]).name
