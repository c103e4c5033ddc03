"""What a visitor does, by what they can see: labels and buttons, never by ids."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field

from playwright.sync_api import Page, expect

# A template is built once per installation, which takes minutes on a small machine.
FIRST_TIME_MILLISECONDS = 800_000
MAIL_SECONDS = 60


@dataclass(frozen=True)
class Words:
    """The visible words of one language."""

    locale: str
    start: str
    last_name: str
    first_name: str
    email: str
    company: str
    phone: str
    terms: str
    puzzle_done: str
    ready: str
    open: str
    menu: str


FRENCH = Words(
    locale="fr-FR",
    start="Démarrer mon essai gratuit",
    last_name="Nom",
    first_name="Prénom",
    email="E-mail",
    company="Entreprise",
    phone="Téléphone",
    terms="J’accepte les conditions générales",
    puzzle_done="Vérification anti-robot faite",
    ready="Votre application est prête",
    open="Ouvrir mon application",
    menu="Ventes",
)
ENGLISH = Words(
    locale="en-GB",
    start="Start my free trial",
    last_name="Last name",
    first_name="First name",
    email="E-mail",
    company="Company",
    phone="Telephone",
    terms="I accept the terms and conditions",
    puzzle_done="Anti-robot check done",
    ready="Your application is ready",
    open="Open my application",
    menu="Sales",
)


WELCOME = re.compile("Votre Tryton est prêt|Your Tryton is ready")


@dataclass
class Person:
    words: Words
    email: str = field(default_factory=lambda: f"{uuid.uuid4().hex[:10]}@example.com")
    first_name: str = "Awa"
    last_name: str = "Ndiaye"
    company: str = "Bâtiplus & Fils"
    phone: str = "06 12 34 56 78"

    def fill_in(self, page: Page) -> None:
        for label, value in (
            (self.words.last_name, self.last_name),
            (self.words.first_name, self.first_name),
            (self.words.email, self.email),
            (self.words.company, self.company),
            (self.words.phone, self.phone),
        ):
            page.get_by_label(label, exact=True).fill(value)
        page.get_by_label(self.words.terms).check()

    def send(self, page: Page) -> None:
        expect(page.get_by_text(self.words.puzzle_done)).to_be_visible(timeout=30_000)
        page.get_by_role("button", name=self.words.start).click()

    def wait_until_ready(self, page: Page) -> None:
        expect(page.get_by_role("heading", name=self.words.ready)).to_be_visible(timeout=FIRST_TIME_MILLISECONDS)

    def read_mail(self, page: Page) -> dict[str, str]:
        """Address, user name and password out of this person's welcome mail, as they stand in its text."""
        mails = page.get_by_role("link").filter(has_text=self.email)
        link = mails.filter(has_text=WELCOME).first
        # The mail leaves by a job of its own, a moment after the instance is ready.
        for _attempt in range(MAIL_SECONDS):
            page.goto("/mailbox")
            if link.is_visible():
                break
            page.wait_for_timeout(1000)
        link.click()
        page.locator("summary").click()
        text = page.locator(".mail-text").inner_text()
        address, name, password = re.findall(r"^[^:\n]*[:]\s(\S+)$", text, re.MULTILINE)[:3]
        return {"address": address, "user_name": name, "password": password}

    def sign_in_to_tryton(self, page: Page, user_name: str, password: str) -> None:
        dialog = page.locator(".modal-dialog:visible")
        dialog.locator("#login").fill(user_name)
        dialog.locator("#login").press("Enter")
        page.locator("input[type=password]:visible").fill(password)
        page.locator("input[type=password]:visible").press("Enter")
        expect(page.get_by_text(self.words.menu, exact=True)).to_be_visible(timeout=60_000)
