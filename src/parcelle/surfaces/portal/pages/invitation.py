"""`/invitations/<token>`: the link in the mail. Whoever has it can read the mail of the invited address."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from parcelle.core.addresses import address
from parcelle.domain.accounts.models import User
from parcelle.domain.tenancy import team
from parcelle.domain.tenancy.errors import TeamRefused
from parcelle.domain.tenancy.models import Invitation
from parcelle.journeys import team as journey
from parcelle.journeys.customers import one_line
from parcelle.surfaces import current
from parcelle.surfaces.portal import visitor
from parcelle.surfaces.portal.team_words import ROLES

_PER_HOUR = 30


class JoinForm(forms.Form):
    first_name = forms.CharField(
        label=_("First name"), max_length=150, widget=forms.TextInput(attrs={"autocomplete": "given-name"})
    )
    last_name = forms.CharField(
        label=_("Last name"), max_length=150, widget=forms.TextInput(attrs={"autocomplete": "family-name"})
    )
    password = forms.CharField(
        label=_("Choose a password"),
        max_length=200,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("At least 10 characters."),
    )

    def __init__(self, data: Any, *, email: str) -> None:
        super().__init__(data)
        self.email = email
        for field in self.fields.values():
            field.error_messages["required"] = str(_("Please fill in this field."))

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        for name in ("first_name", "last_name"):
            said[name] = one_line(said.get(name, ""))
        person = User(email=self.email, first_name=said["first_name"], last_name=said["last_name"])
        try:
            validate_password(said.get("password", ""), person)
        except ValidationError as refused:
            if said.get("password"):
                self.add_error("password", refused)
        return said


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    now = timezone.now()
    try:
        found = team.find(token)
    except TeamRefused as refused:
        return _over(request, refused.code)
    if standing := found.standing(now):
        return _over(request, standing, found)
    me = request.user if isinstance(request.user, User) else None
    known = me is None and User.objects.filter(email=found.email).exists()
    form = None if me or known else JoinForm(request.POST or None, email=found.email)
    if request.method != "POST" or known or (me and me.email != found.email):
        return _page(request, found, form, known=known)
    key = f"join:{address(request)}"
    if visitor.wait_before([(key, _PER_HOUR)], window=timedelta(hours=1), now=now):
        return _page(request, found, form, status=429)
    if form is not None and not form.is_valid():
        return _page(request, found, form, status=422)
    try:
        if form is None:
            assert me is not None
            team.accept(token, user=me, now=now)
        else:
            said = {name: form.cleaned_data[name] for name in ("first_name", "last_name", "password")}
            me = journey.join_as_new(token, **said, language=(get_language() or settings.LANGUAGE_CODE)[:2], now=now)
            login(request, me, backend="django.contrib.auth.backends.ModelBackend")
    except TeamRefused as refused:
        if refused.code == "known":
            return redirect("invitation", token=token)
        return _over(request, refused.code, found)
    request.__dict__.pop("_memberships", None)
    current.choose(request, found.organization_id)
    messages.success(request, gettext("Welcome to %(name)s.") % {"name": found.organization.name})
    return redirect("dashboard")


def _page(
    request: HttpRequest, found: Invitation, form: JoinForm | None, *, known: bool = False, status: int = 200
) -> HttpResponse:
    me = request.user if isinstance(request.user, User) else None
    context = {
        "invitation": found,
        "inviter": (found.invited_by.get_full_name() or found.invited_by.email) if found.invited_by else "",
        "role": ROLES[found.role],
        "form": form,
        "known": known,
        "other": me is not None and me.email != found.email,
        "too_often": status == 429,
    }
    return render(request, "portal/invitation.html", context, status=status)


def _over(request: HttpRequest, code: str, found: Invitation | None = None) -> HttpResponse:
    """What cannot be accepted, and what to do instead."""
    context = {"code": code, "invitation": found}
    return render(request, "portal/invitation_over.html", context, status=404 if code == "unknown" else 410)
