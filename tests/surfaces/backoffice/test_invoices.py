"""Invoices in the back office: what is missing and where to fill it in, files, and the credit note."""

from __future__ import annotations

import pytest
from django.test import Client

from parcelle.domain.billing import invoicing
from parcelle.domain.billing.models import Invoice, Seller
from tests import jobs
from tests.domain.billing import documents
from tests.domain.billing.documents import QuickPress
from tests.people import NOW, Cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def olga(cast: Cast) -> Client:
    client = Client(headers={"accept-language": "fr"})
    client.force_login(cast.operator)
    return client


def page(client: Client, path: str) -> str:
    answer = client.get(f"/admin/billing/{path}", follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_waiting_invoice_says_what_is_missing_and_where(cast: Cast, olga: Client) -> None:
    waiting = documents.draft(cast.organization)
    invoicing.attempt(waiting.pk, press=QuickPress())
    said = page(olga, f"invoice/{waiting.pk}/change/")
    assert "Votre SIREN" in said
    assert "/admin/billing/seller/" in said
    assert "Le SIREN du client" in said
    assert "Brouillon" in page(olga, "invoice/")


def test_the_seller_is_one_row_that_says_whether_it_is_complete(cast: Cast, olga: Client) -> None:
    assert "Pas encore" in page(olga, "seller/")
    waiting = documents.draft(cast.organization, now=NOW)
    Invoice.objects.filter(pk=waiting.pk).update(ready_at=NOW)
    documents.customer(cast.organization)
    filled_in = {**documents.VENDOR, "country": "FR", "vat_rate": "20", "_save": "1"}
    assert olga.post("/admin/billing/seller/add/", filled_in).status_code == 302
    assert Seller.objects.get().pk == 1
    printed = {**filled_in, "siren": "732 829 320 00074", "vat_number": "fr 44 732829320", "bic": "agri fr pp"}
    printed["iban"] = "FR76 3000 6000 0112 3456 7890 189"
    assert olga.post("/admin/billing/seller/1/change/", printed).status_code == 302
    kept = Seller.objects.get()
    assert (kept.siren, kept.vat_number) == (documents.VENDOR["siren"], documents.VENDOR["vat_number"])
    assert (kept.iban, kept.bic) == (documents.VENDOR["iban"], documents.VENDOR["bic"])
    refused: tuple[dict[str, str], ...] = (
        {"siren": "123456789"},
        {"iban": "FR7630006000011234567890188"},
        {"vat_number": "FR00732829320"},
        {"vat_rate": "19"},
        {"vat_rate": "0"},
    )
    for wrong in refused:
        assert olga.post("/admin/billing/seller/1/change/", {**filled_in, **wrong}).status_code == 200
    exempt = {**filled_in, "vat_rate": "0", "vat_exempt": "on"}
    assert olga.post("/admin/billing/seller/1/change/", exempt).status_code == 302
    assert "Oui" in page(olga, "seller/")


def test_files_are_downloaded(cast: Cast, olga: Client) -> None:
    documents.vendor()
    documents.customer(cast.organization)
    issued = documents.issue(cast.organization)
    answer = olga.get(f"/admin/billing/invoice/{issued.pk}/file/xml/")
    assert answer.content.startswith(b"xml FA-2026-000001")
    olga.force_login(cast.stranger)
    assert olga.get(f"/admin/billing/invoice/{issued.pk}/file/xml/").status_code == 302


def test_an_invoice_is_credited_after_a_confirmation(cast: Cast, olga: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from parcelle.domain.billing.invoicing import finalising

    monkeypatch.setattr(finalising, "WarmPress", QuickPress)
    documents.vendor()
    documents.customer(cast.organization)
    issued = documents.issue(cast.organization)
    path = f"/admin/billing/invoice/{issued.pk}/credit/"
    asked = olga.get(path).content.decode()
    assert "58,80" in asked
    assert not Invoice.objects.filter(kind="credit_note").exists()
    said = {"confirmed": "credit", f"shown-{issued.pk}": "5880", "reason": "Geste commercial"}
    for wrong in ({"amount": "58,81 €"}, {"amount": "peu"}, {"amount": "0"}, {"amount": "10", "reason": ""}):
        again = olga.post(path, {**said, **wrong}).content.decode()
        assert "bo-error" in again
    assert not Invoice.objects.filter(kind="credit_note").exists()
    for _time in range(2):
        olga.post(path, {**said, "amount": "18,80 €"}, follow=True)
    jobs.work_off(NOW)
    note = Invoice.objects.get(kind="credit_note")
    assert (note.number, note.total_minor, note.corrects) == ("AV-2026-000001", 1880, issued)
    assert note.content["reason"] == "Geste commercial"
    olga.post(path, {**said, f"shown-{issued.pk}": "4000", "amount": "40,00 €"}, follow=True)
    assert sorted(Invoice.objects.filter(kind="credit_note").values_list("total_minor", flat=True)) == [1880, 4000]
    assert "AV-2026-000001" in page(olga, f"invoice/{issued.pk}/change/")


@pytest.mark.parametrize("name", ["invoice", "billingdetails", "exchangerate", "vatcheck"])
def test_every_list_opens(cast: Cast, olga: Client, name: str) -> None:
    documents.vendor()
    documents.customer(cast.organization)
    documents.issue(cast.organization)
    page(olga, f"{name}/")


def test_billing_details_are_corrected(cast: Cast, olga: Client) -> None:
    details = documents.customer(cast.organization)
    assert "552100554" in page(olga, f"billingdetails/{details.pk}/change/")
