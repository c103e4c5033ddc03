"""Invoices as a customer reads them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


@dataclass(frozen=True)
class Standing:
    """`look` is one of the states that the style sheet knows."""

    text: Promise
    look: str


STANDINGS: dict[str, Standing] = {
    "waiting": Standing(_("In preparation"), "requested"),
    "open": Standing(_("To be paid"), "suspended"),
    "part_paid": Standing(_("Partly paid"), "suspended"),
    "paid": Standing(pgettext_lazy("an invoice", "Paid"), "live"),
    "overdue": Standing(_("Overdue"), "failed"),
    "credited": Standing(_("Cancelled by a credit note"), "archived"),
    "issued": Standing(_("Credit note"), "live"),
}

# What only the customer can tell us.
_MISSING: dict[str, Promise] = {
    "buyer_name": _("the name"),
    "buyer_address": _("the address"),
    "buyer_postcode": _("the postcode"),
    "buyer_city": _("the town"),
    "buyer_email": _("the e-mail address"),
    "buyer_siren": _("the SIREN of your company"),
    "buyer_vat_number": _("a valid VAT number"),
}


def missing_from_buyer(problems: Iterable[dict[str, str]]) -> list[str]:
    return [str(_MISSING[problem["code"]]) for problem in problems if problem["code"] in _MISSING]
