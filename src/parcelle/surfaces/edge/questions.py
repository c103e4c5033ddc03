"""What the proxy in front of the instances asks the site."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from parcelle.domain.provisioning import routes

logger = structlog.get_logger(__name__)


@never_cache
@require_safe
def tls_ask(request: HttpRequest) -> HttpResponse:
    """`?domain=<host>`: 200 when a certificate may be made for it now, 404 otherwise."""
    host = request.GET.get("domain", "").lower().rstrip(".")
    if host == urlsplit(settings.PUBLIC_URL).hostname or routes.may_have_certificate(host):
        return HttpResponse("yes\n", content_type="text/plain")
    return HttpResponse("no\n", status=404, content_type="text/plain")


@never_cache
@require_safe
def traefik(request: HttpRequest) -> HttpResponse:
    """Traefik's whole dynamic configuration. Whatever goes wrong is a 503: then it keeps what it has."""
    shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not settings.TRAEFIK_TOKEN or not secrets.compare_digest(shown.encode(), settings.TRAEFIK_TOKEN.encode()):
        return HttpResponse("no\n", status=401, content_type="text/plain", headers={"WWW-Authenticate": "Bearer"})
    try:
        configuration = routes.traefik_configuration()
    except Exception:
        logger.exception("the routes could not be told to traefik")
        return HttpResponse("later\n", status=503, content_type="text/plain", headers={"Retry-After": "5"})
    return HttpResponse(configuration, content_type="application/json")
