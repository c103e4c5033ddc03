from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pytest_django import Settings

from parcelle.core.models import Fact
from parcelle.domain.catalog.models import Product
from parcelle.domain.provisioning import queries, runner, states
from parcelle.domain.provisioning.errors import NotYet, ProvisioningError
from parcelle.domain.provisioning.models import Instance, Operation, Target, Template
from parcelle.domain.provisioning.providers import PROVIDERS
from parcelle.domain.provisioning.workflows import WORKFLOWS
from tests import people
from tests.domain.provisioning.scripted import TemplatedProvider, after
from tests.people import NOW, Cast

LATER = NOW + timedelta(seconds=3)
WHOLE = ["1 install", "1 initialise"]


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> TemplatedProvider:
    templated = TemplatedProvider()
    monkeypatch.setitem(PROVIDERS, "scripted", lambda _connection: templated)
    return templated


@pytest.fixture
def target(cast: Cast, provider: TemplatedProvider) -> Target:
    Target.objects.update(provider="scripted")
    return Target.objects.get()


@pytest.fixture
def waiting(target: Target, cast: Cast) -> Instance:
    """A sign-up that came before anything was built."""
    instance = people.requested_instance(cast.organization, cast.plan)
    people.work(instance)
    return instance


def build(now: datetime = NOW) -> Template:
    """Lets a worker build what is to be built."""
    for operation in Operation.objects.filter(kind="build_template", state__in=states.UNFINISHED):
        runner.run(operation.pk, WORKFLOWS, clock=lambda: now)
    return Template.objects.latest("created_at")


def test_a_sign_up_waits_for_the_first_build_instead_of_failing(waiting: Instance) -> None:
    progress = queries.progress(waiting.pk)
    assert progress is not None and (progress.state, waiting.state) == ("waiting", states.PROVISIONING)
    assert progress.template and [step.name for step in progress.template] == ["install", "initialise"]


def test_once_it_is_built_the_waiting_sign_up_goes_on(waiting: Instance) -> None:
    template = build()
    people.work(waiting, now=LATER)
    assert (waiting.state, waiting.template) == (states.LIVE, template)
    assert Fact.objects.filter(name="TemplateReady").count() == 1


def test_any_number_of_sign_ups_start_one_build(waiting: Instance, cast: Cast, provider: TemplatedProvider) -> None:
    people.work(people.requested_instance(cast.other_organization, cast.plan))
    build()
    assert provider.built == WHOLE


def test_a_built_template_is_used_again(waiting: Instance, cast: Cast, provider: TemplatedProvider) -> None:
    build()
    assert people.live_instance(cast.other_organization, cast.plan, now=LATER).state == states.LIVE
    assert provider.built == WHOLE


def test_who_waits_sees_what_the_build_is_doing(waiting: Instance, provider: TemplatedProvider) -> None:
    provider.on_build = [after(lambda: provider.report("42 packages", 0.5), NotYet(60, "42 packages"))]
    build()
    progress = queries.progress(waiting.pk)
    assert progress is not None and progress.template is not None
    assert (progress.template[0].note, progress.template[0].fraction) == ("42 packages", 0.5)


def test_a_build_that_fails_fails_the_sign_up_with_its_reason(waiting: Instance, provider: TemplatedProvider) -> None:
    provider.on_build = [ProvisioningError("package not found")]
    assert build().state == states.FAILED
    people.work(waiting, now=LATER)
    failed = waiting.operations.get(kind="create")
    assert (waiting.state, failed.error_code, failed.error_detail) == (
        states.FAILED,
        "template_failed",
        "package not found",
    )


def test_the_next_sign_up_after_a_failed_build_tries_it_again(
    waiting: Instance, cast: Cast, provider: TemplatedProvider
) -> None:
    provider.on_build = [ProvisioningError("network is down")]
    build()
    people.work(waiting, now=LATER)
    second = people.requested_instance(cast.other_organization, cast.plan, now=LATER)
    people.work(second, now=LATER)
    assert build(LATER).state == states.READY
    people.work(second, now=LATER + timedelta(seconds=3))
    assert second.state == states.LIVE


def test_waiting_for_a_long_build_does_not_use_up_the_deadline(waiting: Instance) -> None:
    for minutes in range(1, 30):
        people.work(waiting, now=NOW + timedelta(minutes=minutes))
    build()
    people.work(waiting, now=NOW + timedelta(minutes=30))
    assert waiting.state == states.LIVE


def test_a_new_version_of_the_blueprint_is_built_beside_the_old_one(
    waiting: Instance, cast: Cast, provider: TemplatedProvider, settings: Settings, tmp_path: Path
) -> None:
    build()
    (tmp_path / "plain").mkdir()
    source = (Path(settings.BLUEPRINTS_DIR) / "plain" / "blueprint.yaml").read_text()
    (tmp_path / "plain" / "blueprint.yaml").write_text(source.replace('"1"', '"2"'))
    settings.BLUEPRINTS_DIR = tmp_path
    people.work(people.requested_instance(cast.other_organization, cast.plan, now=LATER), now=LATER)
    assert build(LATER).version == "2" and provider.built[2:] == ["2 install", "2 initialise"]
    assert sorted(Template.objects.values_list("version", "state")) == [("1", "ready"), ("2", "ready")]


def test_a_template_has_secrets_of_its_own_that_no_error_shows(waiting: Instance, provider: TemplatedProvider) -> None:
    template = build()
    password = template.secrets["template_password"]
    assert password not in waiting.secrets.values()
    provider.on_ensure = [ProvisioningError(f"login with {password} refused")]
    people.work(waiting, now=LATER)
    assert password not in waiting.operations.get(kind="create").error_detail


@pytest.mark.usefixtures("target")
def test_the_pool_waits_for_the_template_too(cast: Cast) -> None:
    from parcelle.domain.provisioning import pool

    Product.objects.update(pool_size=1)
    pool.keep(Product.objects.get(), now=NOW)
    assert not Instance.objects.exists()
    build()
    pool.keep(Product.objects.get(), now=LATER)
    assert Instance.objects.filter(organization=None).count() == 1
