"""Stripe: its HTTP interface, hosted page and messages over one account's books, ugly parts included.

Requests are forms with brackets, answers are shaped by the published examples (`stripe_objects.py`). Nothing of
Stripe is in here; the behaviour is what its documents and its SDK say.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import random
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import httpx
import stripe

from tests.simulators import stripe_pages
from tests.simulators.stripe_objects import card, make

VERSION = re.compile(r"20\d\d-\d\d-\d\d\.\w+")
_WITHOUT_DECIMALS = "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf"
_WITH_THREE = "bhd jod kwd omr tnd"
_LEAST = {"eur": 50, "usd": 50, "gbp": 30, "jpy": 50, "xaf": 328, "xof": 328}
_CREATE = {
    "mode",
    "line_items",
    "success_url",
    "cancel_url",
    "client_reference_id",
    "metadata",
    "payment_intent_data",
    "customer_creation",
    "customer",
    "customer_email",
    "expires_at",
    "locale",
    "adaptive_pricing",
    "payment_method_types",
    "expand",
    "ui_mode",
}
FEE_PERCENT, FEE_FIXED = 1.5, 25
# What a dispute costs, whoever wins it.
DISPUTE_FEE = 2000


_TAKE = {
    "amount",
    "currency",
    "customer",
    "payment_method",
    "automatic_payment_methods",
    "off_session",
    "confirm",
    "description",
    "metadata",
    "expand",
}


class Refused(Exception):
    """An answer with Stripe's error shape."""

    def __init__(self, status: int, message: str, *, kind: str = "invalid_request_error", **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"type": kind, "message": message, **more}


@dataclass
class Fault:
    """What goes wrong with the next request whose line matches."""

    line: str
    # None hangs up without an answer.
    status: int | None = None
    # Whether the server has done what was asked all the same.
    after: bool = True
    times: int = 1


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: str

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def key(self) -> str:
        return self.headers.get("idempotency-key", "")


@dataclass
class Message:
    """A signed message as it goes over the wire."""

    event: dict[str, Any]
    headers: dict[str, str]
    body: bytes


def unflatten(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """`a[b][0]=c` as nested objects; a list is an object whose keys are 0, 1, …"""
    result: dict[str, Any] = {}
    for name, value in pairs:
        first, *rest = re.findall(r"[^\[\]]+", name)
        at = result
        for step, following in zip([first, *rest], rest, strict=False):
            at = at.setdefault(step, {})
            assert isinstance(at, dict), f"{name} says two things about {following}"
        at[[first, *rest][-1]] = value
    return {name: _lists(value) for name, value in result.items()}


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    values = {name: _lists(inner) for name, inner in value.items()}
    return list(values.values()) if values and all(name.isdigit() for name in values) else values


@dataclass
class Stripe:
    """One account. Tests change it behind the client's back as customers, banks and people in the dashboard do."""

    key: str = field(default_factory=lambda: f"sk_test_{secrets.token_hex(12)}")
    livemode: bool = False
    webhook_secret: str = field(default_factory=lambda: f"whsec_{secrets.token_hex(16)}")
    # The one before, while a secret is being exchanged: messages carry both signatures.
    old_webhook_secret: str = ""
    # Where messages go; nothing is sent without it, and tests deliver `messages` themselves.
    webhook_url: str = ""
    now: Callable[[], int] = lambda: int(time.time())
    url: str = ""
    # Per kind and id.
    rows: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    answers: dict[str, tuple[str, int, dict[str, Any]]] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    state: threading.RLock = field(default_factory=threading.RLock)
    # What the account may charge; None for everything.
    currencies: set[str] | None = None
    # What becomes of a refund at first: some banks take days.
    refund_status: str = "succeeded"
    # What becomes of the next payments that are taken without the customer: "" or a decline code, or "processing".
    off_session: list[str] = field(default_factory=list)

    # --- books ------------------------------------------------------------------------------------------

    def table(self, kind: str) -> dict[str, dict[str, Any]]:
        return self.rows.setdefault(kind, {})

    def add(self, kind: str, prefix: str, **members: Any) -> dict[str, Any]:
        row = make(kind, id=f"{prefix}_{secrets.token_hex(12)}", created=self.now(), **members)
        if "livemode" in row or kind in {"checkout.session", "payment_intent", "charge", "dispute", "event"}:
            row["livemode"] = self.livemode
        self.table(kind)[row["id"]] = row
        return row

    def get(self, kind: str, key: str) -> dict[str, Any]:
        row = self.table(kind).get(key)
        if row is None:
            raise Refused(404, f"No such {kind}: '{key}'", code="resource_missing", param="id")
        self._tick(row)
        return row

    def session_of(self, payment_id: object) -> dict[str, Any]:
        """The newest session made for a payment of ours."""
        found = list(self.table("checkout.session").values())
        return [row for row in found if row["client_reference_id"] == str(payment_id)][-1]

    def _tick(self, row: dict[str, Any]) -> None:
        if row["object"] == "checkout.session" and row["status"] == "open" and row["expires_at"] <= self.now():
            self.expire(row)

    # --- what customers do ------------------------------------------------------------------------------

    def pay(self, session: dict[str, Any], *, less: int = 0, currency: str = "", number: str = "4242") -> None:
        """A card that works. `less` and `currency` are how a payment goes wrong that never should."""
        self._open(session)
        intent = self._intent(session)
        self._charge(intent, amount=intent["amount"] - less, currency=currency or intent["currency"], number=number)
        if self.table("asked")[session["id"]].get("setup_future_usage"):
            self._keep(session, intent, number)
        session.update(status="complete", payment_status="paid", url=None)
        self._tell("payment_intent.succeeded", intent)
        self._tell("checkout.session.completed", session)

    def _keep(self, session: dict[str, Any], intent: dict[str, Any], number: str) -> None:
        """What the customer paid with stays with a customer of Stripe's own, for later payments without them."""
        if session["customer_creation"] != "always":
            raise Refused(400, "A payment method can only be kept with a customer.")
        customer = self.add("customer", "cus", email=session["customer_email"])
        method = self.add("payment_method", "pm", type="card", card=card(number)["card"], customer=customer["id"])
        session["customer"] = customer["id"]
        intent.update(customer=customer["id"], payment_method=method["id"], setup_future_usage="off_session")
        self.table("charge")[intent["latest_charge"]].update(customer=customer["id"], payment_method=method["id"])

    def decline(self, session: dict[str, Any], code: str = "insufficient_funds") -> None:
        """A card that does not. The page stays open: the customer may try another one."""
        self._open(session)
        intent = self._intent(session)
        generic = code in {"incorrect_cvc", "expired_card", "processing_error"}
        intent.update(
            status="requires_payment_method",
            last_payment_error={
                "type": "card_error",
                "code": code if generic else "card_declined",
                "decline_code": code,
                "message": "The card was declined.",
            },
        )
        self._tell("payment_intent.payment_failed", intent)

    def challenge(self, session: dict[str, Any]) -> None:
        """The card's bank wants the customer to prove who they are (3-D Secure)."""
        self._open(session)
        intent = self._intent(session)
        intent.update(status="requires_action", next_action={"type": "use_stripe_sdk"})
        self._tell("payment_intent.requires_action", intent)

    def answer_challenge(self, session: dict[str, Any], *, passed: bool) -> None:
        self._open(session)
        intent = self._intent(session)
        intent["next_action"] = None
        if passed:
            self.pay(session, number="3155")
            return
        error = {"type": "invalid_request_error", "code": "payment_intent_authentication_failure"}
        intent.update(status="requires_payment_method", last_payment_error=error | {"message": "Not proven."})
        self._tell("payment_intent.payment_failed", intent)

    def pay_later(self, session: dict[str, Any]) -> None:
        """A method that takes days, such as a direct debit: the session is complete, and nothing is paid."""
        self._open(session)
        intent = self._intent(session)
        intent.update(status="processing", payment_method_types=["sepa_debit"])
        session.update(status="complete", payment_status="unpaid", url=None, payment_method_types=["sepa_debit"])
        self._tell("payment_intent.processing", intent)
        self._tell("checkout.session.completed", session)

    def settle(self, session: dict[str, Any], *, paid: bool, code: str = "insufficient_funds") -> None:
        """The outcome of such a method."""
        intent = self._intent(session)
        if paid:
            self._charge(intent, amount=intent["amount"], currency=intent["currency"], number="3000")
            session["payment_status"] = "paid"
            self._tell("payment_intent.succeeded", intent)
            self._tell("checkout.session.async_payment_succeeded", session)
            return
        error = {"type": "card_error", "code": code, "message": "The debit was refused."}
        intent.update(status="requires_payment_method", last_payment_error=error)
        self._tell("payment_intent.payment_failed", intent)
        self._tell("checkout.session.async_payment_failed", session)

    def expire(self, session: dict[str, Any]) -> None:
        session.update(status="expired", url=None)
        if session["payment_intent"]:
            self._intent(session)["status"] = "canceled"
        self._tell("checkout.session.expired", session)

    def _open(self, session: dict[str, Any]) -> None:
        self._tick(session)
        if session["status"] != "open":
            raise Refused(400, "This Checkout Session is no longer open.")

    def _intent(self, session: dict[str, Any]) -> dict[str, Any]:
        """Made when the customer first tries, as Stripe does."""
        if session["payment_intent"]:
            return self.table("payment_intent")[session["payment_intent"]]
        asked = self.table("asked")[session["id"]]
        intent = self.add(
            "payment_intent",
            "pi",
            amount=session["amount_total"],
            currency=session["currency"],
            metadata=asked.get("metadata", {}),
            description=asked.get("description"),
        )
        session["payment_intent"] = intent["id"]
        return intent

    def _charge(self, intent: dict[str, Any], *, amount: int, currency: str, number: str) -> None:
        charge = self.add(
            "charge",
            "ch",
            amount=amount,
            amount_captured=amount,
            currency=currency,
            captured=True,
            paid=True,
            status="succeeded",
            metadata=dict(intent["metadata"]),
            description=intent["description"],
            payment_intent=intent["id"],
            payment_method_details=card(number),
        )
        fee = round(amount * FEE_PERCENT / 100) + (0 if currency in _WITHOUT_DECIMALS else FEE_FIXED)
        booked = self.add(
            "balance_transaction",
            "txn",
            amount=amount,
            currency=currency,
            fee=fee,
            net=amount - fee,
            source=charge["id"],
            type="charge",
        )
        charge["balance_transaction"] = booked["id"]
        intent.update(
            status="succeeded",
            amount_received=amount,
            currency=currency,
            latest_charge=charge["id"],
            last_payment_error=None,
            next_action=None,
        )

    # --- what banks, and people in the dashboard do -----------------------------------------------------

    def charge_of(self, session: dict[str, Any]) -> dict[str, Any]:
        return self.table("charge")[self._intent(session)["latest_charge"]]

    def give_back(
        self, charge: dict[str, Any], amount: int | None = None, *, metadata: Any = None, status: str = "succeeded"
    ) -> dict[str, Any]:
        rest = charge["amount"] - charge["amount_refunded"]
        amount = rest if amount is None else amount
        if rest <= 0:
            raise Refused(400, f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
        if charge["disputed"]:
            raise Refused(400, "The charge has been charged back.", code="charge_disputed")
        if not 0 < amount <= rest:
            raise Refused(400, f"Refund amount ({amount}) is greater than unrefunded amount ({rest})", param="amount")
        refund = self.add(
            "refund",
            "re",
            amount=amount,
            currency=charge["currency"],
            charge=charge["id"],
            payment_intent=charge["payment_intent"],
            metadata=metadata or {},
            status=status,
        )
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] >= charge["amount"]
        self._tell("refund.created", refund)
        self._tell("charge.refunded", charge)
        return refund

    def end_refund(self, refund: dict[str, Any], *, done: bool) -> None:
        """What the bank says in the end about a refund that was pending, or even done."""
        if done:
            refund["status"] = "succeeded"
        else:
            refund.update(status="failed", failure_reason="expired_or_canceled_card")
            charge = self.table("charge")[refund["charge"]]
            charge["amount_refunded"] -= refund["amount"]
            charge["refunded"] = False
            self._tell("refund.failed", refund)
        self._tell("refund.updated", refund)

    def dispute(self, charge: dict[str, Any]) -> dict[str, Any]:
        """The customer's bank takes the money back until the dispute is decided."""
        dispute = self.add(
            "dispute",
            "du",
            amount=charge["amount"] - charge["amount_refunded"],
            currency=charge["currency"],
            charge=charge["id"],
            payment_intent=charge["payment_intent"],
            reason="fraudulent",
            status="needs_response",
            is_charge_refundable=False,
            balance_transactions=[],
        )
        self._book_dispute(dispute, -dispute["amount"], fee=DISPUTE_FEE)
        charge["disputed"] = True
        self._tell("charge.dispute.created", dispute)
        return dispute

    def end_dispute(self, dispute: dict[str, Any], *, won: bool) -> None:
        dispute["status"] = "won" if won else "lost"
        if won:
            # The fee stays.
            self._book_dispute(dispute, dispute["amount"], fee=0)
        self._tell("charge.dispute.closed", dispute)

    def _book_dispute(self, dispute: dict[str, Any], amount: int, *, fee: int) -> None:
        booked = self.add(
            "balance_transaction",
            "txn",
            amount=amount,
            currency=dispute["currency"],
            fee=fee,
            net=amount - fee,
            source=dispute["id"],
            type="adjustment",
            reporting_category="dispute" if amount < 0 else "dispute_reversal",
        )
        dispute["balance_transactions"].append(booked)

    # --- messages ---------------------------------------------------------------------------------------

    def _tell(self, kind: str, about: dict[str, Any]) -> None:
        event = self.add(
            "event", "evt", type=kind, api_version="2024-06-20", pending_webhooks=1, data={"object": {**about}}
        )
        message = self.signed(event)
        self.messages.append(message)
        if self.webhook_url:
            threading.Thread(target=self._post, args=(message,), daemon=True).start()

    def signed(self, event: dict[str, Any], *, at: int | None = None, secret: str = "") -> Message:
        """The message about an event, `at` another time or with another secret than is right."""
        # Two spaces and a line break, as Stripe's own bodies have: who parses and writes it again breaks it.
        body = json.dumps(event, indent=2)
        header = stripe.WebhookSignature.generate_signature_header
        at = self.now() if at is None else at
        signature = header(body, secret or self.webhook_secret, at)
        if self.old_webhook_secret:
            signature += "," + header(body, self.old_webhook_secret, at).partition(",")[2]
        signature += ",v0=" + hashlib.sha256(body.encode()).hexdigest()
        return Message(event, {"stripe-signature": signature, "content-type": "application/json"}, body.encode())

    def told(self, kind: str) -> list[Message]:
        return [message for message in self.messages if message.event["type"] == kind]

    def _post(self, message: Message, tries: int = 5) -> None:
        for pause in range(tries):
            with contextlib.suppress(httpx.HTTPError):
                answer = httpx.post(self.webhook_url, content=message.body, headers=message.headers, trust_env=False)
                if answer.status_code < 300:
                    return
            time.sleep(2**pause)

    # --- the interface: (status, body) ------------------------------------------------------------------

    def answer(self, seen: Seen) -> tuple[int, dict[str, Any], dict[str, str]]:
        headers = {"request-id": f"req_{secrets.token_hex(7)}"}
        try:
            self._admit(seen)
            if seen.method == "POST" and seen.key:
                status, body, again = self._once(seen)
                return status, body, headers | ({"idempotent-replayed": "true"} if again else {})
            return 200, self._do(seen), headers
        except Refused as refused:
            return refused.status, {"error": refused.error}, headers

    def _admit(self, seen: Seen) -> None:
        scheme, _space, key = seen.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or key != self.key:
            raise Refused(401, f"Invalid API Key provided: {key[:8]}********")
        if not VERSION.fullmatch(seen.headers.get("stripe-version", "")):
            raise Refused(400, "Invalid Stripe API version")
        if seen.method == "POST" and seen.headers.get("content-type") != "application/x-www-form-urlencoded":
            raise Refused(400, "Invalid request: the body must be a form")

    def _once(self, seen: Seen) -> tuple[int, dict[str, Any], bool]:
        """The same key is the same answer, word for word, for a day; with other parameters it is refused."""
        wanted = f"{seen.line}\n{seen.body}"
        if seen.key in self.answers:
            first, status, body = self.answers[seen.key]
            if first != wanted:
                raise Refused(400, "This idempotency key was used with other parameters.", kind="idempotency_error")
            return status, json.loads(json.dumps(body)), True
        try:
            body = self._do(seen)
        except Refused as refused:
            if refused.status == 402:
                # A card that was refused is an answer like any other.
                self.answers[seen.key] = (wanted, 402, {"error": refused.error})
            raise
        self.answers[seen.key] = (wanted, 200, json.loads(json.dumps(body)))
        return 200, body, False

    def _do(self, seen: Seen) -> dict[str, Any]:
        where = urlsplit(seen.path)
        asked = unflatten(parse_qsl(seen.body if seen.method == "POST" else where.query, keep_blank_values=True))
        for method, pattern, act in _ROUTES:
            matched = re.fullmatch(pattern, where.path)
            if matched and method == seen.method:
                return self._expanded(act(self, asked, *matched.groups()), asked.get("expand", []))
        raise Refused(404, f"Unrecognized request URL ({seen.method}: {where.path}).")

    def _expanded(self, row: dict[str, Any], paths: list[str]) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(json.dumps(row))
        for path in paths:
            at: Any = result
            for step in path.split("."):
                if not isinstance(at, dict) or step not in at:
                    raise Refused(400, f"This property cannot be expanded ({path}).")
                if isinstance(at[step], str):
                    found = next((rows[at[step]] for rows in self.rows.values() if at[step] in rows), None)
                    if found is None:
                        raise Refused(400, f"This property cannot be expanded ({path}).")
                    at[step] = json.loads(json.dumps(found))
                if at[step] is None:
                    break
                at = at[step]
        return result

    def _create_session(self, asked: dict[str, Any]) -> dict[str, Any]:
        _known(asked, _CREATE)
        if asked.get("mode") != "payment":
            raise Refused(400, "Missing required param: mode.", code="parameter_missing", param="mode")
        currency, amount = self._priced(asked)
        for name in ("success_url", "cancel_url"):
            if not re.match(r"https?://[^/]+", asked.get(name, "")):
                raise Refused(400, "Not a valid URL", code="url_invalid", param=name)
        if "customer_email" in asked and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", asked["customer_email"]):
            raise Refused(400, "Invalid email address", code="email_invalid", param="customer_email")
        ends = int(asked.get("expires_at") or self.now() + 24 * 3600)
        if not self.now() + 30 * 60 <= ends <= self.now() + 24 * 3600:
            raise Refused(400, "The timestamp must be 30 minutes to 24 hours ahead.", param="expires_at")
        prefix = "cs_live_a1" if self.livemode else "cs_test_a1"
        session = self.add(
            "checkout.session",
            prefix,
            amount_total=amount,
            amount_subtotal=amount,
            currency=currency,
            total_details={"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
            cancel_url=asked["cancel_url"],
            success_url=asked["success_url"],
            client_reference_id=asked.get("client_reference_id"),
            customer_email=asked.get("customer_email"),
            metadata=asked.get("metadata", {}),
            locale=asked.get("locale"),
            adaptive_pricing={"enabled": asked.get("adaptive_pricing", {}).get("enabled") != "false"},
            customer_creation=asked.get("customer_creation", "if_required"),
            expires_at=ends,
            status="open",
            payment_status="unpaid",
            mode="payment",
        )
        session["url"] = f"{self.url}/c/pay/{session['id']}"
        self.table("asked")[session["id"]] = asked.get("payment_intent_data", {}) | {
            "name": asked["line_items"][0]["price_data"]["product_data"]["name"]
        }
        return session

    def _priced(self, asked: dict[str, Any]) -> tuple[str, int]:
        try:
            [line] = asked["line_items"]
            price = line["price_data"]
            currency, amount = price["currency"], int(line["quantity"]) * int(price["unit_amount"])
            assert price["product_data"]["name"]
        except (KeyError, ValueError, AssertionError, TypeError) as error:
            raise Refused(400, "Invalid line items", code="parameter_missing", param="line_items") from error
        if not re.fullmatch("[a-z]{3}", currency) or (self.currencies is not None and currency not in self.currencies):
            raise Refused(400, f"Invalid currency: {currency}", param="line_items[0][price_data][currency]")
        if currency in {"isk", "ugx"} and amount % 100:
            raise Refused(400, "Amounts in this currency have two decimals that are zero", code="invalid_amount")
        if currency in _WITH_THREE and amount % 10:
            raise Refused(400, "The last digit must be zero", code="invalid_amount")
        if amount < _LEAST.get(currency, 1):
            raise Refused(400, "The amount is too small", code="amount_too_small")
        return currency, amount

    def _list(self, kind: str, path: str, asked: dict[str, Any]) -> dict[str, Any]:
        rows = [row for row in self.table(kind).values() if row["payment_intent"] == asked.get("payment_intent")]
        return {"object": "list", "data": rows[::-1], "has_more": False, "url": path}

    def _create_refund(self, asked: dict[str, Any]) -> dict[str, Any]:
        _known(asked, {"payment_intent", "charge", "amount", "metadata", "reason", "expand"})
        intent = self.get("payment_intent", asked.get("payment_intent", ""))
        if not intent["latest_charge"]:
            raise Refused(400, "This PaymentIntent does not have a successful charge to refund.")
        charge = self.table("charge")[intent["latest_charge"]]
        amount = int(asked["amount"]) if "amount" in asked else None
        return self.give_back(charge, amount, metadata=asked.get("metadata"), status=self.refund_status)

    def _create_intent(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Only what Parcelle does: a payment from what was kept, confirmed at once, without the customer there."""
        _known(asked, _TAKE)
        if asked.get("confirm") != "true" or asked.get("off_session") != "true":
            raise Refused(400, "Only off-session payments that are confirmed at once are simulated.")
        method = self.get("payment_method", asked.get("payment_method", ""))
        if method["customer"] is None or method["customer"] != asked.get("customer"):
            raise Refused(400, "The PaymentMethod does not belong to the Customer.", param="payment_method")
        if asked.get("automatic_payment_methods", {}).get("allow_redirects") != "never":
            raise Refused(400, "You must provide a return_url, or allow no redirects.", param="return_url")
        intent = self.add(
            "payment_intent",
            "pi",
            amount=int(asked["amount"]),
            currency=asked["currency"],
            customer=method["customer"],
            payment_method=method["id"],
            metadata=asked.get("metadata", {}),
            description=asked.get("description"),
            status="requires_confirmation",
        )
        fate = self.off_session.pop(0) if self.off_session else ""
        if fate == "processing":
            intent["status"] = "processing"
            self._tell("payment_intent.processing", intent)
        elif fate:
            error = {"type": "card_error", "code": "card_declined", "decline_code": fate}
            if fate == "authentication_required":
                error = {"type": "card_error", "code": fate, "decline_code": fate}
            intent.update(status="requires_payment_method", last_payment_error=error | {"message": "Declined."})
            self._tell("payment_intent.payment_failed", intent)
            shown = json.loads(json.dumps(intent))
            raise Refused(
                402, "Declined.", kind="card_error", code=error["code"], decline_code=fate, payment_intent=shown
            )
        else:
            number = "4242"
            self._charge(intent, amount=intent["amount"], currency=intent["currency"], number=number)
            self.table("charge")[intent["latest_charge"]].update(
                customer=method["customer"], payment_method=method["id"]
            )
            self._tell("payment_intent.succeeded", intent)
        return intent

    def finish(self, intent: dict[str, Any], *, code: str = "") -> None:
        """The outcome of one that was processing."""
        if code:
            error = {"type": "card_error", "code": "card_declined", "decline_code": code, "message": "Declined."}
            intent.update(status="requires_payment_method", last_payment_error=error)
            self._tell("payment_intent.payment_failed", intent)
            return
        self._charge(intent, amount=intent["amount"], currency=intent["currency"], number="4242")
        self._tell("payment_intent.succeeded", intent)

    def _detach(self, key: str) -> dict[str, Any]:
        method = self.get("payment_method", key)
        if method["customer"] is None:
            raise Refused(400, "The payment method is not attached to a customer.", param="payment_method")
        method["customer"] = None
        return method

    def _expire_session(self, asked: dict[str, Any], key: str) -> dict[str, Any]:
        session = self.get("checkout.session", key)
        if session["status"] != "open":
            raise Refused(400, "Only Checkout Sessions with a status of open can be expired.")
        self.expire(session)
        return session


def _known(asked: dict[str, Any], names: set[str]) -> None:
    for name in asked:
        if name not in names:
            raise Refused(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)


_ROUTES: list[tuple[str, str, Callable[..., dict[str, Any]]]] = [
    ("POST", "/v1/checkout/sessions", lambda server, asked: server._create_session(asked)),
    ("GET", r"/v1/checkout/sessions/(\w+)", lambda server, _asked, key: server.get("checkout.session", key)),
    ("POST", r"/v1/checkout/sessions/(\w+)/expire", lambda server, asked, key: server._expire_session(asked, key)),
    ("POST", "/v1/payment_intents", lambda server, asked: server._create_intent(asked)),
    ("POST", r"/v1/payment_methods/(\w+)/detach", lambda server, _asked, key: server._detach(key)),
    ("GET", r"/v1/payment_intents/(\w+)", lambda server, _asked, key: server.get("payment_intent", key)),
    ("GET", r"/v1/charges/(\w+)", lambda server, _asked, key: server.get("charge", key)),
    ("POST", "/v1/refunds", lambda server, asked: server._create_refund(asked)),
    ("GET", "/v1/refunds", lambda server, asked: server._list("refund", "/v1/refunds", asked)),
    ("GET", r"/v1/refunds/(\w+)", lambda server, _asked, key: server.get("refund", key)),
    ("GET", "/v1/disputes", lambda server, asked: server._list("dispute", "/v1/disputes", asked)),
    ("GET", r"/v1/disputes/(\w+)", lambda server, _asked, key: server.get("dispute", key)),
    ("GET", "/v1/balance", lambda server, _asked: make("balance", livemode=server.livemode)),
]


# --- the server ---------------------------------------------------------------------------------------------


class _Handler(http.server.BaseHTTPRequestHandler):
    books: ClassVar[Stripe]
    protocol_version = "HTTP/1.1"

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        seen = Seen(self.command, self.path, {name.lower(): text for name, text in self.headers.items()}, body)
        if not self.path.startswith("/v1/"):
            self._page(seen)
            return
        with self.books.state:
            self.books.seen.append(seen)
            fault = _fault_for(self.books, seen)
            if fault is not None and not fault.after:
                self._broken(fault)
                return
            status, answer, headers = self.books.answer(seen)
        if fault is not None:
            self._broken(fault)
            return
        self._send(status, json.dumps(answer, indent=2).encode(), "application/json", headers)

    do_GET = do_POST = do_DELETE = handle_one

    def _broken(self, fault: Fault) -> None:
        if fault.status is None:
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        kind = "invalid_request_error" if fault.status < 500 else "api_error"
        answer = {"error": {"type": kind, "message": "Something went wrong on our end."}}
        self._send(fault.status, json.dumps(answer).encode(), "application/json", {"request-id": "req_broken"})

    def _page(self, seen: Seen) -> None:
        with self.books.state:
            status, text, location = stripe_pages.answer(self.books, seen.method, seen.path, seen.body)
        self._send(status, text.encode(), "text/html; charset=utf-8", {"Location": location} if location else {})

    def _send(self, status: int, body: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        return


def _fault_for(server: Stripe, seen: Seen) -> Fault | None:
    for fault in server.faults:
        if fault.times and re.search(fault.line, seen.line):
            fault.times -= 1
            return fault
    return None


@contextlib.contextmanager
def serving(server: Stripe | None = None, *, port: int = 0) -> Iterator[Stripe]:
    server = server or Stripe()
    listening = http.server.ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"books": server}))
    listening.daemon_threads = True
    server.url = f"http://127.0.0.1:{listening.server_address[1]}"
    threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()


@contextlib.contextmanager
def by_hand(*, site: str, port: int) -> Iterator[tuple[dict[str, str], list[str]]]:
    """For a person who tries the checkout of the installation at `site`."""
    with serving(Stripe(webhook_url=f"{site}/webhooks/stripe"), port=port) as server:
        steps = [
            f"Open {site}/pricing, order a plan and choose to pay by card.",
            "On the page of the simulated Stripe click what the customer should do.",
            f"Refunds, disputes and the end of debits are clicked at {server.url}/dashboard.",
        ]
        values = {"secret_key": server.key, "webhook_secrets": server.webhook_secret, "api_url": server.url}
        yield values, steps


def shuffled(messages: list[Message], seed: int) -> list[Message]:
    """Every message once or twice, in any order, as Stripe says may happen."""
    chance = random.Random(seed)
    twice = [message for message in messages for _time in range(chance.choice((1, 2)))]
    chance.shuffle(twice)
    return twice
