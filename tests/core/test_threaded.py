"""A synchronous site under an asynchronous server."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import URLPattern, URLResolver, get_resolver

from parcelle.core import threaded
from parcelle.core.threaded import Threaded, environment
from parcelle.surfaces.portal import live

Part = Mapping[str, Any]


class Site:
    """What Django's handler is to `Threaded`, around one view."""

    def __init__(self, view: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.view = view
        self.closed_in: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> HttpResponseBase:
        response = self.view(WSGIRequest(environ))
        response._resource_closers.append(lambda: self.closed_in.append(threading.current_thread().name))  # type: ignore[attr-defined]
        start_response(f"{response.status_code} {response.reason_phrase}", list(response.items()))
        return response


def scope(method: str = "GET", path: str = "/", query: bytes = b"", **headers: str) -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "http_version": "1.1",
        "scheme": "https",
        "server": ("127.0.0.1", 8000),
        "client": ("192.0.2.1", 4000),
        "headers": [(name.lower().replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }


def ask(site: Site, asked: dict[str, Any], *body: bytes, leaves: bool = False) -> list[Part]:
    """What is sent to whoever asked so, with a body in these parts."""
    sent: list[Part] = []
    events: list[Part] = [{"type": "http.request", "body": part, "more_body": True} for part in body]
    events.append({"type": "http.disconnect"} if leaves else {"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Part:
        return events.pop(0)

    async def send(event: Part) -> None:
        sent.append(event)

    asyncio.run(Threaded(site, threads=2)(asked, receive, send))
    return sent


def test_the_view_sees_what_was_asked_and_its_answer_is_sent() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        assert request.method == "POST" and request.is_secure() and request.get_host() == "testserver"
        assert request.META["REMOTE_ADDR"] == "192.0.2.1"
        assert (request.path, request.GET["q"]) == ("/é", "ü")
        assert request.COOKIES == {"a": "1", "b": "2"}
        answer = HttpResponse(request.POST["name"], status=201, headers={"X-Seen": "yes"})
        answer.set_cookie("one", "1")
        return answer

    form = {"content_type": "application/x-www-form-urlencoded", "host": "testserver"}
    asked = scope("POST", "/é", b"q=%C3%BC", **form)
    asked["headers"] += [(b"cookie", b"a=1"), (b"cookie", b"b=2")]
    start, body = ask(site := Site(view), asked, b"name=A", b"wa+Diop")
    assert (start["status"], body["body"]) == (201, b"Awa Diop") and not body.get("more_body")
    assert (b"x-seen", b"yes") in start["headers"]
    # The connection to the database goes back from the thread that used it.
    (thread,) = site.closed_in
    assert thread.startswith("page")


def test_a_body_of_unknown_length_is_read_to_its_end_and_a_large_one_from_the_disk() -> None:
    whole = bytes(3 * threaded.MOST_IN_MEMORY)
    start, body = ask(Site(lambda request: HttpResponse(str(len(request.read())))), scope("POST"), whole, b"x")
    assert (start["status"], body["body"]) == (200, b"%d" % (len(whole) + 1))


def test_what_is_too_large_is_refused_and_who_leaves_is_not_answered() -> None:
    def view(_request: HttpRequest) -> HttpResponse:
        raise AssertionError("the view must not be asked")

    part = bytes(threaded.MOST_BYTES // 2 + 1)
    start, _body = ask(Site(view), scope("POST"), part, part)
    assert start["status"] == 413
    assert ask(Site(view), scope("POST"), b"half", leaves=True) == []


def test_an_answer_that_is_made_while_it_is_sent_stays_in_its_thread() -> None:
    threads = []

    def parts() -> Iterator[bytes]:
        for number in range(3):
            threads.append(threading.current_thread().name)
            yield b"%d\n" % number

    sent = ask(site := Site(lambda _request: StreamingHttpResponse(parts())), scope())
    assert [part.get("body") for part in sent] == [None, b"0\n", b"1\n", b"2\n", b""]
    assert [part.get("more_body", False) for part in sent[1:]] == [True, True, True, False]
    assert len({*threads, *site.closed_in}) == 1


def test_a_header_with_an_underscore_does_not_pass_for_one_with_a_hyphen() -> None:
    asked = scope(x_forwarded_proto="https")
    asked["headers"] += [(b"x_forwarded_proto", b"http"), (b"accept", b"a"), (b"accept", b"b")]
    found = environment(asked, io.BytesIO(), 0)
    assert (found["HTTP_X_FORWARDED_PROTO"], found["HTTP_ACCEPT"]) == ("https", "a,b")


def test_a_failure_is_the_servers_to_tell() -> None:
    def view(_request: HttpRequest) -> HttpResponse:
        raise ValueError("a bug in the handler itself")

    with pytest.raises(ValueError, match="a bug"):
        ask(Site(view), scope())


def test_every_live_page_is_known_by_its_address() -> None:
    def routes(resolver: URLResolver, before: str = "") -> Iterator[tuple[str, Any]]:
        for pattern in resolver.url_patterns:
            address = before + str(pattern.pattern)
            if isinstance(pattern, URLPattern):
                yield address, pattern.callback
            else:
                yield from routes(pattern, address)

    found = [address for address, view in routes(get_resolver()) if asyncio.iscoroutinefunction(view)]
    assert len(found) == 2
    assert all(live.is_stream(address) for address in found), found
