"""The simulator's stacks: kept in memory as Portainer keeps them in its database, deployed on a real engine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ACTIVE, INACTIVE, DEPLOYING, ERROR = 1, 2, 3, 4
SWARM, COMPOSE = 1, 2


class Refused(Exception):
    """An answer that is an error, in Portainer's own words."""

    def __init__(self, status: int, message: str, details: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.details = status, message, details or message


@dataclass
class Environment:
    """A Docker Engine as Portainer knows it. `security` are the switches that bind non-administrators."""

    id: int
    name: str
    engine: str = "unix:///var/run/docker.sock"
    public_url: str = "127.0.0.1"
    type: int = 1
    up: bool = True
    security: dict[str, bool] = field(default_factory=dict)

    def docker(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        environment = {**_minimal(), "DOCKER_HOST": self.engine}
        return subprocess.run(
            ["docker", *words], check=False, capture_output=True, text=True, env=environment, **options
        )


@dataclass
class Stack:
    id: int
    name: str
    type: int
    environment: Environment
    entry: str
    env: list[dict[str, str]]
    folder: Path
    created_by: str
    status: int
    swarm_id: str = ""
    git: dict[str, Any] | None = None
    created_at: int = 0
    updated_at: int = 0
    detached: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)
    started_from: int = 0

    def note(self, status: int, message: str = "") -> None:
        self.status = status
        self.history.append({"Status": status, "Time": int(time.time()), "Message": message})


@dataclass
class Deployments:
    """How this server deploys: its version and its faults."""

    version: tuple[int, int]
    # Added to every deployment, in seconds; the deployment itself succeeds.
    delay: float = 0
    # What every deployment answers instead of working.
    failure: str = ""
    # Never ends: only where deployments go on in the background.
    stuck: bool = False
    # What a failed deployment made stays, as if the `down` after it had failed as well.
    leaves_leftovers: bool = False
    # One at a time per server, as long as a creation blocks.
    lock: threading.Lock = field(default_factory=threading.Lock)
    running: set[subprocess.Popen[str]] = field(default_factory=set)

    def up(self, stack: Stack) -> None:
        """Raises Refused with the program's own words."""
        time.sleep(self.delay)
        if self.failure:
            raise Refused(500, f"failed to deploy a stack: {self.failure}")
        if stack.type == SWARM:
            words = ["stack", "deploy", "--with-registry-auth", "--resolve-image=never"]
            self._run(stack, [*words, "-c", str(stack.folder / stack.entry), stack.name], inside=True)
        else:
            self._run(stack, [*self._compose(stack), "up", "-d", "--remove-orphans"])

    def down(self, stack: Stack, *, volumes: bool = False) -> None:
        if stack.type == SWARM:
            self._run(stack, ["stack", "rm", stack.name])
            return
        flags = ["--volumes"] if volumes else []
        self._run(stack, [*self._compose(stack), "down", "--remove-orphans", *flags])

    def _compose(self, stack: Stack) -> list[str]:
        words = ["compose", "-p", stack.name, "-f", str(stack.folder / stack.entry)]
        if stack.env:
            words += ["--env-file", str(stack.folder / "stack.env")]
        return words

    def _run(self, stack: Stack, words: list[str], *, inside: bool = False) -> None:
        write_environment(stack)
        environment = dict(os.environ) if self.version < (2, 27) else _minimal()
        if inside:
            environment |= {pair["name"]: pair["value"] for pair in stack.env}
        environment["DOCKER_HOST"] = stack.environment.engine
        process = subprocess.Popen(
            ["docker", *words],
            cwd=stack.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.running.add(process)
        output = process.communicate()[0]
        self.running.discard(process)
        if process.returncode:
            raise Refused(500, f"failed to deploy a stack: {output.strip()[-1500:]}")


def _minimal() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


def write_environment(stack: Stack) -> None:
    """Raw lines, nothing quoted: as the product does it."""
    file = stack.folder / "stack.env"
    file.write_text("".join(f"{pair['name']}={pair['value']}\n" for pair in stack.env))
    file.chmod(0o600)


def normalised(name: str) -> str:
    return re.sub(r"[^-_a-z0-9]", "", name.lower())


def holds_name(environment: Environment, name: str, *, swarm: bool) -> bool:
    """Whether anything on the engine, stack or leftover, carries the name."""
    if swarm:
        found = environment.docker("service", "ls", "-q", "--filter", f"label=com.docker.stack.namespace={name}")
    else:
        found = environment.docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={name}")
    return bool(found.stdout.strip())


def clone(stack: Stack) -> None:
    """The repository at its reference, by a real `git`."""
    git = stack.git
    assert git is not None
    address = git["URL"]
    if git["Authentication"]:
        user, password = (urllib.parse.quote(git["Authentication"][name], safe="") for name in ("Username", "Password"))
        address = address.replace("://", f"://{user}:{password}@", 1)
    shutil.rmtree(stack.folder, ignore_errors=True)
    branch = git["ReferenceName"].removeprefix("refs/heads/").removeprefix("refs/tags/")
    done = subprocess.run(
        ["git", "clone", "--quiet", "--depth", "1", "--branch", branch, address, str(stack.folder)],
        check=False,
        capture_output=True,
        text=True,
        env={**_minimal(), "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_GLOBAL": "/dev/null"},
    )
    if done.returncode:
        shutil.rmtree(stack.folder, ignore_errors=True)
        reason = "authentication required" if "could not read" in done.stderr or "uthenti" in done.stderr else ""
        raise Refused(500, "Unable to clone git repository", reason or done.stderr.strip().splitlines()[-1])
    if not (stack.folder / stack.entry).is_file():
        raise Refused(500, "Unable to read the stack file", f"open {stack.entry}: no such file or directory")
    head = subprocess.run(
        ["git", "-C", str(stack.folder), "rev-parse", "HEAD"], check=False, capture_output=True, text=True
    )
    git["ConfigHash"] = head.stdout.strip()


# What a non-administrator may not use where the environment's switch is off: (switch, keys, sentence)
_BOUND = (
    ("allowContainerCapabilitiesForRegularUsers", ("cap_add", "cap_drop"), "container capabilities disabled"),
    ("allowPrivilegedModeForRegularUsers", ("privileged",), "privileged mode disabled"),
    ("allowHostNamespaceForRegularUsers", ("pid",), "pid host disabled"),
    ("allowDeviceMappingForRegularUsers", ("devices",), "device mapping disabled"),
    ("allowSysctlSettingForRegularUsers", ("sysctls",), "sysctl setting disabled"),
    ("allowSecurityOptForRegularUsers", ("security_opt",), "security-opt setting disabled"),
)


def check_security(environment: Environment, content: str) -> None:
    """What Portainer does for everybody who is no administrator."""
    if not environment.security.get("allowStackManagementForRegularUsers", True):
        raise Refused(403, "Stack creation is disabled for non-admin users")
    services = (yaml.safe_load(content) or {}).get("services", {})
    for switch, keys, sentence in _BOUND:
        if environment.security.get(switch, True):
            continue
        if any(key in service for service in services.values() for key in keys):
            raise Refused(403, f"{sentence} for non administrator users")
