"""A Portainer server: its HTTP interface over real stacks on a real engine, ugly parts included.

`version` chooses the specification that every request and every answer is held to (`violations` collects what
does not fit), and with it the generation: up to 2.40 creating a stack blocks until it is deployed, later ones
answer at once and deploy in the background. Nothing of Portainer is in here; the behaviour is what its published
documents and its issue tracker say.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import re
import secrets
import shutil
import socket
import socketserver
import ssl
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from tests.simulators import certificates, portainer_specs
from tests.simulators.portainer_stacks import (
    ACTIVE,
    COMPOSE,
    DEPLOYING,
    ERROR,
    INACTIVE,
    SWARM,
    Deployments,
    Environment,
    Refused,
    Stack,
    check_security,
    clone,
    holds_name,
    normalised,
)

LOGINS_PER_SECOND, BANNED_SECONDS = 10, 3600
_LIMITED = re.compile(r"POST /auth$|POST /users/\d+/tokens$")
_PUBLIC = re.compile(r"GET /(system/)?status$|POST /auth$|POST /stacks/webhooks/")


@dataclass
class User:
    id: int
    name: str
    password: str
    admin: bool


@dataclass
class Seen:
    """One request as the server got it. `body` is the decoded JSON, None when there was none."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    user: User | None = None

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"

    def field(self, name: str, default: Any = None) -> Any:
        """A key of the body in any spelling, as the product decodes it."""
        return {key.lower(): value for key, value in (self.body or {}).items()}.get(name.lower(), default)


@dataclass
class Fault:
    """What a reverse proxy or a broken line makes of the next request whose line matches."""

    line: str
    # None hangs up without an answer.
    status: int | None = None
    # Whether the server has done what was asked all the same.
    after: bool = True


@dataclass
class Portainer:
    """The server's state. Tests change it behind the client's back as people and faults do."""

    version: str = "2.33.1"
    edition: str = "ce"
    environments: dict[int, Environment] = field(default_factory=dict)
    users: dict[int, User] = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    stacks: dict[int, Stack] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    # Keys as some generators print them, and fields that no document knows.
    odd_spelling: bool = False
    seen: list[Seen] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    now: Callable[[], float] = time.monotonic
    url: str = ""
    certificate: certificates.Certificate | None = None

    def __post_init__(self) -> None:
        major, minor = (int(part) for part in self.version.split(".")[:2])
        self.deployments = Deployments((major, minor))
        self.background = (major, minor) >= (2, 41)
        self.specification = portainer_specs.load(self.version)
        self.home = Path(tempfile.mkdtemp(prefix="parcelle-portainer-"))
        self.state = threading.RLock()
        self.logins: dict[str, deque[float]] = {}
        self.banned: dict[str, float] = {}
        self.last_id = 0
        self.engine_specification = portainer_specs.engine()

    # --- what tests do to it ----------------------------------------------------------------------------

    def add_user(self, name: str = "admin", password: str = "a long password", *, admin: bool = True) -> User:
        user = User(len(self.users) + 1, name, password, admin)
        self.users[user.id] = user
        return user

    def add_key(self, user: User) -> str:
        key = f"ptr_{secrets.token_urlsafe(32)}"
        self.keys[key] = user.id
        return key

    def add_environment(self, name: str = "local", **changes: Any) -> Environment:
        environment = Environment(len(self.environments) + 2, name, **changes)
        self.environments[environment.id] = environment
        return environment

    def named(self, name: str) -> list[Stack]:
        return [stack for stack in self.stacks.values() if stack.name == name]

    def lines(self, pattern: str) -> list[str]:
        """Requests whose line matches, docker requests included."""
        return [seen.line for seen in self.seen if re.search(pattern, seen.line)]

    def lose_deployments(self) -> None:
        """What a restart does to deployments in the background: nobody will ever finish them."""
        self.deployments.stuck = True
        for process in list(self.deployments.running):
            process.kill()

    def close(self) -> None:
        for stack in list(self.stacks.values()):
            with contextlib.suppress(Refused):
                self.deployments.down(stack, volumes=True)
        shutil.rmtree(self.home, ignore_errors=True)

    # --- who asks ---------------------------------------------------------------------------------------

    def admit(self, seen: Seen, address: str) -> None:
        """Raises Refused, or leaves the user in `seen`."""
        headers = {name.lower(): value for name, value in seen.headers.items()}
        key, bearer = headers.get("x-api-key"), headers.get("authorization")
        if _LIMITED.search(seen.line):
            self._limit(address)
        if "portainer_api_key=" in headers.get("cookie", "") and seen.method != "GET" and "x-csrf-token" not in headers:
            raise Refused(403, "Forbidden - CSRF token not found in request")
        if key and bearer:
            raise Refused(403, "api key and auth header are not allowed at the same time")
        if _PUBLIC.search(seen.line):
            return
        if not key and not bearer:
            raise Refused(401, "A valid authorization token is missing", "Unauthorized")
        user = self.keys.get(key) if key else self.tokens.get(str(bearer).removeprefix("Bearer "))
        if user is None:
            raise Refused(401, "Invalid JWT token", "Unauthorized")
        seen.user = self.users[user]

    def _limit(self, address: str) -> None:
        now = self.now()
        with self.state:
            recent = self.logins.setdefault(address, deque())
            recent.append(now)
            while recent and recent[0] <= now - 1:
                recent.popleft()
            if len(recent) > LOGINS_PER_SECOND:
                self.banned[address] = now + BANNED_SECONDS
            if self.banned.get(address, now) > now:
                raise Refused(403, "Access denied", "Access denied to resource")

    # --- operations: (status, body) -----------------------------------------------------------------------

    def get_status(self, _seen: Seen) -> Any:
        return {"Version": self.version, "InstanceID": "299ab403-70a8-4c05-92f7-bf7a994d50df"}

    def post_auth(self, seen: Seen) -> Any:
        for user in self.users.values():
            if (user.name, user.password) == (seen.field("username"), seen.field("password")):
                token = f"eyJ.{secrets.token_urlsafe(40)}"
                self.tokens[token] = user.id
                return {"jwt": token}
        raise Refused(422, "Invalid credentials", "Unauthorized")

    def post_auth_logout(self, seen: Seen) -> Any:
        self.tokens.pop(seen.headers.get("Authorization", "").removeprefix("Bearer "), None)
        return None

    def get_users_me(self, seen: Seen) -> Any:
        assert seen.user is not None
        return {"Id": seen.user.id, "Username": seen.user.name, "Role": 1 if seen.user.admin else 2}

    def post_users_tokens(self, seen: Seen, id: int) -> Any:
        user = seen.user
        assert user is not None
        if "X-Api-Key" in {name.title() for name in seen.headers} or user.id != id:
            raise Refused(403, "Permission denied to create user access token", "Permission denied")
        if seen.field("password") != user.password:
            raise Refused(422, "Invalid credentials", "Unauthorized")
        raw = self.add_key(user)
        digest = hashlib.sha256(raw.encode()).hexdigest()
        described = {"id": len(self.keys), "userId": id, "description": seen.field("description"), "prefix": raw[:7]}
        return {"rawAPIKey": raw, "apiKey": {**described, "dateCreated": int(time.time()), "digest": digest}}

    def get_endpoints(self, seen: Seen) -> Any:
        return [self._endpoint(one) for one in self.environments.values()]

    def get_endpoint(self, seen: Seen, id: int) -> Any:
        return self._endpoint(self.environment(id))

    def _endpoint(self, one: Environment) -> Any:
        switches = [
            *("allowBindMountsForRegularUsers", "allowContainerCapabilitiesForRegularUsers"),
            *("allowDeviceMappingForRegularUsers", "allowHostNamespaceForRegularUsers"),
            *("allowPrivilegedModeForRegularUsers", "allowStackManagementForRegularUsers"),
            *("allowSysctlSettingForRegularUsers", "allowVolumeBrowserForRegularUsers", "enableHostManagementFeatures"),
        ]
        if self.background:
            switches.append("allowSecurityOptForRegularUsers")
        return {
            **self.specification.zero("portaineree.Endpoint"),
            "Id": one.id,
            "Name": one.name,
            "Type": one.type,
            "URL": one.engine,
            "PublicURL": one.public_url,
            "Status": 1 if one.up else 2,
            "GroupId": 1,
            "SecuritySettings": {switch: one.security.get(switch, True) for switch in switches},
            "TagIds": [],
            **({"ContainerEngine": "docker"} if self.deployments.version >= (2, 27) else {}),
        }

    def environment(self, id: int) -> Environment:
        if id not in self.environments:
            raise Refused(
                404,
                "Unable to find an environment with the specified identifier inside the database",
                "Object not found inside the database",
            )
        return self.environments[id]

    def get_stacks(self, seen: Seen) -> Any:
        try:
            filters = json.loads(seen.query.get("filters") or "{}")
        except ValueError as error:
            raise Refused(400, "Invalid query parameter: filters", str(error)) from None
        wanted = filters.get("EndpointID")
        return [
            self._shown(stack)
            for stack in self.stacks.values()
            if wanted in {None, 0, stack.environment.id} and self._may_see(seen, stack)
        ]

    def _may_see(self, seen: Seen, stack: Stack) -> bool:
        return seen.user is not None and (seen.user.admin or seen.user.name == stack.created_by)

    def stack(self, seen: Seen, id: int, *, here: bool = True) -> Stack:
        if id not in self.stacks:
            raise Refused(
                404,
                "Unable to find a stack with the specified identifier inside the database",
                "Object not found inside the database",
            )
        if not self._may_see(seen, self.stacks[id]):
            raise Refused(403, "Access denied to resource")
        if here:
            # A missing one is taken as 0.
            self.environment(int(seen.query.get("endpointId") or 0))
        return self.stacks[id]

    def get_stack(self, seen: Seen, id: int) -> Any:
        return self._shown(self.stack(seen, id, here=False))

    def get_stack_file(self, seen: Seen, id: int) -> Any:
        stack = self.stack(seen, id, here=False)
        return {"StackFileContent": (stack.folder / stack.entry).read_text()}

    def _shown(self, stack: Stack) -> Any:
        git = stack.git and {
            **stack.git,
            "Authentication": stack.git["Authentication"]
            and {"Username": stack.git["Authentication"]["Username"], "Password": ""},
        }
        later = {"DeploymentStatus": stack.history, "DeploymentStartStatus": stack.started_from}
        return {
            "Id": stack.id,
            "Name": stack.name,
            "Type": stack.type,
            "EndpointId": stack.environment.id,
            "SwarmId": stack.swarm_id,
            "EntryPoint": stack.entry,
            "Env": stack.env,
            "Status": stack.status,
            "ProjectPath": f"/data/compose/{stack.id}",
            "CreationDate": stack.created_at,
            "CreatedBy": stack.created_by,
            "UpdateDate": stack.updated_at,
            "UpdatedBy": "",
            "AdditionalFiles": None,
            "AutoUpdate": None,
            "Option": None,
            "GitConfig": git,
            "FromAppTemplate": False,
            "Namespace": "",
            "IsDetachedFromGit": stack.detached,
            **(later if self.background else {}),
        }

    def create(self, seen: Seen, kind: str, method: str) -> Any:
        assert seen.user is not None
        environment = self.environment(int(seen.query.get("endpointId") or 0))
        content = self._checked_create(seen, kind, method)
        name = normalised(seen.field("Name"))
        swarm = kind == "swarm"
        with self.state:
            self._refuse_taken(environment, name, swarm=swarm)
            self.last_id += 1
            folder = self.home / str(self.last_id)
            stack = Stack(
                id=self.last_id,
                name=name,
                type=SWARM if swarm else COMPOSE,
                environment=environment,
                entry=seen.field("ComposeFile") or "docker-compose.yml",
                env=seen.field("Env") or [],
                folder=folder,
                created_by=seen.user.name,
                status=DEPLOYING,
                swarm_id=seen.field("SwarmID", "") if swarm else "",
                created_at=int(time.time()),
            )
        folder.mkdir()
        if method == "repository":
            stack.git = _git_of(seen, stack.entry)
            clone(stack)
            content = (stack.folder / stack.entry).read_text()
        else:
            (folder / stack.entry).write_text(content)
        if not seen.user.admin:
            check_security(environment, content)
        return self._shown(self._deploy_new(stack))

    @staticmethod
    def _checked_create(seen: Seen, kind: str, method: str) -> str:
        if not seen.field("Name"):
            raise Refused(400, "Invalid request payload", "Invalid stack name")
        if kind == "swarm" and not seen.field("SwarmID"):
            raise Refused(400, "Invalid request payload", "Invalid Swarm ID")
        if method == "string" and not seen.field("StackFileContent"):
            raise Refused(400, "Invalid request payload", "Invalid stack file content")
        if method == "repository":
            if not re.match(r"https?://[^/]+/.", seen.field("RepositoryURL") or ""):
                raise Refused(
                    400,
                    "Invalid request payload",
                    "Invalid repository URL. Must correspond to a valid URL format",
                )
            if seen.field("RepositoryAuthentication") and not seen.field("RepositoryPassword"):
                raise Refused(
                    400,
                    "Invalid request payload",
                    "Invalid repository credentials. Password must be specified when authentication is enabled",
                )
        return str(seen.field("StackFileContent") or "")

    def _refuse_taken(self, environment: Environment, name: str, *, swarm: bool) -> None:
        known = any(stack.environment.id == environment.id for stack in self.named(name))
        if known or holds_name(environment, name, swarm=swarm):
            raise Refused(
                409,
                f"A stack with the normalized name '{name}' already exists",
                "A stack with the same name already exists",
            )

    def _deploy_new(self, stack: Stack) -> Stack:
        if self.background:
            self.stacks[stack.id] = stack
            stack.started_from = DEPLOYING
            self._in_background(stack)
            return stack
        with self.deployments.lock:
            try:
                self.deployments.up(stack)
            except Refused:
                # No record is kept; what was made may survive.
                if not self.deployments.leaves_leftovers:
                    with contextlib.suppress(Refused):
                        self.deployments.down(stack)
                raise
            stack.status = ACTIVE
            self.stacks[stack.id] = stack
        return stack

    def _redeploy(self, stack: Stack) -> Stack:
        stack.updated_at = int(time.time())
        if self.background:
            stack.history.clear()
            stack.started_from = stack.status
            self._in_background(stack)
        else:
            with self.deployments.lock:
                self.deployments.up(stack)
                stack.status = ACTIVE
        return stack

    def _in_background(self, stack: Stack) -> None:
        stack.note(DEPLOYING)

        def deploy() -> None:
            try:
                self.deployments.up(stack)
            except Refused as error:
                if not self.deployments.stuck:
                    stack.note(ERROR, error.message)
            else:
                if not self.deployments.stuck:
                    stack.note(ACTIVE)

        threading.Thread(target=deploy, name=f"deploy-{stack.name}", daemon=True).start()

    def _refuse_busy(self, stack: Stack, verb: str) -> None:
        if self.background and stack.status == DEPLOYING:
            raise Refused(409, f"Unable to {verb} stack", "Stack deployment is already in progress")

    def put_stack(self, seen: Seen, id: int) -> Any:
        stack = self.stack(seen, id)
        self._refuse_busy(stack, "update")
        if not seen.field("StackFileContent"):
            raise Refused(400, "Invalid request payload", "Invalid stack file content")
        assert seen.user is not None
        if not seen.user.admin:
            check_security(stack.environment, seen.field("StackFileContent"))
        (stack.folder / stack.entry).write_text(seen.field("StackFileContent"))
        # As a whole: what is not sent is gone.
        stack.env = seen.field("Env") or []
        if stack.git:
            stack.git, stack.detached = None, True
        return self._shown(self._redeploy(stack))

    def put_redeploy(self, seen: Seen, id: int) -> Any:
        stack = self.stack(seen, id)
        self._refuse_busy(stack, "redeploy")
        if stack.git is None:
            raise Refused(400, "Stack is not created from git")
        stack.env = seen.field("Env") or []
        new = _git_of(seen, stack.entry)
        kept = {"URL": stack.git["URL"], "ReferenceName": new["ReferenceName"] or stack.git["ReferenceName"]}
        stack.git = {**new, **kept}
        clone(stack)
        return self._shown(self._redeploy(stack))

    def post_stop(self, seen: Seen, id: int) -> Any:
        stack = self.stack(seen, id)
        self._refuse_busy(stack, "stop")
        if stack.status == INACTIVE:
            raise Refused(409 if self.background else 400, "Stack is already inactive")
        with contextlib.nullcontext() if self.background else self.deployments.lock:
            self.deployments.down(stack)
        stack.status = INACTIVE
        return self._shown(stack)

    def post_start(self, seen: Seen, id: int) -> Any:
        stack = self.stack(seen, id)
        if holds_name(stack.environment, stack.name, swarm=stack.type == SWARM):
            raise Refused(409, f"A stack with the name '{stack.name}' is already running")
        if stack.status != INACTIVE:
            raise Refused(409 if self.background else 400, "Stack is already active")
        return self._shown(self._redeploy(stack))

    def delete_stack(self, seen: Seen, id: int) -> Any:
        stack = self.stack(seen, id)
        self._refuse_busy(stack, "delete")
        volumes = (
            seen.query.get("removeVolumes") == "true"
            and self.edition == "be"
            and self.deployments.version >= (2, 27)
            and stack.type == COMPOSE
        )
        with contextlib.nullcontext() if self.background else self.deployments.lock:
            self.deployments.down(stack, volumes=volumes)
        self.stacks.pop(id, None)
        shutil.rmtree(stack.folder, ignore_errors=True)
        return None


def _git_of(seen: Seen, entry: str) -> dict[str, Any]:
    user, password = seen.field("RepositoryUsername", ""), seen.field("RepositoryPassword", "")
    return {
        "URL": seen.field("RepositoryURL", ""),
        "ReferenceName": seen.field("RepositoryReferenceName", ""),
        "ConfigFilePath": entry,
        "Authentication": {"Username": user, "Password": password} if seen.field("RepositoryAuthentication") else None,
        "ConfigHash": "",
        "TLSSkipVerify": bool(seen.field("TLSSkipVerify")),
    }


# --- HTTP ---------------------------------------------------------------------------------------------------

_ROUTES: list[tuple[str, str]] = [
    (r"GET /(?:system/)?status", "get_status"),
    (r"POST /auth", "post_auth"),
    (r"POST /auth/logout", "post_auth_logout"),
    (r"GET /users/me", "get_users_me"),
    (r"POST /users/(?P<id>\d+)/tokens", "post_users_tokens"),
    (r"GET /endpoints", "get_endpoints"),
    (r"GET /endpoints/(?P<id>\d+)", "get_endpoint"),
    (r"GET /stacks", "get_stacks"),
    (r"GET /stacks/(?P<id>\d+)", "get_stack"),
    (r"GET /stacks/(?P<id>\d+)/file", "get_stack_file"),
    (r"POST /stacks/create/(?P<kind>standalone|swarm)/(?P<method>string|repository)", "create"),
    (r"PUT /stacks/(?P<id>\d+)", "put_stack"),
    (r"PUT /stacks/(?P<id>\d+)/git/redeploy", "put_redeploy"),
    (r"POST /stacks/(?P<id>\d+)/stop", "post_stop"),
    (r"POST /stacks/(?P<id>\d+)/start", "post_start"),
    (r"DELETE /stacks/(?P<id>\d+)", "delete_stack"),
]
_DOCKER = re.compile(r"/api/endpoints/(?P<id>\d+)/docker(?:/v1\.\d+)?(?P<path>/.*)")


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    portainer: ClassVar[Portainer]

    def end_headers(self) -> None:
        # One request per connection, and said so: a fault may leave it in any state.
        self.send_header("Connection", "close")
        super().end_headers()

    def handle_one(self) -> None:
        self.close_connection = True
        docker = _DOCKER.match(self.path)
        if docker:
            self._pass_on(int(docker["id"]), docker["path"])
        else:
            self._answer()

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_one

    def log_message(self, format: str, *args: Any) -> None:
        return

    def _seen(self, path: str, body: bytes) -> Seen:
        where = urlsplit(path)
        query = {name: values[-1] for name, values in parse_qs(where.query, keep_blank_values=True).items()}
        content = json.loads(body) if body and "json" in self.headers.get("Content-Type", "") else None
        seen = Seen(self.command, where.path, query, dict(self.headers), content)
        self.portainer.seen.append(seen)
        return seen

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            return b"".join(self._chunks())
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _answer(self) -> None:
        portainer, body = self.portainer, self._body()
        seen = self._seen(self.path.removeprefix("/api"), body)
        fault = next((one for one in portainer.faults if re.search(one.line, seen.line)), None)
        if fault:
            portainer.faults.remove(fault)
            if not fault.after:
                return self._break(fault)
        query = urlsplit(self.path).query
        portainer.violations += portainer.specification.request(seen.method, seen.path, query, seen.body)
        status, content = self._done(seen)
        if fault:
            return self._break(fault)
        portainer.violations += portainer.specification.response(seen.method, seen.path, status, content)
        cookie = {"Set-Cookie": "portainer_api_key=abc; Path=/; HttpOnly"} if seen.line == "POST /auth" else {}
        self._send(status, _oddly(content) if portainer.odd_spelling and status < 400 else content, cookie)
        return None

    def _done(self, seen: Seen) -> tuple[int, Any]:
        try:
            self.portainer.admit(seen, self.client_address[0])
            for pattern, name in _ROUTES:
                if match := re.fullmatch(pattern, seen.line):
                    given = {key: int(value) if key == "id" else value for key, value in match.groupdict().items()}
                    content = getattr(self.portainer, name)(seen, **given)
                    return (HTTPStatus.NO_CONTENT if content is None else HTTPStatus.OK), content
            raise Refused(404, "Not found")
        except Refused as error:
            details = error.details[:1].upper() + error.details[1:]
            return error.status, {"message": error.message, "details": details}

    def _break(self, fault: Fault) -> None:
        if fault.status is None:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        page = f"<html><head><title>{fault.status}</title></head><body>nginx</body></html>".encode()
        self.send_response(fault.status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def _send(self, status: int, content: Any, headers: dict[str, str]) -> None:
        payload = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if payload:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(payload)

    # --- the engine, passed on ------------------------------------------------------------------------------

    def _pass_on(self, environment_id: int, path: str) -> None:
        body = self._body()
        where = urlsplit(path)
        seen = self._seen(path, body)
        try:
            self.portainer.admit(seen, self.client_address[0])
            environment = self.portainer.environment(environment_id)
        except Refused as error:
            return self._send(error.status, {"message": error.message, "details": error.details}, {})
        faults = self.portainer.engine_specification.request(seen.method, where.path, where.query, seen.body)
        self.portainer.violations += [f"engine: {fault}" for fault in faults]
        try:
            if not environment.up:
                raise OSError("connection refused")
            self._relay(environment.engine, path, body)
        except OSError as error:
            details = f"Unable to proxy the request via the Docker socket: {error}"
            self._send(500, {"message": "Unable to proxy the request", "details": details}, {})
        return None

    def _relay(self, engine: str, path: str, body: bytes) -> None:
        """Without an upgrade of the connection: the product's own way to a local engine passes none on."""
        with _connected(engine) as upstream:
            lines = [f"{self.command} {path} HTTP/1.1", "Host: docker", "Connection: close"]
            if kind := self.headers.get("Content-Type"):
                lines.append(f"Content-Type: {kind}")
            lines.append(f"Content-Length: {len(body)}")
            upstream.sendall("\r\n".join([*lines, "", ""]).encode() + body)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                while part := upstream.recv(65536):
                    self.connection.sendall(part)


def _connected(engine: str) -> socket.socket:
    where = urlsplit(engine)
    if where.scheme == "unix":
        upstream = socket.socket(socket.AF_UNIX)
        upstream.connect(where.path)
        return upstream
    return socket.create_connection((where.hostname or "", where.port or 2375))


def _oddly(content: Any) -> Any:
    if isinstance(content, list):
        return [_oddly(one) for one in content]
    if not isinstance(content, dict) or "Name" not in content:
        return content
    return {key[:1].lower() + key[1:]: value for key, value in content.items()} | {"somethingNew": {"Of": ["later"]}}


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 50

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is part of the game."""


@contextlib.contextmanager
def serving(portainer: Portainer, *, tls: bool = False, port: int = 0) -> Iterator[Portainer]:
    """The server on the loopback interface, by HTTPS with a self-signed certificate if asked; `url` says where."""
    handler = type("Handler", (_Handler,), {"portainer": portainer})
    server = _Server(("127.0.0.1", port), handler)
    if tls:
        portainer.certificate = portainer.certificate or certificates.self_signed("127.0.0.1")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        portainer.certificate.load_into(context)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    portainer.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield portainer
    finally:
        server.shutdown()
        server.server_close()
