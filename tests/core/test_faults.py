from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from parcelle.core import faults

HERE = "create.start:after"


def reach(mark: Path, *, crash_at: str) -> int:
    """The return code of a process that passes the fault point."""
    code = f"from parcelle.core import faults; faults.point({HERE!r})"
    environment = {"PARCELLE_CRASH_AT": crash_at, "PARCELLE_CRASH_MARK": str(mark)}
    return subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode


def test_without_the_variable_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PARCELLE_CRASH_AT", raising=False)
    faults.point(HERE)


def test_another_place_is_passed_unharmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELLE_CRASH_AT", "create.start:before")
    faults.point(HERE)


def test_the_named_place_kills_the_process_once_and_lets_its_successor_live(tmp_path: Path) -> None:
    assert reach(tmp_path / "mark", crash_at=HERE) == -signal.SIGKILL
    assert reach(tmp_path / "mark", crash_at=HERE) == 0
