"""What a vendor's compose file may not ask for, by name, each with what to do instead.

A key that is neither here nor understood by `policy.py` is refused too: what is not known to be safe is not allowed.
"""

from __future__ import annotations

from typing import Final

# Enough for public images that start as root, prepare their data folder and step down.
CAPABILITIES: Final = frozenset(
    {"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"}
)
RESERVED_LABELS: Final = ("com.docker.", "io.parcelle.")
# Labels by which a proxy on the same engine would take routes from us.
ROUTING_LABELS: Final = ("traefik.", "caddy")

_HOST_POWER = "remove it: it gives the container power over the machine it shares with other customers"
_NAMESPACES = "remove it: a container stays in its own namespaces"
_IDENTITY = "remove it: Parcelle names what it makes, so that two instances never meet"
_INDIRECTION = "remove it and write here what it brings in: this file must say everything itself"

SERVICE: Final[dict[str, str]] = {
    # power over the host
    "privileged": _HOST_POWER,
    "devices": _HOST_POWER,
    "device_cgroup_rules": _HOST_POWER,
    "gpus": _HOST_POWER,
    "sysctls": _HOST_POWER,
    "cgroup": _HOST_POWER,
    "cgroup_parent": _HOST_POWER,
    "oom_kill_disable": _HOST_POWER,
    "oom_score_adj": _HOST_POWER,
    "credential_spec": _HOST_POWER,
    "group_add": _HOST_POWER,
    "storage_opt": _HOST_POWER,
    "runtime": "remove it: the runtime is part of what a plan grants",
    "use_api_socket": "remove it: it hands over the engine's socket, which is root on the machine",
    "provider": "remove it: it runs a program where Parcelle's worker runs",
    "post_start": "put the commands into the image, or into `initialise` and `adopt` of blueprint.yaml",
    "pre_stop": "remove it: let the application end in order when it gets its stop signal",
    # namespaces
    "network_mode": "remove it: every instance has two networks of its own",
    "pid": _NAMESPACES,
    "ipc": _NAMESPACES,
    "uts": _NAMESPACES,
    "userns_mode": _NAMESPACES,
    # mounts
    "volumes_from": "name the volume under `volumes` of both services",
    # identity
    "container_name": _IDENTITY,
    "hostname": _IDENTITY,
    "domainname": _IDENTITY,
    "mac_address": _IDENTITY,
    "links": "remove it: services of one stack reach each other by their names",
    "external_links": "remove it: an instance reaches nothing that is not its own",
    # indirection
    "build": "build the image beforehand, push it to a registry and name it with `image`",
    "extends": _INDIRECTION,
    "env_file": "write the variables under `environment`, secrets as `${name}`",
    "label_file": _INDIRECTION,
    "profiles": "remove it, or remove the service: every service here runs",
    "develop": "remove it: instances are not developed in",
    "models": "remove it: run the model as a service of its own",
    # what Parcelle sets itself
    "logging": "remove it: Parcelle writes logs where it reads them and limits their size",
    "dns": "remove it: names are resolved by the engine",
    "dns_opt": "remove it: names are resolved by the engine",
    "dns_search": "remove it: names are resolved by the engine",
    "extra_hosts": "remove it: services of one stack reach each other by their names",
    "memswap_limit": "remove it: it always equals the memory limit, so nothing is swapped",
    "mem_reservation": "remove it and give the most the service may use with `mem_limit`",
}

DEPLOY: Final[dict[str, str]] = {
    "placement": "remove it: where instances run is the target's matter",
    "labels": "write them under `labels` of the service",
    "mode": "remove it: every service runs once",
    "endpoint_mode": "remove it: Parcelle chooses it",
    "restart_policy": "write `restart` instead",
    "update_config": "remove it: Parcelle starts the new before it stops the old where the platform can",
    "rollback_config": "remove it: Parcelle goes back by itself where the platform can",
}

TOP: Final[dict[str, str]] = {
    "include": _INDIRECTION,
    "models": "remove it: run the model as a service of its own",
}

VOLUME: Final[dict[str, str]] = {
    "driver_opts": "remove it: with it a volume can be any folder of the machine",
    "external": "remove it: an instance's volumes are made with it and belong to nobody else",
    "name": _IDENTITY,
}

NETWORK: Final[dict[str, str]] = {
    "external": "remove it: no network is shared between instances",
    "name": _IDENTITY,
    "driver": "remove it: Parcelle makes the networks",
    "driver_opts": "remove it: Parcelle makes the networks",
    "attachable": "remove it: nothing else joins an instance's networks",
    "ipam": "remove it: every network gets addresses that nobody else has",
}

FILE: Final[dict[str, str]] = {
    "file": "name the file under `compose.files` of blueprint.yaml: a path here would be one of the machine's own",
    "external": "remove it: what an instance needs is made with it",
    "name": _IDENTITY,
    "driver": "remove it: Parcelle brings the content into the container",
    "driver_opts": "remove it: Parcelle brings the content into the container",
    "template_driver": "remove it: `${name}` is filled in by Parcelle",
}
