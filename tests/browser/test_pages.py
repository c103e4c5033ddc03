"""What only a browser can tell: switches that last, pages without JavaScript, nothing that sticks out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
Visit = Callable[..., Page]
PATHS = ("/", "/trial", "/cgv", "/accounts/login/", "/accounts/login/code/", "/accounts/password/reset/", "/mailbox")


def test_the_language_lasts(visit: Visit) -> None:
    page = visit("/trial")
    page.get_by_role("button", name="English").first.click()
    expect(page.get_by_role("heading", name="Start my free trial")).to_be_visible()
    page.goto("/cgv")
    expect(page.get_by_role("heading", name="Terms and conditions")).to_be_visible()


def test_light_and_dark_follow_the_system_until_somebody_chooses(visit: Visit) -> None:
    page = visit("/", color_scheme="dark")
    html = page.locator("html")
    expect(html).to_have_attribute("data-bs-theme", "dark")
    page.emulate_media(color_scheme="light")
    expect(html).to_have_attribute("data-bs-theme", "light")
    page.get_by_role("button", name="Clair ou sombre").click()
    expect(html).to_have_attribute("data-bs-theme", "dark")
    page.goto("/cgv")
    expect(html).to_have_attribute("data-bs-theme", "dark")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_nothing_sticks_out(visit: Visit, path: str, width: int) -> None:
    page = visit(path, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_javascript_the_form_says_what_is_missing(visit: Visit) -> None:
    page = visit("/trial", java_script_enabled=False)
    page.locator("form[data-trial]").evaluate("form => { form.noValidate = true; form.submit() }")
    expect(page.get_by_text("Veuillez remplir tous les champs obligatoires")).to_be_visible()
    expect(page.get_by_role("button", name="Clair ou sombre")).to_be_hidden()
