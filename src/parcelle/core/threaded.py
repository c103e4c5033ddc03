"""Runs a synchronous site under an asynchronous server: every request in one thread, from its first middleware on.

Django's own way from ASGI to a synchronous view is a new thread for every request, and several ways there and back. For
our pages that was a quarter of their processor time. See docs/decisions/0027.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, Protocol

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

# What is longer waits on the disk for its thread.
MOST_IN_MEMORY = 1024 * 1024
# What is longer is refused before it is read: no form of ours takes as much, and a disk has an end.
MOST_BYTES = 64 * 1024 * 1024


class Response(Protocol):
    """What Django's WSGI handler returns: the parts of the body, and whether they are made while they are sent."""

    streaming: bool

    def __iter__(self) -> Any: ...
    def close(self) -> None: ...


class TooLarge(Exception):
    """More was sent than is read."""


class Gone(Exception):
    """Whoever asked did not stay to the end of what they sent."""


class Threaded:
    """An ASGI application around Django's WSGI handler `site`, which answers up to `threads` requests at once."""

    def __init__(self, site: Callable[[dict[str, Any], Callable[..., Any]], Any], *, threads: int) -> None:
        self.site = site
        self.threads = ThreadPoolExecutor(threads, thread_name_prefix="page")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with tempfile.SpooledTemporaryFile(MOST_IN_MEMORY) as body:
            try:
                length = await _read(receive, body)
            except Gone:
                return
            except TooLarge:
                await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
                await send({"type": "http.response.body", "body": b""})
                return
            loop = asyncio.get_running_loop()

            async def deliver(event: Mapping[str, Any]) -> None:
                await send(event)

            def pass_on(start: Mapping[str, Any], parts: Iterable[bytes]) -> None:
                asyncio.run_coroutine_threadsafe(deliver(start), loop).result()
                for part in parts:
                    event = {"type": "http.response.body", "body": part, "more_body": True}
                    asyncio.run_coroutine_threadsafe(deliver(event), loop).result()

            environ = environment(scope, body, length)
            # What one request sets in its context is not there in the next.
            run = contextvars.copy_context().run
            start, rest = await loop.run_in_executor(self.threads, run, self._answer, environ, pass_on)
            if start is not None:
                await send(start)
            await send({"type": "http.response.body", "body": rest})

    def _answer(
        self, environ: dict[str, Any], pass_on: Callable[[Mapping[str, Any], Iterable[bytes]], None]
    ) -> tuple[Mapping[str, Any] | None, bytes]:
        """The beginning of the answer and its body; of one that is made while it is sent nothing is left to send."""
        start: dict[str, Any] = {"type": "http.response.start"}

        def start_response(status: str, headers: list[tuple[str, str]], _failure: Any = None) -> None:
            start["status"] = int(status[:3])
            start["headers"] = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]

        response: Response = self.site(environ, start_response)
        try:
            if not response.streaming:
                return start, b"".join(response)
            pass_on(start, response)
            return None, b""
        finally:
            response.close()


async def _read(receive: Receive, body: IO[bytes]) -> int:
    length, more = 0, True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise Gone
        part = event.get("body", b"")
        length += len(part)
        if length > MOST_BYTES:
            raise TooLarge
        body.write(part)
        more = event.get("more_body", False)
    body.seek(0)
    return length


def environment(scope: Scope, body: IO[bytes], length: int) -> dict[str, Any]:
    """The WSGI environment (PEP 3333) of an ASGI request whose body of `length` bytes was read."""
    server, client = scope.get("server") or ("localhost", 80), scope.get("client") or ("", 0)
    found: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or 0),
        "REMOTE_ADDR": client[0],
        "REMOTE_HOST": client[0],
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        # With an underscore it would pass for the name with a hyphen, which a proxy may have taken out.
        if b"_" in raw_name:
            continue
        name, value = raw_name.decode("latin-1").upper().replace("-", "_"), raw_value.decode("latin-1")
        key = name if name in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{name}"
        if key in found:
            value = f"{found[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
        found[key] = value
    # Also of a body that came in parts of unknown number.
    found["CONTENT_LENGTH"] = str(length)
    return found
