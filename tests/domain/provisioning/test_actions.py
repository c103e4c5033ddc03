from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from parcelle.core.models import Fact
from parcelle.core.states import IllegalTransition
from parcelle.domain.provisioning import actions, leases, queries, states
from parcelle.domain.provisioning.errors import CannotBeSaved, InstanceBusy, NameTaken, ProvisioningError
from parcelle.domain.provisioning.models import Instance, Target
from tests import people
from tests.domain.provisioning.scripted import ScriptedProvider
from tests.people import NOW, Cast


def change(instance: Instance, kind: str) -> None:
    with transaction.atomic():
        actions.change(instance, kind, reason="operator", actor="Olga", now=NOW)
    people.work(instance)


@pytest.fixture
def live(instance: Instance) -> Instance:
    people.work(instance)
    return instance


# --- requesting ----------------------------------------------------------------------------------------------


def test_a_new_instance_has_secrets_of_its_own(cast: Cast) -> None:
    ours = people.requested_instance(cast.organization, cast.plan)
    theirs = people.requested_instance(cast.other_organization, cast.plan)
    assert {name: len(value) for name, value in ours.secrets.items()} == {
        "database_password": 16,
        "secret_key": 32,
        "initial_password": 12,
    }
    assert not set(ours.secrets.values()) & set(theirs.secrets.values())


def test_a_name_belongs_to_one_instance_at_a_time(cast: Cast) -> None:
    people.requested_instance(cast.organization, cast.plan, slug="acme")
    with pytest.raises(NameTaken, match="acme"), transaction.atomic():
        people.requested_instance(cast.other_organization, cast.plan, slug="acme")


@pytest.mark.parametrize("slug", ["A B", "ab", "x" * 51, "'; --", "é-é"])
def test_a_name_that_is_not_well_formed_is_not_called_taken(cast: Cast, slug: str) -> None:
    with pytest.raises(Exception, match=r".") as caught, transaction.atomic():
        people.requested_instance(cast.organization, cast.plan, slug=slug)
    assert not isinstance(caught.value, NameTaken)


@pytest.mark.parametrize("changes", [{"enabled": False}, {"name": "elsewhere"}])
def test_a_product_without_a_usable_target_says_which_one(cast: Cast, changes: dict[str, Any]) -> None:
    Target.objects.update(**changes)
    with pytest.raises(ProvisioningError, match="nowhere"), transaction.atomic():
        people.requested_instance(cast.organization, cast.plan)


def test_a_target_with_an_unknown_provider_says_so(cast: Cast) -> None:
    Target.objects.update(provider="cloud9")
    with pytest.raises(ProvisioningError, match="cloud9"), transaction.atomic():
        people.requested_instance(cast.organization, cast.plan)


@pytest.mark.parametrize(
    ("state", "free"), [(s, s in {"archived", "failed", "standby"}) for s, _label in states.INSTANCE_CHOICES]
)
def test_a_name_is_free_again_once_its_instance_failed_or_is_archived(cast: Cast, state: str, free: bool) -> None:
    Instance.objects.filter(pk=people.requested_instance(cast.organization, cast.plan, slug="acme").pk).update(
        state=state
    )
    try:
        with transaction.atomic():
            people.requested_instance(cast.other_organization, cast.plan, slug="acme")
    except NameTaken:
        assert not free
    else:
        assert free


def test_the_database_itself_refuses_two_unfinished_operations(instance: Instance) -> None:
    operation = instance.operations.get()
    operation.pk = None
    with pytest.raises(IntegrityError, match="one_unfinished_operation_per_instance"), transaction.atomic():
        operation.save(force_insert=True)


# --- suspend, resume, archive --------------------------------------------------------------------------------


def test_suspending_and_resuming_comes_back_to_where_it_was(live: Instance) -> None:
    change(live, "suspend")
    assert (live.state, live.reason) == (states.SUSPENDED, "operator")
    change(live, "resume")
    assert (live.state, live.reason) == (states.LIVE, "")


def test_archiving_destroys_the_stack_and_forgets_every_secret(live: Instance, provider: ScriptedProvider) -> None:
    change(live, "archive")
    assert (live.state, live.secrets, live.archived_at) == (states.ARCHIVED, {}, NOW)
    assert provider.destroyed == [live.ref] and leases.ports_of(live.ref) == {}


def test_what_cannot_be_saved_is_not_even_stopped(
    live: Instance, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_ref: object) -> bool:
        raise CannotBeSaved("write `dump`")

    touched: list[object] = []
    monkeypatch.setattr(provider, "must_save", refuse)
    monkeypatch.setattr(provider, "stop", touched.append)
    change(live, "archive")
    archiving = live.operations.get(kind="archive")
    assert (live.state, archiving.state, archiving.error_code) == (states.LIVE, states.FAILED, "cannot_be_saved")
    assert touched == provider.destroyed == []


def test_every_change_leaves_a_fact_with_its_reason_and_its_actor(live: Instance) -> None:
    for kind in ("suspend", "resume", "archive"):
        change(live, kind)
    facts = Fact.objects.filter(instance_id=live.pk, actor="Olga").order_by("id")
    assert [(f.name, f.data.get("reason")) for f in facts] == [
        ("InstanceSuspended", "operator"),
        ("InstanceResumed", None),
        ("InstanceArchived", "operator"),
    ]


POSSIBLE = {
    "requested": {"archive"},
    "live": {"suspend", "archive"},
    "sleeping": {"suspend", "archive"},
    "suspended": {"resume", "archive"},
    "failed": {"archive"},
}


@pytest.mark.parametrize("kind", ["suspend", "resume", "archive"])
@pytest.mark.parametrize("state", ["requested", "provisioning", "live", "sleeping", "suspended", "failed", "archived"])
def test_what_is_not_possible_in_a_state_is_refused(live: Instance, state: str, kind: str) -> None:
    Instance.objects.filter(pk=live.pk).update(state=state)
    if kind in POSSIBLE.get(state, set()):
        actions.change(live, kind, reason="operator", actor="Olga", now=NOW)
    else:
        with pytest.raises(IllegalTransition), transaction.atomic():
            actions.change(live, kind, reason="operator", actor="Olga", now=NOW)
    assert live.operations.exclude(kind="create").count() == (kind in POSSIBLE.get(state, set()))


def test_a_busy_instance_is_not_changed(live: Instance) -> None:
    actions.change(live, "suspend", reason="operator", actor="Olga", now=NOW)
    with pytest.raises(InstanceBusy), transaction.atomic():
        actions.change(live, "archive", reason="customer", actor="Ann", now=NOW)
    live.refresh_from_db()
    assert live.reason == "operator"


def test_a_failed_suspension_leaves_the_instance_live_and_can_be_asked_again(
    live: Instance, monkeypatch: pytest.MonkeyPatch, provider: ScriptedProvider
) -> None:
    def stuck(_ref: object) -> None:
        raise ProvisioningError("stuck")

    with monkeypatch.context() as broken:
        broken.setattr(provider, "stop", stuck)
        change(live, "suspend")
        assert live.state == states.LIVE
    failed = live.operations.get(kind="suspend")
    actions.retry_operation(failed, actor="Olga", now=NOW)
    people.work(live)
    assert live.state == states.SUSPENDED


# --- a failed creation ---------------------------------------------------------------------------------------


@pytest.fixture
def failed(instance: Instance, provider: ScriptedProvider) -> Instance:
    provider.on_ensure = [ProvisioningError("no such image")]
    people.work(instance)
    return instance


def test_a_failed_creation_is_tried_again_with_fresh_secrets_under_its_name(failed: Instance) -> None:
    slug, old = failed.slug, set(failed.secrets.values())
    actions.retry_creation(failed, actor="Awa", now=NOW)
    people.work(failed)
    assert (failed.state, failed.slug) == (states.LIVE, slug)
    assert not old & set(failed.secrets.values())


def test_a_second_click_on_retry_is_refused(failed: Instance) -> None:
    again = Instance.objects.get(pk=failed.pk)
    actions.retry_creation(failed, actor="Awa", now=NOW)
    with pytest.raises(IllegalTransition), transaction.atomic():
        actions.retry_creation(again, actor="Awa", now=NOW)


def test_a_name_that_somebody_took_meanwhile_is_not_taken_back(failed: Instance, cast: Cast) -> None:
    people.requested_instance(cast.other_organization, cast.plan, slug=failed.slug or "")
    with pytest.raises(NameTaken), transaction.atomic():
        actions.retry_creation(failed, actor="Awa", now=NOW)


def test_a_live_instance_cannot_be_created_again(live: Instance) -> None:
    with pytest.raises(IllegalTransition), transaction.atomic():
        actions.retry_creation(live, actor="Awa", now=NOW)


# --- questions -----------------------------------------------------------------------------------------------


def test_credentials_are_those_of_the_first_user(live: Instance) -> None:
    credentials = queries.credentials(live.pk)
    assert credentials is not None
    assert (credentials.user_name, credentials.password) == (live.slug, live.secrets["initial_password"])
    assert not re.search(re.escape(credentials.password), repr(credentials))


def test_there_are_no_credentials_before_the_instance_is_live(instance: Instance) -> None:
    assert queries.credentials(instance.pk) is None


def test_the_progress_of_nothing_is_nothing(cast: Cast) -> None:
    assert queries.progress(cast.organization.pk) is None


def test_progress_is_that_of_the_newest_operation(live: Instance) -> None:
    later = people.NOW.replace(hour=10)
    actions.change(live, "suspend", reason="operator", actor="Olga", now=later)
    progress = queries.progress(live.pk)
    assert progress is not None and (progress.kind, progress.state, progress.finished) == ("suspend", "queued", False)
