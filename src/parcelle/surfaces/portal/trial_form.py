"""The fields of the trial form and how they are checked."""

from __future__ import annotations

from typing import Any

import phonenumbers
from django import forms
from django.conf import settings
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from parcelle.core import phones
from parcelle.domain.accounts.models import User, normalise_email
from parcelle.domain.catalog import queries
from parcelle.domain.catalog.models import Plan
from parcelle.domain.tenancy.models import Organization
from parcelle.surfaces.portal.puzzle import PuzzleField


def offers() -> list[Plan]:
    """The plans that a visitor can try, in the order in which they are shown."""
    return list(queries.plans_to_try())


def _text(label: Any, *, max_length: int, autocomplete: str, **attrs: str) -> forms.CharField:
    return forms.CharField(
        label=label,
        max_length=max_length,
        widget=forms.TextInput(attrs={"autocomplete": autocomplete, **attrs}),
        error_messages={"required": _("Please fill in this field.")},
    )


class TrialForm(forms.Form):
    last_name = _text(_("Last name"), max_length=150, autocomplete="family-name")
    first_name = _text(_("First name"), max_length=150, autocomplete="given-name")
    email = forms.EmailField(
        label=_("E-mail"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "inputmode": "email", "spellcheck": "false"}),
        error_messages={
            "required": _("Please fill in this field."),
            "invalid": _("This e-mail address is not complete, for example name@company.com."),
        },
    )
    company = _text(_("Company"), max_length=200, autocomplete="organization")
    phone = forms.CharField(
        label=_("Telephone"),
        max_length=40,
        widget=forms.TextInput(attrs={"type": "tel", "autocomplete": "tel", "inputmode": "tel"}),
        error_messages={"required": _("Please fill in this field.")},
    )
    plan = forms.ModelChoiceField(Plan.objects.none(), label=_("Offer"), widget=forms.RadioSelect, empty_label=None)
    terms = forms.BooleanField(error_messages={"required": _("Please accept the terms and conditions")})
    submission = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(
        self,
        *args: Any,
        user: User | None,
        plans: list[Plan],
        region: str,
        organization: Organization | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.plans = plans
        self.region = region
        choice = self.fields["plan"]
        assert isinstance(choice, forms.ModelChoiceField)
        choice.queryset = Plan.objects.filter(pk__in=[plan.pk for plan in plans]).select_related("product")
        choice.initial = plans[0].pk if plans else None
        if len(plans) == 1:
            choice.disabled = True
            choice.widget = forms.HiddenInput()
        if user is not None:
            for name in ("first_name", "last_name", "phone"):
                self.fields[name].initial = getattr(user, name)
            self.fields["email"].initial = user.email
            self.fields["email"].disabled = True
            self.fields["company"].initial = organization.name if organization else ""
        if settings.TRIAL_PUZZLE:
            self.fields["puzzle"] = PuzzleField(submission=str(self["submission"].value()))

    @property
    def offer(self) -> Plan | None:
        """The plan that the page talks about: the only one, or the first."""
        return self.plans[0] if self.plans else None

    @property
    def chosen_plan(self) -> str:
        return str(self["plan"].value())

    def clean_email(self) -> str:
        return normalise_email(self.cleaned_data["email"])

    def clean_phone(self) -> str:
        """The number with its country code."""
        region = self.region if self.region in phonenumbers.SUPPORTED_REGIONS else "FR"
        number = phones.international(self.cleaned_data["phone"], region)
        if not number:
            raise forms.ValidationError(
                _("This telephone number is not complete. With its country code it always works: +33 6 12 34 56 78."),
                code="invalid",
            )
        return number

    def summary(self) -> list[str]:
        """What to say above the form, most important first; each field says the rest beside itself."""
        codes = {name: {error.code for error in errors.as_data()} for name, errors in self.errors.items()}
        sentences = []
        if any("required" in found for name, found in codes.items() if name not in {"terms", "puzzle", "submission"}):
            sentences.append(gettext("Please fill in all required fields"))
        if "terms" in codes:
            sentences.append(gettext("Please accept the terms and conditions"))
        if not sentences and set(codes) & {"email", "phone", "first_name", "last_name", "company", "plan"}:
            sentences.append(gettext("Please check the marked fields."))
        if "puzzle" in codes:
            sentences += [str(message) for message in self.errors["puzzle"]]
        return sentences + [str(message) for message in self.non_field_errors()]
