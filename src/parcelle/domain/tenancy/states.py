"""States of an organization."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

PENDING, ACTIVE, SUSPENDED, CANCELLED, EXPIRED = "pending", "active", "suspended", "cancelled", "expired"

CHOICES = [
    (PENDING, _("Pending")),
    (ACTIVE, _("Active")),
    (SUSPENDED, _("Suspended")),
    (CANCELLED, _("Cancelled")),
    (EXPIRED, _("Expired")),
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
