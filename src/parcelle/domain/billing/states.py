"""States of a subscription."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

TRIALING, ACTIVE, PAST_DUE, SUSPENDED, ENDED = "trialing", "active", "past_due", "suspended", "ended"

# A customer with one of these has something running, or will have once they pay.
LIVE = (TRIALING, ACTIVE, PAST_DUE)

# Why a subscription is suspended.
TRIAL, UNPAID, CANCELLED, PAUSED = "trial", "unpaid", "cancelled", "paused"

REASONS = [
    (TRIAL, _("The trial ended")),
    (UNPAID, _("Not paid")),
    (CANCELLED, _("Cancelled")),
    (PAUSED, _("Paused")),
]

CHOICES = [
    (TRIALING, _("Trial")),
    (ACTIVE, _("Active")),
    (PAST_DUE, _("Payment overdue")),
    (SUSPENDED, _("Suspended")),
    (ENDED, _("Ended")),
]

TRANSITIONS = {
    TRIALING: frozenset({ACTIVE, SUSPENDED, ENDED}),
    ACTIVE: frozenset({PAST_DUE, SUSPENDED, ENDED}),
    PAST_DUE: frozenset({ACTIVE, SUSPENDED, ENDED}),
    # By payment alone: a trial that is over does not begin again.
    SUSPENDED: frozenset({ACTIVE, ENDED}),
    ENDED: frozenset(),
}
