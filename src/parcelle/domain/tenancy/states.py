"""States of an organization."""

from __future__ import annotations

from django.utils.translation import pgettext_lazy

PENDING, ACTIVE, SUSPENDED, CANCELLED, EXPIRED = "pending", "active", "suspended", "cancelled", "expired"

CHOICES = [
    (PENDING, pgettext_lazy("an organization", "Pending")),
    (ACTIVE, pgettext_lazy("an organization", "Active")),
    (SUSPENDED, pgettext_lazy("an organization", "Suspended")),
    (CANCELLED, pgettext_lazy("an organization", "Cancelled")),
    (EXPIRED, pgettext_lazy("an organization", "Expired")),
]

# Their members get in only to pay, to read their invoices and to leave.
CLOSED = frozenset({SUSPENDED, CANCELLED, EXPIRED})

TRANSITIONS = {
    PENDING: frozenset({ACTIVE, CANCELLED}),
    ACTIVE: frozenset({SUSPENDED, CANCELLED, EXPIRED}),
    SUSPENDED: frozenset({ACTIVE, CANCELLED, EXPIRED}),
    EXPIRED: frozenset({ACTIVE, CANCELLED}),
    CANCELLED: frozenset(),
}
