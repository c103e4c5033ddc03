"""What can go wrong, as problem documents (https://www.rfc-editor.org/rfc/rfc9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Kind:
    """One type of problem: its title is the same every time, the detail of each occurrence is not."""

    status: int
    title: Promise
    advice: Promise


KINDS: dict[str, Kind] = {
    "invalid-request": Kind(
        400,
        _("The request is not valid"),
        _("Correct what `errors` lists: each entry points at one field and says what is expected."),
    ),
    "malformed-json": Kind(400, _("The body is not valid JSON"), _("Send one JSON object, encoded in UTF-8.")),
    "authentication-required": Kind(
        401,
        _("An API token is required"),
        _("Send `Authorization: Bearer parcelle_…`. Tokens are made in the back office or by `parcelle token create`."),
    ),
    "invalid-token": Kind(
        401,
        _("This API token is not valid"),
        _("The token is unknown, expired or revoked: make a new one."),
    ),
    "forbidden": Kind(
        403,
        _("This token may not do that"),
        _("Use a token of an operator, or of an owner of the organization."),
    ),
    "organization-closed": Kind(
        403,
        _("This organization is suspended, expired or cancelled"),
        _("Pay what is open: orders, payments and invoices can still be used. Or write to us."),
    ),
    "not-found": Kind(
        404,
        _("There is nothing here"),
        _("Check the address. What the token's user may not see does not exist for it."),
    ),
    "unknown-organization": Kind(
        404,
        _("You do not belong to this organization"),
        _("The header `X-Organization-ID` names an organization that the token's user is a member of, or is left out."),
    ),
    "method-not-allowed": Kind(
        405, _("This method is not possible here"), _("Use one of the methods in the header `Allow`.")
    ),
    "name-taken": Kind(409, _("This name is taken"), _("Choose another `clientName`.")),
    "already-subscribed": Kind(
        409,
        _("This customer already has a subscription"),
        _("The owner is known by their e-mail address and has a live subscription with an instance."),
    ),
    "trial-used": Kind(
        409, _("This customer has used their trial"), _("One trial of a product per customer; a paid plan goes on.")
    ),
    "instance-busy": Kind(
        409,
        _("Another operation changes this instance right now"),
        _("Wait until `operation.state` is `succeeded` or `failed`, then ask again."),
    ),
    "not-possible-now": Kind(
        409, _("Not possible in this state"), _("Look at the instance's `status`: it does not allow this change.")
    ),
    "not-on-sale": Kind(
        409, _("This price is no longer on sale"), _("Read the plans again: a price that changed has a new `priceId`.")
    ),
    "add-on-refused": Kind(
        409,
        _("An add-on cannot be had like this"),
        _("`errors` says why: it is not sold with this plan, or not so many of it. Read the plans again."),
    ),
    "coupon-refused": Kind(409, _("The coupon cannot be used"), _("Order without it, or with another one.")),
    "order-closed": Kind(
        409, _("Nothing can be paid on this order any more"), _("It is paid or has lapsed: look at its `status`.")
    ),
    "payment-open": Kind(
        409,
        _("An earlier attempt may still succeed"),
        _("Ask `verify_payment` how it stands; another one can begin once it is settled. Nobody pays twice."),
    ),
    "method-unusable": Kind(
        409,
        _("This way to pay cannot be used"),
        _("Choose one of the order's `methods`: not every one takes this currency from this country."),
    ),
    "not-a-transfer": Kind(
        409, _("This payment is not a bank transfer"), _("Ask its payment service instead: `verify_payment`.")
    ),
    "transfer-refused": Kind(
        409, _("The transfer cannot be confirmed like this"), _("Compare what you sent with the bank statement.")
    ),
    "invitation-refused": Kind(
        409,
        _("This person cannot be invited"),
        _("`errors` says why: they belong to it already, or too many are open."),
    ),
    "nothing-to-verify": Kind(409, _("Nothing was paid on this order yet"), _("Begin with `initiate_payment`.")),
    "request-in-progress": Kind(
        409,
        _("The same request is being answered right now"),
        _("Another request with this `Idempotency-Key` has not been answered yet: ask again in a moment."),
    ),
    "body-too-large": Kind(413, _("The body is too large"), _("Send only the documented fields.")),
    "unsupported-media-type": Kind(
        415, _("The body must be JSON"), _("Send the header `Content-Type: application/json`.")
    ),
    "idempotency-key-reused": Kind(
        422,
        _("This idempotency key was used for another request"),
        _("Use a new `Idempotency-Key` for every new request, and the same one only to repeat it unchanged."),
    ),
    "too-many-requests": Kind(
        429, _("Too many requests"), _("Wait for as many seconds as the header `Retry-After` says.")
    ),
    "internal-error": Kind(
        500, _("Something went wrong on our side"), _("Tell us the `reference`: it leads to the line in our log.")
    ),
    "registration-failed": Kind(
        503, _("The registration failed"), _("Nothing was stored. Try again; if it lasts, tell us the reference.")
    ),
    "unavailable": Kind(503, _("The service is not available right now"), _("Try again in a few seconds.")),
}

_BY_STATUS = {
    400: "invalid-request",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
}


class Problem(Exception):
    """Ends a request with a problem document. `errors` has one entry per field; `extra` are further members."""

    def __init__(
        self,
        kind: str,
        detail: str = "",
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        **extra: str,
    ) -> None:
        super().__init__(kind)
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}
        self.extra = extra


def address(kind: str) -> str:
    """The `type` of a problem; it can be opened and says what to do."""
    return f"{settings.PUBLIC_URL}/api/problems/{kind}"


def answer(request: HttpRequest, problem: Problem) -> HttpResponse:
    """The response for a problem, in the language of the request."""
    kind = KINDS[problem.kind]
    content: dict[str, Any] = {
        "type": address(problem.kind),
        "title": str(kind.title),
        "status": kind.status,
        "detail": problem.detail or str(kind.advice),
        "instance": request.get_full_path(),
        **problem.extra,
    }
    if problem.errors:
        content["errors"] = list(problem.errors)
    return HttpResponse(
        json.dumps(content, ensure_ascii=False),
        status=kind.status,
        content_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **problem.headers},
    )


def kind_of_status(status: int) -> str:
    """The kind that says no more than a status does, for errors that were not raised by us."""
    return _BY_STATUS.get(status, "internal-error" if status >= 500 else "invalid-request")
