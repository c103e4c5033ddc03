"""The front door as the environment asks for it, and what Caddy starts from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from parcelle.config import edge, supervision
from parcelle.config.embedded import FRONT_DOOR, Home, Refusal
from parcelle.config.supervision import programs


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FRONT_DOOR:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create_folders()
    return made


def names(home: Home) -> list[str]:
    return [program.name for program in programs(home, postgres=None, bind="127.0.0.1", port=1)]


def test_ports_are_the_default(home: Home) -> None:
    door = edge.front_door()
    assert (door.ingress, door.apps_domain, door.tls) == ("port", "apps.localhost", "internal")
    assert "caddy" not in names(home)


@pytest.mark.parametrize(
    ("domain", "tls", "ports", "bind"),
    [
        ("apps.localhost", "internal", (8880, 8443), "127.0.0.1"),
        ("Apps.Example.NET.", "acme", (80, 443), ""),
        ("apps.lan.internal", "internal", (8880, 8443), "127.0.0.1"),
    ],
)
def test_the_rest_follows_from_the_domain(
    monkeypatch: pytest.MonkeyPatch, domain: str, tls: str, ports: tuple[int, int], bind: str
) -> None:
    monkeypatch.setenv("PARCELLE_APPS_DOMAIN", domain)
    door = edge.front_door()
    assert (door.tls, (door.http_port, door.https_port), door.bind) == (tls, ports, bind)
    assert door.apps_domain == domain.lower().strip(".")


def test_caddy_runs_with_the_rest_unless_another_one_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELLE_INGRESS", "caddy")
    assert "caddy" in names(home)
    assert "caddy" in supervision.OURS
    monkeypatch.setenv("PARCELLE_CADDY_ADMIN", "http://127.0.0.1:2019")
    assert "caddy" not in names(home)


def test_without_caddy_it_says_what_to_do(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELLE_INGRESS", "caddy")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Refusal, match=r"apt install caddy.*PARCELLE_CADDY_ADMIN"):
        edge.prepare(home)


def test_what_caddy_resumes_is_only_of_this_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: "/usr/bin/caddy")
    monkeypatch.setenv("PARCELLE_CADDY_ADMIN", "")
    edge.prepare(home)
    start = json.loads((edge.folder(home) / "start.json").read_text())
    saved = edge.folder(home) / "config" / "caddy" / "autosave.json"
    saved.parent.mkdir(parents=True)
    saved.write_text(json.dumps({**start, "apps": {}}))
    edge.prepare(home)
    assert saved.exists()
    saved.write_text(json.dumps({"admin": {"listen": "unix//elsewhere/caddy.sock"}, "apps": {}}))
    edge.prepare(home)
    assert not saved.exists()
