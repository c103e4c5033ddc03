from __future__ import annotations

import pytest
import time_machine
from procrastinate.contrib.django import app as queue

from parcelle.domain.catalog import offers
from parcelle.domain.catalog.blueprints import BlueprintError
from parcelle.domain.catalog.models import Plan, Price, Product
from parcelle.domain.provisioning import states
from parcelle.domain.provisioning.models import Instance, Target
from parcelle.journeys import demo, instance_control, schedule
from tests import jobs, people
from tests.people import NOW, Cast


@pytest.mark.parametrize("row", schedule.TABLE, ids=lambda row: row[1])
def test_everything_on_the_schedule_is_a_task_that_the_queue_knows(row: tuple[str, str, object]) -> None:
    assert f"schedule.{row[1]}" in queue.tasks
    assert row[1] in {task.periodic_id for task in queue.periodic_registry.periodic_tasks.values()}


@pytest.mark.parametrize("row", schedule.TABLE, ids=lambda row: row[1])
def test_everything_on_the_schedule_can_run_where_nothing_is_to_be_done(cast: Cast, row: tuple[object, str]) -> None:
    queue.tasks[f"schedule.{row[1]}"](timestamp=0)


@pytest.mark.django_db
def test_a_new_installation_has_something_to_sell_and_keeps_what_the_operator_changed() -> None:
    Target.objects.create(name="local", provider="null")
    demo.ensure(now=NOW, pool_size=0)
    Plan.objects.update(trial_days=7, name="Découverte")
    demo.ensure(now=NOW, pool_size=0)
    assert set(Plan.objects.values_list("name", "trial_days")) == {("Découverte", 7)}
    assert set(Plan.objects.filter(enabled=True).values_list("slug", flat=True)) == {
        *("essai", "bronze", "silver", "gold", "enterprise"),
    }
    silver = Price.objects.get(plan__slug="silver", currency="XAF", interval="year")
    assert [(one.add_on.slug, one.amount_minor) for one in offers.add_ons(silver)] == [
        *(("extra-user", 50_000), ("extra-storage", 25_000)),
    ]
    assert set(Plan.objects.filter(enabled=False).values_list("slug", flat=True)) == {"starter", "pro"}


def test_what_the_operator_sells_instead_of_the_demo_stays_alone(cast: Cast) -> None:
    demo.ensure(now=NOW, pool_size=0)
    assert list(Product.objects.values_list("slug", flat=True)) == ["plain"]


def test_an_instance_is_suspended_resumed_and_archived_by_hand(cast: Cast) -> None:
    instance = people.live_instance(cast.organization, cast.plan)
    seen = []
    for verb in ("suspend_instance", "resume_instance", "archive_instance"):
        getattr(instance_control, verb)(instance.pk, reason="operator", actor="Olga", now=NOW)
        people.work(instance)
        seen.append(instance.state)
    assert seen == [states.SUSPENDED, states.LIVE, states.ARCHIVED]


def test_one_product_that_cannot_be_kept_does_not_stop_the_pools_of_the_others(cast: Cast) -> None:
    Product.objects.update(pool_size=1, blueprint="gone")
    good = people.offer("good").product
    Product.objects.filter(pk=good.pk).update(pool_size=1, position=9)
    with time_machine.travel(NOW, tick=False):
        queue.tasks["schedule.pool"](timestamp=0)
    with pytest.raises(BlueprintError):
        jobs.work_off(NOW)
    jobs.work_off(NOW)
    assert Instance.objects.get(state=states.STANDBY).product == good
