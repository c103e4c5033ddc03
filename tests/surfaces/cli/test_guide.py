"""The vendor's guide is true: its files are written, its commands are typed, and what it promises runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml
from pytest_django import Settings

from parcelle.domain.catalog import blueprints
from parcelle.domain.catalog.models import Plan, Product
from parcelle.domain.provisioning.models import Instance, Target
from parcelle.domain.provisioning.providers import open_provider
from tests.docker.belongings import Belongings
from tests.needs import CHECKOUT
from tests.surfaces.cli import typing_it

# The stacks of one engine share its templates.
GUIDE = (CHECKOUT / "docs" / "guide" / "vendor.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
COMMANDS = [line.removeprefix("$ ") for kind, text in BLOCKS if kind == "console" for line in text.splitlines()]
FILES = [text for kind, text in BLOCKS if kind == "yaml"]
# The guide names public images; no registry can be reached from here.
IMAGES = {"registry.example.com/shop:1": "parcelle-test/web:1", "postgres:17": "parcelle-test/postgres:1"}


def test_every_command_is_one_of_the_program() -> None:
    groups = {tuple(shlex.split(command)[:3]) for command in COMMANDS}
    assert groups == {
        ("docker", "compose", "version"),
        *(("parcelle", "blueprint", name) for name in ("new", "check", "render")),
        *(("parcelle", "instance", name) for name in ("create", "show")),
    }
    for _program, group, name in groups - {("docker", "compose", "version")}:
        assert typing_it.run(group, name, "--help").code == 0


def test_every_key_that_the_guide_allows_is_allowed() -> None:
    from parcelle.domain.provisioning.compose import keys

    (said,) = re.findall(r"Everything that concerns the application: (.*?)anchors", GUIDE, re.DOTALL)
    told = {name.split(".")[0] for name in re.findall(r"`([\w.]+)`", said)}
    # What is so anyway needs no word.
    assert told == {*keys._ONE, *keys._SEVERAL} - {"ports", "networks", "expose", "cap_drop", "security_opt"}


def test_every_placeholder_of_the_guide_exists() -> None:
    from parcelle.domain.provisioning.compose import checking

    (table,) = re.findall(r"## Placeholders\n(.*?)\n## ", GUIDE, re.DOTALL)
    told = set(re.findall(r"\$\{(\w+)\}", table))
    assert told - {"name", "any_name"} == (checking.OWNERS | checking.STANDING) - {"template_password"}


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("worker", "stack_images")
def test_ten_minutes_later_a_customer_is_served(tmp_path: Path, settings: Settings, belongings: Belongings) -> None:
    settings.BLUEPRINTS_DIR = tmp_path / "blueprints"
    compose, calls, secret_as_file = FILES
    assert "POSTGRES_PASSWORD_FILE" in yaml.safe_load(secret_as_file)["services"]["db"]["environment"]
    for public, ours in IMAGES.items():
        assert public in compose
        compose = compose.replace(public, ours)
    (tmp_path / "docker-compose.yml").write_text(compose)
    told = ""
    try:
        for command in COMMANDS:
            if command.startswith("parcelle instance create"):
                _put_on_sale()
            done = _type(command, tmp_path)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            told = done.stdout
            if command.startswith("parcelle blueprint new"):
                assert "not-so-secret" not in (tmp_path / "blueprints" / "shop" / "compose.yaml").read_text()
                with (tmp_path / "blueprints" / "shop" / "blueprint.yaml").open("a") as file:
                    file.write(calls)
        instance = Instance.objects.get(slug="dupont")
        assert instance.state == "live"
        assert instance.url in told
        with urllib.request.urlopen(instance.url, timeout=10) as answer:
            assert answer.status == 200
    finally:
        _remove(belongings)


def _type(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command)
    if words[0] == "parcelle":
        words[:1] = [sys.executable, "-m", "parcelle.config.program"]
    environment = {**os.environ, "PARCELLE_BLUEPRINTS": str(folder / "blueprints")}
    return subprocess.run(
        words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def _put_on_sale() -> None:
    """What the guide's table says to enter in the back office."""
    for row in (
        "| Targets, *Add* | choose *Docker*, then name `here`; leave the connection empty",
        "| Products, *Add* | name `Shop`, short name `shop`, blueprint `shop`, target `here` |",
        "| Plans, *Add* | product `Shop`, name `Start`, short name `start`, memory in MB `1024`, processors `1` |",
    ):
        assert row in GUIDE
    Target.objects.create(name="here", provider="docker")
    shop = Product.objects.create(name="Shop", slug="shop", blueprint="shop", target_name="here")
    Plan.objects.create(product=shop, name="Start", slug="start", limits={"memory_mb": 1024, "cpus": 1})


def _remove(belongings: Belongings) -> None:
    provider = open_provider("docker", {})
    for instance in Instance.objects.filter(target__name="here"):
        belongings.adopt(instance.ref)
        provider.destroy(instance.ref)
    if "shop" in blueprints.names():
        provider.discard_template(blueprints.load("shop"))
