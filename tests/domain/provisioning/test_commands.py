"""What a worker that was killed leaves running on this machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from parcelle.domain.provisioning.providers.commands import end_leftovers

ENDLESS = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def begin() -> Iterator[Callable[[Path], subprocess.Popen[bytes]]]:
    begun: list[subprocess.Popen[bytes]] = []

    def start(folder: Path) -> subprocess.Popen[bytes]:
        folder.mkdir(parents=True, exist_ok=True)
        begun.append(subprocess.Popen(ENDLESS, cwd=folder))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.wait()


def test_what_works_in_the_folder_of_a_build_is_ended_and_nothing_else(
    tmp_path: Path, begin: Callable[[Path], subprocess.Popen[bytes]]
) -> None:
    build = tmp_path / "echo_1"
    here, below, beside = begin(build), begin(build / "template"), begin(tmp_path / "echo_10")
    end_leftovers(build)
    assert here.poll() is not None and below.poll() is not None
    assert beside.poll() is None


def test_a_folder_in_which_nothing_works_is_no_error(tmp_path: Path) -> None:
    end_leftovers(tmp_path / "never-made")
