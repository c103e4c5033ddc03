"""A thin client for one Portainer server: how it is asked, what its answers mean, nothing about our stacks.

Two generations answer differently. Up to 2.40 creating, updating and starting a stack block until `docker compose up`
has ended, and a failure is the answer's text. From 2.41 on they answer at once with status 3, and the reason of a
failure is read from the stack. `Capabilities` says which of the two a server is; callers poll in both cases.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import httpx
import structlog

from parcelle.core import http
from parcelle.core.logs import redact
from parcelle.domain.provisioning.errors import (
    CertificateChanged,
    CertificateUnknown,
    CredentialsRefused,
    EnvironmentUnknown,
    ProvisioningError,
    SettingsRefuse,
    TargetUnreachable,
    TryAgain,
    WrongAddress,
)

logger = structlog.get_logger(__name__)

OLDEST: Final = (2, 19)
# A server of the older generation answers once every image is pulled and every container started.
WRITE_SECONDS: Final = 1200.0
# A token lives for eight hours by default.
_TOKEN_SECONDS: Final = 7 * 3600
# Too many sign-ins ban the whole machine for an hour: a refused password is not tried again at once.
_REFUSAL_SECONDS: Final = 60
_KINDS: Final = {
    **dict.fromkeys((1, 2, 4), "docker"),
    3: "azure",
    **dict.fromkeys((5, 6, 7), "kubernetes"),
}
SWARM, COMPOSE = 1, 2
ACTIVE, INACTIVE, DEPLOYING, FAILED = 1, 2, 3, 4


class Gone(ProvisioningError):
    """What was asked about is not there (any more)."""


class Conflict(TryAgain):
    """Portainer is busy with this stack, or its name is taken: look before doing anything."""


class Rejected(ProvisioningError):
    """The request does not fit the state of the stack, or Portainer does not accept what it says."""


class DeploymentFailed(ProvisioningError):
    """Portainer could not carry the stack out; `detail` is what the program behind it said."""


class NoAnswer(TryAgain):
    """What was asked may have been done: look before asking again."""


class NotPortainer(NoAnswer):
    """Something else than Portainer answered, such as a reverse proxy in front of it."""

    def __init__(self, url: str, status: int) -> None:
        super().__init__(f"{url} answered {status} by something that is not Portainer")
        self.status = status


class EngineRefused(ProvisioningError):
    """The Docker Engine behind Portainer does not do what was asked."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Capabilities:
    """What a server of one version can do: the table from which every difference in behaviour is read."""

    version: str
    # Deploys after it has answered: status 3 and 4, 409 while deploying.
    background: bool
    # Answers who the key belongs to.
    current_user: bool
    # May refuse `security_opt` to non-administrators.
    security_opt: bool

    SINCE: ClassVar[Mapping[str, tuple[int, int]]] = {
        "current_user": (2, 27),
        "background": (2, 41),
        "security_opt": (2, 44),
    }

    @classmethod
    def of(cls, version: str) -> Capabilities:
        """Raises ProvisioningError for a version that is too old."""
        found = re.match(r"(\d+)\.(\d+)", version)
        number = (int(found[1]), int(found[2])) if found else (0, 0)
        if number < OLDEST:
            raise ProvisioningError(f"Portainer {version} is too old: update it to 2.19 or newer.")
        return cls(version, **{name: number >= since for name, since in cls.SINCE.items()})


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A place where a server can deploy. `kind`: docker, swarm, kubernetes, azure; `host` is where ports answer."""

    id: int
    name: str
    kind: str
    up: bool
    host: str
    agent: bool = False
    # What people who are no administrators may not use, as the settings are called, in lower case.
    closed: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        return self.up and self.kind in {"docker", "swarm"}


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A stack as the server keeps it."""

    id: int
    name: str
    type: int
    environment: int
    status: int
    env: Mapping[str, str] = field(repr=False)
    # The file's repository and reference; "" for a stack from text.
    repository: str = ""
    reference: str = ""
    # What the last failed deployment said.
    message: str = ""


class Portainer:
    """One server, by the connection values of a target:

    {"url", "api_key" or "username" and "password", "ca": PEM, "fingerprint": SHA-256, "verify": false: anybody}.
    Raises ProvisioningError and its kinds only.
    """

    def __init__(self, connection: Mapping[str, Any]) -> None:
        self.url = str(connection.get("url") or "").rstrip("/").removesuffix("/api")
        if urlsplit(self.url).scheme not in {"http", "https"} or not urlsplit(self.url).hostname:
            raise ProvisioningError(
                "The connection needs the url of Portainer, such as https://portainer.example.com:9443."
            )
        self._key = str(connection.get("api_key") or "")
        self._user = str(connection.get("username") or "")
        self._password = str(connection.get("password") or "")
        self._trust = http.Trust(
            ca=str(connection.get("ca") or ""),
            fingerprint=str(connection.get("fingerprint") or ""),
            verify=connection.get("verify") is not False,
        )
        try:
            self._trust.check()
        except ValueError:
            raise ProvisioningError("The CA bundle of the connection holds no certificate in PEM form.") from None
        if not self._trust.verify and not self._trust.fingerprint and not self._trust.ca:
            logger.warning(
                "CERTIFICATE CHECKS ARE OFF: whoever sits in between reads the credentials. Pin its fingerprint.",
                server=self.url,
            )

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown of the connection."""
        return tuple(filter(None, (self._key, self._password)))

    # --- questions --------------------------------------------------------------------------------------

    @cached_property
    def capabilities(self) -> Capabilities:
        try:
            answer = self._json("GET", "/system/status", signed=False)
        except (Gone, DeploymentFailed, Rejected):
            answer = None
        except NotPortainer as error:
            # A gateway's 502 passes; any page of its own means that somebody else lives at this address.
            if error.status >= 500:
                raise
            answer = None
        version = answer.get("version") if isinstance(answer, dict) else None
        if not isinstance(version, str):
            raise WrongAddress(f"What answers at {self.url} is not Portainer: correct the target's url.")
        return Capabilities.of(version)

    def is_administrator(self) -> bool | None:
        """Whether the key's owner is bound by an environment's settings; None when this version does not tell."""
        if not self.capabilities.current_user:
            return None
        return bool(self._json("GET", "/users/me", query={"noEndpointAuthorizations": "true"}).get("role") == 1)

    def environments(self) -> list[Environment]:
        """All that the credentials may see, by name."""
        listed = self._json("GET", "/endpoints", query={"excludeSnapshots": "true"})
        return sorted((self._environment(one) for one in listed), key=lambda one: (one.name.lower(), one.id))

    def environment(self, number: int) -> Environment:
        return self._environment(self._json("GET", f"/endpoints/{number}"))

    def _environment(self, answer: Mapping[str, Any]) -> Environment:
        kind = _KINDS.get(answer["type"], "")
        up = answer.get("status") == 1
        if kind == "docker" and up and self._is_swarm(answer["id"]):
            kind = "swarm"
        settings: Mapping[str, Any] = answer.get("securitysettings") or {}
        return Environment(
            id=answer["id"],
            name=str(answer.get("name") or answer["id"]),
            kind=kind,
            up=up,
            host=self._host(answer),
            agent=answer["type"] == 2,
            closed=tuple(sorted(name for name, value in settings.items() if name.startswith("allow") and not value)),
        )

    def _is_swarm(self, number: int) -> bool:
        try:
            swarm = self.docker(number, "GET", "/info").json().get("Swarm") or {}
        except (EngineRefused, DeploymentFailed, TryAgain):
            return False
        return swarm.get("LocalNodeState") == "active" and bool(swarm.get("ControlAvailable"))

    def _host(self, answer: Mapping[str, Any]) -> str:
        """Where a published port answers: the public address if one is set, or the engine's, or the server's own."""
        for address in (answer.get("publicurl") or "", answer.get("url") or ""):
            where = urlsplit(address if "//" in address else f"//{address}")
            if where.scheme != "unix" and where.hostname:
                return where.hostname
        return urlsplit(self.url).hostname or ""

    def swarm_id(self, number: int) -> str:
        return str(self.docker(number, "GET", "/swarm").json()["ID"])

    def stacks(self, number: int) -> list[Stack]:
        """All stacks of an environment that the credentials may see."""
        answer = self._json("GET", "/stacks", query={"filters": json.dumps({"EndpointID": number})}) or []
        return sorted((_stack(one) for one in answer if one["endpointid"] == number), key=lambda one: one.id)

    def stack(self, number: int) -> Stack:
        """Raises Gone."""
        return _stack(self._json("GET", f"/stacks/{number}"))

    def file(self, number: int) -> str:
        """The compose file of a stack as the server keeps it."""
        return str(self._json("GET", f"/stacks/{number}/file").get("stackfilecontent") or "")

    # --- changes ----------------------------------------------------------------------------------------

    def create(self, environment: Environment, name: str, body: Mapping[str, Any]) -> Stack:
        """A stack from text (`StackFileContent`) or from a repository (`RepositoryURL` …), with its whole `Env`.

        Raises Conflict when the name is taken, NoAnswer when it may have been made all the same.
        """
        method = "repository" if "RepositoryURL" in body else "string"
        kind, more = "standalone", {}
        if environment.kind == "swarm":
            kind, more = "swarm", {"SwarmID": self.swarm_id(environment.id)}
        return _stack(
            self._write("POST", f"/stacks/create/{kind}/{method}", environment.id, {"Name": name, **more, **body})
        )

    def update(self, stack: Stack, content: str, env: list[dict[str, str]]) -> None:
        """Replaces text and variables as a whole. A stack from a repository would lose its repository by this."""
        body = {"StackFileContent": content, "Env": env, "Prune": stack.type == SWARM}
        self._write("PUT", f"/stacks/{stack.id}", stack.environment, body)

    def redeploy(self, stack: Stack, reference: str, env: list[dict[str, str]], credentials: Mapping[str, Any]) -> None:
        """Fetches the repository again and deploys what it holds now."""
        body = {"RepositoryReferenceName": reference, "Env": env, "Prune": stack.type == SWARM}
        self._write("PUT", f"/stacks/{stack.id}/git/redeploy", stack.environment, {**body, **credentials})

    def start(self, stack: Stack) -> None:
        self._write("POST", f"/stacks/{stack.id}/start", stack.environment)

    def stop(self, stack: Stack) -> None:
        """Removes containers and networks; volumes stay."""
        self._write("POST", f"/stacks/{stack.id}/stop", stack.environment)

    def delete(self, stack: Stack) -> None:
        """Removes the stack but not its volumes: whether a server can is a matter of edition and version."""
        self._write("DELETE", f"/stacks/{stack.id}", stack.environment)

    def _write(self, method: str, path: str, environment: int, body: Mapping[str, Any] | None = None) -> Any:
        return self._json(method, path, query={"endpointId": str(environment)}, body=body, seconds=WRITE_SECONDS)

    # --- the engine behind it ---------------------------------------------------------------------------

    def docker(
        self,
        environment: int,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content: Iterator[bytes] | None = None,
        node: str = "",
        seconds: float = http.READ_SECONDS,
    ) -> httpx.Response:
        """Asks the engine; `query` values that are no text are sent as JSON. Raises EngineRefused with its status."""
        response = self._send(
            method,
            f"/endpoints/{environment}/docker{path}",
            query=_query(query),
            body=body,
            content=content,
            headers=_node(node) | ({"Content-Type": "application/x-tar"} if content else {}),
            seconds=seconds,
        )
        self._refuse(response, path, of_engine=True)
        return response

    @contextlib.contextmanager
    def docker_stream(
        self,
        environment: int,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        node: str = "",
        seconds: float = http.READ_SECONDS,
    ) -> Iterator[Iterator[bytes]]:
        """Like `docker`, for answers too long to be held. `seconds` is the longest silence."""
        url = f"{self.url}/api/endpoints/{environment}/docker{path}"
        with (
            self._explained(),
            http.stream(
                method,
                url,
                headers={**self._signature(), **_node(node)},
                params=_query(query),
                json=body,
                timeout=seconds,
                trust=self._trust,
            ) as response,
        ):
            if response.status_code >= 400:
                response.read()
                self._refuse(response, path, of_engine=True)
            yield response.iter_raw()

    # --- asking -----------------------------------------------------------------------------------------

    def _json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        signed: bool = True,
        seconds: float = http.READ_SECONDS,
    ) -> Any:
        response = self._send(method, path, query=dict(query or {}), body=body, signed=signed, seconds=seconds)
        self._refuse(response, path)
        if not response.content:
            return None
        try:
            return _lowered(response.json())
        except ValueError:
            raise self._not_portainer(response) from None

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None,
        body: Any = None,
        content: Iterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
        signed: bool = True,
        seconds: float = http.READ_SECONDS,
    ) -> httpx.Response:
        def ask(signature: dict[str, str]) -> httpx.Response:
            with self._explained():
                return http.request(
                    method,
                    f"{self.url}/api{path}",
                    headers={**signature, **(headers or {})},
                    params=query or None,
                    json=body,
                    content=content,
                    timeout=seconds,
                    trust=self._trust,
                )

        signature = self._signature() if signed else {}
        response = ask(signature)
        # A token ends before its time when its user signed out, or the server was given another secret.
        if response.status_code == 401 and "Authorization" in signature and content is None:
            _tokens.forget(self.url, self._user)
            response = ask(self._signature())
        return response

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except http.CertificateRefused as error:
            shown = http.fingerprint(self.url)
            if self._trust.fingerprint:
                raise CertificateChanged(
                    f"{self.url} shows another certificate than the one whose fingerprint is pinned. Its SHA-256 "
                    f"fingerprint is {shown or 'not shown'}."
                ) from error
            raise CertificateUnknown(
                f"The certificate of {self.url} is self-signed or from an authority that is not known here. Put its "
                f"CA bundle into the connection, or pin its SHA-256 fingerprint once compared: {shown or 'not shown'}."
            ) from error
        except http.OutsideError as error:
            if error.unknown:
                raise NoAnswer(
                    f"Portainer at {self.url} gave no answer in time: it may have done what was asked"
                ) from error
            raise TargetUnreachable(
                f"Portainer does not answer at {self.url}: start it, or correct the url and the firewall."
            ) from error

    # Never both: the server refuses a request with a key and a token.
    def _signature(self) -> dict[str, str]:
        if self._key:
            return {"X-API-KEY": self._key}
        if not self._user:
            raise CredentialsRefused("The connection has neither an api_key nor a username with its password.")
        return {"Authorization": f"Bearer {_tokens.of(self.url, self._user, self._password, self._log_in)}"}

    def _log_in(self) -> str:
        body = {"Username": self._user, "Password": self._password}
        return str(self._json("POST", "/auth", body=body, signed=False)["jwt"])

    def _refuse(self, response: httpx.Response, path: str, *, of_engine: bool = False) -> None:
        """Raises what an answer that is an error means."""
        status = response.status_code
        if status < 400:
            return
        answer = _error(response)
        if answer is None:
            # A page of a reverse proxy, which gave up waiting or never got through.
            raise self._not_portainer(response)
        message, details = (redact(text, self.secrets) for text in answer)
        # The engine's own errors have no details.
        if not details:
            raise EngineRefused(status, message)
        if of_engine and status >= 500:
            raise TargetUnreachable(f"Portainer does not reach the engine of this environment ({message}).")
        raise self._error(status, message, details, path)

    def _error(self, status: int, message: str, details: str, path: str) -> ProvisioningError:
        both = message if details.lower() in message.lower() else f"{message}: {details}"
        if status in {401, 422}:
            return CredentialsRefused(
                f"Portainer at {self.url} refuses the credentials: put a valid API key, or user name and password, "
                "into the connection."
            )
        if status == 403 and path == "/auth":
            return TargetUnreachable(
                f"Portainer at {self.url} refuses sign-ins from here, for an hour after too many of them: "
                "use an API key instead of user name and password."
            )
        if status == 403 or "non administrator users" in both:
            return SettingsRefuse(
                f"Portainer does not allow this to the owner of the credentials ({both}): use an administrator's API "
                "key, or open the setting in the environment's security settings."
            )
        if status == 404 and ("environment" in both.lower() or "endpoint" in both.lower()):
            return EnvironmentUnknown(
                f"Portainer at {self.url} has no such environment: choose another one in the target's connection."
            )
        if status == 404:
            return Gone(both)
        if status == 409:
            return Conflict(both)
        return DeploymentFailed(both) if status >= 500 else Rejected(both)

    def _not_portainer(self, response: httpx.Response) -> ProvisioningError:
        return NotPortainer(self.url, response.status_code)


def environments(connection: Mapping[str, Any]) -> list[Environment]:
    """The environments of a server, for the person who sets up a target.

    Raises CredentialsRefused, CertificateUnknown, TargetUnreachable and other ProvisioningErrors.
    """
    server = Portainer(connection)
    # Says more about what is wrong than a refused list would.
    _version = server.capabilities
    return server.environments()


class _Tokens:
    """Tokens of signed-in users, shared by everything in this process: every sign-in counts against a limit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[tuple[str, str], tuple[str, float]] = {}
        self._refused: dict[tuple[str, str, str], float] = {}

    def of(self, url: str, user: str, password: str, log_in: Any) -> str:
        now = time.monotonic()
        refusal = (url, user, hashlib.sha256(password.encode()).hexdigest())
        with self._lock:
            token, until = self._held.get((url, user), ("", 0.0))
            if until > now:
                return token
            if self._refused.get(refusal, 0) > now:
                raise CredentialsRefused(f"Portainer at {url} refused this password a moment ago: correct it.")
            try:
                token = str(log_in())
            except CredentialsRefused:
                self._refused[refusal] = now + _REFUSAL_SECONDS
                raise
            self._held[url, user] = token, now + _TOKEN_SECONDS
            return token

    def forget(self, url: str, user: str) -> None:
        with self._lock:
            self._held.pop((url, user), None)


_tokens = _Tokens()


def _stack(answer: Mapping[str, Any]) -> Stack:
    git = answer.get("gitconfig") or {}
    history = answer.get("deploymentstatus") or [{}]
    return Stack(
        id=answer["id"],
        name=answer["name"],
        type=answer.get("type") or COMPOSE,
        environment=answer["endpointid"],
        status=answer.get("status") or ACTIVE,
        env={pair["name"]: pair.get("value") or "" for pair in answer.get("env") or ()},
        repository=str(git.get("url") or ""),
        reference=str(git.get("referencename") or ""),
        message=str(history[-1].get("message") or ""),
    )


def _lowered(value: Any) -> Any:
    """Keys in lower case: which spelling a server uses depends on its version."""
    if isinstance(value, list):
        return [_lowered(one) for one in value]
    if isinstance(value, dict):
        return {key.lower(): _lowered(inner) for key, inner in value.items()}
    return value


def _error(response: httpx.Response) -> tuple[str, str] | None:
    try:
        answer = response.json()
    except ValueError:
        return None
    if not isinstance(answer, dict) or "message" not in answer:
        return None
    return str(answer["message"]), str(answer.get("details") or "")


def _query(query: Mapping[str, Any] | None) -> dict[str, str]:
    return {name: one if isinstance(one, str) else json.dumps(one) for name, one in (query or {}).items()}


def _node(name: str) -> dict[str, str]:
    return {"X-PortainerAgent-Target": name} if name else {}
