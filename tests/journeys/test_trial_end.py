from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.core import mail

from parcelle.core.models import Fact
from parcelle.domain.billing.models import Subscription
from parcelle.domain.notifications.models import Message
from parcelle.domain.provisioning import actions, states
from parcelle.domain.provisioning.models import Instance, Target
from parcelle.journeys import entitlement, trial_end
from tests import jobs, people
from tests.people import NOW, Cast

DAY = timedelta(days=1)
TOLD = [(23, "trial_reminder"), (27, "trial_reminder"), (29, "trial_reminder"), (30, "trial_suspended")]
WHOLE = [*TOLD, (60, "instance_archived")]


@pytest.fixture
def instance(cast: Cast) -> Instance:
    """Live since NOW, on a trial of 30 days with 30 days of retention."""
    instance = people.requested_instance(cast.organization, cast.plan)
    jobs.work_off(NOW)
    Message.objects.all().delete()
    mail.outbox.clear()
    instance.refresh_from_db()
    return instance


def pass_by(moments: Iterable[datetime]) -> None:
    """What the schedule and a worker do at each of these moments."""
    for now in moments:
        with time_machine.travel(now, tick=False):
            trial_end.run(now=now)
        jobs.work_off(now)


def days(*numbers: float) -> list[datetime]:
    return [NOW + number * DAY for number in numbers]


def told(since: datetime = NOW) -> list[tuple[int, str]]:
    """(day, kind) of every mail, in the order in which they were written."""
    rows = Message.objects.order_by("created_at").values_list("created_at", "kind")
    return [((at - since) // DAY, kind) for at, kind in rows]


def state_of(instance: Instance) -> tuple[str, str]:
    instance.refresh_from_db()
    return instance.state, Subscription.objects.get(pk=instance.subscription_id or UUID(int=0)).state


# --- how a trial goes by -------------------------------------------------------------------------------------


def test_day_by_day_each_message_is_written_on_its_day(instance: Instance) -> None:
    pass_by(days(*range(70)))
    assert told() == WHOLE and len(mail.outbox) == 5
    assert state_of(instance) == (states.ARCHIVED, "ended")


def test_every_ten_minutes_or_day_by_day_is_the_same(instance: Instance) -> None:
    pass_by(NOW + 22.9 * DAY + n * timedelta(minutes=10) for n in range(30))
    assert told() == TOLD[:1]


def test_running_twice_at_every_moment_changes_nothing(instance: Instance) -> None:
    pass_by(moment for moment in days(*range(20, 64)) for _ in range(2))
    assert told() == WHOLE


def test_reactions_that_run_twice_change_nothing(instance: Instance) -> None:
    pass_by(days(23, 27, 29, 30))
    for fact in Fact.objects.filter(name__in=("TrialReminderDue", "TrialEnded")):
        {"TrialReminderDue": trial_end.remind, "TrialEnded": trial_end.suspend}[fact.name](fact)
    jobs.work_off(NOW + 30 * DAY)
    assert told() == TOLD and instance.operations.filter(kind="suspend").count() == 1


def test_a_clock_that_goes_backwards_again_and_again_changes_nothing(instance: Instance) -> None:
    pass_by(moment for day in range(20, 64) for moment in days(day, max(0, day - 5), day))
    assert told() == WHOLE
    assert state_of(instance) == (states.ARCHIVED, "ended")


def test_whoever_wakes_up_late_reminds_once_of_what_is_true_now(instance: Instance) -> None:
    pass_by(days(28))
    assert told() == [(28, "trial_reminder")] and "3" in mail.outbox[0].subject
    pass_by(days(28.5, 29, 29.5))
    assert [kind for _day, kind in told()] == ["trial_reminder"] * 2


def test_nobody_is_reminded_of_an_end_that_is_over(instance: Instance) -> None:
    pass_by(days(40))
    assert told() == [(40, "trial_suspended")]


def test_a_jump_over_everything_still_keeps_the_data_for_the_whole_retention(instance: Instance) -> None:
    pass_by(days(300, 329.9))
    assert state_of(instance) == (states.SUSPENDED, "suspended")
    pass_by(days(330))
    assert state_of(instance) == (states.ARCHIVED, "ended")
    assert told() == [(300, "trial_suspended"), (330, "instance_archived")]


def test_p25_to_the_second(instance: Instance) -> None:
    second = timedelta(seconds=1)
    for day, _kind in WHOLE:
        before = len(told())
        pass_by([NOW + day * DAY - second])
        assert len(told()) == before
        pass_by([NOW + day * DAY])
        assert len(told()) == before + 1


# --- the calendar --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "begin",
    [
        datetime(2028, 2, 10, 23, 30, tzinfo=UTC),  # over 29 February
        datetime(2028, 2, 29, 12, 0, tzinfo=UTC),  # begun on it
        datetime(2026, 3, 1, 2, 30, tzinfo=ZoneInfo("Europe/Paris")),  # over the night without a 2:30
        datetime(2026, 10, 1, 2, 30, tzinfo=ZoneInfo("Europe/Paris")),  # over the night with two of them
        datetime(2026, 12, 31, 23, 59, 59, tzinfo=ZoneInfo("Africa/Dakar")),
    ],
)
def test_thirty_days_are_thirty_days_whatever_the_calendar_does(cast: Cast, begin: datetime) -> None:
    begin = begin.astimezone(UTC)
    instance = people.requested_instance(cast.organization, cast.plan, now=begin)
    jobs.work_off(begin)
    Message.objects.all().delete()
    pass_by(begin + day * DAY for day in range(20, 64))
    assert told(begin) == WHOLE and state_of(instance) == (states.ARCHIVED, "ended")


# --- whom it concerns ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["active", "past_due"])
def test_whoever_pays_is_left_alone(instance: Instance, state: str) -> None:
    pass_by(days(23, 27))
    Subscription.objects.update(state=state)
    pass_by(days(28, 29, 30, 31, 60, 61, 100))
    assert told() == TOLD[:2] and state_of(instance) == (states.LIVE, state)


def test_other_customers_are_not_concerned(instance: Instance, cast: Cast) -> None:
    other = people.live_instance(cast.other_organization, cast.plan, now=NOW + 20 * DAY)
    pass_by(days(20, 23, 27, 29, 30))
    assert state_of(other) == (states.LIVE, "trialing")
    assert set(Message.objects.values_list("to", flat=True)) >= {cast.owner.email}
    assert not Message.objects.filter(to=cast.stranger.email).exclude(kind="welcome").exists()


def test_plans_have_trials_and_retentions_of_their_own(cast: Cast) -> None:
    short = people.offer("short", trial_days=2, retention_days=1)
    people.requested_instance(cast.other_organization, short, slug="short-one")
    jobs.work_off(NOW)
    Message.objects.all().delete()
    pass_by(days(0, 0.5, 1, 1.5, 2, 2.9, 3))
    assert told() == [
        (0, "trial_reminder"),
        (1, "trial_reminder"),
        (2, "trial_suspended"),
        (3, "instance_archived"),
    ]


def test_one_instance_that_cannot_be_dealt_with_does_not_stop_the_others(instance: Instance, cast: Cast) -> None:
    broken = people.live_instance(cast.other_organization, cast.plan)
    jobs.work_off(NOW)
    Instance.objects.filter(pk=broken.pk).update(target=Target.objects.create(name="gone", provider="gone"))
    pass_by(days(30, 30.01))
    assert state_of(instance)[0] == states.SUSPENDED
    assert state_of(broken) == (states.LIVE, "suspended")


# --- instances that are busy at that moment ------------------------------------------------------------------


def test_an_instance_that_is_still_being_created_is_suspended_later(cast: Cast) -> None:
    instance = people.requested_instance(cast.organization, cast.plan)
    with time_machine.travel(NOW + 30 * DAY, tick=False):
        assert trial_end.run(now=NOW + 30 * DAY)["converged"] == 0
    people.work(instance)
    pass_by(days(30.01))
    assert state_of(instance) == (states.SUSPENDED, "suspended")
    assert [kind for _day, kind in told()].count("trial_suspended") == 1


def test_an_instance_with_an_operation_of_its_own_is_archived_later(instance: Instance) -> None:
    pass_by(days(30))
    Subscription.objects.update(state="ended")
    actions.change(instance, "resume", reason="", actor="Olga", now=NOW + 60 * DAY)
    assert entitlement.converge(now=NOW + 60 * DAY) == 0
    pass_by(days(60.01, 60.02))
    assert state_of(instance)[0] == states.ARCHIVED


def test_a_failed_instance_is_archived_with_its_subscription(instance: Instance) -> None:
    Instance.objects.update(state=states.FAILED)
    pass_by(days(*range(0, 70, 5)))
    assert state_of(instance) == (states.ARCHIVED, "ended")


def test_the_page_in_its_place_is_told_why(instance: Instance) -> None:
    pass_by(days(30))
    instance.refresh_from_db()
    assert instance.reason == "trial_ended"
    pass_by(days(60))
    instance.refresh_from_db()
    assert instance.reason == "retention_ended"


# --- what the mails say --------------------------------------------------------------------------------------


def test_the_mails_say_how_long_is_left_and_until_when_the_data_is_kept(instance: Instance) -> None:
    pass_by(days(23, 27, 29, 30))
    subjects = [m.subject for m in mail.outbox]
    assert [("7" in subjects[0]), ("3" in subjects[1]), ("demain" in subjects[2])] == [True] * 3
    assert "1er mai 2026" in mail.outbox[3].body  # 1 April and 30 days


def test_the_last_day_is_written_in_english_too(instance: Instance, cast: Cast) -> None:
    cast.owner.language = "en"
    cast.owner.save()
    pass_by(days(29))
    assert mail.outbox[0].subject == "Your Plain trial ends tomorrow"
