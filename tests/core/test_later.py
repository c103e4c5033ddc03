"""What an integration brings along is loaded when somebody needs it, and not with the site."""

from __future__ import annotations

import subprocess
import sys

from parcelle.core.later import later
from parcelle.core.money import Money

# Large, and needed by few pages: together they took as long to load as Django.
HEAVY = ("stripe", "phonenumbers.carrier", "pypdf", "PIL.Image", "supervisor.xmlrpc", "docker", "cryptography.x509")


def test_it_is_called_with_what_it_was_given() -> None:
    assert later("parcelle.core.money:Money")(5, "EUR") == Money(5, "EUR")
    assert later("parcelle.core.money:Money.zero")("EUR") == Money.zero("EUR")


def test_the_site_starts_without_what_it_may_never_need() -> None:
    program = f"import sys, parcelle.config.asgi; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
