"""What should exist against what does, with a target that holds whatever the test says."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from parcelle.core.models import Fact
from parcelle.domain.provisioning import checks, drift, leases, repairs, states
from parcelle.domain.provisioning.errors import InstanceBusy, ProvisioningError, TargetUnreachable
from parcelle.domain.provisioning.models import Finding, Instance, Operation, PortLease, Target, Template
from parcelle.domain.provisioning.providers import PROVIDERS
from parcelle.domain.provisioning.providers.base import Found, Observation, Status
from tests import people
from tests.domain.provisioning.scripted import TemplatedProvider
from tests.people import NOW, Cast

pytestmark = pytest.mark.django_db
NIGHT = NOW + timedelta(days=1)


class Shelf(TemplatedProvider):
    """A target that holds what lies in `things`; `between` happens after each look."""

    def __init__(self) -> None:
        super().__init__()
        self.things: dict[uuid.UUID, Found] = {}
        self.between: list[Callable[[], object]] = []
        self.templates = True
        self.away = False

    def put(self, ref: uuid.UUID, status: Status = Status.RUNNING, *parts: str) -> None:
        self.things[ref] = Found(ref=ref, name=f"thing-{ref.hex[:4]}", status=status, parts=parts or ("a", "b"))

    def inventory(self) -> Sequence[Found]:
        if self.away:
            raise TargetUnreachable("it does not answer")
        found = list(self.things.values())
        if self.between:
            self.between.pop(0)()
        return found

    def observe(self, ref: uuid.UUID) -> Observation:
        return Observation(self.things[ref].status if ref in self.things else Status.ABSENT)

    def has_template(self, blueprint: object) -> bool:
        return self.templates


@pytest.fixture
def shelf(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    shelf = Shelf()
    monkeypatch.setitem(PROVIDERS, "scripted", lambda _connection: shelf)
    Target.objects.update(provider="scripted")
    return shelf


@pytest.fixture
def target(shelf: Shelf) -> Target:
    return Target.objects.get()


@pytest.fixture
def live(cast: Cast, shelf: Shelf) -> Instance:
    instance = people.requested_instance(cast.organization, cast.plan)
    instance.operations.update(state=states.SUCCEEDED)
    become(instance, states.LIVE)
    shelf.put(instance.ref)
    return instance


def become(instance: Instance, state: str) -> None:
    Instance.objects.filter(pk=instance.pk).update(state=state)
    instance.state = state


def look(target: Target, *, now: object = NOW) -> list[tuple[str, uuid.UUID]]:
    return [(found.kind, found.ref) for found in drift.look(target, now=now, pause=0)]  # type: ignore[arg-type]


def test_a_target_that_holds_what_it_should_has_no_findings(target: Target, live: Instance) -> None:
    assert look(target) == []
    assert not Finding.objects.exists()


@pytest.mark.parametrize(
    ("state", "status", "kind"),
    [
        ("live", None, "missing"),
        ("live", Status.STOPPED, "stopped"),
        ("live", Status.FAILED, "stopped"),
        ("live", Status.CREATING, "half_made"),
        ("live", Status.RUNNING, None),
        ("suspended", None, "missing"),
        ("suspended", Status.RUNNING, "awake"),
        ("suspended", Status.CREATING, "half_made"),
        ("suspended", Status.STOPPED, None),
        ("suspended", Status.FAILED, None),
        ("sleeping", Status.RUNNING, "awake"),
        ("failed", Status.STOPPED, "half_made"),
        ("failed", None, None),
        ("archived", Status.RUNNING, "half_made"),
        ("archived", None, None),
        ("provisioning", Status.CREATING, "half_made"),
        ("requested", None, None),
    ],
)
def test_what_is_wrong_depends_on_how_it_should_be(
    target: Target, shelf: Shelf, live: Instance, state: str, status: Status | None, kind: str | None
) -> None:
    become(live, state)
    shelf.things.clear()
    if status:
        shelf.put(live.ref, status)
    assert look(target) == ([(kind, live.ref)] if kind else [])


def test_a_finding_stays_one_row_until_it_is_gone(target: Target, shelf: Shelf, live: Instance) -> None:
    shelf.put(live.ref, Status.STOPPED)
    look(target, now=NOW)
    shelf.put(live.ref, Status.STOPPED, "only this")
    look(target, now=NIGHT)
    finding = Finding.objects.get()
    assert (finding.opened_at, finding.seen_at, finding.closed_at) == (NOW, NIGHT, None)
    assert (finding.instance_id, finding.parts) == (live.pk, ["only this"])
    shelf.put(live.ref)
    assert look(target, now=NIGHT) == []
    finding.refresh_from_db()
    assert finding.closed_at == NIGHT
    shelf.put(live.ref, Status.STOPPED)
    look(target, now=NIGHT)
    assert Finding.objects.count() == 2
    facts = Fact.objects.filter(name__startswith="Drift").order_by("pk").values_list("name", "instance_id")
    assert list(facts) == [("DriftFound", live.pk), ("DriftGone", live.pk), ("DriftFound", live.pk)]


def test_what_nobody_knows_is_reported_with_all_its_parts(target: Target, shelf: Shelf) -> None:
    nobody = uuid.uuid4()
    shelf.put(nobody, Status.RUNNING, "container/x", "volume/y")
    shelf.things[nobody] = replace(shelf.things[nobody], name="")
    assert look(target) == [("unknown", nobody)]
    finding = Finding.objects.get()
    assert finding.parts == ["container/x", "volume/y"]
    # What has no name is still something to click on.
    assert finding.name == str(nobody)[:8]


def test_what_another_target_holds_on_the_same_engine_is_not_unknown(
    target: Target, shelf: Shelf, live: Instance
) -> None:
    twin = Target.objects.create(name="twin", provider="scripted")
    for state in (states.LIVE, states.ARCHIVED):
        become(live, state)
        assert look(twin) == []
    assert look(target) == [("half_made", live.ref)]


def test_the_first_half_of_a_ref_is_enough_to_know_it(target: Target, shelf: Shelf, live: Instance) -> None:
    """Some targets have no room for more."""
    shelf.things.clear()
    shelf.put(uuid.UUID(live.ref.hex[:16] + "0" * 16))
    assert look(target) == []
    become(live, states.ARCHIVED)
    assert look(target) == [("half_made", live.ref)]


def test_an_operation_in_progress_is_not_drift(target: Target, shelf: Shelf, live: Instance) -> None:
    shelf.things.clear()
    operation = Operation.objects.create(instance=live, kind="suspend", created_at=NOW, deadline_at=NOW)
    assert look(target) == []
    operation.state = states.FAILED
    operation.save()
    assert look(target) == [("missing", live.ref)]


def test_while_it_is_repaired_a_finding_stays_as_it_is(target: Target, shelf: Shelf, live: Instance) -> None:
    shelf.put(live.ref, Status.STOPPED)
    look(target)
    finding = Finding.objects.get()
    repairs.repair(finding.pk, actor="test", now=NOW)
    shelf.put(live.ref)
    assert look(target) == [("stopped", live.ref)]


def test_what_is_right_again_at_the_second_look_is_never_reported(target: Target, shelf: Shelf, live: Instance) -> None:
    shelf.put(live.ref, Status.STOPPED)
    shelf.between = [lambda: shelf.put(live.ref)]
    assert look(target) == []
    assert not Finding.objects.exists()


def test_what_only_the_second_look_sees_waits_for_the_next_night(target: Target, shelf: Shelf, live: Instance) -> None:
    shelf.put(live.ref, Status.STOPPED)
    late = uuid.uuid4()
    shelf.between = [lambda: shelf.put(late)]
    assert look(target) == [("stopped", live.ref)]
    assert sorted(look(target)) == sorted([("unknown", late), ("stopped", live.ref)])


def test_ports_and_networks_of_nobody_are_found(target: Target, shelf: Shelf, live: Instance) -> None:
    gone = uuid.uuid4()
    leases.lease_port(target, live.ref, purpose="application", first=8080)
    leases.lease_port(target, gone, purpose="application", first=8080)
    leases.lease_subnet(target, gone, purpose="back")
    leases.skip_port(target, 8090)
    assert look(target) == [("leased", gone)]
    assert Finding.objects.get().parts == ["port/8081", f"network/{leases.subnet_at(0)}"]
    become(live, states.ARCHIVED)
    shelf.things.clear()
    assert sorted(look(target)) == sorted([("leased", gone), ("leased", live.ref)])


def test_what_is_there_with_its_ports_is_one_finding(target: Target, shelf: Shelf) -> None:
    nobody = uuid.uuid4()
    shelf.put(nobody)
    leases.lease_port(target, nobody, purpose="application", first=8080)
    assert look(target) == [("unknown", nobody)]


def test_a_lost_template_is_found_unless_it_is_an_old_one(target: Target, shelf: Shelf) -> None:
    now, old = (
        Template.objects.create(target=target, blueprint="plain", version=version, state="ready", created_at=NOW)
        for version in ("1", "0.9")
    )
    assert look(target) == []
    shelf.templates = False
    assert look(target) == [("missing", now.pk)]
    operation = repairs.repair(Finding.objects.get().pk, actor="test", now=NOW)
    now.refresh_from_db()
    assert (operation.kind, operation.template_id, now.state) == ("build_template", now.pk, states.BUILDING)
    assert old.state == "ready"


def test_a_target_that_cannot_be_asked_changes_nothing(target: Target, shelf: Shelf, live: Instance) -> None:
    shelf.put(live.ref, Status.STOPPED)
    look(target)
    shelf.away = True
    with pytest.raises(TargetUnreachable):
        look(target, now=NIGHT)
    checks.look(target, now=NIGHT)
    assert Finding.objects.get().closed_at is None


def test_a_check_is_remembered(target: Target, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    checks.check(target, now=NOW)
    target.refresh_from_db()
    assert (target.checked_at, target.problem) == (NOW, "")

    def refuse() -> None:
        raise TargetUnreachable("it does not answer")

    monkeypatch.setattr(shelf, "check", refuse)
    with pytest.raises(TargetUnreachable):
        checks.check(target, now=NIGHT)
    target.refresh_from_db()
    assert (target.checked_at, target.problem_code) == (NIGHT, "target_unreachable")
    assert target.problem == "it does not answer"


def test_a_target_that_answers_but_cannot_be_listed_says_so(target: Target, shelf: Shelf) -> None:
    shelf.away = True
    checks.look(target, now=NIGHT)
    target.refresh_from_db()
    assert (target.checked_at, target.problem_code) == (NIGHT, "target_unreachable")


# --- repairs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "status", "kind"),
    [
        ("live", None, "repair"),
        ("live", Status.CREATING, "repair"),
        ("live", Status.STOPPED, "restart"),
        ("suspended", None, "repair"),
        ("suspended", Status.RUNNING, "rest"),
        ("failed", Status.RUNNING, "clear"),
        ("archived", Status.STOPPED, "clear"),
    ],
)
def test_the_repair_fits_what_is_wrong(
    target: Target, shelf: Shelf, live: Instance, state: str, status: Status | None, kind: str
) -> None:
    become(live, state)
    shelf.things.clear()
    if status:
        shelf.put(live.ref, status)
    look(target)
    finding = Finding.objects.get()
    operation = repairs.repair(finding.pk, shown=finding.parts, actor="test", now=NOW)
    assert (operation.kind, operation.instance_id, operation.finding_id) == (kind, live.pk, finding.pk)
    with pytest.raises(InstanceBusy):
        repairs.repair(finding.pk, actor="test", now=NOW)


def test_a_standby_is_replaced(target: Target, shelf: Shelf, live: Instance) -> None:
    Instance.objects.filter(pk=live.pk).update(state=states.STANDBY, organization=None)
    shelf.put(live.ref, Status.STOPPED)
    look(target)
    operation = repairs.repair(Finding.objects.get().pk, actor="test", now=NOW)
    live.refresh_from_db()
    assert (operation.kind, live.state) == ("discard_standby", states.FAILED)
    assert Fact.objects.filter(name="StandbyBroken").exists()


def test_nothing_is_removed_but_what_was_shown(target: Target, shelf: Shelf) -> None:
    nobody = uuid.uuid4()
    shelf.put(nobody, Status.RUNNING, "a")
    look(target)
    finding = Finding.objects.get()
    shelf.put(nobody, Status.RUNNING, "a", "b")
    look(target)
    with pytest.raises(ProvisioningError, match="has changed since it was shown"):
        repairs.repair(finding.pk, shown=["a"], actor="test", now=NOW)
    assert not Operation.objects.filter(finding=finding).exists()


def test_what_is_gone_cannot_be_repaired(target: Target, shelf: Shelf, live: Instance) -> None:
    shelf.put(live.ref, Status.STOPPED)
    look(target)
    shelf.put(live.ref)
    look(target)
    with pytest.raises(ProvisioningError, match="nothing to repair"):
        repairs.repair(Finding.objects.get().pk, actor="test", now=NOW)


def run(operation: Operation) -> Operation:
    from parcelle.domain.provisioning import runner
    from parcelle.domain.provisioning.workflows import WORKFLOWS

    runner.run(operation.pk, WORKFLOWS, clock=lambda: NOW)
    operation.refresh_from_db()
    return operation


@pytest.mark.django_db(transaction=True)
def test_unknown_things_are_removed_and_looked_for_again(target: Target, shelf: Shelf) -> None:
    nobody = uuid.uuid4()
    shelf.put(nobody, Status.RUNNING, "a")
    leases.lease_port(target, nobody, purpose="application", first=8080)
    look(target)
    finding = Finding.objects.get()
    # Still there after the first attempt to destroy it: only the list decides.
    shelf.on_destroy = [None, shelf.things.clear]
    operation = repairs.repair(finding.pk, shown=["a"], actor="test", now=NOW)
    assert operation.steps.count() == 4
    shelf.between = [lambda: None, lambda: None, shelf.things.clear]
    run(operation)
    assert operation.state == states.SUCCEEDED, operation.error_detail
    assert shelf.destroyed == [nobody]
    assert operation.steps.get(name="look_again").attempt > 1
    assert not PortLease.objects.exists()
    finding.refresh_from_db()
    assert finding.closed_at == NOW


@pytest.mark.django_db(transaction=True)
def test_what_grew_since_it_was_shown_is_not_destroyed(target: Target, shelf: Shelf) -> None:
    nobody = uuid.uuid4()
    shelf.put(nobody, Status.RUNNING, "a")
    look(target)
    operation = repairs.repair(Finding.objects.get().pk, shown=["a"], actor="test", now=NOW)
    shelf.put(nobody, Status.RUNNING, "a", "precious")
    assert run(operation).state == states.FAILED
    assert "precious" in operation.error_detail
    assert shelf.destroyed == []
    assert Finding.objects.get().closed_at is None


@pytest.mark.django_db(transaction=True)
def test_what_came_to_belong_to_somebody_is_not_destroyed(target: Target, shelf: Shelf, live: Instance) -> None:
    nobody = uuid.uuid4()
    shelf.put(nobody)
    look(target)
    operation = repairs.repair(Finding.objects.get(kind="unknown").pk, actor="test", now=NOW)
    Instance.objects.filter(pk=live.pk).update(ref=nobody)
    assert run(operation).state == states.FAILED
    assert shelf.destroyed == []


@pytest.mark.django_db(transaction=True)
def test_leftovers_are_not_cleared_once_the_instance_lives_again(target: Target, shelf: Shelf, live: Instance) -> None:
    become(live, states.FAILED)
    look(target)
    operation = repairs.repair(Finding.objects.get().pk, actor="test", now=NOW)
    become(live, states.LIVE)
    assert run(operation).state == states.FAILED
    assert shelf.destroyed == []
