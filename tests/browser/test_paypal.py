"""A customer pays by PayPal on a telephone: away to PayPal's page, back, and the space is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.buying import PHONE, order_privately
from tests.browser.site import simulated
from tests.browser.visitor import FRENCH, Person

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1200)]
Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def _paypal(site: str) -> Iterator[None]:
    with simulated(site, "paypal"):
        yield


def order(page: Page) -> None:
    """Buys the popular plan up to PayPal's own page."""
    order_privately(page)
    pay(page)


def pay(page: Page) -> None:
    page.locator("label[for=id_paypal]").click()
    page.get_by_role("button", name="Payer").click()
    page.wait_for_url("**/checkoutnow?token=*")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.usefixtures("_paypal")
def test_from_the_prices_by_paypal_to_an_instance_that_is_live(visit: Visit) -> None:
    page = visit("/pricing?currency=EUR", **PHONE)
    order(page)

    # A card that is declined first: back at PayPal for another one, with the same order.
    page.get_by_role("button", name="card that will be declined").click()
    expect(page.get_by_role("heading", name="Choisissez un autre moyen chez PayPal")).to_be_visible()
    go_on = page.get_by_role("link", name="Continuer le paiement")
    approve = page.get_by_role("button", name="Approve", exact=True)
    # What the page hears may redraw it in the very moment of a click, which then goes nowhere.
    while not approve.is_visible():
        if go_on.is_visible():
            go_on.click()
        page.wait_for_timeout(1000)
    approve.click()

    page.wait_for_url("**/deployments/*", timeout=120_000)
    Person(FRENCH).wait_until_ready(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.usefixtures("_paypal")
def test_who_comes_back_without_paying_can_choose_again(visit: Visit) -> None:
    page = visit("/pricing?currency=EUR", **PHONE)
    order(page)
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_url("**/orders/**")
    page.get_by_role("button", name="Payer autrement").click()
    expect(page.get_by_role("heading", name="Comment souhaitez-vous payer")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
