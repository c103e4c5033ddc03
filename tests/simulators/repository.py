"""A vendor's Git repository on the loopback interface, by Git's own server program behind a password."""

from __future__ import annotations

import base64
import contextlib
import http.server
import os
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

_IDENTITY = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in
             (("NAME", "Vendor"), ("EMAIL", "vendor@example.com"), ("DATE", "2026-01-01T00:00:00Z"))}  # fmt: skip


@dataclass
class Repository:
    """`url` is what a platform clones from; with a `password` only with it."""

    folder: Path
    url: str = ""
    user: str = "deploy"
    password: str = ""

    def commit(self, files: Path | dict[str, str], *, branch: str = "main") -> str:
        """Replaces the branch's content with a folder's or with texts by name; returns the commit."""
        self._git("checkout", "--quiet", "-B", branch)
        if isinstance(files, Path):
            shutil.copytree(files, self.folder, dirs_exist_ok=True)
        else:
            for name, text in files.items():
                (self.folder / name).write_text(text)
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", "--message", "as it should be")
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *words: str) -> str:
        environment = {**os.environ, **_IDENTITY, "GIT_CONFIG_GLOBAL": "/dev/null"}
        done = subprocess.run(
            ["git", "-C", str(self.folder), *words], check=True, capture_output=True, text=True, env=environment
        )
        return done.stdout


class _Handler(http.server.BaseHTTPRequestHandler):
    repository: ClassVar[Repository]

    def handle_one(self) -> None:
        repository = self.repository
        wanted = base64.b64encode(f"{repository.user}:{repository.password}".encode()).decode()
        if repository.password and self.headers.get("Authorization") != f"Basic {wanted}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="Git"')
            self.end_headers()
            return
        where = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        done = subprocess.run(
            ["git", "http-backend"],
            check=False,
            input=body,
            capture_output=True,
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(repository.folder.parent),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "safe.directory",
                "GIT_CONFIG_VALUE_0": "*",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": where.path,
                "QUERY_STRING": where.query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            },
        )
        head, _blank, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = handle_one

    def log_message(self, format: str, *args: Any) -> None:
        return


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


@contextlib.contextmanager
def serving(folder: Path, files: Path | dict[str, str], *, password: str = "") -> Iterator[Repository]:
    """A repository made in the empty `folder` with one commit on `main`."""
    place = folder / "vendor.git"
    place.mkdir()
    repository = Repository(place, password=password)
    repository._git("init", "--quiet", "--initial-branch", "main")
    repository.commit(files)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"repository": repository}))
    repository.url = f"http://127.0.0.1:{server.server_address[1]}/vendor.git/.git"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield repository
    finally:
        server.shutdown()
        server.server_close()
