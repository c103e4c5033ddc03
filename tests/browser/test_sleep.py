"""`parcelle up` with Caddy in front: an instance by its name, asleep, and woken by the visitor who waits for it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests import needs
from tests.blueprints import write_echo
from tests.edge import BROWSER
from tests.installation import Installation, free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, pytest.mark.browser]
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installation(chromium: Browser) -> Iterator[Installation]:
    needs.require("caddy")
    with tempfile.TemporaryDirectory(prefix="parcelle-sleep-", ignore_cleanup_errors=True) as folder:
        write_echo(Path(folder) / "blueprints")
        made = Installation(
            Path(folder).resolve() / "home",
            PARCELLE_INGRESS="caddy",
            PARCELLE_EDGE_HTTP_PORT=str(free_port()),
            PARCELLE_EDGE_HTTPS_PORT=str(free_port()),
            PARCELLE_BLUEPRINTS=str(Path(folder) / "blueprints"),
            PARCELLE_FIRST_APPLICATION_PORT="29080",
        )
        try:
            made.up()
            assert "apps.localhost" in made.wait_for_panel()
            yield made
        finally:
            made.remove()


def run(installation: Installation, module: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=CHECKOUT,
        env={**installation.environment, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_asleep_and_woken_by_who_opens_it(installation: Installation, chromium: Browser) -> None:
    run(installation, "tests.crash.visitor", "echo")
    give_up = time.monotonic() + 90
    while (shown := json.loads(installation.run("instance", "show", "acme-fils", "--json").stdout))["state"] != "live":
        assert time.monotonic() < give_up, shown
        time.sleep(0.5)
    context = chromium.new_context(ignore_https_errors=True, user_agent=BROWSER, locale="fr-FR")
    page = context.new_page()
    answer = page.goto(shown["url"])
    assert answer and answer.status == 200
    assert "echo" in page.content()

    run(installation, "tests.browser.drowsy", "acme-fils")
    answer = page.goto(shown["url"])
    assert answer and answer.status == 503
    assert answer.headers["x-parcelle-page"] == "waking"
    assert page.get_by_role("heading").inner_text() == "echo démarre"
    # Nobody touches anything: the page looks again by itself.
    expect(page.locator("body")).to_contain_text('"application": "echo"', timeout=60_000)
    assert json.loads(installation.run("instance", "show", "acme-fils", "--json").stdout)["state"] == "live"
    context.close()


def test_caddy_ends_with_the_rest(installation: Installation) -> None:
    assert installation.stop() == 0
    installation.wait_until_nothing_runs(20)
