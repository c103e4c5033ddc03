"""The registry: one file and one line per provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from parcelle.core.later import later
from parcelle.domain.provisioning.errors import ProvisioningError
from parcelle.domain.provisioning.providers.base import Provider

_HERE = "parcelle.domain.provisioning.providers"
# name -> how to open it from the connection values of a target; loaded when first opened
PROVIDERS: dict[str, Callable[[Mapping[str, Any]], Provider]] = {
    "process": later(f"{_HERE}.process:ProcessProvider.open"),
    "docker": later(f"{_HERE}.docker:DockerProvider.open"),
    "swarm": later(f"{_HERE}.swarm:SwarmProvider.open"),
    "portainer": later(f"{_HERE}.portainer:PortainerProvider.open"),
    "null": later(f"{_HERE}.null:NullProvider.open"),
}


def open_provider(name: str, connection: Mapping[str, Any]) -> Provider:
    """The provider `name` for one target's connection; ProvisioningError when there is none of that name."""
    if name not in PROVIDERS:
        raise ProvisioningError(f"there is no provider {name!r}, only {', '.join(sorted(PROVIDERS))}")
    return PROVIDERS[name](connection)
