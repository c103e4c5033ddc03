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


def readable(number: str) -> str:
    """An E.164 number in groups as people write it: `+237 6 71 23 45 67`. What is none comes back as it is."""
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return number
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL))


def example(region: str) -> str:
    """A mobile number of the country that nobody has, in groups; empty for a country without one."""
    number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)) if number else ""
