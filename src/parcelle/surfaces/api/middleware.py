"""Everything below `/api/` answers in the API's own way, also what Django itself refuses."""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Awaitable, Callable, Iterator

import structlog
from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from parcelle.core import ratelimit
from parcelle.surfaces.api import problems
from parcelle.surfaces.api.tokens import rate_headers

NUMBER = "X-Request-ID"
_NUMBER = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KEPT_HEADERS = ("Allow", "Retry-After")


@sync_and_async_middleware
def problems_for_api(
    get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]],
) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    """Turns error pages (unknown address, wrong method, body too large) into problem documents, and redirects into
    those that keep the method. Every answer says the request's number, which is in every line of the log about it."""
    if iscoroutinefunction(get_response):

        async def asynchronous(request: HttpRequest) -> HttpResponseBase:
            with _numbered(request):
                response = get_response(request)
                assert isinstance(response, Awaitable)
                return _finished(request, await response)

        return asynchronous

    def synchronous(request: HttpRequest) -> HttpResponseBase:
        with _numbered(request):
            response = get_response(request)
            assert isinstance(response, HttpResponseBase)
            return _finished(request, response)

    return synchronous


@contextlib.contextmanager
def _numbered(request: HttpRequest) -> Iterator[None]:
    """The caller's own number where it can be one, so that their log and ours can be read side by side."""
    if not request.path.startswith("/api/"):
        yield
        return
    said = request.headers.get(NUMBER, "")
    number = said if _NUMBER.fullmatch(said) else uuid.uuid4().hex
    request.__dict__["number"] = number
    with structlog.contextvars.bound_contextvars(request_id=number):
        yield


def _finished(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    if not request.path.startswith("/api/"):
        return response
    response = _translated(request, response)
    response.headers[NUMBER] = request.__dict__["number"]
    used: ratelimit.Use | None = request.__dict__.get("rate")
    if used is not None:
        for name, value in rate_headers(used).items():
            response.headers.setdefault(name, value)
    return response


def _translated(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    if response.status_code == 301 and request.method not in {"GET", "HEAD"}:
        # The address without its slash: with 301 a program would follow by GET, and believe that it was done.
        response.status_code = 308
    if response.status_code < 400:
        return response
    if not isinstance(response, HttpResponse) or response.headers["Content-Type"] == problems.MEDIA_TYPE:
        return response
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    return problems.answer(request, problems.Problem(problems.kind_of_status(response.status_code), headers=headers))
