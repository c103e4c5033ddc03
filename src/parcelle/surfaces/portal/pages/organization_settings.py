"""`/settings`: what the organization is called, in which language it is written to, and what its invoices say."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from parcelle.domain.accounts.models import User
from parcelle.domain.billing.invoicing import details as billing
from parcelle.domain.tenancy import actions, permissions
from parcelle.surfaces import current
from parcelle.surfaces.current import Current
from parcelle.surfaces.portal.access import require

# Each under the name that its speakers look for.
LANGUAGES = [("fr", "Français"), ("en", "English")]


class DetailsForm(forms.Form):
    name = forms.CharField(
        label=_("Name of the organization"),
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
        error_messages={"required": _("Please fill in this field.")},
    )
    language = forms.ChoiceField(
        label=_("Language of invoices and invitations"),
        choices=LANGUAGES,
        widget=forms.Select(attrs={"class": "form-select"}),
    )

    def clean_name(self) -> str:
        """One line: it stands in subjects of mails."""
        return " ".join(str(self.cleaned_data["name"]).split())


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def details(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        here = current.current(request)
        organization = here.organization if here else None
        first = {"name": organization.name, "language": organization.language} if organization else {}
        return _page(request, here, DetailsForm(initial=first))
    here = current.choose_typed(request)
    require(here, permissions.CHANGE_SETTINGS)
    form = DetailsForm(request.POST)
    if not form.is_valid():
        return _page(request, here, form, status=422)
    assert isinstance(request.user, User)
    actor = f"user:{request.user.pk}"
    if actions.change_details(here.organization.pk, actor=actor, now=timezone.now(), **form.cleaned_data):
        messages.success(request, gettext("The changes are saved."))
    return redirect("settings")


def _page(request: HttpRequest, here: Current | None, form: DetailsForm, *, status: int = 200) -> HttpResponse:
    context: dict[str, Any] = {
        "here": here,
        "form": form,
        "language": dict(LANGUAGES).get(here.organization.language) if here else "",
        "billing": billing.of(here.organization) if here else None,
        "may_change": here is not None and here.may(permissions.CHANGE_SETTINGS),
        "may_change_billing": here is not None and here.may(permissions.CHANGE_BILLING),
    }
    return render(request, "portal/settings.html", context, status=status)
