"""Objects of Stripe as its published examples show them, with what happened written over.

Every key that the SDK knows is there, as in an answer of Stripe's own. Without the published examples, as when the
simulator is run by hand, objects have only what is written over.
"""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import Any

from tests import needs

# Parts of the examples that a plain session has not, and that would make no sense in it.
_ABSENT: dict[str, dict[str, Any]] = {
    "checkout.session": {
        "after_expiration": None,
        "consent": None,
        "consent_collection": None,
        "currency_conversion": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "collected_information": None,
        "customer_details": None,
        "payment_method_configuration_details": None,
        "payment_intent": None,
        "customer_creation": "if_required",
        "payment_method_collection": "if_required",
        "ui_mode": "hosted_page",
    },
    "payment_intent": {
        "canceled_at": None,
        "last_payment_error": None,
        "next_action": None,
        "processing": None,
        "shipping": None,
        "transfer_data": None,
        "payment_method_configuration_details": None,
    },
    "customer": {},
    "payment_method": {},
    "charge": {"shipping": None, "transfer_data": None, "source": None, "receipt_url": None},
    "dispute": {},
    "refund": {},
    "balance_transaction": {},
    "balance": {},
    "event": {},
}


@cache
def examples() -> dict[str, Any]:
    """The published example of each resource; empty where the specifications are not at hand."""
    path = needs.specs() / "stripe_fixtures3.json"
    found: dict[str, Any] = json.loads(path.read_text())["resources"] if path.is_file() else {}
    return found


def make(kind: str, **members: Any) -> dict[str, Any]:
    return {**copy.deepcopy(examples().get(kind, {})), "object": kind, **_ABSENT[kind], **members}


def card(number: str = "4242") -> dict[str, Any]:
    """How a charge says which card it was."""
    details: dict[str, Any] = copy.deepcopy(examples().get("charge", {}).get("payment_method_details", {"card": {}}))
    details["card"]["last4"] = number
    return details | {"type": "card"}
