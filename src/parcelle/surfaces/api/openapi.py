"""What django-ninja does not say by itself in the OpenAPI document: problem documents, examples, headers."""

from __future__ import annotations

from typing import Any

from django.utils import translation

from parcelle.surfaces.api import problems
from parcelle.surfaces.api.schemas import Problem

_ID = "6f1c9c1e-9d1b-4c55-9d39-0c3a1f0f7a11"
_STEP = {
    "name": "claim_standby",
    "state": "succeeded",
    "attempt": 1,
    "startedAt": "2026-03-02T09:15:00.120Z",
    "finishedAt": "2026-03-02T09:15:00.171Z",
    "seconds": 0.051,
    "fraction": None,
}
_SUMMARY = {
    "instanceId": _ID,
    "status": "running",
    "clientName": "acme-corp",
    "companyName": "Acme Corporation",
    "adminEmail": "admin@acme.com",
    "productSlug": "tryton",
    "instanceUrl": "http://localhost:8080/#client_acme_corp",
    "createdAt": "2026-03-02T09:15:00Z",
    "readyAt": "2026-03-02T09:15:00.870Z",
}
_RUNNING = {
    **_SUMMARY,
    "progress": 100,
    "userName": "acme-corp",
    "adminPassword": "shown-here-12",
    "databaseName": "client_acme_corp",
    "reason": None,
    "seconds": 0.87,
    "operation": {"operationId": "0d0c8c53-7a1f-4a06-8f77-3a5c1c8f5a1e", "kind": "create", "state": "succeeded"},
    "steps": [_STEP],
    "waitingFor": None,
    "error": None,
}
_CREATING = {
    **_RUNNING,
    "status": "creating",
    "instanceUrl": None,
    "readyAt": None,
    "progress": 40,
    "userName": None,
    "adminPassword": None,
    "databaseName": None,
    "seconds": None,
    "operation": {**_RUNNING["operation"], "state": "running"},  # type: ignore[dict-item]
}
_FAILED = {
    **_CREATING,
    "status": "failed",
    "seconds": 300.4,
    "operation": {**_RUNNING["operation"], "state": "failed"},  # type: ignore[dict-item]
    "steps": [{**_STEP, "name": "start", "state": "failed", "attempt": 3}],
    "error": {"code": "timeout", "message": "Timeout: creating the stack took too long"},
}
_ACCEPTED = {"instanceId": _ID, "status": "creating", "message": "The instance is being created."}

_EXAMPLES: dict[str, dict[str, Any]] = {
    "createInstance": {"accepted": _ACCEPTED},
    "retryInstance": {"accepted": _ACCEPTED},
    "suspendInstance": {"accepted": {**_ACCEPTED, "status": "running", "message": "The instance is being suspended."}},
    "resumeInstance": {"accepted": {**_ACCEPTED, "status": "suspended", "message": "The instance is being started."}},
    "archiveInstance": {"accepted": {**_ACCEPTED, "status": "running", "message": "The instance is being archived."}},
    "getInstance": {"running": _RUNNING, "creating": _CREATING, "failed": _FAILED},
    "listInstances": {"page": {"items": [_SUMMARY], "count": 1, "limit": 50, "offset": 0, "next": None}},
}
_ADDRESSES = {
    "createInstance": "/api/instances",
    "listInstances": "/api/instances?limit=0",
    "suspendInstance": f"/api/instances/{_ID}/suspend",
    "resumeInstance": f"/api/instances/{_ID}/resume",
    "retryInstance": f"/api/instances/{_ID}/retry",
    "getProblem": "/api/problems/unheard-of",
}
_ERRORS = {
    "createInstance": [
        {
            "pointer": "#/clientName",
            "code": "string_pattern_mismatch",
            "detail": "3 to 50 characters: lower-case letters without accents, digits and hyphens.",
        }
    ],
    "listInstances": [
        {"parameter": "limit", "code": "greater_than_equal", "detail": "This number must be at least 1."}
    ],
}
_DETAILS = {
    "invalid-request": "One field is not as it must be.",
    "name-taken": "The name acme-corp is taken. Please choose another one.",
    "already-subscribed": "You already have an active subscription (Essai)",
    "trial-used": "You have already used your free trial (Essai). Write to us to go on.",
    "too-many-requests": "This token has used up its 600 requests per minute. Try again in 12 s.",
}
_PROBLEMS = "x-problems"
_OF_ALL = ("internal-error", "unavailable")
_OF_ALL_SECURED = ("authentication-required", "invalid-token", "too-many-requests")
_CREATION_HEADERS = {
    "Location": {"description": "Where the instance can be followed.", "schema": {"type": "string"}},
    "Idempotent-Replayed": {
        "description": "`true` when the key was seen before: nothing new was made.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
_FOLLOW = {"operationId": "getInstance", "parameters": {"instanceId": "$response.body#/instanceId"}}
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
    document["paths"] = {path.replace("instance_id", "instanceId"): item for path, item in document["paths"].items()}
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
        if parameter["name"] == "instance_id":
            parameter |= {"name": "instanceId", "description": "As `createInstance` answered it."}
    for status, answer in list(operation["responses"].items()):
        if name in _EXAMPLES:
            answer["content"]["application/json"]["examples"] = _named(_EXAMPLES[name])
        if int(status) == 202:
            answer["headers"] = _CREATION_HEADERS if name == "createInstance" else {}
            answer["links"] = {"follow": _FOLLOW}
    by_status: dict[int, list[str]] = {}
    secured = bool(operation.get("security"))
    for kind in (*operation.pop(_PROBLEMS, ()), *(_OF_ALL_SECURED if secured else ()), *_OF_ALL):
        by_status.setdefault(problems.KINDS[kind].status, []).append(kind)
    for status, kinds in sorted(by_status.items()):
        operation["responses"][status] = {
            "description": "; ".join(str(problems.KINDS[kind].title) for kind in kinds),
            "headers": _HEADERS.get(status, {}),
            "content": {
                problems.MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": _named({kind: _problem(name, kind) for kind in kinds}),
                }
            },
        }


def _named(values: dict[str, Any]) -> dict[str, Any]:
    return {name: {"value": value} for name, value in values.items()}


def _problem(operation: str, kind: str) -> dict[str, Any]:
    known = problems.KINDS[kind]
    example: dict[str, Any] = {
        "type": problems.address(kind),
        "title": str(known.title),
        "status": known.status,
        "detail": _DETAILS.get(kind, str(known.advice)),
        "instance": _ADDRESSES.get(operation, f"/api/instances/{_ID}"),
    }
    if kind == "invalid-request" and operation in _ERRORS:
        example["errors"] = _ERRORS[operation]
    if kind == "internal-error":
        example["reference"] = "5f3a9c1e"
    return example
