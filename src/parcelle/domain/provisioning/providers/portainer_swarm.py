"""What is different about a Portainer environment that is a Swarm: the stack's text, its state, where its tasks run.

The text goes through `docker stack deploy`, which reads an older dialect than compose: limits have another place,
temporary folders must be mounts, and it neither waits nor fails. Two things it cannot say are left out knowingly:
no-new-privileges, which it drops without a word, and the order of starting. Leased addresses are for bridges.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from parcelle.core.logs import redact
from parcelle.domain.provisioning.compose import labels, render
from parcelle.domain.provisioning.compose.text import text_of
from parcelle.domain.provisioning.errors import ProvisioningError
from parcelle.domain.provisioning.providers.base import Observation, Spec, Status
from parcelle.domain.provisioning.providers.portainer_engine import ProxiedEngine

_KEPT: Final = (
    *("image", "entrypoint", "command", "user", "working_dir", "environment", "healthcheck", "cap_drop", "cap_add"),
    *("read_only", "init", "stop_grace_period", "stop_signal", "ulimits", "logging"),
)
# States in which a task will not run any more by itself.
_OVER: Final = frozenset({"failed", "rejected", "orphaned"})


def text(spec: Spec, *, home: str) -> tuple[str, Mapping[str, bytes]]:
    """The stack's file, and the Swarm secrets that it refers to: name -> content.

    `home` is the id of the node that keeps the volumes: they stay where they were made.
    """
    model = render.normalised(spec, publish="0.0.0.0")  # noqa: S104
    secrets: dict[str, bytes] = {}
    named: dict[str, str] = {}
    for found in render.contents(spec):
        for name, content in found.items():
            digest = hashlib.sha256(spec.ref.bytes + content.encode()).hexdigest()[:12]
            named[name] = f"{spec.name}_{name}_{digest}"
            secrets[named[name]] = content.encode()
    services = {name: _service(service, home) for name, service in model["services"].items()}
    known = model["networks"]
    networks = {
        name: {"driver": "overlay", "internal": network["internal"], "labels": network["labels"]}
        for name, network in known.items()
    }
    file = {
        "version": "3.9",
        "services": services,
        "networks": networks,
        "volumes": model["volumes"],
        "secrets": {name: {"external": True, "name": outside} for name, outside in named.items()},
    }
    # Its texts have their dollars doubled already.
    return text_of(_single(file)), secrets


def _service(model: Mapping[str, Any], home: str) -> dict[str, Any]:
    found = {key: model[key] for key in _KEPT if key in model}
    once = model["restart"] == "no"
    found["labels"] = model["labels"]
    found["networks"] = {
        name: {"aliases": of["aliases"]} if of.get("aliases") else {} for name, of in model["networks"].items()
    }
    found["volumes"] = [*model.get("volumes", ()), *map(_tmpfs, model.get("tmpfs", ()))]
    given = [*model.get("secrets", ()), *model.get("configs", ())]
    if given:
        found["secrets"] = [{**one, "mode": int(one["mode"], 8)} for one in given]
    if ports := model.get("ports"):
        # Not through the routing mesh, which not every kernel has.
        found["ports"] = [
            {"target": p["target"], "published": int(p["published"]), "protocol": p["protocol"], "mode": "host"}
            for p in ports
        ]
    keeps = any(mount["type"] == "volume" for mount in model.get("volumes", ()))
    found["deploy"] = {
        **({"placement": {"constraints": [f"node.id == {home}"]}} if keeps else {}),
        "labels": model["labels"],
        "endpoint_mode": "dnsrr",
        "resources": {
            "limits": {"memory": f"{model['mem_limit']}", "cpus": f"{model['cpus']}", "pids": model["pids_limit"]}
        },
        "restart_policy": {"condition": "on-failure" if once else "any", "delay": "2s"},
        # A host's port can be held once: the new task waits for the old one to go.
        "update_config": {"order": "stop-first" if ports else "start-first", "failure_action": "rollback"},
    }
    return found


def _tmpfs(entry: str) -> dict[str, Any]:
    target, _colon, options = entry.partition(":")
    size = next((word.partition("=")[2] for word in options.split(",") if word.startswith("size=")), "64m")
    unit = {"k": 1024, "m": 1024**2, "g": 1024**3}.get(size[-1].lower(), 1)
    return {"type": "tmpfs", "target": target, "tmpfs": {"size": int(size.rstrip("kmgKMG")) * unit}}


def _single(value: Any) -> Any:
    """Undoes the doubling of `normalised`, which writing the text does once more."""
    if isinstance(value, Mapping):
        return {key: _single(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_single(inner) for inner in value]
    return value.replace("$$", "$") if isinstance(value, str) else value


def observation(engine: ProxiedEngine, name: str) -> Observation:
    """From tasks and updates: `docker stack deploy` has called all of them a success."""
    services = engine.services(f"{labels.SWARM_STACK}={name}")
    if not services:
        return Observation(Status.ABSENT)
    unready = []
    for service in services:
        full = service["Spec"]["Name"]
        state = (service.get("UpdateStatus") or {}).get("State", "")
        if state == "updating":
            unready.append(full)
            continue
        if state.startswith("rollback") or state == "paused":
            return Observation(Status.FAILED, f"the update of {full} was given up: {state}")
        failure, ready = _tasks(engine, full, service)
        if failure:
            return Observation(Status.FAILED, failure)
        if not ready:
            unready.append(full)
    if unready:
        return Observation(Status.CREATING, ", ".join(sorted(unready)))
    return Observation(Status.RUNNING)


def _tasks(engine: ProxiedEngine, name: str, service: Mapping[str, Any]) -> tuple[str, bool]:
    """(why it will not run, whether it runs as often as it should or has done what it had to)"""
    tasks = engine.tasks(name)
    states = [task["Status"]["State"] for task in tasks]
    policy = (service["Spec"]["TaskTemplate"].get("RestartPolicy") or {}).get("Condition", "any")
    if policy != "any" and "complete" in states:
        return "", True
    wanted = ((service["Spec"].get("Mode") or {}).get("Replicated") or {}).get("Replicas", 1)
    if states.count("running") >= wanted:
        return "", True
    # One failure may be a service that starts before what it needs; three are a state.
    since = service["UpdatedAt"][:19]
    failed = [task for task in tasks if task["Status"]["State"] in _OVER and task["CreatedAt"][:19] >= since]
    if len(failed) >= 3 or (failed and states[0] == "rejected"):
        return redact(f"{name}: {failed[0]['Status'].get('Err') or failed[0]['Status'].get('Message', '')}")[
            :500
        ], False
    return "", False


def container(engine: ProxiedEngine, name: str, service: str, *, agent: bool) -> tuple[Mapping[str, Any], str]:
    """The running container of a service, and its node where the environment's agents pass requests on."""
    for task in engine.tasks(f"{name}_{service}"):
        if task["Status"]["State"] != "running":
            continue
        node = str(engine.node(task["NodeID"])["Description"]["Hostname"]) if agent else ""
        identifier = task["Status"]["ContainerStatus"]["ContainerID"]
        return engine.inspect(identifier, node=node), node
    raise ProvisioningError(f"the service {service} does not run")


def address(engine: ProxiedEngine, name: str, service: str) -> str:
    """Of the node on which a service runs now: its port is that node's. "" while it runs nowhere."""
    for task in engine.tasks(f"{name}_{service}"):
        if task["Status"]["State"] == "running":
            found = str((engine.node(task["NodeID"]).get("Status") or {}).get("Addr") or "")
            # A manager alone may not know its own.
            return "" if found in {"0.0.0.0", "127.0.0.1"} else found  # noqa: S104
    return ""
