"""The registry: one file and one line per provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from parcelle.domain.provisioning.errors import ProvisioningError
from parcelle.domain.provisioning.providers.base import Provider
from parcelle.domain.provisioning.providers.docker import DockerProvider
from parcelle.domain.provisioning.providers.null import NullProvider
from parcelle.domain.provisioning.providers.portainer import PortainerProvider
from parcelle.domain.provisioning.providers.process import ProcessProvider
from parcelle.domain.provisioning.providers.swarm import SwarmProvider

# name -> how to open it from the connection values of a target
PROVIDERS: dict[str, Callable[[Mapping[str, Any]], Provider]] = {
    "process": ProcessProvider.open,
    "docker": DockerProvider.open,
    "swarm": SwarmProvider.open,
    "portainer": PortainerProvider.open,
    "null": lambda _connection: NullProvider(),
}


def open_provider(name: str, connection: Mapping[str, Any]) -> Provider:
    """The provider `name` for one target's connection; ProvisioningError when there is none of that name."""
    if name not in PROVIDERS:
        raise ProvisioningError(f"there is no provider {name!r}, only {', '.join(sorted(PROVIDERS))}")
    return PROVIDERS[name](connection)
