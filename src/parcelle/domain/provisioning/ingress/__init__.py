"""Ingress: how an instance gets its address. One neutral route model, one driver per way."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings

from parcelle.domain.provisioning.ingress.base import ConfigurationLost, Ingress, Route, RouteState
from parcelle.domain.provisioning.ingress.caddy import CaddyIngress
from parcelle.domain.provisioning.ingress.page import Page
from parcelle.domain.provisioning.ingress.port import PortIngress
from parcelle.domain.provisioning.ingress.traefik import TraefikIngress

INGRESSES: dict[str, Callable[[], Ingress]] = {
    "port": PortIngress.open,
    "caddy": CaddyIngress.open,
    "traefik": TraefikIngress.open,
}


def current() -> Ingress:
    """The ingress this installation is set to."""
    return INGRESSES[settings.INGRESS]()


__all__ = ["INGRESSES", "ConfigurationLost", "Ingress", "Page", "Route", "RouteState", "current"]
