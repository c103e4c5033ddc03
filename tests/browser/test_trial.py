"""The main job as a visitor lives it: a form, a moment of waiting, and their own ERP."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

import pytest
from playwright.sync_api import Page, expect

from parcelle.domain.provisioning.providers.process import ProcessProvider
from parcelle.domain.provisioning.workflows import WORKFLOWS
from tests.browser.site import workers_stopped
from tests.browser.visitor import ENGLISH, FRENCH, Person

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1200)]
Visit = Callable[..., Page]


# Notes what the page shows whenever that changes: the bar, and each step with its state and duration.
WATCH = """
window.seen = [];
new MutationObserver(() => {
    const place = document.getElementById("progress");
    if (!place) return;
    const bar = place.querySelector("progress.bar");
    const steps = [...place.querySelectorAll("#progress > div > ol > li > .step")].map((step) => [
        step.className.replace("step step-", ""), step.querySelector(".step-time").textContent.trim(),
    ]);
    const now = JSON.stringify({bar: bar && bar.value, steps});
    if (window.seen.at(-1) !== now) window.seen.push(now);
}).observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
"""
_PROVIDER: Any = ProcessProvider
STEPS_OF_A_CREATION = len(WORKFLOWS["create"].steps(_PROVIDER))


def check_what_was_seen(seen: list[str]) -> None:
    """The bar said at each moment what part of the steps was over, and each of these how long it took."""
    moments = [json.loads(moment) for moment in seen]
    bars = []
    for moment in moments:
        if moment["bar"] is None or not moment["steps"]:
            continue
        # Steps that are not needed are not shown, and count as done.
        left_out = STEPS_OF_A_CREATION - len(moment["steps"])
        done = [duration for state, duration in moment["steps"] if state == "succeeded"]
        assert moment["bar"] == round(100 * (left_out + len(done)) / STEPS_OF_A_CREATION), moment
        assert all(re.search(r"\d.*s", duration) for duration in done), moment
        bars.append(moment["bar"])
    assert bars and bars[0] == 0 and bars == sorted(bars)
    assert len(set(bars)) > 1, "nothing was seen of the way"


def test_a_french_visitor_gets_an_erp_and_signs_in_with_the_mailed_password(visit: Visit, site: str) -> None:
    awa = Person(FRENCH)
    page = visit("/")
    page.get_by_role("link", name=FRENCH.start).click()
    awa.fill_in(page)
    page.context.add_init_script(WATCH)
    with workers_stopped(site):
        awa.send(page)
        page.wait_for_url("**/deployments/*")
        expect(page.locator(".step-title", has_text="Ouverture de votre adresse")).to_be_visible()
        expect(page.locator("progress.bar")).to_have_attribute("value", "0")
    awa.wait_until_ready(page)
    expect(page.locator("#progress-aloud")).to_have_text("Votre application est prête.")
    check_what_was_seen(page.evaluate("window.seen"))
    shown = page.locator("#access-password").inner_text()

    mailed = awa.read_mail(page.context.new_page())
    assert mailed["password"] == shown
    with page.expect_popup() as opened:
        page.get_by_role("link", name=FRENCH.open).click()
    awa.sign_in_to_tryton(opened.value, mailed["user_name"], mailed["password"])
    # Nobody is told which other databases there are.
    asked = page.request.post(
        urljoin(mailed["address"], "/rpc/"), data={"id": 1, "method": "common.db.list", "params": []}
    )
    assert asked.status == 403, asked.text()

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
