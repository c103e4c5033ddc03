from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, include, path
from django.views.decorators.csrf import csrf_exempt
from django.views.i18n import set_language

from parcelle.surfaces.api import webhooks


def healthz(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


handler400 = "parcelle.surfaces.portal.pages.errors.bad_request"
handler403 = "parcelle.surfaces.portal.pages.errors.forbidden"
handler404 = "parcelle.surfaces.portal.pages.errors.not_found"
handler500 = "parcelle.surfaces.portal.pages.errors.failed"

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", healthz, name="healthz"),
    path("admin/", admin.site.urls),
    # Nobody is harmed by a page that changes somebody's language, and without a token of its own a page can be kept and
    # needs no cookie.
    path("i18n/setlang/", csrf_exempt(set_language), name="set_language"),
    path("api/", include("parcelle.surfaces.api.urls")),
    path("edge/", include("parcelle.surfaces.edge.urls")),
    path("webhooks/<slug:gateway>", webhooks.receive, name="webhook"),
    path("webhooks/<slug:gateway>/<str:path>", webhooks.receive, name="webhook_path"),
    # Before allauth: an account begins with a trial, so its own sign-up page leads there.
    path("", include("parcelle.surfaces.portal.urls")),
    path("accounts/", include("allauth.urls")),
]
