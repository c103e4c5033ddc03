"""The ways to pay that the checkout is shaken with: one file and one line each."""

from __future__ import annotations

from typing import Any

from tests.domain.billing.rails.bank_transfer import BankRail
from tests.domain.billing.rails.base import AFTERWARDS, CLERKING, DECISIONS, FAULTS, Rail
from tests.domain.billing.rails.fake import FakeRail
from tests.domain.billing.rails.mtn_momo import MomoRail
from tests.domain.billing.rails.paypal import PayPalRail
from tests.domain.billing.rails.stripe import StripeRail

RAILS: dict[str, Any] = {
    "bank_transfer": BankRail.running,
    "fake": FakeRail.running,
    "mtn_momo": MomoRail.running,
    "paypal": PayPalRail.running,
    "stripe": StripeRail.running,
}

__all__ = ["AFTERWARDS", "CLERKING", "DECISIONS", "FAULTS", "RAILS", "Rail"]
