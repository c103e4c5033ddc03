"""P6: what is given back never exceeds what came in, also when two people give back at once."""

from __future__ import annotations

from functools import partial

import pytest

from parcelle.core.models import Fact
from parcelle.core.money import Money
from parcelle.domain.billing import payments, refunds
from parcelle.domain.billing.errors import RefundRefused
from parcelle.domain.billing.gateways.base import GatewayError, Paid, RefundOutcome
from parcelle.domain.billing.gateways.fake import FakeGateway
from parcelle.domain.billing.models import FakeCharge, Payment, Refund
from tests import jobs
from tests.domain.billing.selling import LATER, attempt, click, look, open_shop, order
from tests.people import NOW
from tests.together import at_once, meeting

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]
FULL = Paid(received=Money(5880, "EUR"))


def paid() -> Payment:
    payment = attempt(order(open_shop()))
    click(payment, "approved")
    return look(payment)


def ask(payment: Payment, minor: int, *, by_hand: bool = False) -> Refund:
    return refunds.request(
        payment.pk, amount=Money(minor, "EUR"), reason="goodwill", actor="operator", now=NOW, by_hand=by_hand
    )


def give(payment: Payment, minor: int) -> Refund:
    refund = ask(payment, minor)
    refunds.carry_out(refund.pk, now=LATER)
    refund.refresh_from_db()
    payment.refresh_from_db()
    return refund


def test_in_parts_and_then_the_rest() -> None:
    payment = paid()
    assert (give(payment, 880).state, payment.state) == ("done", "partly_refunded")
    assert (give(payment, 5000).state, payment.state) == ("done", "refunded")
    assert Fact.objects.filter(name="PaymentRefunded").count() == 2


@pytest.mark.parametrize("minor", [0, -1, 5881])
def test_p06_never_more_than_came_in(minor: int) -> None:
    with pytest.raises(RefundRefused, match="too_much"):
        ask(paid(), minor)


def test_nothing_came_in() -> None:
    with pytest.raises(RefundRefused, match="not_paid"):
        ask(attempt(order(open_shop())), 1)


def test_carrying_out_twice_gives_back_once() -> None:
    payment = paid()
    refund = give(payment, 1000)
    refunds.carry_out(refund.pk, now=LATER)
    assert Fact.objects.filter(name="PaymentRefunded").count() == 1


def test_a_refund_by_hand_is_in_the_books_at_once() -> None:
    payment = paid()
    assert ask(payment, 5880, by_hand=True).state == "done"
    payment.refresh_from_db()
    assert payment.state == "refunded"


def test_a_failed_refund_frees_its_amount(monkeypatch: pytest.MonkeyPatch) -> None:
    payment = paid()
    with monkeypatch.context() as broken:
        broken.setattr(FakeGateway, "refund", lambda *_args: RefundOutcome(state="failed", remark="no"))
        assert give(payment, 5880).state == "failed"
    assert payment.refunded_minor == 0
    assert give(payment, 5880).state == "done"


def test_a_rail_that_is_away_frees_nothing_because_an_earlier_call_may_have_arrived(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    payment = paid()

    def away(*_arguments: object) -> RefundOutcome:
        raise GatewayError("cannot be reached", unknown=False)

    with monkeypatch.context() as outage:
        outage.setattr(FakeGateway, "refund", away)
        refund = give(payment, 1000)
    assert (refund.state, payment.refunded_minor) == ("unknown", 1000)
    refunds.carry_out(refund.pk, now=LATER)
    refund.refresh_from_db()
    assert refund.state == "done"


def test_a_refund_is_carried_out_by_a_job_of_its_own() -> None:
    refund = ask(paid(), 1000)
    jobs.work_off(LATER)
    refund.refresh_from_db()
    assert refund.state == "done"


def test_p10_a_lost_answer_is_asked_after_with_the_same_key(monkeypatch: pytest.MonkeyPatch) -> None:
    payment = paid()
    original = FakeGateway.refund

    def lost(gateway: FakeGateway, charge: object, asked: object) -> RefundOutcome:
        original(gateway, charge, asked)  # type: ignore[arg-type]
        raise GatewayError("no answer", unknown=True)

    with monkeypatch.context() as silent:
        silent.setattr(FakeGateway, "refund", lost)
        refund = give(payment, 1000)
    assert refund.state == "unknown"
    assert refund.look_at is not None
    assert list(refunds.unsettled(refund.look_at)) == [refund.pk]
    refunds.carry_out(refund.pk, now=LATER)
    refund.refresh_from_db()
    assert refund.state == "done"

    assert FakeCharge.objects.get().refunded_minor == 1000


@pytest.mark.django_db(transaction=True)
def test_p06_twenty_at_once_never_give_back_more() -> None:
    payment = paid()
    outcome = at_once([partial(ask, payment, 1000)] * 20)
    assert len(outcome.results) == 5
    assert {type(error) for error in outcome.errors} == {RefundRefused}


@pytest.mark.django_db(transaction=True)
def test_p06_control_without_the_lock_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    payment = paid()
    monkeypatch.setattr(refunds, "lock", meeting(lambda pk: Payment.objects.get(pk=pk), of=10))
    at_once([partial(ask, payment, 1000)] * 20)
    assert sum(Refund.objects.values_list("amount_minor", flat=True)) > 5880


def test_money_that_came_late_can_be_given_back() -> None:
    payment = attempt(order(open_shop()))
    Payment.objects.filter(pk=payment.pk).update(state="declined")
    payments.record(payment.pk, FULL, now=LATER)
    assert give(payment, 5880).state == "done"
