"""What ways to pay are called, for whoever operates them; the pages of customers have words of their own."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

NAMES: dict[str, Promise] = {
    "fake": _("Test payment"),
    "stripe": _("Card (Stripe)"),
    "paypal": _("PayPal"),
    "mtn_momo": _("MTN Mobile Money"),
    "bank_transfer": _("Bank transfer"),
}


def name_of(gateway: str) -> str:
    return str(NAMES.get(gateway, gateway))
