"""`/billing`: what a customer sees of their invoices, and that nobody else does."""

from __future__ import annotations

import pytest
from django.test import Client

from parcelle.core.money import Money
from parcelle.domain.accounts.models import User
from parcelle.domain.billing import invoicing
from parcelle.domain.billing.ledger import accounts, postings
from parcelle.domain.billing.models import BillingDetails, Invoice, LedgerTransaction
from tests.domain.billing import documents
from tests.domain.billing.documents import content, line
from tests.people import NOW, Cast, person

pytestmark = pytest.mark.django_db


@pytest.fixture
def issued(cast: Cast) -> Invoice:
    documents.vendor()
    documents.customer(cast.organization)
    return documents.issue(cast.organization)


def see(user: User, path: str = "/billing", *, language: str = "fr") -> tuple[int, str]:
    client = Client(headers={"accept-language": language})
    client.force_login(user)
    answer = client.get(path)
    return answer.status_code, answer.content.decode() if answer.status_code == 200 else ""


def test_a_member_sees_invoices_what_is_left_to_pay_and_the_files(cast: Cast, issued: Invoice) -> None:
    for user in (cast.owner, cast.member, cast.viewer):
        status, page = see(user)
        assert status == 200
        assert "FA-2026-000001" in page
        assert f"/billing/{issued.pk}/pdf" in page
    assert "En retard" in see(cast.owner)[1]
    assert "Overdue" in see(cast.owner, language="en")[1]


def test_credit_notes_and_statement_are_there(cast: Cast, issued: Invoice) -> None:
    note = invoicing.credit(issued.pk, key="x", amount=Money(880, "EUR"), reason="", now=NOW)
    invoicing.finalise(note.pk, clock=lambda: NOW, press=documents.QuickPress())
    page = see(cast.owner)[1]
    assert "AV-2026-000001" in page
    assert "corrige FA-2026-000001" in page
    assert "Relevé de compte" in page
    status, rows = see(cast.owner, "/billing/statement/maconnerie-diop/EUR")
    assert status == 200
    assert [row.split(";")[2:] for row in rows.splitlines()[1:]] == [
        ["FA-2026-000001", "EUR", "58,80", "58,80"],
        ["AV-2026-000001", "EUR", "-8,80", "50,00"],
    ]
    assert see(cast.owner, "/billing/statement/maconnerie-diop/XAF")[0] == 404
    assert see(cast.stranger, "/billing/statement/maconnerie-diop/EUR")[0] == 404


def test_who_has_paid_an_invoice_that_waits_for_its_number_is_not_in_credit(cast: Cast) -> None:
    party = postings.Party(organization_id=cast.organization.pk)
    paid = [(accounts.CUSTOMERS, -Money(5880, "EUR"), party), (accounts.BANK, Money(5880, "EUR"), None)]
    lines = [postings.Line(account=account, amount=amount, party=who) for account, amount, who in paid]
    postings.post(
        key="payment:1", kind="payment", journal=LedgerTransaction.BANK, reference="PAR1", lines=lines, now=NOW
    )
    page = see(cast.owner)[1]
    assert "58,80\N{NO-BREAK SPACE}€ en votre faveur" in page
    waiting = documents.draft(cast.organization)
    Invoice.objects.filter(pk=waiting.pk).update(ready_at=NOW)
    page = see(cast.owner)[1]
    assert "en votre faveur" not in page
    assert "Facture en préparation" in page
    rows = see(cast.owner, "/billing/statement/maconnerie-diop/EUR")[1]
    assert rows.splitlines()[-1].endswith(";;EUR;58,80;0,00")


def test_an_invoice_is_payee_and_a_payment_paye(cast: Cast) -> None:
    documents.vendor()
    documents.customer(cast.organization)
    paid = content(line(), paid_on=NOW.date(), means="online", due_on=None)
    documents.issue(cast.organization, paid)
    assert "Payée" in see(cast.owner)[1]


def test_what_is_still_missing_is_asked_for(cast: Cast) -> None:
    from parcelle.domain.billing.models import Seller

    documents.vendor()
    waiting = documents.draft(cast.organization)
    invoicing.attempt(waiting.pk, press=documents.QuickPress())
    page = see(cast.owner)[1]
    assert "le SIREN de votre société" in page
    assert "/billing/details/maconnerie-diop" in page
    assert "/billing/details/" not in see(cast.viewer)[1]
    assert Seller.objects.exists()


def test_the_empty_state_says_what_to_do(cast: Cast) -> None:
    assert "Pas encore de facture" in see(cast.owner)[1]
    assert "/pricing" in see(person("Nil", "nil"))[1]


@pytest.mark.parametrize(
    ("form", "media_type"), [("pdf", "application/pdf"), ("xml", "application/xml"), ("ubl", "application/xml")]
)
def test_files_are_downloaded_by_members_only(cast: Cast, issued: Invoice, form: str, media_type: str) -> None:
    path = f"/billing/{issued.pk}/{form}"
    client = Client()
    client.force_login(cast.viewer)
    answer = client.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, media_type)
    assert answer.content.startswith(form.encode())
    assert "FA-2026-000001" in answer.headers["Content-Disposition"]
    assert see(cast.stranger, path)[0] == 404
    assert Client().get(path).status_code == 302


def test_p29_the_stranger_sees_nothing(cast: Cast, issued: Invoice) -> None:
    assert "FA-2026" not in see(cast.stranger)[1]
    for path in ("/billing?organization=maconnerie-diop", "/billing/details/maconnerie-diop"):
        assert see(cast.stranger, path)[0] == 404


def test_no_other_form_and_no_draft_is_downloaded(cast: Cast, issued: Invoice) -> None:
    draft = documents.draft(cast.organization, content(line()))
    assert see(cast.owner, f"/billing/{issued.pk}/exe")[0] == 404
    assert see(cast.owner, f"/billing/{draft.pk}/pdf")[0] == 404


FILLED_IN = {
    "name": "Maçonnerie Diop",
    "business": "on",
    "email": "compta@diop.example",
    "address": "3 quai de la Fosse",
    "postcode": "44000",
    "city": "Nantes",
    "country": "FR",
    "siren": "552 100 554",
}


def test_billing_details_are_filled_in_by_owners_and_let_go_of_what_waited(cast: Cast) -> None:
    client = Client(headers={"accept-language": "fr"})
    client.force_login(cast.owner)
    path = "/billing/details/maconnerie-diop"
    assert client.get(path).status_code == 200
    refused = client.post(path, {**FILLED_IN, "siren": "", "city": "", "postcode": ""})
    assert refused.status_code == 422
    assert "La loi française veut le SIREN" in refused.content.decode()
    assert refused.context["form"].errors["postcode"]
    assert "compta@diop.example" in refused.content.decode()
    assert client.post(path, FILLED_IN).headers["Location"] == "/billing?organization=maconnerie-diop"
    assert BillingDetails.objects.get().siren == "552100554"
    client.force_login(cast.member)
    assert client.get(path).status_code == 403


def test_an_organization_asks_few_questions(cast: Cast, issued: Invoice, django_assert_max_num_queries: object) -> None:
    for _number in range(6):
        documents.issue(cast.organization)
    client = Client()
    client.force_login(cast.owner)
    with django_assert_max_num_queries(24):  # type: ignore[operator]
        client.get("/billing")
