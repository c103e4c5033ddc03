"""States of instances, operations, steps and templates, and which may follow which."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

# --- instance -------------------------------------------------------------------------------------------
REQUESTED, PROVISIONING, LIVE, SLEEPING = "requested", "provisioning", "live", "sleeping"
SUSPENDED, ARCHIVED, FAILED, STANDBY = "suspended", "archived", "failed", "standby"

INSTANCE_CHOICES = [
    (REQUESTED, _("Requested")),
    (PROVISIONING, _("Being created")),
    (STANDBY, _("Standby")),
    (LIVE, _("Live")),
    (SLEEPING, _("Sleeping")),
    (SUSPENDED, _("Suspended")),
    (ARCHIVED, _("Archived")),
    (FAILED, _("Failed")),
]

INSTANCE_TRANSITIONS = {
    REQUESTED: frozenset({PROVISIONING, FAILED, ARCHIVED}),
    PROVISIONING: frozenset({LIVE, STANDBY, FAILED}),
    STANDBY: frozenset({FAILED, ARCHIVED}),
    LIVE: frozenset({SLEEPING, SUSPENDED, ARCHIVED}),
    SLEEPING: frozenset({LIVE, SUSPENDED, ARCHIVED}),
    SUSPENDED: frozenset({LIVE, ARCHIVED}),
    FAILED: frozenset({REQUESTED, ARCHIVED}),
    ARCHIVED: frozenset(),
}

# What an instance can be asked for, and what it then becomes.
CHANGES = {"suspend": SUSPENDED, "resume": LIVE, "archive": ARCHIVED, "sleep": SLEEPING, "wake": LIVE}


def may_change(state: str, kind: str) -> bool:
    """Whether an instance in `state` can be asked to do one of `CHANGES`."""
    if kind in {"resume", "wake"}:
        return state == {"resume": SUSPENDED, "wake": SLEEPING}[kind]
    # A standby belongs to the pool, which may hand it out at any moment.
    return state != STANDBY and CHANGES[kind] in INSTANCE_TRANSITIONS[state]


# While in one of these an instance holds its name; in the others the name is free again.
HOLDING_NAME = (REQUESTED, PROVISIONING, LIVE, SLEEPING, SUSPENDED)

# --- operation ------------------------------------------------------------------------------------------
QUEUED, RUNNING, WAITING, UNDOING, SUCCEEDED = "queued", "running", "waiting", "undoing", "succeeded"
# FAILED as above

OPERATION_CHOICES = [
    (QUEUED, _("Queued")),
    (RUNNING, _("Running")),
    (WAITING, _("Waiting")),
    (UNDOING, _("Being undone")),
    (SUCCEEDED, _("Succeeded")),
    (FAILED, _("Failed")),
]
UNFINISHED = (QUEUED, RUNNING, WAITING, UNDOING)

# --- step -----------------------------------------------------------------------------------------------
PENDING, SKIPPED = "pending", "skipped"

STEP_CHOICES = [
    (PENDING, _("Pending")),
    (RUNNING, _("Running")),
    (SUCCEEDED, _("Done")),
    (FAILED, _("Failed")),
    (SKIPPED, _("Not needed")),
]

# --- template -------------------------------------------------------------------------------------------
BUILDING, READY, RETIRED = "building", "ready", "retired"

TEMPLATE_CHOICES = [
    (BUILDING, _("Being built")),
    (READY, _("Ready")),
    (FAILED, _("Failed")),
    (RETIRED, _("Retired")),
]
TEMPLATE_TRANSITIONS = {
    BUILDING: frozenset({READY, FAILED}),
    # Built again when its target has lost it.
    READY: frozenset({BUILDING, RETIRED}),
    FAILED: frozenset({BUILDING, RETIRED}),
    RETIRED: frozenset(),
}

# --- drift ----------------------------------------------------------------------------------------------
MISSING, UNKNOWN, STOPPED, AWAKE = "missing", "unknown", "stopped", "awake"
HALF_MADE, LEASED = "half_made", "leased"

FINDING_CHOICES = [
    (MISSING, _("Missing")),
    (UNKNOWN, _("Unknown")),
    (STOPPED, _("Stopped")),
    (AWAKE, _("Runs although it should rest")),
    (HALF_MADE, _("Half-made")),
    (LEASED, _("Reserved for nobody")),
]

# --- route ----------------------------------------------------------------------------------------------
# LIVE, SLEEPING and SUSPENDED as above: what answers at an instance's address.
MAINTENANCE = "maintenance"

ROUTE_CHOICES = [
    (LIVE, _("Live")),
    (SLEEPING, _("Sleeping")),
    (SUSPENDED, _("Suspended")),
    (MAINTENANCE, _("Maintenance")),
]

# --- domain ---------------------------------------------------------------------------------------------
DNS_OK, CERT_ISSUING, BROKEN, REMOVED = "dns_ok", "cert_issuing", "broken", "removed"
# PENDING and LIVE as above

DOMAIN_CHOICES = [
    (PENDING, _("Waiting for its DNS records")),
    (DNS_OK, _("DNS records found")),
    (CERT_ISSUING, _("Certificate being made")),
    (LIVE, _("Live")),
    (BROKEN, _("Broken")),
    (REMOVED, _("Removed")),
]
DOMAIN_TRANSITIONS = {
    PENDING: frozenset({DNS_OK, REMOVED}),
    DNS_OK: frozenset({CERT_ISSUING, REMOVED}),
    CERT_ISSUING: frozenset({LIVE, BROKEN, REMOVED}),
    LIVE: frozenset({BROKEN, REMOVED}),
    BROKEN: frozenset({CERT_ISSUING, REMOVED}),
    REMOVED: frozenset(),
}
# While in one of these a domain is proven to be its customer's, and nobody else's.
HOLDING_DOMAIN = (DNS_OK, CERT_ISSUING, LIVE, BROKEN)
