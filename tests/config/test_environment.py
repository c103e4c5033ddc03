"""Which of the places where a setting can be wins."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from parcelle.config import allowed, embedded, environment


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
    with pytest.raises(SystemExit, match="PARCELLE_PORT must be a port number from 1 to 65535, not 'many'"):
        environment.number("PARCELLE_PORT", 8000)


@pytest.mark.parametrize("port", ["0", "32768", "-1"])
def test_a_first_port_that_leaves_none_to_lease_is_one_sentence(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELLE_FIRST_APPLICATION_PORT", port)
    with pytest.raises(SystemExit, match=f"must be a port number from 1 to 32767, not '{port}'"):
        environment.first_port("PARCELLE_FIRST_APPLICATION_PORT", 8080)
    monkeypatch.setenv("PARCELLE_FIRST_APPLICATION_PORT", "32767")
    assert environment.first_port("PARCELLE_FIRST_APPLICATION_PORT", 8080) == 32767


WRONG = {
    "PARCELLE_INGRESS": ("nginx", "port, caddy or traefik"),
    "PARCELLE_EDGE_TLS": ("none", "internal or acme"),
    "PARCELLE_EDGE_HTTPS_PORT": ("70000", "a port number from 1 to 65535"),
    "PARCELLE_LOG_LEVEL": ("loud", "DEBUG, INFO, WARNING, ERROR or CRITICAL"),
    "PARCELLE_LOG_FORMAT": ("xml", "human or json"),
    "PARCELLE_LOG_FILE": ("/nowhere/at/all.log", "a file that can be written"),
    "PARCELLE_TIME_ZONE": ("Paris", "a time zone such as Europe/Paris"),
    "PARCELLE_PORT": ("http", "a port number from 1 to 65535"),
    "PARCELLE_PUBLIC_URL": ("example.com", "an address that begins with https://"),
    "PARCELLE_SITE_ADDRESS": ("here", "a host and a port"),
    "PARCELLE_EDGE_ADDRESS": ("dsn", "“dns”, or a host and a port"),
    "PARCELLE_SUBNET_POOL": ("10.201.0.0/99", "a network such as 10.201.0.0/16"),
    "PARCELLE_BLUEPRINTS": (__file__, "a folder"),
    "PARCELLE_DEMO": ("maybe", "1 (true, yes, on) or 0 (false, no, off)"),
    "PARCELLE_OPERATION_DEADLINE": ("0", "a whole number from 1 on"),
    "PARCELLE_DATABASE_POOL": ("-1", "a whole number from 0 on"),
    "PARCELLE_VIES_URL": ("vies", "an address that begins with https://"),
}


def test_every_setting_that_cannot_be_used_is_one_sentence_at_the_start(tmp_path: Path) -> None:
    """As the program says it: which one, what is allowed, what was given, and no traceback."""
    reads = "import os, sys\nfrom importlib import import_module, reload\nfrom parcelle.config import environment\n"
    reads += """
for pair in sys.argv[1:]:
    name, _equals, value = pair.partition("=")
    os.environ[name] = value
    try:
        reload(import_module("parcelle.config.settings"))
    except SystemExit as told:
        print(f"{name}\t{told}")
    del os.environ[name]
"""
    done = subprocess.run(
        [sys.executable, "-c", reads, *(f"{name}={value}" for name, (value, _words) in WRONG.items())],
        env={**os.environ, "DATABASE_URL": "postgresql:///nowhere", "PARCELLE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    said = dict(line.split("\t", 1) for line in done.stdout.splitlines())
    for name, (value, words) in WRONG.items():
        assert said.get(name, "").startswith(f"parcelle: {name} must be {words}"), (name, said.get(name))
        assert said[name].endswith(f", not {value!r}.")


def test_every_setting_of_one_kind_is_held_to_it() -> None:
    """What the settings read as a number or a switch has a rule: nothing is turned into one unseen."""
    sources = "".join(path.read_text() for path in Path(environment.__file__).parent.glob("*.py"))
    read = set(re.findall(r"""environment\.(?:number|flag|first_port)\(\s*["'](\w+)""", sources))
    assert read and read <= set(allowed._RULES)


@pytest.mark.parametrize("text", ["{", "[]", '{"PARCELLE_PORT": 8000}', ""])
def test_a_damaged_file_of_the_embedded_system_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "embedded.json").write_text(text)
    environment.forget()
    with pytest.raises(SystemExit, match=r"embedded\.json is damaged .*: put it back from a backup"):
        environment.read("PARCELLE_PORT")
    with pytest.raises(embedded.Refusal, match="put it back from a backup"):
        embedded.secrets_of(embedded.Home(tmp_path), port=8000)


def test_a_start_asks_for_all_of_them_first(tmp_path: Path) -> None:
    """Before there is a folder, a database or a process."""
    told = subprocess.run(
        [sys.executable, "-m", "parcelle.config.program", "up"],
        env={**os.environ, "PARCELLE_HOME": str(tmp_path / "home"), "PARCELLE_TIME_ZONE": "Paris"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert told.stderr == (
        "parcelle: PARCELLE_TIME_ZONE must be a time zone such as Europe/Paris or Africa/Douala, not 'Paris'.\n"
    )
    assert not (tmp_path / "home").exists()
