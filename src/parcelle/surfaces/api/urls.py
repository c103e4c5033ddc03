from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from parcelle.surfaces.api.app import api

urlpatterns: list[URLPattern | URLResolver] = [path("", api.urls)]
