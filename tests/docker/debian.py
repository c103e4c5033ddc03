"""Debian 12 from the package sources this machine is configured with, where no image can be pulled."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SUITE = "bookworm"
PACKAGES = ("ca-certificates", "python3")
APT = Path("/etc/apt")
# Where a root tree would remember the machine it was made on.
TRACES = (
    "etc/apt/sources.list",
    "etc/resolv.conf",
    "etc/hostname",
    "var/log/*",
    "var/cache/apt/*",
    "var/lib/apt/lists/*",
)
# An image for tests is thrown away when it breaks, and nobody reads manuals in it.
DPKG = """force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/locale/*
"""


class NoDebian(Exception):
    """This machine cannot make Debian root trees; the text says why."""


@dataclass(frozen=True)
class Source:
    """One place packages come from: `deb [options] uri suite components`."""

    uri: str
    suite: str
    components: str
    options: str = ""

    def line(self) -> str:
        return f"deb {self.options and f'[{self.options}] '}{self.uri} {self.suite} {self.components}\n"


def sources() -> list[Source]:
    """This machine's own sources of Debian packages, turned to SUITE. Raises NoDebian when it has none."""
    own = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    parts = APT / "sources.list.d"
    found = []
    for file in filter(Path.is_file, [APT / "sources.list", *parts.glob("*.list"), *parts.glob("*.sources")]):
        read = _deb822 if file.suffix == ".sources" else _one_line
        found += [
            Source(source.uri, source.suite.replace(own, SUITE, 1), source.components, source.options)
            for source in read(file.read_text(encoding="utf-8"))
            if re.fullmatch(rf"{own}(-updates|-security)?", source.suite) and "main" in source.components.split()
        ]
    if platform.freedesktop_os_release().get("ID") != "debian" or not any(one.suite == SUITE for one in found):
        raise NoDebian("the package sources of this machine have no Debian release in them")
    return found


def _deb822(text: str) -> Iterator[Source]:
    for stanza in re.split(r"\n\s*\n", text):
        lines = [line for line in stanza.splitlines() if not line.startswith("#")]
        fields = dict(re.findall(r"(?m)^([\w-]+):[ \t]*((?:.*)(?:\n[ \t]+.*)*)", "\n".join(lines)))
        if "deb" not in fields.get("Types", "").split() or fields.get("Enabled", "yes").strip().lower() == "no":
            continue
        options = " ".join(
            f"{name.lower()}={fields[name].strip()}" for name in ("Trusted", "Check-Valid-Until") if name in fields
        )
        for uri in fields["URIs"].split():
            for suite in fields["Suites"].split():
                yield Source(uri, suite, " ".join(fields.get("Components", "").split()), options)


def _one_line(text: str) -> Iterator[Source]:
    for options, uri, suite, components in re.findall(
        r"(?m)^deb[ \t]+(?:\[([^\]]*)\][ \t]+)?(\S+)[ \t]+(\S+)[ \t]*([^#\n]*)", text
    ):
        # The keys are those of the new tree.
        kept = " ".join(option for option in options.split() if option.startswith(("trusted=", "check-valid-until=")))
        yield Source(uri, suite, components.strip(), kept)


def root_tree(folder: Path) -> None:
    """Fills `folder` with a minimal Debian. Needs root, or sudo. Raises NoDebian."""
    if not shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        raise NoDebian("no debootstrap is installed (Debian: apt install debootstrap)")
    main = next(source for source in sources() if source.suite == SUITE)
    _as_root(
        ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(folder), main.uri],
    )
    traces = [str(path) for pattern in TRACES for path in folder.glob(pattern)]
    _as_root(["rm", "-rf", *traces])
    with tempfile.NamedTemporaryFile("w", prefix="parcelle-") as dpkg:
        dpkg.write(DPKG)
        dpkg.flush()
        _as_root(["install", "--mode=644", dpkg.name, str(folder / "etc/dpkg/dpkg.cfg.d/test-image")])


def remove_tree(folder: Path) -> None:
    _as_root(["rm", "-rf", "--one-file-system", str(folder)])


def archive(folder: Path) -> subprocess.Popen[bytes]:
    """The tree as a tar stream on the process's standard output."""
    return subprocess.Popen(_sudo(["tar", "--create", "--directory", str(folder), "."]), stdout=subprocess.PIPE)


def _as_root(command: list[str]) -> None:
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    done = subprocess.run(_sudo(command), env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoDebian(f"{command[0]} failed: {(done.stdout + done.stderr)[-1500:]}")


def _sudo(command: list[str]) -> list[str]:
    return command if os.geteuid() == 0 else ["sudo", "--non-interactive", *command]
