"""The PayPal simulator over HTTP: its interface, the customer's page, and what goes wrong on the way."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit

from tests import needs
from tests.simulators import paypal_pages
from tests.simulators.paypal import NAMES, Fault, PayPal, Refused, Seen, Sent
from tests.simulators.paypal_signing import pem

_ROUTES = (
    (r"POST /v2/checkout/orders", "create_order"),
    (r"GET /v2/checkout/orders/(?P<id>[A-Z0-9]{1,36})", "read_order"),
    (r"POST /v2/checkout/orders/(?P<id>[A-Z0-9]{1,36})/capture", "capture_order"),
    (r"GET /v2/payments/captures/(?P<id>\w+)", "read_capture"),
    (r"POST /v2/payments/captures/(?P<id>\w+)/refund", "refund_capture"),
    (r"GET /v2/payments/refunds/(?P<id>\w+)", "read_refund"),
    (r"GET /v3/vault/payment-tokens", "list_tokens"),
    (r"DELETE /v3/vault/payment-tokens/(?P<id>[\w-]+)", "delete_token"),
    (r"GET /v1/customer/disputes", "list_disputes"),
    (r"GET /v1/customer/disputes/(?P<id>[\w-]+)", "read_dispute"),
    (r"POST /v1/notifications/webhooks", "create_webhook"),
    (r"GET /v1/notifications/webhooks", "list_webhooks"),
    (r"GET /v1/notifications/webhooks/(?P<id>\w+)", "read_webhook"),
    (r"POST /v1/notifications/verify-webhook-signature", "verify"),
    (r"GET /v1/notifications/webhooks-events", "list_events"),
    (r"GET /v1/notifications/webhooks-events/(?P<id>[\w-]+)", "read_event"),
    (r"POST /v1/notifications/webhooks-events/(?P<id>[\w-]+)/resend", "resend_event"),
)
_JSON = "application/json"
# A message that was not taken comes again: here after moments, at PayPal for three days.
_AGAIN_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)


class _Handler(BaseHTTPRequestHandler):
    paypal: ClassVar[PayPal]
    protocol_version = "HTTP/1.1"

    def handle_one(self) -> None:
        # A connection that was cut is no reason to say so on standard error.
        try:
            self._answer()
        except ConnectionError:
            return
        except Exception as error:
            self.paypal.violations.append(f"the simulator broke on {self.command} {self.path}: {error!r}")
            raise

    do_GET = do_POST = do_PATCH = do_DELETE = handle_one

    def log_message(self, format: str, *args: Any) -> None:
        return

    def _answer(self) -> None:
        where = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = {name: values[-1] for name, values in parse_qs(where.query, keep_blank_values=True).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.command, where.path, query, headers, body)
        if where.path == "/checkoutnow":
            return self._page(seen)
        if where.path.startswith("/v1/notifications/certs/"):
            return self._certificate(where.path.rpartition("/")[2])
        return self._interface(seen)

    # --- the interface ----------------------------------------------------------------------------------

    def _interface(self, seen: Seen) -> None:
        paypal = self.paypal
        with paypal.state:
            paypal.seen.append(seen)
            fault = next((one for one in paypal.faults if re.search(one.line, seen.line)), None)
            if fault:
                paypal.faults.remove(fault)
        if fault and fault.kind == "cut":
            return self._hang_up()
        if fault and fault.kind.isdigit() and not fault.after:
            return self._send_error(seen, Refused(int(fault.kind), _issue_of(fault)))
        faults = self._request_faults(seen)
        try:
            if seen.line == "POST /v1/oauth2/token":
                status, content = paypal.token(seen)
            else:
                status, content = self._done(seen, faults)
        except Refused as refused:
            return self._broken(fault) if fault else self._send_error(seen, refused)
        if fault and fault.kind != "slow":
            return self._broken(fault, seen)
        if fault:
            time.sleep(fault.seconds)
        return self._send(seen, status, json.dumps(content).encode() if content is not None else b"")

    def _request_faults(self, seen: Seen) -> list[str]:
        if not self.paypal.checked:
            return []
        from tests.simulators import paypal_specs

        faults = paypal_specs.request_faults(
            seen.method,
            seen.path,
            query=seen.query,
            headers={name.title(): value for name, value in seen.headers.items()},
            body=seen.body,
            content_type=seen.headers.get("content-type", _JSON),
        )
        self.paypal.violations += faults
        return faults

    def _done(self, seen: Seen, faults: list[str]) -> tuple[int, Any]:
        paypal = self.paypal
        with paypal.state:
            paypal.admit(seen)
            if seen.method == "POST" and seen.headers.get("content-type", "").split(";")[0] != _JSON:
                raise Refused(415)
            try:
                seen.json  # noqa: B018 whether it can be read
            except ValueError:
                raise Refused(400, "MALFORMED_REQUEST_JSON") from None
            if faults:
                raise Refused(400, "INVALID_PARAMETER_SYNTAX")
            for pattern, name in _ROUTES:
                if match := re.fullmatch(pattern, seen.line):
                    status, content = getattr(paypal, name)(seen, **match.groupdict())
                    return status, content
        raise Refused(404, "INVALID_RESOURCE_ID")

    def _send_error(self, seen: Seen, refused: Refused) -> None:
        content = error_body(seen.path, refused, checked=self.paypal.checked)
        self._send(seen, refused.status, json.dumps(content).encode())

    def _send(self, seen: Seen, status: int, payload: bytes, content_type: str = _JSON) -> None:
        if self.paypal.checked and seen.path != "/checkoutnow":
            from tests.simulators import paypal_specs

            self.paypal.violations += paypal_specs.response_faults(seen.method, seen.path, status, payload)
        self._write(status, payload, content_type)

    def _write(self, status: int, payload: bytes, content_type: str, **headers: str) -> None:
        self.send_response_only(status)
        self.send_header("Date", format_datetime(self.paypal.now, usegmt=True))
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(payload)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def _broken(self, fault: Fault, seen: Seen | None = None) -> None:
        if fault.kind == "html":
            return self._write(200, b"<html><body>Maintenance</body></html>", "text/html")
        if fault.kind == "empty":
            return self._write(200, b"{}", _JSON)
        if fault.kind.isdigit() and seen is not None:
            return self._send_error(seen, Refused(int(fault.kind), _issue_of(fault)))
        return self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _certificate(self, name: str) -> None:
        found = self.paypal.certificates.get(name)
        if found is None:
            return self._write(404, b"", "text/plain")
        return self._write(200, pem(found).encode(), "application/x-pem-file")

    # --- the customer's page ----------------------------------------------------------------------------

    def _page(self, seen: Seen) -> None:
        form = {name: values[-1] for name, values in parse_qs(seen.body.decode()).items()}
        order = self.paypal.orders.get(seen.query.get("token") or form.get("token", ""))
        if order is None:
            return self._write(404, paypal_pages.GONE.encode(), "text/html; charset=utf-8")
        choice = form.get("choice", "")
        if seen.method != "POST" or choice == "close":
            page = paypal_pages.closed(order) if choice == "close" else paypal_pages.approval(order)
            return self._write(200, page.encode(), "text/html; charset=utf-8")
        if choice == "cancel":
            return self._write(303, b"", "text/plain", Location=_with(order.context["cancel_url"], token=order.id))
        self.paypal.approve(order, *([choice] if choice != "approve" else []))
        target = _with(order.context["return_url"], token=order.id, PayerID=order.payer_id)
        return self._write(303, b"", "text/plain", Location=target)


def _with(url: str, **more: str) -> str:
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(more)}"


def _issue_of(fault: Fault) -> str:
    return "PREVIOUS_REQUEST_IN_PROGRESS" if fault.kind == "409" else ""


def error_body(path: str, refused: Refused, *, checked: bool) -> dict[str, Any]:
    """PayPal's error shape. The texts are those of the documents, which allow no others."""
    texts: dict[str, str] = {}
    content: dict[str, Any] = {"name": NAMES.get(refused.status, "UNSUPPORTED_MEDIA_TYPE")}
    if checked:
        from tests.simulators import paypal_specs

        texts = paypal_specs.descriptions(path, refused.status)
        content |= paypal_specs.frame(path, refused.status)
    content["debug_id"] = secrets.token_hex(7)
    if refused.issue:
        described = {"description": texts[refused.issue]} if refused.issue in texts else {}
        content["details"] = [{"issue": refused.issue, **described}]
    if refused.links:
        content["links"] = refused.links
    return content


def send(paypal: PayPal, sent: Sent) -> int:
    """Delivers a message once, signed anew; the status it was answered with, 0 for none."""
    headers = {name.title(): value for name, value in paypal.headers(sent.body).items()}
    asked = urllib.request.Request(paypal.webhook_url, data=sent.body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            status: int = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    except OSError:
        status = 0
    sent.attempts.append(status)
    return status


def _send_until_taken(paypal: PayPal, sent: Sent) -> None:
    for pause in (0.0, *_AGAIN_SECONDS):
        time.sleep(pause)
        if 200 <= send(paypal, sent) < 300:
            return


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 50

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is part of the game."""


@contextlib.contextmanager
def serving(paypal: PayPal, *, port: int = 0) -> Iterator[PayPal]:
    """The server on the loopback interface: plain for the interface and the pages, HTTPS for its certificates."""
    handler = type("Handler", (_Handler,), {"paypal": paypal})
    plain, secure = _Server(("127.0.0.1", port), handler), _Server(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    paypal.signing.server.load_into(context)
    secure.socket = context.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
    paypal.url = f"http://127.0.0.1:{plain.server_address[1]}"
    paypal.secure_url = f"https://127.0.0.1:{secure.server_address[1]}"
    paypal.deliver = lambda sent: threading.Thread(target=_send_until_taken, args=(paypal, sent), daemon=True).start()
    for server in (plain, secure):
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield paypal
    finally:
        for server in (plain, secure):
            server.shutdown()
            server.server_close()


def settings_of(paypal: PayPal, **changes: str) -> dict[str, str]:
    """What an operator would enter to use it."""
    return {
        "client_id": paypal.client_id,
        "client_secret": paypal.secret,
        "webhook_id": paypal.webhook_id,
        "base_url": paypal.url,
        "trusted_hosts": paypal.secure_url.removeprefix("https://"),
        "trusted_ca": pem(paypal.signing.authority.certificate),
        **changes,
    }


@contextlib.contextmanager
def by_hand(*, site: str, port: int) -> Iterator[tuple[dict[str, str], list[str]]]:
    """For a person who tries the checkout of the installation at `site`."""
    paypal = PayPal(webhook_url=f"{site}/webhooks/paypal", delivers=True, checked=_documents_are_there())
    with serving(paypal, port=port):
        steps = [
            f"Open {site}/pricing, order a plan in euros and choose PayPal.",
            f"On the page of the simulated PayPal ({paypal.url}) click what the customer should do.",
            "Come back: the space is created as soon as the money has arrived.",
        ]
        yield settings_of(paypal), steps


def _documents_are_there() -> bool:
    with contextlib.suppress(ImportError):
        import openapi_core  # noqa: F401 whether it is installed

        return not needs.missing("specs")
    return False
