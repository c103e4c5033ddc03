from __future__ import annotations

from datetime import timedelta

import pytest

from parcelle.core.models import Fact
from parcelle.domain.billing import queries, states, trials
from parcelle.domain.billing.models import Subscription
from tests import people
from tests.people import NOW, Cast

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


@pytest.fixture
def trial(cast: Cast) -> Subscription:
    return trials.start(organization=cast.organization, plan=cast.plan, now=NOW, actor="visitor")


def test_a_trial_has_the_length_of_its_plan_and_leaves_a_fact(cast: Cast) -> None:
    plan = people.offer("short", trial_days=14)
    trial = trials.start(organization=cast.organization, plan=plan, now=NOW, actor="visitor")
    assert trial.trial_ends_at == NOW + 14 * DAY
    fact = Fact.objects.get(name="TrialStarted")
    assert fact.organization_id == cast.organization.pk and fact.data["subscription_id"] == str(trial.pk)


@pytest.mark.parametrize(
    ("passed", "left"),
    [
        (timedelta(), 30),
        (SECOND, 30),
        (DAY - SECOND, 30),
        (DAY, 29),
        (29 * DAY + SECOND, 1),
        (30 * DAY - SECOND, 1),
        (30 * DAY, 0),
        (99 * DAY, 0),
    ],
)
def test_days_left_count_begun_days_whole(trial: Subscription, passed: timedelta, left: int) -> None:
    assert queries.trial_days_left(trial, NOW + passed) == left


def test_who_pays_has_no_trial_days_left(trial: Subscription) -> None:
    trial.state = states.ACTIVE
    assert queries.trial_days_left(trial, NOW) == 0


@pytest.mark.parametrize(("state", "live"), [(s, s in states.LIVE) for s, _label in states.CHOICES])
def test_a_subscription_is_live_while_it_entitles_to_something(trial: Subscription, state: str, live: bool) -> None:
    Subscription.objects.update(state=state)
    assert (queries.live_subscription(trial.organization_id) is not None) is live
    assert (queries.past_trial(trial.organization_id, trial.plan) is not None) is not live


def test_a_trial_of_another_product_is_no_past_trial(trial: Subscription) -> None:
    Subscription.objects.update(state=states.ENDED)
    assert queries.past_trial(trial.organization_id, people.offer("other")) is None


def test_p25_ending_twice_is_ending_once(trial: Subscription) -> None:
    after = NOW + 30 * DAY
    assert [trials.end(trial.pk, now=after), trials.end(trial.pk, now=after)] == [True, False]
    assert Fact.objects.filter(name="TrialEnded").count() == 1


def test_p25_a_trial_that_was_paid_a_moment_ago_does_not_end(trial: Subscription) -> None:
    due = list(trials.to_end(NOW + 30 * DAY))
    Subscription.objects.update(state=states.ACTIVE)
    assert due == [trial.pk] and not trials.end(trial.pk, now=NOW + 30 * DAY)


def test_the_promise_of_a_retention_is_kept_to_the_second(trial: Subscription) -> None:
    trials.end(trial.pk, now=NOW + 30 * DAY)
    assert list(trials.to_archive(NOW + 60 * DAY - SECOND)) == []
    assert list(trials.to_archive(NOW + 60 * DAY)) == [trial.pk]


def test_who_came_back_is_not_archived(trial: Subscription) -> None:
    trials.end(trial.pk, now=NOW + 30 * DAY)
    Subscription.objects.update(state=states.ACTIVE)
    assert not trials.end_retention(trial.pk, now=NOW + 60 * DAY)
    assert list(trials.to_archive(NOW + 99 * DAY)) == []
