from __future__ import annotations

import atexit
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pytest_django import DjangoDbBlocker, Settings

from tests import cluster

if TYPE_CHECKING:
    from tests.people import Cast
    from tests.system import System

pytest_plugins = ["tests.docker.fixtures"]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Before pytest-django loads the settings: they read the environment once."""
    from django.conf import settings

    if settings.configured:
        raise pytest.UsageError("Unset DJANGO_SETTINGS_MODULE: the tests choose settings and database themselves.")
    if cluster.worker() == "main":
        # Not a hook at the end: pytest calls none when another plugin fails to configure itself.
        atexit.register(cluster.Cluster.start().stop)
        if config.getoption("dist", "no") != "no":
            # The controller of pytest-xdist runs no test; a worker inherits its environment and chooses itself.
            return
    cluster.choose_settings()
    from parcelle.core import context

    # What a test itself stores and looks at; requests say on whose behalf they are.
    context.of_process(context.Platform.COMMANDS)
    # Pages are asked for without collecting static files first.
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Replaces pytest-django's: the application's role may not create databases, and must not own the tables."""
    from django.db import connections

    with django_db_blocker.unblock():
        cluster.create_database()
    yield
    with django_db_blocker.unblock():
        for connection in connections.all():
            connection.close()
            connection.close_pool()  # type: ignore[attr-defined]
        cluster.drop_database()


@pytest.fixture(autouse=True)
def _empty_queue(request: pytest.FixtureRequest) -> Iterator[None]:
    marker = request.node.get_closest_marker("django_db")
    commits = (marker and marker.kwargs.get("transaction")) or "transactional_db" in request.fixturenames
    from django.contrib.contenttypes.models import ContentType

    # Tests of one process may work on different databases, and tables are emptied in between.
    ContentType.objects.clear_cache()
    yield
    if commits:
        cluster.empty_queue()


@pytest.fixture(autouse=True)
def _no_token_of_an_earlier_server() -> None:
    """The next simulator may get the port of the one before, and knows nothing of its tokens."""
    client = sys.modules.get("parcelle.domain.billing.gateways.paypal_api")
    if client is not None:
        client._tokens.clear()


@pytest.fixture
def test_blueprints(settings: Settings) -> Path:
    """The blueprints of the tests are what can be sold."""
    folder = Path(__file__).parent / "blueprints"
    settings.BLUEPRINTS_DIR = folder
    return folder


@pytest.fixture
def cast(db: None, test_blueprints: Path) -> Cast:
    """Everybody in `tests/people.py`, stored."""
    from tests import people

    return people.gather()


@pytest.fixture(scope="module")
def system(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[System]:
    """A running embedded system with workers to start and kill, shared by a module; its rows are removed afterwards."""
    from tests.system import System

    with django_db_blocker.unblock(), System.running() as running:
        yield running
        running.forget_everything()
