"""What the web server runs."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "parcelle.config.settings")

from typing import TYPE_CHECKING

from django.core.asgi import get_asgi_application

if TYPE_CHECKING:
    from parcelle.surfaces.api.webhooks import Door


def build() -> Door:
    site = get_asgi_application()
    # Not before Django is set up.
    from parcelle.surfaces.api.webhooks import Door

    return Door(site)


application = build()
