"""A customer pays by MTN Mobile Money: the telephone rings, and the page goes on by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.buying import PHONE, order_privately
from tests.browser.site import command
from tests.simulators.mtn_momo import Momo
from tests.simulators.mtn_momo_server import serving

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
Visit = Callable[..., Page]
# As long as a person takes to find the telephone, read and type a PIN.
APPROVES_AFTER = 20.0
ASKED = "Validez le paiement sur votre téléphone"
ARRIVED = "Merci, votre paiement est arrivé"
# What the page says from now on, kept beyond the page itself.
LISTEN = """() => {
  const told = new Set();
  setInterval(() => {
    told.add(document.querySelector("h1")?.textContent);
    sessionStorage.setItem("told", JSON.stringify([...told]));
  }, 100);
}"""


@pytest.fixture
def momo(site: str) -> Iterator[Momo]:
    with serving(Momo()) as running:
        key = running.subscription_keys["collection"]
        settings = ["momo", "apiuser", "--base-url", running.url, "--subscription-key", key]
        command(site, *settings, "--offer")
        yield running
        command(site, *settings, "--no-offer")


def order(page: Page, phone: str) -> None:
    """Buys the popular plan up to the moment in which the telephone rings."""
    order_privately(page)
    # The whole card is its label, which lies over the button.
    page.get_by_role("radio", name="MTN Mobile Money").check(force=True)
    page.get_by_role("textbox", name="Numéro Mobile Money").fill(phone)
    page.get_by_role("button", name="Payer").click()


def test_an_approval_on_the_telephone_moves_the_page_on(visit: Visit, momo: Momo) -> None:
    momo.approves_after = APPROVES_AFTER
    page = visit("/pricing?currency=EUR", **PHONE)
    order(page, "+237 6 71 23 45 67")
    expect(page.get_by_role("heading", name=ASKED)).to_be_visible()
    expect(page.get_by_text("+237 6 71 23 45 67")).to_be_visible()
    page.evaluate(LISTEN)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # Nobody touches the page any more.
    page.wait_for_url("**/deployments/*", timeout=120_000)
    (push,) = momo.pushes.values()
    assert (push.status, push.number) == ("SUCCESSFUL", "237671234567")
    # All the while it said what to do, and nothing frightening; the service was asked more than once meanwhile.
    first, *later = page.evaluate("JSON.parse(sessionStorage.getItem('told'))")
    assert (first, set(later) <= {ARRIVED}) == (ASKED, True)
    assert sum(seen.method == "GET" and push.reference in seen.path for seen in momo.seen) > 1


def test_a_refusal_on_the_telephone_lets_the_customer_try_again(visit: Visit, momo: Momo) -> None:
    page = visit("/pricing?currency=EUR", **PHONE)
    order(page, "+237 6 71 23 45 67")
    expect(page.get_by_role("heading", name=ASKED)).to_be_visible()
    momo.refuse(next(iter(momo.pushes)))
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Le paiement a été refusé sur le téléphone", timeout=60_000)
    expect(page.get_by_role("heading", name="Comment souhaitez-vous payer")).to_be_visible()
