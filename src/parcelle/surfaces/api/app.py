"""The API as one object: its routes, its parser, and what it answers when something goes wrong."""

from __future__ import annotations

import json
import uuid
from importlib.metadata import version
from typing import Any, NoReturn

import structlog
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from django.utils.translation import gettext as _
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema
from ninja.parser import Parser
from ninja.renderers import JSONRenderer

from parcelle.surfaces.api import openapi, problems
from parcelle.surfaces.api.docs import Docs
from parcelle.surfaces.api.problems import Problem
from parcelle.surfaces.api.routes import coupons, instances, invoices, orders, organizations, payments, plans
from parcelle.surfaces.api.routes import problems as problem_pages
from parcelle.surfaces.api.sentences import sentence

logger = structlog.get_logger(__name__)

_DESCRIPTION = """\
Create and run isolated instances of the applications on sale here, and sell them.

1. Make a token in the back office or with `parcelle token create`, and send it as `Authorization: Bearer parcelle_…`.
2. `POST /api/instances` answers 202 at once with an `instanceId`.
3. `GET /api/instances/{instanceId}` shows the real progress; when `status` is `running`, the address answers and the
   first user has been proven to be able to sign in.

To sell: `GET /api/tenants/plans/` needs no token and shows what there is to buy; `POST /api/tenants/orders/` fixes
price and tax; `POST /api/tenants/orders/{orderId}/initiate_payment/` says where the customer pays; when the order is
`fulfilled`, its `instanceId` can be followed as above. Amounts are whole minor units with their currency, and a text
for people.

Errors are problem documents ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)); their sentences follow the header
`Accept-Language` (French or English, French by default), their `type` and the `code` of each field stay the same.
Repeat any `POST` safely with the header `Idempotency-Key`. A user of several organizations asks for one of them with
the header `X-Organization-ID`; lists and addresses then know that one only.

Every answer says its number in `X-Request-ID`: send one of your own, and your log and ours can be read side by side.
What is left of a token's requests per minute is in `RateLimit-Remaining`.
"""


class _Json(JSONRenderer):
    json_dumps_params = {"ensure_ascii": False}


class _StrictJson(Parser):
    """Takes JSON only, in UTF-8, and only what the standard allows."""

    def parse_body(self, request: HttpRequest) -> Any:
        media_type = request.content_type or ""
        if media_type != "application/json" and not media_type.endswith("+json"):
            raise Problem("unsupported-media-type")
        try:
            body = request.body.decode("utf-8-sig")
            return json.loads(body, parse_constant=_refuse)
        except (ValueError, RecursionError):
            raise Problem("malformed-json") from None

    def parse_querydict(self, data: Any, list_fields: list[str], request: HttpRequest) -> Any:
        """What is given twice is a list, and refused where one value is asked for: which of them was meant?"""
        return {name: found if name in list_fields or len(found) > 1 else found[0] for name, found in data.lists()}


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


class ParcelleAPI(NinjaAPI):
    def get_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        document = super().get_openapi_schema(**kwargs)
        openapi.complete(document)
        return document

    def create_response(self, request: HttpRequest, data: Any, **kwargs: Any) -> HttpResponse:
        response = super().create_response(request, data, **kwargs)
        response.headers["Cache-Control"] = "no-store"
        return response

    def set_default_exception_handlers(self) -> None:
        for error, handler in _HANDLERS.items():
            self.add_exception_handler(error, handler)


def _broken(request: HttpRequest, error: Exception) -> HttpResponse:
    reference = uuid.uuid4().hex[:8]
    logger.error("an API request failed", reference=reference, path=request.path, method=request.method, exc_info=error)
    return problems.answer(request, Problem("internal-error", reference=reference))


def _unavailable(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.warning("the database did not answer an API request", path=request.path, reason=type(error).__name__)
    return problems.answer(request, Problem("unavailable", headers={"Retry-After": "5"}))


def _not_found(request: HttpRequest, _error: Http404) -> HttpResponse:
    return problems.answer(request, Problem("not-found"))


def _who_are_you(request: HttpRequest, _error: AuthenticationError) -> HttpResponse:
    headers = {"WWW-Authenticate": 'Bearer realm="parcelle"'}
    return problems.answer(request, Problem("authentication-required", headers=headers))


def _refused(request: HttpRequest, error: HttpError) -> HttpResponse:
    # django-ninja wraps whatever the parser raises.
    cause = error.__cause__
    if isinstance(cause, Problem):
        return problems.answer(request, cause)
    return problems.answer(request, Problem(problems.kind_of_status(error.status_code)))


def _too_big(request: HttpRequest, _error: RequestDataTooBig) -> HttpResponse:
    return problems.answer(request, Problem("body-too-large"))


def _cut_off(request: HttpRequest, _error: UnreadablePostError) -> HttpResponse:
    return problems.answer(request, Problem("malformed-json"))


def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    if any(found["loc"][0] == "path" for found in error.errors):
        return _not_found(request, Http404())
    errors = [_field_error(found) for found in error.errors]
    if len(errors) == 1:
        detail = errors[0]["detail"]
    else:
        detail = _("%(count)s fields are not as they must be.") % {"count": len(errors)}
    return problems.answer(request, Problem("invalid-request", detail, errors=errors))


def _field_error(found: dict[str, Any]) -> dict[str, str]:
    source, *path = found["loc"]
    if source == "body":
        # django-ninja puts the name of the view's parameter first.
        steps = [str(step).replace("~", "~0").replace("/", "~1") for step in path[1:]]
        where = {"pointer": "#" + "".join(f"/{step}" for step in steps)}
    else:
        where = {"parameter": str(path[-1]) if path else source}
    field = str(path[-1]) if path else ""
    return {**where, "code": found["type"], "detail": sentence(field, found["type"], found.get("ctx") or {})}


_HANDLERS: dict[type[Exception], Any] = {
    Exception: _broken,
    Problem: problems.answer,
    OperationalError: _unavailable,
    InterfaceError: _unavailable,
    Http404: _not_found,
    AuthenticationError: _who_are_you,
    HttpError: _refused,
    ValidationError: _invalid,
    RequestDataTooBig: _too_big,
    UnreadablePostError: _cut_off,
}

api = ParcelleAPI(
    title="Parcelle API",
    version=version("parcelle"),
    description=_DESCRIPTION,
    urls_namespace="api",
    docs=Docs(),
    renderer=_Json(),
    parser=_StrictJson(),
)
api.add_router("", instances.router)
for noun in (plans, orders, payments, coupons, invoices, organizations):
    api.add_router("", noun.router)
api.add_router("", problem_pages.router)
