"""States of a bank transfer that is expected; who confirmed what is in its confirmations."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

AWAITING, UPLOADED, REVIEW, PARTIAL, SECOND = "awaiting", "uploaded", "review", "partial", "second"
CONFIRMED, PARKED, REFUSED, LAPSED, LATE, RECALLED = "confirmed", "parked", "refused", "lapsed", "late", "recalled"

CHOICES = [
    (AWAITING, _("Expected")),
    (UPLOADED, _("Receipt sent in")),
    (REVIEW, _("Being checked")),
    (PARTIAL, _("Part has arrived")),
    (SECOND, _("Waits for a second person")),
    (CONFIRMED, _("Confirmed")),
    (PARKED, _("Other currency")),
    (REFUSED, _("Refused")),
    (LAPSED, _("Lapsed")),
    (LATE, _("Arrived too late")),
    (RECALLED, _("Recalled by the bank")),
]

# Money for the order may still come or be confirmed.
OPEN = (AWAITING, UPLOADED, REVIEW, PARTIAL, SECOND)
# Somebody has to look: a receipt was sent in, part is missing, a second person is asked. What is parked waits with all
# other payments that came in otherwise than asked.
TO_CONFIRM = (UPLOADED, REVIEW, PARTIAL, SECOND)
# The whole sum is on the account.
CAME = (CONFIRMED, LATE)
# Nobody waits for it any more; what comes all the same is the customer's.
CLOSED = (REFUSED, LAPSED)

_GOES_ON = frozenset({PARTIAL, SECOND, CONFIRMED, PARKED, REFUSED})
TRANSITIONS = {
    AWAITING: _GOES_ON | {UPLOADED, REVIEW, LAPSED},
    # With a receipt, money is probably on its way: only a person ends that.
    UPLOADED: _GOES_ON | {AWAITING, REVIEW},
    REVIEW: _GOES_ON | {AWAITING},
    PARTIAL: _GOES_ON - {PARTIAL},
    SECOND: (_GOES_ON - {SECOND}) | {AWAITING, REVIEW},
    PARKED: frozenset({REFUSED}),
    CONFIRMED: frozenset({RECALLED}),
    REFUSED: frozenset({LATE}),
    LAPSED: frozenset({LATE}),
    LATE: frozenset({RECALLED}),
    RECALLED: frozenset(),
}
