"""Adding, editing and asking targets: what is secret goes in and never comes out."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from pytest_django import Settings

from parcelle.domain.catalog.models import Plan
from parcelle.domain.provisioning import errors
from parcelle.domain.provisioning.models import Finding, Operation, Target
from parcelle.domain.provisioning.providers import PROVIDERS, portainer_api
from parcelle.domain.provisioning.providers.base import TargetHealth
from parcelle.domain.provisioning.providers.null import NullProvider
from parcelle.domain.provisioning.providers.portainer_api import Environment
from tests.people import NOW, Cast
from tests.surfaces.backoffice.rows import World
from tests.surfaces.backoffice.test_catalogue import form_of

pytestmark = pytest.mark.django_db
PEM = "-----BEGIN CERTIFICATE-----\nSecret-pem\n-----END CERTIFICATE-----"
FINGERPRINT = "AB:" * 31 + "CD"
PLACE = {"name": "north", "region": "", "capacity": "50", "enabled": "on"}


def add(client: Client, provider: str, **form: str) -> Any:
    return client.post(f"/admin/provisioning/target/add/?provider={provider}", PLACE | form)


def edit(client: Client, target: Target, **form: str) -> Any:
    return client.post(f"/admin/provisioning/target/{target.pk}/change/", PLACE | form)


def errors_of(answer: Any) -> set[str]:
    assert answer.status_code == 200
    return set(answer.context["adminform"].form.errors)


@pytest.fixture
def north(operator: Client) -> Target:
    answer = add(operator, "portainer", url="https://portainer.example:9443/", api_key="Secret-key")
    assert answer.status_code == 302, errors_of(answer)
    return Target.objects.get(name="north")


def test_what_runs_there_is_chosen_first(operator: Client) -> None:
    html = operator.get("/admin/provisioning/target/add/").content.decode()
    for provider in PROVIDERS:
        assert f'href="?provider={provider}"' in html
    assert operator.get("/admin/provisioning/target/add/?provider=unheard-of").content.decode().count("?provider=") > 3


def test_an_engine_of_this_machine_needs_nothing(operator: Client) -> None:
    assert add(operator, "docker").status_code == 302
    target = Target.objects.get(name="north")
    assert (target.provider, target.connection, target.capacity) == ("docker", {}, 50)


def test_a_remote_engine_without_tls_is_refused(operator: Client) -> None:
    assert errors_of(add(operator, "docker", url="tcp://far:2376")) == {"ca", "certificate", "key"}
    assert errors_of(add(operator, "docker", url="http://far")) == {"url"}
    assert "key" in errors_of(add(operator, "docker", url="tcp://far:2376", ca=PEM, certificate=PEM, key="no PEM"))
    assert not Target.objects.filter(name="north").exists()


def test_tls_material_is_kept_until_it_is_replaced_and_dropped_with_its_address(operator: Client) -> None:
    url = "tcp://far:2376"
    assert add(operator, "docker", url=url, ca=PEM, certificate=PEM, key=PEM).status_code == 302
    target = Target.objects.get(name="north")
    html = operator.get(f"/admin/provisioning/target/{target.pk}/change/").content.decode()
    assert "Secret-pem" not in html
    assert html.count("Stored. Leave empty to keep it.") == 3
    assert edit(operator, target, url=url, key=PEM.replace("pem", "new")).status_code == 302
    target.refresh_from_db()
    assert ("Secret-new" in target.connection["key"], target.connection["ca"]) == (True, PEM)
    assert edit(operator, target, url="ssh://root@far").status_code == 302
    target.refresh_from_db()
    assert target.connection == {"url": "ssh://root@far"}


def test_a_key_that_was_just_typed_is_not_shown_again_either(operator: Client) -> None:
    answer = add(operator, "docker", url="nonsense", key=PEM)
    assert "Secret-pem" not in answer.content.decode()


def test_a_swarm_knows_its_nodes(operator: Client) -> None:
    form = {"url": "ssh://a@m1", "labels": "tenants=yes\nzone = b", "nodes": "w1=ssh://a@w1"}
    assert add(operator, "swarm", **form).status_code == 302
    target = Target.objects.get(name="north")
    assert target.connection == {
        "url": "ssh://a@m1",
        "labels": {"tenants": "yes", "zone": "b"},
        "nodes": {"w1": "ssh://a@w1"},
    }
    html = operator.get(f"/admin/provisioning/target/{target.pk}/change/").content.decode()
    assert "tenants=yes\nzone=b" in html
    assert errors_of(edit(operator, target, url="", labels="tenants", nodes="w1=http://w1")) == {"labels", "nodes"}


def test_a_portainer_needs_one_way_to_sign_in(operator: Client, north: Target) -> None:
    assert north.connection == {"url": "https://portainer.example:9443", "api_key": "Secret-key"}
    url = "https://portainer.example:9443"
    answer = edit(
        operator, north, url=url, username="svc", password="Secret-word", git_username="g", git_password="Secret-g"
    )
    assert answer.status_code == 302
    north.refresh_from_db()
    assert north.connection == {
        "url": url,
        "username": "svc",
        "password": "Secret-word",
        "git": {"username": "g", "password": "Secret-g"},
    }
    html = operator.get(f"/admin/provisioning/target/{north.pk}/change/").content.decode()
    assert "svc" in html
    assert "Secret-" not in html
    assert edit(operator, north, url=url, api_key="Secret-2", username="svc", git_username="g").status_code == 302
    north.refresh_from_db()
    assert set(north.connection) == {"url", "api_key", "git"}
    assert north.connection["git"]["password"] == "Secret-g"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"url": "portainer.example"}, "url"),
        ({"url": ""}, "url"),
        ({"url": "https://p", "fingerprint": "12:34"}, "fingerprint"),
        ({"url": "https://p", "username": "svc"}, "api_key"),
        ({"url": "https://p", "git_url": "git.example.com/app"}, "git_url"),
        ({"url": "https://p", "git_url": "https://me:secret@git.example.com/app"}, "git_url"),
    ],
)
def test_what_is_wrong_with_a_portainer_is_said_at_its_field(
    operator: Client, wrong: dict[str, str], field: str
) -> None:
    assert field in errors_of(add(operator, "portainer", **wrong))


def test_a_public_repository_needs_no_user(operator: Client, north: Target) -> None:
    url, repository = "https://portainer.example:9443", "https://git.example.com/app.git"
    assert edit(operator, north, url=url, git_url=repository).status_code == 302
    north.refresh_from_db()
    assert north.connection["git"] == {"url": repository}
    assert edit(operator, north, url=url).status_code == 302
    north.refresh_from_db()
    assert "git" not in north.connection


def test_another_server_has_other_environments(operator: Client, north: Target) -> None:
    north.connection |= {"environment": 3, "environment_name": "prod"}
    north.save()
    assert edit(operator, north, url="https://portainer.example:9443").status_code == 302
    north.refresh_from_db()
    assert north.connection["environment"] == 3
    assert edit(operator, north, url="https://other.example").status_code == 302
    north.refresh_from_db()
    assert "environment" not in north.connection


# --- asking -------------------------------------------------------------------------------------------------


class Answering(NullProvider):
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def check(self) -> TargetHealth:
        if self.error:
            raise self.error
        return TargetHealth(versions={"portainer": "2.39.1"}, running=2)


def says(monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
    monkeypatch.setitem(PROVIDERS, "portainer", lambda _connection: Answering(error))


def test_a_check_is_answered_and_remembered(operator: Client, north: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch)
    html = operator.get(f"/admin/provisioning/target/{north.pk}/check/").content.decode()
    assert "It answers and can be worked with." in html
    assert "2.39.1" in html
    assert "Answers" in operator.get("/admin/provisioning/target/").content.decode()
    page = f"/admin/provisioning/target/{north.pk}/change/"
    assert "Portainer\u00a0: 2.39.1" in operator.get(page, headers={"accept-language": "fr"}).content.decode()


@pytest.mark.parametrize(
    ("error", "english", "french"),
    [
        (errors.CredentialsRefused("no"), "It refuses the credentials.", "Elle refuse les identifiants"),
        (errors.TargetUnreachable("no"), "It does not answer.", "Elle ne répond pas"),
        (errors.EnvironmentUnknown("no"), "It has no such environment.", "Elle n’a pas cet environnement"),
        (errors.CertificateUnknown(FINGERPRINT), "nobody vouches for", "personne ne garantit"),
        (errors.CertificateChanged(FINGERPRINT), "another certificate", "un autre certificat"),
        (errors.WrongAddress("no"), "Something else answers", "Autre chose répond"),
        (errors.NoSwarm("no"), "no manager of a swarm", "pas le gestionnaire d’un essaim"),
        (errors.ProvisioningError("odd"), "It cannot be worked with.", "Elle est inutilisable"),
    ],
)
def test_what_is_wrong_is_said_in_both_languages(
    operator: Client,
    north: Target,
    monkeypatch: pytest.MonkeyPatch,
    error: errors.ProvisioningError,
    english: str,
    french: str,
) -> None:
    says(monkeypatch, error)
    page = f"/admin/provisioning/target/{north.pk}/check/"
    html = operator.get(page).content.decode()
    assert english in html
    assert error.detail in html
    operator.cookies["parcelle_language"] = "fr"
    assert french in operator.get(page).content.decode()
    north.refresh_from_db()
    assert (north.problem_code, north.problem) == (error.code, error.detail)
    listed = operator.get("/admin/provisioning/target/").content.decode()
    assert "Inutilisable" in listed and french in listed


def test_a_fingerprint_is_pinned_by_a_click(operator: Client, north: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, errors.CertificateUnknown(f"compare it: {FINGERPRINT}."))
    page = f"/admin/provisioning/target/{north.pk}/check/"
    assert f'name="fingerprint" value="{FINGERPRINT}"' in operator.get(page).content.decode()
    # There is no environment to check as long as none was chosen.
    assert operator.post(page, {"fingerprint": FINGERPRINT}).headers["Location"].endswith("/environment/")
    north.refresh_from_db()
    assert north.connection["fingerprint"] == FINGERPRINT.replace(":", "").lower()
    operator.post(page, {"fingerprint": "anything"})
    north.refresh_from_db()
    assert north.connection["fingerprint"] == FINGERPRINT.replace(":", "").lower()


def test_who_may_only_read_cannot_ask_or_pin(reader: Client, operator: Client, north: Target) -> None:
    for page in ("check", "environment", "compare"):
        answer = reader.post(f"/admin/provisioning/target/{north.pk}/{page}/", {"fingerprint": FINGERPRINT})
        assert answer.status_code in {302, 403}
    north.refresh_from_db()
    assert "fingerprint" not in north.connection
    assert north.checked_at is None


def test_the_environment_is_chosen_from_what_the_server_lists(
    operator: Client, north: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = [
        Environment(id=3, name="prod", kind="docker", up=True, host="10.0.0.3"),
        Environment(id=4, name="cluster", kind="kubernetes", up=True, host=""),
    ]
    monkeypatch.setattr(portainer_api, "environments", lambda _connection: listed)
    page = f"/admin/provisioning/target/{north.pk}/environment/"
    html = operator.get(page).content.decode()
    assert "prod" in html
    assert "instances cannot run there" in html
    operator.post(page, {"environment": "4"})
    operator.post(page, {"environment": "99"})
    north.refresh_from_db()
    assert "environment" not in north.connection
    assert operator.post(page, {"environment": "3"}).status_code == 302
    north.refresh_from_db()
    assert (north.connection["environment"], north.connection["api_key"]) == (3, "Secret-key")


def test_a_server_that_does_not_answer_says_so_instead_of_a_list(
    operator: Client, north: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_connection: object) -> None:
        raise errors.CredentialsRefused("the key was revoked")

    monkeypatch.setattr(portainer_api, "environments", refuse)
    html = operator.get(f"/admin/provisioning/target/{north.pk}/environment/").content.decode()
    assert "It refuses the credentials." in html
    assert "Not usable" in operator.get("/admin/provisioning/target/").content.decode()


# --- products and plans ---------------------------------------------------------------------------------------


def test_a_product_cannot_be_put_where_its_blueprint_does_not_run(
    operator: Client, cast: Cast, settings: Settings
) -> None:
    Target.objects.create(name="engine", provider="docker")
    product = cast.plan.product
    page = f"/admin/catalog/product/{product.pk}/change/"
    form = form_of(operator, page) | {"target_name": "engine", "position": "0", "pool_size": "0"}
    # Its plans are another matter.
    form |= {"plans-TOTAL_FORMS": "0", "plans-INITIAL_FORMS": "0"}
    answer = operator.post(page, form)
    assert errors_of(answer) == {"target_name"}
    assert operator.post(page, form | {"blueprint": "stack"}).status_code == 302


def test_limits_of_a_plan_are_numbers(operator: Client, cast: Cast) -> None:
    plan = cast.plan
    page = f"/admin/catalog/plan/{plan.pk}/change/"
    form = form_of(operator, page) | {"trial_sleep_minutes": "60", "sleep_minutes": "0", "position": "0"}
    assert operator.post(page, form | {"memory_mb": "1024", "cpus": "1.5"}).status_code == 302
    plan.refresh_from_db()
    assert plan.limits == {"memory_mb": 1024, "cpus": 1.5}
    assert 'value="1024"' in operator.get(page).content.decode()
    assert errors_of(operator.post(page, form | {"memory_mb": "1", "cpus": "0"})) == {"memory_mb", "cpus"}
    assert operator.post(page, form).status_code == 302
    assert Plan.objects.get(pk=plan.pk).limits == {}


# --- drift ----------------------------------------------------------------------------------------------------


def test_open_findings_are_listed_with_the_way_to_repair_them(operator: Client, world: World) -> None:
    html = operator.get("/admin/provisioning/finding/").content.decode()
    assert "live-one" in html
    assert "client-stray-one" in html
    stopped, unknown = (Finding.objects.get(kind=kind) for kind in ("stopped", "unknown"))
    assert "/repair/" in operator.get(f"/admin/provisioning/finding/{stopped.pk}/change/").content.decode()
    page = operator.get(f"/admin/provisioning/finding/{unknown.pk}/change/").content.decode()
    assert "/remove/" in page
    assert "volume/client-stray-one_database" in page


def test_repairing_is_one_click_and_its_confirmation(operator: Client, world: World) -> None:
    finding = Finding.objects.get(kind="stopped")
    page = f"/admin/provisioning/finding/{finding.pk}/repair/"
    assert "Started again with all its data." in operator.get(page).content.decode()
    operator.post(page, {"confirmed": "repair"})
    assert Operation.objects.get(finding=finding).kind == "restart"


def test_a_removal_shows_what_goes_and_takes_nothing_else(operator: Client, world: World) -> None:
    finding = Finding.objects.get(kind="unknown")
    page = f"/admin/provisioning/finding/{finding.pk}/remove/"
    html = operator.get(page).content.decode()
    for part in finding.parts:
        assert f"<li>{part}</li>" in html
    shown = '["container/client-stray-one-web-1", "volume/client-stray-one_database"]'
    Finding.objects.filter(pk=finding.pk).update(parts=[*finding.parts, "volume/precious"])
    operator.post(page, {"confirmed": "remove", f"shown-{finding.pk}": shown})
    assert not Operation.objects.filter(finding=finding).exists()
    Finding.objects.filter(pk=finding.pk).update(parts=finding.parts)
    operator.post(page, {"confirmed": "remove"})
    assert not Operation.objects.filter(finding=finding).exists()
    operator.post(page, {"confirmed": "remove", f"shown-{finding.pk}": shown})
    assert Operation.objects.get(finding=finding).kind == "remove_unknown"


def test_who_may_only_read_repairs_nothing(reader: Client, world: World) -> None:
    finding = Finding.objects.get(kind="stopped")
    reader.post(f"/admin/provisioning/finding/{finding.pk}/repair/", {"confirmed": "repair"})
    assert not Operation.objects.filter(finding=finding).exists()


def test_a_comparison_is_asked_of_a_worker(operator: Client, world: World) -> None:
    from procrastinate.contrib.django.models import ProcrastinateJob

    answer = operator.get(f"/admin/provisioning/target/{world.target.pk}/compare/")
    assert answer.status_code == 302
    jobs = ProcrastinateJob.objects.filter(task_name="provisioning.look_for_drift")
    assert jobs.count() == 1
    # The list follows it, then says whether it came to an end.
    page = answer.headers["Location"]
    html = operator.get(page).content.decode()
    assert "is being compared" in html and "data-follow" in html
    key = jobs.get().queueing_lock
    world.target.findings.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs WHERE queueing_lock = %s", [key])
    Target.objects.filter(pk=world.target.pk).update(checked_at=NOW, problem_code="")
    html = operator.get(page).content.decode()
    assert "data-follow" not in html and "was last looked at" in html and "No difference is known" in html
    Target.objects.filter(pk=world.target.pk).update(problem_code="target_unreachable", problem="nobody answers")
    html = operator.get(page).content.decode()
    assert "could not be compared" in html and "Start it, or correct its address" in html
    assert re.search(r"In its own words:\s*<samp[^>]*>nobody answers", html)
    operator.cookies["parcelle_language"] = "fr"
    html = operator.get(page).content.decode()
    assert "Elle ne répond pas." in html
