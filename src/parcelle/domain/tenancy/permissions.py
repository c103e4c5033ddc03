"""Who may do what: the one table, which every page and route asks, and which `/team` shows as it is."""

from __future__ import annotations

from parcelle.domain.tenancy.models import Membership

OWNER, ADMIN, MEMBER, VIEWER = Membership.OWNER, Membership.ADMIN, Membership.MEMBER, Membership.VIEWER
# From the one who may do everything to the one who only looks.
ROLES = (OWNER, ADMIN, MEMBER, VIEWER)

_ALL = frozenset(ROLES)
_STAFF = frozenset({OWNER, ADMIN, MEMBER})
_MANAGERS = frozenset({OWNER, ADMIN})
_OWNERS = frozenset({OWNER})

SEE = "see"
SEE_INVOICES = "see_invoices"
RETRY = "retry"
CHECK_DOMAINS = "check_domains"
SEE_ACCESS = "see_access"
CHANGE_DOMAINS = "change_domains"
PAY = "pay"
CHANGE_SUBSCRIPTION = "change_subscription"
CHANGE_BILLING = "change_billing"
MANAGE_TEAM = "manage_team"
CHANGE_SETTINGS = "change_settings"
MAKE_OWNERS = "make_owners"

TABLE: dict[str, frozenset[str]] = {
    # The spaces, how they stand, their domains and who belongs to the organization.
    SEE: _ALL,
    # Invoices, payments and the account.
    SEE_INVOICES: _ALL,
    # Try again what could not be created.
    RETRY: _STAFF,
    CHECK_DOMAINS: _STAFF,
    # The first password of a space.
    SEE_ACCESS: _MANAGERS,
    CHANGE_DOMAINS: _MANAGERS,
    # Order, pay, and send in what proves a payment.
    PAY: _MANAGERS,
    # Another plan, add-ons, pause, cancel.
    CHANGE_SUBSCRIPTION: _MANAGERS,
    # To whom invoices are made out, and what renewals are taken from.
    CHANGE_BILLING: _MANAGERS,
    # Invite, change roles, remove; of owners only owners.
    MANAGE_TEAM: _MANAGERS,
    CHANGE_SETTINGS: _MANAGERS,
    # Make somebody an owner, take that away, hand the organization over.
    MAKE_OWNERS: _OWNERS,
}


def may(role: str | None, action: str) -> bool:
    """Whether somebody with this role, or none, may do it."""
    return role in TABLE[action]


def may_touch(role: str | None, other: str) -> bool:
    """Whether somebody with this role may change or remove somebody who has the other one, or give it."""
    return may(role, MAKE_OWNERS if other == OWNER else MANAGE_TEAM)
