"""The images of the tests keep the contracts they are used for."""

from __future__ import annotations

import io
import re
import shutil
import tarfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
from docker.models.containers import Container

from tests.docker import build, debian
from tests.docker.belongings import Belongings
from tests.docker.swarm import until

# Other tests use the same engine and the same processors at the same time.
pytestmark = [pytest.mark.timeout(600)]
Start = Callable[..., Container]

# As the strictest blueprint runs it.
HARDENED: dict[str, Any] = {
    "cap_drop": ["ALL"],
    "cap_add": ["CHOWN", "SETUID", "SETGID", "DAC_OVERRIDE", "FOWNER"],
    "security_opt": ["no-new-privileges:true"],
    "read_only": True,
    "tmpfs": {"/run": "", "/tmp": ""},
    "pids_limit": 100,
    "mem_limit": "192m",
}


@pytest.fixture
def start(engine: docker.DockerClient, belongings: Belongings) -> Iterator[Start]:
    """Starts a container; everything a test started is removed after it."""
    started: list[Container] = []

    def run(image: str, command: list[str] | None = None, **how: Any) -> Container:
        files: Mapping[str, str] = how.pop("files", {})
        container = engine.containers.create(image, command, labels=belongings.labels, **how)
        started.append(container)
        if files:
            container.put_archive("/", _packed(files))
        container.start()
        return container

    yield run
    for container in started:
        container.remove(force=True, v=True)


def _packed(files: Mapping[str, str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for path, text in files.items():
            info = tarfile.TarInfo(path.lstrip("/"))
            info.size, info.mode = len(text.encode()), 0o755 if path.endswith("!.sh") else 0o644
            tar.addfile(info, io.BytesIO(text.encode()))
    return stream.getvalue()


def _ask(
    container: Container, sql: str, *, user: str = "app", database: str = "app", host: str = "", password: str = ""
) -> str:
    arguments = ["psql", "--no-psqlrc", "-AtU", user, "-d", database, "-c", sql, *([f"-h{host}"] if host else [])]
    return _inside(container, arguments, PGPASSWORD=password, PGCONNECT_TIMEOUT="3")


def _inside(container: Container, command: list[str], **environment: str) -> str:
    output = container.exec_run(command, environment=environment).output
    assert isinstance(output, bytes)
    return output.decode().strip()


def _wait_for(container: Container) -> None:
    """Until it answers over TCP, which only the final server does."""

    def answers() -> bool:
        container.reload()
        assert container.status == "running", container.logs().decode()
        return container.exec_run(["pg_isready", "-q", "-h127.0.0.1"]).exit_code == 0

    until(answers, "PostgreSQL answers")


def _address(container: Container) -> str:
    container.reload()
    networks = container.attrs["NetworkSettings"]["Networks"].values()
    return str(next(iter(networks))["IPAddress"])


def _ended(container: Container) -> tuple[int, str]:
    code = container.wait(timeout=300)["StatusCode"]
    return int(code), container.logs().decode()


def test_postgres_takes_user_password_and_database_from_its_environment(start: Start, postgres_image: str) -> None:
    database = start(
        postgres_image,
        environment={"POSTGRES_USER": "app", "POSTGRES_PASSWORD": 'it\'s a "secret"', "POSTGRES_DB": "thé-1"},
        **HARDENED,
    )
    _wait_for(database)
    address = _address(database)
    assert _ask(database, "SHOW server_version_num", database="thé-1").startswith("15")
    assert _ask(database, "SHOW server_encoding", database="thé-1") == "UTF8"
    # The local socket trusts; the network does not.
    asked = "SELECT current_user"
    assert _ask(database, asked, database="thé-1", host=address, password='it\'s a "secret"') == "app"
    assert "password authentication failed" in _ask(database, asked, database="thé-1", host=address, password="no")
    assert "it's a" not in database.logs().decode()


def test_postgres_reads_every_setting_from_a_file(start: Start, postgres_image: str) -> None:
    values = {
        "USER": "app",
        "PASSWORD": "from-a-file",
        "DB": "shop",
        "INITDB_ARGS": "--data-checksums --encoding=SQL_ASCII",
    }
    database = start(
        postgres_image,
        environment={f"POSTGRES_{name}_FILE": f"/secrets/{name}" for name in values},
        files={f"/secrets/{name}": f"{value}\n" for name, value in values.items()},
    )
    _wait_for(database)
    assert _ask(database, "SHOW data_checksums", database="shop") == "on"
    assert _ask(database, "SHOW server_encoding", database="shop") == "SQL_ASCII"
    assert _ask(database, "SELECT 1", database="shop", host=_address(database), password="from-a-file") == "1"


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "has no password"),
        (
            {"POSTGRES_PASSWORD": "a", "POSTGRES_PASSWORD_FILE": "/b"},
            "both POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE",
        ),
        ({"POSTGRES_PASSWORD_FILE": "/nowhere"}, "POSTGRES_PASSWORD_FILE cannot be read"),
    ],
)
def test_postgres_refuses_to_start_without_a_clear_password(
    start: Start, postgres_image: str, environment: dict[str, str], sentence: str
) -> None:
    code, said = _ended(start(postgres_image, environment=environment))
    assert code == 1
    assert sentence in said


def test_postgres_runs_initial_files_once_in_order(
    start: Start, engine: docker.DockerClient, belongings: Belongings, postgres_image: str
) -> None:
    volume = engine.volumes.create(labels=belongings.labels)
    how: dict[str, Any] = {
        "environment": {"POSTGRES_USER": "app", "POSTGRES_PASSWORD": "secret"},
        "volumes": {str(volume.name): {"bind": "/var/lib/postgresql/data", "mode": "rw"}},
        "files": {
            "/docker-entrypoint-initdb.d/1.sql": "CREATE TABLE step (name text); INSERT INTO step VALUES ('sql');",
            "/docker-entrypoint-initdb.d/2-!.sh": "#!/bin/sh\necho \"INSERT INTO step VALUES ('run')\" | psql -Uapp\n",
            "/docker-entrypoint-initdb.d/3.sh": "ask -c \"INSERT INTO step VALUES ('sourced')\"\n",
            "/docker-entrypoint-initdb.d/4.txt": "nothing",
        },
    }
    for _ in range(2):
        database = start(postgres_image, **how)
        _wait_for(database)
        assert _ask(database, "SELECT string_agg(name, ' ') FROM step") == "sql run sourced"
        database.stop(timeout=20)
        assert _ended(database)[0] == 0
        assert "database system is shut down" in database.logs().decode()


def test_postgres_fails_with_a_failing_initial_file(start: Start, postgres_image: str) -> None:
    files = {"/docker-entrypoint-initdb.d/1.sql": "SELECT nonsense;"}
    code, said = _ended(start(postgres_image, environment={"POSTGRES_PASSWORD": "x"}, files=files))
    assert code
    assert 'column "nonsense" does not exist' in said


def test_postgres_drops_its_privileges_and_works_without_any(start: Start, postgres_image: str) -> None:
    database = start(postgres_image, ["-c", "max_connections=17"], environment={"POSTGRES_HOST_AUTH_METHOD": "trust"})
    _wait_for(database)
    assert _inside(database, ["stat", "--format=%U", "/proc/1"]) == "postgres"
    assert _ask(database, "SHOW max_connections", user="postgres", database="postgres") == "17"
    assert _ask(database, "SELECT 1", user="postgres", database="postgres", host=_address(database)) == "1"
    unprivileged = start(
        postgres_image,
        environment={"POSTGRES_PASSWORD": "x", "PGDATA": "/var/lib/postgresql/data/inner"},
        user="postgres",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
    )
    _wait_for(unprivileged)
    folder = _ask(unprivileged, "SHOW data_directory", user="postgres", database="postgres")
    assert folder == "/var/lib/postgresql/data/inner"


@pytest.fixture
def web(
    start: Start, engine: docker.DockerClient, belongings: Belongings, web_image: str, postgres_image: str
) -> Callable[..., str]:
    """Starts the application with a database of its own; returns its address."""
    network = engine.networks.create(f"parcelle-test-{uuid.uuid4().hex[:8]}", labels=belongings.labels)
    common = {"PGHOST": "db", "PGUSER": "app", "PGDATABASE": "app", "PGPASSWORD": "secret"}
    database = start(postgres_image, environment={"POSTGRES_USER": "app", "POSTGRES_PASSWORD": "secret"})
    network.connect(database, aliases=["db"])
    network_name = str(network.name)
    migration = start(web_image, ["migrate"], environment={**common, "OWNER_PASSWORD": "first"}, network=network_name)
    code, said = _ended(migration)
    assert code == 0, said

    def run(**environment: str) -> str:
        hardened = {**HARDENED, "cap_add": [], "tmpfs": {"/tmp": ""}}
        container = start(web_image, environment={**common, **environment}, network=network_name, **hardened)
        url = f"http://{_address(container)}:8080"
        until(lambda: _status(f"{url}/") == 200, "the application answers")
        return url

    return run


def _status(url: str) -> int:
    try:
        return httpx.get(url, timeout=5).status_code
    except httpx.TransportError:
        return 0


@pytest.mark.allow_hosts(["127.0.0.1", "172.16.0.0/12", "192.168.0.0/16"])
def test_the_application_keeps_people_and_a_value(web: Callable[..., str]) -> None:
    url = web(APP_VERSION="7.1")
    assert httpx.get(f"{url}/").json()["version"] == "7.1"
    assert httpx.get(f"{url}/healthz").status_code == 200
    assert httpx.post(f"{url}/become", json={}).status_code == 401
    session = httpx.post(f"{url}/sign-in", json={"login": "owner", "password": "first"}).json()["session"]
    headers = {"Authorization": f"Session {session}"}
    become = {"login": "acme", "password": "second", "company": "Acme"}
    assert httpx.post(f"{url}/become", json=become, headers=headers).json() == {"error": None}
    assert httpx.post(f"{url}/value", json={"value": "kept"}, headers=headers).status_code == 200
    other = web(WEB_REFUSE_SIGN_IN="1")
    assert httpx.get(f"{other}/value").json() == {"value": "kept"}
    for address, expected in ((url, "Acme"), (other, None)):
        answer = httpx.post(f"{address}/sign-in", json={"login": "acme", "password": "second"}).json()
        assert answer.get("company") == expected


@pytest.mark.allow_hosts(["127.0.0.1", "172.16.0.0/12", "192.168.0.0/16"])
def test_the_application_goes_wrong_when_told(start: Start, web: Callable[..., str], web_image: str) -> None:
    failing = web(WEB_UNHEALTHY_AFTER="2")
    until(lambda: _status(f"{failing}/healthz") == 503, "it becomes unhealthy")
    slow = web(WEB_ANSWER_DELAY="1")
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(slow, timeout=0.5)
    assert _ended(start(web_image, environment={"WEB_CRASH_AFTER": "0.1"}))[0] == 9
    assert _ended(start(web_image, ["migrate"], environment={"WEB_FAIL_MIGRATION": "1"}))[0] == 7


def test_broken_ends_at_once_and_slow_becomes_healthy_late(start: Start, broken_image: str, slow_image: str) -> None:
    assert _ended(start(broken_image))[0] == 3
    assert _ended(start(broken_image, ["serve"]))[0] == 3
    slow = start(slow_image, environment={"WEB_HEALTHY_AFTER": "4"})

    def health() -> str:
        slow.reload()
        return str(slow.attrs["State"]["Health"]["Status"])

    assert health() == "starting"
    until(lambda: health() == "healthy", "it is healthy")


@pytest.mark.usefixtures("stack_images", "slow_image", "broken_image")
def test_no_image_remembers_how_this_machine_reaches_packages(engine: docker.DockerClient, start: Start) -> None:
    places = {re.sub(r"^\w+://([^/]*@)?|[:/].*$", "", source.uri) for source in debian.sources()}
    for name in ("base", "postgres", "web"):
        image = engine.images.get(build.tag(name))
        assert {entry.split("=")[0] for entry in image.attrs["Config"]["Env"]} <= {"LANG", "PGDATA", "PATH"}
        assert not (image.attrs["Config"]["Volumes"] or {}).keys() - {"/var/lib/postgresql/data"}
        script = 'find /etc /root /home /tmp /var/log /var/lib/apt -type f -exec grep -lF -e "$1" {} + || true'
        for place in sorted(places):
            looking = start(image.id, ["-c", script, "sh", place], entrypoint=["sh"], user="root")
            assert _ended(looking) == (0, "")


def test_an_image_is_made_again_when_what_it_is_made_of_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "checkout"
    folder = checkout / "tests" / "docker" / "images"
    shutil.copytree(build.FOLDER, folder)
    names = ("postgres", "web", "slow", "broken")
    before = {name: build.inputs(name) for name in names}
    monkeypatch.setattr(build, "FOLDER", folder)
    monkeypatch.setattr(build, "CHECKOUT", checkout)
    assert {name: build.inputs(name) for name in names} == before
    (folder / "web" / "web.py").write_text("print('different')")
    changed = {name for name in names if build.inputs(name) != before[name]}
    assert changed == {"web", "slow"}


@pytest.mark.slow
@pytest.mark.allow_hosts(["127.0.0.1", "172.16.0.0/12", "192.168.0.0/16"])
def test_tryton_serves_its_web_client_and_reads_its_password_from_a_file(
    start: Start, engine: docker.DockerClient, belongings: Belongings, tryton_image: str, postgres_image: str
) -> None:
    network = engine.networks.create(f"parcelle-test-{uuid.uuid4().hex[:8]}", labels=belongings.labels)
    database = start(postgres_image, environment={"POSTGRES_USER": "app", "POSTGRES_PASSWORD": "p@ss/word: 1"})
    network.connect(database, aliases=["db"])
    _wait_for(database)
    file = "/var/lib/trytond/password"
    how: dict[str, Any] = {
        "environment": {"DB_HOSTNAME": "db", "DB_USER": "app", "DB_PASSWORD_FILE": file, "TRYTONPASSFILE": file},
        "files": {file: "p@ss/word: 1\n"},
        "network": str(network.name),
    }
    code, said = _ended(
        start(tryton_image, ["trytond-admin", "-d", "app", "--all", "--email", "admin@example.com"], **how)
    )
    assert code == 0, said
    server = start(tryton_image, **how)
    url = f"http://{_address(server)}:8000"
    until(lambda: _status(f"{url}/") == 200, "Tryton answers")
    assert "tryton-sao" in httpx.get(url).text
    assert _status(f"{url}/node_modules/jquery/dist/jquery.min.js") == 200
    versions = httpx.post(f"{url}/rpc/", json={"id": 1, "method": "common.server.version", "params": []}).json()
    assert versions["result"].startswith("8.0")
