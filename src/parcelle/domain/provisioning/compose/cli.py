"""Runs `docker compose` v2, which alone carries compose files out.

Nothing of this process's environment reaches it but what it needs to find the engine, so nothing but the file decides.
A command that does not end in time is unknown, not failed: the caller looks at the engine before it goes on.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from parcelle.core.files import write_secret
from parcelle.domain.provisioning.compose import answers
from parcelle.domain.provisioning.compose.render import Rendered
from parcelle.domain.provisioning.errors import TargetUnreachable, TryAgain

# The oldest release whose answers are known.
MINIMUM: Final = (2, 26)
LOCAL_ENGINE: Final = "unix:///var/run/docker.sock"
_PLUGIN_FOLDERS: Final = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
    "/Applications/Docker.app/Contents/Resources/cli-plugins",
)
# What ssh needs to reach a remote engine, and where temporary files may be.
_PASSED_ON: Final = ("PATH", "HOME", "SSH_AUTH_SOCK", "TMPDIR", "SYSTEMROOT")
_SECONDS_TO_GIVE_UP = 10
_QUICK_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Credential:
    """What a private registry asks for."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Compose:
    """`docker compose` against one engine. Every method raises ProvisioningError and its kinds only.

    `host` is the engine's address as DOCKER_HOST has it (`unix://`, `ssh://`, `tcp://`); `certificates` a folder with
    ca.pem, cert.pem and key.pem for `tcp://` with mutual TLS; `credentials` maps a registry's host name to its user.
    """

    host: str = LOCAL_ENGINE
    certificates: Path | None = None
    credentials: Mapping[str, Credential] = field(default_factory=dict, repr=False)

    def version(self) -> str:
        """Such as "2.26.1-4". Raises TargetUnreachable when compose is missing or too old."""
        return _version(_program())

    def config(self, file: Rendered, *, timeout: float = _QUICK_SECONDS) -> dict[str, Any]:
        """The file as compose understands it: every default written out. Holds secrets: never log it."""
        return dict(json.loads(self._run("config", "--format", "json", file=file, timeout=timeout)))

    def pull(self, file: Rendered, *, timeout: float) -> None:
        """Fetches the images that the engine does not have yet; nothing that runs is touched."""
        self._run("pull", "--quiet", "--policy", "missing", file=file, timeout=timeout)

    def create(self, file: Rendered, *, timeout: float) -> None:
        """Makes networks, volumes and containers without starting anything."""
        self._run("up", "--no-start", "--remove-orphans", "--no-build", "--pull", "never", file=file, timeout=timeout)

    def up(self, file: Rendered, *, timeout: float, services: Iterable[str] = ()) -> None:
        """Converges the stack, or only `services` and what they depend on, and waits until it is healthy."""
        orphans = () if services else ("--remove-orphans",)
        wait = ("--wait", "--wait-timeout", str(max(1, int(timeout))))
        self._run(
            "up", "--detach", *wait, *orphans, "--no-build", "--pull", "never", *services,
            file=file, timeout=timeout + _SECONDS_TO_GIVE_UP,
        )  # fmt: skip

    def stop(self, project: str, *, timeout: float) -> None:
        """Stops every container of a project, each with its own grace; they keep addresses, data and logs."""
        self._run("stop", project=project, timeout=timeout)

    def down(self, project: str, *, volumes: bool, timeout: float) -> None:
        """Removes containers and networks of a project, and its volumes when asked.

        Exits well with something left behind: list by label afterwards.
        """
        self._run("down", "--remove-orphans", *(["--volumes"] if volumes else []), project=project, timeout=timeout)

    def hashes(self, file: Rendered, *, timeout: float = _QUICK_SECONDS) -> dict[str, str]:
        """service -> what compose writes on its container, so that it can tell whether the file changed since."""
        lines = self._run("config", "--hash", "*", file=file, timeout=timeout).splitlines()
        return dict(line.split(maxsplit=1) for line in lines if line.strip())

    def start(self, project: str, *services: str, timeout: float) -> None:
        """Starts what was stopped, or only `services` and what they depend on, in order; needs no file."""
        self._run("start", *services, project=project, timeout=timeout)

    @contextlib.contextmanager
    def started(
        self, *words: str, project: str = "", file: Rendered | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A command on its way, to be given input: the file first, if any. Output and errors are one stream."""
        command = [*_program(), "--ansi", "never", "--progress", "plain", "--env-file", "/dev/null"]
        command += ["-p", file.project, "--project-directory", "/", "-f", "-"] if file else ["-p", project]
        with self._environment() as environment:
            process = subprocess.Popen(
                [*command, *words],
                cwd="/",
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                yield process
            finally:
                process.kill()
                process.wait()
                assert process.stdout is not None
                process.stdout.close()

    def _run(self, *words: str, timeout: float, file: Rendered | None = None, project: str = "") -> str:
        program = _program()
        _version(program)
        name = file.project if file else project
        command = [*program, "--ansi", "never", "--progress", "plain", "--env-file", "/dev/null", "-p", name]
        if file:
            command += ["--project-directory", "/", "-f", "-"]
        with self._environment() as environment:
            done = _execute([*command, *words], environment, file.text if file else None, timeout)
        secrets = file.secrets if file else ()
        if done is None:
            raise TryAgain(f"docker compose {words[0]} did not end within {timeout:.0f} seconds")
        error = answers.error_of(done.returncode, done.stderr, project=name, secrets=secrets)
        if error:
            raise error
        return done.stdout

    @contextlib.contextmanager
    def _environment(self) -> Iterator[dict[str, str]]:
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment["DOCKER_HOST"] = self.host
        if self.certificates:
            environment |= {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(self.certificates)}
        if not self.credentials:
            yield environment
            return
        with tempfile.TemporaryDirectory(prefix="parcelle-docker-") as folder:
            write_secret(Path(folder) / "config.json", json.dumps({"auths": self._logins()}))
            yield {**environment, "DOCKER_CONFIG": folder}

    def _logins(self) -> dict[str, dict[str, str]]:
        hub = {"docker.io": "https://index.docker.io/v1/"}
        return {
            hub.get(registry, registry): {"auth": base64.b64encode(f"{of.user}:{of.password}".encode()).decode()}
            for registry, of in self.credentials.items()
        }


def _program() -> tuple[str, ...]:
    """The plugin itself where it is found: a private DOCKER_CONFIG would hide one that is installed per user."""
    folders = [str(Path.home() / ".docker" / "cli-plugins"), *_PLUGIN_FOLDERS]
    if plugin := shutil.which("docker-compose", path=os.pathsep.join(folders)):
        return (plugin,)
    if docker := shutil.which("docker"):
        return (docker, "compose")
    raise TargetUnreachable("Install Docker's compose plugin, version 2.26 or newer, beside Parcelle's worker.")


@lru_cache(maxsize=8)
def _version(program: tuple[str, ...]) -> str:
    done = subprocess.run([*program, "version", "--short"], capture_output=True, text=True, check=False, timeout=30)
    found = done.stdout.strip().removeprefix("v")
    numbers = re.match(r"(\d+)\.(\d+)", found)
    if done.returncode or not numbers:
        raise TargetUnreachable("Install Docker's compose plugin, version 2.26 or newer, beside Parcelle's worker.")
    if (int(numbers[1]), int(numbers[2])) < MINIMUM:
        raise TargetUnreachable(f"Docker's compose plugin is {found}; Parcelle needs version 2.26 or newer.")
    return found


def _execute(
    command: list[str], environment: dict[str, str], text: str | None, timeout: float
) -> subprocess.CompletedProcess[str] | None:
    """None when it had to be stopped. Standard input is the file or closed: newer releases ask questions there."""
    process = subprocess.Popen(
        command,
        # Without a file compose looks for one here and above: a folder that only root can write to.
        cwd="/",
        env=environment,
        stdin=subprocess.PIPE if text is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    try:
        out, err = process.communicate(text, timeout=timeout)
    except subprocess.TimeoutExpired:
        _stop(process)
        return None
    except BaseException:
        _stop(process)
        raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _stop(process: subprocess.Popen[str]) -> None:
    """First so that compose can end what it is in the middle of, then for certain."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=_SECONDS_TO_GIVE_UP)
            return
