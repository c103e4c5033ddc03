"""The journal, the trial balance, and its files."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from parcelle.core.money import Money
from parcelle.domain.billing.models import LedgerTransaction, Seller
from parcelle.domain.tenancy.models import Organization
from tests.domain.billing.test_ledger_exports import organization, sell
from tests.people import Cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def office(client: Client, cast: Cast) -> Client:
    client.force_login(cast.operator)
    sell(organization(), Money(4900, "EUR"))
    sell(organization("Douala & Fils", "douala"), Money(32_000, "XAF"), number="FA-2026-000002")
    return client


def balance(query: str = "") -> str:
    return reverse("admin:billing_ledgertransaction_trial_balance") + query


def test_the_journal_names_documents_amounts_and_accounts(office: Client) -> None:
    page = office.get(reverse("admin:billing_ledgertransaction_changelist"), headers={"Accept-Language": "fr"})
    text = page.content.decode()
    assert "FA-2026-000001" in text and "58,80\xa0€" in text.replace("&nbsp;", "\xa0")
    assert "411000 → 706100, 44571200" in text
    booked = LedgerTransaction.objects.get(reference="FA-2026-000002")
    detail = office.get(reverse("admin:billing_ledgertransaction_change", args=[booked.pk])).content.decode()
    assert "Douala &amp; Fils" in detail


def test_the_trial_balance_of_all_time_and_of_a_year(office: Client) -> None:
    text = office.get(balance()).content.decode()
    assert "EUR" in text and "XAF" in text and "411000" in text
    assert "as=fec" not in text
    assert "as=fec" in office.get(balance("?year=2026")).content.decode()
    assert office.get(balance("?year=1066")).status_code == 200


def test_its_files(office: Client) -> None:
    csv = office.get(balance("?year=2026&as=csv"))
    assert csv["Content-Disposition"] == 'attachment; filename="balance-2026.csv"'
    assert csv.content.decode("utf-8-sig").startswith("Account,Name,Currency")
    refused = office.get(balance("?year=2026&as=fec"), follow=True)
    assert "SIREN" in refused.content.decode()
    Seller.objects.create(pk=1, siren="123456782")
    fec = office.get(balance("?year=2026&as=fec"))
    assert fec["Content-Disposition"] == 'attachment; filename="123456782FEC20261231.txt"'
    assert fec.content.count(b"\r\n") == 7


def test_a_customers_page_says_what_they_owe_and_leads_to_the_statement(office: Client) -> None:
    diop = Organization.objects.get(slug="diop")
    page = office.get(f"/admin/tenancy/organization/{diop.pk}/change/", headers={"Accept-Language": "fr"})
    assert "doit 58,80" in page.content.decode().replace("&nbsp;", " ")
    path = reverse("admin:billing_ledgertransaction_statement", args=(diop.pk, "EUR"))
    assert path in page.content.decode()
    assert b"FA-2026-000001,EUR,58.80,58.80" in office.get(path).content


def test_only_for_operators(client: Client, cast: Cast) -> None:
    client.force_login(cast.owner)
    assert client.get(balance()).status_code == 302
    assert client.get(balance("?as=csv")).status_code == 302


def test_nothing_booked_yet_says_so(client: Client, cast: Cast) -> None:
    client.force_login(cast.operator)
    assert "bo-soft" in client.get(balance()).content.decode()
