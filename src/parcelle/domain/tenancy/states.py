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

TRANSITIONS = {
    PENDING: frozenset({ACTIVE, CANCELLED}),
    ACTIVE: frozenset({SUSPENDED, CANCELLED, EXPIRED}),
    SUSPENDED: frozenset({ACTIVE, CANCELLED, EXPIRED}),
    EXPIRED: frozenset({ACTIVE, CANCELLED}),
    CANCELLED: frozenset(),
}
