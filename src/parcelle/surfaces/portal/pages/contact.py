"""`/contact`: for what has no price on it. The vendor gets a mail that can be answered."""

from __future__ import annotations

import contextlib
import uuid
from datetime import timedelta

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from parcelle.core.addresses import address
from parcelle.domain.accounts.models import User
from parcelle.domain.catalog.models import Plan, Product
from parcelle.journeys import enquiries
from parcelle.surfaces.portal import visitor

_PER_HOUR = 5


class ContactForm(forms.Form):
    name = forms.CharField(label=gettext_lazy("Your name"), max_length=150)
    company = forms.CharField(label=gettext_lazy("Company"), max_length=200, required=False)
    email = forms.EmailField(label=gettext_lazy("E-mail"), max_length=254)
    message = forms.CharField(
        label=gettext_lazy("What do you need?"), max_length=5000, widget=forms.Textarea(attrs={"rows": 6})
    )
    submission = forms.UUIDField(widget=forms.HiddenInput)
    # Nobody sees it; what fills in every field gives itself away.
    website = forms.CharField(required=False, widget=forms.HiddenInput)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def contact(request: HttpRequest) -> HttpResponse:
    about = _about(request)
    if request.method != "POST":
        return render(request, "portal/contact.html", {"form": ContactForm(initial=_known(request)), "about": about})
    form = ContactForm(request.POST)
    if not form.is_valid():
        return render(request, "portal/contact.html", {"form": form, "about": about}, status=422)
    key = f"contact:{address(request)}"
    if wait := visitor.wait_before([(key, _PER_HOUR)], window=timedelta(hours=1), now=timezone.now()):
        sentence = _("Too many requests from your address. Please try again in %(minutes)s min.")
        context = {"form": form, "about": about, "alert": sentence % {"minutes": -(-wait // 60)}}
        response = render(request, "portal/contact.html", context, status=429)
        response["Retry-After"] = str(wait)
        return response
    if not form.cleaned_data["website"]:
        enquiries.ask(
            submission=form.cleaned_data["submission"],
            name=form.cleaned_data["name"],
            company=form.cleaned_data["company"],
            email=form.cleaned_data["email"],
            message=form.cleaned_data["message"],
            about=about,
            language=(get_language() or "fr")[:2],
            now=timezone.now(),
        )
    return render(request, "portal/contact.html", {"sent": True, "about": about})


def _about(request: HttpRequest) -> str:
    """What the visitor clicked on, if it is something of ours."""
    with contextlib.suppress(ValueError):
        if wanted := request.GET.get("plan"):
            plan = Plan.objects.select_related("product").filter(pk=uuid.UUID(wanted)).first()
            return f"{plan.product} {plan.name}" if plan else ""
        if wanted := request.GET.get("product"):
            return str(Product.objects.filter(pk=uuid.UUID(wanted)).first() or "")
    return ""


def _known(request: HttpRequest) -> dict[str, object]:
    known: dict[str, object] = {"submission": uuid.uuid4()}
    if isinstance(request.user, User):
        known |= {"name": request.user.get_full_name(), "email": request.user.email}
    return known
