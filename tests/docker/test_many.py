"""More instances on one engine than its default address pools have networks for."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import httpx
import pytest
import yaml
from pytest_django import Settings

from parcelle.domain.catalog import blueprints as catalog
from parcelle.domain.provisioning.providers.base import Spec, Status
from parcelle.domain.provisioning.providers.docker import DockerProvider
from tests.docker import subnets
from tests.docker.belongings import Belongings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
# With two networks each; an engine's default pools hold 31 networks in all.
INSTANCES = 40
TOGETHER = 4


@pytest.fixture
def provider(settings: Settings, tmp_path: Path) -> DockerProvider:
    """For a blueprint with one service that asks for as little as possible, reached on its own network."""
    folder = tmp_path / "least"
    folder.mkdir()
    # Eighty checks of the usual kind in every few seconds would be all that the machine does.
    listens = {"test": ["CMD-SHELL", "grep -q ':1F90 ' /proc/net/tcp"], "interval": "3s", "retries": 60}
    service = {"image": "parcelle-test/web:1", "stop_grace_period": "1s", "healthcheck": listens}
    (folder / "compose.yaml").write_text(yaml.safe_dump({"services": {"web": service}}))
    described = {
        "name": "least",
        "version": "1",
        "title": {"fr": "Le moins", "en": "Least"},
        "compose": {"service": "web", "port": 8080, "limits": {"web": {"memory_mb": 64, "cpus": 0.2, "pids": 32}}},
    }
    (folder / "blueprint.yaml").write_text(yaml.safe_dump(described))
    settings.BLUEPRINTS_DIR = tmp_path
    settings.INGRESS = "caddy"
    return DockerProvider({})


@pytest.fixture
def specs(belongings: Belongings, web_image: str, provider: DockerProvider) -> Iterator[list[Spec]]:
    refs = [belongings.new_ref() for _ in range(INSTANCES)]
    yield [
        Spec(
            ref=ref,
            name=f"client-{ref.hex[:10]}",
            blueprint=catalog.load("least"),
            variables={"slug": ref.hex[:10], "url": ""},
            secrets={},
            subnets={purpose: subnets.take() for purpose in provider.subnet_purposes},
        )
        for ref in refs
    ]
    belongings.remove()


def test_forty_instances_run_side_by_side(
    engine: docker.DockerClient, belongings: Belongings, provider: DockerProvider, specs: list[Spec]
) -> None:
    def make(spec: Spec) -> None:
        for phase in provider.phases:
            provider.ensure(spec, phase, lambda _note, _fraction: None)

    with ThreadPoolExecutor(TOGETHER) as together:
        list(together.map(make, specs))
    hosts = [httpx.get(provider.endpoint(spec), timeout=30).json()["host"] for spec in specs]
    assert len(set(hosts)) == INSTANCES
    assert {provider.observe(spec.ref).status for spec in specs} == {Status.RUNNING}
    networks = [name for name in belongings.left() if name.startswith("network/")]
    assert len(networks) == INSTANCES * 2

    with ThreadPoolExecutor(TOGETHER) as together:
        list(together.map(lambda spec: provider.destroy(spec.ref), specs))
    assert belongings.left() == []
