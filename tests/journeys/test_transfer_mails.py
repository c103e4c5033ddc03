"""Who pays by transfer is told where to, and that a receipt proved nothing, with the way to send another."""

from __future__ import annotations

import pytest

from parcelle.domain.billing import receipts, references, transfers
from parcelle.domain.notifications import actions as notifications
from parcelle.domain.notifications.models import Message
from tests import jobs
from tests.domain.billing.transferring import expected, picture
from tests.people import NOW

pytestmark = pytest.mark.django_db


def test_a_receipt_that_was_turned_down_is_told_once_with_its_reason_and_the_link() -> None:
    transfer = expected()
    receipts.upload(transfer.pk, name="a.png", content=picture(), actor="customer", address="::1", now=NOW)
    transfers.reject(transfer.pk, reason="no_proof", text="C’est une facture.", actor="user:x", now=NOW)
    for _time in range(2):
        jobs.work_off(NOW)
    message = Message.objects.get(kind="receipt_rejected")
    mail = notifications.render(message)
    assert mail.to == [transfer.payment.order.email]
    assert "On n’y voit pas de virement. C’est une facture." in str(mail.body)
    assert str(message.context["url"]) in str(mail.body)


def test_where_a_transfer_goes_is_written_to_who_ordered_once() -> None:
    transfer = expected()
    for _time in range(2):
        jobs.work_off(NOW)
    message = Message.objects.get(kind="transfer_asked")
    mail = notifications.render(message)
    assert mail.to == [transfer.payment.order.email]
    for said in (references.grouped(transfer.told["iban"]), references.grouped(transfer.reference), "58,80"):
        assert said in str(mail.body).replace("\N{NO-BREAK SPACE}", " ")
