"""Who asks: an API token, its user, and what that user may see and do."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from django.conf import settings
from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja.security import HttpBearer

from parcelle.core import ratelimit
from parcelle.core.addresses import address
from parcelle.domain.accounts.models import ApiToken, User
from parcelle.domain.billing.models import Order, Payment
from parcelle.domain.provisioning.models import Instance
from parcelle.domain.tenancy import permissions
from parcelle.domain.tenancy.models import Organization
from parcelle.domain.tenancy.queries import organizations_of, role_of
from parcelle.surfaces import current
from parcelle.surfaces.api.problems import Problem


class BearerToken(HttpBearer):
    """`Authorization: Bearer parcelle_…`"""

    openapi_description = "Made in the back office, or by `parcelle token create`. Shown once, stored as a hash."

    def authenticate(self, request: HttpRequest, token: str) -> ApiToken:
        now = timezone.now()
        found = ApiToken.authenticate(token.strip(), now=now)
        if found is None:
            challenge = 'Bearer realm="parcelle", error="invalid_token"'
            raise Problem("invalid-token", headers={"WWW-Authenticate": challenge})
        current.arrive_by_token(found, now=now)
        request.__dict__["rate"] = hold_to_limit(found, "requests", limit=settings.API_REQUESTS_PER_MINUTE, now=now)
        return found


def token_of(request: HttpRequest) -> ApiToken:
    """The token that this authenticated request came with."""
    return cast("ApiToken", request.auth)  # type: ignore[attr-defined]


def user_of(request: HttpRequest) -> User:
    return token_of(request).user


def actor_of(request: HttpRequest) -> str:
    """How facts and operations name whoever asked."""
    return f"token:{token_of(request).pk}"


def hold_address_to_limit(request: HttpRequest, *, now: datetime) -> None:
    """The same for who needs no token: requests are counted by address."""
    if not settings.RATE_LIMITS:
        return
    limit = settings.API_REQUESTS_PER_MINUTE
    wait = ratelimit.hit(f"api:address:{address(request)}", limit=limit, window=timedelta(minutes=1), now=now)
    if wait is not None:
        seconds = max(1, math.ceil(wait.total_seconds()))
        raise Problem(
            "too-many-requests",
            _("Your address has used up its %(limit)s requests per minute. Try again in %(seconds)s s.")
            % {"limit": limit, "seconds": seconds},
            headers={"Retry-After": str(seconds)},
        )


def hold_to_limit(token: ApiToken, what: str, *, limit: int, now: datetime) -> ratelimit.Use | None:
    """Counts one use of `what` per minute and token; a Problem when there were too many."""
    if not settings.RATE_LIMITS:
        return None
    used = ratelimit.use(f"api:{what}:{token.pk}", limit=limit, window=timedelta(minutes=1), now=now)
    if used.wait is not None:
        seconds = max(1, math.ceil(used.wait.total_seconds()))
        raise Problem(
            "too-many-requests",
            _("This token has used up its %(limit)s requests per minute. Try again in %(seconds)s s.")
            % {"limit": limit, "seconds": seconds},
            headers={"Retry-After": str(seconds), **rate_headers(used)},
        )
    return used


def rate_headers(used: ratelimit.Use) -> dict[str, str]:
    """How much is left, by the names most services use; seconds until it begins again."""
    return {
        "RateLimit-Limit": str(used.limit),
        "RateLimit-Remaining": str(used.remaining),
        "RateLimit-Reset": str(max(0, math.ceil(used.resets_in.total_seconds()))),
    }


def organization_of(request: HttpRequest) -> UUID | None:
    """The organization that the header asks about. Raises Problem for one that the token's user does not belong to."""
    try:
        named = current.named(request)
    except Http404:
        raise Problem("unknown-organization") from None
    if named is None:
        return None
    user = user_of(request)
    known = Organization.objects if user.is_staff else organizations_of(user)
    if not known.filter(pk=named).exists():
        raise Problem("unknown-organization")
    return named


def in_question[Row: Model](request: HttpRequest, rows: QuerySet[Row], *, by: str = "organization") -> QuerySet[Row]:
    """Of these rows those of the organization that the header asks about; all of them without one."""
    named = organization_of(request)
    return rows if named is None else rows.filter(**{by: named})


def organization_to_order_for(request: HttpRequest) -> Organization | None:
    """The one that the header names. Raises Problem for who may not order for it."""
    named = organization_of(request)
    if named is None:
        return None
    if not permissions.may(role_of(user_of(request), named), permissions.PAY):
        raise Problem("forbidden", _("Only owners and administrators of the organization can order for it."))
    return Organization.objects.get(pk=named)


def visible_to(user: User) -> QuerySet[Instance]:
    """The customers' instances that this user may see: an operator all of them, others those of their organizations."""
    rows = Instance.objects.select_related("product", "target", "template", "organization")
    if user.is_staff:
        return rows.filter(organization__isnull=False)
    return rows.filter(organization__in=organizations_of(user).order_by())


def orders_of(user: User) -> QuerySet[Order]:
    """The orders that this user may see: an operator all of them, others those of their organizations and their own
    that belong to none yet."""
    rows = Order.objects.select_related("plan__product", "price", "coupon")
    return rows if user.is_staff else rows.filter(_theirs(user))


def payments_of(user: User) -> QuerySet[Payment]:
    """The payments of those orders."""
    rows = Payment.objects.select_related("order")
    return rows if user.is_staff else rows.filter(order__in=Order.objects.filter(_theirs(user)))


def _theirs(user: User) -> Q:
    return Q(user_id=user.pk, organization=None) | Q(organization__in=organizations_of(user).order_by())


def may_operate(user: User) -> bool:
    """Whether the user may change every customer's instances: the same right as in the back office."""
    return user.is_staff and user.has_perm("provisioning.change_instance")


def may_manage(user: User, instance: Instance) -> bool:
    """Whether the user may change this instance and see its first password: also its owners and administrators."""
    return may_operate(user) or permissions.may(role_of(user, instance.organization_id), permissions.SEE_ACCESS)


def may_pay(user: User, order: Order) -> bool:
    """Whether the user may pay this order: an operator, who ordered it, or whose role in its organization is enough."""
    if user.is_staff or order.organization_id is None:
        return True
    return permissions.may(role_of(user, order.organization_id), permissions.PAY)
