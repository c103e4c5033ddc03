"""What is loaded before the web server's workers are copied from it."""

from __future__ import annotations

import subprocess
import sys

import pytest

# As `parcelle.config.web` does it, up to the moment in which the first worker is made.
LOADING = """
import threading
from django.db import connections
from parcelle.config import web
web.load()
import psutil, sys
print(threading.active_count())
print([one.alias for one in connections.all(initialized_only=True) if one.connection is not None])
print([one.status for one in psutil.Process().net_connections()])
print([name for name in ("click", "pygments", "rich") if name in sys.modules])
"""


@pytest.mark.slow
def test_nothing_is_open_that_copies_would_share() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOADING], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split("\n")[:4] == ["1", "[]", "[]", "[]"], done.stderr
