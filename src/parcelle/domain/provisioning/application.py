"""Talking to a running application the way its blueprint says: probing, personalising, signing in."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from parcelle.core import http
from parcelle.core.logs import redact
from parcelle.domain.catalog.blueprints import Call, Probe, fill
from parcelle.domain.provisioning.errors import ProvisioningError, TryAgain

_MISSING = object()


class CallRefused(ProvisioningError):
    """The application answered call `number` of several (from 1), but not what the blueprint expects."""

    def __init__(self, detail: str, *, number: int = 0) -> None:
        super().__init__(detail)
        self.number = number


def answers(endpoint: str, probe: Probe, *, timeout: float = 5) -> bool:
    """Whether the application's probe is answered as expected, right now."""
    try:
        return http.request("GET", endpoint + probe.path, timeout=timeout).status_code == probe.status
    except http.OutsideError:
        return False


def wait_until_it_answers(endpoint: str, probe: Probe, *, seconds: float) -> None:
    """Returns as soon as the probe is answered; TryAgain after `seconds`."""
    give_up = time.monotonic() + seconds
    pause = 0.02
    while not answers(endpoint, probe):
        if time.monotonic() > give_up:
            raise TryAgain(f"the application did not answer within {seconds:.0f} s")
        time.sleep(pause)
        pause = min(pause * 1.3, 0.25)


def perform(endpoint: str, calls: Sequence[Call], variables: Mapping[str, str]) -> None:
    """Sends the calls in order. CallRefused when an answer is not as expected, TryAgain when there is none."""
    known: dict[str, Any] = dict(variables)
    for number, call in enumerate(calls, start=1):
        try:
            response = http.request(
                call.method,
                endpoint + str(fill(call.path, known)),
                headers={name: str(value) for name, value in fill(call.headers, known).items()},
                json=fill(call.body, known),
            )
        except http.OutsideError as error:
            raise TryAgain(f"call {number}: {error}") from error
        answer = _read_json(response.text) if call.expect.json_values or call.capture else None
        _verify(number, call, response.status_code, answer, known)
        for name, path in call.capture.items():
            known[name] = _at(answer, path)


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _verify(number: int, call: Call, status: int, answer: Any, known: Mapping[str, Any]) -> None:
    if status != call.expect.status:
        # An application whose database is away for a moment answers 500.
        detail = f"call {number}: the application answered {status}, expected {call.expect.status}"
        raise TryAgain(detail) if status == 429 or status >= 500 else CallRefused(detail, number=number)
    for path, wanted in call.expect.json_values.items():
        found = _at(answer, path)
        expected = fill(wanted, known)
        if wanted == "present":
            fine = found is not _MISSING and found is not None
        else:
            fine = found == expected or (expected is None and found is _MISSING)
        if not fine:
            shown = redact(json.dumps(answer, ensure_ascii=False, default=str), map(str, known.values()))
            raise CallRefused(f"call {number}: {path} is not as expected in {shown[:200]}", number=number)


def _at(answer: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(answer, list) and part.isdigit() and int(part) < len(answer):
            answer = answer[int(part)]
        elif isinstance(answer, dict) and part in answer:
            answer = answer[part]
        else:
            return _MISSING
    return answer
