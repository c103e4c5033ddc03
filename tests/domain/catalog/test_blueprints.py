from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from parcelle.domain.catalog import blueprints
from parcelle.domain.catalog.blueprints import BlueprintError, fill, load
from tests.needs import CHECKOUT

VARIABLES = {"slug": "acme", "port": 8080, "nothing": None, "secret_key": "s3cr3t", "result.0": [1]}
MINIMAL = "name: shop\nversion: '1'\ntitle: {fr: Boutique, en: Shop}\n"


@pytest.mark.parametrize(
    ("value", "filled"),
    [
        ("http://${slug}:${port}/", "http://acme:8080/"),
        ("plain", "plain"),
        ("$slug {slug} $$ ${", "$slug {slug} $$ ${"),
        ({"a": ["${slug}", {"b": "<${slug}>"}]}, {"a": ["acme", {"b": "<acme>"}]}),
        ("${port}", 8080),
        ("${nothing}", None),
        ("${result.0}", [1]),
        ([1, 2.5, True, None], [1, 2.5, True, None]),
        ({"${slug}": 1}, {"${slug}": 1}),
    ],
)
def test_variables_are_replaced_at_any_depth(value: Any, filled: Any) -> None:
    assert fill(value, VARIABLES) == filled


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("Basic ${base64:${slug}:${secret_key}}", "Basic " + base64.b64encode(b"acme:s3cr3t").decode()),
        ("${base64:text}", base64.b64encode(b"text").decode()),
        ("${base64:}", ""),
    ],
)
def test_base64_encodes_what_it_encloses(value: str, encoded: str) -> None:
    assert fill(value, VARIABLES) == encoded


@pytest.mark.parametrize("value", ["${nobody}", "${base64:${nobody}}", [{"a": "x ${nobody}"}]])
def test_an_unknown_variable_is_named(value: Any) -> None:
    with pytest.raises(BlueprintError, match=r"unknown variable \$\{nobody\}"):
        fill(value, VARIABLES)


@pytest.mark.parametrize(
    "template", ["${company}", "Name: ${company}.", "${base64:${company}}", "${base64: ${company}}"]
)
@given(
    company=st.sampled_from(["${secret_key}", "${base64:${secret_key}}", "$${secret_key}}", "${", "a}b", "\\g<name>"])
)
def test_what_a_customer_typed_stays_text_and_is_never_expanded(template: str, company: str) -> None:
    variables = {"company": company, "secret_key": "s3cr3t"}
    filled = fill(template, variables)
    if "base64" in template:
        assert base64.b64decode(filled).decode().strip() == company
    else:
        assert filled == template.replace("${company}", company)


@pytest.fixture
def shop(tmp_path: Path, settings: Settings) -> Path:
    settings.BLUEPRINTS_DIR = tmp_path
    (tmp_path / "shop").mkdir()
    return tmp_path / "shop" / "blueprint.yaml"


def test_a_minimal_blueprint_has_the_three_secrets_of_every_instance(shop: Path) -> None:
    shop.write_text(MINIMAL)
    assert load("shop").secrets == {"database_password": 16, "secret_key": 32, "initial_password": 12}
    assert load("shop").folder == shop.parent


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("name: shop\nversion: '1'", "title"),
        (MINIMAL + "colour: red", "colour"),
        (MINIMAL + "process: {}", r"process\.run"),
        (MINIMAL + "sign_in: [{path: /}, {method: SHOUT, path: /}]", r"sign_in\.1\.method"),
        (MINIMAL + "probe: {status: often}", r"probe\.status"),
        (MINIMAL + "secrets: {pin: 2}", r"secrets\.pin"),
        (MINIMAL.replace("name: shop", "name: other"), "name"),
        (MINIMAL.replace("name: shop", "name: ../shop"), "name"),
        ("[1, 2]", "mapping"),
        ("", "mapping"),
        ("a: [", "YAML"),
        ("a: \x07", "YAML"),
    ],
)
def test_what_is_wrong_with_a_blueprint_is_said_with_its_file_and_field(shop: Path, content: str, named: str) -> None:
    shop.write_text(content)
    with pytest.raises(BlueprintError, match=rf"shop/blueprint\.yaml.*{named}") as caught:
        load("shop")
    assert "pydantic" not in str(caught.value)


def test_a_blueprint_that_is_not_text_is_refused_like_any_other(shop: Path) -> None:
    shop.write_bytes(b"name: \xff\xfe")
    with pytest.raises(BlueprintError, match="UTF-8"):
        load("shop")


@pytest.mark.parametrize("name", ["nowhere", "", "../shop", "shop/blueprint.yaml"])
@pytest.mark.usefixtures("shop")
def test_a_blueprint_that_is_not_there_is_missed_by_name(name: str) -> None:
    with pytest.raises(BlueprintError, match="there is no blueprint"):
        load(name)


def test_an_edited_blueprint_is_read_again(shop: Path) -> None:
    shop.write_text(MINIMAL)
    assert load("shop").version == "1"
    shop.write_text(MINIMAL.replace("'1'", "'2'"))
    assert load("shop").version == "2"


def test_versions_have_keys_of_their_own_that_are_safe_in_names(shop: Path) -> None:
    shop.write_text(MINIMAL)
    first = load("shop").version_key
    shop.write_text(MINIMAL.replace("'1'", "'1.0-a'"))
    assert first != load("shop").version_key and load("shop").version_key.isidentifier()


SHIPPED = sorted(path.parent.name for path in (CHECKOUT / "blueprints").glob("*/blueprint.yaml"))


def test_something_is_shipped() -> None:
    assert "tryton" in SHIPPED and blueprints.names() == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_blueprint_is_valid_and_titled_in_both_languages(name: str) -> None:
    blueprint = load(name)
    assert blueprint.name == name and set(blueprint.title) == {"fr", "en"}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_files_that_a_shipped_blueprint_mentions_exist(name: str) -> None:
    recipe = load(name).process
    if recipe is None:
        pytest.skip("it does not run as a process")
    mentioned = [recipe.requirements, recipe.npm, *recipe.files.values()]
    assert not [file for file in mentioned if file and not (load(name).folder / file).is_file()]
