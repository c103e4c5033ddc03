from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.test import Client
from pytest_django import Settings

if TYPE_CHECKING:
    from tests.people import Cast
    from tests.surfaces.backoffice.rows import World

BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture(autouse=True)
def _english(settings: Settings) -> None:
    """Sentences are asked for in English; `test_words` looks after the French."""
    settings.LANGUAGE_CODE = "en"


@pytest.fixture
def operator(client: Client, cast: Cast) -> Client:
    """A browser in which the operator is signed in."""
    client.force_login(cast.operator, backend=BACKEND)
    return client


@pytest.fixture
def reader(cast: Cast) -> Client:
    """A browser of somebody on the staff who may read and nothing else."""
    from parcelle.domain.accounts.models import User

    client = Client()
    client.force_login(User.objects.create_user("reader@vendor.example", is_staff=True), backend=BACKEND)
    return client


@pytest.fixture
def world(cast: Cast) -> World:
    from tests.surfaces.backoffice import rows

    return rows.fill(cast)
