"""VAT by product, by the one-stop shop, and the proof of a VAT number."""

from __future__ import annotations

from decimal import Decimal

import httpx
import pytest
from pytest_django import Settings

from parcelle.core import http
from parcelle.domain.billing import taxes, vat_numbers
from parcelle.domain.billing.models import BillingDetails, VatCheck
from tests.domain.billing import documents
from tests.people import NOW, Cast

HERE = taxes.Seller(country="FR", rate=Decimal(20))
SHOP = taxes.Seller(country="FR", rate=Decimal(20), one_stop_shop=True)
NUMBER = "DE136695976"


def buyer(country: str, *, business: bool = False, number: str = "", valid: bool | None = None) -> taxes.Buyer:
    return taxes.Buyer(country=country, business=business, vat_number=number, vat_number_valid=valid)


@pytest.mark.parametrize(
    ("seller", "who", "own", "category", "rate"),
    [
        (HERE, buyer("FR"), "5.5", "S", "5.5"),
        (HERE, buyer("DE"), "5.5", "S", "5.5"),
        (HERE, buyer("CM"), "5.5", "O", "0"),
        (SHOP, buyer("DE"), None, "S", "19"),
        (SHOP, buyer("FI"), "5.5", "S", "25.5"),
        (SHOP, buyer("FR"), None, "S", "20"),
        (SHOP, buyer("DE", business=True, number=NUMBER, valid=True), None, "AE", "0"),
        # Nobody confirmed the number: it counts for nothing.
        (SHOP, buyer("DE", business=True, number=NUMBER), None, "S", "19"),
    ],
)
def test_the_rate_of_a_sale(seller: taxes.Seller, who: taxes.Buyer, own: str | None, category: str, rate: str) -> None:
    decision = taxes.decide(seller, who, rate=Decimal(own) if own else None)
    assert (decision.category, decision.rate) == (category, Decimal(rate))


def test_every_member_state_has_a_rate() -> None:
    assert set(taxes.DESTINATION_RATES) == taxes.EU


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("status", "body", "valid"),
    [
        (200, {"valid": True, "requestDate": "2026-03-02", "name": "Müller GmbH", "secret": "no"}, True),
        (200, {"valid": False, "userError": "INVALID"}, False),
        (200, {"userError": "MS_UNAVAILABLE"}, None),
        (200, ["unexpected"], None),
        (500, {}, None),
    ],
)
def test_what_vies_says_is_kept_with_its_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, status: int, body: object, valid: bool | None
) -> None:
    settings.VIES_URL = "https://vies.example/check"
    monkeypatch.setattr(http, "request", lambda *_arguments, **_named: httpx.Response(status, json=body))
    assert vat_numbers.is_registered(NUMBER) is valid
    kept = VatCheck.objects.get()
    assert (kept.number, kept.valid) == (NUMBER, valid)
    assert "secret" not in kept.answer


@pytest.mark.django_db
def test_a_silent_vies_counts_as_not_confirmed(settings: Settings) -> None:
    settings.VIES_URL = "http://127.0.0.1:9/nobody"
    assert vat_numbers.is_registered(NUMBER) is None
    assert VatCheck.objects.get().answer == {"failed": "OutsideError"}
    settings.VIES_URL = ""
    assert vat_numbers.is_registered(NUMBER) is None
    assert VatCheck.objects.count() == 1


@pytest.mark.django_db
def test_what_vies_did_not_answer_is_asked_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, cast: Cast
) -> None:
    details = documents.customer(cast.organization, documents.MUELLER)
    BillingDetails.objects.update(vat_number_valid=None)
    assert vat_numbers.ask_again(country="FR", now=NOW) == 0
    settings.VIES_URL = "https://vies.example/check"
    answers = iter([{"userError": "MS_UNAVAILABLE"}, {"valid": True}])
    monkeypatch.setattr(http, "request", lambda *_arguments, **_named: httpx.Response(200, json=next(answers)))
    assert vat_numbers.ask_again(country="DE", now=NOW) == 0
    assert [vat_numbers.ask_again(country="FR", now=NOW) for _night in range(3)] == [0, 1, 0]
    details.refresh_from_db()
    assert details.vat_number_valid is True
