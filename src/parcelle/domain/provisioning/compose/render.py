"""One instance's complete compose file: everything explicit, nothing left for an environment to decide.

Deterministic: equal input gives equal bytes, so that converging an unchanged stack changes nothing.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import UUID

from parcelle.domain.catalog.blueprints import Blueprint, BlueprintError, ComposeRecipe
from parcelle.domain.provisioning.compose import labels, policy
from parcelle.domain.provisioning.compose.file import ComposeFile, FileMount, Service
from parcelle.domain.provisioning.compose.files import FileVolume, GivenFile, folders
from parcelle.domain.provisioning.compose.limits import Share, shares
from parcelle.domain.provisioning.compose.reading import Grants
from parcelle.domain.provisioning.compose.text import doubled, text_of
from parcelle.domain.provisioning.compose.values import filled

BACK: Final = "back"
FRONT: Final = "front"
APPLICATION: Final = "application"
LOOPBACK: Final = "127.0.0.1"
_TEMPORARY: Final = {"/tmp": "mode=1777,size=64m", "/run": "mode=755,size=16m"}  # noqa: S108
# As patient as the engine itself: older ones leave a check that took too long running, and start the next beside it.
_HEALTHCHECK: Final = {"interval": "5s", "timeout": "30s", "retries": 12, "start_period": "30s"}
_LOGGING: Final = {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
_GRACE: Final = "30s"


class Wanted(Protocol):
    """What of a provider's `Spec` decides how a stack looks."""

    @property
    def ref(self) -> UUID: ...
    @property
    def name(self) -> str: ...
    @property
    def blueprint(self) -> Blueprint: ...
    @property
    def variables(self) -> Mapping[str, str]: ...
    @property
    def secrets(self) -> Mapping[str, str]: ...
    @property
    def ports(self) -> Mapping[str, int]: ...
    @property
    def subnets(self) -> Mapping[str, str]: ...
    @property
    def limits(self) -> Mapping[str, float]: ...


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A compose file ready for `docker compose -f -`, and what goes with it."""

    project: str
    text: str = field(repr=False)
    # To be filled before services start; empty where no service is given files.
    file_volumes: tuple[FileVolume, ...] = ()
    # Values to remove from everything that is shown.
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def secret_files(self) -> Mapping[str, Mapping[str, bytes]]:
        """service -> path -> content."""
        found: dict[str, dict[str, bytes]] = {}
        for volume in self.file_volumes:
            found.setdefault(volume.service, {}).update({file.path: file.content for file in volume.files})
        return found


def render(spec: Wanted, *, publish: str = "", images: Mapping[str, str] | None = None) -> Rendered:
    """The stack of `spec`. Raises BlueprintError for a blueprint that cannot be rendered, with every reason.

    `publish` is the address of the machine (such as 127.0.0.1) on which the web service gets the leased port
    `application`; without it nothing of the machine is used. `images` maps images to what they are pinned to
    ("repository@sha256:…" or an image's id).
    """
    stack = _Stack(spec, publish=publish, images=images or {})
    volumes = stack.file_volumes()
    return Rendered(
        project=spec.name,
        text=text_of(stack.model(volumes)),
        file_volumes=volumes,
        secrets=tuple(dict.fromkeys(spec.secrets.values())),
    )


def normalised(spec: Wanted, *, publish: str = "", images: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The same stack in the shape of `docker compose config --format json`, secrets and configs as the file has them.

    As there, a literal `$` is doubled. `contents` says what is in the secrets and configs.
    """
    found: dict[str, Any] = doubled(_Stack(spec, publish=publish, images=images or {}).model(None))
    return found


def contents(spec: Wanted) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """(secrets, configs) that services are given: name -> text."""
    stack = _Stack(spec, publish="", images={})
    found: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for service in stack.file.services.values():
        for mount in service.files:
            found[0 if mount.is_secret else 1][mount.source] = stack.fill(stack.file.contents[mount.source])
    return found


def variables_of(spec: Wanted) -> dict[str, Any]:
    """Every `${name}` that a compose file may use, and its value."""
    return {
        **spec.variables,
        **spec.secrets,
        **{f"ports.{purpose}": port for purpose, port in spec.ports.items()},
        "ref": str(spec.ref),
        "stack": spec.name,
    }


def file_of(blueprint: Blueprint, *, granted: Iterable[str] = ()) -> ComposeFile:
    """The blueprint's compose file after the first look at it. Raises BlueprintError with every problem."""
    recipe = recipe_of(blueprint)
    paths = [blueprint.folder / name for name in (recipe.file, *recipe.files.values())]
    if not all(path.resolve().is_relative_to(blueprint.folder.resolve()) for path in paths):
        raise BlueprintError(
            f"{blueprint.name}: a file of `compose` lies outside the blueprint's folder: copy it there"
        )
    try:
        changed = tuple(path.stat().st_mtime_ns for path in paths)
    except OSError as error:
        raise BlueprintError(f"{blueprint.name}: {error.filename} cannot be read") from None
    return _looked_at(blueprint.folder, recipe.file, tuple(recipe.files.items()), frozenset(granted), changed)


def recipe_of(blueprint: Blueprint) -> ComposeRecipe:
    if blueprint.compose is None:
        raise BlueprintError(f"the blueprint {blueprint.name!r} has no `compose` section")
    return blueprint.compose


@lru_cache(maxsize=100)
def _looked_at(
    folder: Path, name: str, files: tuple[tuple[str, str], ...], granted: frozenset[str], _changed: tuple[int, ...]
) -> ComposeFile:
    try:
        given = {key: (folder / path).read_text(encoding="utf-8") for key, path in files}
        text = (folder / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BlueprintError(f"{folder.name}: {name} or a file of `compose.files` is not UTF-8 text") from None
    found = policy.look(text, name=name, files=given, grants=Grants(ports=granted))
    if found.problems:
        raise BlueprintError("\n".join(map(str, found.problems)))
    return found.file


# --- the model ----------------------------------------------------------------------------------------------


class _Stack:
    def __init__(self, spec: Wanted, *, publish: str, images: Mapping[str, str]) -> None:
        self.spec = spec
        self.recipe = recipe_of(spec.blueprint)
        self.file = file_of(spec.blueprint, granted=set(spec.ports) - {APPLICATION})
        self.publish = publish
        self.images = images
        self.variables = variables_of(spec)
        self.labels = labels.of(spec.ref)
        self.shares = shares(self.file, self.recipe.limits, spec.limits)
        if self.recipe.service not in self.file.services:
            raise BlueprintError(f"compose.service: there is no service {self.recipe.service!r} in {self.recipe.file}")

    def fill(self, template: str) -> str:
        return filled(template, self.variables)

    def image(self, service: Service) -> str:
        name = self.fill(service.image)
        return self.images.get(name, name)

    def file_volumes(self) -> tuple[FileVolume, ...]:
        """One for every folder in which a service finds files: the engine mounts folders, not parts of them."""
        return tuple(
            FileVolume(
                key=key,
                name=f"{self.spec.name}_{key}",
                service=name,
                image=self.image(service),
                folder=folder,
                files=tuple(self._given(mount) for mount in mounts),
            )
            for name, service in self.file.services.items()
            for key, folder, mounts in folders(name, service, self.file.volumes)
        )

    def _given(self, mount: FileMount) -> GivenFile:
        content = self.fill(self.file.contents[mount.source]).encode()
        return GivenFile(path=mount.target, content=content, uid=mount.uid, gid=mount.gid, mode=mount.mode)

    def model(self, volumes: tuple[FileVolume, ...] | None) -> dict[str, Any]:
        """`volumes` bring the files in; None leaves secrets and configs to the platform."""
        named = (*self.file.volumes, *(volume.key for volume in volumes or ()))
        found: dict[str, Any] = {
            "name": self.spec.name,
            "services": {name: self.service(name, volumes) for name in self.file.services},
            "networks": {BACK: self.network(BACK), FRONT: self.network(FRONT)},
            "volumes": {name: {"labels": dict(self.labels)} for name in named},
        }
        if volumes is None:
            mounts = [mount for service in self.file.services.values() for mount in service.files]
            for key, secret in (("secrets", True), ("configs", False)):
                names = dict.fromkeys(mount.source for mount in mounts if mount.is_secret is secret)
                found[key] = {name: {"name": f"{self.spec.name}_{name}"} for name in names}
        return found

    def service(self, name: str, volumes: tuple[FileVolume, ...] | None) -> dict[str, Any]:
        service, share = self.file.services[name], self.shares[name]
        own = [volume for volume in volumes or () if volume.service == name]
        found: dict[str, Any] = {"image": self.image(service)}
        for key, words in (("entrypoint", service.entrypoint), ("command", service.command)):
            if words is not None:
                found[key] = [self.fill(word) for word in words]
        for key in ("user", "working_dir", "platform", "stop_signal"):
            if text := getattr(service, key):
                found[key] = self.fill(text)
        if service.environment:
            found["environment"] = {key: self.fill(text) for key, text in service.environment.items()}
        found["labels"] = {key: self.fill(text) for key, text in service.labels.items()} | dict(self.labels)
        if own:
            found["labels"][labels.FILES] = self._fingerprint(own)
        found["networks"] = self.networks(name, service)
        several = {
            "ports": self.ports(name, service),
            "volumes": self.mounts(service, own),
            "tmpfs": [f"{target}:{options}" for target, options in sorted(_temporary(service, own).items())],
            "depends_on": {
                other: {"condition": of.condition, "required": of.required} | ({"restart": True} if of.restart else {})
                for other, of in service.depends_on.items()
            },
        }
        found |= {key: value for key, value in several.items() if value}
        if volumes is None:
            found |= _given_by_platform(service)
        if service.healthcheck and name not in self.file.one_shots:
            test = [self.fill(word) for word in service.healthcheck["test"]]
            found["healthcheck"] = {**_HEALTHCHECK, **service.healthcheck, "test": test}
        return found | self.hardening(name, service, share)

    def hardening(self, name: str, service: Service, share: Share) -> dict[str, Any]:
        # What runs once is run again by the next converging, not by the engine.
        restart = "no" if name in self.file.one_shots else service.restart or "unless-stopped"
        shared = {"shm_size": service.shm_size} if service.shm_size else {}
        return {
            "cap_drop": ["ALL"],
            **({"cap_add": list(service.cap_add)} if service.cap_add else {}),
            "security_opt": ["no-new-privileges:true"],
            "read_only": service.read_only,
            "pids_limit": share.pids,
            "mem_limit": share.memory,
            "memswap_limit": share.memory,
            "cpus": share.cpus,
            **shared,
            "ulimits": {"nofile": {"soft": service.nofile[0], "hard": service.nofile[1]}},
            "logging": _LOGGING,
            "init": service.init,
            "restart": "unless-stopped" if restart == "always" else restart,
            "stop_grace_period": service.stop_grace_period or _GRACE,
        }

    def mounts(self, service: Service, own: list[FileVolume]) -> list[dict[str, Any]]:
        found = [
            {"type": "volume", "source": mount.source, "target": mount.target}
            | ({"read_only": True} if mount.read_only else {})
            | ({"volume": {"nocopy": True}} if mount.nocopy else {})
            for mount in service.volumes
        ]
        found += [
            {
                "type": "volume",
                "source": volume.key,
                "target": volume.folder,
                "read_only": True,
                "volume": {"nocopy": True},
            }
            for volume in own
        ]
        return found

    def networks(self, name: str, service: Service) -> dict[str, Any]:
        found: dict[str, Any] = {BACK: {"aliases": list(service.aliases)} if service.aliases else {}}
        if name == self.recipe.service:
            found[FRONT] = {"ipv4_address": address_of(self.spec)} if FRONT in self.spec.subnets else {}
        return found

    def network(self, purpose: str) -> dict[str, Any]:
        found: dict[str, Any] = {"internal": purpose == BACK, "labels": dict(self.labels)}
        if purpose in self.spec.subnets:
            subnet = ipaddress.IPv4Network(self.spec.subnets[purpose])
            # On `front` the lower half is for fixed addresses; on `back` nothing has one.
            free = list(subnet.subnets())[1] if purpose == FRONT else subnet
            found["ipam"] = {
                "config": [{"subnet": str(subnet), "gateway": str(subnet[1]), "ip_range": str(free)}],
            }
        return found

    def ports(self, name: str, service: Service) -> list[dict[str, Any]]:
        found = [(port.target, self.spec.ports[port.purpose], port.protocol) for port in service.ports]
        if self.publish and name == self.recipe.service:
            found.insert(0, (self.recipe.port, self.spec.ports[APPLICATION], "tcp"))
        return [
            {
                "mode": "ingress",
                "host_ip": self.publish or LOOPBACK,
                "target": target,
                "published": str(published),
                "protocol": protocol,
            }
            for target, published, protocol in found
        ]

    def _fingerprint(self, volumes: list[FileVolume]) -> str:
        """Changes with the files. Keyed with the ref: equal files of two customers do not show."""
        digest = hashlib.sha256(self.spec.ref.bytes)
        for volume in volumes:
            for file in volume.files:
                digest.update(f"{file.path} {file.uid} {file.gid} {file.mode} {len(file.content)} ".encode())
                digest.update(file.content)
        return digest.hexdigest()[:16]


def address_of(spec: Wanted) -> str:
    """Where the web service is reached from the engine's machine: its fixed address on `front`."""
    return str(ipaddress.IPv4Network(spec.subnets[FRONT])[2])


def _temporary(service: Service, own: list[FileVolume]) -> dict[str, str]:
    """Writable folders in memory; a read-only root has the two that nearly every program wants."""
    mounted = {mount.target for mount in service.volumes} | {volume.folder for volume in own}
    default = _TEMPORARY if service.read_only else {}
    return {target: options for target, options in {**default, **service.tmpfs}.items() if target not in mounted}


def _given_by_platform(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for mount in service.files:
        found.setdefault("secrets" if mount.is_secret else "configs", []).append(
            {
                "source": mount.source,
                "target": mount.target,
                "uid": str(mount.uid),
                "gid": str(mount.gid),
                "mode": f"{mount.mode:04o}",
            }
        )
    return found
