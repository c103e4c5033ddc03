"""PayPal over HTTP: the token, one call, and what an answer without an outcome means."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from parcelle.core import http
from parcelle.domain.billing.gateways.base import GatewayError

# How long before its end a token is not used any more, for calls that take their time.
_MARGIN_SECONDS = 60
READ_SECONDS = 20

# (host, client id, hash of the secret) -> token, and until when by this process's own clock
_tokens: dict[tuple[str, str, str], tuple[str, float]] = {}
_minting = threading.Lock()


@dataclass(frozen=True)
class Answer:
    """A decoded answer. `at` is PayPal's own clock, which its time limits run by."""

    status: int
    data: Mapping[str, Any] = field(repr=False)
    at: datetime | None = None


class Refused(Exception):
    """PayPal understood and said no, so nothing happened. `issues` are its codes, the first one decides."""

    def __init__(self, status: int, data: Mapping[str, Any], at: datetime | None) -> None:
        details = data.get("details")
        details = details if isinstance(details, list) else []
        self.status = status
        self.issues = [str(one["issue"]) for one in details if isinstance(one, dict) and one.get("issue")]
        self.links = data.get("links") or []
        self.debug_id = str(data.get("debug_id", ""))
        self.at = at
        super().__init__(self.remark)

    @property
    def issue(self) -> str:
        return self.issues[0] if self.issues else ""

    @property
    def remark(self) -> str:
        """For the operator, and for PayPal's support, who ask for the number."""
        return f"{self.status} {', '.join(self.issues) or 'without a reason'} (debug_id {self.debug_id or 'none'})"


class CredentialsRefused(GatewayError):
    """PayPal does not know this client id with this secret: nothing was asked of it."""

    def __init__(self) -> None:
        super().__init__("PayPal refuses the client id and secret", unknown=False)


@dataclass(frozen=True)
class Api:
    base_url: str
    client_id: str
    secret: str = field(repr=False)

    def get(self, path: str, **params: str) -> Answer:
        """Raises Refused and GatewayError."""
        return self._call("GET", path, params=params)

    def post(self, path: str, *, key: str = "", content: bytes = b"{}") -> Answer:
        """The same `key` again is the same act. Raises Refused and GatewayError."""
        return self._call("POST", path, key=key, content=content)

    def delete(self, path: str) -> Answer:
        """Raises Refused and GatewayError."""
        return self._call("DELETE", path)

    def _call(
        self,
        method: str,
        path: str,
        *,
        key: str = "",
        content: bytes | None = None,
        params: dict[str, str] | None = None,
    ) -> Answer:
        response = self._send(method, path, self.token(), key, content, params)
        if response.status_code == 401:
            # Revoked, or older than PayPal remembers: one new token, and no second try.
            self.forget_token()
            response = self._send(method, path, self.token(), key, content, params)
        return _read(response, method, path)

    def _send(
        self, method: str, path: str, token: str, key: str, content: bytes | None, params: dict[str, str] | None
    ) -> Any:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json", "Prefer": "return=representation"}
        if content is not None:
            headers["Content-Type"] = "application/json"
        if key:
            headers["PayPal-Request-Id"] = key
        return _request(method, self.base_url + path, headers=headers, content=content, params=params or None)

    # --- the token --------------------------------------------------------------------------------------

    @property
    def _key(self) -> tuple[str, str, str]:
        return self.base_url, self.client_id, hashlib.sha256(self.secret.encode()).hexdigest()

    def token(self) -> str:
        """One for everybody in this process, until shortly before it ends. Raises CredentialsRefused, GatewayError."""
        with _minting:
            known = _tokens.get(self._key)
            if known is None or known[1] <= time.monotonic():
                known = _tokens[self._key] = self._mint()
            return known[0]

    def forget_token(self) -> None:
        with _minting:
            _tokens.pop(self._key, None)

    def _mint(self) -> tuple[str, float]:
        pair = base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()
        headers = {
            "Authorization": f"Basic {pair}",
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        try:
            response = _request(
                "POST", f"{self.base_url}/v1/oauth2/token", headers=headers, content=b"grant_type=client_credentials"
            )
            if response.status_code == 401:
                raise CredentialsRefused
            given = _read(response, "POST", "/v1/oauth2/token").data
            return str(given["access_token"]), time.monotonic() + int(given["expires_in"]) - _MARGIN_SECONDS
        except (Refused, KeyError, TypeError, ValueError) as error:
            raise GatewayError(f"PayPal gives no token: {type(error).__name__}", unknown=False) from error
        except CredentialsRefused:
            raise
        except GatewayError as error:
            # Whatever became of the request for a token, no act was asked for.
            raise GatewayError(error.detail, unknown=False) from error


def _request(method: str, url: str, **more: Any) -> Any:
    try:
        return http.request(method, url, timeout=READ_SECONDS, **more)
    except http.OutsideError as error:
        raise GatewayError(str(error), unknown=error.unknown) from error


def _read(response: Any, method: str, path: str) -> Answer:
    place, status = f"{method} {path}", response.status_code
    at = _clock(response.headers.get("Date", ""))
    try:
        data = response.json() if response.content else {}
    except ValueError:
        data = None
    if status >= 500 or status in {409, 429} or not isinstance(data, dict):
        # 409: an earlier call with the same key is still at work.
        raise GatewayError(f"PayPal answered {place} with {status}", unknown=True)
    if status == 401:
        raise CredentialsRefused
    if status >= 300:
        raise Refused(status, data, at)
    return Answer(status, data, at)


def _clock(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        return None


def encode(body: Mapping[str, Any]) -> bytes:
    """The same bytes for the same values, so that a repetition is one."""
    return json.dumps(body, ensure_ascii=False, sort_keys=True).encode()
