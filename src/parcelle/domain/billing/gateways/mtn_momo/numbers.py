"""Telephone numbers as MTN names wallets: MSISDN, with the country's code, digits only."""

from __future__ import annotations

import phonenumbers
from phonenumbers import carrier


class CannotPay(Exception):
    """No wallet of this market can have the number. `code` is one of DECLINE_CODES."""

    def __init__(self, code: str, remark: str) -> None:
        super().__init__(remark)
        self.code = code
        self.remark = remark


def msisdn(phone: str, *, country: str) -> str:
    """`phone` as typed or in E.164; `country` is the market's, empty for the sandbox, which takes any number.

    Another operator is refused only where a number cannot be taken along to MTN: elsewhere only MTN knows.
    Raises CannotPay.
    """
    try:
        number = phonenumbers.parse(phone, country or None)
    except phonenumbers.NumberParseException:
        raise CannotPay("wrong_number", "not a telephone number") from None
    digits = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")
    if not country:
        return digits
    if phonenumbers.region_code_for_number(number) != country or not phonenumbers.is_valid_number(number):
        raise CannotPay("wrong_number", f"not a number of {country}")
    operator = carrier.name_for_number(number, "en")
    if operator and "MTN" not in operator.upper() and not phonenumbers.is_mobile_number_portable_region(country):
        raise CannotPay("wrong_operator", f"a number of {operator}")
    return digits
