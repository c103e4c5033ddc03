"""The shipped blueprint `tryton` on a real Docker Engine: a copy of its template, made a customer's own."""

from __future__ import annotations

import io
import itertools
import os
import time
import uuid
from collections.abc import Iterator

import docker
import pytest
from django.test import override_settings

from parcelle.domain.catalog import blueprints as catalog
from parcelle.domain.provisioning import application, specs
from parcelle.domain.provisioning.providers import open_provider
from parcelle.domain.provisioning.providers.base import Provider, Spec, Status, TemplateSpec
from tests import blueprints
from tests.docker import subnets
from tests.docker.belongings import Belongings

# The template is initialised first: minutes where the machine is busy.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PORTS = itertools.count(27000 + 100 * (os.getpid() % 50))
TEMPLATE = {"template_password": "T-template-1", "database_password": "T-database-1", "secret_key": "x" * 32}


@pytest.fixture(scope="module")
def provider(
    engine: docker.DockerClient, tryton_image: str, postgres_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Provider]:
    """With the template built; the public images are replaced by those that the tests make."""
    folder = tmp_path_factory.mktemp("blueprints")
    blueprints.copy_with_images(
        "tryton",
        folder,
        {"tryton/tryton:8.0": tryton_image, "postgres:17": postgres_image},
        version=uuid.uuid4().hex[:8],
    )
    with override_settings(BLUEPRINTS_DIR=folder):
        provider, blueprint = open_provider("docker", {}), catalog.load("tryton")
        try:
            for phase in provider.template_phases:
                provider.build(TemplateSpec(blueprint=blueprint, secrets=TEMPLATE), phase, _silent)
            yield provider
        finally:
            provider.discard_template(blueprint)


@pytest.fixture
def spec(provider: Provider, belongings: Belongings) -> Iterator[Spec]:
    blueprint, ref = catalog.load("tryton"), belongings.new_ref()
    owner = {"company": "Maçonnerie Diop", "email": "awa@example.com", "first_name": "Awa", "last_name": "Diop"}
    made = Spec(
        ref=ref,
        name=f"client-{ref.hex[:12]}",
        blueprint=blueprint,
        variables={**blueprint.defaults, **owner, "language": "fr", "slug": "maconnerie-diop", "url": ""},
        secrets=specs.new_secrets(blueprint) | {"template_password": TEMPLATE["template_password"]},
        ports=dict.fromkeys(provider.port_purposes, next(PORTS)),
        subnets={purpose: subnets.take() for purpose in provider.subnet_purposes},
    )
    yield made
    provider.destroy(ref)


def _silent(_note: str, _fraction: float | None) -> None:
    """Nobody watches."""


def _up(provider: Provider, spec: Spec) -> None:
    for phase in provider.phases:
        provider.ensure(spec, phase, _silent)
    application.wait_until_it_answers(provider.endpoint(spec), spec.blueprint.probe, seconds=60)


def _perform(provider: Provider, spec: Spec, calls: str) -> None:
    known = {**spec.variables, **spec.secrets}
    application.perform(provider.endpoint(spec), getattr(spec.blueprint, calls), known)


def test_a_customer_gets_an_erp_of_their_own(provider: Provider, spec: Spec) -> None:
    begun = time.monotonic()
    _up(provider, spec)
    _perform(provider, spec, "personalise")
    _perform(provider, spec, "sign_in")
    assert provider.observe(spec.ref).status is Status.RUNNING
    # Initialising took minutes: this was a copy.
    assert time.monotonic() - begun < 100

    with pytest.raises(application.CallRefused) as refused:
        _perform(provider, spec, "personalise")
    assert refused.value.number == 1

    dump = io.BytesIO()
    provider.dump(spec.ref, dump)
    provider.stop(spec.ref)
    provider.start(spec.ref)
    application.wait_until_it_answers(provider.endpoint(spec), spec.blueprint.probe, seconds=60)
    dump.seek(0)
    provider.load(spec.ref, dump)
    _perform(provider, spec, "sign_in")


def test_nothing_of_its_passwords_is_in_the_engines_descriptions(
    engine: docker.DockerClient, provider: Provider, spec: Spec
) -> None:
    _up(provider, spec)
    containers = engine.containers.list(all=True, filters={"label": f"io.parcelle.instance={spec.ref}"})
    services = {container.labels["com.docker.compose.service"]: container for container in containers}
    assert set(services) == {"tryton", "db"}
    for container in containers:
        said = str(container.attrs)
        assert not [name for name, secret in spec.secrets.items() if secret in said]
        host = container.attrs["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert "no-new-privileges:true" in host["SecurityOpt"]
    assert services["tryton"].attrs["Config"]["User"] == "1000:1000"
    assert not services["tryton"].attrs["HostConfig"]["CapAdd"]


def test_two_customers_do_not_share_a_password(provider: Provider, spec: Spec, belongings: Belongings) -> None:
    _up(provider, spec)
    ask = ["sh", "-c", "PGPASSWORD=$0 psql --host=db --username=tryton --dbname=tryton --command='SELECT 1'"]
    for secret, right in ((TEMPLATE["database_password"], False), (spec.secrets["database_password"], True)):
        tried = engine_exec(spec, [*ask, secret])
        assert (tried == 0) is right


def engine_exec(spec: Spec, words: list[str]) -> int:
    """The exit code of a command in the database's container, which has `psql`."""
    client = docker.from_env(version="auto")
    labels = [f"io.parcelle.instance={spec.ref}", "com.docker.compose.service=db"]
    (container,) = client.containers.list(filters={"label": labels})
    code = container.exec_run(words).exit_code
    assert code is not None
    return code
