"""Two browsers: an owner invites, the other accepts in French and sees what a viewer may see and nothing else."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitor import FRENCH, MAIL_SECONDS, Person

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
Visit = Callable[..., Page]


def invitation_of(page: Page, email: str) -> str:
    """The address in the mail, which leaves by a job of its own."""
    link = page.get_by_role("link").filter(has_text=email).filter(has_text="vous invite").first
    for _attempt in range(MAIL_SECONDS):
        page.goto("/mailbox")
        if link.is_visible():
            break
        page.wait_for_timeout(1000)
    link.click()
    page.locator("summary").click()
    found = re.search(r"/invitations/\S+", page.locator(".mail-text").inner_text())
    assert found
    return found[0]


def test_an_owner_invites_and_the_other_sees_what_a_viewer_may_see(visit: Visit) -> None:
    awa, noa = Person(FRENCH), f"{uuid.uuid4().hex[:10]}@example.com"
    owner = visit("/trial")
    awa.fill_in(owner)
    awa.send(owner)
    owner.wait_for_url("**/deployments/*")
    owner.goto("/team")
    # By keyboard alone.
    owner.get_by_label("E-mail", exact=True).focus()
    owner.keyboard.type(noa)
    owner.keyboard.press("Tab")
    expect(owner.get_by_label("Rôle", exact=True)).to_be_focused()
    expect(owner.get_by_label("Rôle", exact=True)).to_have_value("viewer")
    owner.keyboard.press("Tab")
    owner.keyboard.press("Enter")
    expect(owner.get_by_text(f"Une invitation est en route vers {noa}")).to_be_visible()

    other = visit(invitation_of(owner.context.new_page(), noa), viewport={"width": 360, "height": 800})
    expect(other.get_by_role("heading", name=f"Rejoindre {awa.company}")).to_be_visible()
    other.get_by_label("Prénom", exact=True).fill("Noa")
    other.get_by_label("Nom", exact=True).fill("Ba")
    other.get_by_label("Choisir un mot de passe").fill("un-tres-bon-mot-de-passe")
    other.get_by_role("button", name="Créer mon compte et rejoindre").click()
    expect(other.get_by_text(f"Bienvenue chez {awa.company}")).to_be_visible()
    expect(other.get_by_role("heading", name="Tryton")).to_be_visible()
    expect(other.get_by_role("link", name="Accès")).to_have_count(0)

    other.goto("/team")
    assert other.evaluate("document.documentElement.scrollWidth") <= 360
    expect(other.get_by_text(awa.email)).to_be_visible()
    for name in ("Envoyer l’invitation", "Modifier", "Révoquer"):
        expect(other.get_by_role("button", name=name)).to_have_count(0)

    owner.goto("/team")
    expect(owner.get_by_label("Rôle de Noa Ba")).to_have_value("viewer")
