"""Caddy's admin API: one request, one answer, with the ETag that comes in the trailer.

The usual HTTP clients throw trailers away, and without the ETag two writers would overwrite each other.
The API has no authentication, so only a unix socket or this machine's own interface is ever spoken to.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import h11

from parcelle.core.http import OutsideError

CONNECT_SECONDS = 2.0
# A change returns when the new configuration serves; with thousands of routes that takes a moment.
ANSWER_SECONDS = 20.0


class NotLocal(ValueError):
    """The address is not one of this machine alone."""


@dataclass(frozen=True)
class Answer:
    """`body` is parsed JSON, or None; `etag` is what `If-Match` wants, empty when there is none."""

    status: int
    body: Any
    etag: str = ""

    @property
    def error(self) -> str:
        return str(self.body.get("error", "")) if isinstance(self.body, dict) else ""


class Admin:
    """`address` is `unix//path/to/socket` or `http://127.0.0.1:2019`."""

    def __init__(self, address: str) -> None:
        self.socket_path = address.removeprefix("unix/") if address.startswith("unix/") else ""
        # On a unix socket Caddy accepts only an empty Host.
        self.host, self.place = "", ("", 0)
        if not self.socket_path:
            where = urlsplit(address if "//" in address else f"http://{address}")
            name, port = where.hostname or "", where.port or 2019
            if name != "localhost" and not _is_loopback(name):
                raise NotLocal(
                    f"{address}: Caddy's admin API has no password, so it must be a unix socket or on this machine"
                )
            self.host, self.place = f"{name}:{port}", (name, port)

    def request(self, method: str, path: str, body: Any = None, *, if_match: str = "") -> Answer:
        """Raises OutsideError when there is no answer; unknown whether a change was made if it was sent."""
        try:
            connected = self._connect()
        except OSError as error:
            raise OutsideError("Caddy cannot be reached", unknown=False) from error
        with connected:
            connected.settimeout(ANSWER_SECONDS)
            try:
                return self._exchange(connected, method, path, body, if_match)
            except (OSError, h11.ProtocolError, ValueError) as error:
                raise OutsideError("Caddy did not answer in time", unknown=True) from error

    def _connect(self) -> socket.socket:
        if not self.socket_path:
            return socket.create_connection(self.place, CONNECT_SECONDS)
        connected = socket.socket(socket.AF_UNIX)
        try:
            connected.settimeout(CONNECT_SECONDS)
            connected.connect(self.socket_path)
        except OSError:
            connected.close()
            raise
        return connected

    def _exchange(self, connected: socket.socket, method: str, path: str, body: Any, if_match: str) -> Answer:
        payload = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = [("Host", self.host), ("Connection", "close"), ("Content-Length", str(len(payload)))]
        if payload:
            headers.append(("Content-Type", "application/json"))
        if if_match:
            headers.append(("If-Match", if_match))
        talk = h11.Connection(h11.CLIENT)
        request = h11.Request(method=method, target=path, headers=headers)
        sent = (talk.send(part) for part in (request, h11.Data(data=payload), h11.EndOfMessage()))
        connected.sendall(b"".join(filter(None, sent)))
        return _read(connected, talk)


def _read(connected: socket.socket, talk: h11.Connection) -> Answer:
    status, etag, parts = 0, "", []
    while True:
        event = talk.next_event()
        if event is h11.NEED_DATA:
            talk.receive_data(connected.recv(65536))
        elif isinstance(event, h11.Response):
            status, etag = event.status_code, _etag(event.headers)
        elif isinstance(event, h11.Data):
            parts.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            text = b"".join(parts).strip()
            # Caddy's own answers are JSON; what else answers there, a Go default page, is not.
            body = json.loads(text) if text[:1] in {b"{", b"[", b'"', b"n"} else None
            return Answer(status, body, etag or _etag(event.headers))
        elif isinstance(event, h11.ConnectionClosed):
            raise OSError("hung up")


def _etag(headers: Any) -> str:
    return next((value.decode("latin-1") for name, value in headers if name.lower() == b"etag"), "")


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
