"""What the PayPal simulator keeps: orders, captures, refunds, disputes, and how each is shown."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

# Without BRL, CNY and MYR, which are for accounts of their own country.
_TWO = "AUD CAD CHF CZK DKK EUR GBP HKD ILS MXN NOK NZD PHP PLN SEK SGD THB USD"
DECIMALS = {**dict.fromkeys(_TWO.split(), 2), "HUF": 0, "JPY": 0, "TWD": 0}
_RATE, _FIXED = Decimal("0.029"), Decimal("0.35")


def new_id(length: int = 17) -> str:
    return "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(length))


def written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Amount:
    currency: str
    value: Decimal

    @classmethod
    def read(cls, written: dict[str, str]) -> Amount:
        return cls(written["currency_code"], Decimal(written["value"]))

    @property
    def json(self) -> dict[str, str]:
        return {"currency_code": self.currency, "value": f"{self.rounded(self.value):f}"}

    def rounded(self, value: Decimal) -> Decimal:
        return value.quantize(Decimal(1).scaleb(-DECIMALS[self.currency]), ROUND_HALF_UP)

    def of(self, value: Decimal) -> Amount:
        return Amount(self.currency, self.rounded(value))


@dataclass
class Refund:
    id: str
    capture: Capture
    amount: Amount
    status: str
    at: datetime
    custom_id: str = ""

    def json(self, url: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "status": self.status,
            **({"status_details": {"reason": "ECHECK"}} if self.status in {"PENDING", "FAILED"} else {}),
            "amount": self.amount.json,
            **({"custom_id": self.custom_id} if self.custom_id else {}),
            "seller_payable_breakdown": {
                "gross_amount": self.amount.json,
                "paypal_fee": self.amount.of(Decimal(0)).json,
                "net_amount": self.amount.json,
                "total_refunded_amount": self.amount.of(self.capture.given_back).json,
            },
            "create_time": written(self.at),
            "update_time": written(self.at),
            "links": [
                {"href": f"{url}/v2/payments/refunds/{self.id}", "rel": "self", "method": "GET"},
                {"href": f"{url}/v2/payments/captures/{self.capture.id}", "rel": "up", "method": "GET"},
            ],
        }


@dataclass
class Capture:
    id: str
    order: Order
    amount: Amount
    status: str
    at: datetime
    reason: str = ""
    refunds: list[Refund] = field(default_factory=list)
    # Taken back by PayPal itself, which is no refund.
    reversed: bool = False

    @property
    def given_back(self) -> Decimal:
        counted = (one.amount.value for one in self.refunds if one.status in {"COMPLETED", "PENDING"})
        return sum(counted, Decimal(0))

    @property
    def fee(self) -> Amount:
        return self.amount.of(min(self.amount.value, self.amount.value * _RATE + _FIXED))

    def settle(self) -> None:
        """The status that refunds and reversals give it."""
        done = sum((one.amount.value for one in self.refunds if one.status == "COMPLETED"), Decimal(0))
        if self.reversed or done >= self.amount.value:
            self.status = "REFUNDED"
        elif self.status in {"COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"}:
            self.status = "PARTIALLY_REFUNDED" if done else "COMPLETED"

    def json(self, url: str) -> dict[str, Any]:
        unit = self.order.unit
        here = f"{url}/v2/payments/captures/{self.id}"
        held = self.status in {"PENDING", "DECLINED", "FAILED"}
        breakdown = {
            "gross_amount": self.amount.json,
            "paypal_fee": self.fee.json,
            "net_amount": self.amount.of(self.amount.value - self.fee.value).json,
        }
        return {
            "id": self.id,
            "status": self.status,
            **({"status_details": {"reason": self.reason}} if self.reason else {}),
            "amount": self.amount.json,
            **{name: unit[name] for name in ("custom_id", "invoice_id") if name in unit},
            "final_capture": True,
            "seller_protection": {"status": "NOT_ELIGIBLE"},
            **({} if held else {"seller_receivable_breakdown": breakdown}),
            "create_time": written(self.at),
            "update_time": written(self.at),
            "links": [
                {"href": here, "rel": "self", "method": "GET"},
                {"href": f"{here}/refund", "rel": "refund", "method": "POST"},
                {"href": f"{url}/v2/checkout/orders/{self.order.id}", "rel": "up", "method": "GET"},
            ],
        }

    def told(self, url: str) -> dict[str, Any]:
        """As in a message, which also names the order."""
        return {**self.json(url), "supplementary_data": {"related_ids": {"order_id": self.order.id}}}


@dataclass
class Order:
    id: str
    unit: dict[str, Any]
    source: dict[str, Any]
    context: dict[str, Any]
    status: str
    created: datetime
    updated: datetime
    payer_id: str = ""
    # What PayPal calls the wallet that it keeps since this order.
    vaulted: str = ""
    # Whether the order never says so, which only the message and the customer's tokens do.
    vaults_later: bool = False
    captures: list[Capture] = field(default_factory=list)
    # What its next captures come to; see `PayPal.script`.
    script: list[str] = field(default_factory=list)

    @property
    def approval_kind(self) -> str:
        return "payer-action" if self.source else "approve"

    def approval_link(self, url: str) -> dict[str, str]:
        return {"href": f"{url}/checkoutnow?token={self.id}", "rel": self.approval_kind, "method": "GET"}

    def links(self, url: str) -> list[dict[str, str]]:
        here = f"{url}/v2/checkout/orders/{self.id}"
        links = [{"href": here, "rel": "self", "method": "GET"}]
        if self.status in {"CREATED", "PAYER_ACTION_REQUIRED", "APPROVED"}:
            links.append(self.approval_link(url))
        if not self.source and self.status in {"CREATED", "APPROVED"}:
            links += [
                {"href": here, "rel": "update", "method": "PATCH"},
                {"href": f"{here}/capture", "rel": "capture", "method": "POST"},
            ]
        return links

    def json(self, url: str, *, minimal: bool = False) -> dict[str, Any]:
        if minimal:
            return {"id": self.id, "status": self.status, "links": self.links(url)}
        refunds = [refund for capture in self.captures for refund in capture.refunds]
        payments: dict[str, Any] = {"captures": [one.json(url) for one in self.captures]} if self.captures else {}
        if refunds:
            payments["refunds"] = [one.json(url) for one in refunds]
        payer = {"email_address": "buyer@example.com", "payer_id": self.payer_id}
        known = {"email_address": "buyer@example.com", "account_id": self.payer_id}
        wallet: dict[str, Any] = known if self.payer_id else {}
        if self.vaults_later and self.captures:
            customer = {"id": f"customer_{self.payer_id}"[:22]}
            up = {"href": f"{url}/v2/checkout/orders/{self.id}", "rel": "up", "method": "GET"}
            wallet["attributes"] = {"vault": {"status": "APPROVED", "customer": customer, "links": [up]}}
        elif self.vaulted:
            wallet["attributes"] = {"vault": {"id": self.vaulted, "status": "VAULTED"}}
        return {
            "id": self.id,
            "intent": "CAPTURE",
            "status": self.status,
            **({"payment_source": {"paypal": wallet}} if self.source else {}),
            "purchase_units": [{**self.unit, **({"payments": payments} if payments else {})}],
            **({"payer": payer} if self.payer_id else {}),
            "create_time": written(self.created),
            "update_time": written(self.updated),
            "links": self.links(url),
        }


@dataclass
class Dispute:
    id: str
    capture: Capture
    amount: Amount
    at: datetime
    outcome: str = ""

    def json(self, *, listed: bool = False) -> dict[str, Any]:
        unit = self.capture.order.unit
        shown: dict[str, Any] = {
            "dispute_id": self.id,
            "create_time": written(self.at),
            "reason": "MERCHANDISE_OR_SERVICE_NOT_RECEIVED",
            "status": "RESOLVED" if self.outcome else "UNDER_REVIEW",
            "dispute_amount": self.amount.json,
        }
        if listed:
            return shown
        disputed = {
            "seller_transaction_id": self.capture.id,
            "custom": unit.get("custom_id", ""),
            "invoice_number": unit.get("invoice_id", ""),
        }
        outcome = {"dispute_outcome": {"outcome_code": self.outcome}} if self.outcome else {}
        return {**shown, "disputed_transactions": [disputed], **outcome}
