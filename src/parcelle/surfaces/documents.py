"""Handing out what somebody else sent in: it is saved, never opened inside our pages, and is only what we say it is."""

from __future__ import annotations

from django.http import HttpResponse


def document(content: bytes, *, content_type: str, name: str) -> HttpResponse:
    """`content_type` and `name` are our own words, never the sender's."""
    response = HttpResponse(content, content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["Cache-Control"] = "private, no-store"
    return response
