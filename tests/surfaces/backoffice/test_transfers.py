"""The operators' side of bank transfers: the queue, the receipts, two people, statements and their lines."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from parcelle.domain.accounts.models import User
from parcelle.domain.billing import receipts
from parcelle.domain.billing.models import Confirmation, Receipt, Statement, StatementLine, Transfer
from tests.domain.billing import bank, selling
from tests.domain.billing.transferring import again, confirm, expect, pdf, picture, switch_on
from tests.people import NOW, Cast

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _home(settings: Any, tmp_path: Any) -> None:
    settings.HOME = tmp_path


@pytest.fixture
def transfer(cast: Cast) -> Transfer:
    switch_on()
    return expect(selling.order(selling.open_shop(plan=cast.plan)))


@pytest.fixture
def large(cast: Cast) -> Transfer:
    switch_on()
    return expect(selling.order(selling.open_shop("1000.00", plan=cast.plan)))


@pytest.fixture
def colleague(cast: Cast) -> Client:
    client = Client()
    user = User.objects.create_superuser("colleague@vendor.example")
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def page(transfer: Transfer, what: str = "change") -> str:
    return f"/admin/billing/transfer/{transfer.pk}/{what}/"


def upload(transfer: Transfer, content: bytes) -> Receipt:
    return receipts.upload(transfer.pk, name="a<b>.pdf", content=content, actor="visitor", address="192.0.2.1", now=NOW)


def said(**more: str) -> dict[str, str]:
    known = {"amount": "58.80", "currency": "EUR", "value_date": "2026-03-02", "bank_reference": "B-1"}
    return {**known, **more}


def post(client: Client, address: str, **data: str) -> str:
    answer = client.post(address, data, follow=True)
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_what_waits_is_shown_as_work(operator: Client, transfer: Transfer) -> None:
    assert operator.get("/admin/").context["transfers"]["total"] == 0
    upload(transfer, pdf())
    home = operator.get("/admin/")
    assert home.context["transfers"]["total"] == 1
    assert "Bank transfers to confirm" in home.content.decode()
    listed = operator.get("/admin/billing/transfer/").context["cl"].result_list
    assert listed == [transfer]
    assert operator.get("/admin/billing/transfer/", {"of": "done"}).context["cl"].result_count == 0


@pytest.mark.parametrize("typed", ["58.80", "58,80", "EUR 58.80", "58.8"])
def test_an_operator_confirms(operator: Client, cast: Cast, transfer: Transfer, typed: str) -> None:
    upload(transfer, pdf())
    form = operator.get(page(transfer, "confirm"))
    assert again(transfer).state == "review"
    seen = form.context["seen"]
    language = "fr" if "," in typed else "en"
    operator.cookies["parcelle_language"] = language
    post(operator, page(transfer, "confirm"), seen=seen, **said(amount=typed))
    known = again(transfer)
    assert (known.state, known.payment.state, known.payment.order.state) == ("confirmed", "paid", "paid")
    row = Confirmation.objects.get()
    assert (row.actor, row.person) == (f"user:{cast.operator.pk}", cast.operator.pk)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"amount": "lots"}, "not an amount"),
        ({"amount": "1.001"}, "not an amount"),
        ({"currency": "ZZZ"}, "not a currency"),
        ({"bank_reference": ""}, "required"),
        ({"value_date": "tomorrow"}, "valid date"),
    ],
)
def test_a_form_with_a_mistake_comes_back_filled(
    operator: Client, transfer: Transfer, wrong: dict[str, str], words: str
) -> None:
    html = post(operator, page(transfer, "confirm"), **said(**wrong))
    assert words in html
    assert 'value="2026-03-02"' in html or "value_date" in wrong
    assert again(transfer).state == "awaiting"


def test_two_operators_at_once_confirm_once(operator: Client, colleague: Client, transfer: Transfer) -> None:
    seen = [client.get(page(transfer, "confirm")).context["seen"] for client in (operator, colleague)]
    post(operator, page(transfer, "confirm"), seen=seen[0], **said())
    html = post(colleague, page(transfer, "confirm"), seen=seen[1], **said(bank_reference="B-2"))
    assert "Somebody noted something in the meantime" in html
    assert Confirmation.objects.count() == 1


def test_a_large_one_needs_somebody_else(operator: Client, colleague: Client, large: Transfer) -> None:
    html = post(operator, page(large, "confirm"), **said(amount="1200"))
    assert "a second person must approve" in html
    row = Confirmation.objects.get()
    approve = reverse("admin:billing_transfer_approve", args=[large.pk, row.pk])
    assert "1,200.00" in operator.get(approve).content.decode()
    assert "You confirmed it yourself" in post(operator, approve, answer="approve")
    assert again(large).state == "second"
    assert "Approved by two people" in post(colleague, approve, answer="approve")
    assert again(large).payment.order.state == "paid"
    html = colleague.get(page(large)).content.decode()
    assert "operator@vendor.example" in html
    assert "colleague@vendor.example" in html


def test_the_second_person_says_no(operator: Client, colleague: Client, large: Transfer) -> None:
    post(operator, page(large, "confirm"), **said(amount="1200"))
    row = Confirmation.objects.get()
    post(colleague, reverse("admin:billing_transfer_approve", args=[large.pk, row.pk]), answer="no", text="not there")
    row.refresh_from_db()
    assert (row.state, row.remark, again(large).state) == ("turned_down", "not there", "awaiting")


def test_a_receipt_is_rejected_with_words(operator: Client, transfer: Transfer) -> None:
    upload(transfer, pdf())
    assert "Say in a sentence" in post(operator, page(transfer, "reject"), reason="other", text=" ")
    post(operator, page(transfer, "reject"), reason="no_proof", text="It is an invoice.")
    known = again(transfer)
    assert (known.state, known.reason, known.reason_text) == ("awaiting", "no_proof", "It is an invoice.")


def test_a_difference_is_accepted(operator: Client, transfer: Transfer) -> None:
    confirm(transfer, "57.50")
    assert "1.30" in operator.get(page(transfer, "accept")).content.decode()
    post(operator, page(transfer, "accept"), seen=operator.get(page(transfer, "accept")).context["seen"])
    assert again(transfer).payment.order.state == "paid"


def test_a_transfer_is_given_up(operator: Client, transfer: Transfer) -> None:
    post(operator, page(transfer, "refuse"), reason="not_received", text="")
    assert (again(transfer).state, again(transfer).payment.state) == ("refused", "declined")


def test_receipts_are_only_ever_saved(operator: Client, reader: Client, transfer: Transfer) -> None:
    for content, kind in ((pdf(), "application/pdf"), (picture(), "image/png")):
        row = upload(transfer, content)
        address = reverse("admin:billing_transfer_receipt", args=[transfer.pk, row.pk])
        for client in (operator, reader):
            answer = client.get(address)
            assert (answer.content, answer["Content-Type"]) == (content, kind)
            assert answer["Content-Disposition"].startswith("attachment")
            assert answer["X-Content-Type-Options"] == "nosniff"
            assert answer["Content-Security-Policy"].startswith("sandbox")
    html = operator.get(page(transfer)).content.decode()
    assert "a&lt;b&gt;.pdf" in html
    assert "a<b>.pdf" not in html


def test_p29_receipts_are_not_for_customers(cast: Cast, transfer: Transfer) -> None:
    row = upload(transfer, pdf())
    address = reverse("admin:billing_transfer_receipt", args=[transfer.pk, row.pk])
    for user in (cast.owner, cast.stranger):
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        assert client.get(address).status_code == 302
    assert Client().get(address).status_code == 302


def test_a_file_that_was_used_before_is_shown_with_the_first(operator: Client, transfer: Transfer) -> None:
    upload(transfer, pdf())
    other = expect(selling.order(transfer.payment.order.price))
    upload(other, pdf())
    for what in ("change", "confirm"):
        html = operator.get(page(other, what)).content.decode()
        assert "The same file was sent in for another transfer" in html


def test_who_may_only_read_changes_nothing(reader: Client, transfer: Transfer) -> None:
    upload(transfer, pdf())
    for what in ("confirm", "reject", "refuse", "accept"):
        post(reader, page(transfer, what), **said(), reason="other", text="x")
    file = SimpleUploadedFile("a.xml", bank.camt(bank.Ntry(amount="1.00")))
    reader.post("/admin/billing/statement/upload/", {"file": file})
    reader.post("/admin/billing/statementline/match-sure/")
    assert again(transfer).state == "uploaded"
    assert (Confirmation.objects.count(), Statement.objects.count()) == (0, 0)


# --- statements ----------------------------------------------------------------------------------------------


def send(client: Client, content: bytes, name: str = "releve.xml") -> Any:
    file = SimpleUploadedFile(name, content)
    return client.post("/admin/billing/statement/upload/", {"file": file}, follow=True)


def test_a_statement_is_imported_and_what_is_sure_confirmed(operator: Client, transfer: Transfer) -> None:
    content = bank.camt(
        bank.Ntry(amount="58.80", texts=[transfer.reference], ref="B-1"), bank.Ntry(amount="7.00", ref="B-2")
    )
    html = send(operator, content).content.decode()
    assert "2 new lines, 0 known before" in html
    assert "Sure" in html
    assert "Not recognised" in html
    shown = operator.get("/admin/billing/statementline/match-sure/")
    [row] = shown.context["rows"]
    post(operator, "/admin/billing/statementline/match-sure/", line=str(row["line"].pk))
    assert again(transfer).payment.order.state == "paid"
    assert [line.state for line in StatementLine.objects.order_by("key")] == ["matched", "open"]


def test_a_line_is_matched_by_hand(operator: Client, transfer: Transfer) -> None:
    send(operator, bank.camt(bank.Ntry(amount="20.00", payer="X", ref="B-1")))
    line = StatementLine.objects.get()
    address = f"/admin/billing/statementline/{line.pk}/match/"
    assert "No transfer has this reference" in post(operator, address, transfer="RF00 NONE")
    shown = operator.post(address, {"transfer": transfer.payment.order.number.lower()})
    judged = shown.context["judged"]
    assert judged.kind == "partial"
    post(operator, address, transfer=transfer.reference, kind="partial", of=str(transfer.pk))
    assert again(transfer).state == "partial"


def test_a_line_is_put_aside(operator: Client, transfer: Transfer) -> None:
    send(operator, bank.camt(bank.Ntry(amount="20.00", ref="B-1")))
    line = StatementLine.objects.get()
    post(operator, f"/admin/billing/statementline/{line.pk}/ignore/", text="Interest")
    line.refresh_from_db()
    assert (line.state, line.remark) == ("ignored", "Interest")


def test_the_columns_of_a_csv_file_are_confirmed(operator: Client, transfer: Transfer) -> None:
    content = f"Jour;Libellé;Somme\n02/03/2026;VIR {transfer.reference};58,80\n03/03/2026;EDF;-12,00\n".encode()
    shown = send(operator, content, "banque.csv")
    assert "No money can be read yet" in shown.content.decode()
    draft = Statement.objects.get()
    address = f"/admin/billing/statement/{draft.pk}/columns/"
    columns = {
        "value_date": "0",
        "booking_date": "-1",
        "date_format": "%d/%m/%Y",
        "amount": "2",
        "credit": "-1",
        "direction": "-1",
        "decimal": ",",
        "currency": "EUR",
        "payer": "-1",
        "text": "1",
        "more_text": "-1",
        "bank_reference": "-1",
        "account": transfer.told["iban"],
    }
    assert "valid IBAN" in post(operator, address, **{**columns, "account": "FR00", "answer": "import"})
    looked = post(operator, address, **columns, answer="look")
    assert "58.80" in looked
    assert StatementLine.objects.count() == 0
    post(operator, address, **columns, answer="import")
    assert (Statement.objects.get().state, StatementLine.objects.count()) == ("imported", 1)
    assert "Sure" in operator.get("/admin/billing/statementline/").content.decode()


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE a><a/>", b"<html/>"])
def test_a_file_that_is_no_statement_is_explained(operator: Client, transfer: Transfer, content: bytes) -> None:
    answer = send(operator, content)
    assert answer.status_code == 200
    assert Statement.objects.count() == 0


def test_the_number_of_questions_does_not_grow_with_the_lines(
    operator: Client, transfer: Transfer, django_assert_max_num_queries: Any
) -> None:
    entries = [bank.Ntry(amount="58.80", texts=[transfer.reference], ref=f"B-{n}") for n in range(30)]
    send(operator, bank.camt(*entries))
    with django_assert_max_num_queries(30):
        assert operator.get("/admin/billing/statementline/").context["cl"].result_count == 30
