"""What a browser may load and run on the public pages: our own files and nothing else.

Should text of a visitor ever reach a page as markup, no script in it would run. The back office and the
documentation of the API have namespaces of their own and bring their own ways; they are left alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

HEADER = "Content-Security-Policy"
POLICY = {
    "default-src": "'self'",
    # The anti-robot widget brings its style in a <style> element and works in workers made from blobs.
    "style-src": "'self' 'unsafe-inline'",
    "worker-src": "'self' blob:",
    "img-src": "'self' data:",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}

GetResponse = Callable[[HttpRequest], HttpResponseBase] | Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@sync_and_async_middleware
def content_security(get_response: GetResponse) -> GetResponse:
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            return _guarded(request, await get_response(request))

        return answer_async

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        assert isinstance(response, HttpResponseBase)
        return _guarded(request, response)

    return answer


def _guarded(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    match = request.resolver_match
    if (match is None or not match.namespaces) and HEADER not in response:
        response[HEADER] = "; ".join(f"{what} {where}" for what, where in POLICY.items())
    return response
