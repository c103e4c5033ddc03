"""PayPal: Orders v2, captures, refunds, disputes and signed messages, stateful and with its ugly parts.

Tests change it behind the client's back as customers, people at PayPal and faults do. Every request and every answer
is held to the published documents (`violations` collects what does not fit). What is in no document is as
`shared/contracts/paypal.md` has it. The HTTP around it is in `paypal_server.py`.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from cryptography import x509

from tests.simulators import paypal_signing
from tests.simulators.paypal_books import DECIMALS, Amount, Capture, Dispute, Order, Refund, new_id, written

NAMES = {
    400: "INVALID_REQUEST",
    401: "AUTHENTICATION_FAILURE",
    403: "NOT_AUTHORIZED",
    404: "RESOURCE_NOT_FOUND",
    409: "RESOURCE_CONFLICT",
    422: "UNPROCESSABLE_ENTITY",
    429: "RATE_LIMIT_REACHED",
    500: "INTERNAL_SERVER_ERROR",
    503: "SERVICE_UNAVAILABLE",
}
# How a dispute ends that takes the money.
LOST = {"RESOLVED_BUYER_FAVOUR", "ACCEPTED"}
WINDOW = timedelta(hours=6)
# How long an idempotency key is remembered.
ORDERS_KEEP, REFUNDS_KEEP = timedelta(hours=6), timedelta(days=45)
MOST_ATTEMPTS = 10
TOKEN_SECONDS = 9 * 3600


class Refused(Exception):
    """An answer in PayPal's error shape."""

    def __init__(self, status: int, issue: str = "", *, links: list[dict[str, str]] | None = None) -> None:
        super().__init__(issue)
        self.status = status
        self.issue = issue
        self.links = links or []


@dataclass
class Seen:
    """One request as the server got it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else {}

    @property
    def key(self) -> str:
        return self.headers.get("paypal-request-id", "")


@dataclass
class Fault:
    """What happens to the next request whose line matches.

    `kind`: cut (the connection breaks before anything is done), lost (after it was done), slow (answered after
    `seconds`), html (an answer of some proxy), empty, or a status such as 503, 429, 409.
    """

    line: str
    kind: str
    seconds: float = 1.0
    # For a status: whether it was done all the same.
    after: bool = False


@dataclass
class Sent:
    """A message, and how its deliveries went."""

    id: str
    kind: str
    body: bytes
    attempts: list[int] = field(default_factory=list)


@dataclass
class PayPal:
    """One account with one REST application and one webhook."""

    client_id: str = "client-of-the-shop"
    secret: str = "secret-of-the-shop"
    webhook_id: str = "1JE4291016473214C"
    webhook_url: str = ""
    events: tuple[str, ...] = ("*",)
    # Whether messages leave by themselves; otherwise a test delivers them as it likes.
    delivers: bool = False
    # Whether traffic is held to the published documents, which a vendor's machine may not have.
    checked: bool = True
    # Whether PayPal has allowed the account to keep wallets.
    may_vault: bool = True
    # Whether it keeps one only some time after the capture, when `keep_wallet` says so.
    vaults_later: bool = False
    # Whether the application may look at disputes.
    sees_disputes: bool = True
    # Whether an order that nobody approved in time is gone altogether.
    forgets: bool = True
    # What the next captures come to, first for an order, then for all: complete, declined, failed, short, more,
    # currency:USD, pending:ECHECK, or an issue such as INSTRUMENT_DECLINED.
    script: list[str] = field(default_factory=list)
    # What becomes of the next refunds: COMPLETED or PENDING.
    refund_script: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    url: str = ""
    secure_url: str = ""

    def __post_init__(self) -> None:
        self.state = threading.RLock()
        self.clock = timedelta()
        self.signing = paypal_signing.signing()
        self.certificates: dict[str, x509.Certificate] = {"CERT-1": self.signing.certificate}
        self.tokens: dict[str, datetime] = {}
        self.orders: dict[str, Order] = {}
        self.captures: dict[str, Capture] = {}
        self.refunds: dict[str, Refund] = {}
        self.disputes: dict[str, Dispute] = {}
        # Wallets that customers let the shop keep: id -> payer.
        self.vault: dict[str, str] = {}
        self.messages: list[Sent] = []
        self.replies: dict[tuple[str, str], tuple[bytes, datetime, int, Any]] = {}
        self.deliver: Callable[[Sent], None] = lambda _sent: None

    # --- what tests and people do to it -----------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return (datetime.now(UTC) + self.clock).replace(microsecond=0)

    def advance(self, **duration: float) -> None:
        self.clock += timedelta(**duration)
        with self.state:
            for order in list(self.orders.values()):
                self._lapse(order)

    def forget_everything(self) -> None:
        books: tuple[Any, ...] = (self.orders, self.captures, self.refunds, self.disputes, self.messages, self.replies)
        for one in (*books, self.seen, self.tokens):
            one.clear()

    def revoke_tokens(self) -> None:
        self.tokens.clear()

    def only_order(self) -> Order:
        (order,) = self.orders.values()
        return order

    def order_of(self, custom_id: object) -> Order:
        return next(order for order in self.orders.values() if order.unit.get("custom_id") == str(custom_id))

    def capture_of(self, custom_id: object) -> Capture:
        return self.order_of(custom_id).captures[-1]

    def approve(self, order: Order, *script: str) -> None:
        """The customer says yes; `script` says what capturing will come to."""
        with self.state:
            order.status = "APPROVED"
            order.payer_id = order.payer_id or "QYR5Z8XDVJNXQ"
            order.updated = max(self.now, order.updated + timedelta(seconds=1))
            order.script = list(script)
        self.tell("CHECKOUT.ORDER.APPROVED", "checkout-order", order.json(self.url))

    def settle(self, capture: Capture, status: str) -> None:
        """What became of a capture that was held."""
        with self.state:
            capture.status, capture.reason = status, ""
        self.tell(f"PAYMENT.CAPTURE.{status}", "capture", capture.told(self.url))

    def hold(self, capture: Capture, reason: str) -> None:
        with self.state:
            capture.status, capture.reason = "PENDING", reason
        self.tell("PAYMENT.CAPTURE.PENDING", "capture", capture.told(self.url))

    def give_back(self, capture: Capture, value: str) -> Refund:
        """A refund that somebody made on PayPal's own pages."""
        with self.state:
            refund = self._refund(capture, Amount(capture.amount.currency, Decimal(value)), "COMPLETED")
        self.tell("PAYMENT.CAPTURE.REFUNDED", "refund", refund.json(self.url))
        return refund

    def finish_refund(self, refund: Refund, status: str) -> None:
        with self.state:
            refund.status = status
            refund.capture.settle()
        kind = "PAYMENT.CAPTURE.REFUNDED" if status == "COMPLETED" else "PAYMENT.REFUND.FAILED"
        self.tell(kind, "refund", refund.json(self.url))

    def reverse(self, capture: Capture) -> None:
        """PayPal takes the money back, without a refund and without a dispute that is decided."""
        with self.state:
            capture.reversed = True
            capture.settle()
        self.tell("PAYMENT.CAPTURE.REVERSED", "refund", self._reversal(capture))

    def _reversal(self, capture: Capture) -> dict[str, Any]:
        return Refund(new_id(), capture, capture.amount, "COMPLETED", self.now).json(self.url)

    def dispute(self, capture: Capture, value: str = "") -> Dispute:
        amount = Amount(capture.amount.currency, Decimal(value)) if value else capture.amount
        opened = Dispute(f"PP-D-{secrets.randbelow(90000) + 10000}", capture, amount, self.now)
        with self.state:
            self.disputes[opened.id] = opened
        self.tell("CUSTOMER.DISPUTE.CREATED", "dispute", opened.json())
        return opened

    def decide(self, dispute: Dispute, outcome: str) -> None:
        """RESOLVED_BUYER_FAVOUR, RESOLVED_SELLER_FAVOUR, ..., or empty when it is opened again."""
        with self.state:
            dispute.outcome = outcome
        self.tell("CUSTOMER.DISPUTE.RESOLVED", "dispute", dispute.json())

    def _lapse(self, order: Order) -> None:
        if self.now - order.created <= WINDOW or order.captures or order.status == "VOIDED":
            return
        if order.status == "APPROVED":
            order.status = "VOIDED"
            resource = {"order_id": order.id, "purchase_units": [order.unit]}
            self.tell("CHECKOUT.PAYMENT-APPROVAL.REVERSED", "checkout-order", resource)
        elif self.forgets:
            del self.orders[order.id]

    # --- messages ---------------------------------------------------------------------------------------

    def tell(self, kind: str, resource_type: str, resource: dict[str, Any]) -> Sent:
        number = f"WH-{new_id()}-{new_id()}"
        envelope = {
            "id": number,
            "event_version": "1.0",
            "create_time": written(self.now),
            "resource_type": resource_type,
            "resource_version": "2.0",
            "event_type": kind,
            "summary": kind.lower().replace(".", " "),
            "resource": resource,
            "links": [
                {"href": f"{self.url}/v1/notifications/webhooks-events/{number}", "rel": "self", "method": "GET"}
            ],
        }
        # PayPal's own spelling, which nobody gets by writing the same values anew.
        sent = Sent(number, kind, json.dumps(envelope, separators=(",", ":"), ensure_ascii=False).encode())
        if self.checked:
            from tests.simulators import paypal_specs

            self.violations += paypal_specs.event_faults(sent.body)
        with self.state:
            self.messages.append(sent)
        if self.delivers and self.webhook_url and ("*" in self.events or kind in self.events):
            self.deliver(sent)
        return sent

    def message(self, kind: str) -> Sent:
        """The last message of this kind."""
        return next(sent for sent in reversed(self.messages) if sent.kind == kind)

    def headers(
        self,
        body: bytes,
        *,
        webhook_id: str = "",
        cert: str = "CERT-1",
        cert_url: str = "",
        sign_with: paypal_signing.Signing | None = None,
    ) -> dict[str, str]:
        """How a message is signed: header names in lower case, as a server hands them on."""
        transmission, time = str(uuid.uuid4()), written(self.now)
        signer: paypal_signing.Signing = sign_with or self.signing
        return {
            "content-type": "application/json",
            "paypal-transmission-id": transmission,
            "paypal-transmission-time": time,
            "paypal-transmission-sig": signer.sign(transmission, time, webhook_id or self.webhook_id, body),
            "paypal-cert-url": cert_url or f"{self.secure_url}/v1/notifications/certs/{cert}",
            "paypal-auth-algo": "SHA256withRSA",
            "paypal-auth-version": "v2",
        }

    # --- who asks ---------------------------------------------------------------------------------------

    def token(self, seen: Seen) -> tuple[int, Any]:
        pair = base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()
        if seen.headers.get("authorization") != f"Basic {pair}":
            return 401, {"error": "invalid_client", "error_description": "Client Authentication failed"}
        if seen.body != b"grant_type=client_credentials":
            return 400, {"error": "unsupported_grant_type", "error_description": "Grant Type is NULL"}
        token = f"A21AA{secrets.token_urlsafe(60)}"
        self.tokens[token] = self.now + timedelta(seconds=TOKEN_SECONDS)
        return 200, {
            "scope": "https://uri.paypal.com/services/payments",
            "access_token": token,
            "token_type": "Bearer",
            "app_id": "APP-80W284485P519543T",
            "expires_in": TOKEN_SECONDS,
            "nonce": written(self.now),
        }

    def admit(self, seen: Seen) -> None:
        ends = self.tokens.get(seen.headers.get("authorization", "").removeprefix("Bearer "))
        if ends is None or ends <= self.now:
            raise Refused(401)

    # --- idempotency ------------------------------------------------------------------------------------

    def once(self, operation: str, seen: Seen, keep: timedelta, do: Callable[[], tuple[int, Any]]) -> tuple[int, Any]:
        """The same key again gets the same answer, refusals included, for as long as PayPal remembers it."""
        place = (operation, seen.key)
        known = self.replies.get(place) if seen.key else None
        if known and known[1] > self.now - keep:
            if known[0] != seen.body:
                self.violations.append(f"{seen.line}: the key {seen.key} comes with another body")
                raise Refused(400, "INVALID_PARAMETER_VALUE")
            if isinstance(known[3], Refused):
                raise known[3]
            return (200 if known[2] == 201 else known[2]), known[3]
        try:
            status, content = do()
        except Refused as refused:
            self.replies[place] = (seen.body, self.now, 0, refused)
            raise
        self.replies[place] = (seen.body, self.now, status, content)
        return status, content

    # --- orders -----------------------------------------------------------------------------------------

    def create_order(self, seen: Seen) -> tuple[int, Any]:
        wanted = seen.json
        if not wanted.get("intent") or not wanted.get("purchase_units"):
            raise Refused(400, "MISSING_REQUIRED_PARAMETER")
        source = (wanted.get("payment_source") or {}).get("paypal")
        if source is not None and not seen.key:
            raise Refused(400, "PAYPAL_REQUEST_ID_REQUIRED")
        if not 0 <= len(seen.key) <= 108:
            raise Refused(400, "INVALID_STRING_LENGTH")
        self._mocked(seen)
        order = self.once("orders", seen, ORDERS_KEEP, lambda: (201, self._create(wanted, source)))
        return order[0], order[1].json(self.url, minimal=_minimal(seen))

    def _create(self, wanted: dict[str, Any], source: dict[str, Any] | None) -> Order:
        unit = {"reference_id": "default", **wanted["purchase_units"][0]}
        _check_amount(unit["amount"])
        taken = {order.unit.get("invoice_id") for order in self.orders.values() if order.captures}
        if unit.get("invoice_id") and unit["invoice_id"] in taken:
            raise Refused(422, "DUPLICATE_INVOICE_ID")
        context = (source or {}).get("experience_context") or wanted.get("application_context") or {}
        if source is not None and "vault_id" in source:
            return self._take_from_vault(source, unit)
        if source is not None and (source.get("attributes") or {}).get("vault") and not self.may_vault:
            raise Refused(422, "NOT_ENABLED_TO_VAULT_PAYMENT_SOURCE")
        status = "PAYER_ACTION_REQUIRED" if source is not None else "CREATED"
        kept = {"paypal": source} if source is not None else {}
        order = Order(new_id(), unit, kept, context, status, self.now, self.now)
        self.orders[order.id] = order
        return order

    def _take_from_vault(self, source: dict[str, Any], unit: dict[str, Any]) -> Order:
        """Paid without the customer, in the same breath; a refusal leaves no order."""
        payer = self.vault.get(source["vault_id"])
        if payer is None:
            raise Refused(422, "TOKEN_EXPIRED")
        order = Order(new_id(), unit, {"paypal": source}, {}, "APPROVED", self.now, self.now, payer_id=payer)
        self._capture(order)
        self.orders[order.id] = order
        return order

    def keep_wallet(self, id: str) -> Sent:
        """The wallet that an order was paid from is kept from now on."""
        order = self.orders[id]
        order.vaulted = new_id().lower()
        self.vault[order.vaulted] = order.payer_id
        token = {**self._token(order.vaulted), "metadata": {"order_id": id}}
        return self.tell("VAULT.PAYMENT-TOKEN.CREATED", "payment_token", token)

    def _token(self, id: str) -> dict[str, Any]:
        payer = self.vault[id]
        here = f"{self.url}/v3/vault/payment-tokens/{id}"
        return {
            "id": id,
            "customer": {"id": f"customer_{payer}"[:22]},
            "payment_source": {"paypal": {"email_address": "buyer@example.com", "account_id": payer}},
            "links": [
                {"href": here, "rel": name, "method": verb} for name, verb in (("self", "GET"), ("delete", "DELETE"))
            ],
        }

    def list_tokens(self, seen: Seen) -> tuple[int, Any]:
        customer = seen.query["customer_id"]
        found = [self._token(token) for token, payer in self.vault.items() if f"customer_{payer}"[:22] == customer]
        here = f"{self.url}/v3/vault/payment-tokens?customer_id={customer}"
        links = [{"href": here, "rel": "self", "method": "GET"}]
        return 200, {"customer": {"id": customer}, "payment_tokens": found, "links": links}

    def delete_token(self, _seen: Seen, id: str) -> tuple[int, Any]:
        # No answer for one that is not known stands in the document.
        self.vault.pop(id, None)
        return 204, None

    def find_order(self, id: str) -> Order:
        order = self.orders.get(id)
        if order is not None:
            self._lapse(order)
        if order is None or id not in self.orders:
            raise Refused(404, "INVALID_RESOURCE_ID")
        return order

    def read_order(self, _seen: Seen, id: str) -> tuple[int, Any]:
        return 200, self.find_order(id).json(self.url)

    def capture_order(self, seen: Seen, id: str) -> tuple[int, Any]:
        order = self.find_order(id)
        self._mocked(seen)
        status, _capture = self.once(f"capture {id}", seen, ORDERS_KEEP, lambda: (201, self._capture(order)))
        return status, order.json(self.url, minimal=_minimal(seen))

    def _capture(self, order: Order) -> Capture:
        if order.captures:
            raise Refused(422, "ORDER_ALREADY_CAPTURED")
        if order.status != "APPROVED":
            raise Refused(422, "ORDER_NOT_APPROVED")
        scripts = order.script or self.script
        fate = scripts.pop(0) if scripts else "complete"
        amount, status, reason = Amount.read(order.unit["amount"]), "COMPLETED", ""
        if fate in {"short", "more"}:
            least = Decimal(1).scaleb(-DECIMALS[amount.currency])
            amount = amount.of(amount.value + (least if fate == "more" else -least))
        elif fate.startswith("currency:"):
            amount = Amount(fate.removeprefix("currency:"), amount.value)
        elif fate.startswith("pending:"):
            status, reason = "PENDING", fate.removeprefix("pending:")
        elif fate in {"declined", "failed"}:
            status = fate.upper()
        elif fate != "complete":
            links = [{**order.approval_link(self.url), "rel": "redirect"}] if fate == "INSTRUMENT_DECLINED" else []
            raise Refused(403 if fate == "PERMISSION_DENIED" else 422, fate, links=links)
        capture = Capture(new_id(), order, amount, status, self.now, reason)
        order.captures.append(capture)
        # Also when the capture was declined: the order alone says nothing about money.
        order.status, order.updated = "COMPLETED", self.now
        self.captures[capture.id] = capture
        if ((order.source.get("paypal") or {}).get("attributes") or {}).get("vault") and status == "COMPLETED":
            order.vaults_later = self.vaults_later
            if not self.vaults_later:
                self.keep_wallet(order.id)
        self.tell(f"PAYMENT.CAPTURE.{capture.status}", "capture", capture.told(self.url))
        return capture

    @staticmethod
    def _mocked(seen: Seen) -> None:
        mock = seen.headers.get("paypal-mock-response")
        if mock:
            raise Refused(422, json.loads(mock)["mock_application_codes"])

    # --- captures and refunds ---------------------------------------------------------------------------

    def find_capture(self, id: str) -> Capture:
        if id not in self.captures:
            raise Refused(404, "INVALID_RESOURCE_ID")
        return self.captures[id]

    def read_capture(self, _seen: Seen, id: str) -> tuple[int, Any]:
        return 200, self.find_capture(id).json(self.url)

    def refund_capture(self, seen: Seen, id: str) -> tuple[int, Any]:
        capture = self.find_capture(id)
        status, refund = self.once(f"refund {id}", seen, REFUNDS_KEEP, lambda: (201, self._asked_refund(capture, seen)))
        return status, refund.json(self.url)

    def _asked_refund(self, capture: Capture, seen: Seen) -> Refund:
        if capture.status == "PENDING":
            raise Refused(422, "PENDING_CAPTURE")
        lost = [one.amount.value for one in self.disputes.values() if one.capture is capture and one.outcome in LOST]
        left = capture.amount.value - capture.given_back - sum(lost)
        wanted = seen.json.get("amount")
        amount = Amount(capture.amount.currency, left)
        if wanted:
            if wanted["currency_code"] != capture.amount.currency:
                raise Refused(422, "REFUND_CAPTURE_CURRENCY_MISMATCH")
            _check_amount(wanted, decimals="DECIMALS_NOT_SUPPORTED")
            amount = Amount.read(wanted)
        if left <= 0 or capture.reversed or capture.status in {"DECLINED", "FAILED"}:
            raise Refused(422, "CAPTURE_FULLY_REFUNDED")
        if any(not one.outcome for one in self.disputes.values() if one.capture is capture) and amount.value < left:
            raise Refused(422, "TRANSACTION_DISPUTED")
        if amount.value > left:
            raise Refused(422, "REFUND_AMOUNT_EXCEEDED")
        status = self.refund_script.pop(0) if self.refund_script else "COMPLETED"
        refund = self._refund(capture, amount, status, custom_id=seen.json.get("custom_id", ""))
        kind = "PAYMENT.CAPTURE.REFUNDED" if status == "COMPLETED" else "PAYMENT.REFUND.PENDING"
        self.tell(kind, "refund", refund.json(self.url))
        return refund

    def _refund(self, capture: Capture, amount: Amount, status: str, *, custom_id: str = "") -> Refund:
        refund = Refund(new_id(), capture, amount, status, self.now, custom_id)
        capture.refunds.append(refund)
        capture.settle()
        self.refunds[refund.id] = refund
        return refund

    def read_refund(self, _seen: Seen, id: str) -> tuple[int, Any]:
        if id not in self.refunds:
            raise Refused(404, "INVALID_RESOURCE_ID")
        return 200, self.refunds[id].json(self.url)

    # --- disputes ---------------------------------------------------------------------------------------

    def list_disputes(self, seen: Seen) -> tuple[int, Any]:
        if not self.sees_disputes:
            raise Refused(403, "PERMISSION_DENIED")
        capture = seen.query.get("disputed_transaction_id")
        found = [one for one in self.disputes.values() if capture in {None, one.capture.id}]
        return 200, {"items": [one.json(listed=True) for one in found], "links": []}

    def read_dispute(self, _seen: Seen, id: str) -> tuple[int, Any]:
        if not self.sees_disputes or id not in self.disputes:
            raise Refused(403 if not self.sees_disputes else 404, "PERMISSION_DENIED")
        return 200, self.disputes[id].json()

    # --- webhooks ---------------------------------------------------------------------------------------

    def _webhook(self) -> dict[str, Any]:
        here = f"{self.url}/v1/notifications/webhooks/{self.webhook_id}"
        return {
            "id": self.webhook_id,
            "url": self.webhook_url or "https://example.com/webhooks/paypal",
            "event_types": [{"name": name} for name in self.events],
            "links": [{"href": here, "rel": "self", "method": "GET"}],
        }

    def read_webhook(self, _seen: Seen, id: str) -> tuple[int, Any]:
        if id != self.webhook_id:
            raise Refused(404, "INVALID_RESOURCE_ID")
        return 200, self._webhook()

    def create_webhook(self, seen: Seen) -> tuple[int, Any]:
        self.webhook_url = seen.json["url"]
        self.events = tuple(one["name"] for one in seen.json["event_types"])
        return 201, self._webhook()

    def list_webhooks(self, _seen: Seen) -> tuple[int, Any]:
        return 200, {"webhooks": [self._webhook()]}

    def verify(self, seen: Seen) -> tuple[int, Any]:
        """Whether it would have been sent like this, judged by the very bytes that stand in the question."""
        asked = seen.json
        raw = re.search(rb'"webhook_event"\s*:\s*(.*)\}\s*$', seen.body, re.DOTALL)
        right = asked.get("webhook_id") == self.webhook_id and raw is not None
        if right and raw is not None:
            body = raw[1].strip()
            expected = self.signing.sign(asked["transmission_id"], asked["transmission_time"], self.webhook_id, body)
            right = expected == asked["transmission_sig"]
        return 200, {"verification_status": "SUCCESS" if right else "FAILURE"}

    def list_events(self, seen: Seen) -> tuple[int, Any]:
        kind = seen.query.get("event_type")
        found = [json.loads(sent.body) for sent in self.messages if kind in {None, sent.kind}]
        return 200, {"events": found[-int(seen.query.get("page_size", 10)) :], "count": len(found), "links": []}

    def _sent(self, id: str) -> Sent:
        found = next((sent for sent in self.messages if sent.id == id), None)
        if found is None:
            raise Refused(404, "INVALID_RESOURCE_ID")
        return found

    def read_event(self, _seen: Seen, id: str) -> tuple[int, Any]:
        return 200, json.loads(self._sent(id).body)

    def resend_event(self, _seen: Seen, id: str) -> tuple[int, Any]:
        sent = self._sent(id)
        self.deliver(sent)
        return 202, json.loads(sent.body)


def _check_amount(written: dict[str, str], *, decimals: str = "DECIMAL_PRECISION") -> None:
    currency = written["currency_code"]
    if currency not in DECIMALS:
        raise Refused(422, "INVALID_CURRENCY_CODE")
    try:
        value = Decimal(written["value"])
    except InvalidOperation:
        raise Refused(400, "INVALID_PARAMETER_SYNTAX") from None
    if value <= 0:
        raise Refused(422, "CANNOT_BE_ZERO_OR_NEGATIVE")
    if -int(value.as_tuple().exponent) > DECIMALS[currency]:
        raise Refused(422, decimals)
    if value > Decimal("999999999999999.99"):
        raise Refused(422, "MAX_VALUE_EXCEEDED")


def _minimal(seen: Seen) -> bool:
    return seen.headers.get("prefer", "return=minimal") == "return=minimal"
