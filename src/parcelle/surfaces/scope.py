"""On whose behalf a request asks the database: of nobody until it is known who asks, then of their organizations.

What has to see the rows of all organizations stands in `PLATFORM`, page by page, and nowhere else in the surfaces.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.urls import ResolverMatch
from django.utils import timezone
from django.utils.decorators import sync_and_async_middleware

from parcelle.core import context
from parcelle.core.context import Context, Platform
from parcelle.domain.accounts.models import User
from parcelle.domain.tenancy import actions as tenancy
from parcelle.surfaces import current

_NOTED = "scope_noted"

NAMESPACES = {"admin": Platform.BACK_OFFICE}
PLATFORM = {
    # Visitors who may belong to no organization yet: each page shows only what its link or browser is the key to.
    **dict.fromkeys(
        (
            *("register", "register_summary", "test_payment"),
            *("order", "order_pay", "order_change", "order_return", "order_events", "order_progress", "order_resume"),
            *("order_receipt_upload", "order_receipt", "order_other_way"),
        ),
        Platform.CHECKOUT,
    ),
    "invitation": Platform.INVITATION,
    **dict.fromkeys(("webhook", "webhook_path"), Platform.GATEWAYS),
    **dict.fromkeys(("tls_ask", "traefik"), Platform.EDGE),
}


def of_page(match: ResolverMatch | None) -> Platform | None:
    """The platform's scope in which a page is answered; None for all others."""
    if match is None:
        return None
    for namespace in match.namespaces:
        if namespace in NAMESPACES:
            return NAMESPACES[namespace]
    return PLATFORM.get(match.url_name or "")


@sync_and_async_middleware
def on_behalf(
    get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]],
) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    if iscoroutinefunction(get_response):

        async def asynchronous(request: HttpRequest) -> HttpResponseBase:
            with context.within(context.NOBODY):
                response = get_response(request)
                assert isinstance(response, Awaitable)
                found = await response
                assert isinstance(found, HttpResponseBase)
                return found

        answer: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]] = asynchronous
    else:

        def synchronous(request: HttpRequest) -> HttpResponseBase:
            with context.within(context.NOBODY):
                response = get_response(request)
                assert isinstance(response, HttpResponseBase)
                return response

        answer = synchronous
    answer.process_view = _before_view  # type: ignore[attr-defined]
    return answer


def _note_operator(request: HttpRequest) -> None:
    """Once per session of an operator."""
    user = request.user
    if isinstance(user, User) and user.is_staff and not request.session.get(_NOTED):
        tenancy.note_scope(Platform.BACK_OFFICE, actor=f"user:{user.pk}", now=timezone.now())
        request.session[_NOTED] = True


def _before_view(request: HttpRequest, _view: object, _args: object, _kwargs: object) -> None:
    scope = of_page(request.resolver_match)
    if scope is not None:
        context.narrow(Context(platform=scope))
        if scope is Platform.BACK_OFFICE:
            _note_operator(request)
    elif settings.SESSION_COOKIE_NAME in request.COOKIES and isinstance(request.user, User):
        current.arrive(request)
