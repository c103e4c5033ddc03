"""Telephone numbers as people type them."""

from __future__ import annotations

import phonenumbers


def international(typed: str, region: str) -> str:
    """E.164, or empty when this cannot be a number. Lenient: one that might exist is good enough.

    `region` is the country (ISO 3166 alpha-2) whose numbers may be written without a prefix.
    """
    try:
        number = phonenumbers.parse(typed, region or None)
    except phonenumbers.NumberParseException:
        return ""
    if not phonenumbers.is_possible_number(number):
        return ""
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
