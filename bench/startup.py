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

from harness import claim, cpu_seconds, percentile, running_system

STARTS = 5
SECONDS = 8.0


def main() -> bool:
    with tempfile.TemporaryDirectory(prefix="parcelle-bench-") as folder:
        home = Path(folder)
        first, _spent = start(home)
        starts = [start(home) for _ in range(STARTS)]
    print(f"first start of a new home: {first:.1f} s")
    later = [seconds for seconds, _spent in starts]
    spent = percentile([spent for _seconds, spent in starts], 50)
    print(f"processor time of what is started, until the first page: {spent:.1f} s")
    worst = max(later)
    return claim(
        f"`parcelle up` to the first page: <= {SECONDS:.0f} s",
        f"p50 {percentile(later, 50):.1f} s, worst of {STARTS} {worst:.1f} s",
        worst <= SECONDS,
    )


def start(home: Path) -> tuple[float, float]:
    """Seconds until the first page was read, and of the processor that the started programs used for it."""
    begun = time.monotonic()
    with running_system(home, PARCELLE_DEMO="0") as (address, _home):
        with urllib.request.urlopen(f"{address}/trial", timeout=30) as page:
            page.read()
        taken = time.monotonic() - begun
        spent = sum(seconds for kind, seconds in cpu_seconds(home).items() if kind != "clients")
        return taken, spent


if __name__ == "__main__":
    sys.exit(not main())
