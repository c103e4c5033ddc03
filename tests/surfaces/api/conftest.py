from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from pytest_django import Settings

if TYPE_CHECKING:
    from parcelle.domain.accounts.models import User
    from tests.people import Cast
    from tests.surfaces.api.asking import Asking


@pytest.fixture(autouse=True)
def _no_limits(settings: Settings) -> None:
    """Off except where a test is about them."""
    settings.RATE_LIMITS = False


@pytest.fixture
def as_user(db: None) -> Callable[[User], Asking]:
    """Somebody with a new token of this user's."""
    from tests.surfaces.api.asking import Asking

    return Asking.for_user


@pytest.fixture
def operator(cast: Cast, as_user: Callable[[User], Asking]) -> Asking:
    return as_user(cast.operator)


@pytest.fixture
def nobody(cast: Cast) -> Asking:
    from tests.surfaces.api.asking import Asking

    return Asking("")
