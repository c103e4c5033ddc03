"""`/trial`: the form that starts a free trial."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from parcelle.core.addresses import address
from parcelle.domain.accounts.models import User
from parcelle.domain.tenancy.models import Organization
from parcelle.journeys import signup
from parcelle.surfaces import current, failures
from parcelle.surfaces.portal import preparing, visitor, watching
from parcelle.surfaces.portal import puzzle as puzzles
from parcelle.surfaces.portal.trial_form import TrialForm, offers

_EMAIL_LIMIT_PER_HOUR = 5
# How long a resent form (double click, reload) still signs its own new user in.
_RESEND_WINDOW = timedelta(minutes=2)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def trial(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    plans = offers()
    user = request.user if isinstance(request.user, User) else None
    organization = current.buys_for(request)
    known: dict[str, Any] = {"user": user, "plans": plans, "region": _region(request), "organization": organization}
    if request.method != "POST" or not plans:
        form = TrialForm(**known, initial={"submission": uuid.uuid4()})
        return _page(request, form)
    form = TrialForm(visitor.posted(request), **known)
    if not form.is_valid():
        return _page(request, form, alerts=form.summary(), status=422)
    if wait := _wait(request, form.cleaned_data["email"], now=now):
        minutes = -(-wait // 60)
        sentence = _("Too many requests from your address. Please try again in %(minutes)s min.") % {"minutes": minutes}
        return _page(request, form, alerts=[sentence], status=429, retry_after=wait)
    try:
        started = signup.start_trial(_request_of(form, user, organization), now=now)
    except signup.AlreadySubscribed as refused:
        sentence = _("You already have an active subscription (%(plan)s)") % {"plan": refused.plan}
        return _page(request, form, alerts=[sentence], status=409, known=True)
    except signup.OrganizationClosed:
        sentence = _("The customer space of this address is closed. Sign in to see why and what to do.")
        return _page(request, form, alerts=[sentence], status=409, known=True)
    except signup.TrialUsed as refused:
        sentence = _("You have already used your free trial (%(plan)s). Write to us to continue.") % {
            "plan": refused.plan
        }
        return _page(request, form, alerts=[sentence], status=409, known=True)
    except signup.RegistrationFailed as failure:
        sentence = failures.registration(failure.code, failure.reference)
        return _page(request, form, alerts=[sentence], status=503)
    if user is None:
        _sign_in_new(request, started, now=now)
    watching.remember(request, started.instance_id)
    return redirect("deployment", instance_id=started.instance_id)


@never_cache
@require_safe
def puzzle(request: HttpRequest) -> HttpResponse:
    """A fresh anti-robot puzzle for one form; the widget fetches it, again when it has expired."""
    try:
        submission = uuid.UUID(request.GET.get("submission", ""))
    except ValueError:
        return HttpResponseBadRequest()
    return JsonResponse(puzzles.challenge(submission=str(submission), now=timezone.now()))


def _page(
    request: HttpRequest,
    form: TrialForm,
    *,
    alerts: list[str] | None = None,
    status: int = 200,
    retry_after: int | None = None,
    known: bool = False,
) -> HttpResponse:
    products = list({plan.product_id: plan.product for plan in form.plans}.values())
    context = {
        "form": form,
        "alerts": alerts or [],
        "known": known,
        "offer": form.offer,
        "preparing": preparing.of(products, now=timezone.now()),
    }
    response = render(request, "portal/trial.html", context, status=status)
    if retry_after is not None:
        response["Retry-After"] = str(retry_after)
    return response


def _request_of(form: TrialForm, user: User | None, organization: Organization | None) -> signup.TrialRequest:
    said: dict[str, Any] = form.cleaned_data
    return signup.TrialRequest(
        submission=said["submission"],
        email=said["email"],
        first_name=said["first_name"],
        last_name=said["last_name"],
        company=said["company"],
        phone=said["phone"],
        plan_id=said["plan"].pk,
        language=(get_language() or settings.LANGUAGE_CODE)[:2],
        user_id=user.pk if user else None,
        organization_id=organization.pk if organization else None,
    )


def _wait(request: HttpRequest, email: str, *, now: datetime) -> int | None:
    limits = [
        (f"trial:address:{address(request)}", settings.TRIAL_ACTIONS_ADDRESS_LIMIT),
        (f"trial:email:{email}", _EMAIL_LIMIT_PER_HOUR),
    ]
    return visitor.wait_before(limits, window=timedelta(hours=1), now=now)


def _sign_in_new(request: HttpRequest, started: signup.Started, *, now: datetime) -> None:
    """Signs in a user that this very form made; somebody who already had an account proves it by signing in.

    A double click sends the form twice and the browser only keeps the second answer, so that one signs in as
    well, for a moment.
    """
    if started.new_user and now - started.asked_at < _RESEND_WINDOW:
        user = User.objects.get(pk=started.user_id)
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")


def _region(request: HttpRequest) -> str:
    """The country whose telephone numbers may be written without a prefix: the browser's, else France's."""
    for territory in visitor.territories(request):
        return territory
    return "FR" if (get_language() or "fr").startswith("fr") else "GB"
