"""A machine's own package sources, however they are written down."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from tests.docker import debian

ONE_LINE = """
# deb http://mirror.example/debian bookworm contrib
deb [arch=amd64 signed-by=/usr/share/keyrings/a.gpg trusted=yes] http://mirror.example/debian trixie main contrib # ours
deb http://mirror.example/security trixie-security main
deb-src http://mirror.example/debian trixie main
deb http://tools.example/apt stable main
"""
DEB822 = """\
Types: deb deb-src
# http://archive.example/20250520T000000Z
URIs: http://one.example/debian http://two.example/debian
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/a.gpg

Types: deb
URIs: http://off.example/debian
Suites: trixie
Components: main
Enabled: no

Types: deb
URIs: http://tools.example/
Suites: trixie
Components: tools
"""


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(debian, "APT", tmp_path)
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"ID": "debian", "VERSION_CODENAME": "trixie"})
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_one_line_sources_are_turned_to_the_release_of_the_images(apt: Path) -> None:
    (apt / "sources.list").write_text(ONE_LINE)
    assert [source.line() for source in debian.sources()] == [
        "deb [trusted=yes] http://mirror.example/debian bookworm main contrib\n",
        "deb http://mirror.example/security bookworm-security main\n",
    ]


def test_sources_in_stanzas_are_read_too(apt: Path) -> None:
    (apt / "sources.list.d" / "debian.sources").write_text(DEB822)
    assert [(source.uri, source.suite) for source in debian.sources()] == [
        ("http://one.example/debian", "bookworm"),
        ("http://one.example/debian", "bookworm-updates"),
        ("http://two.example/debian", "bookworm"),
        ("http://two.example/debian", "bookworm-updates"),
    ]


def test_a_machine_of_another_family_cannot_make_images(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (apt / "sources.list").write_text("deb http://mirror.example/ubuntu noble main\n")
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"ID": "ubuntu", "VERSION_CODENAME": "noble"})
    with pytest.raises(debian.NoDebian, match="no Debian release"):
        debian.sources()
