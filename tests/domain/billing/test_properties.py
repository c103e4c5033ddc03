"""Every property of money has a test by its name."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]


def test_p1_to_p29_have_tests_named_after_them() -> None:
    named = {
        int(number)
        for path in TESTS.rglob("test_*.py")
        for number in re.findall(r"def test_\w*?p(\d\d)_", path.read_text(encoding="utf-8"))
    }
    assert set(range(1, 30)) <= named
