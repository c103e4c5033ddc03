"""`/dashboard`: each customer's own instances, in words."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from parcelle.domain.billing.models import Order
from parcelle.domain.catalog.models import Price
from parcelle.journeys import checkout
from tests.domain.billing.selling import AWA, open_shop
from tests.surfaces.portal.companies import Company


def text_of(response: Any) -> str:
    return unescape(response.content.decode())


def ordered(company: Company, price: Price) -> Order:
    return checkout.place(
        request_id=uuid.uuid4(),
        price_id=price.pk,
        coupon_code="",
        buyer=AWA,
        language="fr",
        user=company.owner,
        now=timezone.now(),
    )


@pytest.mark.django_db
def test_visitors_sign_in_first(client: Client) -> None:
    assert client.get("/dashboard")["Location"] == "/accounts/login/?next=/dashboard"


def test_an_empty_dashboard_says_what_to_do(owner_client: Client) -> None:
    page = text_of(owner_client.get("/dashboard"))
    assert "Pas encore d’application" in page
    assert 'href="/trial"' in page


def test_it_shows_the_trial_days_left(owner_client: Client, company: Company) -> None:
    trial = company.subscription(trial_ends_at=timezone.now() + timedelta(days=12, hours=-1))
    company.instance("live", url="http://localhost:8085", subscription_id=trial.pk)
    page = text_of(owner_client.get("/dashboard"))
    assert "12 jours d’essai restants" in page
    assert "Formule\u00a0: Essai" in page
    assert 'href="http://localhost:8085"' in page


def test_the_last_day_is_singular(owner_client: Client, company: Company) -> None:
    trial = company.subscription(trial_ends_at=timezone.now() + timedelta(hours=3))
    company.instance("live", url="http://localhost:8085", subscription_id=trial.pk)
    assert "1 jour d’essai restant<" in text_of(owner_client.get("/dashboard"))


def test_what_is_paid_says_until_when(owner_client: Client, company: Company) -> None:
    paid = company.subscription("active", trial_ends_at=None, period_end=datetime(2026, 4, 10, 9, tzinfo=UTC))
    company.instance("live", url="http://localhost:8085", subscription_id=paid.pk)
    page = text_of(owner_client.get("/dashboard"))
    assert "payé jusqu’au 10 avril 2026" in page
    assert "essai" not in page


def test_an_open_order_can_be_gone_on_with(
    owner_client: Client, stranger_client: Client, company: Company, stranger: Company
) -> None:
    price = open_shop(plan=company.plan)
    placed = ordered(company, price)
    page = text_of(owner_client.get("/dashboard"))
    assert "58,80" in page
    assert f'href="/orders/{placed.pk}"' in page
    assert owner_client.get(f"/orders/{placed.pk}").status_code == 200
    assert str(placed.pk) not in text_of(stranger_client.get("/dashboard"))
    Order.objects.update(expires_at=timezone.now())
    assert str(placed.pk) not in text_of(owner_client.get("/dashboard"))


def test_a_trial_that_is_over_leads_to_the_plans(owner_client: Client, company: Company) -> None:
    trial = company.subscription("suspended", suspended_at=timezone.now())
    company.instance("suspended", subscription_id=trial.pk, reason="trial_ended")
    assert 'href="/pricing"' in text_of(owner_client.get("/dashboard"))


def test_what_is_suspended_until_it_is_paid_leads_to_the_payment(owner_client: Client, company: Company) -> None:
    price = open_shop(plan=company.plan)
    unpaid = company.subscription("suspended", suspended_at=timezone.now(), price=price)
    company.instance("suspended", subscription_id=unpaid.pk, reason="unpaid")
    assert "écrivez-nous" in text_of(owner_client.get("/dashboard"))
    placed = ordered(company, price)
    due = {"kind": Order.RENEWAL, "subscription": unpaid, "organization": company.organization, "credit_minor": 1000}
    Order.objects.filter(pk=placed.pk).update(**due)
    page = text_of(owner_client.get("/dashboard"))
    assert "Payer 48,80\N{NO-BREAK SPACE}€" in page and "écrivez-nous" not in page
    assert page.count(f'href="/orders/{placed.pk}"') == 2


def test_who_paused_goes_on_by_themselves(owner_client: Client, company: Company) -> None:
    price = open_shop(plan=company.plan)
    paused = company.subscription(
        "suspended", suspended_at=timezone.now(), suspended_for="paused", price=price, period_end=timezone.now()
    )
    company.instance("suspended", subscription_id=paused.pk, reason="paused")
    page = text_of(owner_client.get("/dashboard"))
    assert "ouvrez votre abonnement" in page
    # Neither has it an end, nor does it take anybody else.
    assert "gardées jusqu’au" not in page and "écrivez-nous" not in page


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("requested", "Il est en cours de création"),
        ("suspended", "Votre essai est terminé"),
        ("archived", "Cet espace a été archivé"),
        ("failed", "Sa création n’a pas abouti"),
    ],
)
def test_each_state_says_why_and_what_to_do(owner_client: Client, company: Company, state: str, sentence: str) -> None:
    trial = company.subscription("suspended", suspended_at=timezone.now())
    company.instance(state, subscription_id=trial.pk, reason="trial_ended")
    assert sentence in text_of(owner_client.get("/dashboard"))


def test_a_suspended_space_says_until_when_the_data_is_kept(owner_client: Client, company: Company) -> None:
    trial = company.subscription("suspended", suspended_at=datetime(2026, 3, 10, tzinfo=UTC))
    company.instance("suspended", subscription_id=trial.pk, reason="trial_ended")
    assert "jusqu’au 9 avril 2026" in text_of(owner_client.get("/dashboard"))


def test_the_instances_of_others_stay_with_them(stranger_client: Client, company: Company) -> None:
    company.instance("live", url="http://localhost:8085")
    assert "8085" not in text_of(stranger_client.get("/dashboard"))


def test_the_number_of_queries_does_not_grow(
    owner_client: Client, company: Company, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    trial = company.subscription()
    for _ in range(30):
        company.instance("live", url="http://localhost:8085", subscription_id=trial.pk)
    with django_assert_max_num_queries(7):
        owner_client.get("/dashboard")
