"""States of a payment, which is one attempt on one rail; they only move forward."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

CREATED, SUBMITTED, PENDING, UNKNOWN, PARKED = "created", "submitted", "pending", "unknown", "parked"
PAID, PAID_LATE, DECLINED, EXPIRED, ABANDONED = "paid", "paid_late", "declined", "expired", "abandoned"
PARTLY_REFUNDED, REFUNDED, CHARGED_BACK = "partly_refunded", "refunded", "charged_back"

CHOICES = [
    (CREATED, _("Not begun")),
    (SUBMITTED, _("Handed to the payment service")),
    (PENDING, _("Waiting for the customer")),
    (UNKNOWN, _("Outcome unknown")),
    (PARKED, _("Needs a human")),
    (PAID, _("Paid")),
    (PAID_LATE, _("Paid too late")),
    (DECLINED, _("Declined")),
    (EXPIRED, _("Lapsed")),
    (ABANDONED, _("Given up")),
    (PARTLY_REFUNDED, _("Partly refunded")),
    (REFUNDED, _("Refunded")),
    (CHARGED_BACK, _("Charged back")),
]

# While an attempt is in one of these, its order takes no other: money may be on its way.
BLOCKING = (SUBMITTED, PENDING, UNKNOWN, PARKED)
# Somebody asks the payment service about these until they are settled.
UNSETTLED = (SUBMITTED, PENDING, UNKNOWN)

TRANSITIONS = {
    CREATED: frozenset({SUBMITTED, ABANDONED}),
    SUBMITTED: frozenset({PENDING, PAID, DECLINED, UNKNOWN, PARKED}),
    PENDING: frozenset({PAID, DECLINED, EXPIRED, UNKNOWN, PARKED}),
    # Only a human gives up what may have been paid.
    UNKNOWN: frozenset({PENDING, PAID, DECLINED, EXPIRED, ABANDONED, PARKED}),
    PARKED: frozenset({PAID, REFUNDED}),
    DECLINED: frozenset({PAID_LATE}),
    EXPIRED: frozenset({PAID_LATE}),
    ABANDONED: frozenset({PAID_LATE}),
    PAID: frozenset({PARTLY_REFUNDED, REFUNDED, CHARGED_BACK}),
    PAID_LATE: frozenset({PARTLY_REFUNDED, REFUNDED, CHARGED_BACK}),
    PARTLY_REFUNDED: frozenset({REFUNDED, CHARGED_BACK}),
    REFUNDED: frozenset(),
    CHARGED_BACK: frozenset({PAID}),
}
