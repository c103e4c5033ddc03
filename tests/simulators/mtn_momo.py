"""MTN Mobile Money as it behaves, ugly parts included: Collection, Disbursement, the sandbox's API users, and the
telephone in the payer's hand.

A request to pay rings on a telephone. Magic numbers decide by themselves; any other number waits for a person, who
approves, refuses or ignores it on the page `/phone`, or for the test that stands in for one. Requests and answers are
held to MTN's documents (`violations`), except where `ugly` says that the answer is deliberately none of theirs.
Nothing of MTN is in here; the behaviour is what its documents and other people's reports say.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import secrets
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

CURRENCIES = {
    "sandbox": "EUR",
    "mtncameroon": "XAF",
    "mtncongo": "XAF",
    "mtnivorycoast": "XOF",
    "mtnbenin": "XOF",
    "mtnguineaconakry": "GNF",
}
NO_DECIMALS = {"XAF", "XOF", "GNF"}
STATUSES_PER_SECOND = 10
TOKEN_SECONDS = 3600
# How long a refund takes.
REFUND_SECONDS = 5
# A push that nobody answers ends by itself.
LAPSES_AFTER = 5 * 60

# number -> (status, reason, after so many seconds)
MAGIC: dict[str, tuple[str, str, float]] = {
    "46733123450": ("FAILED", "INTERNAL_PROCESSING_ERROR", 0),
    "46733123451": ("FAILED", "APPROVAL_REJECTED", 0),
    "46733123452": ("FAILED", "EXPIRED", 0),
    "46733123453": ("SUCCESSFUL", "", 30),
    "46733123454": ("PENDING", "", 0),
    "46733123455": ("FAILED", "PAYER_NOT_FOUND", 0),
    "46733123456": ("FAILED", "PAYEE_NOT_ALLOWED_TO_RECEIVE", 0),
    "46733123462": ("FAILED", "SERVICE_UNAVAILABLE", 0),
    "46733123463": ("FAILED", "COULD_NOT_PERFORM_TRANSACTION", 0),
}
# number -> code of the 500 that answers the request itself
TURNED_DOWN = {
    "46733123457": "NOT_ALLOWED",
    "46733123458": "NOT_ALLOWED_TARGET_ENVIRONMENT",
    "46733123459": "INVALID_CALLBACK_URL_HOST",
    "46733123460": "INVALID_CURRENCY",
    "46733123461": "INTERNAL_PROCESSING_ERROR",
}
_TEXTS = {
    "RESOURCE_NOT_FOUND": "Requested resource was not found.",
    "RESOURCE_ALREADY_EXIST": "Duplicated reference id. Creation of resource failed.",
}
# Not in MTN's enum of reasons, and seen all the same.
_UNDOCUMENTED = {"COULD_NOT_PERFORM_TRANSACTION", "SENDER_ACCOUNT_NOT_ACTIVE"}


@dataclass
class Seen:
    """One request as the server got it; `body` is the decoded JSON, or None."""

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes
    body: Any = None

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def product(self) -> str:
        first = self.path.split("/")[1]
        return first if first in {"collection", "disbursement"} else ""


@dataclass
class Push:
    """A request to pay, or a refund (then `refunds` is the reference it gives back)."""

    reference: str
    body: dict[str, Any]
    at: float
    callback_url: str = ""
    status: str = "PENDING"
    reason: str = ""
    transaction: str = ""
    # What will become of it, and when.
    due: tuple[float, str, str] | None = None
    refunds: str = ""

    @property
    def number(self) -> str:
        return str(self.body.get("payer", {}).get("partyId", ""))


@dataclass
class Fault:
    """What happens to the next requests whose line begins so.

    `name`: lost (the answer does not arrive, the effect did), never (the request does not arrive), error (500 without
    a code), busy (429), code (500 with `code`), unauthorised (401), garbage (200, no JSON), forbidden (403).
    """

    line: str
    name: str
    code: str = ""
    times: int = 1


class Refused(Exception):
    def __init__(self, status: int, code: str = "", *, empty: bool = False, plain: str = "") -> None:
        super().__init__(code)
        self.status, self.code, self.empty, self.plain = status, code, empty, plain


@dataclass
class Momo:
    """The service's state. Tests change it behind the client's back, as people and faults do."""

    environment: str = "sandbox"
    currency: str = ""
    subscription_keys: dict[str, str] = field(
        default_factory=lambda: {"collection": secrets.token_hex(16), "disbursement": secrets.token_hex(16)}
    )
    # API user -> (host of its callbacks, key)
    users: dict[str, tuple[str, str]] = field(default_factory=dict)
    tokens: dict[str, tuple[str, float]] = field(default_factory=dict)
    pushes: dict[str, Push] = field(default_factory=dict)
    refunds: dict[str, Push] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    token_seconds: int = TOKEN_SECONDS
    # Approves every number that is not magic after so long; None waits for a person.
    approves_after: float | None = None
    # How callbacks come: put, post, never, twice, early (before the 202), lie, elsewhere.
    callbacks: str = "put"
    # Ways in which answers differ from the document: reason_text, numbers, or a status in place of PENDING.
    ugly: set[str] = field(default_factory=set)
    status_word: str = "PENDING"
    # What the service says of a payment in place of what it was asked for.
    altered: dict[str, Any] = field(default_factory=dict)
    # Addresses that Disbursement takes calls from; None takes all.
    allowed: set[str] | None = None
    called: list[tuple[str, str, int]] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic
    url: str = ""
    judge: Callable[..., list[str]] | None = None

    def __post_init__(self) -> None:
        self.currency = self.currency or CURRENCIES[self.environment]
        self.state = threading.RLock()
        self.skipped = 0.0
        self.asked: deque[float] = deque()

    # --- what tests and people do to it ---------------------------------------------------------------------

    @property
    def now(self) -> float:
        return self.clock() + self.skipped

    def advance(self, seconds: float) -> None:
        """Time goes by, with everything that comes due in it."""
        self.skipped += seconds
        self.settle()

    def add_user(self, host: str = "localhost") -> tuple[str, str]:
        """An API user and its key."""
        name, key = str(uuid.uuid4()), secrets.token_hex(16)
        self.users[name] = (host, key)
        return name, key

    def settings(self, **changes: str) -> dict[str, str]:
        """What an operator would type in, with an API user of its own."""
        user, key = self.add_user(changes.get("callback_host") or "localhost")
        return {
            "environment": self.environment,
            "subscription_key": self.subscription_keys["collection"],
            "api_user": user,
            "api_key": key,
            "disbursement_subscription_key": self.subscription_keys["disbursement"],
            "base_url": self.url,
            **changes,
        }

    def approve(self, reference: object, *, after: float = 0) -> None:
        self._decide(str(reference), "SUCCESSFUL", "", after)

    def refuse(self, reference: object, *, code: str = "APPROVAL_REJECTED", after: float = 0) -> None:
        self._decide(str(reference), "FAILED", code, after)

    def _decide(self, reference: str, status: str, reason: str, after: float) -> None:
        with self.state:
            push = self.pushes[reference]
            if push.status == "PENDING":
                push.due = (self.now + after, status, reason)
        self.settle()

    def settle(self) -> None:
        """What has come due happens."""
        with self.state:
            done = [push for push in (*self.pushes.values(), *self.refunds.values()) if self._settle(push)]
        for push in done:
            self._call_back(push)

    def _settle(self, push: Push) -> bool:
        if push.status != "PENDING" or push.due is None or push.due[0] > self.now:
            return False
        _when, push.status, push.reason = push.due
        if push.status == "SUCCESSFUL":
            push.transaction = str(secrets.randbelow(10**9) + 10**9)
        return push.status != "PENDING"

    def lines(self, start: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.line.startswith(start)]

    # --- answering ------------------------------------------------------------------------------------------

    def answer(self, seen: Seen, address: str) -> tuple[int, bytes] | None:
        """Status and body, or None to hang up."""
        self.settle()
        fault = self._fault(seen)
        if fault is not None and fault.name != "lost":
            return _broken(fault)
        with self.state:
            try:
                status, body = self._route(seen, address)
                answer = b"" if body is None else json.dumps(body).encode()
            except Refused as refused:
                status, answer = refused.status, _refusal(refused)
        if self.judge is not None and not self._deliberate(seen, status, answer):
            self.violations += self.judge(
                seen.product,
                seen.method,
                seen.path,
                headers=seen.headers,
                body=seen.raw,
                status=status,
                answer=answer,
            )
        return None if fault is not None else (status, answer)

    def _fault(self, seen: Seen) -> Fault | None:
        for fault in self.faults:
            if seen.line.startswith(fault.line) and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def _deliberate(self, seen: Seen, status: int, answer: bytes) -> bool:
        """Answers that fit no document: reported by users, or written down nowhere."""
        undocumented = status in {403, 429} or (status == 401 and not seen.path.endswith("/token/"))
        odd = (
            self.ugly
            or self.altered
            or self.status_word != "PENDING"
            or any(c.encode() in answer for c in _UNDOCUMENTED)
        )
        return undocumented or (seen.method == "GET" and status == 200 and bool(odd))

    def _route(self, seen: Seen, address: str) -> tuple[int, Any]:
        parts = seen.path.strip("/").split("/")
        product = seen.product
        rest = parts[1:] if product else parts
        self._check_subscription(seen, product)
        if not product:
            return self._provision(seen, rest)
        if rest == ["token"] and seen.method == "POST" and seen.path.endswith("/token/"):
            return self._token(seen, product)
        self._check_token(seen, product, address)
        match seen.method, rest:
            case "POST", ["v1_0", "requesttopay"] if product == "collection":
                return self._request_to_pay(seen)
            case "GET", ["v1_0", "requesttopay", reference] if product == "collection":
                return self._status(self.pushes, reference)
            case "GET", ["v1_0", "accountholder", "msisdn", number, "active"]:
                return 200, {"result": number != "46733123455"}
            case "GET", ["v1_0", "account", "balance"]:
                return 200, {"availableBalance": "1000", "currency": self.currency}
            case "POST", [("v1_0" | "v2_0"), "refund"] if product == "disbursement":
                return self._refund(seen)
            case "GET", ["v1_0", "refund", reference] if product == "disbursement":
                return self._status(self.refunds, reference)
        raise Refused(404, "RESOURCE_NOT_FOUND")

    def _check_subscription(self, seen: Seen, product: str) -> None:
        key = (
            seen.headers.get("ocp-apim-subscription-key")
            or parse_qs(urlsplit(seen.path).query).get("subscription-key", [""])[0]
        )
        keys = [self.subscription_keys[product]] if product else list(self.subscription_keys.values())
        if key not in keys:
            raise Refused(401, plain="Access denied due to invalid subscription key.")

    def _provision(self, seen: Seen, rest: list[str]) -> tuple[int, Any]:
        match seen.method, rest:
            case "POST", ["v1_0", "apiuser"]:
                name = seen.headers.get("x-reference-id", "")
                host = (seen.body or {}).get("providerCallbackHost")
                if not _is_uuid4(name) or not host or "/" in host:
                    raise Refused(400, empty=True)
                if name in self.users:
                    raise Refused(409, "RESOURCE_ALREADY_EXIST")
                self.users[name] = (host, "")
                return 201, None
            case "POST", ["v1_0", "apiuser", name, "apikey"]:
                if name not in self.users:
                    raise Refused(404, "RESOURCE_NOT_FOUND")
                key = secrets.token_hex(16)
                self.users[name] = (self.users[name][0], key)
                return 201, {"apiKey": key}
            case "GET", ["v1_0", "apiuser", name]:
                if name not in self.users:
                    raise Refused(404, "RESOURCE_NOT_FOUND")
                return 200, {"providerCallbackHost": self.users[name][0], "targetEnvironment": self.environment}
        raise Refused(404, "RESOURCE_NOT_FOUND")

    def _token(self, seen: Seen, product: str) -> tuple[int, Any]:
        scheme, _space, value = seen.headers.get("authorization", "").partition(" ")
        with contextlib.suppress(ValueError):
            name, _colon, key = base64.b64decode(value).decode().partition(":")
            if scheme == "Basic" and key and self.users.get(name, ("", ""))[1] == key:
                token = secrets.token_urlsafe(48)
                self.tokens[token] = (f"{product} {name}", self.now + self.token_seconds)
                return 200, {"access_token": token, "token_type": "access_token", "expires_in": self.token_seconds}
        raise Refused(401, plain="login_failed")

    def _check_token(self, seen: Seen, product: str, address: str) -> None:
        if product == "disbursement" and self.allowed is not None and address not in self.allowed:
            raise Refused(403, plain="Unauthorised address")
        token = seen.headers.get("authorization", "").removeprefix("Bearer ")
        owner, until = self.tokens.get(token, ("", 0.0))
        if owner.split(" ")[0] != product or until <= self.now:
            raise Refused(401, plain="The access token is missing, wrong or has expired")

    def _request_to_pay(self, seen: Seen) -> tuple[int, Any]:
        reference = self._checked(seen, {"amount", "currency", "externalId", "payer", "payerMessage", "payeeNote"})
        number = str(seen.body["payer"].get("partyId", ""))
        if not number.isdigit():
            raise Refused(400, empty=True)
        if number in TURNED_DOWN:
            raise Refused(500, TURNED_DOWN[number])
        if reference in self.pushes:
            raise Refused(409, "RESOURCE_ALREADY_EXIST")
        push = Push(reference, seen.body, self.now, callback_url=seen.headers.get("x-callback-url", ""))
        if number in MAGIC:
            status, reason, after = MAGIC[number]
            push.due = (self.now + after, status, reason)
        elif self.approves_after is not None:
            push.due = (self.now + self.approves_after, "SUCCESSFUL", "")
        else:
            push.due = (self.now + LAPSES_AFTER, "FAILED", "EXPIRED")
        self.pushes[reference] = push
        if self.callbacks == "early":
            self._call_back(push, wait=True)
        return 202, None

    def _checked(self, seen: Seen, members: set[str]) -> str:
        """The reference of a request that is in order."""
        reference = seen.headers.get("x-reference-id", "")
        body = seen.body
        if not _is_uuid4(reference) or not isinstance(body, dict) or not members <= body.keys():
            raise Refused(400, empty=True)
        texts = [str(body.get("payerMessage", "")), str(body.get("payeeNote", ""))]
        if any("'" in text or "’" in text or len(text) > 160 or not text.isascii() for text in texts):
            raise Refused(400, empty=True)
        if not all(texts):
            raise Refused(500, "INTERNAL_PROCESSING_ERROR")
        if seen.headers.get("x-target-environment") != self.environment:
            raise Refused(500, "NOT_ALLOWED_TARGET_ENVIRONMENT")
        if body["currency"] != self.currency:
            raise Refused(500, "INVALID_CURRENCY")
        if not _is_amount(body["amount"], self.currency):
            raise Refused(400, empty=True)
        called = seen.headers.get("x-callback-url")
        if called and urlsplit(called).hostname != self._host(seen):
            raise Refused(500, "INVALID_CALLBACK_URL_HOST")
        return reference

    def _host(self, seen: Seen) -> str:
        owner = self.tokens[seen.headers["authorization"].removeprefix("Bearer ")][0]
        return self.users[owner.split(" ")[1]][0]

    def _refund(self, seen: Seen) -> tuple[int, Any]:
        members = {"amount", "currency", "externalId", "payerMessage", "payeeNote", "referenceIdToRefund"}
        reference = self._checked(seen, members)
        if reference in self.refunds:
            raise Refused(409, "RESOURCE_ALREADY_EXIST")
        paid = self.pushes.get(seen.body["referenceIdToRefund"])
        if paid is None or paid.status != "SUCCESSFUL":
            raise Refused(500, "RESOURCE_NOT_FOUND")
        given = [one for one in self.refunds.values() if one.refunds == paid.reference and one.status != "FAILED"]
        whole = sum(_minor(one.body["amount"]) for one in given) + _minor(seen.body["amount"])
        if whole > _minor(paid.body["amount"]):
            raise Refused(500, "NOT_ALLOWED")
        refund = Push(reference, seen.body, self.now, refunds=paid.reference)
        refund.due = (self.now + REFUND_SECONDS, "SUCCESSFUL", "")
        self.refunds[reference] = refund
        return 202, None

    def fail_refund(self, reference: object, code: str = "NOT_ENOUGH_FUNDS") -> None:
        self.refunds[str(reference)].due = (self.now, "FAILED", code)
        self.settle()

    def _status(self, books: dict[str, Push], reference: str) -> tuple[int, Any]:
        while self.asked and self.asked[0] <= self.now - 1:
            self.asked.popleft()
        if len(self.asked) >= STATUSES_PER_SECOND:
            raise Refused(429, plain="Rate limit is exceeded. Try again in 1 seconds.")
        self.asked.append(self.now)
        if not _is_uuid(reference):
            raise Refused(400, empty=True)
        if reference not in books:
            raise Refused(404, "RESOURCE_NOT_FOUND")
        return 200, self.told(books[reference])

    def told(self, push: Push) -> dict[str, Any]:
        """The body of a status and of a callback."""
        body: dict[str, Any] = {
            name: push.body[name] for name in ("amount", "currency", "externalId", "payerMessage", "payeeNote")
        }
        if push.refunds:
            body["payee"] = self.pushes[push.refunds].body["payer"]
        else:
            body["payer"] = dict(push.body["payer"])
        body["status"] = self.status_word if push.status == "PENDING" else push.status
        if push.transaction:
            body["financialTransactionId"] = push.transaction
        if push.reason:
            text = _TEXTS.get(push.reason, push.reason.replace("_", " ").capitalize())
            body["reason"] = push.reason if "reason_text" in self.ugly else {"code": push.reason, "message": text}
        if "numbers" in self.ugly:
            _as_numbers(body)
        return {**body, **self.altered}

    # --- calling back ---------------------------------------------------------------------------------------

    def _call_back(self, push: Push, *, wait: bool = False) -> None:
        if not push.callback_url or self.callbacks == "never":
            return
        body = self.told(push)
        if self.callbacks == "lie":
            body = {**body, "status": "SUCCESSFUL", "financialTransactionId": "1"}
            body.pop("reason", None)
        url = push.callback_url if self.callbacks != "elsewhere" else push.callback_url + "x"
        for _time in range(2 if self.callbacks == "twice" else 1):
            sending = threading.Thread(
                target=self._send, args=("POST" if self.callbacks == "post" else "PUT", url, body), daemon=True
            )
            sending.start()
            if wait:
                sending.join(5)

    def _send(self, method: str, url: str, body: dict[str, Any]) -> None:
        where = urlsplit(url)
        status = 0
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection(where.hostname or "", where.port or 80, timeout=5)
            connection.request(method, where.path, json.dumps(body), {"Content-Type": "application/json"})
            status = connection.getresponse().status
            connection.close()
        self.called.append((method, url, status))

    # --- the telephone --------------------------------------------------------------------------------------

    def click(self, form: dict[str, list[str]]) -> None:
        reference, answer = (form.get(name, [""])[0] for name in ("reference", "answer"))
        if reference not in self.pushes:
            return
        if answer == "refuse":
            self.refuse(reference)
        elif answer == "ignore":
            self.refuse(reference, code="EXPIRED")
        elif answer == "no_money":
            self.refuse(reference, code="NOT_ENOUGH_FUNDS")
        elif answer.startswith("approve"):
            self.approve(reference, after=float(answer.removeprefix("approve") or 0))


def _broken(fault: Fault) -> tuple[int, bytes] | None:
    if fault.name == "code":
        return 500, json.dumps({"code": fault.code, "message": fault.code}).encode()
    return {
        "error": (500, b""),
        "busy": (429, b'{"statusCode": 429, "message": "Rate limit is exceeded."}'),
        "unauthorised": (401, b'{"error": "unauthorised"}'),
        "forbidden": (403, b'{"error": "forbidden"}'),
        "garbage": (200, b"<html>Welcome</html>"),
    }.get(fault.name)


def _refusal(refused: Refused) -> bytes:
    if refused.empty:
        return b""
    if refused.plain:
        return json.dumps({"error": refused.plain}).encode()
    return json.dumps({"code": refused.code, "message": _TEXTS.get(refused.code, refused.code)}).encode()


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _is_uuid4(text: str) -> bool:
    return _is_uuid(text) and uuid.UUID(text).version == 4


def _is_amount(text: Any, currency: str) -> bool:
    if not isinstance(text, str):
        return False
    whole, point, part = text.partition(".")
    if not (whole.isascii() and whole.isdigit()) or int(whole + (part or "0")) <= 0:
        return False
    return not point or (currency not in NO_DECIMALS and part.isascii() and part.isdigit() and len(part) <= 2)


def _minor(amount: str) -> int:
    whole, _point, part = amount.partition(".")
    return int(whole + part.ljust(2, "0"))


def _as_numbers(body: dict[str, Any]) -> None:
    """The document says texts, its own examples show numbers."""
    body["amount"] = json.loads(body["amount"])
    if "financialTransactionId" in body:
        body["financialTransactionId"] = int(body["financialTransactionId"])
    for party in ("payer", "payee"):
        if party in body:
            body[party] = {**body[party], "partyId": int(body[party]["partyId"])}
