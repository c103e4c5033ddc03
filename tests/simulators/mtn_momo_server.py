"""The simulator of MTN as a server: its API, and the page of the telephone that rings."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.simulators.mtn_momo import Momo, Push, Seen

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Telephone</title>
<meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="3">
<style>body{{font:16px/1.5 system-ui;max-width:34rem;margin:1rem auto;padding:0 1rem;color-scheme:light dark}}
article{{border:1px solid #8886;border-radius:12px;padding:1rem;margin:1rem 0}}h2{{margin:0;font-size:1.25rem}}
button{{font:inherit;padding:.5rem .75rem;margin:.25rem .25rem 0 0;min-height:44px}}</style>
<h1>The payer’s telephone</h1><p>{environment}, {currency}. No money moves.</p>{rows}</html>"""
_BUTTONS = (
    ("approve", "Approve with PIN"),
    ("approve20", "Approve in 20 s"),
    ("refuse", "Refuse"),
    ("no_money", "Balance too low"),
    ("ignore", "Let it lapse"),
)


def _page(momo: Momo) -> str:
    rows = "".join(_ringing(push) for push in reversed(momo.pushes.values())) or "<p>No request to pay yet.</p>"
    return _PAGE.format(rows=rows, environment=escape(momo.environment), currency=escape(momo.currency))


def _ringing(push: Push) -> str:
    body = push.body
    head = f"<h2>{escape(body['amount'])} {escape(body['currency'])}</h2>"
    about = f"<p>{escape(push.number)}: {escape(body['payerMessage'])}<br>{push.status} {push.reason}</p>"
    if push.status != "PENDING":
        return f"<article>{head}{about}</article>"
    buttons = "".join(f'<button name="answer" value="{value}">{text}</button>' for value, text in _BUTTONS)
    hidden = f'<input type="hidden" name="reference" value="{escape(push.reference)}">'
    return f'<article>{head}{about}<form method="post" action="/phone">{hidden}{buttons}</form></article>'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    momo: Momo

    def handle_one(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/phone") or self.path == "/":
            self._telephone(raw)
            return
        seen = Seen(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, raw)
        with contextlib.suppress(ValueError):
            seen.body = json.loads(raw) if raw else None
        self.momo.seen.append(seen)
        answer = self.momo.answer(seen, self.client_address[0])
        self.close_connection = True
        if answer is not None:
            self._write(*answer, "application/json")

    do_GET = do_POST = do_PUT = do_DELETE = handle_one

    def _telephone(self, raw: bytes) -> None:
        if self.command != "POST":
            self._write(200, _page(self.momo).encode(), "text/html; charset=utf-8")
            return
        self.momo.click(parse_qs(raw.decode()))
        self.send_response(303)
        self.send_header("Location", "/phone")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _write(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        if body:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        return


@contextlib.contextmanager
def serving(momo: Momo, *, port: int = 0, host: str = "127.0.0.1") -> Iterator[Momo]:
    """The server, on a free port unless one is named; what comes due by the clock happens by itself."""
    server = ThreadingHTTPServer((host, port), type("Handler", (_Handler,), {"momo": momo}))
    server.daemon_threads = True
    momo.url = f"http://{host}:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(0.2):
            momo.settle()

    threading.Thread(target=tick, daemon=True).start()
    try:
        yield momo
    finally:
        ended.set()
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def judged(**options: Any) -> Iterator[Momo]:
    """A running simulator whose every exchange is held to MTN's documents."""
    from tests.simulators import mtn_momo_specs

    with serving(Momo(judge=mtn_momo_specs.faults, **options)) as momo:
        yield momo


@contextlib.contextmanager
def by_hand(*, site: str, port: int) -> Iterator[tuple[dict[str, str], list[str]]]:
    """For a person who tries the checkout of the installation at `site` from Cameroon, and holds the telephone."""
    momo = Momo(environment="mtncameroon")
    with serving(momo, port=port):
        steps = [
            f"Open {site}/pricing?currency=XAF, order a plan from Cameroon and choose MTN Mobile Money.",
            "Pay with any MTN number of Cameroon, such as +237 6 71 23 45 67.",
            f"The telephone rings at {momo.url}/phone: approve or refuse there, and watch the order’s page.",
        ]
        yield momo.settings(callback_host=urlsplit(site).hostname or ""), steps
