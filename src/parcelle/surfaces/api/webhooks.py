"""`/webhooks/<gateway>`: where payment services send their messages. Stored, acknowledged, dealt with later."""

from __future__ import annotations

import structlog
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from parcelle.domain.billing import webhooks
from parcelle.domain.billing.errors import GatewayUnusable
from parcelle.domain.billing.gateways.base import Forged, GatewayError

logger = structlog.get_logger(__name__)


@csrf_exempt
@require_http_methods(["POST", "PUT"])
def receive(request: HttpRequest, gateway: str, path: str = "") -> HttpResponse:
    """2xx only for what is stored: whatever goes wrong before, the service sends it again."""
    if int(request.headers.get("Content-Length") or 0) > webhooks.MOST_BYTES:
        return HttpResponse(status=413)
    headers = {**{name.lower(): value for name, value in request.headers.items()}, ":path": path}
    try:
        webhooks.receive(gateway, headers=headers, body=request.body, now=timezone.now())
    except GatewayUnusable:
        return HttpResponse(status=404)
    except Forged as forged:
        logger.warning("a message was refused", gateway=gateway, reason=str(forged))
        return HttpResponse(status=400)
    except GatewayError as error:
        logger.warning("nobody can tell whether a message is genuine", gateway=gateway, detail=error.detail)
        return HttpResponse(status=503)
    return HttpResponse(status=200)
