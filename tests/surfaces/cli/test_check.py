"""`parcelle check`: what is wrong, and what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import typer
from cryptography.fernet import Fernet
from pytest_django import Settings
from typer.testing import CliRunner

from parcelle.config import embedded
from parcelle.domain.billing.models import GatewaySettings
from parcelle.domain.provisioning.models import Target
from parcelle.surfaces.backoffice import words
from parcelle.surfaces.cli import check
from tests import cluster

pytestmark = pytest.mark.django_db


def _found() -> dict[str, check.Finding]:
    return {finding.name: finding for finding in check.examine()}


def test_a_sound_installation_has_no_problem_but_the_missing_worker(test_blueprints: Path) -> None:
    found = _found()
    assert {name for name, finding in found.items() if not finding.ok} == {"worker"}
    assert "parcelle_app" in found["role"].detail


def test_every_problem_says_what_to_do(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "blueprint.yaml").write_text("title: [")
    settings.BLUEPRINTS_DIR = tmp_path
    settings.SECRET_KEYS = ["not a key"]
    settings.MAILBOX_PAGE = False
    settings.EMAIL_BACKEND = "django.core.mail.backends.nonsense.EmailBackend"
    found = _found()
    for name in ("secrets", "blueprint broken", "mail", "worker"):
        assert not found[name].ok
        assert found[name].advice


def test_a_way_to_pay_that_is_wrongly_set_up_is_named() -> None:
    GatewaySettings.objects.create(name="fake", enabled=True, production=True, values={})
    finding = _found()["payment by fake"]
    assert not finding.ok
    assert "it cannot be for real money" in finding.detail
    assert finding.advice
    GatewaySettings.objects.update(production=False, values={"secret": "s" * 32})
    assert _found()["payment by fake"].ok


@pytest.mark.parametrize(
    ("role", "words"), [(embedded.OWNER, "owns"), ("postgres", "is a superuser"), ("bypasser", "row-level security")]
)
def test_a_role_that_may_do_too_much_is_a_problem(role: str, words: str) -> None:
    name = f"{role}_{cluster.worker()}" if role == "bypasser" else role
    here = f"parcelle_{cluster.worker()}"
    with psycopg.connect(cluster.superuser_url(), autocommit=True) as plain:
        if role == "bypasser":
            plain.execute(f"CREATE ROLE {name} LOGIN BYPASSRLS PASSWORD 'x'")
            plain.execute(f"GRANT CONNECT ON DATABASE {here} TO {name}")
        address = {
            embedded.OWNER: cluster.url(embedded.OWNER, here),
            "postgres": cluster.superuser_url(here),
            "bypasser": cluster.with_parts(cluster.superuser_url(here), user=name, password="x"),
        }[role]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "parcelle.config.program", "check", "--json"],
                env={**os.environ, "DATABASE_URL": address},
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            if role == "bypasser":
                plain.execute(f"REVOKE CONNECT ON DATABASE {here} FROM {name}")
                plain.execute(f"DROP ROLE {name}")
    assert done.returncode == 1
    (found,) = [finding for finding in json.loads(done.stdout) if finding["name"] == "role"]
    assert not found["ok"]
    assert words in found["detail"]
    assert "PARCELLE_OWNER_DATABASE_URL" in found["advice"]


def test_a_removed_key_is_noticed(settings: Settings, test_blueprints: Path) -> None:
    Target.objects.create(name="here", provider="null", connection={"token": "x"})
    assert _found()["secrets"].ok
    settings.SECRET_KEYS = [Fernet.generate_key().decode()]
    found = _found()["secrets"]
    assert not found.ok
    assert "PARCELLE_SECRET_KEYS" in found.advice


def test_an_unreachable_target_is_named(settings: Settings, test_blueprints: Path) -> None:
    settings.SUPERVISOR_SOCKET = ""
    Target.objects.create(name="here", provider="process")
    found = _found()["target here"]
    assert not found.ok
    assert "parcelle up" in found.detail
    assert found.advice == check.ADVICE["target_unreachable"]


def test_there_is_advice_for_whatever_the_back_office_has_words_for() -> None:
    assert set(check.ADVICE) - {"step_failed"} == set(words.ANSWERS) - {""}


def test_it_ends_with_an_error_and_prints_json(test_blueprints: Path) -> None:
    app = typer.Typer()
    app.command()(check.check)
    done = CliRunner().invoke(app, ["--json"])
    assert done.exit_code == 1
    assert {finding["name"] for finding in json.loads(done.stdout)} >= {"database", "role", "tables", "secrets", "disk"}
