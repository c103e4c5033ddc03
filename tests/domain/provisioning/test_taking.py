from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from parcelle.domain.provisioning import runner, states
from parcelle.domain.provisioning.models import Instance, Operation
from parcelle.domain.provisioning.workflows import WORKFLOWS
from tests import people
from tests.people import NOW, Cast

SECOND, MINUTES = timedelta(seconds=1), timedelta(minutes=5)


@pytest.fixture
def instance(cast: Cast) -> Instance:
    return people.requested_instance(cast.organization, cast.plan)


@pytest.mark.parametrize(
    ("row", "due"),
    [
        ({"state": states.QUEUED}, True),
        ({"state": states.RUNNING, "lease_until": NOW + SECOND}, False),
        ({"state": states.RUNNING, "lease_until": NOW - SECOND}, True),
        ({"state": states.UNDOING, "lease_until": NOW - SECOND}, True),
        ({"state": states.WAITING, "resume_at": NOW + SECOND}, False),
        ({"state": states.WAITING, "resume_at": NOW}, True),
        ({"state": states.RUNNING, "lease_until": None}, True),
        ({"state": states.RUNNING, "lease_until": None, "resume_at": NOW + SECOND}, False),
        ({"state": states.SUCCEEDED, "lease_until": NOW - SECOND}, False),
        ({"state": states.FAILED, "lease_until": None}, False),
    ],
)
@pytest.mark.usefixtures("instance")
def test_exactly_what_is_due_and_nobody_works_on_is_taken(row: dict[str, object], due: bool) -> None:
    Operation.objects.update(**row)
    assert bool(runner.take(5, now=NOW)) == due
    assert not runner.take(5, now=NOW)


def test_what_a_dead_worker_had_gets_finished(instance: Instance) -> None:
    Operation.objects.update(state=states.RUNNING, worker="dead", lease_until=NOW - SECOND)
    (taken,) = runner.take(5, now=NOW)
    runner.carry_on(taken, WORKFLOWS, clock=lambda: NOW)
    instance.refresh_from_db()
    assert instance.state == states.LIVE and not runner.take(5, now=NOW + MINUTES)


def test_what_people_wait_for_is_taken_first_and_the_oldest_of_that(cast: Cast) -> None:
    names = ["first", "second", "third"]
    for number, name in enumerate(names):
        people.requested_instance(cast.organization, cast.plan, slug=name, now=NOW + number * SECOND)
    Operation.objects.filter(instance__slug="first").update(kind="prepare_standby")
    taken = [runner.take(1, now=NOW + MINUTES)[0].operation.instance for _number in range(3)]
    assert [instance.slug for instance in taken if instance] == ["second", "third", "first"]


def test_two_takings_have_two_names(cast: Cast) -> None:
    for name in ("one", "two"):
        people.requested_instance(cast.organization, cast.plan, slug=name)
    assert runner.take(1, now=NOW)[0].operation.worker != runner.take(1, now=NOW)[0].operation.worker


def test_one_whose_secrets_cannot_be_opened_does_not_hold_up_the_others(cast: Cast) -> None:
    lost, sound = (people.requested_instance(cast.organization, cast.plan, slug=name) for name in ("lost", "sound"))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE provisioning_instance SET secrets = 'another key' WHERE id = %s", [lost.pk])
    assert [taken.operation.instance_id for taken in runner.take(5, now=NOW)] == [sound.pk]
