"""The accounts money is booked on: a small part of the French chart of accounts (plan comptable général).

The numbers are what accountants and their programs know; the names are for people. Debits are positive.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from parcelle.domain.billing import taxes


@dataclass(frozen=True, kw_only=True)
class Account:
    code: str
    name: str | Promise


CUSTOMERS = "411000"
# What we owe customers: paid too much, or credited and not paid back.
CREDIT = "419100"
# Money that came in otherwise than asked, until a human looked.
SUSPENSE = "471000"
BANK = "512000"
FEES = "627000"
LOSSES = "654000"
CHARGES = "658000"

# What the services hold for us until they pay it out; a transfer arrives on the bank account itself.
RAILS = {
    "bank_transfer": BANK,
    "paypal": "517100",
    "mtn_momo": "517200",
    "stripe": "517300",
    "fake": "517900",
}
_OTHER_RAILS = "517800"

# By category of EN 16931; what is neither is sold as usual.
_SALES = {
    taxes.STANDARD: "706100",
    taxes.REVERSE_CHARGE: "706200",
    taxes.OUT_OF_SCOPE: "706300",
    taxes.EXEMPT: "706400",
}
_VAT = "44571"

# Those that say whose they are.
OF_CUSTOMERS = (CUSTOMERS, CREDIT)

_NAMES: dict[str, str | Promise] = {
    CUSTOMERS: _("Customers"),
    CREDIT: _("Customers, credit"),
    SUSPENSE: _("Waiting to be looked at"),
    BANK: _("Bank"),
    FEES: _("Bank and payment fees"),
    LOSSES: _("Losses on receivables"),
    CHARGES: _("Other charges"),
    "517100": "PayPal",
    "517200": "MTN Mobile Money",
    "517300": "Stripe",
    _OTHER_RAILS: _("Other payment services"),
    "517900": _("Test payment"),
    "706100": _("Services, with VAT"),
    "706200": _("Services, VAT owed by the customer (EU)"),
    "706300": _("Services, outside the EU"),
    "706400": _("Services, exempt from VAT"),
}


def rail(gateway: str) -> str:
    """Where the money of a payment service arrives."""
    return RAILS.get(gateway, _OTHER_RAILS)


def sales(category: str) -> str:
    return _SALES.get(category, _SALES[taxes.STANDARD])


def vat(rate: Decimal) -> str:
    """The account of the VAT collected at a rate in percent: `44571200` for 20 %, `44571055` for 5,5 %."""
    return f"{_VAT}{int(rate * 10):03d}"


def account(code: str) -> Account:
    return Account(code=code, name=_NAMES.get(code) or _name_of_vat(code) or code)


def _name_of_vat(code: str) -> Promise | None:
    if not re.fullmatch(rf"{_VAT}\d{{3}}", code):
        return None
    percent = f"{Decimal(code[len(_VAT) :]) / 10:f}".removesuffix(".0")
    return format_lazy("{name} {percent} %", name=_("VAT collected"), percent=percent)
