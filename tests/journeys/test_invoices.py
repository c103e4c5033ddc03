"""A sale is invoiced, mailed and handed over, exactly once, and what is missing only makes it wait."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from django.core import mail
from pytest_django import Settings

from parcelle.core.models import Fact
from parcelle.domain.billing import refunds
from parcelle.domain.billing.invoicing import finalising
from parcelle.domain.billing.ledger.queries import balances, statement
from parcelle.domain.billing.models import BillingDetails, Handover, Invoice, Payment
from parcelle.domain.billing.orders import Buyer
from parcelle.domain.notifications.models import Message
from parcelle.domain.tenancy.models import Organization
from parcelle.journeys import checkout, invoices
from tests import jobs
from tests.domain.billing import documents
from tests.domain.billing.documents import QuickPress
from tests.domain.billing.selling import LATER, attempt, click, look, open_shop
from tests.people import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints", "_quick")]
AWA = Buyer(
    first_name="Awa",
    last_name="Diop",
    company="Diop SARL",
    email="awa@example.com",
    country="FR",
    address="3 quai de la Fosse",
    postcode="44000",
    city="Nantes",
    siren="552100554",
)


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is real but the printing, which has tests of its own."""
    monkeypatch.setattr(finalising, "WarmPress", QuickPress)


def buy(buyer: Buyer = AWA) -> Payment:
    price = open_shop()
    order = checkout.place(
        request_id=uuid.uuid4(), price_id=price.pk, coupon_code="", buyer=buyer, language="fr", user=None, now=NOW
    )
    payment = attempt(order)
    click(payment, "approved")
    return look(payment)


def test_a_paid_order_is_invoiced_and_mailed_once() -> None:
    documents.vendor()
    payment = buy()
    jobs.work_off(LATER)
    invoice = Invoice.objects.get()
    assert (invoice.number, invoice.total) == ("FA-2026-000001", payment.amount)
    [sent] = [m for m in mail.outbox if "FA-2026-000001" in m.subject]
    [attached] = sent.attachments
    assert attached[0] == "FA-2026-000001.pdf"
    assert sent.to == ["awa@example.com"]
    assert "58,80" in sent.body
    # Once more, as after a crash.
    for fact in Fact.objects.filter(name__in=("OrderFulfilled", "InvoiceFinalised")):
        if fact.name == "OrderFulfilled":
            invoices.invoice_order(fact)
        else:
            invoices.send(fact)
    jobs.work_off(LATER)
    assert Invoice.objects.count() == Message.objects.filter(kind="invoice").count() == 1


def test_the_books_and_the_documents_agree_and_the_customer_owes_nothing() -> None:
    documents.vendor()
    payment = buy()
    jobs.work_off(LATER)
    organization = Organization.objects.get()
    assert balances(organization.pk)["EUR"].minor == 0
    refunds.request(payment.pk, amount=payment.amount, reason="goodwill", actor="operator", now=LATER, by_hand=True)
    jobs.work_off(LATER)
    assert [row.reference for row in statement(organization.pk, "EUR")].count("AV-2026-000001") == 1
    assert balances(organization.pk)["EUR"].minor == 0
    note = Invoice.objects.get(kind="credit_note")
    assert (note.number, note.total) == ("AV-2026-000001", payment.amount)
    assert any("AV-2026-000001" in m.subject for m in mail.outbox)


def test_an_activation_never_waits_for_an_invoice_and_the_invoice_goes_on_when_it_can() -> None:
    buy()
    jobs.work_off(LATER)
    organization = Organization.objects.get()
    invoice = Invoice.objects.get()
    assert organization.orders.get().state == "fulfilled"
    assert (invoice.state, invoice.problems[0]["code"]) == ("draft", "seller_name")
    documents.vendor()
    assert invoices.retry() == 1
    jobs.work_off(LATER)
    invoice.refresh_from_db()
    assert invoice.number == "FA-2026-000001"


def test_the_schedule_looks_after_what_waits() -> None:
    buy()
    jobs.work_off(LATER)
    documents.vendor()
    assert invoices.run(now=LATER) == 1
    assert invoices.run(now=LATER) == 0


def test_a_customer_without_siren_is_named() -> None:
    from dataclasses import replace

    documents.vendor()
    buy(replace(AWA, siren=""))
    jobs.work_off(LATER)
    assert [p["code"] for p in Invoice.objects.get().problems] == ["buyer_siren"]
    [asked] = [m for m in mail.outbox if "facture" in m.subject and not m.attachments]
    assert "SIREN" in asked.body and "/billing/details/" in asked.body
    details = BillingDetails.objects.get()
    details.siren = "552100554"
    details.save()
    invoices.retry(organization_id=details.organization_id)
    jobs.work_off(LATER)
    assert Invoice.objects.get().state == "finalised"


def test_what_was_given_back_before_there_was_an_invoice_is_credited_with_it() -> None:
    documents.vendor()
    payment = buy()
    refunds.request(payment.pk, amount=payment.amount, reason="goodwill", actor="operator", now=LATER, by_hand=True)
    for fact in Fact.objects.filter(name="PaymentRefunded"):
        invoices.credit_refund(fact)
    jobs.work_off(LATER)
    assert set(Invoice.objects.values_list("number", flat=True)) == {"AV-2026-000001", "FA-2026-000001"}


def test_documents_are_dropped_for_the_platform_once(tmp_path: Path, settings: Settings) -> None:
    settings.INVOICE_DROP = str(tmp_path / "drop")
    documents.vendor()
    buy()
    jobs.work_off(LATER)
    [file] = (tmp_path / "drop").iterdir()
    assert file.name == "FA-2026-000001.pdf"
    invoices.hand_over(Fact.objects.get(name="InvoiceFinalised"))
    assert Handover.objects.get().reference == str(file)
