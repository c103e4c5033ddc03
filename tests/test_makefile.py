"""`make install` on a machine without a usable Python says so in one sentence."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.needs import require

CHECKOUT = Path(__file__).resolve().parents[1]
SENTENCE = "Parcelle needs Python 3.12 or newer and found none"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with our Makefile and a path that leads to nothing else than a shell and make."""
    require("make")
    (tmp_path / "bin").mkdir()
    for program in ("make", "sh", "mkdir", "touch"):
        found = shutil.which(program)
        assert found
        (tmp_path / "bin" / program).symlink_to(found)
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(CHECKOUT / name, tmp_path)
    return tmp_path


def _install(machine: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "install"],
        cwd=machine,
        env={"PATH": str(machine / "bin"), "HOME": str(machine)},
        capture_output=True,
        text=True,
        check=False,
    )


def _program(machine: Path, name: str, text: str) -> None:
    path = machine / "bin" / name
    path.write_text(text)
    path.chmod(0o755)


def test_no_python_at_all(machine: Path) -> None:
    done = _install(machine)
    assert done.returncode
    assert SENTENCE in done.stderr
    assert not (machine / ".venv").exists()


def test_a_shim_without_a_version_behind_it_and_an_old_python_do_not_count(machine: Path) -> None:
    _program(machine, "python3.12", "#!/bin/sh\necho 'pyenv: python3.12: command not found' >&2\nexit 127\n")
    _program(machine, "python3", "#!/bin/sh\nexit 1\n")
    done = _install(machine)
    assert done.returncode
    assert SENTENCE in done.stderr
    assert "command not found" not in done.stderr


def test_a_python_without_venv_says_what_is_missing(machine: Path) -> None:
    _program(machine, "python3", '#!/bin/sh\ncase "$2" in *venv*) exit 1;; esac\nexit 0\n')
    done = _install(machine)
    assert done.returncode
    assert "has no venv module" in done.stderr
    assert "python3-venv" in done.stderr


def test_a_read_only_folder(machine: Path) -> None:
    require("mounts")
    python = machine / "python3"
    python.symlink_to(sys.executable)
    read_only = f"mount --bind {machine} {machine} && mount -o remount,ro,bind {machine}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"{read_only} && cd {machine} && make install PYTHON={python}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode
    assert "cannot be written: Parcelle installs itself into this folder" in done.stderr
    assert "Error 226" not in done.stderr


def test_a_full_disk_is_one_sentence(machine: Path) -> None:
    """A virtual environment with pip in it takes more than 6 MB."""
    require("mounts")
    (machine / ".venv").mkdir()
    small = f"mount -t tmpfs -o size=6m tmpfs {machine}/.venv"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"{small} && cd {machine} && make install PYTHON={sys.executable}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode
    assert "The disk is full: Parcelle takes about" in done.stderr
    assert "Traceback" not in done.stderr and "Errno" not in done.stderr


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Traceback (most recent call last):\\nOSError: [Errno 28] No space left on device", "The disk is full"),
        ("npm error code ENOSPC", "The disk is full"),
        ("no network today", "no network today"),
    ],
)
def test_what_a_program_says_about_a_full_disk_becomes_one_sentence(machine: Path, said: str, told: str) -> None:
    for name in ("df", "awk"):
        (machine / "bin" / name).symlink_to(shutil.which(name) or name)
    _program(machine, "python3", f'#!/bin/sh\ncase "$*" in *--clear*) printf "{said}" >&2; exit 1;; esac\nexit 0\n')
    done = _install(machine)
    assert done.returncode
    assert told in done.stderr
    assert "Traceback" not in done.stderr
