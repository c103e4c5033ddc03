"""Everything below `/api/` answers in the API's own way, also what Django itself refuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from parcelle.surfaces.api import problems

_KEPT_HEADERS = ("Allow", "Retry-After")


@sync_and_async_middleware
def problems_for_api(
    get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]],
) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    """Turns error pages (unknown address, wrong method, body too large) into problem documents, and redirects into
    those that keep the method."""
    if iscoroutinefunction(get_response):

        async def asynchronous(request: HttpRequest) -> HttpResponseBase:
            response = get_response(request)
            assert isinstance(response, Awaitable)
            return _translated(request, await response)

        return asynchronous

    def synchronous(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        assert isinstance(response, HttpResponseBase)
        return _translated(request, response)

    return synchronous


def _translated(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    if not request.path.startswith("/api/"):
        return response
    if response.status_code == 301 and request.method not in {"GET", "HEAD"}:
        # The address without its slash: with 301 a program would follow by GET, and believe that it was done.
        response.status_code = 308
    if response.status_code < 400:
        return response
    if not isinstance(response, HttpResponse) or response.headers["Content-Type"] == problems.MEDIA_TYPE:
        return response
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    return problems.answer(request, problems.Problem(problems.kind_of_status(response.status_code), headers=headers))
