"""`Idempotency-Key`: one way for every POST."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import uuid
from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Header
from ninja.responses import Status as Answer
from pydantic import StringConstraints

from parcelle.core import idempotency
from parcelle.surfaces.api import tokens
from parcelle.surfaces.api.problems import Problem

_Key = Annotated[
    Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")] | None,
    Header(
        alias="Idempotency-Key",
        description="Any text of yours. The same request sent again with the same key and the same token is done once "
        "and answered alike, for 24 hours. A request that was refused leaves its key free.",
    ),
]

_KEPT_HEADERS = ("Location",)


def once(view: Callable[..., Answer[Any]]) -> Callable[..., Answer[Any]]:
    """Gives a view the header: repetitions get the first one's answer and do nothing."""

    @functools.wraps(view)
    def answer(
        request: HttpRequest, *, response: HttpResponse, idempotency_key: str | None, **arguments: Any
    ) -> Answer[Any]:
        if takes_response:
            arguments["response"] = response
        if idempotency_key is None:
            return view(request, **arguments)
        turn = _take(request, idempotency_key)
        if isinstance(turn, idempotency.Kept):
            return _again(response, turn.answer)
        try:
            answered = view(request, **arguments)
        except Problem:
            turn.free()
            raise
        except BaseException:
            turn.leave(now=timezone.now())
            raise
        turn.keep(_kept(response, answered))
        return answered

    signature = inspect.signature(view, eval_str=True)
    takes_response = "response" in signature.parameters
    added = [inspect.Parameter("response", inspect.Parameter.KEYWORD_ONLY, annotation=HttpResponse)]
    key = inspect.Parameter("idempotency_key", inspect.Parameter.KEYWORD_ONLY, annotation=_Key, default=None)
    parameters = [*signature.parameters.values(), *([] if takes_response else added), key]
    # What django-ninja reads, in place of the arguments above.
    answer.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return answer


def request_id(request: HttpRequest) -> UUID:
    """The same for the same key of the same token, whichever process asks; a new one without a key."""
    key = request.headers.get("Idempotency-Key")
    return uuid.uuid5(tokens.token_of(request).pk, key) if key else uuid.uuid4()


def _take(request: HttpRequest, key: str) -> idempotency.Turn | idempotency.Kept:
    try:
        return idempotency.take(tokens.token_of(request).pk, key, _digest(request), now=timezone.now())
    except idempotency.KeyReused:
        raise Problem("idempotency-key-reused") from None
    except idempotency.InProgress:
        raise Problem("request-in-progress", headers={"Retry-After": "1"}) from None


def _digest(request: HttpRequest) -> str:
    """The same for the same JSON, however it is written."""
    body = json.dumps(json.loads(request.body.decode("utf-8-sig")), sort_keys=True) if request.body else ""
    return hashlib.sha256(f"{request.method} {request.path}\n{body}".encode()).hexdigest()


def _kept(response: HttpResponse, answered: Answer[Any]) -> dict[str, Any]:
    return {
        "status": answered.status_code,
        "body": answered.value.model_dump(mode="json", by_alias=True),
        "headers": {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers},
    }


def _again(response: HttpResponse, kept: dict[str, Any]) -> Answer[Any]:
    for name, value in {**kept["headers"], "Idempotent-Replayed": "true"}.items():
        response.headers[name] = value
    return Answer(kept["status"], kept["body"])
