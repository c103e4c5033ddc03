"""The anti-robot puzzle of the trial form.

A puzzle is signed together with the form's submission id. A solution is therefore worth exactly one
submission, and a submission makes at most one instance however often it arrives: nothing needs to be
remembered to stop a solution from being used again, and a double click is not mistaken for an attack.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import altcha
from django import forms
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_altcha import AltchaField, AltchaWidget, get_hmac_key

LIFETIME = timedelta(minutes=20)
# About 25,000 hashes on average: a second on an old telephone, less elsewhere.
HARDNESS = 50_000


class PuzzleWidget(AltchaWidget):
    template_name = "portal/parts/puzzle.html"


class PuzzleField(AltchaField):
    """The solved puzzle, which the widget adds to the form by itself. Made anew for each form."""

    widget = PuzzleWidget
    default_error_messages = {
        "required": _("The anti-robot check had not finished. Please send the form again."),
        "invalid": _("The anti-robot check was out of date. It has been done again: please send the form once more."),
        "error": _("The anti-robot check was out of date. It has been done again: please send the form once more."),
    }

    def __init__(self, *, submission: str) -> None:
        self.submission = submission
        strings = {
            "label": gettext("Anti-robot check"),
            "verifying": gettext("Anti-robot check under way…"),
            "verified": gettext("Anti-robot check done"),
            "error": gettext("The anti-robot check failed. Reload the page to try again."),
            "expired": gettext("The anti-robot check has expired. Please tick the box again."),
            "waitAlert": gettext("The anti-robot check is about to finish. Please try again in a second."),
        }
        super().__init__(challengeurl=f"{reverse('trial_puzzle')}?submission={submission}", strings=strings)

    def replay_attack_protection(self, payload: str) -> None:
        if self.submission != submission_of(payload):
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")


def challenge(*, submission: str, now: datetime) -> dict[str, Any]:
    """A new puzzle whose solution is good for this submission only."""
    made = altcha.create_challenge(
        altcha.ChallengeOptions(
            hmac_key=get_hmac_key(),
            max_number=HARDNESS,
            expires=now + LIFETIME,
            params={"submission": submission},
        )
    )
    return {**made.to_dict(), "maxnumber": HARDNESS}


def submission_of(payload: str) -> str:
    """The submission id that a solution was signed for; empty when it is not readable."""
    try:
        salt = str(json.loads(base64.b64decode(payload))["salt"])
        return parse_qs(salt.partition("?")[2])["submission"][0]
    except (binascii.Error, ValueError, KeyError, TypeError, AttributeError):
        return ""
