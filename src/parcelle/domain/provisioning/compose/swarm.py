"""From a normalised compose model to the services of Docker Swarm, in the words of the engine's API.

Swarm drops what it does not know without a word. Here every key of a service is either translated, harmless to leave
out, or refused by name. Decides only: no engine is asked.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID

from parcelle.domain.provisioning.compose import labels, values
from parcelle.domain.provisioning.compose.answers import FileRefused

Json = dict[str, Any]
# The mode of a service whose one task ends by itself.
ONCE: Final[Json] = {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}}
# Not even the image's own health check: what ends by itself is never healthy first.
_UNCHECKED: Final[Json] = {"Test": ["NONE"]}

# The engine's own limit for the name of a service, which is a DNS label.
LONGEST_NAME: Final = 63
_LONGEST_STACK: Final = 40
_SECOND: Final = 10**9
NO_NEW_PRIVILEGES_API: Final = (1, 44)
# How long a new version must live before it counts as good, and an old one that was brought back.
_MONITOR_SECONDS: Final = 5
_ROLLBACK_MONITOR_SECONDS: Final = 2
_RESTART_DELAY_SECONDS: Final = 2

# Without meaning on Swarm, or taken care of elsewhere: order (waves), ports of the web service, images.
_LEFT_OUT: Final = frozenset(
    {"depends_on", "expose", "pull_policy", "attach", "scale", "profiles", "restart", "deploy"}
)
# Written out by compose with a value that says "as always".
_HARMLESS: Final[Mapping[str, tuple[Any, ...]]] = {
    "privileged": (False,), "ipc": ("", "private"), "pid": ("",), "uts": ("",), "cgroup": ("", "private"),
    "network_mode": ("",), "runtime": ("", "runc"), "oom_kill_disable": (False,), "domainname": ("",),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where services of one stack may run. `home` is the node with the stack's volumes; "" when it has none."""

    constraints: tuple[str, ...] = ()
    home: str = ""


@dataclass(frozen=True, kw_only=True)
class Content:
    """A Swarm secret or config. Its name says which content it has, so it never changes."""

    key: str
    name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Network:
    key: str
    name: str
    internal: bool
    subnet: str


@dataclass(frozen=True, kw_only=True)
class Service:
    """One service: `body` is what `POST /services/create` takes, with secrets and configs by name only."""

    key: str
    body: Json = field(repr=False)
    revision: str
    # 0 for what needs nothing, 1 for what needs only those, ...
    wave: int
    needs: frozenset[str]
    one_shot: bool
    pinned: bool

    @property
    def name(self) -> str:
        return str(self.body["Name"])

    @property
    def mounts(self) -> list[Json]:
        return list(self.body["TaskTemplate"]["ContainerSpec"]["Mounts"])

    def identified(self, secrets: Mapping[str, str], configs: Mapping[str, str]) -> Service:
        task = self.body["TaskTemplate"]
        inside = dict(task["ContainerSpec"])
        for kind, ids in (("Secret", secrets), ("Config", configs)):
            if given := inside.get(f"{kind}s"):
                inside[f"{kind}s"] = [{**one, f"{kind}ID": ids[one[f"{kind}Name"]]} for one in given]
        return replace(self, body={**self.body, "TaskTemplate": {**task, "ContainerSpec": inside}})


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Everything of one instance on a swarm. `weaker` tells what the engine cannot enforce."""

    name: str
    services: tuple[Service, ...]
    networks: tuple[Network, ...]
    secrets: tuple[Content, ...]
    configs: tuple[Content, ...]
    weaker: tuple[str, ...]

    @property
    def volumes(self) -> tuple[str, ...]:
        """Their names on the node that has them."""
        mounts = (mount for service in self.services for mount in service.mounts if mount["Type"] == "volume")
        return tuple(dict.fromkeys(mount["Source"] for mount in mounts))

    @property
    def waves(self) -> tuple[tuple[Service, ...], ...]:
        """The services in the order in which they start: one wave needs only the waves before it."""
        last = max((service.wave for service in self.services), default=-1)
        return tuple(tuple(one for one in self.services if one.wave == wave) for wave in range(last + 1))

    def identified(self, secrets: Mapping[str, str], configs: Mapping[str, str]) -> Stack:
        """With the ids that the swarm gave to secrets and configs, name -> id."""
        return replace(self, services=tuple(service.identified(secrets, configs) for service in self.services))

    def service(self, key: str) -> Service | None:
        return next((service for service in self.services if service.key == key), None)

    def waits(self, service: Service) -> bool:
        """Whether it needs others that run, so that it may not be able to run before everything is prepared."""
        return any(not other.one_shot for other in self.services if other.key in service.needs)

    def closure(self, keys: Iterable[str]) -> set[str]:
        """The services and everything they need."""
        wanted = set(keys)
        while more := {need for service in self.services if service.key in wanted for need in service.needs} - wanted:
            wanted |= more
        return wanted


def stack_name(name: str, ref: UUID) -> str:
    """`name`, or a shorter one: the names of services are this and their own, and an engine allows 63 characters."""
    return name if len(name) <= _LONGEST_STACK else f"{name[: _LONGEST_STACK - 9].rstrip('-')}-{ref.hex[:8]}"


def has_volumes(model: Mapping[str, Any]) -> bool:
    return any(mount.get("type") == "volume" for of in model["services"].values() for mount in of.get("volumes") or ())


def translate(
    model: Mapping[str, Any],
    *,
    ref: UUID,
    name: str,
    place: Place,
    web: tuple[str, int, int],
    secrets: Mapping[str, str],
    configs: Mapping[str, str],
    api: tuple[int, int],
) -> Stack:
    """The stack of `model`, which compose has normalised (`docker compose config --format json`).

    `web` is (service, port inside, port published on its node); `secrets` and `configs` hold the contents, name ->
    text; `api` is the version spoken with the engine. Raises FileRefused for what Swarm cannot do.
    """
    model = _unescaped(model)
    makers = {
        kind: _contents(name, kind, model, texts, ref) for kind, texts in (("secrets", secrets), ("configs", configs))
    }
    translation = _Translation(ref=ref, stack=name, place=place, web=web, api=api, model=model, contents=makers)
    return Stack(
        name=name,
        services=tuple(translation.services()),
        networks=tuple(_networks(name, model)),
        secrets=tuple(makers["secrets"].values()),
        configs=tuple(makers["configs"].values()),
        weaker=tuple(dict.fromkeys(translation.weaker)),
    )


def published(body: Json, port: int, *, inside: int) -> Json:
    """The same service with its port `inside` published as `port`."""
    ports = [
        {**of, "PublishedPort": port} if of["TargetPort"] == inside else of
        for of in body["EndpointSpec"].get("Ports", [])
    ]
    return {**body, "EndpointSpec": {**body["EndpointSpec"], "Ports": ports}}


def one_off(body: Mapping[str, Any], *, name: str, command: Sequence[str], node: str = "", user: str = "") -> Json:
    """A job that runs `command` once with a service's image, networks, secrets, volumes; on `node` if one is given."""
    task = body["TaskTemplate"]
    known = {key: body["Labels"][key] for key in (labels.INSTANCE, labels.MANAGED, labels.SWARM_STACK)}
    inside = {key: value for key, value in task["ContainerSpec"].items() if key != "Args"}
    inside |= {"Command": list(command), "Labels": known, "Healthcheck": _UNCHECKED}
    if user:
        inside["User"] = user
    # A name in the networks would give the job a share of the service's visitors.
    networks = [{"Target": network["Target"]} for network in task.get("Networks") or []]
    return {
        "Name": name,
        "Labels": known,
        "TaskTemplate": {
            **task,
            "ContainerSpec": inside,
            "RestartPolicy": {"Condition": "none"},
            "Placement": {"Constraints": [f"node.id=={node}"]} if node else task.get("Placement") or {},
            "Networks": networks,
        },
        "Mode": ONCE,
        "EndpointSpec": {"Mode": "dnsrr"},
    }


@dataclass(kw_only=True)
class _Translation:
    ref: UUID
    stack: str
    place: Place
    web: tuple[str, int, int]
    api: tuple[int, int]
    model: Mapping[str, Any]
    contents: Mapping[str, Mapping[str, Content]]
    weaker: list[str] = field(default_factory=list)

    def services(self) -> Iterable[Service]:
        compose = self.model["services"]
        needs = {key: frozenset(of.get("depends_on") or {}) & compose.keys() for key, of in compose.items()}
        awaited = {
            key
            for of in compose.values()
            for key, condition in (of.get("depends_on") or {}).items()
            if condition.get("condition") == "service_completed_successfully"
        }
        for key, of in compose.items():
            one_shot = key in awaited or (of.get("restart") == "no" and key != self.web[0])
            pinned = any(mount.get("type") == "volume" for mount in of.get("volumes") or ())
            body = self._body(key, of, one_shot=one_shot, pinned=pinned)
            revision = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
            body["Labels"][labels.REVISION] = revision
            # On the containers too: this is how a task tells which version of its service it runs.
            body["TaskTemplate"]["ContainerSpec"]["Labels"][labels.REVISION] = revision
            yield Service(
                key=key, body=body, revision=revision, wave=_wave(key, needs), needs=needs[key],
                one_shot=one_shot, pinned=pinned,
            )  # fmt: skip

    def _body(self, key: str, of: Mapping[str, Any], *, one_shot: bool, pinned: bool) -> Json:
        name = f"{self.stack}_{key}"
        if len(name) > LONGEST_NAME:
            most = LONGEST_NAME - len(self.stack) - 1
            raise FileRefused(f"service {key}: the name is too long for Docker Swarm, {most} characters at most")
        body: Json = {
            "Name": name,
            "Labels": {**labels.of(self.ref), labels.SWARM_STACK: self.stack, labels.SWARM_SERVICE: key},
            "TaskTemplate": self._task(key, of, one_shot=one_shot, pinned=pinned),
            # No virtual addresses: not every kernel has what they need, and few copies do not need them.
            "EndpointSpec": {"Mode": "dnsrr", "Ports": self._ports(key, of)},
        }
        if one_shot:
            return {**body, "Mode": ONCE}
        return {
            **body,
            "Mode": {"Replicated": {"Replicas": 1}},
            "UpdateConfig": _change(_MONITOR_SECONDS, "rollback", pinned=pinned),
            "RollbackConfig": _change(_ROLLBACK_MONITOR_SECONDS, "pause", pinned=pinned),
        }

    def _task(self, key: str, of: Mapping[str, Any], *, one_shot: bool, pinned: bool) -> Json:
        constraints = [*self.place.constraints, *([f"node.id=={self.place.home}"] if pinned else [])]
        container: Json = {"Labels": {**(of.get("labels") or {}), **labels.of(self.ref)}}
        for word, value in of.items():
            container |= self._translated(key, word, value, of)
        if one_shot:
            container["Healthcheck"] = _UNCHECKED
        container["Mounts"] = [*self._volumes(key, of), *_temporary(key, of)]
        task: Json = {
            "ContainerSpec": container,
            "Resources": {"Limits": _limits(of)},
            "RestartPolicy": {"Condition": "none"} if one_shot else _restart(key, of),
            "Placement": {"Constraints": constraints} | _platform(of.get("platform") or ""),
            "Networks": self._attachments(key, of, one_shot=one_shot),
        }
        if of.get("logging"):
            logging = of["logging"]
            task["LogDriver"] = {"Name": logging.get("driver", "json-file"), "Options": logging.get("options") or {}}
        return task

    def _translated(self, key: str, word: str, value: Any, of: Mapping[str, Any]) -> Json:
        """What a compose key becomes in the container's specification; refuses what it cannot become."""
        if word in _LEFT_OUT or word in _ELSEWHERE or word.startswith("x-"):
            return {}
        if value in (None, [], {}) or value in _HARMLESS.get(word, ()):
            return {}
        if word == "security_opt":
            return self._privileges(key, value)
        if word == "memswap_limit":
            if str(value) != str(of.get("mem_limit", "")):
                raise FileRefused(f"service {key}: memswap_limit can only be the same as mem_limit on Docker Swarm")
            self.weaker.append("swap is not limited: leave the nodes without swap")
            return {}
        if word in {"secrets", "configs"}:
            return {word.capitalize(): [self._mounted(key, word, entry) for entry in value]}
        if word not in _DIRECT:
            raise FileRefused(
                f"service {key}: Docker Swarm has nothing like {word!r} and would leave it out without a word: "
                "take it out of the compose file, or use the docker provider"
            )
        return _DIRECT[word](value)

    def _privileges(self, key: str, options: Sequence[str]) -> Json:
        if others := [
            o for o in options if o not in {"no-new-privileges:true", "no-new-privileges=true", "no-new-privileges"}
        ]:
            raise FileRefused(f"service {key}: Docker Swarm cannot set security_opt {others[0]!r}")
        if self.api < NO_NEW_PRIVILEGES_API:
            self.weaker.append(
                "no-new-privileges needs Docker Engine 25 or newer, or `no-new-privileges` in its daemon.json"
            )
            return {}
        return {"Privileges": {"NoNewPrivileges": True}}

    def _mounted(self, key: str, kind: str, entry: Mapping[str, Any]) -> Json:
        content = self.contents[kind].get(entry["source"])
        if content is None:
            raise FileRefused(f"service {key}: {kind[:-1]} {entry['source']!r} has no content")
        target = entry.get("target") or (entry["source"] if kind == "secrets" else f"/{entry['source']}")
        mode = entry.get("mode") if entry.get("mode") is not None else 0o444
        file = {
            "Name": target,
            "UID": str(entry.get("uid") or "0"),
            "GID": str(entry.get("gid") or "0"),
            "Mode": int(mode, 8) if isinstance(mode, str) else mode,
        }
        return {f"{kind[:-1].capitalize()}Name": content.name, "File": file}

    def _volumes(self, key: str, of: Mapping[str, Any]) -> Iterable[Json]:
        for mount in of.get("volumes") or ():
            if mount["type"] == "volume" and mount.get("source"):
                options: Json = {"Labels": dict(labels.of(self.ref))}
                if (mount.get("volume") or {}).get("nocopy"):
                    options["NoCopy"] = True
                name = f"{self.stack}_{mount['source']}"
                made = {"Type": "volume", "Source": name, "Target": mount["target"], "VolumeOptions": options}
                yield made | ({"ReadOnly": True} if mount.get("read_only") else {})
            elif mount["type"] != "tmpfs":
                raise FileRefused(
                    f"service {key}: a mount of type {mount['type']!r} at {mount['target']} is not possible"
                )

    def _attachments(self, key: str, of: Mapping[str, Any], *, one_shot: bool) -> list[Json]:
        made = []
        for network, options in (of.get("networks") or {}).items():
            aliases = [] if one_shot else [key, *((options or {}).get("aliases") or [])]
            made.append({"Target": f"{self.stack}_{network}", "Aliases": list(dict.fromkeys(aliases))})
        return made

    def _ports(self, key: str, of: Mapping[str, Any]) -> list[Json]:
        service, inside, outside = self.web
        made = {inside: outside} if key == service and outside else {}
        for port in of.get("ports") or ():
            if port.get("published"):
                made.setdefault(int(port["target"]), int(port["published"]))
        protocols = {int(port["target"]): port.get("protocol", "tcp") for port in of.get("ports") or ()}
        # On the node itself: the routing mesh needs virtual addresses.
        return [
            {"Protocol": protocols.get(t, "tcp"), "TargetPort": t, "PublishedPort": p, "PublishMode": "host"}
            for t, p in sorted(made.items())
        ]


# --- single values ------------------------------------------------------------------------------------------


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": _SECOND, "m": 60 * _SECOND, "h": 3600 * _SECOND}


def nanoseconds(text: str | int) -> int:
    """ "1m30s" -> 90_000_000_000."""
    if isinstance(text, int):
        return text
    if text.strip() in {"", "0"}:
        return 0
    parts = _DURATION.findall(text)
    if "".join(number + unit for number, unit in parts) != text:
        raise FileRefused(f"{text!r} is no duration")
    return sum(int(float(number) * _UNITS[unit]) for number, unit in parts)


def _wave(key: str, needs: Mapping[str, frozenset[str]]) -> int:
    return 1 + max((_wave(need, needs) for need in needs[key]), default=-1)


def _change(monitor: int, otherwise: str, *, pinned: bool) -> Json:
    """How one version follows another. Two copies of a database on one volume would destroy it: those take turns."""
    return {
        "Parallelism": 1,
        "Monitor": monitor * _SECOND,
        "MaxFailureRatio": 0,
        "FailureAction": otherwise,
        "Order": "stop-first" if pinned else "start-first",
    }


def _restart(key: str, of: Mapping[str, Any]) -> Json:
    word, _, attempts = str(of.get("restart") or "always").partition(":")
    conditions = {"always": "any", "unless-stopped": "any", "on-failure": "on-failure", "no": "none"}
    if word not in conditions:
        raise FileRefused(f"service {key}: restart {word!r} is unknown")
    made = {"Condition": conditions[word], "Delay": _RESTART_DELAY_SECONDS * _SECOND}
    return made | ({"MaxAttempts": int(attempts)} if attempts else {})


def _platform(text: str) -> Json:
    system, slash, architecture = text.partition("/")
    known = {"amd64": "x86_64", "arm64": "aarch64"}
    return {"Platforms": [{"OS": system, "Architecture": known.get(architecture, architecture)}]} if slash else {}


def _limits(of: Mapping[str, Any]) -> Json:
    given = ((of.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    most = {
        "MemoryBytes": _bytes(of.get("mem_limit") or given.get("memory") or 0),
        "NanoCPUs": int(float(of.get("cpus") or given.get("cpus") or 0) * _SECOND),
        "Pids": int(of.get("pids_limit") or given.get("pids") or 0),
    }
    return {name: value for name, value in most.items() if value}


def _temporary(key: str, of: Mapping[str, Any]) -> Iterable[Json]:
    """Folders in memory, however they are spelled; shared memory is one of them."""
    if of.get("shm_size"):
        yield {"Type": "tmpfs", "Target": "/dev/shm", "TmpfsOptions": {"SizeBytes": _bytes(of["shm_size"])}}  # noqa: S108
    for mount in of.get("volumes") or ():
        if mount["type"] == "tmpfs":
            size = _bytes((mount.get("tmpfs") or {}).get("size") or 0)
            yield _tmpfs(mount["target"], size, (mount.get("tmpfs") or {}).get("mode"))
    given = of.get("tmpfs") or ()
    for text in [given] if isinstance(given, str) else given:
        target, _, options = text.partition(":")
        said = dict(option.partition("=")[::2] for option in options.split(",") if option)
        # A folder that everybody may write to needs no owner.
        if unknown := said.keys() - {"size", "mode", "uid", "gid", "rw", "nosuid", "nodev", "noexec"}:
            raise FileRefused(f"service {key}: tmpfs {target}: Docker Swarm cannot set {', '.join(sorted(unknown))}")
        owned = bool(said.keys() & {"uid", "gid"})
        mode = 0o1777 if owned else int(said["mode"], 8) if "mode" in said else None
        yield _tmpfs(target, _bytes(said.get("size") or 0), mode)


def _tmpfs(target: str, size: int, mode: int | None) -> Json:
    options = ({"SizeBytes": size} if size else {}) | ({} if mode is None else {"Mode": mode})
    return {"Type": "tmpfs", "Target": target, "TmpfsOptions": options}


def _healthcheck(given: Mapping[str, Any]) -> Json:
    if given.get("disable"):
        return {"Healthcheck": {"Test": ["NONE"]}}
    test = given.get("test") or []
    made: Json = {"Test": ["CMD-SHELL", test] if isinstance(test, str) else list(test)}
    for word, name in (("interval", "Interval"), ("timeout", "Timeout"), ("start_period", "StartPeriod")):
        if given.get(word):
            made[name] = nanoseconds(given[word])
    return {"Healthcheck": made | ({"Retries": int(given["retries"])} if given.get("retries") else {})}


def _environment(given: Mapping[str, Any] | Sequence[str]) -> Json:
    if not isinstance(given, Mapping):
        return {"Env": list(given)}
    return {"Env": [name if value is None else f"{name}={value}" for name, value in sorted(given.items())]}


def _ulimits(given: Mapping[str, Any]) -> Json:
    made = []
    for name, value in sorted(given.items()):
        soft, hard = (value["soft"], value["hard"]) if isinstance(value, Mapping) else (value, value)
        made.append({"Name": name, "Soft": int(soft), "Hard": int(hard)})
    return {"Ulimits": made}


def _named(name: str, convert: Callable[[Any], Any] = lambda value: value) -> Callable[[Any], Json]:
    return lambda value: {name: convert(value)}


def _words(value: Any) -> list[str]:
    return [str(value)] if isinstance(value, str) else [str(word) for word in value]


# compose key -> part of the container's specification
_DIRECT: Final[Mapping[str, Callable[[Any], Json]]] = {
    "image": _named("Image"),
    "entrypoint": _named("Command", _words),
    "command": _named("Args", _words),
    "environment": _environment,
    "user": _named("User", str),
    "working_dir": _named("Dir"),
    "init": _named("Init", bool),
    "read_only": _named("ReadOnly", bool),
    "stop_signal": _named("StopSignal"),
    "stop_grace_period": _named("StopGracePeriod", nanoseconds),
    "healthcheck": _healthcheck,
    "cap_add": _named("CapabilityAdd", sorted),
    "cap_drop": _named("CapabilityDrop", sorted),
    "ulimits": _ulimits,
    "tty": _named("TTY", bool),
    "stdin_open": _named("OpenStdin", bool),
}
# Read where the part they belong to is made.
_ELSEWHERE: Final = frozenset(
    {
        "networks",
        "ports",
        "volumes",
        "tmpfs",
        "shm_size",
        "logging",
        "labels",
        "platform",
        "mem_limit",
        "cpus",
        "pids_limit",
    }
)


def _networks(stack: str, model: Mapping[str, Any]) -> Iterable[Network]:
    used = {network for of in model["services"].values() for network in of.get("networks") or {}}
    for key, of in (model.get("networks") or {}).items():
        if key in used:
            given = (of.get("ipam") or {}).get("config") or [{}]
            internal = bool(of.get("internal"))
            yield Network(key=key, name=f"{stack}_{key}", internal=internal, subnet=given[0].get("subnet", ""))


def _contents(
    stack: str, kind: str, model: Mapping[str, Any], texts: Mapping[str, str], ref: UUID
) -> dict[str, Content]:
    used = {entry["source"] for of in model["services"].values() for entry in of.get(kind) or ()}
    made = {}
    for key in sorted(used & texts.keys()):
        # With the instance's id, or equal passwords of two customers would have equal names.
        digest = hashlib.sha256(f"{ref} {key} {texts[key]}".encode()).hexdigest()[:20]
        made[key] = Content(key=key, name=f"{stack}_{digest}", data=texts[key].encode())
    return made


def _unescaped(value: Any) -> Any:
    """Compose leaves a literal `$` doubled in what it has normalised."""
    if isinstance(value, Mapping):
        return {key: _unescaped(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_unescaped(inner) for inner in value]
    return value.replace("$$", "$") if isinstance(value, str) else value


def _bytes(value: str | int) -> int:
    size = values.size_of(value)
    if size is None and value not in {0, "0", ""}:
        raise FileRefused(f"{value!r} is no size")
    return size or 0
