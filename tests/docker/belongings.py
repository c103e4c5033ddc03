"""What tests make on the engine: found by label, removed by exact id, and proven to be gone. Nothing is ever pruned."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import docker
import docker.errors

# On everything a test makes itself; the value tells which process may still need it.
OWNER = "parcelle-test.owner"
# On everything a provider of ours makes; the value is the ref.
INSTANCE = "io.parcelle.instance"


class Belongings:
    """Everything with one of a growing list of labels."""

    def __init__(self, client: docker.DockerClient) -> None:
        self.client = client
        self.owner = f"{_this_process()}/{uuid.uuid4().hex[:8]}"
        self.selectors = [f"{OWNER}={self.owner}"]

    @property
    def labels(self) -> dict[str, str]:
        """For what a test makes by itself."""
        return {OWNER: self.owner}

    def new_ref(self) -> uuid.UUID:
        """A ref for a provider; what the provider makes under it is removed with the rest."""
        ref = uuid.uuid4()
        self.adopt(ref)
        return ref

    def adopt(self, ref: uuid.UUID) -> None:
        self.selectors.append(f"{INSTANCE}={ref}")

    def left(self) -> list[str]:
        """What is there now: "container/name", "network/name", "volume/name"."""
        return [f"{kind}/{name}" for selector in self.selectors for kind, name, _ in _found(self.client, selector)]

    def remove(self) -> None:
        """Removes it all. Raises AssertionError when something stays."""
        for selector in self.selectors:
            for _, _, remove in _found(self.client, selector):
                # Gone meanwhile, or still used by what is removed later: the list below tells.
                with contextlib.suppress(docker.errors.APIError):
                    remove()
        left = self.left()
        assert not left, f"cannot be removed: {', '.join(left)}"


def remove_orphans(client: docker.DockerClient) -> None:
    """Removes what test sessions left behind that were killed."""
    for _, _, remove in list(_found(client, OWNER, _is_orphan)):
        with contextlib.suppress(docker.errors.APIError):
            remove()


def _found(
    client: docker.DockerClient, selector: str, wanted: Callable[[str], bool] = lambda _: True
) -> Iterator[tuple[str, str, Callable[[], object]]]:
    """(kind, name, how to remove it), in an order in which removal works. `wanted` is asked about OWNER's value."""
    for container in client.containers.list(all=True, filters={"label": selector}, ignore_removed=True):
        if wanted(container.labels.get(OWNER, "")):
            yield "container", str(container.name), partial(container.remove, force=True, v=True)
    for network in client.networks.list(filters={"label": selector}):
        if wanted((network.attrs.get("Labels") or {}).get(OWNER, "")):
            yield "network", str(network.name), network.remove
    for volume in client.volumes.list(filters={"label": selector}):
        if wanted((volume.attrs.get("Labels") or {}).get(OWNER, "")):
            yield "volume", str(volume.name), partial(volume.remove, force=True)


def _this_process() -> str:
    return f"{os.getpid()}-{_started_at(os.getpid())}"


def _started_at(pid: int) -> str:
    """Tells a process from a later one of the same number; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _is_orphan(owner: str) -> bool:
    pid, _, started = owner.partition("/")[0].partition("-")
    return not pid.isdigit() or _started_at(int(pid)) != started
