"""`parcelle instance …`"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from tests.surfaces.cli.typing_it import run, type_in

if TYPE_CHECKING:
    from parcelle.domain.provisioning.models import Instance
    from tests.people import Cast

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def live(committed: Cast) -> Instance:
    from tests import people

    return people.live_instance(committed.organization, committed.plan)


def of(name: str) -> Any:
    from parcelle.domain.provisioning import queries

    return queries.instance_named(name)


def test_create_shows_the_steps_and_how_to_sign_in(worker: None) -> None:
    done = type_in("instance", "create", "acme-corp", "admin@acme.com")
    assert (done.code, done.err) == (0, "")
    instance = of("acme-corp")
    assert instance.state == "live"
    assert re.search(r"✓ Starting the application +\d+\.\d\d s", done.out)
    for words in ("acme-corp", "admin@acme.com", instance.secrets["initial_password"]):
        assert words in done.out
    assert re.search(r"Seconds +\d+\.\d\d", done.out)
    assert (instance.owner["company"], instance.owner["language"]) == ("Acme Corp", "fr")


def test_create_as_json_prints_nothing_else(worker: None) -> None:
    done = type_in("instance", "create", "acme-corp", "admin@acme.com", "--company", "Acme & Söhne", "--json")
    assert done.code == 0 and "✓" in done.err
    assert (done.json["name"], done.json["state"], done.json["company"]) == ("acme-corp", "live", "Acme & Söhne")
    assert done.json["password"] == of("acme-corp").secrets["initial_password"]
    assert done.json["operation"]["seconds"] > 0


def test_create_without_waiting(committed: Cast) -> None:
    done = type_in("instance", "create", "acme-corp", "admin@acme.com", "--no-wait", "--json")
    assert (done.code, done.json["state"], done.json["operation"]["kind"]) == (0, "requested", "create")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["Acme", "a@example.com"], "3 to 50 characters"),
        (["ab", "a@example.com"], "3 to 50 characters"),
        (["acme", "nobody"], "not a complete e-mail address"),
        (["acme", "a@example.com", "--language", "de"], "use fr or en"),
        (["acme", "a@example.com", "--plan", "gold"], "there is: plain/trial"),
        (["acme", "a@example.com", "--plan", "other/trial"], "there is: plain/trial"),
        (["taken", "a@example.com"], "The name taken is taken"),
        (["acme", "owner@example.com"], "already has an active subscription (Essai)"),
    ],
)
def test_create_refuses_with_a_sentence(committed: Cast, words: list[str], sentence: str) -> None:
    from tests import people

    people.requested_instance(committed.organization, committed.plan, slug="taken")
    done = type_in("instance", "create", *words)
    assert (done.code, done.out) == (1, "")
    assert sentence in done.err and done.err.startswith("parcelle: ") and done.err.count("\n") == 1


def test_the_plan_can_be_named(worker: None) -> None:
    from tests import people

    people.offer("other")
    assert type_in("instance", "create", "one", "a@example.com", "--plan", "other/trial").code == 0
    assert type_in("instance", "create", "two", "b@example.com", "--plan", "trial").code == 0
    assert (of("one").product.slug, of("two").product.slug) == ("other", "plain")


def test_a_creation_that_fails_ends_with_why(worker: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from parcelle.domain.provisioning.errors import ProvisioningError
    from parcelle.domain.provisioning.providers.null import NullProvider

    def fail(*_arguments: object) -> None:
        raise ProvisioningError("no room left")

    monkeypatch.setattr(NullProvider, "ensure", fail)
    done = type_in("instance", "create", "acme-corp", "admin@acme.com")
    assert (done.code, done.err) == (1, "parcelle: acme-corp could not be created: no room left\n")
    assert "✗ Starting the application" in done.out
    monkeypatch.undo()
    again = type_in("instance", "retry", "acme-corp")
    assert (again.code, of("acme-corp").state) == (0, "live")
    assert "only a failed creation" in type_in("instance", "retry", "acme-corp").err


def test_nobody_working_is_noticed(committed: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    from parcelle.surfaces.cli import watching

    monkeypatch.setattr(watching, "_WORKER_LATE_SECONDS", 0.0)
    monkeypatch.setattr(watching, "_GRACE", timedelta(minutes=-5, seconds=0.5))
    done = type_in("instance", "create", "acme-corp", "admin@acme.com")
    assert done.code == 1
    assert "Still waiting for a worker" in done.out and "No worker has finished this in time" in done.err


def test_list(live: Instance, committed: Cast) -> None:
    from tests import people

    people.requested_instance(committed.other_organization, committed.plan, now=people.NOW + timedelta(hours=1))
    done = type_in("instance", "list")
    assert done.code == 0 and "maconnerie-diop" in done.out and "stranger-sons" in done.out
    assert [row["name"] for row in type_in("instance", "list", "--json").json] == ["stranger-sons", "maconnerie-diop"]
    assert [row["name"] for row in type_in("instance", "list", "--state", "live", "--json").json] == ["maconnerie-diop"]
    assert "no state 'awake'" in type_in("instance", "list", "--state", "awake").err
    assert "password" not in type_in("instance", "list", "--json").out


def test_list_of_nothing_says_what_to_do(committed: Cast) -> None:
    assert "parcelle instance create" in type_in("instance", "list").out


def test_show_takes_a_name_or_an_id(live: Instance) -> None:
    for name in ("maconnerie-diop", str(live.pk), live.pk.hex):
        done = type_in("instance", "show", name, "--json")
        assert (done.json["id"], done.json["operation"]["state"]) == (str(live.pk), "succeeded")
    text = type_in("instance", "show", "maconnerie-diop").out
    assert live.secrets["initial_password"] in text and "Create: succeeded" in text


def test_without_its_blueprint_an_instance_is_still_shown(live: Instance, settings: Settings, tmp_path: Path) -> None:
    settings.BLUEPRINTS_DIR = tmp_path
    done = type_in("instance", "show", "maconnerie-diop", "--json")
    assert (done.code, done.json["state"], done.json["password"]) == (0, "live", None)
    assert "there is no blueprint 'plain'" in done.err


@pytest.mark.parametrize("name", ["nobody", "00000000-0000-4000-8000-000000000000", "x\x00y", "'; --", ""])
def test_a_name_that_nobody_has(committed: Cast, name: str) -> None:
    done = type_in("instance", "show", name)
    assert (done.code, done.out) == (1, "") and "There is no instance" in done.err


def test_standbys_are_not_shown(committed: Cast) -> None:
    from parcelle.domain.provisioning.models import Instance, Target

    standby = Instance.objects.create(
        product=committed.plan.product, target=Target.objects.get(), state="standby", created_at=timezone.now()
    )
    assert type_in("instance", "list", "--json").json == []
    assert type_in("instance", "archive", str(standby.pk), "--yes").code == 1


def test_suspend_resume_archive(live: Instance, worker: None) -> None:
    done = type_in("instance", "suspend", "maconnerie-diop")
    assert done.code == 0 and "maconnerie-diop was suspended in" in done.out
    assert "it cannot be suspended now" in type_in("instance", "suspend", "maconnerie-diop").err
    assert type_in("instance", "resume", "maconnerie-diop", "--json").json["state"] == "live"
    assert type_in("instance", "archive", "maconnerie-diop", "--yes").code == 0
    live.refresh_from_db()
    assert (live.state, live.reason) == ("archived", "operator")
    assert {operation.actor for operation in live.operations.exclude(kind="create")} == {"cli"}
    assert "maconnerie-diop" in type_in("instance", "list", "--all").out
    assert "maconnerie-diop" not in type_in("instance", "list").out


def test_a_busy_instance_is_left_alone(live: Instance) -> None:
    assert type_in("instance", "suspend", "maconnerie-diop", "--no-wait").code == 0
    done = type_in("instance", "archive", "maconnerie-diop", "--yes")
    assert done.code == 1 and "Another operation changes maconnerie-diop right now" in done.err


def test_archive_asks_and_says_what_is_lost(live: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    unasked = type_in("instance", "archive", "maconnerie-diop")
    assert unasked.code == 1 and "add --yes" in unasked.err and "are removed" in unasked.err
    assert unasked.out == ""
    assert not live.operations.filter(kind="archive").exists()


def test_logs(live: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    from parcelle.domain.provisioning.providers.null import NullProvider

    monkeypatch.setattr(NullProvider, "logs", lambda _self, _ref, *, lines: "one\ntwo\n"[: 4 if lines == 1 else None])
    assert type_in("instance", "logs", "maconnerie-diop").out == "one\ntwo\n"
    assert type_in("instance", "logs", "maconnerie-diop", "--lines", "1").out == "one\n"
    assert type_in("instance", "logs", "maconnerie-diop", "--json").json["lines"] == ["one", "two"]


# --- the program itself ---------------------------------------------------------------------------------


def test_the_program_creates_and_leaks_nothing(worker: None, tmp_path: Path, settings: Settings) -> None:
    log = tmp_path / "cli.log"
    blueprints = str(settings.BLUEPRINTS_DIR)
    done = run(
        "instance", "create", "acme-corp", "admin@acme.com", PARCELLE_LOG_FILE=str(log), PARCELLE_BLUEPRINTS=blueprints
    )
    instance = of("acme-corp")
    assert done.code == 0, done.err
    assert instance.secrets["initial_password"] in done.out
    for secret in instance.secrets.values():
        assert secret not in done.err + log.read_text()


def test_without_a_database_the_program_says_what_to_do(tmp_path: Path) -> None:
    done = run("instance", "list", DATABASE_URL=f"postgresql:///x?host={tmp_path}")
    assert done.code == 1 and "parcelle up" in done.err and "Traceback" not in done.err


def test_help_names_every_command() -> None:
    done = type_in("instance", "--help")
    for command in ("create", "list", "show", "logs", "suspend", "resume", "archive", "retry"):
        assert re.search(rf"\b{command}\b", done.out)
