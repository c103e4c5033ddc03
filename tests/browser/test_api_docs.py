"""The API's documentation page, in a browser that cannot leave the site."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def test_the_page_works_without_the_internet(visit: Callable[..., Page], site: str) -> None:
    page = visit("/healthz")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/api/docs")
    page.locator("#operations-instances-createInstance .opblock-summary-control").click()
    page.get_by_text("Acme Corporation").first.wait_for()
    assert page.locator(".opblock").count() >= 9
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    page.get_by_text("authentication-required").first.wait_for()
    assert {urlsplit(url).netloc for url in asked} == {urlsplit(site).netloc}
