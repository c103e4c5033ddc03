"""Schemathesis asks the real application everything that its OpenAPI document allows, and much that it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

if TYPE_CHECKING:
    from uuid import UUID

    from parcelle.domain.catalog.models import Price
    from tests.people import Cast

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    ignored_auth,
    allow_header_conformance,
]
OPERATIONS = [
    "archiveInstance",
    "createInstance",
    "createOrder",
    "downloadInvoice",
    "getInstance",
    "getInvoice",
    "getOrder",
    "getOrganization",
    "getPayment",
    "getPlan",
    "getProblem",
    "initiatePayment",
    "inviteMember",
    "listInstances",
    "listInvoices",
    "listMembers",
    "listOrders",
    "listOrganizations",
    "listPayments",
    "listPlanFeatures",
    "listPlans",
    "listProblems",
    "resumeInstance",
    "retryInstance",
    "suspendInstance",
    "validateCoupon",
    "verifyBankTransfer",
    "verifyPayment",
]
# Nothing that could be sent to these is wrong.
TAKE_ANYTHING = {"getProblem", "listProblems"}


@pytest.fixture
def contract(cast: Cast) -> Any:
    from django.core.wsgi import get_wsgi_application

    return schemathesis.openapi.from_wsgi("/api/openapi.json", get_wsgi_application())


def what_there_is(cast: Cast) -> dict[str, str]:
    """Identifiers that lead somewhere, by the name the document gives them."""
    from tests import people
    from tests.domain.billing import documents, selling

    price = selling.open_shop(plan=cast.plan)
    placed = selling.order(price)
    documents.vendor()
    documents.customer(cast.organization)
    return {
        "instanceId": str(people.live_instance(cast.organization, cast.plan).pk),
        "invoiceId": str(documents.issue(cast.organization).pk),
        "planId": str(cast.plan.pk),
        "priceId": str(price.pk),
        "orderId": str(placed.pk),
        "organizationId": str(cast.organization.pk),
        "paymentId": str(selling.attempt(placed).pk),
        "transferId": str(_awaited_transfer(price)),
    }


def _awaited_transfer(price: Price) -> UUID:
    """The payment of a customer who was asked for a transfer."""
    from tests.domain.billing import selling, transferring

    transferring.switch_on()
    return transferring.expect(selling.order(price)).payment_id


def test_every_operation_is_asked(contract: Any) -> None:
    names = [found.ok().definition.raw["operationId"] for found in contract.get_all_operations()]
    assert sorted(names) == OPERATIONS


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *((name, GenerationMode.POSITIVE) for name in OPERATIONS),
        *((name, GenerationMode.NEGATIVE) for name in OPERATIONS if name not in TAKE_ANYTHING),
    ],
)
def test_the_application_does_what_its_document_says(
    cast: Cast, contract: Any, name: str, mode: GenerationMode
) -> None:
    from django.utils import timezone

    from parcelle.domain.accounts.models import ApiToken

    there = what_there_is(cast)
    if name == "verifyBankTransfer":
        there["paymentId"] = there["transferId"]
    _token, plain = ApiToken.issue(user=cast.operator, name="contract", now=timezone.now())
    operation = contract.find_operation_by_id(name)

    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), existing=st.booleans())
    def ask(case: Any, existing: bool) -> None:
        if existing and mode is GenerationMode.POSITIVE:
            # Any other organization is unknown, and ends the conversation.
            case.headers.pop("X-Organization-ID", None)
            case.path_parameters.update({name: there[name] for name in case.path_parameters if name in there})
            if isinstance(case.body, dict) and "priceId" in case.body:
                case.body["priceId"] = there["priceId"]
            if isinstance(case.body, dict) and "method" in case.body:
                case.body["method"] = "fake"
            if isinstance(case.body, dict) and "amountMinor" in case.body:
                case.body["currency"] = "EUR"
        case.call_and_validate(headers={"Authorization": f"Bearer {plain}"}, checks=CHECKS)

    ask()
