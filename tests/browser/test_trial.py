"""The main job as a visitor lives it: a form, a moment of waiting, and their own ERP."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitor import ENGLISH, FRENCH, Person

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1200)]
Visit = Callable[..., Page]


def test_a_french_visitor_gets_an_erp_and_signs_in_with_the_mailed_password(visit: Visit) -> None:
    awa = Person(FRENCH)
    page = visit("/")
    page.get_by_role("link", name=FRENCH.start).click()
    awa.fill_in(page)
    awa.send(page)
    page.wait_for_url("**/deployments/*")
    awa.wait_until_ready(page)
    expect(page.locator("#progress-aloud")).to_have_text("Votre application est prête.")
    shown = page.locator("#access-password").inner_text()

    mailed = awa.read_mail(page.context.new_page())
    assert mailed["password"] == shown
    with page.expect_popup() as opened:
        page.get_by_role("link", name=FRENCH.open).click()
    awa.sign_in_to_tryton(opened.value, mailed["user_name"], mailed["password"])

    page.goto("/dashboard")
    expect(page.get_by_text("30 jours d’essai restants")).to_be_visible()


def test_an_english_visitor_makes_mistakes_first(visit: Visit) -> None:
    sam = Person(ENGLISH, first_name="Sam", last_name="Field", company="Field & Sons", phone="12")
    page = visit("/trial", locale=ENGLISH.locale)
    expect(page.get_by_text(ENGLISH.puzzle_done)).to_be_visible(timeout=30_000)

    # Nothing filled in: said at once, without asking the server, and the first field has the focus.
    page.get_by_role("button", name=ENGLISH.start).click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Please fill in all required fields")
    expect(alert).to_contain_text("Please accept the terms and conditions")
    expect(page.get_by_label(ENGLISH.last_name, exact=True)).to_be_focused()
    assert page.locator("[aria-invalid=true]").count() == 6

    # A number that only the server can judge: everything that was typed is still there.
    sam.fill_in(page)
    sam.send(page)
    expect(page.get_by_text("This telephone number is not complete")).to_be_visible()
    expect(page.get_by_label(ENGLISH.company, exact=True)).to_have_value("Field & Sons")
    expect(page.get_by_label(ENGLISH.terms)).to_be_checked()

    page.get_by_label(ENGLISH.phone, exact=True).fill("+44 20 7946 0958")
    sam.send(page)
    page.wait_for_url("**/deployments/*")
    sam.wait_until_ready(page)
    mailed = sam.read_mail(page.context.new_page())
    with page.expect_popup() as opened:
        page.get_by_role("link", name=ENGLISH.open).click()
    sam.sign_in_to_tryton(opened.value, mailed["user_name"], mailed["password"])


def test_a_double_click_is_one_instance_and_the_same_customer_is_told(visit: Visit) -> None:
    person = Person(FRENCH)
    page = visit("/trial")
    person.fill_in(page)
    expect(page.get_by_text(FRENCH.puzzle_done)).to_be_visible(timeout=30_000)
    page.get_by_role("button", name=FRENCH.start).dblclick()
    page.wait_for_url("**/deployments/*")
    page.goto("/dashboard")
    assert page.locator(".space").count() == 1

    again = visit("/trial")
    person.fill_in(again)
    person.send(again)
    expect(again.get_by_role("alert")).to_contain_text("Vous avez déjà un abonnement actif (Essai)")


def test_with_the_keyboard_alone(visit: Visit) -> None:
    person = Person(FRENCH)
    page = visit("/trial")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Aller au contenu")).to_be_focused()
    page.keyboard.press("Enter")
    for text in (person.last_name, person.first_name, person.email, person.company, person.phone):
        page.keyboard.press("Tab")
        page.keyboard.type(text)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.get_by_text(FRENCH.puzzle_done)).to_be_visible(timeout=30_000)
    page.get_by_label(FRENCH.phone, exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/deployments/*")
    person.wait_until_ready(page)


def test_the_progress_needs_neither_the_stream_nor_a_reload(visit: Visit) -> None:
    """The stream is cut: the page asks by itself."""
    person = Person(FRENCH)
    page = visit("/trial")
    page.route("**/events", lambda route: route.abort())
    person.fill_in(page)
    person.send(page)
    page.wait_for_url("**/deployments/*")
    person.wait_until_ready(page)
    page.reload()
    expect(page.locator("#access-password")).to_be_visible()
