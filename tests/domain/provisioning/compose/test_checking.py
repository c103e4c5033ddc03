"""Everything wrong with a blueprint, at once, each with its file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from parcelle.domain.provisioning.compose.checking import check, second_look
from tests import needs
from tests.domain.provisioning.compose import stacks

BLUEPRINT = """
name: shop
version: "1"
title: {fr: Boutique, en: Shop}
compose:
  service: web
  port: 8080
  files: {app.conf: app.conf}
  limits:
    db: {memory_mb: 256}
    web: {memory_mb: 128}
  seed_volumes: [data]
  initialise:
    - {service: web, run: [app, init, "${initial_password}"]}
  dump: {service: db, run: [pg_dump]}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "blueprint.yaml").write_text(stacks.dedent(BLUEPRINT))
    (folder / "compose.yaml").write_text(stacks.dedent(stacks.USUAL))
    (folder / "app.conf").write_text("x")
    return folder


def _change(folder: Path, old: str, new: str, file: str = "blueprint.yaml") -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))


def test_a_sound_blueprint_has_no_problem(shop: Path) -> None:
    found = check(shop)
    assert found.problems == () and found.is_sound
    assert found.blueprint is not None
    needs.require("docker")
    assert second_look(found.blueprint) == ()


WRONG = [
    ('version: "1"', "version: [", "blueprint.yaml:4", "YAML"),
    ('version: "1"', "", "blueprint.yaml:1", "required"),
    ("  port: 8080", "  port: 80800", "blueprint.yaml:6: compose.port", "65535"),
    ("  port: 8080", "  porte: 8080", "blueprint.yaml:6: compose.porte", "no such key"),
    ("name: shop", "name: other", "blueprint.yaml:1: name", "'shop'"),
    ("service: web", "service: site", "blueprint.yaml:5: compose.service", "db, migrate, web"),
    ("service: web\n", "service: migrate\n", "blueprint.yaml:5: compose.service", "waits\nvisitors"),
    ("    db: {", "    database: {", "blueprint.yaml:9: compose.limits.database", "no service"),
    ("[data]", "[dta]", "blueprint.yaml:11: compose.seed_volumes.0", "no volume 'dta'"),
    ("- {service: web", "- {service: wbe", "blueprint.yaml:13: compose.initialise.0.service", "no service 'wbe'"),
    ("${initial_password}", "${inital_password}", "blueprint.yaml:13: compose.initialise.0.run", "inital_password"),
    ("app.conf: app.conf", "app.conf: other.conf", "blueprint.yaml:7: compose.files.app.conf", "other.conf"),
    ("app.conf: app.conf", "app.conf: ../../etc/passwd", "blueprint.yaml:7: compose.files.app.conf", "outside"),
    ("  service: web", "  file: nothing.yaml\n  service: web", "blueprint.yaml:5: compose.file", "nothing.yaml"),
]


@pytest.mark.parametrize(("old", "new", "where", "words"), WRONG)
def test_what_is_wrong_is_said_with_its_line(shop: Path, old: str, new: str, where: str, words: str) -> None:
    _change(shop, old, new)
    found = check(shop)
    assert not found.is_sound
    told = "\n".join(map(str, found.problems))
    assert where in told
    assert any(word in told for word in words.splitlines())


def test_problems_of_both_files_are_said_together(shop: Path) -> None:
    _change(shop, "[data]", "[dta]")
    _change(shop, "image: app:1", "image: app:1\n    privileged: true\n    user: $UID", "compose.yaml")
    assert [(problem.file, problem.key) for problem in check(shop).problems][-1] == (
        "blueprint.yaml",
        "compose.seed_volumes.0",
    )
    assert len(check(shop).problems) == 5


@pytest.mark.parametrize("name", ["other", "My shop"])
def test_a_wrong_name_does_not_hide_what_is_wrong_with_the_compose_file(shop: Path, name: str) -> None:
    _change(shop, "name: shop", f"name: {name}")
    _change(shop, "image: app:1", "image: app:1\n    privileged: true", "compose.yaml")
    told = [(problem.file, problem.key) for problem in check(shop).problems]
    assert ("blueprint.yaml", "name") in told
    assert any(file == "compose.yaml" and key.endswith(".privileged") for file, key in told)


def test_what_becomes_of_data_without_a_dump_is_worth_a_note(shop: Path) -> None:
    _change(shop, "  dump: {service: db, run: [pg_dump]}\n", "")
    (note,) = check(shop).problems
    assert note.is_warning and "data" in note.sentence and "Portainer" in note.sentence


def test_a_placeholder_that_does_not_exist_is_found(shop: Path) -> None:
    _change(shop, "${database_password}@db", "${databse_password}@db", "compose.yaml")
    (found,) = check(shop).problems
    assert found.key == "services.web.environment.DATABASE_URL" and "${databse_password}" in found.sentence


def test_the_files_are_looked_at_too(shop: Path) -> None:
    (shop / "app.conf").write_text("server {\n  set $host x;\n  ${databse_password}\n}\n")
    assert [(problem.file, problem.line) for problem in check(shop).problems] == [("app.conf", 2), ("app.conf", 3)]
    (shop / "app.conf").write_bytes(b"\xff\xfe")
    (found,) = check(shop).problems
    assert found.key == "compose.files.app.conf" and "UTF-8" in found.sentence


def test_what_only_a_customer_brings_is_worth_a_note(shop: Path) -> None:
    _change(shop, "a$$b", "${company}", "compose.yaml")
    found = check(shop)
    assert found.is_sound
    (note,) = found.problems
    assert note.is_warning and note.line == 17 and "personalise" in note.sentence


def test_a_service_without_limits_is_worth_a_note(shop: Path) -> None:
    _change(shop, "    web: {memory_mb: 128}\n", "")
    (note,) = check(shop).problems
    assert note.is_warning and "'web'" in note.sentence


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"[]", b""])
def test_what_is_no_blueprint_is_one_problem(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "blueprint.yaml").write_bytes(content)
    found = check(tmp_path)
    assert len(found.problems) == 1 and not found.is_sound and found.blueprint is None


def test_one_that_runs_nowhere_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "blueprint.yaml").write_text("name: shop\nversion: '1'\ntitle: {fr: B, en: S}\n")
    (found,) = check(folder).problems
    assert "`compose`" in found.sentence
