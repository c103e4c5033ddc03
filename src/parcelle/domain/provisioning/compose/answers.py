"""What `docker compose` says when it does not succeed, as our errors.

Texts change between releases: they only choose the error, and what is unknown stays a ProvisioningError with the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Final

from parcelle.core.logs import redact
from parcelle.domain.provisioning.errors import (
    DiskFull,
    ImageMissing,
    PortTaken,
    ProvisioningError,
    SubnetTaken,
    TargetUnreachable,
    TryAgain,
)

_LONGEST = 600
MODEL_ERROR: Final = 15
PULL_ERROR: Final = 18
CANCELLED: Final = 130


class FileRefused(ProvisioningError):
    """Compose does not accept the file, or the engine not what it asks for."""

    code = "compose_refused"


class NameInUse(ProvisioningError):
    """A container, network or volume of that name exists and belongs to something else."""

    code = "name_in_use"


class ServiceFailed(ProvisioningError):
    """One service of the stack does not start or does not become healthy; its logs say why."""

    code = "service_failed"

    def __init__(self, service: str, detail: str) -> None:
        super().__init__(f"the service {service!r} {detail}")
        self.service = service


def error_of(code: int, text: str, *, project: str, secrets: Iterable[str] = ()) -> ProvisioningError | None:
    """The error behind an exit code and what was written to standard error; None when all is well.

    `secrets` are removed from everything that leaves, also as YAML and JSON spell them.
    """
    text = _without(text, secrets)
    # Compose attaches to what another project made, warns and exits well.
    if foreign := re.search(r'(?:network|volume) "?([\w.-]+)"? already exists but was created for project', text):
        return NameInUse(f"{foreign[1]!r} belongs to another compose project: remove or rename it there")
    if not code:
        return None
    for pattern, make in _TABLE:
        if found := re.search(pattern, text):
            return make(found, project)
    last = " ".join(telling(text)[-3:])[-_LONGEST:] or f"it ended with code {code}"
    if code == MODEL_ERROR:
        return FileRefused(last)
    if code == CANCELLED:
        return TryAgain("docker compose was interrupted")
    if code == PULL_ERROR:
        return TryAgain(f"the registry does not hand out the image: {last}")
    return ProvisioningError(f"docker compose did not bring the stack up: {last}")


def service_of(container: str, project: str) -> str:
    """ "client-acme-db-1" -> "db"."""
    return re.sub(r"[-_]\d+$", "", container.removeprefix(project)).lstrip("-_") or container


def _without(text: str, secrets: Iterable[str]) -> str:
    spelled = set()
    for secret in secrets:
        doubled = secret.replace("$", "$$")
        spelled |= {secret, doubled, json.dumps(secret)[1:-1], json.dumps(doubled, ensure_ascii=False)[1:-1]}
        spelled |= {line for line in secret.splitlines() if len(line) >= 8}
    return redact(text, spelled)


def telling(text: str) -> list[str]:
    """The lines that are not about one container, network or volume going well: what stood beside the progress."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [line for line in lines if not re.match(r"(?:Container|Network|Volume|\S+) \S+ +[A-Z][a-z]+$", line)]


Make = Callable[[re.Match[str], str], ProvisioningError]


def _unreachable(found: re.Match[str], _project: str) -> ProvisioningError:
    return TargetUnreachable(
        "The Docker Engine does not answer: start it, or correct the target's address and certificates "
        f"({found[0].strip()[:200]})."
    )


def _forbidden(_found: re.Match[str], _project: str) -> ProvisioningError:
    return TargetUnreachable(
        "Parcelle's worker may not use the Docker Engine's socket: add its system user to the group docker, "
        "then start the worker again."
    )


def _version(found: re.Match[str], _project: str) -> ProvisioningError:
    return TargetUnreachable(f"The Docker Engine and the compose plugin do not understand each other: {found[0]}")


def _subnet(found: re.Match[str], project: str) -> ProvisioningError:
    return SubnetTaken(found[1].removeprefix(f"{project}_"))


def _port(found: re.Match[str], _project: str) -> ProvisioningError:
    return PortTaken(int(found[1]))


def _image(found: re.Match[str], _project: str) -> ProvisioningError:
    return ImageMissing(
        f"The image {found[1].strip(chr(34))} is not on the engine and its registry does not hand it out: "
        "check its name and the registry's credentials."
    )


def _image_somewhere(found: re.Match[str], _project: str) -> ProvisioningError:
    return ImageMissing(f"An image cannot be fetched: {found[0].strip()[:300]}")


def _disk(_found: re.Match[str], _project: str) -> ProvisioningError:
    return DiskFull("The disk of the Docker Engine is full: free space there, then try again.")


def _name(found: re.Match[str], _project: str) -> ProvisioningError:
    return NameInUse(f"{found[1]!r} exists on the engine and is not part of this stack: remove or rename it")


def _unhealthy(found: re.Match[str], project: str) -> ProvisioningError:
    return ServiceFailed(service_of(found[1], project), "is not healthy")


def _exited(found: re.Match[str], project: str) -> ProvisioningError:
    return ServiceFailed(service_of(found[1], project), f"ended with code {found[2]}")


def _unstartable(found: re.Match[str], _project: str) -> ProvisioningError:
    return FileRefused(f"a container cannot be started: {' '.join(found[0].split())[-300:]}")


def _passing(found: re.Match[str], _project: str) -> ProvisioningError:
    return TryAgain(found[0].strip()[:300])


def _full(_found: re.Match[str], _project: str) -> ProvisioningError:
    return FileRefused("the stack has more containers than a network of sixteen addresses holds")


def _moved(_found: re.Match[str], _project: str) -> ProvisioningError:
    return FileRefused("the stack's networks exist with other subnets: remove the stack without its volumes first")


_TABLE: Final[tuple[tuple[str, Make], ...]] = (
    (r"permission denied while trying to connect to the Docker daemon", _forbidden),
    (
        r"Cannot connect to the Docker daemon[^\n]*|error during connect:[^\n]*|[^\n]*s the docker daemon running\?",
        _unreachable,
    ),
    (r"client version [\d.]+ is too (?:old|new)[^\n]*", _version),
    (r"no space left on device|[Dd]isk quota exceeded", _disk),
    (
        # The gateway's address, where another network has exactly this range.
        (
            r"failed to create network (\S+?):[^\n]*"
            r"(?:[Pp]ool overlaps|non-overlapping|predefined address pools|failed to allocate gateway)"
        ),
        _subnet,
    ),
    (r"Bind for \S*?:(\d+) failed", _port),
    (r"listen (?:tcp|udp)[46]? \S*?:(\d+): bind: address already in use", _port),
    (r"exposing port (?:TCP|UDP) \S*?:(\d+) ", _port),
    (r'Conflict\. The container name "/?([^"]+)" is already in use', _name),
    (r"network (\S+) was found but has incorrect label", _name),
    (r"no such image: (\S+?): ", _image),
    (r"No such image: (\S+)", _image),
    (r"manifest for (\S+) not found", _image),
    (r"pull access denied for (\S+?),", _image),
    (r"manifest unknown[^\n]*|[^\n]*: unauthorized[^\n]*", _image_somewhere),
    (r"container (\S+) is unhealthy", _unhealthy),
    (r"container (\S+) has no healthcheck configured", _unhealthy),
    (r"container (\S+) exited \((\d+)\)", _exited),
    (r'service "([^"]+)" didn\'t complete successfully: exit (\d+)', _exited),
    (r"application not healthy after[^\n]*", _passing),
    (r"no available IPv4 addresses on this network's address pools", _full),
    (r"It does not belong to any of this network's subnets", _moved),
    (r"[^\n]*Address already in use[^\n]*", _passing),
    (r"[^\n]*removal of container \S+ is already in progress[^\n]*", _passing),
    (r"network \S+ not found[^\n]*", _passing),
    (r"[^\n]*(?:OCI runtime create failed|executable file not found)[^\n]*", _unstartable),
)
