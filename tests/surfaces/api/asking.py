"""Asking the API the way a program does; every answer is held against the OpenAPI document."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jsonschema_rs
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from parcelle.domain.accounts.models import ApiToken, User

WANTED = {"clientName": "acme-corp", "adminEmail": "admin@acme.com", "companyName": "Acme Corporation"}


@dataclass
class Asking:
    token: str
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    @classmethod
    def for_user(cls, user: User) -> Asking:
        return cls(ApiToken.issue(user=user, name="test", now=timezone.now())[1])

    def get(self, path: str, **headers: str) -> HttpResponse:
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, body: object = None, **headers: str) -> HttpResponse:
        return self.ask("POST", path, body=body, headers=headers)

    def delete(self, path: str, **headers: str) -> HttpResponse:
        return self.ask("DELETE", path, headers=headers)

    def create(self, idempotency_key: str = "", /, **changes: Any) -> HttpResponse:
        headers = {"idempotency_key": idempotency_key} if idempotency_key else {}
        return self.post("/api/instances", WANTED | changes, **headers)

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        headers: dict[str, str] | None = None,
        content_type: str = "application/json",
        documented: bool = True,
    ) -> HttpResponse:
        sent = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        response: Any = self.client.generic(method, path, data, content_type, headers=sent)
        if documented:
            verify(method, path.partition("?")[0], response)
        return response  # type: ignore[no-any-return]


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document, as it is served."""
    response = Client().get("/api/openapi.json")
    assert response.status_code == 200
    return json.loads(response.content)  # type: ignore[no-any-return]


def verify(method: str, path: str, response: HttpResponse) -> None:
    """That this answer is one of those the document promises."""
    operation = _operation(method, path)
    assert str(response.status_code) in operation["responses"], (response.status_code, response.content)
    promised = operation["responses"][str(response.status_code)]["content"]
    media_type = response.headers["Content-Type"].partition(";")[0]
    assert media_type in promised
    _validator(json.dumps(promised[media_type]["schema"])).validate(json.loads(response.content))
    assert response.headers["Cache-Control"] == "no-store"
    if response.status_code >= 400:
        verify_problem(path, response)


def verify_problem(path: str, response: HttpResponse) -> None:
    """What RFC 9457 asks of a problem document, and we of ours."""
    problem = json.loads(response.content)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert problem["status"] == response.status_code
    assert problem["instance"].partition("?")[0] == path
    assert problem["title"] and problem["detail"]
    kind = Client().get(problem["type"].partition("//")[2].partition("/")[2].join(("/", "")))
    assert json.loads(kind.content)["title"]


def kind_of(response: HttpResponse) -> str:
    """The last word of a problem's `type`."""
    return str(json.loads(response.content)["type"]).rpartition("/")[2]


def _operation(method: str, path: str) -> dict[str, Any]:
    for template, item in document()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in item:
            return item[method.lower()]  # type: ignore[no-any-return]
    raise AssertionError(f"{method} {path} is not documented")


@cache
def _validator(schema: str) -> Any:
    whole = {**json.loads(schema), "components": document()["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
