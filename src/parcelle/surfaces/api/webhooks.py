"""`/webhooks/<gateway>`: where payment services send their messages. Stored, acknowledged, dealt with later.

2xx only for what is stored: whatever goes wrong before, the service sends it again. `Door` is what the web server
runs: it takes messages before Django sees them, and those that come at once together. `receive` is the same for what
runs Django without it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from http import HTTPStatus

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port, validate_host
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from parcelle.core import context
from parcelle.core.context import Platform
from parcelle.core.threaded import Gone, Receive, Scope, Send
from parcelle.core.together import Together
from parcelle.domain.billing import intake
from parcelle.domain.billing.intake import MOST_BYTES, Apart, Incoming, Refusal, Verdict
from parcelle.domain.billing.models import GatewayEvent

logger = structlog.get_logger(__name__)

METHODS = ("POST", "PUT")
# How many are stored with one statement, and how much of them the house holds in memory, in bytes.
MOST_TOGETHER = 200
MOST_HELD = 64 * 1024 * 1024
# Messages that their service may have to be asked about: so many at once, and so many that wait for that.
ASKING, WAITING = 4, 64
_STATUS = {
    Refusal.NOBODYS: HTTPStatus.NOT_FOUND,
    Refusal.FORGED: HTTPStatus.BAD_REQUEST,
    Refusal.UNSURE: HTTPStatus.SERVICE_UNAVAILABLE,
    Refusal.NOT_STORED: HTTPStatus.SERVICE_UNAVAILABLE,
}


@csrf_exempt
@require_http_methods(METHODS)
def receive(request: HttpRequest, gateway: str, path: str = "") -> HttpResponse:
    if int(request.headers.get("Content-Length") or 0) > MOST_BYTES:
        return HttpResponse(status=413)
    headers = {**{name.lower(): value for name, value in request.headers.items()}, ":path": path}
    message = Incoming(gateway=gateway, headers=headers, body=request.body, at=timezone.now())
    (verdict,) = intake.take_in([message])
    if isinstance(verdict, Apart):
        verdict = _stored(verdict.judge())
    return HttpResponse(status=_status(verdict))


def _stored(judged: GatewayEvent | Refusal) -> Verdict:
    return judged if isinstance(judged, Refusal) else intake.take_in([judged])[0]


def _status(verdict: Verdict) -> HTTPStatus:
    assert not isinstance(verdict, Apart)
    return _STATUS[verdict] if isinstance(verdict, Refusal) else HTTPStatus.OK


def _take_in(messages: Sequence[Incoming | GatewayEvent]) -> Sequence[Verdict]:
    with context.platform(Platform.GATEWAYS):
        return intake.take_in(messages)


def _judge(apart: Apart) -> GatewayEvent | Refusal:
    with context.platform(Platform.GATEWAYS):
        return apart.judge()


# --- before Django ------------------------------------------------------------------------------------------

Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_ADDRESS = re.compile(r"/webhooks/(?P<gateway>[-a-zA-Z0-9_]+)(?:/(?P<path>[^/]+))?")


class TooMuch(Exception):
    """`status` says whether the message is too large, or all of them together are."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Door:
    """Answers for `/webhooks/...` on the site's own hosts; everything else is the site's."""

    def __init__(self, site: Application) -> None:
        self.site = site
        self.together = Together[Incoming | GatewayEvent, Verdict](
            _take_in, most=MOST_TOGETHER, name="gateway-messages"
        )
        self.askers = ThreadPoolExecutor(ASKING, thread_name_prefix="genuine")
        self.asking = 0
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = _ADDRESS.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if address is None:
            return await self.site(scope, receive, send)
        headers = _headers(scope)
        if not _is_one_of(tuple(settings.ALLOWED_HOSTS), headers.get("host", "")):
            return await self.site(scope, receive, send)
        if scope["method"] not in METHODS:
            return await _answer(send, HTTPStatus.METHOD_NOT_ALLOWED, (b"allow", ", ".join(METHODS).encode()))
        body = bytearray()
        try:
            await self._read(receive, headers, body)
            headers[":path"] = address["path"] or ""
            message = Incoming(gateway=address["gateway"], headers=headers, body=bytes(body), at=timezone.now())
            await _answer(send, await self._status_of(message))
        except TooMuch as refused:
            await _answer(send, refused.status)
        except Gone:
            pass
        finally:
            self.held -= len(body)

    async def _read(self, receive: Receive, headers: Mapping[str, str], body: bytearray) -> None:
        """Raises TooMuch before more than that was read, and Gone. What is in `body` counts as held."""
        if int(headers.get("content-length") or 0) > MOST_BYTES:
            raise TooMuch(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        more = True
        while more:
            event = await receive()
            if event["type"] == "http.disconnect":
                raise Gone
            part = event.get("body", b"")
            body += part
            self.held += len(part)
            if len(body) > MOST_BYTES:
                raise TooMuch(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            if self.held > MOST_HELD:
                raise TooMuch(HTTPStatus.SERVICE_UNAVAILABLE)
            more = event.get("more_body", False)

    async def _status_of(self, message: Incoming) -> HTTPStatus:
        verdict = await self.together.ask(message)
        if isinstance(verdict, Apart):
            judged = await self._judge(verdict)
            verdict = judged if isinstance(judged, Refusal) else await self.together.ask(judged)
        return _status(verdict)

    async def _judge(self, apart: Apart) -> GatewayEvent | Refusal:
        if self.asking >= WAITING:
            return Refusal.UNSURE
        self.asking += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.askers, _judge, apart)
        finally:
            self.asking -= 1


def _headers(scope: Scope) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]},{text}" if key in found else text
    return found


@lru_cache(maxsize=64)
def _is_one_of(hosts: tuple[str, ...], host: str) -> bool:
    domain, _port = split_domain_port(host)
    return bool(domain) and validate_host(domain, hosts)


async def _answer(send: Send, status: HTTPStatus, *headers: tuple[bytes, bytes]) -> None:
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers = (*headers, (b"retry-after", b"5"))
    await send({"type": "http.response.start", "status": int(status), "headers": [*headers, (b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
