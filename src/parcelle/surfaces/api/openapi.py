"""What django-ninja does not say by itself in the OpenAPI document: problem documents, examples, headers."""

from __future__ import annotations

import re
from typing import Any

from django.utils import translation
from pydantic.alias_generators import to_camel

from parcelle.surfaces.api import examples, problems
from parcelle.surfaces.api.schemas import Problem

_PROBLEMS = "x-problems"
_OF_ALL = ("internal-error", "unavailable")
_OF_ALL_SECURED = ("authentication-required", "invalid-token", "unknown-organization", "too-many-requests")
_OF_ALL_WITH_KEYS = ("invalid-request", "idempotency-key-reused", "request-in-progress")
_REPLAYED = {
    "Idempotent-Replayed": {
        "description": "`true` when this request was answered before: nothing new was done.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
_IDS = {
    "instance_id": "As `createInstance` answered it.",
    "plan_id": "As `listPlans` shows it.",
    "order_id": "As `createOrder` answered it.",
    "invoice_id": "As `listInvoices` shows it.",
    "organization_id": "As `listOrganizations` shows it.",
    "payment_id": "As `initiatePayment` answered it.",
}
_LOCATIONS = {
    "createInstance": "Where the instance can be followed.",
    "createOrder": "Where the order can be followed.",
}
_NUMBER = {
    "X-Request-ID": {
        "description": "The number of this request in our log; yours, where you sent one in this header.",
        "schema": {"type": "string"},
    }
}
_RATE = {
    "RateLimit-Limit": {"description": "Requests per minute.", "schema": {"type": "integer"}},
    "RateLimit-Remaining": {"description": "How many of them are left.", "schema": {"type": "integer"}},
    "RateLimit-Reset": {"description": "Seconds until they begin again.", "schema": {"type": "integer"}},
}
_FOLLOW = {"operationId": "getInstance", "parameters": {"instanceId": "$response.body#/instanceId"}}
_ORGANIZATION = {
    "name": "X-Organization-ID",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "format": "uuid"},
    "description": "One of the organizations of the token's user: the answer then knows that one only.",
}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"description": "`Bearer`, and why.", "schema": {"type": "string"}}},
    429: {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}},
}


def problems_of(*kinds: str) -> dict[str, Any]:
    """An operation's `openapi_extra` that says which problems it may answer with, besides those of every operation."""
    return {_PROBLEMS: kinds}


def complete(document: dict[str, Any]) -> None:
    """Adds to a generated document what it lacks, in place."""
    document["components"]["schemas"]["Problem"] = _problem_schema(document)
    # Names are camelCase outside, also those in addresses.
    document["paths"] = {re.sub(r"\w+_id(?=})", _camel, path): item for path, item in document["paths"].items()}
    with translation.override("en"):
        for methods in document["paths"].values():
            for operation in methods.values():
                _complete(operation)


def _problem_schema(document: dict[str, Any]) -> dict[str, Any]:
    schema = Problem.model_json_schema(by_alias=True, mode="serialization", ref_template="#/components/schemas/{model}")
    document["components"]["schemas"].update(schema.pop("$defs", {}))
    return schema


def _complete(operation: dict[str, Any]) -> None:
    name = operation["operationId"]
    for parameter in operation["parameters"]:
        if parameter["name"] in _IDS:
            parameter |= {"name": to_camel(parameter["name"]), "description": _IDS[parameter["name"]]}
    if operation.get("security"):
        operation["parameters"] = [*operation["parameters"], _ORGANIZATION]
    with_key = any(parameter["name"] == "Idempotency-Key" for parameter in operation["parameters"])
    for status, answer in list(operation["responses"].items()):
        if name in examples.EXAMPLES:
            answer["content"]["application/json"]["examples"] = _named(examples.EXAMPLES[name])
        location = _LOCATIONS.get(name)
        answer["headers"] = {**(_location(location) if location else {}), **(_REPLAYED if with_key else {})}
        if int(status) == 202:
            answer["links"] = {"follow": _FOLLOW}
    # One problem of an operation may be one of every operation as well.
    kinds = dict.fromkeys(
        (
            *operation.pop(_PROBLEMS, ()),
            *(_OF_ALL_WITH_KEYS if with_key else ()),
            *(_OF_ALL_SECURED if operation.get("security") else ()),
            *_OF_ALL,
        )
    )
    by_status: dict[int, list[str]] = {}
    for kind in kinds:
        by_status.setdefault(problems.KINDS[kind].status, []).append(kind)
    for status, of_status in sorted(by_status.items()):
        operation["responses"][status] = {
            "description": "; ".join(str(problems.KINDS[kind].title) for kind in of_status),
            "headers": _HEADERS.get(status, {}),
            "content": {
                problems.MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": _named({kind: _problem(name, kind) for kind in of_status}),
                }
            },
        }
    always = {**_NUMBER, **(_RATE if operation.get("security") else {})}
    for answer in operation["responses"].values():
        answer["headers"] = {**answer.get("headers", {}), **always}


def _camel(found: re.Match[str]) -> str:
    return to_camel(found[0])


def _location(description: str) -> dict[str, Any]:
    return {"Location": {"description": description, "schema": {"type": "string"}}}


def _named(values: dict[str, Any]) -> dict[str, Any]:
    return {name: {"value": value} for name, value in values.items()}


def _problem(operation: str, kind: str) -> dict[str, Any]:
    known = problems.KINDS[kind]
    example: dict[str, Any] = {
        "type": problems.address(kind),
        "title": str(known.title),
        "status": known.status,
        "detail": examples.DETAILS.get(kind, str(known.advice)),
        "instance": examples.ADDRESSES.get(operation, f"/api/instances/{examples.INSTANCE_ID}"),
    }
    if kind == "invalid-request" and operation in examples.ERRORS:
        example["errors"] = examples.ERRORS[operation]
    if kind == "internal-error":
        example["reference"] = "5f3a9c1e"
    return example
