from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import OperationalError, transaction

from parcelle.core.models import Fact
from parcelle.domain.catalog.blueprints import BlueprintError
from parcelle.domain.provisioning import actions, leases, operations, queries, runner, states
from parcelle.domain.provisioning.errors import InstanceBusy, NotYet, ProvisioningError, TargetUnreachable, TryAgain
from parcelle.domain.provisioning.models import Instance, Operation
from parcelle.domain.provisioning.workflows import WORKFLOWS
from tests import people
from tests.domain.provisioning.scripted import Clock, ScriptedProvider, after
from tests.people import NOW, Cast


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "BACK_OFF", (0, 0, 5))


@pytest.fixture
def creation(instance: Instance) -> Operation:
    return instance.operations.get()


def run(operation: Operation, clock: Clock) -> Operation:
    runner.run(operation.pk, WORKFLOWS, clock=clock)
    operation.refresh_from_db()
    return operation


def step(operation: Operation, name: str = "start") -> tuple[str, int]:
    found = operation.steps.get(name=name)
    return found.state, found.attempt


# --- going well ----------------------------------------------------------------------------------------------


def test_every_step_is_recorded_and_the_instance_is_live(creation: Operation, instance: Instance, clock: Clock) -> None:
    assert run(creation, clock).state == states.SUCCEEDED
    names = ["claim_standby", "reserve", "start"]
    assert [(s.name, s.state, s.attempt) for s in creation.steps.all()] == [(n, "succeeded", 1) for n in names]
    instance.refresh_from_db()
    assert (instance.state, instance.live_at) == (states.LIVE, NOW)


def test_a_finished_operation_is_not_run_again(creation: Operation, provider: ScriptedProvider, clock: Clock) -> None:
    run(creation, clock), run(creation, clock)
    assert len(provider.ensured) == 1
    assert Fact.objects.filter(name="InstanceReady").count() == 1


def test_an_operation_in_other_hands_is_left_alone(
    creation: Operation, provider: ScriptedProvider, clock: Clock
) -> None:
    Operation.objects.update(worker="another", lease_until=people.NOW, state=states.RUNNING)
    run(creation, clock)
    assert not provider.ensured


def test_the_operation_of_a_dead_worker_goes_on_at_the_step_it_died_in(
    creation: Operation, provider: ScriptedProvider, clock: Clock
) -> None:
    creation.steps.filter(position__lt=2).update(state=states.SUCCEEDED, attempt=1)
    creation.steps.filter(position=2).update(state=states.RUNNING, attempt=1)
    Instance.objects.update(state=states.PROVISIONING)
    Operation.objects.update(worker="dead", lease_until=NOW, state=states.RUNNING)
    clock.forward(1)
    assert run(creation, clock).state == states.SUCCEEDED
    assert (step(creation, "reserve"), step(creation)) == (("succeeded", 1), ("succeeded", 2))


# --- trying again --------------------------------------------------------------------------------------------


def test_a_passing_fault_is_tried_again_and_leaves_no_error(
    creation: Operation, provider: ScriptedProvider, clock: Clock
) -> None:
    provider.on_ensure = [TryAgain("busy"), TryAgain("still busy")]
    assert run(creation, clock).state == states.SUCCEEDED
    assert step(creation) == ("succeeded", 3)
    assert creation.steps.get(name="start").error == ""


def test_a_longer_pause_frees_the_worker_and_is_due_again_after_it(
    creation: Operation, provider: ScriptedProvider, clock: Clock
) -> None:
    provider.on_ensure = [TryAgain("busy")] * 3
    assert run(creation, clock).state == states.WAITING
    assert (creation.lease_until, creation.resume_at) == (None, clock() + timedelta(seconds=5))
    assert not runner.take(1, now=clock())
    clock.forward(5)
    assert run(creation, clock).state == states.SUCCEEDED


def test_a_fault_that_does_not_pass_fails_in_the_end_with_its_own_words(
    creation: Operation, provider: ScriptedProvider, clock: Clock
) -> None:
    provider.on_ensure = [TargetUnreachable("start the Docker Engine")] * 4
    run(creation, clock)
    clock.forward(5)
    assert run(creation, clock).state == states.FAILED
    assert (creation.error_code, creation.error_detail) == ("target_unreachable", "start the Docker Engine")
    assert step(creation) == ("failed", 4)


def test_past_the_deadline_nothing_is_tried_any_more(
    creation: Operation, provider: ScriptedProvider, clock: Clock
) -> None:
    clock.forward(301)
    assert run(creation, clock).state == states.FAILED
    assert creation.error_code == "timeout" and not provider.ensured


def test_a_fault_that_cannot_be_tried_again_in_time_is_a_time_out(
    creation: Operation, provider: ScriptedProvider, clock: Clock
) -> None:
    slow = after(lambda: clock.forward(298), TryAgain("the disk is slow"))
    provider.on_ensure = [TryAgain("busy"), TryAgain("busy"), slow]
    assert run(creation, clock).state == states.FAILED
    assert (creation.error_code, creation.error_detail) == ("timeout", "the disk is slow")


def test_waiting_for_something_else_is_no_attempt_and_moves_the_deadline(
    creation: Operation, provider: ScriptedProvider, clock: Clock
) -> None:
    provider.on_ensure = [NotYet(30, "initialise")]
    clock.forward(200)
    assert run(creation, clock).state == states.WAITING
    assert (creation.deadline_at - clock()).total_seconds() == 300
    assert (step(creation), creation.steps.get(name="start").note) == (("running", 0), "initialise")
    clock.forward(290)
    assert run(creation, clock).state == states.SUCCEEDED


# --- failing -------------------------------------------------------------------------------------------------


def test_a_lasting_fault_undoes_everything_and_frees_name_and_port(
    creation: Operation, instance: Instance, provider: ScriptedProvider, clock: Clock, cast: Cast
) -> None:
    provider.on_ensure = [ProvisioningError("no such image")]
    assert run(creation, clock).state == states.FAILED
    assert provider.destroyed == [instance.ref] and leases.ports_of(instance.ref) == {}
    instance.refresh_from_db()
    assert instance.state == states.FAILED
    assert people.requested_instance(cast.organization, cast.plan, slug=instance.slug or "").slug == instance.slug


def test_the_way_back_is_recorded_like_the_way_there(
    creation: Operation, provider: ScriptedProvider, clock: Clock
) -> None:
    provider.on_ensure = [ProvisioningError("no such image")]
    run(creation, clock)
    assert [(s.name, s.state) for s in creation.steps.all()] == [
        ("claim_standby", "succeeded"),
        ("reserve", "succeeded"),
        ("start", "failed"),
        ("undo_stack", "succeeded"),
        ("undo_reservations", "succeeded"),
    ]


def test_a_failure_is_two_facts_in_the_order_of_what_happened(
    creation: Operation, provider: ScriptedProvider, clock: Clock
) -> None:
    provider.on_ensure = [ProvisioningError("no such image")]
    run(creation, clock)
    facts = Fact.objects.filter(operation_id=creation.pk).order_by("id")
    assert [fact.name for fact in facts] == ["InstanceRequested", "InstanceCreationFailed", "OperationFailed"]
    assert facts[1].data == {"code": "step_failed", "detail": "no such image"}


def test_undoing_is_interrupted_and_taken_up_again(
    creation: Operation, instance: Instance, provider: ScriptedProvider, clock: Clock
) -> None:
    provider.on_ensure, provider.on_destroy = [ProvisioningError("no")], [NotYet(60)]
    assert run(creation, clock).state == states.UNDOING
    clock.forward(60)
    assert run(creation, clock).state == states.FAILED
    assert len(provider.destroyed) == 2 and leases.ports_of(instance.ref) == {}


def test_what_cannot_be_undone_keeps_its_port_so_that_nobody_is_given_it(
    creation: Operation, instance: Instance, provider: ScriptedProvider, clock: Clock
) -> None:
    provider.on_ensure, provider.on_destroy = [ProvisioningError("no")], [ProvisioningError("stuck")]
    assert run(creation, clock).state == states.FAILED
    assert creation.error_detail == "no" and leases.ports_of(instance.ref) == {"application": 8080}


def test_a_bug_in_a_provider_fails_the_step_with_a_readable_error(
    creation: Operation, provider: ScriptedProvider, clock: Clock
) -> None:
    provider.on_ensure = [KeyError("port")]
    assert run(creation, clock).state == states.FAILED
    assert (creation.error_code, creation.error_detail) == ("step_failed", "unexpected KeyError in step start")


def test_a_database_that_goes_away_in_the_middle_fails_no_step_and_frees_the_operation(
    creation: Operation, provider: ScriptedProvider, clock: Clock
) -> None:
    provider.on_ensure = [OperationalError("server closed the connection")]
    with pytest.raises(OperationalError):
        run(creation, clock)
    assert Operation.objects.get().lease_until is None
    # Not at once: whatever it is, it would only happen again.
    assert not runner.take(1, now=clock())
    assert run(creation, clock).state == states.SUCCEEDED


def test_a_mistake_in_the_blueprint_is_shown(creation: Operation, provider: ScriptedProvider, clock: Clock) -> None:
    provider.on_ensure = [BlueprintError("the blueprint uses the unknown variable ${x}")]
    run(creation, clock)
    assert creation.error_detail == "the blueprint uses the unknown variable ${x}"


def test_an_error_shows_no_secret_of_the_instance(
    creation: Operation, instance: Instance, provider: ScriptedProvider, clock: Clock
) -> None:
    provider.on_ensure = [ProvisioningError(" ".join(instance.secrets.values()))]
    run(creation, clock)
    shown = creation.error_detail + "".join(creation.steps.values_list("error", flat=True))
    assert not [secret for secret in instance.secrets.values() if secret in shown]


@pytest.mark.parametrize("text", ["a \x00 byte", "half a \ud800 character", "é" * 5000])
def test_whatever_a_provider_prints_can_be_recorded(
    creation: Operation, provider: ScriptedProvider, clock: Clock, text: str
) -> None:
    provider.on_ensure = [after(lambda: provider.report(text, 0.5), ProvisioningError(text))]
    assert run(creation, clock).state == states.FAILED
    assert creation.error_code == "step_failed" and creation.error_detail[:2] == text[:2]


def test_a_worker_that_lost_its_lease_writes_nothing_any_more(
    creation: Operation, instance: Instance, provider: ScriptedProvider, clock: Clock
) -> None:
    provider.on_ensure = [lambda: Operation.objects.update(worker="faster")]
    assert run(creation, clock).state == states.RUNNING
    assert step(creation) == ("running", 1)
    instance.refresh_from_db()
    assert instance.state == states.PROVISIONING and not Fact.objects.filter(name="InstanceReady").exists()


def test_a_worker_that_lost_its_lease_does_not_undo_what_the_other_one_builds(
    creation: Operation, provider: ScriptedProvider, clock: Clock
) -> None:
    steal = after(lambda: Operation.objects.update(worker="faster"), ProvisioningError("too late"))
    provider.on_ensure = [steal]
    run(creation, clock)
    assert not provider.destroyed and step(creation) == ("running", 1)


# --- one at a time -------------------------------------------------------------------------------------------


def test_an_instance_is_changed_by_one_operation_at_a_time(instance: Instance) -> None:
    with pytest.raises(InstanceBusy), transaction.atomic():
        operations.request_operation(instance, "archive", now=NOW)
    assert instance.operations.count() == 1


def test_after_its_end_the_next_operation_may_come(creation: Operation, instance: Instance, clock: Clock) -> None:
    run(creation, clock)
    actions.change(instance, "suspend", reason="operator", actor="Olga", now=NOW)
    people.work(instance)
    assert instance.state == states.SUSPENDED


# --- progress ------------------------------------------------------------------------------------------------


def test_progress_counts_the_steps_that_are_really_done(
    creation: Operation, instance: Instance, provider: ScriptedProvider, clock: Clock
) -> None:
    seen: list[tuple[str, int]] = []

    def look() -> None:
        progress = queries.progress(instance.pk)
        assert progress is not None
        seen.append((progress.state, progress.percent))

    look()
    provider.on_ensure = [look]
    run(creation, clock)
    look()
    assert seen == [("queued", 0), ("running", 67), ("succeeded", 100)]


def test_progress_does_not_grow_while_things_are_undone(
    creation: Operation, instance: Instance, provider: ScriptedProvider, clock: Clock
) -> None:
    provider.on_ensure = [ProvisioningError("no")]
    run(creation, clock)
    progress = queries.progress(instance.pk)
    assert progress and (progress.state, progress.percent, progress.error_detail) == ("failed", 67, "no")


def test_a_long_step_tells_how_far_it_is(
    creation: Operation, instance: Instance, provider: ScriptedProvider, clock: Clock
) -> None:
    provider.on_ensure = [after(lambda: provider.report("layer 3 of 4", 0.75), NotYet(60, "layer 3 of 4"))]
    run(creation, clock)
    view = queries.progress(instance.pk).steps[2]  # type: ignore[union-attr]
    assert (view.note, view.fraction, view.seconds) == ("layer 3 of 4", 0.75, None)


def test_the_time_taken_counts_from_the_request(creation: Operation, instance: Instance, clock: Clock) -> None:
    clock.forward(1.5)
    run(creation, clock)
    assert queries.progress(instance.pk).seconds == 1.5  # type: ignore[union-attr]
