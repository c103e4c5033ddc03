"""Several workers find the same operation; the control gives it to all of them."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from parcelle.domain.provisioning import actions, runner, states
from parcelle.domain.provisioning.errors import InstanceBusy, ProvisioningError
from parcelle.domain.provisioning.models import Instance, Operation
from parcelle.domain.provisioning.providers import PROVIDERS
from parcelle.domain.provisioning.providers.null import NullProvider
from parcelle.domain.provisioning.workflows import WORKFLOWS
from tests import people
from tests.together import at_once, meeting

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("test_blueprints")]


class Counting(NullProvider):
    """Notes how often each stack was stopped, and takes its time."""

    def __init__(self) -> None:
        self.stopped: Counter[UUID] = Counter()

    def stop(self, ref: UUID) -> None:
        self.stopped[ref] += 1
        time.sleep(0.3)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Counting:
    counting = Counting()
    monkeypatch.setitem(PROVIDERS, "null", lambda _connection: counting)
    return counting


@pytest.fixture
def operation(provider: Counting) -> Operation:
    cast = people.gather()
    instance = people.live_instance(cast.organization, cast.plan)
    return actions.change(instance, "suspend", reason="operator", actor="test", now=timezone.now())


def run_by_eight(operation: Operation) -> None:
    at_once([lambda: runner.run(operation.pk, WORKFLOWS)] * 8).all()
    operation.refresh_from_db()


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])


@pytest.mark.parametrize("well", [True, False])
def test_a_change_that_is_asked_for_while_another_one_ends_is_refused_and_hinders_nobody(
    operation: Operation, provider: Counting, monkeypatch: pytest.MonkeyPatch, well: bool
) -> None:
    """Both need the instance and its unfinished operation; in different orders each would wait for the other."""
    if not well:

        def refuse(_ref: UUID) -> None:
            raise ProvisioningError("no")

        monkeypatch.setattr(provider, "stop", refuse)

    def work() -> None:
        try:
            runner.run(operation.pk, WORKFLOWS)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as worker:
        with transaction.atomic():
            assert operation.instance_id is not None
            instance = Instance.objects.select_for_update().get(pk=operation.instance_id)
            ending = worker.submit(work)
            give_up = time.monotonic() + 60
            while not somebody_waits() and time.monotonic() < give_up:
                time.sleep(0.02)
            with pytest.raises(InstanceBusy):
                actions.change(instance, "suspend", reason="operator", actor="test", now=timezone.now())
        ending.result()
    operation.refresh_from_db()
    assert operation.state == (states.SUCCEEDED if well else states.FAILED)


def test_one_of_eight_workers_does_it_once(operation: Operation, provider: Counting) -> None:
    run_by_eight(operation)
    assert operation.state == states.SUCCEEDED
    assert list(provider.stopped.values()) == [1]
    assert set(operation.steps.values_list("attempt", flat=True)) == {1}


def test_control_without_the_lease_several_do_it(
    operation: Operation, provider: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def claim_anyway(operation_id: UUID, _worker: str, _now: object) -> runner.Taken:
        until = timezone.now() + timedelta(minutes=1)
        Operation.objects.filter(pk=operation_id).update(worker="everybody", lease_until=until)
        operation = Operation.objects.select_related("instance__target", "instance__product").get(pk=operation_id)
        return runner.Taken(operation, list(operation.steps.all()))

    begin = meeting(runner._Runner.__init__)
    monkeypatch.setattr(runner, "_claim", claim_anyway)
    monkeypatch.setattr(runner._Runner, "__init__", begin)
    at_once([lambda: runner.run(operation.pk, WORKFLOWS)] * 8)
    assert max(provider.stopped.values()) > 1
