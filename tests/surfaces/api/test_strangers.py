"""`strangers.txt`: every operation of the API, asked by everybody about what belongs to one organization."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from tests.surfaces.api.asking import Asking, document

if TYPE_CHECKING:
    from parcelle.domain.accounts.models import User
    from tests.people import Cast

pytestmark = pytest.mark.django_db

COLUMNS = ("owner", "admin", "member", "viewer", "stranger", "nobody", "operator")


@dataclass(frozen=True)
class Line:
    operation: str
    expected: tuple[str, ...]


def lines() -> Iterator[Line]:
    for text in (Path(__file__).parent / "strangers.txt").read_text().splitlines():
        if text and not text.startswith("#"):
            operation, *expected = text.split()
            yield Line(operation, tuple(expected))


TABLE = tuple(lines())


def operations() -> dict[str, tuple[str, str]]:
    """operationId -> method and address."""
    return {
        operation["operationId"]: (method.upper(), path)
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    }


def test_every_operation_stands_in_the_table() -> None:
    assert [line.operation for line in TABLE if line.operation not in operations()] == []
    assert sorted(operations()) == sorted(line.operation for line in TABLE)
    assert all(len(line.expected) == len(COLUMNS) for line in TABLE)


@pytest.fixture
def people_of(cast: Cast) -> dict[str, User | None]:
    from parcelle.domain.tenancy.models import Membership
    from tests import people

    admin = people.person("Adam", "admin")
    Membership.objects.create(organization=cast.organization, user=admin, role=Membership.ADMIN, created_at=people.NOW)
    return {
        "owner": cast.owner,
        "admin": admin,
        "member": cast.member,
        "viewer": cast.viewer,
        "stranger": cast.stranger,
        "nobody": None,
        "operator": cast.operator,
    }


@pytest.fixture
def there(cast: Cast) -> dict[str, str]:
    """The things of one organization by the names that addresses have for them."""
    from parcelle.domain.billing.models import Order
    from tests import people
    from tests.domain.billing import documents, selling

    price = selling.open_shop(plan=cast.plan)
    order = selling.order(price)
    Order.objects.filter(pk=order.pk).update(organization=cast.organization)
    documents.vendor()
    documents.customer(cast.organization)
    return {
        "instanceId": str(people.live_instance(cast.organization, cast.plan).pk),
        "invoiceId": str(documents.issue(cast.organization).pk),
        "planId": str(cast.plan.pk),
        "priceId": str(price.pk),
        "orderId": str(order.pk),
        "paymentId": str(selling.attempt(order).pk),
        "organizationId": str(cast.organization.pk),
        "kind": "not-found",
    }


def _bodies(there: dict[str, str]) -> dict[str, Any]:
    return {
        "createInstance": {"clientName": "acme-corp", "adminEmail": "else@acme.com", "companyName": "Acme"},
        "createOrder": {
            "priceId": there["priceId"],
            "customer": {
                "email": "else@acme.com",
                "firstName": "A",
                "lastName": "B",
                "country": "FR",
                "address": "1 rue",
                "postcode": "75002",
                "city": "Paris",
            },
        },
        "initiatePayment": {"method": "fake"},
        "validateCoupon": {"code": "NOTHING", "priceId": there["priceId"]},
        "verifyBankTransfer": {
            "amountMinor": 1,
            "currency": "EUR",
            "valueDate": "2026-03-02",
            "bankReference": "B1",
        },
        "inviteMember": {"email": "new@example.com", "role": "viewer"},
    }


@pytest.mark.parametrize("who", COLUMNS)
def test_everybody_gets_what_the_table_says(people_of: dict[str, User | None], there: dict[str, str], who: str) -> None:
    user = people_of[who]
    asking = Asking.for_user(user) if user else Asking("")
    expected, found = {}, {}
    for line in TABLE:
        method, path = operations()[line.operation]
        address = re.sub(r"\{(\w+)\}", lambda found: there[found[1]], path)
        answer = asking.ask(method, address, body=_bodies(there).get(line.operation), documented=False)
        expected[line.operation] = line.expected[COLUMNS.index(who)]
        found[line.operation] = _said(answer, path, there)
    assert found == expected


def _said(answer: Any, path: str, there: dict[str, str]) -> str:
    """The status; of a list of everything whether it shows what belongs to the organization."""
    if answer.status_code != 200 or not answer.headers["Content-Type"].startswith("application/json"):
        return str(answer.status_code)
    body = json.loads(answer.content)
    if "{" in path or not isinstance(body, dict) or "items" not in body:
        return "200"
    text = json.dumps(body["items"])
    return "shown" if any(there[name] in text for name in there if name.endswith("Id")) else "empty"


def test_the_document_is_for_everybody() -> None:
    assert Client().get("/api/openapi.json").status_code == 200
