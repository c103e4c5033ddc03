"""Claim: `parcelle up` to the first page takes 8 s or less once installed and set up.

The first start of a home (creating the database and its tables) is measured too, and printed as it is.
Run: `.venv/bin/python bench/startup.py`
"""

from __future__ import annotations

import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from harness import claim, percentile, running_system

STARTS = 5
SECONDS = 8.0


def main() -> bool:
    with tempfile.TemporaryDirectory(prefix="parcelle-bench-") as folder:
        home = Path(folder)
        first = start(home)
        later = [start(home) for _ in range(STARTS)]
    print(f"first start of a new home: {first:.1f} s")
    worst = max(later)
    return claim(
        f"`parcelle up` to the first page: <= {SECONDS:.0f} s",
        f"p50 {percentile(later, 50):.1f} s, worst of {STARTS} {worst:.1f} s",
        worst <= SECONDS,
    )


def start(home: Path) -> float:
    begun = time.monotonic()
    with running_system(home, PARCELLE_DEMO="0") as (address, _home):
        with urllib.request.urlopen(f"{address}/trial", timeout=30) as page:
            page.read()
        return time.monotonic() - begun


if __name__ == "__main__":
    sys.exit(not main())
