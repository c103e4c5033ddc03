"""States of an order."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

OPEN, PAID, FULFILLED, EXPIRED = "open", "paid", "fulfilled", "expired"

CHOICES = [
    (OPEN, _("Waiting for payment")),
    (PAID, pgettext_lazy("an order", "Paid")),
    (FULFILLED, _("Fulfilled")),
    (EXPIRED, _("Lapsed")),
]

TRANSITIONS = {
    OPEN: frozenset({PAID, EXPIRED}),
    PAID: frozenset({FULFILLED}),
    FULFILLED: frozenset(),
    EXPIRED: frozenset(),
}
