"""How requests go through the middleware."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase


def in_one_thread(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """The innermost one. It is synchronous, and so Django runs all those around it in the request's own thread.

    Of what Django serves under ASGI, the live pages, each would otherwise go to a thread and back, twice.
    """
    return get_response
