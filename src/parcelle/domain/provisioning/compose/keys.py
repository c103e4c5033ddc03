"""What one service may ask for, key by key."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, cast, get_args

from parcelle.domain.provisioning.compose import mounts, refusals, values
from parcelle.domain.provisioning.compose.file import Condition, Dependency, HostPort, Service
from parcelle.domain.provisioning.compose.reading import Reader
from parcelle.domain.provisioning.compose.source import Path

MOST_OPEN_FILES: Final = 1_048_576
_VARIABLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_PORT_LEASE: Final = re.compile(r"\$\{ports\.([a-z_]+)\}")
_HEALTHCHECK_TIMES: Final = ("interval", "timeout", "start_period")
_ADDRESSES: Final = dict.fromkeys(
    ("ipv4_address", "ipv6_address", "link_local_ips", "mac_address", "driver_opts", "priority", "gw_priority"),
    "remove it: Parcelle gives out the addresses",
)


def service(reader: Reader, value: Any, path: Path) -> Service:
    given = reader.mapping(value, path)
    if "image" not in given:
        reader.problem(path, "say which image it runs with `image`")
    found: dict[str, Any] = {"image": ""}
    for key, inner in given.items():
        here = (*path, key)
        if key in _ONE:
            field, read = _ONE[key]
            if inner is not None:
                found[field] = read(reader, inner, here)
        elif key in _SEVERAL:
            if inner is not None:
                found |= _SEVERAL[key](reader, inner, here)
        elif not _harmless(key, inner):
            reader.refuse(here, refusals.SERVICE)
    found["files"] = (*found.pop("secrets", ()), *found.pop("configs", ()))
    found["tmpfs"] = {**found.pop("tmpfs_mounts", {}), **found.get("tmpfs", {})}
    made = Service(**found)
    mounts.targets(reader, made, path)
    return made


def image(reader: Reader, value: Any, path: Path) -> str:
    text = reader.text(value, path)
    if not text or re.search(r"\s", text):
        reader.problem(path, "name the image, such as registry.example.com/app:1.2")
    return text


def command(reader: Reader, value: Any, path: Path) -> tuple[str, ...] | None:
    if isinstance(value, list):
        return tuple(reader.text(inner, (*path, number)) for number, inner in enumerate(value))
    text = reader.text(value, path)
    words = values.words_of(text)
    if words is None:
        reader.problem(
            path,
            "compose starts no shell, so what follows `&&`, `|`, `;` or `>` would be dropped: write a list, "
            'such as ["sh", "-c", "…"]',
        )
    return words


def environment(reader: Reader, value: Any, path: Path) -> dict[str, str]:
    found = {}
    for key, inner in reader.pairs(value, path).items():
        if not _VARIABLE_NAME.fullmatch(key):
            reader.problem((*path, key), "the name of a variable has letters, digits and `_` only")
        elif inner is None:
            reader.problem((*path, key), 'nothing comes from a shell here: write a value, "" for an empty one')
        else:
            found[key] = reader.text(inner, (*path, key))
    return found


def labels(reader: Reader, value: Any, path: Path) -> dict[str, str]:
    found = {}
    for key, inner in reader.pairs(value, path).items():
        if key.startswith(refusals.RESERVED_LABELS):
            reader.problem((*path, key), "remove it: labels of com.docker and io.parcelle say whose a container is")
        elif key.startswith(refusals.ROUTING_LABELS):
            reader.problem((*path, key), "remove it: Parcelle itself tells the proxy which address leads here")
        elif "$" in key:
            reader.problem((*path, key), "a label's name holds no `$`")
        else:
            found[key] = reader.text(inner if inner is not None else "", (*path, key))
    return found


def healthcheck(reader: Reader, value: Any, path: Path) -> dict[str, Any] | None:
    given = reader.mapping(value, path)
    found: dict[str, Any] = {}
    for key, inner in given.items():
        if key == "test":
            found["test"] = health_test(reader, inner, (*path, key))
        elif key in _HEALTHCHECK_TIMES:
            found[key] = reader.duration(inner, (*path, key))
        elif key == "retries":
            found[key] = reader.whole(inner, (*path, key), most=1000)
        elif key == "start_interval":
            reader.problem((*path, key), "remove it: engines before version 25 refuse it; `interval` is enough")
        elif not (key == "disable" and inner is False):
            reader.problem((*path, key), "remove it: an instance is called live when its services are healthy")
    if not found.get("test"):
        if "test" not in given and "disable" not in given:
            reader.problem(path, 'say how to see that it works, such as test: ["CMD-SHELL", "…"]')
        return None
    return found


def health_test(reader: Reader, value: Any, path: Path) -> list[str]:
    if isinstance(value, str):
        return ["CMD-SHELL", reader.text(value, path)]
    words = [reader.text(inner, (*path, number)) for number, inner in enumerate(reader.listing(value, path))]
    if words[:1] not in (["CMD"], ["CMD-SHELL"]) or len(words) < 2:
        reader.problem(path, 'begin it with "CMD" or "CMD-SHELL" and say what to run')
        return []
    return words


def depends_on(reader: Reader, value: Any, path: Path) -> dict[str, Dependency]:
    if isinstance(value, list):
        names = [reader.plain(inner, (*path, number)) for number, inner in enumerate(value)]
        return {name: Dependency() for name in names}
    found = {}
    for name, inner in reader.mapping(value, path).items():
        given = reader.mapping(inner, (*path, name), optional=True)
        for key in given.keys() - {"condition", "required", "restart"}:
            reader.refuse((*path, name, key), {})
        condition = given.get("condition", "service_started")
        if condition not in get_args(Condition):
            reader.problem((*path, name, "condition"), f"write one of {', '.join(get_args(Condition))}")
            condition = "service_started"
        found[name] = Dependency(
            condition=cast("Condition", condition),
            required=reader.flag(given.get("required", True), (*path, name, "required")),
            restart=reader.flag(given.get("restart", False), (*path, name, "restart")),
        )
    return found


def networks(reader: Reader, value: Any, path: Path) -> dict[str, Any]:
    if isinstance(value, list):
        value = {reader.plain(inner, (*path, number)): None for number, inner in enumerate(value)}
    aliases: list[str] = []
    for name, inner in reader.mapping(value, path).items():
        if name not in reader.networks:
            reader.problem((*path, name), f"declare the network {name!r} under `networks`, or leave all of them out")
        for key, given in reader.mapping(inner, (*path, name), optional=True).items():
            here = (*path, name, key)
            if key == "aliases":
                aliases += [reader.plain(one, (*here, i)) for i, one in enumerate(reader.listing(given, here))]
            else:
                reader.refuse(here, _ADDRESSES)
    return {"aliases": tuple(dict.fromkeys(aliases))}


def ports(reader: Reader, value: Any, path: Path) -> tuple[HostPort, ...]:
    found = []
    for number, inner in enumerate(reader.listing(value, path)):
        given = inner if isinstance(inner, dict) else _long_port(str(inner))
        lease = _PORT_LEASE.fullmatch(str(given.get("published", "")))
        target = values.number_of(given.get("target"))
        if not lease or target is None or given.keys() - {"target", "published", "protocol", "mode", "name"}:
            reader.problem(
                (*path, number),
                "remove it: the web service is reached by `compose.port` of blueprint.yaml, the others by their "
                "names inside the stack; a plan may grant a port of its own, written as "
                '`{target: 5432, published: "${ports.database}"}`',
            )
        elif lease[1] not in reader.grants.ports:
            reader.problem(
                (*path, number), f"no port is granted for {lease[1]!r}: remove it, or grant it in the target"
            )
        else:
            protocol = "udp" if given.get("protocol") == "udp" else "tcp"
            found.append(HostPort(purpose=lease[1], target=int(target), protocol=protocol))
    return tuple(found)


def nothing(reader: Reader, value: Any, path: Path) -> dict[str, Any]:
    """What is so anyway, or means nothing."""
    reader.listing(value, path)
    return {}


def cap_add(reader: Reader, value: Any, path: Path) -> tuple[str, ...]:
    names = []
    for number, inner in enumerate(reader.listing(value, path)):
        name = reader.plain(inner, (*path, number)).upper().removeprefix("CAP_")
        if name not in refusals.CAPABILITIES:
            reader.problem((*path, number), f"remove {name}: only {', '.join(sorted(refusals.CAPABILITIES))} are given")
        names.append(name)
    return tuple(sorted(set(names)))


def security_opt(reader: Reader, value: Any, path: Path) -> dict[str, Any]:
    for number, inner in enumerate(reader.listing(value, path)):
        if not re.fullmatch(r"no-new-privileges(?:[:=]true)?", str(inner)):
            reader.problem((*path, number), "remove it: only no-new-privileges, which every service has anyway")
    return {}


def deploy(reader: Reader, value: Any, path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, inner in reader.mapping(value, path).items():
        if key == "replicas" and inner == 1:
            continue
        if key == "replicas":
            reader.problem((*path, key), "write 1 or remove it: a service of an instance runs once")
        elif key == "resources":
            found |= resources(reader, inner, (*path, key))
        else:
            reader.refuse((*path, key), refusals.DEPLOY)
    return found


def resources(reader: Reader, value: Any, path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, inner in reader.mapping(value, path).items():
        if key != "limits":
            reader.refuse((*path, key), {"reservations": "remove it and give `limits` only"})
            continue
        for name, limit in reader.mapping(inner, (*path, key)).items():
            here = (*path, key, name)
            if name == "memory":
                found["memory"] = reader.size(limit, here)
            elif name == "cpus":
                found["cpus"] = reader.number(limit, here)
            elif name == "pids":
                found["pids"] = reader.whole(limit, here, most=100_000)
            else:
                reader.refuse(here, {"devices": refusals.SERVICE["devices"]})
    return found


def ulimits(reader: Reader, value: Any, path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, inner in reader.mapping(value, path).items():
        if key != "nofile":
            reader.problem((*path, key), "remove it: only `nofile` can be chosen")
            continue
        both = inner if isinstance(inner, dict) else {"soft": inner, "hard": inner}
        soft, hard = (
            reader.whole(both.get(name), (*path, key, name), most=MOST_OPEN_FILES) for name in ("soft", "hard")
        )
        found["nofile"] = (min(soft, hard), hard)
    return found


def restart(reader: Reader, value: Any, path: Path) -> str:
    # Unquoted `no` is a text here, as it is for compose.
    if value is False:
        return "no"
    if not isinstance(value, str) or not re.fullmatch(r"no|always|unless-stopped|on-failure(?::\d+)?", value):
        reader.problem(path, 'write unless-stopped, on-failure or "no"')
        return ""
    return value


def _harmless(key: str, value: Any) -> bool:
    """Keys that change nothing in the way they are written."""
    if key == "pull_policy":
        return value in ("always", "missing", "if_not_present", "never")
    if key in {"tty", "stdin_open", "privileged", "oom_kill_disable", "use_api_socket"}:
        return value is False
    return key.startswith("x-") or (key == "scale" and value == 1) or key == "attach"


def _long_port(text: str) -> dict[str, Any]:
    """`${ports.database}:5432/tcp`; what has an address too is not understood, and so refused."""
    published, _, rest = text.rpartition(":")
    target, _, protocol = rest.partition("/")
    return {"target": target, "published": published, "protocol": protocol or "tcp"}


Read = Callable[[Reader, Any, Path], Any]
# key -> field of Service, and how its value is read
_ONE: Final[dict[str, tuple[str, Read]]] = {
    "image": ("image", image),
    "command": ("command", command),
    "entrypoint": ("entrypoint", command),
    "environment": ("environment", environment),
    "labels": ("labels", labels),
    "healthcheck": ("healthcheck", healthcheck),
    "depends_on": ("depends_on", depends_on),
    "tmpfs": ("tmpfs", mounts.tmpfs),
    "secrets": ("secrets", mounts.file_mounts),
    "configs": ("configs", mounts.file_mounts),
    "ports": ("ports", ports),
    "cap_add": ("cap_add", cap_add),
    "mem_limit": ("memory", Reader.size),
    "cpus": ("cpus", Reader.number),
    "pids_limit": ("pids", Reader.whole),
    "shm_size": ("shm_size", Reader.size),
    "restart": ("restart", restart),
    "read_only": ("read_only", Reader.flag),
    "init": ("init", Reader.flag),
    "user": ("user", Reader.text),
    "working_dir": ("working_dir", Reader.folder),
    "platform": ("platform", Reader.plain),
    "stop_signal": ("stop_signal", Reader.plain),
    "stop_grace_period": ("stop_grace_period", Reader.duration),
}
# What gives several fields, or none.
_SEVERAL: Final[dict[str, Read]] = {
    "volumes": mounts.mounts,
    "networks": networks,
    "deploy": deploy,
    "ulimits": ulimits,
    "expose": nothing,
    "cap_drop": nothing,
    "security_opt": security_opt,
}
