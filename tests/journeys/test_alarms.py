"""What the vendor is written about: their own account stands in the way of customers who want to pay."""

from __future__ import annotations

import uuid

import pytest

from parcelle.domain.billing import payments
from parcelle.domain.billing.gateways.base import Declined
from parcelle.domain.billing.models import Seller
from parcelle.domain.notifications import actions
from parcelle.domain.notifications.models import Message
from tests import jobs
from tests.domain.billing.selling import LATER, attempt, open_shop, order

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]


def test_a_service_that_refuses_because_of_our_account_is_told_to_the_vendor_once_a_day() -> None:
    Seller.objects.create(email="books@vendor.example")
    price = open_shop()
    for code in ("seller_setup", "not_enough_funds", "seller_setup"):
        payment = attempt(order(price, request_id=uuid.uuid4()))
        payments.record(payment.pk, Declined(code=code, remark="403 PERMISSION_DENIED"), now=LATER)
    jobs.work_off(LATER)
    message = Message.objects.get(kind="payment_setup")
    assert message.to == "books@vendor.example"
    mail = actions.render(message)
    for part in (str(mail.body), str(mail.alternatives[0][0])):
        assert "403 PERMISSION_DENIED" in part
        assert "/admin/billing/payment/" in part
    assert "refusés" in str(mail.subject)
