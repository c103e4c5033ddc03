"""Roles and what they may do, as a member reads them."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from parcelle.domain.tenancy import permissions
from parcelle.domain.tenancy.models import Membership

ROLES: dict[str, Promise] = {
    Membership.OWNER: _("Owner"),
    Membership.ADMIN: _("Administrator"),
    Membership.MEMBER: _("Member"),
    Membership.VIEWER: _("Viewer"),
}
ACTIONS: dict[str, Promise] = {
    permissions.SEE: _("See applications, subscriptions and members"),
    permissions.SEE_INVOICES: _("See and download invoices"),
    permissions.RETRY: _("Try again what could not be created"),
    permissions.CHECK_DOMAINS: _("Have a domain checked"),
    permissions.SEE_ACCESS: _("See the first password of an application"),
    permissions.CHANGE_DOMAINS: _("Add and remove domains"),
    permissions.PAY: _("Order and pay"),
    permissions.CHANGE_SUBSCRIPTION: _("Change, pause and cancel a subscription"),
    permissions.CHANGE_BILLING: _("Change billing details and the saved way to pay"),
    permissions.MANAGE_TEAM: _("Invite people, change roles, remove members"),
    permissions.CHANGE_SETTINGS: _("Change the organization’s details"),
    permissions.MAKE_OWNERS: _("Appoint owners and hand the organization over"),
}


@dataclass(frozen=True)
class Line:
    """One action, and for each role whether it may."""

    words: Promise
    cells: list[tuple[Promise, bool]]


def table() -> list[Line]:
    """The table of permissions, row by row in its own order."""
    return [
        Line(ACTIONS[action], [(ROLES[role], role in allowed) for role in permissions.ROLES])
        for action, allowed in permissions.TABLE.items()
    ]
