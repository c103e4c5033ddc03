"""Who asks: an API token, its user, and what that user may see and do."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import cast

from django.conf import settings
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja.security import HttpBearer

from parcelle.core import ratelimit
from parcelle.core.addresses import address
from parcelle.domain.accounts.models import ApiToken, User
from parcelle.domain.billing.models import Order, Payment
from parcelle.domain.provisioning.models import Instance
from parcelle.domain.tenancy.models import Membership
from parcelle.domain.tenancy.queries import organizations_of, role_of
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
        hold_to_limit(found, "requests", limit=settings.API_REQUESTS_PER_MINUTE, now=now)
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


def hold_to_limit(token: ApiToken, what: str, *, limit: int, now: datetime) -> None:
    """Counts one use of `what` per minute and token; a Problem when there were too many."""
    if not settings.RATE_LIMITS:
        return
    wait = ratelimit.hit(f"api:{what}:{token.pk}", limit=limit, window=timedelta(minutes=1), now=now)
    if wait is not None:
        seconds = max(1, math.ceil(wait.total_seconds()))
        raise Problem(
            "too-many-requests",
            _("This token has used up its %(limit)s requests per minute. Try again in %(seconds)s s.")
            % {"limit": limit, "seconds": seconds},
            headers={"Retry-After": str(seconds)},
        )


def visible_to(user: User) -> QuerySet[Instance]:
    """The customers' instances that this user may see: an operator all of them, others those of their organizations."""
    rows = Instance.objects.select_related("product", "target", "template", "organization")
    if user.is_staff:
        return rows.filter(organization__isnull=False)
    return rows.filter(organization__in=organizations_of(user).order_by())


def orders_of(user: User) -> QuerySet[Order]:
    """The orders that this user may see: an operator all of them, others their own and those of their organizations."""
    rows = Order.objects.select_related("plan__product", "price", "coupon")
    return rows if user.is_staff else rows.filter(_theirs(user))


def payments_of(user: User) -> QuerySet[Payment]:
    """The payments of those orders."""
    rows = Payment.objects.select_related("order")
    return rows if user.is_staff else rows.filter(order__in=Order.objects.filter(_theirs(user)))


def _theirs(user: User) -> Q:
    return Q(user_id=user.pk) | Q(organization__in=organizations_of(user).order_by())


def may_operate(user: User) -> bool:
    """Whether the user may change every customer's instances: the same right as in the back office."""
    return user.is_staff and user.has_perm("provisioning.change_instance")


def may_manage(user: User, instance: Instance) -> bool:
    """Whether the user may change this instance and see its first password: also its owners and administrators."""
    return may_operate(user) or role_of(user, instance.organization_id) in Membership.MANAGERS
