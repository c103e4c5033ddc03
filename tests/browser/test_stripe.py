"""A customer pays by card on a telephone, in English, after another way was refused: Stripe's page, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.buying import EN, PHONE, order
from tests.browser.site import simulated
from tests.browser.visitor import ENGLISH, Person

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1200)]
Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def _stripe(site: str) -> Iterator[None]:
    with simulated(site, "stripe"):
        yield


def choose(page: Page, method: str) -> None:
    page.locator(f"label[for=id_{method}]").click()
    page.get_by_role("button", name=EN.pay).click()


@pytest.mark.usefixtures("_stripe")
def test_what_one_way_refused_is_paid_by_another(visit: Visit) -> None:
    person = Person(ENGLISH)
    page = visit("/pricing?currency=EUR", locale="en-GB", **PHONE)
    order(page, EN, person)
    choose(page, "fake")
    page.wait_for_url("**/test-payment/*")
    page.get_by_role("button", name=EN.no_funds).click()
    expect(page.get_by_text(EN.refused)).to_be_visible(timeout=30_000)

    choose(page, "stripe")
    page.wait_for_url("**/c/pay/*")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # A card that is declined leaves Stripe's page open for another one.
    page.get_by_role("button", name="Decline: not enough money").click()
    expect(page.get_by_role("alert")).to_contain_text("declined")
    page.get_by_role("button", name="Pay with a card that works").click()
    page.wait_for_url("**/deployments/*", timeout=120_000)
    person.wait_until_ready(page)
