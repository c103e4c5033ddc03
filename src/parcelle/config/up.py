"""`parcelle up`: checks the ground, starts everything embedded, says where it is, stops everything again."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import NoReturn

import psycopg
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from parcelle.config import allowed, edge, environment
from parcelle.config.embedded import (
    APP,
    FRONT_DOOR,
    OWNER,
    TENANTS,
    Home,
    Postgres,
    Refusal,
    create_roles,
    secrets_of,
    supervisor_socket,
)
from parcelle.config.supervision import Supervisor, SupervisorAway, programs, remove_leftovers

_LEAST_FREE_SPACE = 300_000_000
_NOTHING_LEFT = 20_000_000
# Tabler and its icons bring much that no page of ours asks for, and libraries with broken references.
_NOT_SERVED = (
    *("libs", "types", "flags", "payments", "social", "*.rtl*", "*.scss", "*.html", "*.md"),
    *("tabler-flags*", "tabler-payments*", "tabler-socials*", "tabler-marketing*", "tabler-props*"),
    *("tabler-icons-200*", "tabler-icons-300*", "redoc*"),
)
_SOURCES = Path(__file__).resolve().parents[1]


class Stop(BaseException):
    """Somebody asked us to end: Ctrl-C, SIGTERM, or the terminal was closed."""


@dataclass(frozen=True)
class Site:
    """Where the web server listens and how people reach it."""

    bind: str
    port: int

    @property
    def url(self) -> str:
        return os.environ.get("PARCELLE_PUBLIC_URL", "").rstrip("/") or f"http://localhost:{self.port}"

    @property
    def local_host(self) -> str:
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.bind, self.bind)  # noqa: S104 it only compares


def up() -> None:
    """Start everything: database, site, worker and every instance. Ctrl-C stops it again."""
    allowed.check(os.environ)
    home = Home(environment.home())
    try:
        _obey_signals()
        # Asked of the process alone: the home's file holds what the start before this one was asked.
        site = Site(os.environ.get("PARCELLE_BIND") or "127.0.0.1", int(os.environ.get("PARCELLE_PORT") or "8000"))
        with _lock(home, site):
            _check_ground(home)
            _run(home, site)
    except Refusal as refusal:
        # Whatever failed for want of space says so in words of its own, or not at all.
        _give_up(_disk_is_full(home) if _free_space(home) < _NOTHING_LEFT else str(refusal))
    except (OSError, psycopg.errors.DiskFull) as error:
        if isinstance(error, OSError) and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _give_up(_disk_is_full(home))
    except Stop:
        raise SystemExit(0) from None


def _disk_is_full(home: Home) -> str:
    return f"The disk is full: free some space for {home.path} and start again."


def _free_space(home: Home) -> int:
    try:
        return shutil.disk_usage(home.path).free
    except OSError:
        return sys.maxsize


def _give_up(sentence: str) -> NoReturn:
    print(f"parcelle: {sentence}", file=sys.stderr)
    raise SystemExit(1)


# An exception raised by a signal can fall into a place where Python only prints it (a finaliser, a callback):
# whoever waits looks here as well.
_stop_asked = threading.Event()


def _obey_signals() -> None:
    def stop(_signum: int, _frame: FrameType | None) -> None:
        _stop_asked.set()
        # Once is enough: what comes after must not interrupt the orderly end.
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)
        raise Stop

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # `nohup` asks to outlive the terminal.
        if signum != signal.SIGHUP or signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, stop)


# --- the ground ---------------------------------------------------------------------------------------------


@contextmanager
def _lock(home: Home, site: Site) -> Iterator[None]:
    """Holds this home for one `parcelle up`; the file says who holds it."""
    try:
        home.create_folders()
        file = home.lock_file.open("a+")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Refusal(
            f"{home.path} cannot be written ({error.strerror or error}): "
            "make it writable, or set PARCELLE_HOME to another folder."
        ) from None
    with file:
        deadline = time.monotonic() + 90
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                file.seek(0)
                with suppress(ValueError):
                    holder = json.loads(file.read())
                    # The one before us is on its way out: waiting a moment beats asking the person to.
                    if holder["state"] != "stopping" or time.monotonic() > deadline:
                        raise Refusal(
                            f"Parcelle already runs for {home.path} at {holder['url']} (process {holder['pid']})."
                        ) from None
                time.sleep(0.1)
        _note(file.name, site, "running")
        try:
            yield
        finally:
            file.truncate(0)


def _note(lock_file: str, site: Site, state: str) -> None:
    Path(lock_file).write_text(json.dumps({"pid": os.getpid(), "url": site.url, "state": state}))


def _check_ground(home: Home) -> None:
    free = _free_space(home)
    if free < _LEAST_FREE_SPACE:
        raise Refusal(
            f"The disk is full: {home.path} has {free // 1_000_000} MB left, "
            f"Parcelle needs {_LEAST_FREE_SPACE // 1_000_000} MB to start."
        )
    probe = home.path / ".writable"
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise Refusal(
            f"{home.path} cannot be written ({error.strerror}): make it writable, or set PARCELLE_HOME elsewhere."
        ) from None


def _check_port(site: Site) -> None:
    family = socket.AF_INET6 if ":" in site.bind else socket.AF_INET
    with socket.socket(family) as probe:
        # What the last run's connections left in TIME_WAIT does not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((site.bind, site.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Refusal(
                    f"Port {site.port} is taken by another program: stop it, "
                    f"or choose another port, for example PARCELLE_PORT={site.port + 1}."
                ) from None
            raise Refusal(
                f"Parcelle cannot listen on {site.bind} port {site.port} ({error.strerror}): "
                "set PARCELLE_PORT or PARCELLE_BIND."
            ) from None


def _prepare_front_door(home: Home, site: Site) -> None:
    # The home's file says what the start before this one was asked.
    for name in FRONT_DOOR:
        os.environ.setdefault(name, "")
    door = edge.front_door()
    os.environ.setdefault("PARCELLE_SITE_ADDRESS", f"{site.local_host}:{site.port}")
    if not edge.runs_here(home):
        return
    edge.prepare(home)
    for name, port in (("PARCELLE_EDGE_HTTP_PORT", door.http_port), ("PARCELLE_EDGE_HTTPS_PORT", door.https_port)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((door.bind, port))
            except OSError as error:
                raise Refusal(
                    f"Caddy cannot listen on port {port} ({error.strerror}): stop what uses it, "
                    f"or choose another one with {name}."
                ) from None


# --- start, follow, stop ------------------------------------------------------------------------------------


def _run(home: Home, site: Site) -> None:
    console = Console(highlight=False, soft_wrap=True)
    in_terminal = sys.stdout.isatty()
    external = "DATABASE_URL" in os.environ
    postgres = None if external else Postgres(home)
    if removed := remove_leftovers(home, postgres):
        console.print(f"[dim]Ended {removed} processes that an earlier run had left behind.[/]")
    _check_port(site)
    _prepare_front_door(home, site)
    os.environ["PARCELLE_HOME"] = str(home.path)
    os.environ["PARCELLE_PORT"] = str(site.port)
    os.environ["PARCELLE_SUPERVISOR_SOCKET"] = str(supervisor_socket(home))
    supervisor = Supervisor(home)
    try:
        _start(home, site, supervisor, postgres, console)
        from parcelle.config.following import follow

        follow(home, supervisor, console, _stop_asked, in_terminal=in_terminal)
        if _stop_asked.is_set():
            raise Stop
        raise SupervisorAway
    except SupervisorAway:
        raise Refusal(f"The supervisor ended unexpectedly; see {home.logs / 'supervisord.log'}.") from None
    finally:
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)
        _note(str(home.lock_file), site, "stopping")
        # A closed terminal cannot be written to; everything must still be stopped.
        with suppress(OSError):
            console.print("Stopping…")
        supervisor.stop()
        remove_leftovers(home, postgres)
        if not home.run.is_relative_to(home.path):
            shutil.rmtree(home.run, ignore_errors=True)
        with suppress(OSError):
            console.print(f"Stopped. Everything is kept in {home.path}; the next start brings it back.")


def _start(home: Home, site: Site, supervisor: Supervisor, postgres: Postgres | None, console: Console) -> None:
    stamp = home.path / "prepared"
    wanted = _tables_digest()
    prepared = stamp.is_file() and stamp.read_text() == wanted
    with console.status("Starting…") as status:
        static = _collect_static(home)
        # With nothing to prepare the site loads while the database starts: together they are most of the waiting.
        at_once = prepared and static is None
        if postgres:
            status.update("Starting the database…")
            _start_database(home, site, supervisor, postgres, with_site=at_once)
        else:
            _check_external()
            supervisor.configure([], with_tenants=False)
            supervisor.start()
        if not supervisor.wait_until_answering():
            raise Refusal(f"The supervisor did not start; see {home.logs / 'supervisord.out'}.")
        if not prepared:
            status.update("Preparing the tables…")
            _migrate(home)
            _set_up_django()
            _seed()
        if static:
            status.update("Collecting static files…")
            _finish(static, home, "static files")
            _static_stamp(home).write_text(_static_digest())
        status.update("Starting the site…")
        # Without worker and tenants: they would only make the first page wait.
        everything = programs(home, postgres=postgres, bind=site.bind, port=site.port)
        before_worker = [program for program in everything if program.name != "worker"]
        supervisor.configure(before_worker, with_tenants=False)
        supervisor.update()
        _wait_for_site(home, site, supervisor)
        stamp.write_text(wanted)
        supervisor.configure(before_worker, with_tenants=True)
        supervisor.update()
        if prepared:
            _set_up_django()
    _say_where(home, site, console)
    # A worker that saw the tenants before they listen would take them for broken.
    supervisor.wait_for_tenants(seconds=20)
    supervisor.configure(everything, with_tenants=True)
    supervisor.update()


def _start_database(home: Home, site: Site, supervisor: Supervisor, postgres: Postgres, *, with_site: bool) -> None:
    """Returns once the database accepts connections; `with_site` starts at the same time what needs it first."""
    values = secrets_of(home, port=site.port)
    postgres.prepare(values["POSTGRES_PASSWORD"])
    made = postgres.data / "parcelle-roles"
    # The rights this version wants, once; a version that wants others changes the number.
    has_roles = made.exists() and made.read_text() == "1"
    at_once = [
        program
        for program in programs(home, postgres=postgres, bind=site.bind, port=site.port)
        if program.name == "postgres" or (with_site and has_roles and program.name != "worker")
    ]
    supervisor.configure(at_once, with_tenants=False)
    supervisor.start()
    postgres.wait_until_ready(values["POSTGRES_PASSWORD"])
    if not has_roles:
        create_roles(
            values["PARCELLE_SUPERUSER_DATABASE_URL"],
            {
                OWNER: values["OWNER_PASSWORD"],
                APP: values["APP_PASSWORD"],
                TENANTS: values["TENANTS_PASSWORD"],
            },
        )
        made.write_text("1")


def _check_external() -> None:
    for name in ("DJANGO_SECRET_KEY", "PARCELLE_SECRET_KEYS", "PARCELLE_OWNER_DATABASE_URL"):
        if not os.environ.get(name):
            raise Refusal(f"DATABASE_URL is set, so {name} must be set as well.")


def _tables_digest() -> str:
    """Changes whenever there could be something to migrate: our migrations, or a package that has some."""
    digest = hashlib.sha256()
    for package in ("django", "procrastinate", "django-allauth", "django-altcha"):
        with suppress(PackageNotFoundError):
            digest.update(f"{package} {version(package)}\n".encode())
    for file in sorted(_SOURCES.rglob("migrations/*.py")):
        digest.update(file.name.encode() + file.read_bytes())
    digest.update(os.environ.get("DATABASE_URL", "").encode())
    return digest.hexdigest()


def _migrate(home: Home) -> None:
    _finish(
        _python("-m", "parcelle.config.program", "migrate", log=home.logs / "migrate.log"), home, "tables", "migrate"
    )


def _set_up_django() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "parcelle.config.settings")
    # One connection now and then; a pool would go on knocking, and say so here, while the database restarts.
    os.environ["PARCELLE_DATABASE_POOL"] = "0"
    import django

    from parcelle.core import context

    django.setup()
    context.of_process(context.Platform.COMMANDS)


def _seed() -> None:
    """The operator, and something to sell: made once, left alone afterwards."""
    from django.contrib.auth import get_user_model
    from django.db import connection
    from django.utils import timezone

    email, password = environment.read("PARCELLE_OPERATOR_EMAIL"), environment.read("PARCELLE_OPERATOR_PASSWORD")
    users = get_user_model().objects
    if email and password and not users.filter(is_superuser=True).exists():
        users.create_superuser(email, password)
    if find_spec("parcelle.journeys.demo"):
        from parcelle.journeys import demo

        demo.ensure(now=timezone.now())
    connection.close()


# --- static files -------------------------------------------------------------------------------------------


def _static_stamp(home: Home) -> Path:
    return home.path / "static.stamp"


def _static_digest() -> str:
    """Changes with every file of ours and with every version of a package that brings some."""
    digest = hashlib.sha256()
    for package in ("django", "django-unfold", "django-altcha", "django-htmx", "django-ninja", "whitenoise"):
        with suppress(PackageNotFoundError):
            digest.update(f"{package} {version(package)}\n".encode())
    lock = environment.CHECKOUT / "frontend" / "node_modules" / ".package-lock.json"
    if lock.is_file():
        digest.update(lock.read_bytes())
    for folder in sorted(_SOURCES.rglob("static")):
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            found = file.stat()
            digest.update(f"{file.relative_to(_SOURCES)} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _collect_static(home: Home) -> subprocess.Popen[bytes] | None:
    """Starts collecting them, if any may have changed, while the database starts."""
    stamp = _static_stamp(home)
    if stamp.is_file() and stamp.read_text() == _static_digest():
        return None
    arguments = ["collectstatic", "--noinput", "--clear"]
    for name in _NOT_SERVED:
        arguments += ["--ignore", name]
    return _python("-m", "django", *arguments, log=home.logs / "collectstatic.log")


# --- small processes on the way -----------------------------------------------------------------------------


def _python(*arguments: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "parcelle.config.settings"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _finish(process: subprocess.Popen[bytes], home: Home, what: str, log: str = "collectstatic") -> None:
    try:
        code = process.wait()
    except BaseException:
        process.kill()
        raise
    if code:
        lines = [line for line in (home.logs / f"{log}.log").read_text(errors="replace").splitlines() if line.strip()]
        if any(os.strerror(errno.ENOSPC) in line for line in lines):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise Refusal(
            f"Preparing the {what} failed ({lines[-1].strip() if lines else f'exit code {code}'}); "
            f"see {home.logs / f'{log}.log'}."
        )


def _wait_for_site(home: Home, site: Site, supervisor: Supervisor) -> None:
    # What cannot run is known at once; a machine with much else to do is only slow.
    deadline = time.monotonic() + 180
    while not _site_answers(home, site):
        if time.monotonic() > deadline or supervisor.states().get("web:web") == "FATAL":
            raise Refusal(f"The site does not answer; see {home.logs / 'web.log'}.")
        time.sleep(0.05)


def _site_answers(home: Home, site: Site) -> bool:
    connection = http.client.HTTPConnection(site.local_host, site.port, timeout=5)
    try:
        connection.request("GET", "/healthz", headers={"Host": "localhost"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    if status >= 500:
        raise Refusal(f"The site answers with error {status}; see {home.logs / 'web.log'}.")
    return status == 200


def _say_where(home: Home, site: Site, console: Console) -> None:
    from django.conf import settings

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("Site", site.url)
    table.add_row("Back office", f"{site.url}/admin/")
    for label, value in _operator():
        table.add_row(label, value)
    if settings.MAILBOX_PAGE:
        table.add_row("Mailbox", f"{site.url}/mailbox")
    if settings.INGRESS == "caddy":
        port = "" if settings.EDGE_HTTPS_PORT == 443 else f":{settings.EDGE_HTTPS_PORT}"
        table.add_row("Applications", f"https://<name>.{settings.APPS_DOMAIN}{port}")
        if settings.EDGE_TLS == "internal":
            table.add_row("  authority", f"{settings.EDGE_CA} (browsers warn until they trust it)")
    table.add_row("Logs", str(home.logs))
    console.print(Panel.fit(table, title="Parcelle is running", subtitle="Ctrl-C stops it", padding=(1, 2)))


def _operator() -> list[tuple[str, str]]:
    from django.contrib.auth import get_user_model
    from django.db import connection

    email, password = environment.read("PARCELLE_OPERATOR_EMAIL"), environment.read("PARCELLE_OPERATOR_PASSWORD")
    operator = get_user_model().objects.filter(email=email).first() if email else None
    connection.close()
    if operator is None:
        return []
    shown = password if password and operator.check_password(password) else "(the one you chose)"
    return [("  e-mail", email), ("  password", shown)]
