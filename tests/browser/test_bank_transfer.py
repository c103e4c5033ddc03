"""A customer pays by bank transfer on a telephone: receipt, the operator's queue, and a space that opens."""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Callable, Iterator

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.buying import PHONE, order_privately
from tests.browser.site import operator_of
from tests.browser.visitor import FRENCH, Person

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1200)]
Visit = Callable[..., Page]
SETTINGS = (("Titulaire du compte", "Atelier Parcelle"), ("IBAN", "FR14 2004 1010 0505 0001 3M02 606"))


@pytest.fixture
def back_office(visit: Visit, site: str) -> Iterator[Page]:
    """The operator, signed in, who takes transfers to one account as long as the test goes on."""
    email, password = operator_of(site)
    page = visit("/accounts/login/?next=/admin/", viewport={"width": 1280, "height": 900})
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Mot de passe").fill(password)
    page.get_by_role("main").get_by_role("button", name="Se connecter").click()
    page.wait_for_url("**/admin/")
    offer(page, True)
    yield page
    offer(page, False)


def offer(page: Page, wanted: bool) -> None:
    page.goto("/admin/billing/gatewaysettings/")
    page.get_by_role("link", name="Virement bancaire").first.click()
    if wanted:
        for label, value in SETTINGS:
            page.get_by_label(label, exact=True).fill(value)
        page.get_by_label("BIC", exact=True).fill("PSSTFRPPXXX")
    page.get_by_label("Proposé", exact=True).set_checked(wanted)
    page.get_by_role("button", name="Enregistrer", exact=True).click()
    page.wait_for_url(re.compile(r"/admin/billing/gatewaysettings/$"))


def order(page: Page) -> None:
    """Buys the popular plan up to the details of the transfer."""
    order_privately(page)
    page.locator("label[for=id_bank_transfer]").click()
    page.get_by_role("button", name="Payer").click()


def receipt() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (600, 800), (250, 250, uuid.uuid4().int % 250)).save(file, "png")
    return file.getvalue()


def test_a_transfer_with_a_receipt_is_confirmed_and_the_space_opens(visit: Visit, back_office: Page) -> None:
    page = visit("/pricing?currency=EUR", **PHONE)
    order(page)
    expect(page.get_by_role("heading", name="Faites votre virement")).to_be_visible()
    reference = page.locator("#transfer-reference").inner_text()
    expect(page.locator("figure.transfer-qr svg")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_label("PDF, PNG ou JPEG").set_input_files(
        {"name": "avis.png", "mimeType": "image/png", "buffer": receipt()}
    )
    page.get_by_role("button", name="Envoyer").click()
    expect(page.get_by_role("heading", name="Nous avons votre justificatif")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    back_office.goto(f"/admin/billing/transfer/?q={reference}")
    back_office.get_by_role("link", name=re.compile(r"^RF\d\d ")).click()
    back_office.get_by_role("link", name="Confirmer").first.click()
    # What is missing is filled in; the receipt is beside it.
    expect(back_office.get_by_label("Montant arrivé")).to_have_value(re.compile(r"58[,.]80"))
    expect(back_office.locator("img.bo-receipt")).to_be_visible()
    back_office.get_by_label("Référence de la banque").fill(f"BANK-{reference[-8:]}")
    back_office.get_by_role("button", name="Confirmer").click()
    expect(back_office.get_by_text("C’est noté : l’argent est arrivé")).to_be_visible()

    # Nobody touches the customer's page any more.
    page.wait_for_url("**/deployments/*", timeout=120_000)
    Person(FRENCH).wait_until_ready(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
