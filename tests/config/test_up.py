"""`parcelle up` as a person uses it: real processes, a home and a port of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from parcelle.config import embedded
from tests import cluster
from tests.installation import Installation, free_port
from tests.needs import require

# Together (`--dist loadfile`): each shares the home that the first one set up.
pytestmark = pytest.mark.slow

TENANT = """\
[program:tenant-example]
command="{python}" -m http.server --bind 127.0.0.1 {port}
directory=/
autostart=true
autorestart=true
startsecs=1
stopasgroup=true
killasgroup=true
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Not pytest's own: each pytest that starts closes the folder above it to the user PostgreSQL runs as for root."""
    made = Path(tempfile.mkdtemp(prefix="parcelle-up-")).resolve()
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def home(folder: Path) -> Path:
    return folder / "var"


@pytest.fixture
def installation(home: Path) -> Iterator[Installation]:
    made = Installation(home)
    yield made
    made.remove()


def test_the_first_start_says_where_everything_is(installation: Installation) -> None:
    installation.settings["PARCELLE_WORKERS"] = "2"
    installation.up()
    panel = installation.wait_for_panel()
    assert f"http://localhost:{installation.port}/admin/" in panel
    assert f"http://localhost:{installation.port}/mailbox" in panel
    assert installation.secrets()["PARCELLE_OPERATOR_PASSWORD"] in panel
    assert installation.get("/healthz")[0] == 200
    installation.wait_for_state("worker:worker_0", "RUNNING")
    installation.wait_for_state("worker:worker_1", "RUNNING")
    findings = installation.check()
    assert findings["role"]["ok"], findings
    assert findings["tables"]["ok"], findings
    assert installation.stop() == 0
    installation.wait_until_nothing_runs(1)


def test_secrets_are_for_the_owner_alone_and_in_no_log(installation: Installation) -> None:
    installation.up()
    installation.wait_for_panel()
    installation.wait_for_state("worker:worker_0", "RUNNING")
    installation.stop()
    assert stat.S_IMODE(installation.home.secrets_file.stat().st_mode) == 0o600
    written = "".join(path.read_text(errors="replace") for path in installation.home.logs.rglob("*") if path.is_file())
    assert "listening on Unix socket" in written
    for name, value in installation.secrets().items():
        if "PASSWORD" in name or "KEY" in name:
            assert value not in written, name


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_every_process_tenants_included(installation: Installation, signum: signal.Signals) -> None:
    port = free_port()
    installation.home.create_folders()
    conf = installation.home.tenants / "example.conf"
    conf.write_text(TENANT.format(python=sys.executable, port=port))
    try:
        # The tenant's file was there before: the start brings it back.
        installation.up()
        installation.wait_for_panel()
        installation.wait_for_state("tenant-example:tenant-example", "RUNNING")
        _connect(port)
        assert installation.stop(signum) == 0
        installation.wait_until_nothing_runs(1)
        with pytest.raises(ConnectionRefusedError):
            _connect(port)
    finally:
        conf.unlink()


def test_a_closed_terminal_stops_it_also_when_its_signal_went_to_somebody_else(installation: Installation) -> None:
    ours, its = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "parcelle.config.program", "up"],
        env={**installation.environment, "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=its,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(its)
    try:
        seen = b""
        while b"Ctrl-C stops it" not in seen:
            seen += os.read(ours, 10_000)
        os.close(ours)
        process.wait(60)
        installation.wait_until_nothing_runs(1)
    finally:
        process.kill()


def test_a_tenant_that_stays_connected_does_not_hold_the_end_up(installation: Installation) -> None:
    installation.up()
    installation.wait_for_panel()
    with psycopg.connect(installation.secrets()["PARCELLE_TENANTS_DATABASE_URL"], autocommit=True) as tenant:
        tenant.execute("SELECT 1")
        began = time.monotonic()
        assert installation.stop() == 0
        assert time.monotonic() - began < 25
        with pytest.raises(psycopg.OperationalError):
            tenant.execute("SELECT 1")


def test_a_second_start_says_that_one_runs(installation: Installation) -> None:
    first = installation.up()
    installation.wait_for_panel()
    second = installation.run("up")
    assert second.returncode == 1
    assert second.stdout == ""
    assert second.stderr.count("\n") == 1
    assert f"http://localhost:{installation.port}" in second.stderr
    assert f"process {first.pid}" in second.stderr
    assert installation.get("/healthz")[0] == 200


def test_a_taken_port_is_named(installation: Installation) -> None:
    with socket.create_server(("127.0.0.1", installation.port)):
        refused = installation.run("up")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert f"Port {installation.port} is taken" in refused.stderr
    assert "PARCELLE_PORT" in refused.stderr
    installation.wait_until_nothing_runs(1)


@pytest.mark.parametrize("port", ["http", "0", "70000", "-1"])
def test_a_port_that_is_none_is_refused(installation: Installation, port: str) -> None:
    installation.settings["PARCELLE_PORT"] = port
    refused = installation.run("up")
    assert refused.returncode == 1
    assert "PARCELLE_PORT must be a port number" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_home_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        # Permissions do not stop root; a file system without room for files does.
        place = Path("/proc/parcelle")
    else:
        tmp_path.chmod(0o555)
        place = tmp_path / "var"
    refused = Installation(place).run("up")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert f"{place} cannot be written" in refused.stderr
    assert "PARCELLE_HOME" in refused.stderr


def test_a_home_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = Installation(tmp_path / "file" / "var").run("up")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "cannot be written" in refused.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=120m", "tmpfs", str(place)]
    require("mounts")
    subprocess.run(mount, check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


def test_a_full_disk_is_one_sentence(small_disk: Path) -> None:
    refused = Installation(small_disk / "var").run("up")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "The disk is full" in refused.stderr


def test_a_disk_that_fills_up_on_the_way_is_one_sentence_too(folder: Path) -> None:
    place = folder / "filling"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=330m,mode=755", "tmpfs", str(place)]
    require("mounts")
    subprocess.run(mount, check=True)
    installation = Installation(place / "var")
    try:
        process = installation.up()
        while not installation.home.secrets_file.exists():
            time.sleep(0.01)
        with suppress(OSError), (place / "fill").open("wb") as fill:
            while True:
                fill.write(bytes(1_000_000))
        _out, errors = process.communicate(timeout=120)
        assert process.returncode == 1
        assert errors.count("\n") == 1
        assert "The disk is full" in errors
    finally:
        installation.remove()
        subprocess.run(["umount", "-l", str(place)], check=False)


def test_a_database_from_outside_is_used_and_not_stopped(folder: Path) -> None:
    cluster.make_database("parcelle_outside")
    installation = Installation(
        folder / "outside",
        DATABASE_URL=cluster.url(embedded.APP, "parcelle_outside"),
        PARCELLE_OWNER_DATABASE_URL=cluster.url(embedded.OWNER, "parcelle_outside"),
    )
    try:
        refused = installation.run("up")
        assert refused.returncode == 1
        assert "DATABASE_URL is set, so DJANGO_SECRET_KEY must be set as well." in refused.stderr
        installation.settings["DJANGO_SECRET_KEY"] = os.environ["DJANGO_SECRET_KEY"]
        installation.settings["PARCELLE_SECRET_KEYS"] = os.environ["PARCELLE_SECRET_KEYS"]
        installation.up()
        installation.wait_for_panel()
        findings = installation.check()
        assert findings["role"]["ok"], findings
        assert findings["tables"]["ok"], findings
        assert not installation.home.data.exists()
        assert installation.stop() == 0
        psycopg.connect(cluster.superuser_url()).close()
    finally:
        installation.remove()


def test_nothing_stays_when_it_is_killed(installation: Installation) -> None:
    installation.up()
    installation.wait_for_panel()
    installation.wait_for_state("worker:worker_0", "RUNNING")
    assert installation.stop(signal.SIGKILL) == -signal.SIGKILL
    if sys.platform == "linux":
        installation.wait_until_nothing_runs(40)


def test_the_next_start_removes_what_a_killed_supervisor_left(installation: Installation) -> None:
    up = installation.up()
    installation.wait_for_panel()
    installation.wait_for_state("worker:worker_0", "RUNNING")
    up.send_signal(signal.SIGSTOP)
    supervisor = int((installation.home.run / "supervisord.pid").read_text())
    os.kill(supervisor, signal.SIGKILL)
    up.kill()
    up.communicate()
    left = installation.processes()
    assert left, "the programs outlive a killed supervisor"
    installation.up()
    installation.wait_for_panel()
    assert not [process for process in left if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert installation.get("/healthz")[0] == 200
    assert installation.stop() == 0


def test_it_ends_and_cleans_up_when_the_supervisor_is_killed(installation: Installation) -> None:
    up = installation.up()
    installation.wait_for_panel()
    os.kill(int((installation.home.run / "supervisord.pid").read_text()), signal.SIGKILL)
    _out, errors = up.communicate(timeout=60)
    assert up.returncode == 1
    assert "The supervisor ended unexpectedly" in errors
    installation.wait_until_nothing_runs(1)


def test_postgresql_is_started_again_when_it_crashes(installation: Installation) -> None:
    installation.up()
    installation.wait_for_panel()
    url = installation.secrets()["DATABASE_URL"]
    before = _server(installation)
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
            if _server(installation) != before:
                break
        except (psycopg.OperationalError, FileNotFoundError):
            pass
        assert time.monotonic() < deadline
        time.sleep(0.1)
    # The site's pooled connections are older than the server.
    for _attempt in range(3):
        assert installation.get("/accounts/login/")[0] == 200
    assert installation.check()["database"]["ok"]


def test_the_home_may_have_a_long_path_and_odd_letters(folder: Path) -> None:
    long = folder / ("much longer than a socket allows " + "é" * 30 + " 100% 'quoted'") / "var"
    installation = Installation(long)
    try:
        installation.up()
        installation.wait_for_panel()
        assert len(os.fsencode(installation.home.run)) < 90
        assert installation.home.run.is_dir()
        assert installation.check()["database"]["ok"]
        assert installation.stop() == 0
        installation.wait_until_nothing_runs(1)
        assert not installation.home.run.exists()
    finally:
        installation.remove()


def _server(installation: Installation) -> int:
    return int((installation.home.data / "postmaster.pid").read_text().split("\n")[0])


def _connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
