"""Holds requests and answers to MTN's published documents, in both directions.

The documents are changed while they are loaded, never on disk: their answers are filed under odd media types, and
empty answers declare a content. What they do not catch (missing members, an id that is no UUID) the simulator checks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from openapi_core import OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse

from tests import needs

_DOCUMENTS = {
    "collection": ("mtn_momo_collection.json", "/collection"),
    "disbursement": ("mtn_momo_disbursement.json", "/disbursement"),
    "": ("mtn_momo_sandbox-provisioning-api.json", "/"),
}


@cache
def load(product: str) -> OpenAPI:
    file, base = _DOCUMENTS[product]
    document = json.loads((needs.specs() / file).read_text())
    document["servers"] = [{"url": base}]
    for methods in document["paths"].values():
        for operation in methods.values():
            for response in operation["responses"].values():
                _one_media_type(response)
    return OpenAPI.from_dict(document)


def _one_media_type(response: dict[str, Any]) -> None:
    schemas = [content["schema"] for content in response.pop("content", {}).values() if content.get("schema")]
    if schemas:
        response["content"] = {"application/json": {"schema": schemas[0]}}


def faults(
    product: str,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str],
    body: bytes,
    status: int,
    answer: bytes,
) -> list[str]:
    """What is wrong with one exchange; `path` with the product in front. A refused request is not held to it."""
    api = load(product)
    request = MockRequest(
        "http://localhost",
        method.lower(),
        path,
        headers=dict(headers),
        data=body or None,
        content_type="application/json" if body else "",
    )
    found = []
    if status < 400:
        found += _fault("request", lambda: api.validate_request(request))
    response = MockResponse(data=answer, status_code=status, content_type="application/json" if answer else "")
    return found + _fault(f"answer {status}", lambda: api.validate_response(request, response))


def _fault(what: str, validate: Any) -> list[str]:
    try:
        validate()
    except OpenAPIError as error:
        cause = getattr(error.__cause__, "schema_errors", None) or [error.__cause__ or error]
        return [f"{what}: {type(error).__name__}: {'; '.join(str(getattr(one, 'message', one)) for one in cause)}"]
    return []
