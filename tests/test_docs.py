"""The reference pages say what the code says, and the READMEs know every setting and name nothing that is gone."""

from __future__ import annotations

import importlib.util
import json
import re
from functools import cache
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


# --- the READMEs of the domain's apps ---------------------------------------------------------------------------

DOMAIN = CHECKOUT / "src" / "parcelle" / "domain"
APPS = sorted(path.parent.name for path in DOMAIN.glob("*/apps.py"))


@pytest.mark.parametrize("app", APPS)
def test_the_readme_of_an_app_is_read_in_a_minute(app: str) -> None:
    assert 10 <= len((DOMAIN / app / "README.md").read_text().splitlines()) <= 30


@pytest.mark.parametrize("page", [*(f"src/parcelle/domain/{app}/README.md" for app in APPS), "docs/guide/inside.md"])
def test_what_a_readme_names_exists(page: str) -> None:
    """Files, folders, classes and functions in backticks; other words in them must at least stand in the source."""
    text = (CHECKOUT / page).read_text()
    names = {name for name in re.findall(r"`([^`]+)`", text) if re.fullmatch(r"[\w*][\w./*]*", name)}
    assert {name for name in names if not _exists(name)} == set()


def _exists(name: str) -> bool:
    places = [CHECKOUT, DOMAIN.parent, *DOMAIN.iterdir(), *(path for path in DOMAIN.glob("*/*/") if path.is_dir())]
    if "/" in name or name.endswith(".py"):
        return any(path for place in places if place.is_dir() for path in place.glob(name.rstrip("/")))
    return all(re.search(rf"(?<![\w]){word}(?![\w])", _source()) or _is_file(word) for word in name.split("."))


def _is_file(word: str) -> bool:
    return bool(list(DOMAIN.rglob(f"{word}.py"))) or any(path.is_dir() for path in DOMAIN.rglob(word))


@cache
def _source() -> str:
    """Of the domain, without what is prose: a name that only a comment or a README remembers does not exist."""
    files = [path for path in DOMAIN.parent.rglob("*.py") if "migrations" not in path.parts]
    code = "\n".join(path.read_text() for path in files)
    return re.sub(r'"""[\s\S]*?"""|#[^\n]*', "", code)


# --- settings ---------------------------------------------------------------------------------------------------

# Handed from one program of ours to another, never set by a person.
_OURS = {
    "PARCELLE_AS_OWNER",  # `parcelle migrate` to itself
    "PARCELLE_COMMAND",  # to the shell inside a container
    "PARCELLE_CRASH_AT",  # the tests' way to kill a worker
    "PARCELLE_CRASH_MARK",
    "PARCELLE_INSTANCE",  # a mark on what Portainer was given
    "PARCELLE_SUPERUSER_DATABASE_URL",  # `parcelle up` keeps it in embedded.json
    "PARCELLE_SUPERVISED_HOME",  # how `parcelle up` knows its own
    "PARCELLE_SUPERVISOR_SOCKET",  # `parcelle up` to the worker
}


def _settings(text: str) -> set[str]:
    return set(re.findall(r"\b(?:PARCELLE_[A-Z_]+|DATABASE_URL|DJANGO_SECRET_KEY)\b", text))


def test_both_readmes_list_every_setting_and_no_other() -> None:
    english, french = ((CHECKOUT / name).read_text() for name in ("README.md", "README.fr.md"))
    assert _settings(english) == _settings(french)
    sources = "".join(path.read_text() for path in (CHECKOUT / "src" / "parcelle").rglob("*.py"))
    # A comma's worth of names is written out once and read by parts: PARCELLE_{kind}_NUMBER.
    assert _settings(sources) - _OURS - {"PARCELLE_"} == _settings(english)


def test_the_french_readme_is_set_as_french_is() -> None:
    code = False
    for line in (CHECKOUT / "README.fr.md").read_text().splitlines():
        if line.startswith("```"):
            code = not code
        if not code:
            assert not re.search(r"(?<! ) [;:!?»](\s|$)|« ", line), line
