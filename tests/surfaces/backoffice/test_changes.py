"""Retry, suspend, resume, archive: first what will happen, then what became of it."""

from __future__ import annotations

import pytest
from django.test import Client

from parcelle.domain.billing.models import Subscription
from parcelle.domain.provisioning.models import Instance
from tests import people
from tests.people import Cast
from tests.surfaces.backoffice.rows import World

pytestmark = pytest.mark.django_db

LIST = "/admin/provisioning/instance/"


def page(instance: Instance, verb: str) -> str:
    return f"{LIST}{instance.pk}/{verb}/"


def chosen(verb: str, *rows: Instance, confirmed: bool = False) -> dict[str, object]:
    form: dict[str, object] = {"action": verb, "_selected_action": [str(row.pk) for row in rows]}
    return {**form, "confirmed": verb} if confirmed else form


def test_archiving_says_what_is_lost_and_what_is_kept(operator: Client, world: World) -> None:
    html = operator.get(page(world.live, "archive")).content.decode()
    assert "Archive this instance for good?" in html
    assert "A last dump of its data is kept" in html
    assert "“live-one” becomes free" in html
    assert "cannot be undone here" in html
    assert not world.live.operations.filter(kind="archive").exists()


@pytest.mark.parametrize("verb", ["suspend", "archive"])
def test_a_confirmed_change_is_asked_for_in_the_operators_name(
    operator: Client, cast: Cast, world: World, verb: str
) -> None:
    answer = operator.post(page(world.live, verb), {"confirmed": verb}, follow=True)
    assert "has been asked for" in answer.content.decode()
    assert world.live.operations.get(kind=verb).actor == f"user:{cast.operator.pk}"
    people.work(world.live)
    assert world.live.state == {"suspend": "suspended", "archive": "archived"}[verb]
    assert world.live.reason == "operator"
    # Who did it is also read in the row's history, and the operator by their address.
    assert cast.operator.email in operator.get(f"{LIST}{world.live.pk}/change/").content.decode()
    assert verb.title() in operator.get(f"{LIST}{world.live.pk}/history/").content.decode()


def test_resuming(operator: Client, world: World) -> None:
    assert "Starts again with all its data" in operator.get(page(world.suspended, "resume")).content.decode()
    operator.post(page(world.suspended, "resume"), {"confirmed": "resume"})
    people.work(world.suspended)
    assert world.suspended.state == "live"


def test_resuming_against_the_subscription_is_said_not_to_last(operator: Client, world: World) -> None:
    Subscription.objects.filter(pk=str(world.suspended.subscription_id)).update(state="suspended")
    html = operator.get(page(world.suspended, "resume")).content.decode()
    assert "suspended again within ten minutes: its subscription gives no right to it" in html


def test_a_failed_creation_is_tried_again(operator: Client, cast: Cast, world: World) -> None:
    assert "created again under the name “failed-one”" in operator.get(page(world.failed, "retry")).content.decode()
    operator.post(page(world.failed, "retry"), {"confirmed": "retry"})
    people.work(world.failed)
    assert world.failed.state == "live"
    assert world.failed.operations.filter(actor=f"user:{cast.operator.pk}").count() == 1


def test_an_operation_is_tried_again(operator: Client, world: World) -> None:
    operation = world.failed.operations.get()
    retry = f"/admin/provisioning/operation/{operation.pk}/retry/"
    assert "created again" in operator.get(retry).content.decode()
    operator.post(retry, {"confirmed": "retry"})
    people.work(world.failed)
    assert world.failed.state == "live"
    again = operator.post(retry, {"confirmed": "retry"}, follow=True).content.decode()
    assert "Not possible in its present state (Live)." in again


def test_asking_does_nothing_until_it_is_confirmed(operator: Client, world: World) -> None:
    before = world.live.operations.count()
    for answer in (
        operator.get(page(world.live, "suspend")),
        operator.post(page(world.live, "suspend")),
        # Confirmed for something else than what is asked.
        operator.post(page(world.live, "suspend"), {"confirmed": "archive"}),
        operator.get(page(world.live, "suspend"), {"confirmed": "suspend"}),
        operator.post(LIST, chosen("suspend", world.live)),
    ):
        assert answer.status_code == 200
        assert "What will happen" in answer.content.decode()
    assert world.live.operations.count() == before


def test_several_at_once_each_with_its_own_answer(operator: Client, cast: Cast, world: World) -> None:
    busy = people.live_instance(cast.organization, cast.plan, slug="busy-one")
    operator.post(page(busy, "archive"), {"confirmed": "archive"})
    rows = (world.live, world.suspended, world.failed, busy)
    asked = operator.post(LIST, chosen("suspend", *rows)).content.decode()
    assert "Suspend 4 instances?" in asked
    assert "Stops at once" in asked
    assert "not possible in its present state (Suspended)" in asked
    assert "“Archiving” is still running on it" in asked
    assert "Suspend 1 row" in asked
    answer = operator.post(LIST, chosen("suspend", *rows, confirmed=True), follow=True)
    html = answer.content.decode()
    assert answer.redirect_chain
    assert "1 row: done." in html
    assert "3 rows: refused" in html
    assert "Not possible in its present state (Suspended)." in html
    assert "Another operation is changing it right now" in html
    assert world.live.operations.filter(kind="suspend").count() == 1
    # The answer can be read again, and does not happen again.
    assert "1 row: done." in operator.get(f"{LIST}outcome/").content.decode()
    assert world.live.operations.filter(kind="suspend").count() == 1


def test_asking_twice_is_refused_in_words(operator: Client, world: World) -> None:
    operator.post(page(world.live, "suspend"), {"confirmed": "suspend"})
    again = operator.post(page(world.live, "suspend"), {"confirmed": "suspend"}, follow=True).content.decode()
    assert "Another operation is changing it right now" in again
    assert world.live.operations.filter(kind="suspend").count() == 1


def test_when_nothing_is_possible_there_is_no_button(operator: Client, world: World) -> None:
    html = operator.get(page(world.live, "resume")).content.decode()
    assert "Nothing: not possible in its present state (Live)." in html
    assert 'class="bo-button bo-primary"' not in html


def test_the_pools_standbys_are_left_to_the_pool(operator: Client, world: World) -> None:
    for verb in ("suspend", "archive"):
        assert "the pool looks after its standbys itself" in operator.get(page(world.standby, verb)).content.decode()
        operator.post(page(world.standby, verb), {"confirmed": verb})
    assert not world.standby.operations.exists()


def test_only_what_is_possible_is_offered(operator: Client, world: World) -> None:
    offered = {
        instance.slug: {
            verb
            for verb in ("retry", "suspend", "resume", "archive")
            if page(instance, verb) in operator.get(f"{LIST}{instance.pk}/change/").content.decode()
        }
        for instance in (world.live, world.suspended, world.failed, world.standby)
    }
    assert offered == {
        "live-one": {"suspend", "archive"},
        "suspended-one": {"resume", "archive"},
        "failed-one": {"retry", "archive"},
        None: set(),
    }


def test_a_name_that_was_taken_meanwhile_is_named(operator: Client, cast: Cast, world: World) -> None:
    people.requested_instance(cast.organization, cast.plan, slug="failed-one")
    html = operator.post(page(world.failed, "retry"), {"confirmed": "retry"}, follow=True).content.decode()
    assert "Its name “failed-one” belongs to somebody else by now." in html


def test_a_row_that_is_gone_and_an_identifier_that_is_none(operator: Client, world: World) -> None:
    for key in ("3f2504e0-4f89-41d3-9a0c-0305e82c3301", "nonsense"):
        answer = operator.get(f"{LIST}{key}/archive/", follow=True)
        assert answer.status_code == 200
        assert operator.get(f"{LIST}{key}/change/", follow=True).status_code == 200


def test_too_many_rows_are_refused(operator: Client, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parcelle.surfaces.backoffice.changes.MOST_AT_ONCE", 1)
    answer = operator.post(LIST, chosen("suspend", world.live, world.suspended), follow=True)
    assert "Choose at most 1 rows at once" in answer.content.decode()


def test_hostile_names_stay_text(operator: Client, cast: Cast, world: World) -> None:
    nasty = "<script>alert(1)</script>{{ 7|add:7 }}"
    type(cast.organization).objects.filter(pk=cast.organization.pk).update(name=nasty)
    for address in ("/admin/", "/admin/tenancy/organization/", "/admin/core/fact/", page(world.live, "archive")):
        html = operator.get(address).content.decode()
        assert "<script>alert(1)" not in html, address
    operator.post(LIST, chosen("suspend", world.live, world.suspended, confirmed=True), follow=True)
