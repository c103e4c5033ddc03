"""Two workers at the same subscription at the same moment, with controls that show what the locks are for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from parcelle.core.models import Fact
from parcelle.core.money import Money
from parcelle.domain.billing import automatic, dunning, ledger, renewals, subscriptions, trials
from parcelle.domain.billing.ledger import postings
from parcelle.domain.billing.ledger import queries as books
from parcelle.domain.billing.models import DunningStep, LedgerTransaction, Order, Payment, SavedMethod, Subscription
from parcelle.journeys import renewal
from tests.domain.billing.subscribing import DAY, START, asked, pay, run, shop, subscribe
from tests.people import Cast
from tests.together import at_once, meeting

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("test_blueprints")]


def due(subscription: Subscription) -> datetime:
    assert subscription.period_end is not None
    return subscription.period_end


def due_of(order: Order) -> datetime:
    assert order.due_at is not None
    return order.due_at


def order_without_lock(order_id: UUID) -> Order:
    return Order.objects.select_related("price__plan").get(pk=order_id)


def unlocked(subscription_id: UUID) -> Subscription:
    return Subscription.objects.select_related("plan__product", "price", "next_price", "organization").get(
        pk=subscription_id
    )


def test_p21_ten_workers_ask_for_one_period() -> None:
    subscription = subscribe(shop().bronze)
    at_once([partial(renewals.renew, subscription.pk, now=START + 22 * DAY)] * 10).all()
    assert subscription.orders.filter(kind=Order.RENEWAL).count() == 1
    assert Fact.objects.filter(name="RenewalAsked").count() == 1


def test_p21_ten_workers_ask_for_many_periods() -> None:
    sold = shop()
    made = [subscribe(sold.bronze).pk for _ in range(4)]
    outcomes = at_once([partial(renewal.ask, made, now=START + 22 * DAY)] * 10).all()
    assert sum(outcome["done"] for outcome in outcomes) == 4
    assert Order.objects.filter(kind=Order.RENEWAL).count() == Fact.objects.filter(name="RenewalAsked").count() == 4


def test_control_p21_without_the_lock_the_index_has_to_stop_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    subscription = subscribe(shop().bronze)
    monkeypatch.setattr(renewals, "lock", meeting(unlocked))
    outcome = at_once([partial(renewals.renew, subscription.pk, now=START + 22 * DAY)] * 2)
    assert [type(error).__name__ for error in outcome.errors] == ["IntegrityError"]
    assert subscription.orders.filter(kind=Order.RENEWAL).count() == 1


def test_p24_ten_workers_remind_once() -> None:
    subscription = subscribe(shop().bronze)
    run(due(subscription) - 7 * DAY)
    order = asked(subscription)
    assert order is not None
    at_once([partial(dunning.step, order.pk, now=due(subscription) + 2 * DAY)] * 10).all()
    assert DunningStep.objects.filter(order=order, sent=True).count() == 2
    assert Fact.objects.filter(name="RenewalReminderDue").count() == 2


def test_control_p24_without_the_locks_the_index_has_to_stop_the_second_reminder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subscription = subscribe(shop().bronze)
    run(due(subscription) - 7 * DAY)
    order = asked(subscription)
    assert order is not None
    monkeypatch.setattr(dunning, "_lock_order", order_without_lock)
    monkeypatch.setattr(dunning, "lock", unlocked)
    monkeypatch.setattr(dunning, "_not_noted", meeting(dunning._not_noted))
    outcome = at_once([partial(dunning.step, order.pk, now=due(subscription) - 3 * DAY)] * 2)
    assert [type(error).__name__ for error in outcome.errors] == ["IntegrityError"]
    assert Fact.objects.filter(name="RenewalReminderDue").count() == 2


def renewal_to_charge() -> Order:
    """The open renewal of a customer who agreed to have it taken."""
    subscription = subscribe(shop().bronze)
    SavedMethod.objects.create(
        organization=subscription.organization,
        payment=Payment.objects.get(),
        gateway="fake",
        reference={"charge": "x"},
        label="4242",
        agreed_at=START,
    )
    run(due(subscription) - 7 * DAY)
    order = asked(subscription)
    assert order is not None
    return order


def test_p10_ten_workers_begin_one_automatic_payment() -> None:
    order = renewal_to_charge()
    begun = at_once([partial(automatic.begin, order.pk, now=due_of(order))] * 10).all()
    assert len([one for one in begun if one is not None]) == order.payments.count() == 1


def test_control_p10_without_the_locks_two_workers_would_carry_out_one_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its key, which follows from the day, has to hold then: both would hand over the same attempt."""
    order = renewal_to_charge()
    monkeypatch.setattr(automatic, "_lock_order", meeting(order_without_lock))
    monkeypatch.setattr(automatic, "lock", unlocked)
    begun = at_once([partial(automatic.begin, order.pk, now=due_of(order))] * 2).all()
    assert begun == [order.payments.get().pk] * 2


def test_p08_a_paid_renewal_is_given_once() -> None:
    subscription = subscribe(shop().bronze)
    run(due(subscription) - 7 * DAY)
    order = asked(subscription)
    assert order is not None
    pay(order, now=due(subscription) - DAY)
    done = at_once([partial(renewals.fulfil, order.pk, now=due(subscription) - DAY)] * 10).all()
    assert sorted(done) == [False] * 9 + [True]
    assert Fact.objects.filter(name="SubscriptionRenewed").count() == 1


def test_leaving_while_the_period_is_asked_for_leaves_nothing_to_pay() -> None:
    """What was asked for is given up by who cancels, or is not asked for any more: never both."""
    subscription = subscribe(shop().bronze)
    now = START + 22 * DAY
    leave: Callable[[], object] = partial(
        subscriptions.cancel, subscription.pk, at_once=False, reason="", actor="customer", now=now
    )
    renew: Callable[[], object] = partial(renewals.renew, subscription.pk, now=now)
    at_once([renew, leave])
    after = Subscription.objects.get(pk=subscription.pk)
    assert after.cancel_at == after.period_end and after.renews_at is None


def two_of_one_customer() -> list[Subscription]:
    sold = shop()
    first = subscribe(sold.bronze)
    second = subscribe(sold.silver)
    Subscription.objects.filter(pk=second.pk).update(organization=first.organization)
    Order.objects.filter(subscription=second).update(organization=first.organization)
    ledger.keep_as_credit(
        organization_id=first.organization_id, amount=Money(7200, "EUR"), key="gift", reference="g", now=START
    )
    return [first, second]


def test_p05_credit_is_used_once_by_two_subscriptions_at_once() -> None:
    both = two_of_one_customer()
    at_once([partial(renewals.renew, one.pk, now=START + 22 * DAY) for one in both]).all()
    used = sum(Order.objects.filter(kind=Order.RENEWAL).values_list("credit_minor", flat=True))
    left = books.credit(both[0].organization_id).get("EUR", Money(0, "EUR")).minor
    assert used + left == 7200 and left >= 0


def test_control_p05_without_the_lock_credit_is_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    both = two_of_one_customer()
    together, post = meeting(lambda: None), postings.post

    def post_together(**named: Any) -> bool:
        if named["kind"] == LedgerTransaction.CREDIT_APPLIED:
            together()
        return post(**named)

    monkeypatch.setattr(postings, "_one_at_a_time", lambda _party: None)
    monkeypatch.setattr(postings, "post", post_together)
    at_once([partial(renewals.renew, one.pk, now=START + 22 * DAY) for one in both]).all()
    used = sum(Order.objects.filter(kind=Order.RENEWAL).values_list("credit_minor", flat=True))
    assert used > 7200


def test_p25_paying_and_the_end_of_a_trial_at_the_same_second_leave_one_paid_subscription(cast: Cast) -> None:
    """Whoever is first: what was suspended a moment ago is taken up again, and what is paid does not end."""
    price, organization = shop().bronze, cast.organization
    trial = trials.start(organization=organization, plan=price.plan, now=START, actor="visitor")
    assert trial.trial_ends_at is not None
    ends = trial.trial_ends_at

    def pay_now() -> bool:
        subscriptions.activate(organization=organization, plan=price.plan, price=price, now=ends)
        return True

    over = [partial(trials.end, trial.pk, now=ends)] * 4
    acts: list[Callable[[], bool]] = [*over, pay_now, *over]
    at_once(acts).all()
    trial.refresh_from_db()
    assert (trial.state, trial.suspended_at, trial.price) == ("active", None, price)
    assert Fact.objects.filter(name="TrialEnded").count() <= 1
