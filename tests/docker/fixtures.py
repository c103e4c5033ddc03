"""For every test that needs a real Docker Engine: the engine, the images, what is removed afterwards, a Swarm."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import docker
import docker.errors
import pytest

from tests import needs
from tests.docker import build, debian, swarm
from tests.docker.belongings import Belongings, remove_orphans

# fixture -> images it brings
IMAGES = {
    "postgres_image": ("postgres",),
    "web_image": ("web",),
    "broken_image": ("broken",),
    "slow_image": ("slow",),
    "tryton_image": ("tryton",),
    "stack_images": ("postgres", "web"),
    "three_nodes": ("postgres", "web", "broken", "node"),
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Makes the images before the first test: a test's time limit is no measure for that."""
    names = {
        name for item in items for fixture in getattr(item, "fixturenames", ()) for name in IMAGES.get(fixture, ())
    }
    if not names or config.getoption("collectonly") or needs.missing("docker"):
        return
    with contextlib.closing(docker.from_env(version="auto", timeout=600)) as client:
        for name in sorted(names):
            # The fixture tries again, and there it is the failure of the tests that need it.
            with contextlib.suppress(build.BuildFailed, debian.NoDebian, docker.errors.APIError):
                build.ensure(client, name)


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The machine's Docker Engine."""
    needs.require("docker")
    with contextlib.closing(docker.from_env(version="auto")) as client:
        remove_orphans(client)
        yield client


@pytest.fixture(scope="module")
def belongings(engine: docker.DockerClient) -> Iterator[Belongings]:
    """What the module makes on the engine under its labels and refs; all of it is gone afterwards."""
    things = Belongings(engine)
    yield things
    things.remove()


def _image(engine: docker.DockerClient, name: str) -> str:
    try:
        return build.ensure(engine, name)
    except debian.NoDebian as reason:
        needs.cannot("docker", str(reason))


@pytest.fixture(scope="session")
def postgres_image(engine: docker.DockerClient) -> str:
    """PostgreSQL 15 with the public image's environment contract."""
    return _image(engine, "postgres")


@pytest.fixture(scope="session")
def web_image(engine: docker.DockerClient) -> str:
    """A small application; what it can be told is written in `images/web/web.py`."""
    return _image(engine, "web")


@pytest.fixture(scope="session")
def broken_image(engine: docker.DockerClient) -> str:
    """Ends at once with status 3."""
    return _image(engine, "broken")


@pytest.fixture(scope="session")
def slow_image(engine: docker.DockerClient) -> str:
    """Healthy only after WEB_HEALTHY_AFTER seconds, 20 unless told."""
    return _image(engine, "slow")


@pytest.fixture(scope="session")
def tryton_image(engine: docker.DockerClient) -> str:
    """Tryton with the modules and the web client of `blueprints/tryton`."""
    return _image(engine, "tryton")


@pytest.fixture(scope="session")
def stack_images(postgres_image: str, web_image: str) -> None:
    """What `tests/blueprints/stack` names."""


@pytest.fixture(scope="module")
def three_nodes(engine: docker.DockerClient) -> Iterator[swarm.Swarm]:
    """A Swarm of its own for the module: a manager and two workers that have the images of the stack."""
    for name in IMAGES["three_nodes"]:
        _image(engine, name)
    with swarm.running(engine, ["postgres", "web", "broken"]) as running:
        yield running
