"""A bank takes a payment back: the subscription is behind at once, and settled by paying again or by winning."""

from __future__ import annotations

from datetime import datetime

import pytest

from parcelle.core.money import Money
from parcelle.domain.billing import invoicing, ledger, payments, recoveries, refunds, renewals
from parcelle.domain.billing.gateways.base import ChargedBack, Declined, Paid, RefundOutcome
from parcelle.domain.billing.invoicing import queries as documents
from parcelle.domain.billing.ledger import audit
from parcelle.domain.billing.ledger import queries as books
from parcelle.domain.billing.models import Invoice, Order, Payment, Subscription
from parcelle.domain.catalog.models import Coupon
from parcelle.domain.notifications.models import Message
from tests.domain.billing.subscribing import (
    DAY,
    START,
    arrive,
    asked,
    begin,
    days,
    pay,
    pay_and_have,
    run,
    shop,
    subscribe,
    tick,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]

DISPUTED = START + 5 * DAY


@pytest.fixture
def subscription() -> Subscription:
    return subscribe(shop().bronze)


def take_back(subscription: Subscription, now: datetime = DISPUTED) -> Payment:
    payment = Payment.objects.get(order__subscription=subscription, order__kind=Order.NEW)
    payments.record(payment.pk, ChargedBack(amount=payment.amount, dispute="case-1"), now=now)
    payment.refresh_from_db()
    return payment


def state(subscription: Subscription) -> str:
    return Subscription.objects.get(pk=subscription.pk).state


def debt(subscription: Subscription) -> Order:
    return subscription.orders.get(kind=Order.RECOVERY)


def told() -> list[str]:
    kinds = Message.objects.exclude(kind__in=("billing_details", "order_paid")).order_by("created_at", "pk")
    return list(kinds.values_list("kind", flat=True))


def test_p24_it_is_behind_at_once_reminded_suspended_and_back_when_it_is_paid(subscription: Subscription) -> None:
    take_back(subscription)
    tick([DISPUTED])
    assert state(subscription) == "past_due" and debt(subscription).total_minor == 3600
    assert told() == ["charged_back"]
    tick(days(DISPUTED, *range(1, 9)))
    assert state(subscription) == "suspended"
    assert told() == ["charged_back"] * 4 + ["subscription_suspended"]
    paid = DISPUTED + 10 * DAY
    pay(debt(subscription), now=paid)
    tick([paid])
    after = Subscription.objects.get(pk=subscription.pk)
    assert after.state == "active" and told()[-1] == "debt_settled"
    # What was left when it was suspended.
    assert subscription.period_end is not None
    assert after.period_end == paid + (subscription.period_end - (DISPUTED + 7 * DAY))


def test_p05_what_is_paid_again_is_not_invoiced_again(subscription: Subscription) -> None:
    invoicing.draft_for_order(subscription.orders.get().pk, now=START)
    recoveries.ask(take_back(subscription).pk, now=DISPUTED)
    pay_and_have(debt(subscription), now=DISPUTED + DAY)
    assert invoicing.draft_for_order(debt(subscription).pk, now=DISPUTED + DAY) is None
    assert Invoice.objects.count() == 1 and audit.differences() == []


@pytest.mark.parametrize("share", [3600, 1000])
def test_p05_what_is_paid_again_and_given_back_is_credited_on_the_invoice(
    subscription: Subscription, share: int
) -> None:
    owner = subscription.organization_id
    invoice = invoicing.draft_for_order(subscription.orders.get().pk, now=START)
    assert invoice is not None
    recoveries.ask(take_back(subscription).pk, now=DISPUTED)
    pay_and_have(debt(subscription), now=DISPUTED + DAY)
    recoveries.note_on_invoice(debt(subscription).pk)
    before = books.balances(owner)["EUR"].minor
    again = debt(subscription).payments.get(state="paid")
    refund = refunds.request(
        again.pk, amount=Money(share, "EUR"), reason="x", actor="x", now=DISPUTED + 2 * DAY, by_hand=True
    )
    notes = [invoicing.credit_for_refund(refund.pk, now=DISPUTED + 2 * DAY) for _time in range(2)]
    assert notes[0] is not None and notes[0] == notes[1]
    assert (notes[0].corrects, notes[0].total_minor) == (invoice, share)
    assert books.balances(owner)["EUR"].minor - before == share
    invoice.balance.refresh_from_db()
    assert (invoice.balance.credited_minor, invoice.balance.taken_back_minor) == (share, 0)
    assert audit.differences() == []


def test_what_is_paid_again_uses_no_coupon() -> None:
    coupon = Coupon.objects.create(code="TEN", percent=10, payments=2)
    subscription = subscribe(shop().bronze, coupon=coupon)
    recoveries.ask(take_back(subscription).pk, now=DISPUTED)
    pay_and_have(debt(subscription), now=DISPUTED + DAY)
    assert (debt(subscription).coupon, debt(subscription).total_minor) == (None, 3240)
    assert renewals.coupon_uses().filter(coupon=coupon).count() == 1
    assert subscription.period_end is not None
    run(subscription.period_end - 7 * DAY)
    assert (order := asked(subscription)) is not None and order.coupon == coupon


def test_what_is_won_back_settles_it(subscription: Subscription) -> None:
    payment = take_back(subscription)
    tick([DISPUTED])
    payments.record(payment.pk, Paid(received=payment.amount, won=True), now=DISPUTED + DAY / 2)
    tick([DISPUTED + DAY / 2])
    assert (state(subscription), debt(subscription).state) == ("active", "expired")
    assert told() == ["charged_back", "debt_settled"]


def test_p05_p13_what_was_won_back_and_is_lost_again_in_the_same_case_is_owed_again(subscription: Subscription) -> None:
    owner = subscription.organization_id
    paid = books.balances(owner)["EUR"].minor
    payment = take_back(subscription)
    for turn in range(3):
        now = DISPUTED + turn * 4 * DAY
        if turn:
            take_back(subscription, now=now)
        tick([now])
        assert (state(subscription), books.balances(owner)["EUR"].minor) == ("past_due", paid + 3600)
        assert subscription.orders.get(kind=Order.RECOVERY, state="open").total_minor == 3600
        payments.record(payment.pk, Paid(received=payment.amount, won=True), now=now + DAY)
        tick([now + DAY])
        assert (state(subscription), books.balances(owner)["EUR"].minor) == ("active", paid)
    assert [order.state for order in subscription.orders.filter(kind=Order.RECOVERY)] == ["expired"] * 3


def test_what_is_won_back_after_it_was_paid_again_is_credit(subscription: Subscription) -> None:
    payment = take_back(subscription)
    recoveries.ask(payment.pk, now=DISPUTED)
    pay_and_have(debt(subscription), now=DISPUTED + DAY)
    payments.record(payment.pk, Paid(received=payment.amount, won=True), now=DISPUTED + 2 * DAY)
    assert recoveries.win(payment.pk, now=DISPUTED + 2 * DAY)
    assert not recoveries.win(payment.pk, now=DISPUTED + 2 * DAY)
    assert books.credit(subscription.organization_id)["EUR"].minor == 3600


def test_its_invoice_is_overdue_until_it_is_paid_again(subscription: Subscription) -> None:
    invoice = invoicing.draft_for_order(subscription.orders.get().pk, now=START)
    assert invoice is not None
    assert standing(invoice) == ("paid", 0)
    take_back(subscription)
    tick([DISPUTED])
    assert standing(invoice) == ("overdue", 3600)
    pay(debt(subscription), now=DISPUTED + DAY)
    tick([DISPUTED + DAY])
    assert standing(invoice) == ("paid", 0)


def test_its_invoice_is_paid_again_when_it_is_won_back(subscription: Subscription) -> None:
    invoice = invoicing.draft_for_order(subscription.orders.get().pk, now=START)
    assert invoice is not None
    payment = take_back(subscription)
    tick([DISPUTED])
    payments.record(payment.pk, Paid(received=payment.amount, won=True), now=DISPUTED + DAY)
    tick([DISPUTED + DAY])
    assert standing(invoice) == ("paid", 0)


@pytest.mark.parametrize("paid", [True, False])
def test_won_back_while_it_was_being_paid_again(subscription: Subscription, paid: bool) -> None:
    payment = take_back(subscription)
    tick([DISPUTED])
    again = begin(debt(subscription), now=DISPUTED + DAY)
    payments.record(payment.pk, Paid(received=payment.amount, won=True), now=DISPUTED + 2 * DAY)
    tick([DISPUTED + 2 * DAY])
    assert state(subscription) == "past_due"
    if paid:
        arrive(again, now=DISPUTED + 3 * DAY)
    else:
        payments.record(again.pk, Declined(code="declined"), now=DISPUTED + 3 * DAY)
    tick([DISPUTED + 3 * DAY])
    assert state(subscription) == "active"
    assert debt(subscription).state == ("fulfilled" if paid else "expired")
    # Nothing is left on what they owe, and what came twice is theirs to use.
    assert books.credit(subscription.organization_id).get("EUR", Money(0, "EUR")).minor == (3600 if paid else 0)
    assert audit.differences() == []


def standing(invoice: Invoice) -> tuple[str, int]:
    fresh = Invoice.objects.select_related("balance").get(pk=invoice.pk)
    fresh.state = Invoice.FINALISED
    return documents.standing(fresh, today=START.date()), documents.left_to_pay(fresh).minor


def test_credit_pays_it_at_once(subscription: Subscription) -> None:
    ledger.keep_as_credit(
        organization_id=subscription.organization_id, amount=Money(5000, "EUR"), key="g", reference="g", now=START
    )
    recoveries.ask(take_back(subscription).pk, now=DISPUTED)
    assert (debt(subscription).state, state(subscription)) == ("fulfilled", "active")


def test_a_plan_may_suspend_at_once(subscription: Subscription) -> None:
    subscription.plan.dunning = {"grace_charge_back": 0}
    subscription.plan.save()
    take_back(subscription)
    tick([DISPUTED])
    assert state(subscription) == "suspended"


def test_once_for_each_dispute(subscription: Subscription) -> None:
    payment = take_back(subscription)
    assert recoveries.ask(payment.pk, now=DISPUTED) is not None
    assert recoveries.ask(payment.pk, now=DISPUTED) is None
    assert renewals.offer(subscription.pk, now=DISPUTED) == debt(subscription)


@pytest.mark.parametrize("first", ["invoice", "refund"])
def test_p05_a_refund_that_comes_back_is_credited_once_and_is_their_credit(
    subscription: Subscription, first: str
) -> None:
    order = subscription.orders.get()
    payment = order.payments.get()
    if first == "invoice":
        tick([START])
        assert invoicing.draft_for_order(order.pk, now=START) is not None
    refund = refunds.request(payment.pk, amount=Money(1200, "EUR"), reason="goodwill", actor="operator", now=START)
    refunds.record(refund.pk, RefundOutcome(state="done"), now=START)
    refunds.record(refund.pk, RefundOutcome(state="failed", remark="account closed"), now=START + DAY)
    if first == "refund":
        invoicing.draft_for_order(order.pk, now=START + DAY)
        for refund_id in refunds.done_of(order.pk):
            invoicing.credit_for_refund(refund_id, now=START + DAY)
    tick([START + DAY])
    assert [note.total_minor for note in Invoice.objects.filter(kind="credit_note")] == [1200]
    assert books.credit(subscription.organization_id)["EUR"].minor == 1200
    assert audit.differences() == []


def test_p05_a_refund_that_fails_leaves_nothing_behind(subscription: Subscription) -> None:
    payment = subscription.orders.get().payments.get()
    tick([START])
    refund = refunds.request(payment.pk, amount=Money(1200, "EUR"), reason="goodwill", actor="operator", now=START)
    refunds.record(refund.pk, RefundOutcome(state="pending", provider_id="r-1"), now=START)
    refunds.record(refund.pk, RefundOutcome(state="failed", remark="no"), now=START)
    tick([START])
    payment.refresh_from_db()
    assert (payment.state, payment.refunded_minor) == ("paid", 0)
    assert not Invoice.objects.filter(kind="credit_note").exists()
    assert audit.differences() == []
