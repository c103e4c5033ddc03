"""The second look: what `docker compose config` makes of a finished file is all that an instance may be.

The first look (`policy.py`) knows the vendor's words and their lines; this one sees what is really handed to the
engine, whatever spelling it came from, and knows no way around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from uuid import UUID

from parcelle.domain.provisioning.compose import labels, refusals
from parcelle.domain.provisioning.compose.reading import Problem
from parcelle.domain.provisioning.compose.render import BACK, FRONT, LOOPBACK, Wanted, recipe_of

_ALLOWED: Final = frozenset(
    {
        "image", "command", "entrypoint", "user", "working_dir", "platform", "stop_signal", "environment", "labels",
        "networks", "ports", "volumes", "tmpfs", "depends_on", "healthcheck", "cap_drop", "cap_add", "security_opt",
        "read_only", "pids_limit", "mem_limit", "memswap_limit", "cpus", "shm_size", "ulimits", "logging", "init",
        "restart", "stop_grace_period",
    }
)  # fmt: skip
_NETWORKS: Final = frozenset({BACK, FRONT})


def judge(model: Mapping[str, Any], spec: Wanted, *, publish: str = "") -> list[Problem]:
    """What a finished stack must not be, empty when all is well.

    `model` is the JSON of `docker compose config` of `render(spec, publish=publish)`.
    """
    judge = _Judge(
        ref=spec.ref,
        project=spec.name,
        web=recipe_of(spec.blueprint).service,
        host_ports=dict.fromkeys(spec.ports.values(), publish or LOOPBACK),
        subnets=spec.subnets,
    )
    return [Problem(key=key, line=0, sentence=sentence, file=spec.name) for key, sentence in judge.whole(model)]


Found = Iterator[tuple[str, str]]


class _Judge:
    def __init__(
        self, *, ref: UUID, project: str, web: str, host_ports: Mapping[int, str], subnets: Mapping[str, str]
    ) -> None:
        self.labels = labels.of(ref)
        self.project = project
        self.web = web
        self.host_ports = host_ports
        self.subnets = subnets

    def whole(self, model: Mapping[str, Any]) -> Found:
        if model.get("name") != self.project:
            yield "name", f"the project must be {self.project!r}"
        for key in model.keys() - {"name", "services", "networks", "volumes"}:
            yield key, "is not part of an instance"
        for name, of in model.get("services", {}).items():
            for key, sentence in self.service(name, of):
                yield f"services.{name}.{key}", sentence
        for name, of in model.get("networks", {}).items():
            for key, sentence in self.network(name, of):
                yield f"networks.{name}.{key}", sentence
        for name, of in model.get("volumes", {}).items():
            for key, sentence in self.volume(name, of or {}):
                yield f"volumes.{name}.{key}", sentence

    def service(self, name: str, of: Mapping[str, Any]) -> Found:
        for key, value in of.items():
            if key not in _ALLOWED and value not in (None, False, {}, []):
                yield key, refusals.SERVICE.get(key, "is not known to be safe")
        yield from self.rights(of)
        yield from self.limits(of)
        yield from self.labelled(of)
        for number, mount in enumerate(of.get("volumes") or ()):
            if mount.get("type") not in {"volume", "tmpfs"} or (mount["type"] == "volume" and not mount.get("source")):
                yield f"volumes.{number}", "only named volumes and tmpfs can be mounted"
        for number, port in enumerate(of.get("ports") or ()):
            leased = self.host_ports.get(int(port.get("published") or 0))
            if leased is None or leased != port.get("host_ip"):
                yield f"ports.{number}", "this port of the machine was not leased for this address"
        allowed = _NETWORKS if name == self.web else {BACK}
        for network in (of.get("networks") or {"default": None}).keys() - allowed:
            yield f"networks.{network}", "only the web service is on front, and nothing is on other networks"

    def rights(self, of: Mapping[str, Any]) -> Found:
        if of.get("cap_drop") != ["ALL"]:
            yield "cap_drop", "all capabilities must be dropped"
        if more := set(of.get("cap_add") or ()) - refusals.CAPABILITIES:
            yield "cap_add", f"{', '.join(sorted(more))} cannot be given"
        if of.get("security_opt") != ["no-new-privileges:true"]:
            yield "security_opt", "must be no-new-privileges and nothing else"

    def limits(self, of: Mapping[str, Any]) -> Found:
        required: dict[str, Callable[[Any], bool]] = {
            "mem_limit": lambda value: int(value) > 0 and value == of.get("memswap_limit"),
            "pids_limit": lambda value: int(value) > 0,
            "cpus": lambda value: float(value) > 0,
            "logging": lambda value: value.get("driver") == "json-file" and "max-size" in value.get("options", {}),
        }
        for key, holds in required.items():
            if not of.get(key) or not holds(of[key]):
                yield key, "every service has a limit"
        once = of.get("restart") == "no"
        if not once and not (of.get("healthcheck") or {}).get("test"):
            yield "healthcheck", "every service that keeps running has one"

    def labelled(self, of: Mapping[str, Any]) -> Found:
        found = of.get("labels") or {}
        for key, value in self.labels.items():
            if found.get(key) != value:
                yield f"labels.{key}", "everything of an instance carries its labels"
        for key in found:
            if key.startswith(refusals.RESERVED_LABELS) and key not in {*self.labels, labels.FILES}:
                yield f"labels.{key}", "belongs to Docker or Parcelle"

    def network(self, name: str, of: Mapping[str, Any]) -> Found:
        if name not in _NETWORKS or of.get("name") != f"{self.project}_{name}":
            yield "name", "an instance has the networks back and front of its own"
        for key in of.keys() - {"name", "ipam", "internal", "labels"}:
            yield key, refusals.NETWORK.get(key, "is not known to be safe")
        if name == BACK and of.get("internal") is not True:
            yield "internal", "back must be internal"
        subnets = [part.get("subnet") for part in (of.get("ipam") or {}).get("config") or []]
        # A template's stack has no leases: the engine chooses for the minutes it lives.
        if subnets != ([self.subnets[name]] if name in self.subnets else []):
            yield "ipam", "the network must have its leased subnet"
        yield from self.labelled(of)

    def volume(self, name: str, of: Mapping[str, Any]) -> Found:
        if of.get("name") != f"{self.project}_{name}":
            yield "name", "a volume belongs to its instance"
        for key in of.keys() - {"name", "labels"}:
            yield key, refusals.VOLUME.get(key, "is not known to be safe")
        yield from self.labelled(of)
