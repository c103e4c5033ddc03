"""A real Caddy for tests: a process with a folder, an admin socket and ports of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

from parcelle.core.http import OutsideError
from parcelle.domain.provisioning.ingress.caddy_api import Admin
from tests.loopback import free_port

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: str


class NoCertificate(Exception):
    """The server does not open a secure connection for this host."""


@dataclass
class Caddy:
    folder: Path
    http_port: int = field(default_factory=free_port)
    https_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def admin(self) -> str:
        return f"unix/{self.folder / 'admin.sock'}"

    @property
    def ca(self) -> Path:
        return self.folder / "data" / "pki/authorities/local/root.crt"

    @property
    def access_log(self) -> Path:
        return self.folder / "access.log"

    def start(self) -> None:
        """As after a power cut: with nothing but its admin address."""
        start = {
            "admin": {"listen": self.admin, "config": {"persist": False}},
            "storage": {"module": "file_system", "root": str(self.folder / "data")},
        }
        (self.folder / "start.json").write_text(json.dumps(start))
        with (self.folder / "caddy.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["caddy", "run", "--config", str(self.folder / "start.json")],
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
                stdout=log,
                stderr=log,
            )
        give_up = time.monotonic() + 20
        while not self.answers():
            assert time.monotonic() < give_up, (self.folder / "caddy.log").read_text()
            time.sleep(0.05)

    def answers(self) -> bool:
        try:
            return Admin(self.admin).request("GET", "/config/").status == 200
        except OutsideError:
            return False

    def stop(self, signum: signal.Signals = signal.SIGKILL) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signum)
            self.process.wait(20)

    def restart(self) -> None:
        self.stop()
        self.start()

    # --- visiting -----------------------------------------------------------------------------------------

    def get(self, host: str, path: str = "/", *, method: str = "GET", secure: bool = True, **headers: str) -> Answer:
        """Asks like a browser that resolved `host` to this machine; the certificate must be valid for it.

        Raises NoCertificate when the handshake is refused.
        """
        port = self.https_port if secure else self.http_port
        connection = _Secure(host, port, self.ca) if secure else HTTPConnection("127.0.0.1", port, timeout=10)
        sent = {
            "Host": f"{host}:{port}",
            "User-Agent": BROWSER,
            "Accept": "text/html",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        try:
            connection.request(method, path, headers=sent)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read().decode())
        except ssl.SSLError as error:
            raise NoCertificate(str(error)) from error
        finally:
            connection.close()

    def wait_for(self, host: str, fine: Callable[[Answer], bool], *, seconds: float = 15) -> Answer:
        give_up = time.monotonic() + seconds
        while not fine(answer := self.get(host)):
            assert time.monotonic() < give_up, answer
            time.sleep(0.1)
        return answer

    def ids(self) -> list[str]:
        found = Admin(self.admin).request("GET", "/config/apps/http/servers/parcelle/routes")
        return [each.get("@id", "") for each in found.body] if found.status == 200 else []

    def settings(self, site: str) -> dict[str, object]:
        """What an installation is set to that uses this Caddy."""
        return {
            "INGRESS": "caddy",
            "APPS_DOMAIN": "apps.test",
            "SITE_ADDRESS": site,
            "EDGE_TLS": "internal",
            "EDGE_BIND": "127.0.0.1",
            "EDGE_HTTP_PORT": self.http_port,
            "EDGE_HTTPS_PORT": self.https_port,
            "EDGE_ADDRESS": f"127.0.0.1:{self.https_port}",
            "EDGE_CA": self.ca,
            "CADDY_ADMIN": self.admin,
            "CADDY_ACCESS_LOG": str(self.access_log),
        }


class _Secure(HTTPSConnection):
    """To this machine, whatever the name."""

    def __init__(self, host: str, port: int, ca: Path) -> None:
        super().__init__(host, port, timeout=10, context=ssl.create_default_context(cafile=str(ca)))

    def connect(self) -> None:
        self.sock = self._create_connection(("127.0.0.1", self.port), self.timeout)  # type: ignore[attr-defined]
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)  # type: ignore[attr-defined]


@contextmanager
def caddy() -> Iterator[Caddy]:
    folder = Path(tempfile.mkdtemp(prefix="parcelle-caddy-"))
    running = Caddy(folder)
    try:
        running.start()
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)
