"""Applications that are being built for the first time, in the words of a visitor who could ask for one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from parcelle.domain.catalog.models import Product
from parcelle.domain.provisioning import queries
from parcelle.surfaces.portal.progress import Line, lines_of


@dataclass(frozen=True)
class Preparing:
    """How far one product is: `done` of `steps` steps are over, and what is done now; None while it is in the queue."""

    product: str
    percent: int
    place: int
    steps: int
    current: Line | None


def of(products: Iterable[Product], *, now: datetime) -> list[Preparing]:
    """Those of the products that nobody can have yet, because their template is being built for the first time."""
    builds = queries.first_builds()
    if not builds:
        return []
    found = ((product, builds.get((product.target_name, product.blueprint))) for product in products)
    return [_preparing(product.name, build, now=now) for product, build in found if build is not None]


def _preparing(product: str, build: queries.Building, *, now: datetime) -> Preparing:
    lines = lines_of(build.steps, now=now)
    done = sum(line.state == "succeeded" for line in lines)
    current = next((line for line in lines if line.state == "running"), None)
    return Preparing(product, build.percent, min(done + 1, len(lines)), len(lines), current)
