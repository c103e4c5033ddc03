"""What goes wrong without anybody being killed: broken standbys, old versions, time, templates, ports."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from parcelle.core.models import Fact
from parcelle.domain.catalog import blueprints as catalog
from parcelle.domain.catalog.models import Product
from parcelle.domain.provisioning import leases, pool, states, sweeper, templates
from parcelle.domain.provisioning.models import Instance, Operation, PortLease, Template
from parcelle.domain.tenancy.models import Organization
from parcelle.journeys import instance_control, signup
from tests import blueprints, world
from tests.system import System

pytestmark = [pytest.mark.crash, pytest.mark.slow]


@pytest.fixture(autouse=True)
def nothing_is_left_over(system: System) -> Iterator[None]:
    yield
    assert system.work() == 0
    world.assert_nothing_orphaned(system)


def served(system: System, instance: Instance) -> Instance:
    """The instance, once its creation succeeded and its customer signs in."""
    operation = system.finish(instance.operations.get(kind="create"))
    assert (operation.state, operation.error_detail) == (states.SUCCEEDED, "")
    assert world.portrait(system, operation)["signs_in"]
    return Instance.objects.get(pk=instance.pk)


def failed(system: System, instance: Instance) -> Operation:
    """Its creation, once it failed; nothing of it may be left."""
    operation = system.finish(instance.operations.get(kind="create"))
    assert operation.state == states.FAILED
    left = world.portrait(system, operation)
    assert (left["state"], left["database"], left["leases"], left["answer"]) == (states.FAILED, None, 0, None)
    world.assert_nothing_orphaned(system)
    return operation


# --- standbys -----------------------------------------------------------------------------------------------


def standby(system: System, product: Product) -> Instance:
    operation = system.finish(system.standby(product))
    assert (operation.state, operation.error_detail) == (states.SUCCEEDED, "")
    assert operation.instance_id is not None
    return Instance.objects.get(pk=operation.instance_id)


def sabotage(system: System, instance: Instance) -> None:
    """Its process dies and cannot start again."""
    name = f"tenant-{world.key(instance)}"
    (system.home.path / "tenants" / world.key(instance) / "app.py").write_text("raise SystemExit('broken')")
    with system.provider.supervisor._api() as api:
        os.kill(api.getProcessInfo(name)["pid"], signal.SIGKILL)
    while system.provider.supervisor.state(name) == "RUNNING":
        time.sleep(0.02)


def test_a_broken_standby_is_skipped_and_destroyed(system: System) -> None:
    product = system.product("echo", slug="skipping", pool_size=2)
    broken, sound = standby(system, product), standby(system, product)
    sabotage(system, broken)

    instance = served(system, system.sign_up(product))

    assert instance.from_standby
    assert instance.ref == sound.ref
    assert Fact.objects.filter(name="StandbyBroken", data__product_id=str(product.pk)).count() == 1
    assert system.work() == 0
    assert Instance.objects.get(ref=broken.ref).state == states.ARCHIVED


def test_when_every_standby_is_broken_the_template_is_cloned(system: System) -> None:
    product = system.product("echo", slug="all-broken", pool_size=1)
    sabotage(system, standby(system, product))
    assert not served(system, system.sign_up(product)).from_standby


def test_the_keeper_replaces_a_broken_standby(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "STARTING_SECONDS", 0.5)
    product = system.product("echo", slug="kept", pool_size=2)
    broken, sound = standby(system, product), standby(system, product)
    sabotage(system, broken)

    pool.keep(product, now=timezone.now())
    assert system.work() == 0

    now = set(Instance.objects.filter(product=product, state=states.STANDBY).values_list("ref", flat=True))
    assert len(now) == 2
    assert sound.ref in now
    assert broken.ref not in now


def test_the_keeper_leaves_a_standby_alone_that_is_only_starting(system: System) -> None:
    product = system.product("slow", pool_size=1)
    before = standby(system, product)
    # As after a restart: it runs, and will answer in a few seconds.
    system.provider.stop(before.ref)
    system.provider.start(before.ref)

    pool.keep(product, now=timezone.now())
    assert Instance.objects.get(product=product).state == states.STANDBY
    assert not Operation.objects.filter(kind="discard_standby", instance=before).exists()


def test_a_new_version_drains_the_pool(system: System) -> None:
    blueprints.write_echo(system.blueprints, "moving", version="1")
    product = system.product("moving", pool_size=2)
    old = {standby(system, product).ref, standby(system, product).ref}
    blueprints.write_echo(system.blueprints, "moving", version="2")

    # Who signs up before the pool was looked after gets the new version, built for them.
    instance = served(system, system.sign_up(product))
    assert instance.ref not in old
    assert instance.template is not None
    assert instance.template.version == "2"

    pool.keep(product, now=timezone.now())
    assert system.work() == 0
    standbys = Instance.objects.filter(product=product, state=states.STANDBY).select_related("template")
    assert [s.template.version for s in standbys if s.template] == ["2", "2"]
    assert not old & {s.ref for s in standbys}


# --- time ---------------------------------------------------------------------------------------------------


def test_what_takes_too_long_is_undone_and_its_name_is_free_again(system: System) -> None:
    # The template is not what takes long.
    _build(system, "silent")
    instance = system.sign_up(system.product("silent"), company="Trop Lent")
    instance.operations.update(deadline_at=timezone.now() + timedelta(seconds=3))

    operation = failed(system, instance)

    assert operation.error_code == "timeout"
    assert operation.finished_at is not None
    assert operation.finished_at < operation.created_at + timedelta(seconds=20)
    assert served(system, system.sign_up(company="Trop Lent")).slug == instance.slug == "trop-lent"


def test_a_failed_creation_can_be_tried_again(system: System) -> None:
    blueprints.write_echo(system.blueprints, "mended", environment={"ECHO_MISBEHAVE": "shouting"})
    instance = system.sign_up(system.product("mended"), company="Deuxième Essai")
    assert failed(system, instance).error_code == "step_failed"

    blueprints.write_echo(system.blueprints, "mended")
    signup.retry(instance.pk, actor="customer", now=timezone.now())
    operation = system.finish(instance.operations.get(state=states.QUEUED))
    assert (operation.state, operation.error_detail) == (states.SUCCEEDED, "")
    assert world.portrait(system, operation)["signs_in"]


def _build(system: System, blueprint: str) -> None:
    template = templates.ensure(system.target(), catalog.load(blueprint), now=timezone.now())
    if template.state != states.READY:
        assert system.finish(template.operations.get()).state == states.SUCCEEDED


def test_no_answer_is_not_a_no(system: System) -> None:
    """The application became the customer's, but nobody heard: asking it to become theirs again would be refused."""
    instance = served(system, system.sign_up(system.product("tongue-tied")))
    assert instance.operations.get().steps.get(name="personalise").attempt > 2


# --- templates ----------------------------------------------------------------------------------------------


def test_a_template_that_cannot_be_built_fails_the_sign_up_and_the_next_one_tries_again(system: System) -> None:
    product = system.product("hopeless")
    operation = failed(system, system.sign_up(product))
    assert operation.error_code == "template_failed"
    assert Template.objects.get(blueprint="hopeless").state == states.FAILED

    blueprints.write_echo(system.blueprints, "hopeless")
    served(system, system.sign_up(product))
    assert Template.objects.get(blueprint="hopeless").state == states.READY


def test_sign_ups_wait_for_one_template_together(system: System) -> None:
    blueprints.write_echo(system.blueprints, "awaited")
    product = system.product("awaited")
    waiting = [system.sign_up(product) for _number in range(3)]
    for instance in waiting:
        served(system, instance)
    assert Operation.objects.filter(kind="build_template", template__blueprint="awaited").count() == 1


# --- the queue ----------------------------------------------------------------------------------------------


def test_a_dead_workers_job_whose_twin_waits_does_not_stop_the_sweeper(system: System) -> None:
    """Two jobs may not wait under one queueing lock; what stands behind the first must still be looked at."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO procrastinate_jobs (queue_name, task_name, queueing_lock, status, args) VALUES
                ('elsewhere', 'schedule.sweep', 'twins', 'doing', '{"timestamp": 0}'),
                ('elsewhere', 'schedule.sweep', 'twins', 'todo', '{"timestamp": 0}'),
                ('elsewhere', 'notifications.deliver', NULL, 'doing', '{}')
            """
        )
    try:
        sweeper.sweep()
        found = ProcrastinateJob.objects.filter(queue_name="elsewhere").order_by("id")
        assert list(found.values_list("status", flat=True)) == ["aborted", "todo", "todo"]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM procrastinate_jobs WHERE queue_name = 'elsewhere'")


# --- the machine --------------------------------------------------------------------------------------------


def test_a_port_that_another_program_uses_is_passed_over(system: System) -> None:
    taken = PortLease.objects.order_by("-port").first()
    port = taken.port + 1 if taken else system.first_port
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        instances = [served(system, system.sign_up()) for _number in range(2)]
    ports = [leases.ports_of(instance.ref)["application"] for instance in instances]
    assert port not in ports
    assert PortLease.objects.get(port=port).purpose == "foreign"
    PortLease.objects.filter(purpose="foreign").delete()


def test_customers_of_one_name_live_side_by_side(system: System) -> None:
    names = {system.sign_up(company="Même Nom").slug for _number in range(4)}
    assert names == {"meme-nom", "meme-nom-2", "meme-nom-3", "meme-nom-4"}
    assert Organization.objects.filter(slug__startswith="meme-nom").count() == 4
    for instance in Instance.objects.filter(slug__in=names):
        served(system, instance)


def test_a_dozen_at_once_do_not_get_in_each_others_way(system: System) -> None:
    """Three workers make, suspend and archive while others are being made: one supervisor, one PostgreSQL."""
    _build(system, "echo")
    leaving = [served(system, system.sign_up(company="Partant")) for _number in range(3)]
    coming = [system.sign_up(company="Arrivant") for _number in range(9)]
    for instance in leaving:
        instance_control.archive_instance(instance.pk, reason="operator", actor="tests", now=timezone.now())

    for worker in [system.begin() for _number in range(3)]:
        assert worker.end(seconds=90) == 0
    system.settle()

    operations = Operation.objects.filter(instance__in=[*leaving, *coming]).prefetch_related("steps")
    assert {operation.state for operation in operations} == {states.SUCCEEDED}
    assert {step.error for operation in operations for step in operation.steps.all()} == {""}
    for instance in coming:
        served(system, instance)
