"""A picture of every page in every look: `make screens`, into var/screens/<width>-<light|dark>-<language>/.

Works on the installation that runs (`make run` in another terminal), or on the one that `--site` names.
A customer called "Captures" is signed up there the first time, through the form like everybody else.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from parcelle.config import environment
from tests.browser.chromium import browser
from tests.browser.visitor import FRENCH, Person

WIDTHS = (360, 768, 1280)
THEMES = ("light", "dark")
LANGUAGES = ("fr", "en")

VISITOR = {
    "home": "/",
    "pricing": "/pricing?currency=EUR",
    "pricing-yearly": "/pricing?currency=XAF&interval=year",
    "trial": "/trial",
    "contact": "/contact",
    "terms": "/cgv",
    "api-docs": "/api/docs",
    "sign-in": "/accounts/login/",
    "sign-in-by-code": "/accounts/login/code/",
    "forgotten-password": "/accounts/password/reset/",
    "forgotten-password-sent": "/accounts/password/reset/done/",
    "link-used": "/accounts/password/reset/key/1-abc/",
    "mailbox": "/mailbox",
    "nothing-there": "/nothing",
}
CUSTOMER = {
    "dashboard": "/dashboard",
    "billing": "/billing",
    "email-addresses": "/accounts/email/",
    "password": "/accounts/password/change/",
    "sign-out": "/accounts/logout/",
}
OPERATOR = {
    "back-office": "/admin/",
    "back-office-instances": "/admin/provisioning/instance/",
    "back-office-operations": "/admin/provisioning/operation/",
    "back-office-organizations": "/admin/tenancy/organization/",
    "back-office-subscriptions": "/admin/billing/subscription/",
    "back-office-facts": "/admin/core/fact/",
    "money-orders": "/admin/billing/order/",
    "money-payments": "/admin/billing/payment/",
    "money-refunds": "/admin/billing/refund/",
    "money-transfers": "/admin/billing/transfer/",
    "money-statements": "/admin/billing/statement/",
    "money-messages": "/admin/billing/gatewayevent/",
    "money-ways-to-pay": "/admin/billing/gatewaysettings/",
    "money-invoices": "/admin/billing/invoice/",
    "money-ledger": "/admin/billing/ledgertransaction/",
    "money-products": "/admin/catalog/product/",
    "money-plans": "/admin/catalog/plan/",
    "money-coupons": "/admin/catalog/coupon/",
    "money-coupon": "/admin/catalog/coupon/add/",
}
# The first row of a list, opened.
OPENED = {
    "money-order": "/admin/billing/order/",
    "money-payment": "/admin/billing/payment/",
    "money-transfer": "/admin/billing/transfer/",
    "money-way-to-pay": "/admin/billing/gatewaysettings/",
    "money-plan": "/admin/catalog/plan/",
}
CAPTURES = Person(FRENCH, email="captures@example.com", first_name="Camille", last_name="Photo", company="Captures")


def photograph_everything(site: str, folder: Path) -> int:
    """Returns how many pictures were taken."""
    with browser() as chromium:
        deployment, customer = _customer(chromium, site)
        operator = _operator(chromium, site)
        selling = _orders() | _register(chromium, site)
        taken = 0
        for width, theme, language in itertools.product(WIDTHS, THEMES, LANGUAGES):
            look = folder / f"{width}-{theme}-{language}"
            for state, pages in (
                (None, VISITOR | selling),
                (customer, CUSTOMER | {"deployment": deployment}),
                (operator, OPERATOR if operator else {}),
            ):
                with _look(chromium, site, width, theme, language, state) as context:
                    page = context.new_page()
                    for name, path in pages.items():
                        page.goto(path)
                        _shoot(page, look / f"{name}.png")
                        taken += 1
                    if state is None:
                        taken += _shoot_what_needs_a_click(page, look)
                    elif state == operator:
                        taken += _shoot_first_rows(page, look)
            print(look, flush=True)
    return taken


def _shoot_what_needs_a_click(page: Page, look: Path) -> int:
    page.goto("/trial")
    page.locator("form[data-trial] button[type=submit]").click()
    _shoot(page, look / "trial-mistakes.png")
    page.goto("/mailbox")
    page.locator(".mails a").filter(has_text="prêt").first.click()
    _shoot(page, look / "mail.png")
    return 2


def _shoot_first_rows(page: Page, look: Path) -> int:
    taken = 0
    for name, path in OPENED.items():
        page.goto(path)
        rows = page.locator("#result_list tbody th a")
        if rows.count():
            page.goto(rows.first.get_attribute("href") or path)
            _shoot(page, look / f"{name}.png")
            taken += 1
    return taken


def _shoot(page: Page, file: Path) -> None:
    # Fonts, icons and the puzzle arrive after the page itself.
    page.wait_for_load_state("load")
    page.evaluate("document.fonts.ready")
    page.wait_for_timeout(150)
    page.screenshot(path=file, full_page=True, animations="disabled")


@contextmanager
def _look(
    chromium: Browser, site: str, width: int, theme: str, language: str, state: Path | None
) -> Iterator[BrowserContext]:
    """A fresh browser profile with one look and, maybe, somebody signed in."""
    context = chromium.new_context(
        base_url=site,
        viewport=ViewportSize(width=width, height=800),
        color_scheme="dark" if theme == "dark" else "light",
        locale={"fr": "fr-FR", "en": "en-GB"}[language],
        storage_state=state,
    )
    try:
        yield context
    finally:
        context.close()


def _customer(chromium: Browser, site: str) -> tuple[str, Path]:
    """Signs the customer of the pictures up, or in when they are known; the path of their deployment."""
    context = chromium.new_context(base_url=site, locale="fr-FR")
    page = context.new_page()
    page.goto("/trial")
    CAPTURES.fill_in(page)
    CAPTURES.send(page)
    page.wait_for_load_state()
    if page.get_by_role("alert").is_visible():
        _sign_in_by_code(page)
        page.get_by_role("link", name="Accès").click()
    page.wait_for_url("**/deployments/*")
    expect(page.locator("[data-finished]")).to_be_attached(timeout=800_000)
    return page.url.removeprefix(site), _saved(context, "customer")


def _sign_in_by_code(page: Page) -> None:
    page.goto("/accounts/login/code/")
    page.get_by_label("E-mail").fill(CAPTURES.email)
    page.get_by_role("button", name="Envoyer le code").click()
    mailbox = page.context.new_page()
    mailbox.goto("/mailbox")
    mailbox.get_by_role("link").filter(has_text="Votre code de connexion").first.click()
    found = re.search(r"^([A-Z0-9-]{4,9})$", mailbox.locator(".mail-text").text_content() or "", re.MULTILINE)
    assert found, "the newest sign-in mail has no code"
    mailbox.close()
    page.get_by_label("Code").fill(found[1])
    page.get_by_role("button", name="Confirmer").click()
    page.wait_for_url("**/dashboard")


def _operator(chromium: Browser, site: str) -> Path | None:
    """Signs the operator of the embedded system in; None where their password is not known here."""
    email, password = map(environment.read, ("PARCELLE_OPERATOR_EMAIL", "PARCELLE_OPERATOR_PASSWORD"))
    if not (email and password):
        return None
    context = chromium.new_context(base_url=site, locale="fr-FR")
    page = context.new_page()
    page.goto("/accounts/login/?next=/admin/")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Mot de passe").fill(password)
    page.get_by_role("main").get_by_role("button", name="Se connecter").click()
    return _saved(context, "operator") if "/login" not in page.url else None


def _saved(context: BrowserContext, name: str) -> Path:
    file = environment.home() / "screens" / f".{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    context.storage_state(path=file)
    context.close()
    return file


def _register(chromium: Browser, site: str) -> dict[str, str]:
    """The order form of the plan that is recommended, if something is on sale."""
    context = chromium.new_context(base_url=site)
    page = context.new_page()
    page.goto("/pricing?currency=EUR")
    links = page.locator("a[href^='/register?price=']")
    path = links.nth(links.count() // 2).get_attribute("href") if links.count() else None
    context.close()
    return {"register": path} if path else {}


def _orders(what: str = "make") -> dict[str, str]:
    """One order in every state; none where the installation's database cannot be reached from here."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.browser.orders", what], capture_output=True, text=True, check=False
    )
    if done.returncode:
        print("no orders: " + (done.stderr.strip().splitlines() or ["unknown"])[-1], file=sys.stderr)
        return {}
    found: dict[str, str] = json.loads(done.stdout or "{}")
    return found


def _answers(site: str) -> bool:
    try:
        with urllib.request.urlopen(f"{site}/healthz", timeout=5):
            return True
    except OSError:
        return False


def main() -> int:
    port = environment.number("PARCELLE_PORT", 8000)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", default=environment.read("PARCELLE_PUBLIC_URL") or f"http://localhost:{port}")
    site = parser.parse_args().site.rstrip("/")
    if not _answers(site):
        print(f"Nothing answers at {site}: start it with `make run` in another terminal.", file=sys.stderr)
        return 1
    folder = environment.home() / "screens"
    try:
        taken = photograph_everything(site, folder)
    finally:
        _orders("forget")
        for state in folder.glob(".*.json"):
            state.unlink()
    print(f"{taken} pictures in {folder}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
