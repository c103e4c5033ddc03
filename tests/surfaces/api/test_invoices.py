"""`/api/tenants/invoices/`: what a token may see of invoices, and their files."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from parcelle.core.money import Money
from parcelle.domain.accounts.models import ApiToken, User
from parcelle.domain.billing import invoicing
from parcelle.domain.billing.models import Invoice
from tests.domain.billing import documents
from tests.people import NOW, Cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def issued(cast: Cast) -> Invoice:
    documents.vendor()
    documents.customer(cast.organization)
    return documents.issue(cast.organization)


def ask(user: User, path: str) -> Any:
    _token, plain = ApiToken.issue(user=user, name="test", now=timezone.now())
    return Client().get(f"/api/tenants/invoices/{path}", headers={"authorization": f"Bearer {plain}"})


def test_the_list_is_that_of_ones_own_organizations(cast: Cast, issued: Invoice) -> None:
    for user, numbers in ((cast.viewer, ["FA-2026-000001"]), (cast.operator, ["FA-2026-000001"]), (cast.stranger, [])):
        assert [item["number"] for item in ask(user, "").json()["items"]] == numbers
    [item] = ask(cast.owner, "?kind=invoice").json()["items"]
    assert (item["total"]["minor"], item["status"], item["leftToPay"]["minor"]) == (5880, "overdue", 5880)
    assert ask(cast.owner, "?kind=credit_note").json()["items"] == []
    assert ask(cast.owner, "?status=paid").status_code == 400


def test_one_invoice_with_its_lines_and_credit_notes(cast: Cast, issued: Invoice) -> None:
    note = invoicing.credit(issued.pk, key="x", amount=Money(880, "EUR"), reason="", now=NOW)
    invoicing.finalise(note.pk, clock=lambda: NOW, press=documents.QuickPress())
    said = ask(cast.owner, f"{issued.pk}/").json()
    assert said["creditNotes"] == ["AV-2026-000001"]
    assert said["leftToPay"]["minor"] == 5000
    [line] = said["lines"]
    assert (line["price"]["minor"], line["taxRate"]) == (4900, "20")
    assert ask(cast.owner, f"{note.pk}/").json()["corrects"] == "FA-2026-000001"
    assert ask(cast.stranger, f"{issued.pk}/").status_code == 404


@pytest.mark.parametrize(
    ("form", "media_type"), [("pdf", "application/pdf"), ("xml", "application/xml"), ("ubl", "application/xml")]
)
def test_the_files(cast: Cast, issued: Invoice, form: str, media_type: str) -> None:
    answer = ask(cast.viewer, f"{issued.pk}/download/?format={form}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, media_type)
    assert answer.content.startswith(form.encode())
    assert ask(cast.stranger, f"{issued.pk}/download/").status_code == 404
    assert ask(cast.owner, f"{issued.pk}/download/?format=doc").status_code == 400


def test_what_waits_says_why_and_has_no_file(cast: Cast) -> None:
    documents.vendor()
    waiting = documents.draft(cast.organization)
    invoicing.attempt(waiting.pk, press=documents.QuickPress())
    said = ask(cast.owner, f"{waiting.pk}/").json()
    assert (said["status"], said["number"], said["files"]) == ("waiting", None, [])
    assert "buyer_siren" in said["missing"]
    assert ask(cast.owner, f"{waiting.pk}/download/").status_code == 404
