"""The hosts of instances: what is asked of them arrives here when no application answers.

The proxy passes on the visitor's own Host header. What is asked of the site's own hosts goes on to the site;
nothing of the site is ever shown under another name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.http.request import split_domain_port, validate_host
from django.utils import timezone
from django.utils.decorators import sync_and_async_middleware

from parcelle.core import context
from parcelle.domain.provisioning import routes, visitors
from parcelle.journeys import doorstep

logger = structlog.get_logger(__name__)

ERROR_HEADER = "X-Parcelle-Edge-Error"

GetResponse = Callable[[HttpRequest], HttpResponseBase] | Callable[[HttpRequest], Awaitable[HttpResponseBase]]


class _Secure(HttpResponseRedirect):
    status_code = 308


@sync_and_async_middleware
def pages_for_hosts(get_response: GetResponse) -> GetResponse:
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            if host := _instance_host(request):
                return await sync_to_async(_seen_whole)(request, host)
            response = await get_response(request)
            assert isinstance(response, HttpResponseBase)
            return response

        return answer_async

    def answer(request: HttpRequest) -> HttpResponseBase:
        if host := _instance_host(request):
            return _seen_whole(request, host)
        response = get_response(request)
        assert isinstance(response, HttpResponseBase)
        return response

    return answer


def _instance_host(request: HttpRequest) -> str:
    """The host asked for when it is none of the site's own; empty otherwise."""
    if settings.INGRESS == "port":
        return ""
    host, _port = split_domain_port(request.META.get("HTTP_HOST", ""))
    return "" if not host or validate_host(host, settings.ALLOWED_HOSTS) else host.rstrip(".")


def _seen_whole(request: HttpRequest, host: str) -> HttpResponse:
    with context.platform(context.Platform.EDGE):
        return _answer(request, host)


def _answer(request: HttpRequest, host: str) -> HttpResponse:
    try:
        if request.headers.get("X-Forwarded-Proto") == "http" and routes.find(host) is not None:
            port = "" if settings.EDGE_HTTPS_PORT == 443 else f":{settings.EDGE_HTTPS_PORT}"
            return _Secure(f"https://{host}{port}{request.get_full_path()}")
        person = visitors.is_person(request.method or "", request.path, request.headers)
        page = doorstep.answer(host, person=person, broken=ERROR_HEADER in request.headers, now=timezone.now())
    except Exception:
        logger.exception("no page for a host", host=host)
        return HttpResponse("503\n", status=503, content_type="text/plain", headers={"Retry-After": "10"})
    headers, body = page.answer(
        accept=request.headers.get("Accept", ""), accept_language=request.headers.get("Accept-Language", "")
    )
    response = HttpResponse("" if request.method == "HEAD" else body, status=page.status, headers=headers)
    # Meant to be so: Django would log every visit to a suspended instance as an error of ours.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response
