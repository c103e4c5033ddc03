"""Who pays by transfer is told where to, and that a receipt proved nothing, with the way to send another."""

from __future__ import annotations

import pytest

from parcelle.domain.billing import receipts, references, transfer_states, transfers
from parcelle.domain.notifications import actions as notifications
from parcelle.domain.notifications.models import Message
from tests import jobs
from tests.domain.billing.transferring import BEN, again, confirm, expected, picture
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


def test_what_is_missing_is_written_once_per_sum_that_arrived() -> None:
    transfer = expected(second_person_from="EUR 1000")
    confirm(transfer, "30.00")
    for _time in range(2):
        jobs.work_off(NOW)
    message = Message.objects.get(kind="transfer_partial")
    body = str(notifications.render(message).body).replace("\N{NO-BREAK SPACE}", " ")
    for said in ("30,00", "28,80", references.grouped(transfer.told["iban"]), references.grouped(transfer.reference)):
        assert said in body
    # Of this what is missing is less than what banks may keep.
    confirm(transfer, "28.00", "B-2")
    jobs.work_off(NOW)
    assert again(transfer).state == transfer_states.PARTIAL
    assert Message.objects.filter(kind="transfer_partial").count() == 1


def test_what_two_people_have_to_see_is_told_when_both_did() -> None:
    transfer = expected(second_person_from="EUR 20")
    first = confirm(transfer, "30.00")
    jobs.work_off(NOW)
    assert not Message.objects.filter(kind="transfer_partial").exists()
    transfers.approve(first.pk, person=BEN, actor="user:b", now=NOW)
    jobs.work_off(NOW)
    assert Message.objects.filter(kind="transfer_partial").count() == 1


def test_where_a_transfer_goes_is_written_to_who_ordered_once() -> None:
    transfer = expected()
    for _time in range(2):
        jobs.work_off(NOW)
    message = Message.objects.get(kind="transfer_asked")
    mail = notifications.render(message)
    assert mail.to == [transfer.payment.order.email]
    for said in (references.grouped(transfer.told["iban"]), references.grouped(transfer.reference), "58,80"):
        assert said in str(mail.body).replace("\N{NO-BREAK SPACE}", " ")
