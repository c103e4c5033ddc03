from __future__ import annotations

from django.urls import URLPattern, path

from parcelle.surfaces.edge import questions

urlpatterns: list[URLPattern] = [
    path("tls-ask", questions.tls_ask, name="tls_ask"),
    path("traefik", questions.traefik, name="traefik"),
]
