"""Calls to MTN: headers, the token of one product, and what an answer says. Knows nothing of payments."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx

from parcelle.core import http
from parcelle.domain.billing.gateways.base import GatewayError
from parcelle.domain.billing.gateways.mtn_momo import words

# A token is renewed so long before its end.
RENEW_SECONDS = 600


class NotAdmitted(Exception):
    """MTN takes no call from us: subscription key, API user, API key or address is wrong. Nothing was done."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`body` is the decoded JSON, numbers as int or Decimal; None where there was none."""

    status: int
    body: Any

    @property
    def code(self) -> str:
        """MTN's word for what went wrong, empty without one."""
        return words.reason(self.body)[0] if isinstance(self.body, dict) else ""

    def __str__(self) -> str:
        said = " ".join(filter(None, words.reason(self.body))) if isinstance(self.body, dict) else ""
        return f"MTN answered {self.status} {said}".strip()


@dataclass(frozen=True, kw_only=True)
class Client:
    """One product ("collection" or "disbursement") as one API user sees it."""

    product: str
    url: str
    environment: str
    subscription_key: str = field(repr=False)
    api_user: str
    api_key: str = field(repr=False)

    def get(self, path: str) -> Answer:
        """Raises GatewayError without an answer, and NotAdmitted."""
        return self._call("GET", path)

    def post(self, path: str, *, reference: UUID, body: Mapping[str, Any], callback_url: str = "") -> Answer:
        """Raises GatewayError without an answer, and NotAdmitted."""
        headers = {"X-Reference-Id": str(reference)}
        if callback_url:
            headers["X-Callback-Url"] = callback_url
        return self._call("POST", path, headers=headers, body=body)

    def sign_in(self) -> None:
        """Proves the credentials. Raises GatewayError and NotAdmitted."""
        _TOKENS.renew(self)

    def _call(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Answer:
        answer = self._send(method, path, headers or {}, body, token=_TOKENS.of(self))
        if answer.status == 401:
            # The token may have ended early. Once only: with a wrong subscription key it would go on for ever.
            answer = self._send(method, path, headers or {}, body, token=_TOKENS.renew(self))
        if answer.status in {401, 403}:
            raise NotAdmitted(f"{answer} for {self.product}: subscription key, API user, or an address not allowed")
        return answer

    def _send(
        self, method: str, path: str, headers: Mapping[str, str], body: Mapping[str, Any] | None, *, token: str
    ) -> Answer:
        try:
            response = http.request(
                method,
                f"{self.url}/{self.product}{path}",
                headers={
                    "Authorization": f"Bearer {token}",
                    "Ocp-Apim-Subscription-Key": self.subscription_key,
                    "X-Target-Environment": self.environment,
                    **headers,
                },
                json=body,
            )
        except http.OutsideError as error:
            raise GatewayError(str(error), unknown=error.unknown) from error
        return read(response)

    def mint(self) -> tuple[str, int]:
        """A new token and its life in seconds. No payment is touched, so a failure is never unknown."""
        basic = base64.b64encode(f"{self.api_user}:{self.api_key}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Ocp-Apim-Subscription-Key": self.subscription_key}
        try:
            answer = read(http.request("POST", f"{self.url}/{self.product}/token/", headers=headers))
        except http.OutsideError as error:
            raise GatewayError(str(error), unknown=False) from error
        if answer.status in {401, 403}:
            raise NotAdmitted(f"MTN refused the API user, its key or the subscription key of {self.product}")
        try:
            return str(answer.body["access_token"]), int(answer.body["expires_in"])
        except (TypeError, KeyError, ValueError):
            raise GatewayError(f"no token of {self.product}: {answer}", unknown=False) from None


def read(response: httpx.Response) -> Answer:
    try:
        body = json.loads(response.content, parse_float=Decimal)
    except ValueError:
        body = None
    return Answer(status=response.status_code, body=body)


class _Tokens:
    """One token per product and credentials, shared by the threads of this process and never stored."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[Client, tuple[str, float]] = {}

    def of(self, client: Client) -> str:
        token, until = self._held.get(client, ("", 0))
        return token if time.monotonic() < until else self.renew(client, instead_of=token)

    def renew(self, client: Client, *, instead_of: str | None = None) -> str:
        """A new token; with `instead_of`, not when somebody else has renewed that one in the meantime."""
        with self._lock:
            token, until = self._held.get(client, ("", 0))
            if instead_of is not None and token != instead_of and time.monotonic() < until:
                return token
            token, seconds = client.mint()
            self._held[client] = (token, time.monotonic() + seconds - RENEW_SECONDS)
            return token


_TOKENS = _Tokens()
