"""Paying by bank transfer, as the customer's browser sees it, and as a stranger's does not."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from parcelle.domain.billing import receipts, transfers
from parcelle.domain.billing.models import Order, Receipt, Transfer
from parcelle.domain.billing.references import grouped
from tests.domain.billing.selling import open_shop, order
from tests.domain.billing.transferring import BEN, confirm, expect, pdf, picture, switch_on
from tests.people import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]


@pytest.fixture(autouse=True)
def _home(settings: Any, tmp_path: Any) -> None:
    settings.HOME = tmp_path


@pytest.fixture
def transfer(client: Client) -> Transfer:
    switch_on()
    return mine(client, expect(order(open_shop())))


def mine(client: Client, transfer: Transfer) -> Transfer:
    session = client.session
    session["own_orders"] = [*session.get("own_orders", []), str(transfer.payment.order_id)]
    session.save()
    return transfer


def page(client: Client, transfer: Transfer) -> str:
    response = client.get(f"/orders/{transfer.payment.order_id}")
    assert response.status_code == 200
    return response.content.decode()


def text(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def send(
    client: Client, transfer: Transfer, content: bytes, name: str = "avis.pdf", kind: str = "application/pdf"
) -> str:
    file = SimpleUploadedFile(name, content, content_type=kind)
    response = client.post(f"/orders/{transfer.payment.order_id}/receipt", {"receipt": file}, follow=True)
    return text(response.content.decode())


def test_the_instructions_are_on_the_page(client: Client, transfer: Transfer) -> None:
    html = page(client, transfer)
    shown = text(html)
    for part in ("Atelier Parcelle", "FR14 2004 1010 0505 0001 3M02 606", "PSSTFRPPXXX", grouped(transfer.reference)):
        assert part in shown
    assert "58,80 €" in shown
    # What the buttons copy is what banks want: without spaces, with a point.
    for code, copied in (("iban", transfer.told["iban"]), ("reference", transfer.reference), ("amount", "58.80")):
        assert f'id="transfer-{code}">{copied}<' in html
        assert f'data-copy="transfer-{code}"' in html
    assert '<svg class="segno"' in html or 'class="segno"' in html


def test_there_is_no_qr_code_for_francs(client: Client) -> None:
    switch_on()
    transfer = mine(client, expect(order(open_shop("32000", "XAF"))))
    html = page(client, transfer)
    assert "segno" not in html
    assert "38 400 FCFA" in text(html).replace("\u202f", " ").replace("\xa0", " ")


def test_choosing_it_leads_to_the_instructions(client: Client) -> None:
    switch_on()
    placed = order(open_shop())
    Order.objects.update(expires_at=timezone.now() + timedelta(days=14))
    session = client.session
    session["own_orders"] = [str(placed.pk)]
    session.save()
    response = client.post(f"/orders/{placed.pk}/pay", {"gateway": "bank_transfer"}, follow=True)
    assert "Faites votre virement" in text(response.content.decode())


def test_a_receipt_is_sent_in_and_read_again(client: Client, transfer: Transfer) -> None:
    shown = send(client, transfer, pdf(), name='../../<b>"avis".pdf')
    assert "Nous avons votre justificatif" in shown
    assert '<b>"avis".pdf' in shown
    receipt = Receipt.objects.get()
    assert "../" not in receipt.name
    assert Transfer.objects.get().state == "uploaded"
    answer = client.get(f"/orders/{transfer.payment.order_id}/receipts/{receipt.pk}")
    assert answer.content == pdf()
    assert answer["Content-Type"] == "application/pdf"
    assert answer["Content-Disposition"] == f'attachment; filename="{transfer.reference}.pdf"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"].startswith("sandbox")


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_what_it_is_called_does_not_matter(client: Client, transfer: Transfer, kind: str) -> None:
    send(client, transfer, picture(kind), name="x.exe", kind="text/html")
    receipt = Receipt.objects.get()
    answer = client.get(f"/orders/{transfer.payment.order_id}/receipts/{receipt.pk}")
    assert answer["Content-Type"] == f"image/{kind}"


def huge_picture() -> bytes:
    """A few kilobytes that claim to be nine billion points."""
    content = bytearray(picture())
    content[16:24] = (95_000).to_bytes(4, "big") * 2
    return bytes(content)


BAD = {
    "html": b"<html><script>alert(1)</script></html>",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>',
    "html before pdf": b"<script>alert(1)</script>" + pdf(),
    "only the beginning": b"%PDF-1.7 hello %%EOF",
    "archive behind a picture": picture() + b"PK\x03\x04" + b"x" * 200,
    "picture cut off": picture()[:40],
    "bomb": huge_picture(),
    "empty": b"",
    "too large": b"%PDF-" + b"x" * (receipts.MOST_BYTES + 1),
    "zip": b"PK\x03\x04abc",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_document_is_refused(client: Client, transfer: Transfer, name: str) -> None:
    shown = send(client, transfer, BAD[name])
    assert Receipt.objects.count() == 0
    assert Transfer.objects.get().state == "awaiting"
    assert re.search("Nous ne lisons que|fichier est vide|dépasse 5|Choisissez d’abord", shown), shown
    assert not receipts.folder().exists() or list(receipts.folder().iterdir()) == []


def test_p29_a_stranger_sees_nothing_and_sends_nothing(client: Client, transfer: Transfer) -> None:
    send(client, transfer, pdf())
    receipt = Receipt.objects.get()
    order_id = transfer.payment.order_id
    stranger = Client()
    assert stranger.get(f"/orders/{order_id}").status_code == 404
    assert stranger.get(f"/orders/{order_id}/receipts/{receipt.pk}").status_code == 404
    file = SimpleUploadedFile("a.pdf", pdf("other"))
    assert stranger.post(f"/orders/{order_id}/receipt", {"receipt": file}).status_code == 404
    assert stranger.post(f"/orders/{order_id}/other-way").status_code == 404
    assert Receipt.objects.count() == 1
    # Nor through an order of one's own.
    own = mine(stranger, expect(order(transfer.payment.order.price)))
    assert stranger.get(f"/orders/{own.payment.order_id}/receipts/{receipt.pk}").status_code == 404


def test_too_many_files_are_refused(client: Client, transfer: Transfer) -> None:
    for number in range(receipts.MOST_PER_TRANSFER):
        send(client, transfer, picture(colour=number))
    assert "déjà envoyé beaucoup de fichiers" in send(client, transfer, picture(colour=99))
    assert Receipt.objects.count() == receipts.MOST_PER_TRANSFER


def test_why_a_receipt_was_rejected_is_told(client: Client, transfer: Transfer) -> None:
    send(client, transfer, pdf())
    transfers.reject(transfer.pk, reason="unreadable", text="Le montant est coupé.", actor="user:x", now=NOW)
    shown = text(page(client, transfer))
    assert "Il n’est pas lisible" in shown
    assert "Le montant est coupé." in shown
    assert "Faites votre virement" in shown
    assert "Inutilisable" in shown


def test_what_is_missing_is_told(client: Client, transfer: Transfer) -> None:
    confirm(transfer, "20.00")
    html = page(client, transfer)
    assert "Nous avons reçu 20,00 € ; il manque 38,80 €" in text(html).replace("\xa0", " ")
    assert 'id="transfer-amount">38.80<' in html


def test_a_second_person_is_told(client: Client) -> None:
    switch_on()
    transfer = mine(client, expect(order(open_shop("1000.00"))))
    row = confirm(transfer, "1200.00")
    assert "Une deuxième personne le vérifie" in text(page(client, transfer))
    transfers.approve(row.pk, person=BEN, actor="user:y", now=NOW)
    assert "Merci, votre paiement est arrivé" in text(page(client, transfer))


def test_another_way_to_pay(client: Client, transfer: Transfer) -> None:
    assert "Choisir un autre moyen de paiement" in text(page(client, transfer))
    response = client.post(f"/orders/{transfer.payment.order_id}/other-way", follow=True)
    shown = text(response.content.decode())
    assert "Comment souhaitez-vous payer" in shown
    assert "n’est pas arrivé" not in shown
    assert Order.objects.get().state == "open"


def test_a_transfer_that_was_given_up_is_explained(client: Client, transfer: Transfer) -> None:
    transfers.refuse(transfer.pk, reason="not_received", text="", actor="user:x", now=NOW)
    assert "Votre virement n’est pas arrivé." in text(page(client, transfer))


def test_the_fragment_is_the_same_whenever_nothing_changed(client: Client, transfer: Transfer) -> None:
    """The live stream only sends what is new: what a customer is typing or choosing must not be replaced."""
    address = f"/orders/{transfer.payment.order_id}/progress"
    assert client.get(address).content == client.get(address).content


@pytest.mark.parametrize("language", ["fr", "en"])
def test_every_state_has_a_page(client: Client, transfer: Transfer, language: str) -> None:
    client.cookies["parcelle_language"] = language
    for state in ("awaiting", "uploaded", "review", "partial", "second", "parked"):
        Transfer.objects.update(state=state)
        assert "<h1>" in page(client, transfer)
