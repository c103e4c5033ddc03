"""From the prices to an order, as the tests of every way to pay begin."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from playwright.sync_api import Page

from tests.browser.visitor import ENGLISH, FRENCH, Person, Words

PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}


@dataclass(frozen=True)
class Selling:
    """The visible words of the way to pay."""

    person: Words
    choose: str
    country: str
    address: str
    postcode: str
    town: str
    next: str
    pay: str
    no_funds: str
    refused: str
    approve: str
    another: str


EN = Selling(
    person=ENGLISH,
    choose="Choose Silver",
    country="Country",
    address="Address",
    postcode="Postcode",
    town="Town",
    next="Go on to payment",
    pay="Pay",
    no_funds="Decline: not enough money",
    refused="There is not enough money on the account",
    approve="Approve the payment",
    another="Pay another way",
)
FR = Selling(
    person=FRENCH,
    choose="Choisir Silver",
    country="Pays",
    address="Adresse",
    postcode="Code postal",
    town="Ville",
    next="Passer au paiement",
    pay="Payer",
    no_funds="Refuser : pas assez d’argent",
    refused="Il n’y a pas assez d’argent sur le compte",
    approve="Approuver le paiement",
    another="Payer autrement",
)


def fill_in(page: Page, words: Selling, person: Person) -> None:
    for label, value in (
        (words.person.last_name, person.last_name),
        (words.person.first_name, person.first_name),
        (words.person.email, person.email),
        (words.person.phone, person.phone if words is FR else "+33 6 12 34 56 78"),
    ):
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_label(words.person.company, exact=True).fill(person.company)
    page.get_by_label(words.person.terms).check()
    page.get_by_label(words.country, exact=True).select_option("FR")
    page.get_by_label(words.address, exact=True).fill("1 rue de la Paix")
    page.get_by_label(words.postcode, exact=True).fill("75002")
    page.get_by_label(words.town, exact=True).fill("Paris")
    page.get_by_label("SIREN", exact=True).fill("552 100 554")


def order(page: Page, words: Selling, person: Person) -> None:
    page.get_by_role("link", name=words.choose).click()
    page.wait_for_url("**/register?price=*")
    fill_in(page, words, person)
    page.get_by_role("button", name=words.next).click()
    page.wait_for_url("**/orders/*")


def order_privately(page: Page) -> None:
    """Buys the popular plan in French, as a private person, up to the choice of the way to pay."""
    page.get_by_role("link", name=FR.choose).click()
    page.get_by_label("Vous-même, à titre privé").check()
    for label, value in (
        ("Nom", "Ndiaye"),
        ("Prénom", "Awa"),
        ("E-mail", f"{uuid.uuid4().hex[:10]}@example.com"),
        ("Téléphone", "06 12 34 56 78"),
        ("Adresse", "1 rue de la Paix"),
        ("Code postal", "75002"),
        ("Ville", "Paris"),
    ):
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_label("J’accepte").check()
    page.locator("form[data-register] button.btn-primary").click()
    page.wait_for_url("**/orders/*")
