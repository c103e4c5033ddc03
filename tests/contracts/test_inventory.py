"""The `process` provider's list of what is on a machine, and drift found and repaired for real."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from parcelle.domain.catalog import blueprints as catalog
from parcelle.domain.provisioning import drift, leases, repairs, specs, states, templates
from parcelle.domain.provisioning.models import Finding, Instance, Operation
from parcelle.domain.provisioning.providers.base import Found, Status
from parcelle.journeys import instance_control
from tests import drifting, world
from tests.system import System

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def live(system: System) -> Instance:
    instance = system.sign_up()
    assert system.finish(instance.operations.get(), seconds=120).state == states.SUCCEEDED
    instance.refresh_from_db()
    return instance


@pytest.fixture(autouse=True)
def _all_is_well_afterwards(system: System, live: Instance) -> Iterator[None]:
    yield
    world.assert_nothing_orphaned(system)
    # A program that began or ended a moment ago is on its way, not astray.
    give_up = time.monotonic() + 30
    while drift.look(system.target(), now=timezone.now(), pause=0):
        assert time.monotonic() < give_up
        time.sleep(0.2)


def thing(system: System, ref: uuid.UUID) -> Found | None:
    found = [found for found in system.provider.inventory() if drift.short(found.ref) == drift.short(ref)]
    return found[0] if found else None


def repair(system: System, ref: uuid.UUID) -> Operation:
    finding = drifting.finding_about(system, ref)
    operation = repairs.repair(finding.pk, shown=finding.parts, actor="test", now=timezone.now())
    assert system.finish(operation).state == states.SUCCEEDED, operation.error_detail
    finding.refresh_from_db()
    assert finding.closed_at is not None
    return operation


def test_everything_of_an_instance_is_listed(system: System, live: Instance) -> None:
    key = drift.short(live.ref)
    drifting.wait_until_it_runs(system, live.ref)
    found = thing(system, live.ref)
    assert found is not None
    assert (found.name, found.status, found.detail) == (f"tenant-{key}", Status.RUNNING, "")
    assert found.parts == (
        f"program/tenant-{key}",
        f"database/tenant_{key}",
        f"role/tenant_{key}",
        f"folder/tenants/{key}",
    )
    assert drift.look(system.target(), now=timezone.now(), pause=0) == []


def test_a_program_that_was_stopped_is_started_again(system: System, live: Instance) -> None:
    drifting.stop_program(system, live.ref)
    finding = drifting.finding_about(system, live.ref)
    assert (finding.kind, finding.instance_id, finding.name) == ("stopped", live.pk, live.slug)
    assert repair(system, live.ref).kind == "restart"
    assert world._signs_in(live)


def test_a_database_that_was_dropped_is_cloned_and_personalised_again(system: System, live: Instance) -> None:
    drifting.lose_database(system, live.ref)
    finding = drifting.finding_about(system, live.ref)
    assert (finding.kind, finding.detail) == ("half_made", "without database")
    assert repair(system, live.ref).kind == "repair"
    assert world._signs_in(live)


def test_files_that_were_removed_are_written_again_and_the_data_stay(system: System, live: Instance) -> None:
    database = f"tenant_{drift.short(live.ref)}"
    before = world._database(system, database, owner=database)
    shutil.rmtree(system.home.path / "tenants" / drift.short(live.ref))
    assert drifting.finding_about(system, live.ref).detail == "without folder"
    assert repair(system, live.ref).kind == "repair"
    assert world._database(system, database, owner=database) == before
    # What a stop needs to be undone is there again as well.
    system.provider.stop(live.ref)
    system.provider.start(live.ref)
    drifting.wait_until_it_runs(system, live.ref)


def test_an_instance_that_is_gone_altogether_is_made_again(system: System, live: Instance) -> None:
    system.provider.destroy(live.ref)
    assert thing(system, live.ref) is None
    assert drifting.finding_about(system, live.ref).kind == "missing"
    assert repair(system, live.ref).kind == "repair"
    live.refresh_from_db()
    assert world._signs_in(live)


def test_what_runs_although_it_is_suspended_is_stopped_again(system: System, live: Instance) -> None:
    asked: Any = {"reason": "operator", "actor": "test", "now": timezone.now()}
    system.finish(instance_control.suspend_instance(live.pk, **asked))
    live.refresh_from_db()
    drifting.start_by_hand(system, live)
    assert drifting.finding_about(system, live.ref).kind == "awake"
    assert repair(system, live.ref).kind == "rest"
    assert world._answer(live) == 503
    assert drift.look(system.target(), now=timezone.now(), pause=0) == []
    # And one that is lost while it rests comes back to rest.
    system.provider.destroy(live.ref)
    assert drifting.finding_about(system, live.ref).kind == "missing"
    assert repair(system, live.ref).kind == "repair"
    assert thing(system, live.ref).status is Status.STOPPED  # type: ignore[union-attr]
    system.finish(instance_control.resume_instance(live.pk, **asked))
    live.refresh_from_db()
    assert world._signs_in(live)


@pytest.mark.parametrize("part", ["database", "role", "folder"])
def test_the_smallest_orphan_is_found_and_removed(system: System, part: str) -> None:
    ref, postgres = uuid.uuid4(), system.provider.postgres
    name = f"tenant_{drift.short(ref)}"
    if part == "folder":
        (system.home.path / "tenants" / drift.short(ref)).mkdir()
    else:
        postgres.ensure_role(name, None)
    if part == "database":
        postgres.ensure_empty_database(name, role=name)
    finding = drifting.finding_about(system, ref)
    assert (finding.kind, finding.instance_id) == ("unknown", None)
    assert f"{part}/" in " ".join(finding.parts)
    assert repair(system, ref).kind == "remove_unknown"
    assert thing(system, ref) is None


def test_a_clone_that_was_interrupted_is_listed_under_its_instance(system: System) -> None:
    ref = uuid.uuid4()
    name = f"tenant_{drift.short(ref)}"
    system.provider.postgres.ensure_role(name, None)
    system.provider.postgres.ensure_empty_database(f"{name}_new", role=name)
    assert f"database/{name}_new" in drifting.finding_about(system, ref).parts
    repair(system, ref)


def test_a_port_that_nobody_uses_is_given_back(system: System) -> None:
    nobody = uuid.uuid4()
    port = leases.lease_port(system.target(), nobody, purpose="application", first=system.first_port)
    finding = drifting.finding_about(system, nobody)
    assert (finding.kind, finding.parts) == ("leased", [f"port/{port}"])
    repair(system, nobody)
    assert leases.ports_of(nobody) == {}


def test_what_an_archived_instance_left_is_cleared(system: System) -> None:
    instance = system.sign_up(company="Leftovers")
    system.finish(instance.operations.get())
    asked: Any = {"reason": "operator", "actor": "test", "now": timezone.now()}
    system.finish(instance_control.archive_instance(instance.pk, **asked))
    drifting.leave_something(system, instance.ref)
    assert drifting.finding_about(system, instance.ref).kind == "half_made"
    assert repair(system, instance.ref).kind == "clear"
    assert Instance.objects.get(pk=instance.pk).state == states.ARCHIVED


def test_a_lost_template_is_built_again(system: System, live: Instance) -> None:
    blueprint = catalog.load("echo")
    template = templates.current(system.target(), blueprint)
    assert template is not None
    assert system.provider.has_template(blueprint)
    drifting.lose_template(system, blueprint.version_key)
    assert not system.provider.has_template(blueprint)
    assert repair(system, template.pk).kind == "build_template"
    template.refresh_from_db()
    assert template.state == states.READY
    assert system.provider.has_template(blueprint)
    # Initialised as the first one was: who gets a copy can sign in.
    clone = system.sign_up(company="After the loss")
    operation = system.finish(clone.operations.get())
    assert operation.state == states.SUCCEEDED, operation.error_detail
    clone.refresh_from_db()
    assert world._signs_in(clone)


def test_a_creation_under_way_is_not_drift(system: System) -> None:
    instance = system.sign_up(company="Under way")
    spec = specs.spec_of(instance, system.provider)
    leases.lease_port(system.target(), instance.ref, purpose="application", first=system.first_port)
    system.provider.ensure(spec, "create_database", lambda _note, _fraction: None)
    assert drift.look(system.target(), now=timezone.now(), pause=0) == []
    assert not Finding.objects.filter(instance=instance).exists()
    operation = system.finish(instance.operations.get())
    assert operation.state == states.SUCCEEDED, operation.error_detail
