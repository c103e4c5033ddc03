"""What the web server runs."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "parcelle.config.settings")

from typing import TYPE_CHECKING

from django.core.asgi import get_asgi_application
from django.core.handlers.wsgi import WSGIHandler

from parcelle.config import environment
from parcelle.core.threaded import Receive, Scope, Send, Threaded

if TYPE_CHECKING:
    from parcelle.surfaces.api.webhooks import Door


def build() -> Door:
    streams = get_asgi_application()
    # Not before Django is set up.
    from parcelle.surfaces.api.webhooks import Door
    from parcelle.surfaces.portal import live

    pages = Threaded(WSGIHandler(), threads=environment.number("PARCELLE_WEB_THREADS", 16))

    async def site(scope: Scope, receive: Receive, send: Send) -> None:
        threaded = scope["type"] == "http" and not live.is_stream(scope["path"])
        await (pages if threaded else streams)(scope, receive, send)

    return Door(site)


application = build()
