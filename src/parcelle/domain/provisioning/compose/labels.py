"""The labels by which everything of an instance is found again, whatever happened to its file or its names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

NAMESPACE: Final = "io.parcelle."
# On every container, network, volume and Swarm secret.
INSTANCE: Final = NAMESPACE + "instance"
MANAGED: Final = NAMESPACE + "managed"
# On a container: changes with the files it is given, so that compose replaces it when they do.
FILES: Final = NAMESPACE + "files"
# On the empty volumes that note something of a stack: its project; on its record besides, its blueprint, its services,
# the volumes with its data, and what its images were pinned to, as JSON.
STACK: Final = NAMESPACE + "stack"
BLUEPRINT: Final = NAMESPACE + "blueprint"
SERVICES: Final = NAMESPACE + "services"
DATA: Final = NAMESPACE + "data"
IMAGES: Final = NAMESPACE + "images"
# And what it was started from, so that asking compose whether that changed is not needed.
STARTED: Final = NAMESPACE + "started"

# What compose writes itself and we read.
PROJECT: Final = "com.docker.compose.project"
SERVICE: Final = "com.docker.compose.service"
ONE_OFF: Final = "com.docker.compose.oneoff"
NETWORK: Final = "com.docker.compose.network"
VOLUME: Final = "com.docker.compose.volume"
CONFIG_HASH: Final = "com.docker.compose.config-hash"
# What `docker stack deploy` writes.
SWARM_STACK: Final = "com.docker.stack.namespace"

# What we write on Swarm: the service's name in the compose file, and which version of it a task runs.
SWARM_SERVICE: Final = NAMESPACE + "service"
REVISION: Final = NAMESPACE + "revision"
# On the Swarm config that says what a stack is made of.
RECORD: Final = NAMESPACE + "record"


def of(ref: UUID) -> Mapping[str, str]:
    """What everything of one instance carries."""
    return {INSTANCE: str(ref), MANAGED: "1"}


def selector(ref: UUID) -> str:
    """The engine's filter for everything of one instance."""
    return f"{INSTANCE}={ref}"
