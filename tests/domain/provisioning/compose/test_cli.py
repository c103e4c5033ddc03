"""How `docker compose` is run: what it is told, what it is not told, and what happens when it does not end."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from parcelle.domain.provisioning.compose import cli
from parcelle.domain.provisioning.compose.answers import FileRefused
from parcelle.domain.provisioning.compose.cli import Compose, Credential
from parcelle.domain.provisioning.compose.render import Rendered
from parcelle.domain.provisioning.errors import ProvisioningError, TargetUnreachable, TryAgain
from tests import needs

FILE = Rendered(project="client-acme", text="services: {}\n", secrets=("S-secret",))
# Writes down how it was called, then does what the test wants.
PROGRAM = """#!{python}
import json, os, pathlib, signal, sys, time
if sys.argv[1:] == ["version", "--short"]:
    print({version!r})
    raise SystemExit
config = os.environ.get("DOCKER_CONFIG")
pathlib.Path({record!r}).write_text(json.dumps({{
    "argv": sys.argv[1:], "environ": dict(os.environ), "cwd": os.getcwd(), "stdin": sys.stdin.read(),
    "config": config and pathlib.Path(config, "config.json").read_text(),
    "mode": config and oct(os.stat(pathlib.Path(config, "config.json")).st_mode & 0o777),
}}))
{body}
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Callable[[], dict[str, Any]]]]:
    """Puts a program in the place of docker-compose; returns what reads how it was called."""
    path, record = tmp_path / "docker-compose", tmp_path / "called.json"

    def make(body: str = "", version: str = "2.26.1-4") -> Callable[[], dict[str, Any]]:
        path.write_text(PROGRAM.format(python=sys.executable, version=version, record=str(record), body=body))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        cli._version.cache_clear()
        monkeypatch.setattr(cli, "_program", lambda: (str(path),))
        return lambda: dict(json.loads(record.read_text()))

    yield make
    cli._version.cache_clear()


def test_nothing_but_the_file_decides(
    program: Callable[..., Callable[[], dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("COMPOSE_FILE", "COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME", "DOCKER_CONTEXT", "SECRET_KEY", "slug"):
        monkeypatch.setenv(name, "from the environment")
    called = program()
    Compose(host="ssh://parcelle@engine.example.net").up(FILE, timeout=60)
    seen = called()
    assert seen["argv"] == [
        "--ansi", "never", "--progress", "plain", "--env-file", "/dev/null", "-p", "client-acme",
        "--project-directory", "/", "-f", "-",
        "up", "--detach", "--wait", "--wait-timeout", "60", "--remove-orphans", "--no-build", "--pull", "never",
    ]  # fmt: skip
    assert seen["stdin"] == FILE.text
    assert seen["cwd"] == "/"
    assert seen["environ"]["DOCKER_HOST"] == "ssh://parcelle@engine.example.net"
    known = {"PATH", "HOME", "TMPDIR", "SSH_AUTH_SOCK", "DOCKER_HOST", "LC_CTYPE"}
    assert set(seen["environ"]) <= known


def test_the_engine_of_this_machine_is_the_default(program: Callable[..., Callable[[], dict[str, Any]]]) -> None:
    called = program()
    Compose().down("client-acme", volumes=True, timeout=60)
    seen = called()
    assert seen["environ"]["DOCKER_HOST"] == "unix:///var/run/docker.sock"
    assert seen["argv"][6:] == ["-p", "client-acme", "down", "--remove-orphans", "--volumes"]
    # Nobody is there to answer a question.
    assert seen["stdin"] == ""


def test_services_can_be_started_apart(program: Callable[..., Callable[[], dict[str, Any]]]) -> None:
    called = program()
    Compose().up(FILE, timeout=60, services=["db"])
    assert called()["argv"][-1] == "db"
    # The others are not orphans.
    assert "--remove-orphans" not in called()["argv"]


def test_credentials_are_given_in_a_folder_that_disappears(
    program: Callable[..., Callable[[], dict[str, Any]]], tmp_path: Path
) -> None:
    called = program()
    credentials = {
        "registry.example.net": Credential(user="bot", password="S-registry"),
        "docker.io": Credential(user="hub", password="x"),
    }
    compose = Compose(host="tcp://engine:2376", certificates=tmp_path, credentials=credentials)
    compose.pull(FILE, timeout=60)
    seen = called()
    assert json.loads(seen["config"])["auths"] == {
        "registry.example.net": {"auth": "Ym90OlMtcmVnaXN0cnk="},
        "https://index.docker.io/v1/": {"auth": "aHViOng="},
    }
    assert seen["mode"] == "0o600"
    assert not Path(seen["environ"]["DOCKER_CONFIG"]).exists()
    assert seen["environ"]["DOCKER_CERT_PATH"] == str(tmp_path) and seen["environ"]["DOCKER_TLS_VERIFY"] == "1"
    assert "S-registry" not in repr(compose)


def test_a_failure_is_our_error_and_holds_no_secret(program: Callable[..., Callable[[], dict[str, Any]]]) -> None:
    program('sys.stderr.write("validating: S-secret is no number\\n"); sys.exit(15)')
    with pytest.raises(FileRefused, match="is no number") as caught:
        Compose().create(FILE, timeout=60)
    assert "S-secret" not in caught.value.detail


def test_what_does_not_end_is_ended_and_unknown(
    program: Callable[..., Callable[[], dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    called = program("time.sleep(60)")
    monkeypatch.setattr(cli, "_SECONDS_TO_GIVE_UP", 0.3)
    before = time.monotonic()
    with pytest.raises(TryAgain, match="did not end within 1 seconds"):
        Compose().stop("client-acme", timeout=1)
    assert time.monotonic() - before < 5
    assert called()["argv"][-1] == "stop"


def test_what_does_not_listen_is_killed(
    program: Callable[..., Callable[[], dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mark = tmp_path / "pids"
    program(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"pathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\ntime.sleep(60)"
    )
    monkeypatch.setattr(cli, "_SECONDS_TO_GIVE_UP", 0.3)
    with pytest.raises(TryAgain):
        Compose().stop("client-acme", timeout=1)
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


@pytest.mark.parametrize("version", ["2.25.0", "1.29.2", "", "docker: unknown command"])
def test_an_old_or_missing_plugin_is_said_with_what_to_do(
    program: Callable[..., Callable[[], dict[str, Any]]], version: str
) -> None:
    program(version=version)
    with pytest.raises(TargetUnreachable, match=r"compose plugin.* 2\.26 or newer"):
        Compose().version()


@pytest.mark.parametrize("version", ["2.26.1-4", "v2.39.2", "3.0.0"])
def test_a_newer_one_is_fine(program: Callable[..., Callable[[], dict[str, Any]]], version: str) -> None:
    program(version=version)
    assert Compose().version() == version.removeprefix("v")


def test_no_program_at_all_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(cli, "_PLUGIN_FOLDERS", ())
    with pytest.raises(TargetUnreachable, match="Install"):
        Compose().version()


def test_the_real_one_is_found_and_answers() -> None:
    needs.require("docker")
    assert Compose().version().startswith(("2.", "3.", "4.", "5."))


def test_the_real_one_without_an_engine_is_unreachable(tmp_path: Path) -> None:
    needs.require("docker")
    for host in (f"unix://{tmp_path}/nobody.sock", "tcp://127.0.0.1:1"):
        with pytest.raises(TargetUnreachable, match="does not answer"):
            Compose(host=host).down("client-nobody", volumes=False, timeout=30)


def test_the_real_one_refuses_what_is_no_compose_file() -> None:
    needs.require("docker")
    with pytest.raises(FileRefused, match="nonsense"):
        Compose().config(Rendered(project="x", text="services: {web: {image: a, nonsense: 1}}"))
    with pytest.raises(ProvisioningError):
        Compose().config(Rendered(project="Not A Name", text="services: {web: {image: a}}"))
