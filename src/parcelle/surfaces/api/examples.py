"""Examples in the OpenAPI document: of answers by operation, and of problems."""

from __future__ import annotations

from typing import Any

INSTANCE_ID = "6f1c9c1e-9d1b-4c55-9d39-0c3a1f0f7a11"
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
    "instanceId": INSTANCE_ID,
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
_ACCEPTED = {"instanceId": INSTANCE_ID, "status": "creating", "message": "The instance is being created."}

EXAMPLES: dict[str, dict[str, Any]] = {
    "createInstance": {"accepted": _ACCEPTED},
    "retryInstance": {"accepted": _ACCEPTED},
    "suspendInstance": {"accepted": {**_ACCEPTED, "status": "running", "message": "The instance is being suspended."}},
    "resumeInstance": {"accepted": {**_ACCEPTED, "status": "suspended", "message": "The instance is being started."}},
    "archiveInstance": {"accepted": {**_ACCEPTED, "status": "running", "message": "The instance is being archived."}},
    "getInstance": {"running": _RUNNING, "creating": _CREATING, "failed": _FAILED},
    "listInstances": {"page": {"items": [_SUMMARY], "count": 1, "limit": 50, "offset": 0, "next": None}},
}
ADDRESSES = {
    "createInstance": "/api/instances",
    "listInstances": "/api/instances?limit=0",
    "suspendInstance": f"/api/instances/{INSTANCE_ID}/suspend",
    "resumeInstance": f"/api/instances/{INSTANCE_ID}/resume",
    "retryInstance": f"/api/instances/{INSTANCE_ID}/retry",
    "getProblem": "/api/problems/unheard-of",
}
ERRORS = {
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
DETAILS = {
    "invalid-request": "One field is not as it must be.",
    "name-taken": "The name acme-corp is taken. Please choose another one.",
    "already-subscribed": "You already have an active subscription (Essai)",
    "trial-used": "You have already used your free trial (Essai). Write to us to go on.",
    "too-many-requests": "This token has used up its 600 requests per minute. Try again in 12 s.",
}
