"""The fields of an order and how they are checked."""

from __future__ import annotations

from functools import cache
from typing import Any

from babel import Locale
from django import forms
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from parcelle.core import phones
from parcelle.domain.accounts.models import User, normalise_email
from parcelle.domain.billing import sellers, vat_numbers
from parcelle.domain.billing.invoicing import details
from parcelle.domain.billing.models import BillingDetails
from parcelle.domain.billing.orders import Buyer
from parcelle.domain.billing.taxes import EU
from parcelle.domain.tenancy.models import Organization

# Where most customers are; the rest of the world follows by name.
_FIRST = ("FR", "BE", "CH", "LU", "CM", "CI", "SN", "BJ", "TG", "BF", "ML", "GA", "CG", "CD", "MA", "TN", "DZ")


@cache
def countries(language: str) -> list[tuple[str, str]]:
    """(ISO 3166 alpha-2, name in `language`), ours first."""
    names = Locale.parse(language).territories
    known = {code: str(name) for code, name in names.items() if len(code) == 2 and code not in {"EU", "EZ", "UN", "ZZ"}}
    rest = sorted((code for code in known if code not in _FIRST), key=lambda code: known[code])
    return [(code, known[code]) for code in (*_FIRST, *rest)]


@cache
def _options(language: str) -> SafeString:
    return format_html_join("", '<option value="{}">{}</option>', countries(language))


class OfSome(forms.CharField):
    """Wanted of some and not of others: its label does not say that it may stay empty."""

    asked = True


def _text(
    label: Any,
    length: int,
    autocomplete: str,
    *,
    required: bool = True,
    kind: type[forms.CharField] = forms.CharField,
    **attrs: str,
) -> forms.CharField:
    return kind(
        label=label,
        max_length=length,
        required=required,
        widget=forms.TextInput(attrs={"autocomplete": autocomplete, **attrs}),
        error_messages={"required": _("Please fill in this field.")},
    )


BUSINESS, PERSON = "business", "person"


class RegisterForm(forms.Form):
    last_name = _text(_("Last name"), 150, "family-name")
    first_name = _text(_("First name"), 150, "given-name")
    kind = forms.ChoiceField(
        label=_("You buy for"),
        choices=[(BUSINESS, _("A company or an association")), (PERSON, _("Yourself, as a private person"))],
        widget=forms.RadioSelect,
        initial=BUSINESS,
        required=False,
    )
    company = _text(_("Company"), 200, "organization", required=False, kind=OfSome)
    email = forms.EmailField(
        label=_("E-mail"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "inputmode": "email", "spellcheck": "false"}),
        error_messages={
            "required": _("Please fill in this field."),
            "invalid": _("This e-mail address is not complete, for example name@company.com."),
        },
    )
    phone = forms.CharField(
        label=_("Telephone"),
        max_length=40,
        widget=forms.TextInput(attrs={"type": "tel", "autocomplete": "tel", "inputmode": "tel"}),
        error_messages={"required": _("Please fill in this field.")},
    )
    country = forms.ChoiceField(
        label=_("Country"),
        choices=lambda: countries((get_language() or "fr")[:2]),
        widget=forms.Select(attrs={"autocomplete": "country"}),
    )
    address = _text(_("Address"), 200, "street-address")
    postcode = _text(_("Postcode"), 20, "postal-code", required=False, kind=OfSome)
    city = _text(_("Town"), 100, "address-level2")
    vat_number = _text(pgettext_lazy("label", "VAT number"), 20, "off", required=False, spellcheck="false")
    siren = _text(_("SIREN"), 20, "off", required=False, kind=OfSome, inputmode="numeric")
    coupon = _text(_("Promo code"), 40, "off", required=False, spellcheck="false", autocapitalize="characters")
    terms = forms.BooleanField(error_messages={"required": _("Please accept the terms and conditions")})
    submission = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(
        self, *args: Any, user: User | None, country: str, organization: Organization | None = None, **kwargs: Any
    ) -> None:
        """`organization` is the one that is bought for, when it is known."""
        super().__init__(*args, **kwargs)
        self.fields["country"].initial = country
        if user is not None:
            for name in ("first_name", "last_name", "phone"):
                self.fields[name].initial = getattr(user, name)
            self.fields["email"].initial = user.email
            self.fields["email"].disabled = True
        if organization is not None:
            self.fields["company"].initial = organization.name
            self._known(details.of(organization))

    def _known(self, known: BillingDetails | None) -> None:
        """What their invoices say already is not typed again."""
        if known is None:
            return
        self.fields["kind"].initial = BUSINESS if known.business else PERSON
        for name in ("country", "address", "postcode", "city", "siren", "vat_number"):
            self.fields[name].initial = getattr(known, name)

    @property
    def country_options(self) -> SafeString:
        """All countries with the chosen one marked. A template would take longer over them than over the whole page."""
        language, chosen = (get_language() or "fr")[:2], str(self["country"].value())
        options = _options(language)
        if chosen not in dict(countries(language)):
            return options
        return SafeString(options.replace(f'"{chosen}"', f'"{chosen}" selected', 1))

    def clean_email(self) -> str:
        return normalise_email(self.cleaned_data["email"])

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        country = said.get("country", "")
        self._who(said, country)
        if country == "FR" and not said.get("postcode"):
            self.add_error("postcode", _("Please fill in this field."))
        if country != "FR":
            said["siren"] = ""
        if country not in EU:
            said["vat_number"] = ""
        self._phone(said, country)
        if said.get("vat_number"):
            try:
                said["vat_number"] = vat_numbers.tidy(said["vat_number"], country)
            except vat_numbers.NotWellFormed:
                self.add_error(
                    "vat_number", _("This VAT number does not fit the country. Check it, or leave it empty.")
                )
        if said.get("siren"):
            try:
                said["siren"] = vat_numbers.tidy_siren(said["siren"])
            except vat_numbers.NotWellFormed:
                self.add_error(
                    "siren", _("A SIREN has nine digits, and one of these is wrong. Check it, or leave it empty.")
                )
        return said

    def _who(self, said: dict[str, Any], country: str) -> None:
        """A company has a name, and in France a SIREN, without which its invoice could not be made out."""
        if said.get("kind") == PERSON:
            said["company"] = said["siren"] = said["vat_number"] = ""
        if said.get("kind") != BUSINESS:
            return
        if not said.get("company"):
            self.add_error("company", _("Please enter the name of your company."))
        elif country == "FR" and sellers.current().country == "FR" and not said.get("siren"):
            self.add_error(
                "siren", _("French law wants the SIREN of the company on its invoices: nine digits, free to look up.")
            )

    def _phone(self, said: dict[str, Any], country: str) -> None:
        if not said.get("phone"):
            return
        said["phone"] = phones.international(said["phone"], country)
        if not said["phone"]:
            self.add_error(
                "phone",
                _("This telephone number is not complete. With its country code it always works: +33 6 12 34 56 78."),
            )

    def buyer(self, *, vat_number_valid: bool | None) -> Buyer:
        """Who buys, once the form is valid."""
        said = self.cleaned_data
        names = ("first_name", "last_name", "company", "email", "phone", "country", "address", "postcode", "city")
        return Buyer(
            **{name: said[name] for name in names},
            vat_number=said["vat_number"],
            vat_number_valid=vat_number_valid,
            siren=said["siren"],
        )
