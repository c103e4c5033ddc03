"""Usage counters: one set per period, limits as sold, and never more than the limit however many add at once."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from parcelle.domain.billing import periods, subscriptions, trials, usage
from parcelle.domain.billing.errors import LimitReached
from parcelle.domain.billing.models import Subscription, UsageCounter
from parcelle.domain.catalog.models import Feature, Plan, PlanFeature
from parcelle.domain.tenancy.models import Organization
from tests import people
from tests.domain.billing import selling
from tests.people import NOW, Cast
from tests.together import at_once

pytestmark = pytest.mark.django_db


def offer(plan: Plan, **limits: int | None) -> Plan:
    for key, amount in limits.items():
        feature, _new = Feature.objects.get_or_create(
            product=plan.product, key=key, defaults={"name_fr": key, "name_en": key}
        )
        PlanFeature.objects.update_or_create(plan=plan, feature=feature, defaults={"counted": True, "amount": amount})
    return plan


def subscribed(organization: Organization, plan: Plan) -> Subscription:
    price = selling.open_shop(plan=plan)
    return subscriptions.activate(organization=organization, plan=plan, price=price, now=NOW)


@pytest.fixture
def subscription(cast: Cast) -> Subscription:
    return subscribed(cast.organization, offer(cast.plan, users=3, mails=None))


def used(subscription: Subscription) -> dict[str, tuple[int, int | None]]:
    return {counter.metric: (counter.used, counter.limit) for counter in usage.current(subscription)}


def test_a_paid_period_has_a_counter_for_everything_the_plan_counts(subscription: Subscription) -> None:
    assert used(subscription) == {"users": (0, 3), "mails": (0, None)}
    assert set(UsageCounter.objects.values_list("period_start", flat=True)) == {NOW}


def test_a_trial_has_counters_too(cast: Cast) -> None:
    trial = trials.start(organization=cast.organization, plan=offer(cast.plan, users=1), now=NOW, actor="test")
    assert used(trial) == {"users": (0, 1)}


def test_what_is_only_included_is_not_counted(cast: Cast) -> None:
    feature = Feature.objects.create(product=cast.plan.product, key="support", name_fr="Aide", name_en="Help")
    PlanFeature.objects.create(plan=cast.plan, feature=feature)
    assert used(subscribed(cast.organization, cast.plan)) == {}


def test_adding_stops_at_the_limit_and_counts_nothing_beyond_it(subscription: Subscription) -> None:
    usage.add(subscription, "users", 2, now=NOW)
    with pytest.raises(LimitReached) as refused:
        usage.add(subscription, "users", 2, now=NOW)
    assert refused.value.metric == "users"
    assert usage.left(subscription, "users") == 1
    usage.add(subscription, "users", 1, now=NOW)
    assert usage.left(subscription, "users") == 0
    assert usage.over_limit() == []


def test_what_is_unlimited_or_not_counted_is_free(subscription: Subscription) -> None:
    usage.add(subscription, "mails", 1_000_000, now=NOW)
    usage.add(subscription, "unheard-of", 5, now=NOW)
    assert used(subscription)["mails"] == (1_000_000, None)
    assert usage.left(subscription, "mails") is None
    assert usage.left(subscription, "unheard-of") is None


def test_a_measurement_may_be_over_the_limit_and_the_highest_is_kept(subscription: Subscription) -> None:
    usage.measure(subscription, "users", 5, now=NOW)
    assert usage.over_limit() == [subscription.pk]
    usage.measure(subscription, "users", 2, now=NOW + timedelta(hours=1))
    usage.measure(subscription, "users", 9, now=NOW)
    counter = UsageCounter.objects.get(metric="users")
    assert (counter.used, counter.most) == (2, 5)
    assert usage.over_limit() == []


def test_the_next_period_begins_at_zero_and_the_last_one_stays(subscription: Subscription) -> None:
    usage.add(subscription, "users", 3, now=NOW)
    following = periods.next_start(NOW, interval="month", anchor_day=periods.anchor_of(NOW))
    Subscription.objects.filter(pk=subscription.pk).update(period_start=following)
    subscription.refresh_from_db()
    assert used(subscription)["users"] == (0, 3)
    assert UsageCounter.objects.get(metric="users", period_start=NOW).used == 3


def test_opening_twice_keeps_what_was_used_and_brings_the_new_limit(subscription: Subscription) -> None:
    usage.add(subscription, "users", 2, now=NOW)
    offer(subscription.plan, users=10)
    assert used(subscription)["users"] == (2, 3)
    usage.open_period(subscription)
    assert used(subscription)["users"] == (2, 10)
    assert UsageCounter.objects.count() == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("test_blueprints")
def test_twenty_at_once_never_go_over_the_limit() -> None:
    cast = people.gather()
    subscription = subscribed(cast.organization, offer(cast.plan, users=7))
    outcome = at_once([partial(usage.add, subscription, "users", 1, now=NOW)] * 20)
    assert {type(error) for error in outcome.errors} == {LimitReached}
    assert (len(outcome.results), used(subscription)["users"]) == (7, (7, 7))


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("test_blueprints")
def test_ten_workers_open_a_period_once() -> None:
    cast = people.gather()
    subscription = subscribed(cast.organization, offer(cast.plan, users=7))
    UsageCounter.objects.all().delete()
    at_once([partial(usage.current, subscription)] * 10).all()
    assert UsageCounter.objects.count() == 1
