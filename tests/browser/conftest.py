from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests import needs

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    needs.require("browser")
    from tests.browser.chromium import browser

    with browser() as running:
        yield running


@pytest.fixture(scope="session")
def site(chromium: Browser) -> Iterator[str]:
    """The address of a whole installation; asked for after Chromium, so that a skip costs nothing."""
    from tests.browser.site import running

    with running() as address:
        yield address


@pytest.fixture
def visit(chromium: Browser, site: str) -> Iterator[Callable[..., Page]]:
    """Opens a path as a new visitor: `visit("/trial", locale="en-GB")`. A script error fails the test."""
    contexts, errors = [], []

    def open_page(path: str, **options: Any) -> Page:
        context = chromium.new_context(base_url=site, **{"locale": "fr-FR", **options})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
