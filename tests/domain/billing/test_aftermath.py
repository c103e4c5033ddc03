"""What happens to money after it came in: given back elsewhere, contested, taken back, won back; each counts once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from procrastinate.contrib.django.models import ProcrastinateJob

from parcelle.core.models import Fact
from parcelle.core.money import Money
from parcelle.domain.billing import parked, payments, refunds
from parcelle.domain.billing.errors import ParkedRefused, RefundRefused
from parcelle.domain.billing.gateways.base import ChargedBack, Declined, DisputeFee, Outcome, Paid, RefundOutcome
from parcelle.domain.billing.gateways.fake import FakeGateway
from parcelle.domain.billing.ledger import accounts, audit
from parcelle.domain.billing.models import LedgerEntry, LedgerTransaction, Payment, Refund
from tests.domain.billing.selling import LATER, attempt, click, look, open_shop, order
from tests.people import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]
WHOLE = Money(5880, "EUR")
TAKEN = ChargedBack(amount=WHOLE, dispute="PP-D-1")
WON = Paid(received=WHOLE, won=True)


@pytest.fixture
def paid() -> Payment:
    payment = attempt(order(open_shop()))
    click(payment, "approved")
    return look(payment)


def told(payment: Payment, *outcomes: Outcome) -> Payment:
    for outcome in outcomes:
        payments.record(payment.pk, outcome, now=LATER)
    payment.refresh_from_db()
    return payment


def given_back(minor: int, currency: str = "EUR") -> Paid:
    return Paid(received=WHOLE, returned=Money(minor, currency))


def facts(name: str) -> list[dict[str, object]]:
    return [fact.data for fact in Fact.objects.filter(name=name).order_by("id")]


def test_money_given_back_elsewhere_is_in_our_books_once(paid: Payment) -> None:
    assert told(paid, given_back(1000), given_back(1000)).state == "partly_refunded"
    assert paid.refunded_minor == 1000
    refund = Refund.objects.get()
    assert (refund.state, refund.amount_minor, refund.actor) == ("done", 1000, "gateway:fake")
    assert told(paid, given_back(5880)).state == "refunded"
    assert [fact["amount_minor"] for fact in facts("PaymentRefunded")] == [1000, 4880]


def test_p06_older_news_and_other_currencies_give_nothing_back(paid: Payment) -> None:
    told(paid, given_back(2000), given_back(1000), given_back(0), given_back(5000, "USD"))
    assert (paid.refunded_minor, Refund.objects.count()) == (2000, 1)
    assert told(paid, given_back(9999)).refunded_minor == 5880


def test_what_we_gave_back_ourselves_is_not_counted_again(paid: Payment) -> None:
    ours = refunds.request(paid.pk, amount=Money(1000, "EUR"), reason="goodwill", actor="operator", now=NOW)
    # The service tells of it before its own answer is written down.
    told(paid, given_back(1000))
    refunds.carry_out(ours.pk, now=LATER)
    told(paid, given_back(1000))
    assert (paid.state, paid.refunded_minor, Refund.objects.count()) == ("partly_refunded", 1000, 1)


def test_a_dispute_is_shown_until_it_is_decided(paid: Payment) -> None:
    contested = Paid(received=WHOLE, disputed=True)
    assert told(paid, contested, contested).disputed
    assert paid.state == "paid"
    assert len(facts("PaymentDisputed")) == 1
    assert not told(paid, Paid(received=WHOLE)).disputed


def test_p13_a_lost_dispute_takes_the_money_once_and_a_won_one_brings_it_back_once(paid: Payment) -> None:
    assert told(paid, TAKEN, TAKEN).state == "charged_back"
    assert (paid.charged_back_minor, paid.reason) == (5880, "dispute")
    assert [(fact["amount_minor"], fact["code"]) for fact in facts("PaymentChargedBack")] == [(5880, "dispute")]
    assert told(paid, WON, WON).state == "paid"
    assert [fact["amount_minor"] for fact in facts("ChargebackWon")] == [5880]
    assert told(paid, ChargedBack(amount=WHOLE, dispute="PP-D-2")).state == "charged_back"
    booked = LedgerTransaction.objects.filter(key__startswith="chargeback").order_by("pk")
    assert [one.key.rpartition(":")[2] for one in booked] == ["PP-D-1", "PP-D-1", "PP-D-2"]


def test_a_fee_for_a_dispute_that_is_given_back_is_booked_back(paid: Payment) -> None:
    kept = [DisputeFee(dispute="PP-D-1", amount=Money(minor, "EUR")) for minor in (2000, 2000, 0, 0)]
    for fee, expected in zip(kept, (2000, 2000, 0, 0), strict=True):
        told(paid, Paid(received=WHOLE, disputed=True, dispute_fee=fee))
        booked = LedgerEntry.objects.filter(account=accounts.FEES, transaction__key__startswith="dispute-fee:")
        assert paid.dispute_fee_minor == sum(entry.amount_minor for entry in booked) == expected
    assert audit.differences() == []


def test_p13_old_news_does_not_bring_charged_back_money_back(paid: Payment) -> None:
    assert told(paid, TAKEN, Paid(received=WHOLE), Declined(code="declined")).state == "charged_back"
    with pytest.raises(RefundRefused, match="not_paid"):
        refunds.request(paid.pk, amount=Money(1, "EUR"), reason="goodwill", actor="operator", now=NOW)


def test_part_of_it_was_given_back_before_the_rest_is_taken(paid: Payment) -> None:
    told(paid, given_back(1000), ChargedBack(amount=Money(4880, "EUR"), dispute="PP-R-1", code="reversal"))
    assert (paid.state, paid.charged_back_minor, paid.reason) == ("charged_back", 4880, "reversal")


def test_what_was_given_back_cannot_be_taken_back(paid: Payment) -> None:
    assert told(paid, given_back(5880), TAKEN).state == "refunded"


def test_money_that_came_and_went_unseen_gives_nothing(paid: Payment) -> None:
    unseen = attempt(order(open_shop(plan=paid.order.plan, currency="GBP")))
    taken = ChargedBack(amount=Money(5880, "GBP"), dispute="PP-D-3")
    assert told(unseen, taken, taken).state == "parked"
    assert [fact["code"] for fact in facts("PaymentParked")] == ["charged_back"]
    assert (unseen.held, audit.differences()) == (Money(0, "GBP"), [])
    why: dict[str, Any] = {"reason": "gone", "actor": "user:1", "now": LATER}
    with pytest.raises(ParkedRefused, match="nothing_held"):
        parked.accept(unseen.pk, for_order=True, **why)
    parked.give_back(unseen.pk, by_hand=False, **why)
    assert (told(unseen).state, Refund.objects.count(), audit.differences()) == ("refunded", 0, [])
    assert (
        told(attempt(order(open_shop(plan=paid.order.plan, currency="USD"))), Declined(code="declined"), TAKEN).state
        == "declined"
    )


def test_what_is_left_of_money_that_went_in_part_unseen_is_decided_by_a_human() -> None:
    payment = attempt(order(open_shop()))
    told(payment, ChargedBack(amount=Money(2000, "EUR"), dispute="PP-D-4", received=WHOLE))
    assert (payment.state, payment.held) == ("parked", Money(3880, "EUR"))
    parked.accept(payment.pk, for_order=False, reason="kept", actor="user:1", now=LATER)
    assert (told(payment).state, payment.received, audit.differences()) == ("paid", Money(3880, "EUR"), [])
    assert at_the_service() == 3880


def test_a_dispute_about_what_was_paid_out_by_hand_is_in_the_books(paid: Payment) -> None:
    refunds.request(paid.pk, amount=WHOLE, reason="goodwill", actor="operator", now=NOW, by_hand=True)
    assert told(paid, TAKEN, TAKEN).state == "refunded"
    assert (at_the_service(), len(facts("PaymentChargedBack"))) == (0, 1)
    told(paid, WON, WON)
    assert (at_the_service(), len(facts("ChargebackWon"))) == (5880, 1)


def test_what_was_paid_out_by_hand_the_service_knows_nothing_of(paid: Payment) -> None:
    refunds.request(paid.pk, amount=Money(1000, "EUR"), reason="goodwill", actor="operator", now=NOW, by_hand=True)
    assert told(paid, given_back(2000)).refunded_minor == 3000
    assert at_the_service() == 3880
    # More than came in is never given back, whoever gives it.
    assert told(paid, given_back(5880)).refunded_minor == 5880


def test_what_stood_in_the_way_of_a_refund_is_looked_at(paid: Payment) -> None:
    ours = refunds.request(paid.pk, amount=WHOLE, reason="goodwill", actor="operator", now=NOW)
    # Somebody gave it back on the service's pages; its message came while ours was on its way.
    told(paid, given_back(5880))
    refunds.record(ours.pk, RefundOutcome(state="failed", remark="already refunded"), now=LATER)
    assert told(paid).refunded_minor == 0
    assert ProcrastinateJob.objects.filter(task_name="billing.look", args={"payment_id": str(paid.pk)}).count() == 1
    assert told(paid, given_back(5880)).state == "refunded"


def at_the_service() -> int:
    rows = LedgerEntry.objects.filter(account=accounts.rail("fake"))
    return sum(rows.values_list("amount_minor", flat=True))


def test_a_slow_refund_is_asked_after_less_and_less_often(paid: Payment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeGateway, "refund", lambda *_arguments: RefundOutcome(state="pending"))
    refund = refunds.request(paid.pk, amount=Money(1000, "EUR"), reason="goodwill", actor="operator", now=NOW)
    now, asked = NOW, []
    for _time in range(14):
        refunds.carry_out(refund.pk, now=now)
        refund.refresh_from_db()
        assert refund.look_at is not None
        assert not list(refunds.unsettled(refund.look_at - timedelta(seconds=1)))
        assert list(refunds.unsettled(refund.look_at)) == [refund.pk]
        asked.append(refund.look_at - now)
        now = refund.look_at
    assert asked == sorted(asked)
    assert asked[-1] == refunds.LEAST_OFTEN
