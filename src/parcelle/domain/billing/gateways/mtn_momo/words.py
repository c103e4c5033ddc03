"""Texts to and from MTN: messages it accepts, and its reasons in our codes."""

from __future__ import annotations

import re

from text_unidecode import unidecode

LONGEST = 160
_FORBIDDEN = re.compile(r"[^A-Za-z0-9 .,:/_-]+")


def message(text: str, *, otherwise: str) -> str:
    """A text MTN accepts: ASCII without apostrophes, accents folded, 1 to 160 characters.

    An apostrophe is answered 400, an empty text 500; `otherwise` takes the place of what has nothing left to say.
    """
    plain = " ".join(_FORBIDDEN.sub(" ", unidecode(text)).split())[:LONGEST].strip()
    return plain or otherwise


# MTN's reason -> one of DECLINE_CODES
REASONS = {
    "APPROVAL_REJECTED": "rejected_on_phone",
    "TRANSACTION_CANCELED": "rejected_on_phone",
    "PAYMENT_NOT_APPROVED": "not_approved_in_time",
    "EXPIRED": "not_approved_in_time",
    "COULD_NOT_PERFORM_TRANSACTION": "not_approved_in_time",
    "NOT_ENOUGH_FUNDS": "not_enough_funds",
    "PAYER_LIMIT_REACHED": "limit_reached",
    # MTN says itself that this is mostly a lack of money.
    "INTERNAL_PROCESSING_ERROR": "probably_not_enough_funds",
    "PAYER_NOT_FOUND": "no_wallet",
    "SENDER_ACCOUNT_NOT_ACTIVE": "no_wallet",
    "NOT_ALLOWED": "seller_setup",
    "NOT_ALLOWED_TARGET_ENVIRONMENT": "seller_setup",
    "INVALID_CALLBACK_URL_HOST": "seller_setup",
    "INVALID_CURRENCY": "seller_setup",
    "PAYEE_NOT_FOUND": "seller_setup",
    "PAYEE_NOT_ALLOWED_TO_RECEIVE": "seller_setup",
    "SERVICE_UNAVAILABLE": "service_down",
    # About our request, not about the payer; no customer can do anything about it.
    "RESOURCE_NOT_FOUND": "declined",
    "RESOURCE_ALREADY_EXIST": "declined",
}


def reason(said: object) -> tuple[str, str]:
    """MTN's code and its text; it sends an object, or the bare code."""
    if isinstance(said, dict):
        return str(said.get("code") or ""), str(said.get("message") or "")
    return str(said or ""), ""


def decline_code(code: str) -> str:
    return REASONS.get(code, "declined")
