"""The fields of an organization's billing details, and how they are checked."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.utils.translation import get_language, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from parcelle.domain.billing import vat_numbers
from parcelle.domain.billing.models import BillingDetails
from parcelle.domain.billing.taxes import EU
from parcelle.domain.tenancy.models import Organization
from parcelle.surfaces.portal.register_form import OfSome, countries


class BillingForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = BillingDetails
        fields = [
            "name",
            "business",
            "person",
            "email",
            "address",
            "postcode",
            "city",
            "country",
            "siren",
            "vat_number",
            "purchase_order",
        ]

    def __init__(self, data: Any, *, known: BillingDetails | None, organization: Organization) -> None:
        super().__init__(data, instance=known, initial=None if known else {"name": organization.name})
        self.organization = organization
        self.number_before = known.vat_number if known else ""
        words: dict[str, Any] = {
            "name": _("Company or name on the invoice"),
            "business": _("I buy for a business"),
            "person": _("To the attention of"),
            "email": _("E-mail for invoices"),
            "address": _("Address"),
            "city": _("Town"),
            "vat_number": pgettext_lazy("label", "VAT number"),
            "purchase_order": _("Your purchase order number"),
        }
        for name, label in words.items():
            self.fields[name].label = label
        self.fields["country"] = forms.ChoiceField(label=_("Country"), choices=countries((get_language() or "fr")[:2]))
        for name in ("email", "address", "city"):
            self.fields[name].required = True
        # A SIRET is longer, and is shortened.
        self.fields["siren"] = OfSome(label=_("SIREN"), max_length=20, required=False)
        self.fields["postcode"] = OfSome(label=_("Postcode"), max_length=20, required=False)
        for name, autocomplete in (("email", "email"), ("address", "street-address"), ("postcode", "postal-code")):
            self.fields[name].widget.attrs["autocomplete"] = autocomplete

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        country = said.get("country", "")
        if country == "FR" and not said.get("postcode"):
            self.add_error("postcode", _("Please fill in this field."))
        if country != "FR" or not said.get("business"):
            said["siren"] = ""
        if country not in EU or not said.get("business"):
            said["vat_number"] = ""
        if said.get("siren"):
            try:
                said["siren"] = vat_numbers.tidy_siren(said["siren"])
            except vat_numbers.NotWellFormed:
                self.add_error("siren", _("A SIREN has nine digits, and one of these is wrong."))
        elif country == "FR" and said.get("business"):
            self.add_error("siren", _("French law wants the SIREN of the company on its invoices."))
        if said.get("vat_number"):
            try:
                said["vat_number"] = vat_numbers.tidy(said["vat_number"], country)
            except vat_numbers.NotWellFormed:
                self.add_error(
                    "vat_number", _("This VAT number does not fit the country. Check it, or leave it empty.")
                )
        return said

    def save(self, *, now: datetime) -> BillingDetails:  # type: ignore[override]
        row: BillingDetails = self.instance
        row.organization, row.updated_at = self.organization, now
        if row.vat_number != self.number_before:
            row.vat_number_valid = vat_numbers.is_registered(row.vat_number) if row.vat_number else None
        row.save()
        return row
