"""The reference pages say what the code says, and the READMEs know every setting."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import jsonschema_rs
import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", CHECKOUT / "docs" / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_pages_are_up_to_date(generate: ModuleType) -> None:
    written = {path.name: path.read_text() for path in (CHECKOUT / "docs" / "reference").iterdir()}
    assert written == generate.pages(), "run `make docs`"


def test_the_schema_describes_the_blueprints_that_are_shipped(generate: ModuleType) -> None:
    schema = json.loads(generate.pages()["blueprint.schema.json"])
    validator = jsonschema_rs.validator_for(schema)
    for path in (CHECKOUT / "blueprints").glob("*/blueprint.yaml"):
        content = yaml.safe_load(path.read_text())
        assert [error.message for error in validator.iter_errors(content)] == [], path
        assert list(validator.iter_errors({**content, "colour": "red"}))


def _settings(text: str) -> set[str]:
    return set(re.findall(r"\b(?:PARCELLE_[A-Z_]+|DATABASE_URL|DJANGO_SECRET_KEY)\b", text))


def test_both_readmes_list_the_same_settings_and_every_one_exists() -> None:
    english, french = ((CHECKOUT / name).read_text() for name in ("README.md", "README.fr.md"))
    assert _settings(english) == _settings(french)
    sources = "".join(path.read_text() for path in (CHECKOUT / "src" / "parcelle" / "config").glob("*.py"))
    assert _settings(english) <= _settings(sources)


def test_the_french_readme_is_set_as_french_is() -> None:
    code = False
    for line in (CHECKOUT / "README.fr.md").read_text().splitlines():
        if line.startswith("```"):
            code = not code
        if not code:
            assert not re.search(r"(?<! ) [;:!?»](\s|$)|« ", line), line
