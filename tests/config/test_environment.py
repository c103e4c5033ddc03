"""Which of the places where a setting can be wins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from parcelle.config import embedded, environment


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PARCELLE_HOME", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("PARCELLE_PORT", raising=False)
    (tmp_path / "embedded.json").write_text(json.dumps({"PARCELLE_PORT": "8123"}))
    environment.forget()
    yield
    environment.forget()


def test_the_process_comes_before_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.number("PARCELLE_PORT", 8000) == 8123
    monkeypatch.setenv("PARCELLE_PORT", "8999")
    assert environment.number("PARCELLE_PORT", 8000) == 8999


def test_the_home_is_not_asked_when_the_database_comes_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/parcelle")
    assert environment.number("PARCELLE_PORT", 8000) == 8000


def test_without_a_home_the_default_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELLE_HOME", str(tmp_path / "none"))
    environment.forget()
    assert environment.read("PARCELLE_PORT", "8000") == "8000"


def test_a_number_that_is_none_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELLE_PORT", "many")
    with pytest.raises(SystemExit, match="PARCELLE_PORT must be a whole number, not 'many'"):
        environment.number("PARCELLE_PORT", 8000)


@pytest.mark.parametrize("port", ["0", "32768", "-1"])
def test_a_first_port_that_leaves_none_to_lease_is_one_sentence(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELLE_FIRST_APPLICATION_PORT", port)
    with pytest.raises(SystemExit, match=f"must be a port from 1 to 32767, not '{port}'"):
        environment.first_port("PARCELLE_FIRST_APPLICATION_PORT", 8080)
    monkeypatch.setenv("PARCELLE_FIRST_APPLICATION_PORT", "32767")
    assert environment.first_port("PARCELLE_FIRST_APPLICATION_PORT", 8080) == 32767


@pytest.mark.parametrize("text", ["{", "[]", '{"PARCELLE_PORT": 8000}', ""])
def test_a_damaged_file_of_the_embedded_system_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "embedded.json").write_text(text)
    environment.forget()
    with pytest.raises(SystemExit, match=r"embedded\.json is damaged .*: put it back from a backup"):
        environment.read("PARCELLE_PORT")
    with pytest.raises(embedded.Refusal, match="put it back from a backup"):
        embedded.secrets_of(embedded.Home(tmp_path), port=8000)
