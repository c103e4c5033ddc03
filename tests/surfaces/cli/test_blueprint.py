"""`parcelle blueprint check|render|new`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from pytest_django import Settings

from tests import needs
from tests.surfaces.cli.typing_it import Typed, type_in

COMPOSE = """\
services:
  web:
    image: registry.example.com/shop:1
    container_name: shop
    ports: ["8000:8000"]
    environment: {APP_SECRET_KEY: abcdefghijkl}
"""


@pytest.fixture
def vendor(tmp_path: Path, settings: Settings) -> Path:
    settings.BLUEPRINTS_DIR = tmp_path / "blueprints"
    (tmp_path / "docker-compose.yml").write_text(COMPOSE)
    return tmp_path / "docker-compose.yml"


def _run(*words: str | Path) -> Typed:
    return type_in("blueprint", *map(str, words))


def test_a_compose_file_becomes_a_blueprint_that_is_sound(vendor: Path, settings: Settings) -> None:
    done = _run("new", "shop", "--compose", vendor, "--title", "La boutique")
    assert done.code == 0, done.out
    assert "docker-compose.yml:4: services.web.container_name removed" in done.out
    assert "docker-compose.yml:5: web: host ports removed" in done.out
    assert "ok" in done.out.splitlines()[-2]
    blueprint = yaml.safe_load((Path(settings.BLUEPRINTS_DIR) / "shop" / "blueprint.yaml").read_text())
    assert blueprint["title"]["fr"] == "La boutique"
    assert _run("check", "shop").code == 0
    assert _run("new", "shop", "--compose", vendor).code == 1


def test_render_shows_what_a_repository_is_given(settings: Settings) -> None:
    settings.BLUEPRINTS_DIR = needs.CHECKOUT / "blueprints"
    done = _run("render", "erp-btp", "--slug", "dupont")
    assert done.code == 0, done.out
    shown = yaml.safe_load(done.out)
    assert shown["name"] == "client-dupont"
    assert shown["repository"]["path"] == "docker-compose.portainer.yml"
    assert shown["variables"]["CLIENT_SLUG"] == "dupont"
    assert (shown["variables"]["APP_PORT"], shown["variables"]["DB_PORT"]) == ("8080", "5432")
    assert shown["variables"]["DB_PASSWORD"] == "[database_password]"
    assert json.loads(_run("render", "erp-btp", "--json").out)["project"] == "client-acme"


def test_render_shows_the_file_and_no_secret(vendor: Path) -> None:
    _run("new", "shop", "--compose", vendor)
    done = _run("render", "shop", "--slug", "dupont", "--publish")
    assert done.code == 0
    model = yaml.safe_load(done.out)
    assert model["name"] == "client-dupont"
    assert model["services"]["web"]["environment"] == {"APP_SECRET_KEY": "[app_secret_key]"}
    assert model["services"]["web"]["ports"][0]["host_ip"] == "127.0.0.1"
    as_json = json.loads(_run("render", "shop", "--json").out)
    assert as_json["project"] == "client-acme" and "ports" not in as_json["model"]["services"]["web"]
    assert _run("render", "shop", "--slug", "Not a slug").code == 1


def test_check_says_everything_and_ends_with_an_error(vendor: Path, settings: Settings) -> None:
    _run("new", "shop", "--compose", vendor)
    folder = Path(settings.BLUEPRINTS_DIR) / "shop"
    file = folder / "compose.yaml"
    file.write_text(
        file.read_text().replace("    environment:", "    privileged: true\n    pid: host\n    environment:")
    )
    done = _run("check", "shop")
    assert done.code == 1
    assert "2 to change" in done.out
    assert "compose.yaml:4: services.web.privileged: remove it" in done.out
    assert "compose.yaml:5: services.web.pid: remove it" in done.out
    (found,) = json.loads(_run("check", "--json", folder).out)
    assert [(one["key"], one["line"], one["severity"]) for one in found["problems"]] == [
        ("services.web.privileged", 4, "error"),
        ("services.web.pid", 5, "error"),
    ]
    assert _run("render", "shop").code == 1
    # All of them when none is named.
    assert "2 to change" in _run("check").out


@pytest.mark.parametrize("words", [["check", "nothing"], ["render", "../shop"], ["new", "Shop"], ["new", "shop"]])
@pytest.mark.usefixtures("vendor")
def test_what_cannot_be_done_is_one_sentence(words: list[str]) -> None:
    done = _run(*words)
    assert done.code == 1
    assert done.err.startswith("parcelle: ") and len(done.err.splitlines()) == 1


def test_a_file_that_cannot_be_used_leaves_nothing_behind(vendor: Path, settings: Settings) -> None:
    vendor.write_text("services: {a: {image: a}, b: {image: b}}")
    done = _run("new", "shop", "--compose", vendor)
    assert done.code == 1 and "--service" in done.err
    assert not (Path(settings.BLUEPRINTS_DIR) / "shop").exists()
    assert _run("new", "shop", "--compose", vendor, "--service", "a", "--port", "80").code == 0


def test_the_blueprints_that_are_shipped_are_sound(settings: Settings) -> None:
    settings.BLUEPRINTS_DIR = needs.CHECKOUT / "blueprints"
    done = _run("check", "--json")
    assert done.code == 0, done.out
    assert {one["blueprint"] for one in json.loads(done.out)} >= {"tryton"}
