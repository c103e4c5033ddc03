"""What is wrong with a field, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

_OF_FIELD: dict[str, Promise] = {
    "clientName": _("3 to 50 characters: lower-case letters without accents, digits and hyphens."),
    "email": _("This e-mail address is not complete, for example name@company.com."),
    "adminEmail": _("This e-mail address is not complete, for example name@company.com."),
    "companyName": _("One line of text, 1 to 200 characters."),
    **dict.fromkeys(("firstName", "lastName"), _("One line of text, 1 to 150 characters.")),
    **dict.fromkeys(("address", "city", "postcode"), _("One line of text that is not too long.")),
    "country": _("Two capitals, such as FR or CM (ISO 3166)."),
    "currency": _("Three capitals, such as EUR or XAF (ISO 4217)."),
    "vatNumber": _("This VAT number does not fit the country. Check it, or leave it out."),
    "valueDate": _("A date as year-month-day, such as 2026-03-03."),
    "siren": _("A SIREN has nine digits, and one of these is wrong. Check it, or leave it out."),
    **dict.fromkeys(("couponCode", "code"), _("3 to 40 letters, digits, hyphens and underscores.")),
    "method": _("The name of one of the order’s ways to pay, such as “paypal”."),
    "language": _("“fr” or “en”."),
    "phone": _("Digits, with the country code first: +33 6 12 34 56 78."),
    "Idempotency-Key": _("1 to 255 visible characters without blanks or accents."),
}
_OF_CODE: dict[str, Promise] = {
    "missing": _("This field is required."),
    "extra_forbidden": _("This field is not known."),
    "string_type": _("This must be a text."),
    "postcode_required": _("French law wants the postcode of a customer in France on their invoices."),
    "siren_required": _("French law wants the SIREN of the company on its invoices: nine digits, free to look up."),
    "int_parsing": _("This must be a whole number."),
    "int_type": _("This must be a whole number."),
    "model_attributes_type": _("This must be a JSON object."),
    "model_type": _("This must be a JSON object."),
    "dict_type": _("This must be a JSON object."),
    **dict.fromkeys(("uuid_parsing", "uuid_type"), _("This must be an identifier as the API gave it.")),
    "literal_error": _("One of %(expected)s."),
    "string_too_long": _("This is too long."),
    "greater_than_equal": _("This number must be at least %(ge)s."),
    "less_than_equal": _("This number must be at most %(le)s."),
}
# Said about the value, whatever the field expects of it.
_PLAIN_CODES = {"missing", "extra_forbidden", "string_type", "siren_required", "postcode_required"}


def sentence(field: str, code: str, context: Mapping[str, Any]) -> str:
    """One sentence about a field that failed validation with this code."""
    words = _OF_CODE.get(code) if code in _PLAIN_CODES else _OF_FIELD.get(field, _OF_CODE.get(code))
    if words is None:
        return _now("This value is not valid.")
    text = str(words)
    if "%(" not in text:
        return text
    # Pydantic joins with an English "or".
    return text % {**context, "expected": ", ".join(re.findall(r"'([^']*)'", str(context.get("expected", ""))))}
