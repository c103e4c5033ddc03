"""Why an instance could not be made or changed, in words for customers and integrators; for every surface to show.

What the step itself said is technical and in one language: it belongs to operators, in the back office and the log.
"""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

_LATER = _("try again in a few minutes; if it persists, contact us.")

# What went wrong and what to do next, by the code of a ProvisioningError; a test holds them to be complete.
CAUSES: dict[str, Promise] = {
    "step_failed": _("something unforeseen stopped it; try again in a few minutes, and contact us if it persists."),
    **dict.fromkeys(("target_full", "disk_full"), _("no room is left for a new application; try again in an hour.")),
    "image_missing": _("the application could not be fetched; try again in a few minutes."),
    "port_taken": _("no address was free for the application; try again in a few minutes."),
    "subnet_taken": _("no private network was free for the application; try again in a few minutes."),
    "route_refused": _("its address could not be opened; contact us, we will do it by hand."),
    "name_in_use": _("this name is still being cleared from our servers; choose another one, or contact us."),
    "service_failed": _("the application did not start; try again in a few minutes, and contact us if it persists."),
    "template_failed": _("the application could not be prepared; contact us, we have to mend it first."),
    "update_rolled_back": _("the new version did not start, so the old one goes on; there is nothing you need to do."),
    "nothing_to_do": _("there was nothing left to do; reload the page to see how things stand, or contact us."),
    "changed_meanwhile": _("it changed in the meantime, so nothing was touched; try again in a few minutes."),
    "cannot_be_saved": _("no copy of its data could be made, so nothing was touched; contact us, we will save them."),
    **dict.fromkeys(
        (
            "credentials_refused",
            "certificate_unknown",
            "certificate_changed",
            "environment_unknown",
            "settings_refuse",
            "compose_refused",
        ),
        _("our hosting platform refused it; contact us, trying again will not help."),
    ),
}

# These have a message of their own instead of a cause.
UNREACHABLE = {"target_unreachable": _LATER, **dict.fromkeys(("wrong_address", "no_swarm"), _LATER)}
TIMEOUT = "timeout"

# Why a sign-up was not stored, by the code of a RegistrationFailed.
_REGISTRATION: dict[str, Promise] = {
    "not_on_sale": _("this offer is no longer on sale; choose another one on the prices page."),
    "not_provided": _("this product cannot be opened at present; contact us, we have to mend it first."),
    "not_stored": _("our database could not keep it, and nothing was registered; try again in a few minutes."),
}


def sentence(code: str, *, kind: str = "create") -> str:
    """Why an operation of this kind failed, and what to do next."""
    if kind == "create" and code in UNREACHABLE:
        return gettext("Deployment target unreachable: %(advice)s") % {"advice": UNREACHABLE[code]}
    if kind == "create" and code == TIMEOUT:
        return gettext("Timeout: creating the stack took too long")
    if kind == "create":
        return gettext("Error while creating the stack: %(detail)s") % {"detail": cause(code)}
    return gettext("The operation failed: %(detail)s") % {"detail": cause(code)}


def cause(code: str) -> str:
    """The same without saying what was being done, for after a colon."""
    if code in UNREACHABLE:
        return gettext("our hosting platform does not answer; %(advice)s") % {"advice": UNREACHABLE[code]}
    if code == TIMEOUT:
        return gettext("it took too long; %(advice)s") % {"advice": _LATER}
    return str(CAUSES.get(code, CAUSES["step_failed"]))


def registration(code: str, reference: str) -> str:
    """Why nothing was registered; the reference finds it in the log."""
    detail = gettext("%(cause)s (reference %(reference)s)") % {"cause": _REGISTRATION[code], "reference": reference}
    return gettext("Registration error: %(detail)s") % {"detail": detail}
