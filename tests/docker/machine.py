"""How this machine reaches packages (apt, pip, npm), lent to a container while an image is built.

It arrives as environment of single commands and as files below a temporary file system: nothing of it is part of what
`docker commit` keeps.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.docker import debian

INSIDE = "/tmp/lent"  # where `lend` appears in the container
CA_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
PASSED_ON = re.compile(r"(?i)(https?|ftp|all|no)_proxy|(pip|npm_config|uv)_\w+")
# What names a place of this machine, or would be wrong in another one.
KEPT_BACK = {
    f"PIP_{name}" for name in ("CERT", "CACHE_DIR", "TARGET", "PREFIX", "USER", "PYTHON", "REQUIRE_VIRTUALENV")
}
KEPT_BACK |= {"NPM_CONFIG_PREFIX", "NPM_CONFIG_CACHE"}


class Lent:
    """What a build container is started and its commands are run with."""

    # The first command in it; apt makes its folders itself only in its usual places.
    prepare = "mkdir -p /tmp/apt/lists/partial /tmp/apt/cache/archives/partial /tmp/apt/log"

    def __init__(self, folder: Path) -> None:
        """`folder` is empty and lives as long as the container."""
        self.folder = folder
        # path on this machine -> path in the container
        self.mounts: dict[str, str] = {str(folder): INSIDE}
        self.environment: dict[str, str] = {"DEBIAN_FRONTEND": "noninteractive", "HOME": "/tmp"}
        for name, value in os.environ.items():
            if PASSED_ON.fullmatch(name) and name.upper() not in KEPT_BACK:
                self.environment[name] = self._places(value)
        self._certificates()
        self._apt()
        self._pip()
        self._npm()

    def _certificates(self) -> None:
        bundle = os.environ.get("SSL_CERT_FILE") or next((path for path in CA_BUNDLES if Path(path).is_file()), "")
        if bundle:
            (self.folder / "ca.crt").write_bytes(Path(bundle).read_bytes())
            for name in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "npm_config_cafile"):
                self.environment[name] = f"{INSIDE}/ca.crt"

    def _apt(self) -> None:
        apt = self.folder / "apt"
        (apt / "parts").mkdir(parents=True)
        (apt / "sources.list").write_text("".join(source.line() for source in debian.sources()))
        dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
        own = [line for line in dump.splitlines() if line.startswith("Acquire::")]
        if (self.folder / "ca.crt").exists():
            own.append(f'Acquire::https::CaInfo "{INSIDE}/ca.crt";')
        secrets = [*sorted((debian.APT / "auth.conf.d").glob("*.conf")), debian.APT / "auth.conf"]
        (apt / "auth.conf").write_text("\n".join(path.read_text() for path in secrets if path.is_file()))
        (apt / "apt.conf").write_text(
            "\n".join(
                [
                    *own,
                    f'Dir::Etc::SourceList "{INSIDE}/apt/sources.list";',
                    f'Dir::Etc::SourceParts "{INSIDE}/apt/parts";',
                    f'Dir::Etc::Netrc "{INSIDE}/apt/auth.conf";',
                    'Dir::State::Lists "/tmp/apt/lists";',
                    'Dir::Cache "/tmp/apt/cache";',
                    'Dir::Log "/tmp/apt/log";',
                    'APT::Install-Recommends "false";',
                    'APT::Sandbox::User "root";',
                    "",
                ]
            )
        )
        self.environment["APT_CONFIG"] = f"{INSIDE}/apt/apt.conf"

    def _pip(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
        )
        for name, value in re.findall(r"(?m)^(?:global|install)\.([\w-]+)='(.*)'$", done.stdout):
            variable = f"PIP_{name.upper().replace('-', '_')}"
            if variable not in KEPT_BACK:
                words = value.replace("\\n", " ").strip()
                self.environment.setdefault(variable, self._places(words))
        self.environment["PIP_NO_CACHE_DIR"] = "1"
        self.environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
        self.environment["PIP_ROOT_USER_ACTION"] = "ignore"

    def _npm(self) -> None:
        own = Path(os.environ.get("npm_config_userconfig") or Path.home() / ".npmrc")  # noqa: SIM112 npm's own spelling
        (self.folder / "npmrc").write_text(own.read_text() if own.is_file() else "")
        self.environment["npm_config_userconfig"] = f"{INSIDE}/npmrc"
        self.environment["npm_config_omit_lockfile_registry_resolved"] = "true"
        self.environment["npm_config_update_notifier"] = "false"

    def _places(self, value: str) -> str:
        """`value` with every folder of this machine in it replaced by where the container will see that folder."""
        return " ".join(map(self._place, value.split()))

    def _place(self, word: str) -> str:
        scheme, path = ("file://", word.removeprefix("file://")) if word.startswith("file:///") else ("", word)
        if not path.startswith("/") or not Path(path).exists():
            return word
        # All of /opt for /opt/index/simple: an index of files refers to folders beside itself.
        top = f"/{Path(path).parts[1]}"
        return f"{scheme}{self.mounts.setdefault(top, f'/tmp/machine{top}')}{path.removeprefix(top)}"
