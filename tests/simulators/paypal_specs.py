"""Holds requests and answers to PayPal's published documents, in both directions.

What the documents leave open is checked here by hand: the token, a 429, a replayed refund, disputes, currencies.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from openapi_core import Config, OpenAPI
from openapi_core.testing import MockRequest, MockResponse

from tests import needs

_FILES = (
    ("/v2/checkout/", "paypal_checkout_orders_v2.json"),
    ("/v2/payments/", "paypal_payments_payment_v2.json"),
    ("/v3/vault/", "paypal_vault_payment_tokens_v3.json"),
    ("/v1/notifications/", "paypal_notifications_webhooks_v1.json"),
)
_HOST = "http://127.0.0.1"
# Disputes and the token are in no published document.
_UNPUBLISHED = re.compile(r"/v1/(oauth2/token|customer/disputes)")


@dataclass(frozen=True)
class Document:
    content: dict[str, Any]
    api: OpenAPI


@cache
def _document(file: str) -> Document:
    content = json.loads((needs.specs() / file).read_text())
    content["servers"] = [{"url": "/"}]
    if "webhooks" in file:
        _drop_read_only(content)
        # The names of PayPal's own messages have hyphens.
        content["components"]["parameters"]["event_id"]["schema"].pop("pattern", None)
        # One signature in 32 begins with a character that the pattern refuses.
        content["components"]["schemas"]["verify_webhook_signature"]["properties"]["transmission_sig"].pop("pattern")
    # The document is not judged itself: another validator finds one of its patterns unreadable.
    return Document(content, OpenAPI.from_dict(content, config=Config(spec_validator_cls=None)))


def _drop_read_only(node: Any) -> None:
    """An event that is sent back for verification consists of nothing but such fields."""
    if isinstance(node, dict):
        node.pop("readOnly", None)
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            _drop_read_only(inner)


def _of(path: str) -> Document | None:
    return next((_document(file) for prefix, file in _FILES if path.startswith(prefix)), None)


def request_faults(
    method: str, path: str, *, query: dict[str, str], headers: dict[str, str], body: bytes, content_type: str
) -> list[str]:
    """What is wrong with a request to PayPal."""
    document = _of(path)
    if document is None:
        return [] if _UNPUBLISHED.match(path) else [f"{method} {path} is no operation of PayPal"]
    asked = MockRequest(
        _HOST, method.lower(), path, args=query, headers=headers, data=body or None, content_type=content_type
    )
    return _faults(f"{method} {path}", lambda: document.api.validate_request(asked))


def response_faults(
    method: str, path: str, status: int, body: bytes, *, content_type: str = "application/json"
) -> list[str]:
    """What is wrong with an answer of the simulator."""
    document = _of(path)
    if document is None:
        return []
    place = f"{method} {path} -> {status}"
    if status == 429:
        return [] if json.loads(body).get("name") == "RATE_LIMIT_REACHED" else [f"{place}: is in no known shape"]
    if status == 200 and method == "POST" and path.endswith("/refund"):
        # A replay. The document knows only the first answer.
        status = 201
    answered = MockResponse(body, status_code=status, content_type=content_type)
    asked = MockRequest(_HOST, method.lower(), path, content_type="application/json")
    return _faults(place, lambda: document.api.validate_response(asked, answered))


def event_faults(body: bytes) -> list[str]:
    """What is wrong with a message: its envelope, and the capture or the kept wallet in it where there is one."""
    message = json.loads(body)
    faults = response_faults("GET", f"/v1/notifications/webhooks-events/{message.get('id')}", 200, body)
    if str(message.get("event_type")).startswith("PAYMENT.CAPTURE.") and message.get("resource_type") == "capture":
        resource = json.dumps(message["resource"]).encode()
        faults += response_faults("GET", f"/v2/payments/captures/{message['resource']['id']}", 200, resource)
    if message.get("resource_type") == "payment_token":
        resource = json.dumps(message["resource"]).encode()
        faults += response_faults("GET", f"/v3/vault/payment-tokens/{message['resource']['id']}", 200, resource)
    return faults


def _faults(place: str, validate: Any) -> list[str]:
    try:
        validate()
    except Exception as error:  # noqa: BLE001 every kind of fault has a class of its own
        reasons = getattr(error.__cause__, "schema_errors", None) or [error.__cause__ or error]
        return [f"{place}: {getattr(reason, 'message', reason)}"[:500] for reason in reasons]
    return []


@cache
def frame(path: str, status: int) -> dict[str, str]:
    """Name and message of an error, as the document for this path has them."""
    document = _of(path)
    schemas = document.content["components"]["schemas"] if document else {}
    properties = schemas.get(f"error_{status}", {}).get("properties", {})
    return {name: properties[name]["enum"][0] for name in ("name", "message") if "enum" in properties.get(name, {})}


@cache
def descriptions(path: str, status: int) -> dict[str, str]:
    """The one text that each issue may be described with: it differs from one operation to the next."""
    document = _of(path)
    schemas = document.content["components"]["schemas"] if document else {}
    places = {"capture": f"orders.capture-{status}", "refund": f"captures.refund-{status}"}
    found: dict[str, str] = {}
    _collect(schemas.get(places.get(path.rpartition("/")[2], ""), schemas.get(str(status), {})), found)
    return found


def _collect(node: Any, found: dict[str, str]) -> None:
    if isinstance(node, dict):
        issue, text = (node.get("properties") or {}).get("issue"), (node.get("properties") or {}).get("description")
        if isinstance(issue, dict) and isinstance(text, dict) and issue.get("enum") and text.get("enum"):
            found.setdefault(issue["enum"][0], text["enum"][0])
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            _collect(inner, found)
