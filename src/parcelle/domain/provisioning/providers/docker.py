"""Instances as compose stacks on a Docker Engine, here or far away.

Everything of an instance carries its ref as a label and is found by that. What is not in the engine's own words is
noted on empty volumes: `<project>_record` says which blueprint the stack is of and what its images were pinned to,
`<project>_prepared` that its data is its own by now and must never be seeded again, `<project>_started` what it was
last started from, `template-…_sealed` that a template is whole. No lock: two stacks never wait for each other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final
from uuid import UUID, uuid5

from django.conf import settings

from parcelle.domain.catalog.blueprints import Blueprint, BlueprintError, ServiceCommand, fill
from parcelle.domain.provisioning.compose import images, inside, labels, volumes
from parcelle.domain.provisioning.compose.answers import FileRefused, NameInUse
from parcelle.domain.provisioning.compose.cli import Compose, Credential
from parcelle.domain.provisioning.compose.engine import Engine, Stack
from parcelle.domain.provisioning.compose.file import Service
from parcelle.domain.provisioning.compose.judgement import judge
from parcelle.domain.provisioning.compose.render import (
    APPLICATION,
    BACK,
    FRONT,
    Rendered,
    address_of,
    file_of,
    recipe_of,
    render,
    variables_of,
)
from parcelle.domain.provisioning.compose.values import filled
from parcelle.domain.provisioning.errors import (
    DiskFull,
    ImageMissing,
    PortTaken,
    ProvisioningError,
    SubnetTaken,
    TryAgain,
)
from parcelle.domain.provisioning.providers.base import (
    Progress,
    Spec,
    Status,
    TargetHealth,
    TemplateSpec,
)
from parcelle.domain.provisioning.providers.docker_stacks import (
    HEALTHY_SECONDS,
    LONG_SECONDS,
    STOP_SECONDS,
    TEMPLATE_PREFIX,
    DockerStacks,
)

LEAST_FREE_BYTES: Final = 1_000_000_000
RECORD, PREPARED, STARTED, SEALED = "record", "prepared", "started", "sealed"
_TEMPLATES: Final = UUID("5e3a6a4e-6d0f-4c52-9d2b-0d2c4f6f2a11")
# Who a template belongs to before it is anybody's.
_NOBODY: Final = {
    "slug": "admin",
    "email": "admin@example.com",
    "first_name": "",
    "last_name": "",
    "company": "",
    "language": "fr",
    "url": "",
}


class DockerProvider(DockerStacks):
    phases: ClassVar[tuple[str, ...]] = ("pull_images", "copy_template", "prepare_data", "start")
    template_phases: ClassVar[tuple[str, ...]] = ("pull_template", "initialise", "keep_template")
    capabilities: ClassVar[frozenset[str]] = frozenset({"application", "template"})
    subnet_purposes: tuple[str, ...] = (FRONT, BACK)

    def __init__(self, connection: Mapping[str, Any]) -> None:
        """`connection` is the engine's (`compose/engine.py`), and besides:

        "registries": host name -> {"user", "password"}; "address": under which a remote engine's machine is reached
        by the control plane, when that is not the host in its url; "namespace": a short name, different for each of
        several installations that share one engine, because they must not share templates.
        """
        engine = Engine(connection, certificates=Path(settings.HOME) / "docker")
        super().__init__(engine, Compose(host=engine.url, certificates=engine.certificates))
        self.registries = {
            host: Credential(user=of["user"], password=of["password"])
            for host, of in (connection.get("registries") or {}).items()
        }
        self._address = str(connection.get("address") or "")
        self._namespace = f"{connection['namespace']}-" if connection.get("namespace") else ""

    @classmethod
    def open(cls, connection: Mapping[str, Any]) -> DockerProvider:
        return cls(connection)

    @property
    def publishes(self) -> bool:
        """Whether the web service is reached through a port: the networks of another machine are out of reach."""
        return settings.INGRESS == "port" or not self.engine.is_local

    @property
    def port_purposes(self) -> tuple[str, ...]:
        return (APPLICATION,) if self.publishes else ()

    def check(self) -> TargetHealth:
        versions = {**self.engine.versions(), "compose": self.compose.version()}
        free = self.engine.free_bytes()
        if free is not None and free < LEAST_FREE_BYTES:
            raise DiskFull(f"Only {free // 1_000_000} MB are left on the disk of the Docker Engine: free space there.")
        if free is not None:
            versions["disk"] = f"{free / 1e9:.0f} GB free"
        return TargetHealth(versions=versions, running=self.engine.running())

    def port_is_free(self, port: int) -> bool:
        return self.engine.port_is_free(port)

    # --- template ---------------------------------------------------------------------------------------

    def build(self, spec: TemplateSpec, phase: str, progress: Progress) -> None:
        template = self._template(spec.blueprint, spec.secrets)
        stack = self.engine.stack(template.ref)
        if _name(template, SEALED) in stack.volumes:
            return
        if phase == "pull_template":
            self._pin(template, stack, progress, fresh=True)
        elif phase == "initialise":
            self._initialise_template(template, stack, progress)
        else:
            self._seal(template, stack)

    def _template(self, blueprint: Blueprint, secrets: Mapping[str, str] | None = None) -> Spec:
        """The template as a stack of its own."""
        name = f"{TEMPLATE_PREFIX}{self._namespace}{blueprint.version_key.replace('_', '-')}"
        return Spec(
            ref=uuid5(_TEMPLATES, name),
            name=name,
            blueprint=blueprint,
            variables={**blueprint.defaults, **_NOBODY},
            secrets=secrets or {},
        )

    def _initialise_template(self, template: Spec, stack: Stack, progress: Progress) -> None:
        recipe = recipe_of(template.blueprint)
        if not recipe.seed_volumes:
            return
        # Initialising a second time on top of something half-made is not what applications promise.
        self._clear(stack)
        if recipe.initialise:
            self._perform(template, stack, recipe.initialise, progress)
        else:
            # Nothing to be told: the services fill their volumes by starting.
            self._up(template, self._render(template, _pinned(stack)), stack, _pinned(stack))

    def _seal(self, template: Spec, stack: Stack) -> None:
        self.engine.remove_helpers(stack)
        if stack.parts or stack.networks:
            self.compose.down(stack.project, volumes=False, timeout=STOP_SECONDS)
        lacking = [name for name in _seeds(template) if name not in stack.volumes]
        if lacking:
            raise ProvisioningError(f"initialising made no volume {', '.join(lacking)}: check seed_volumes")
        volumes.note(self.engine, template.ref, template.name, SEALED)

    def discard_template(self, blueprint: Blueprint) -> None:
        self.destroy(self._template(blueprint).ref)

    def has_template(self, blueprint: Blueprint) -> bool:
        template = self._template(blueprint)
        there = self.engine.stack(template.ref).volumes
        return all(name in there for name in (_name(template, SEALED), *_seeds(template)))

    # --- one stack --------------------------------------------------------------------------------------

    def describe(self, spec: Spec) -> Mapping[str, str]:
        return {}

    def endpoint(self, spec: Spec) -> str:
        if self.publishes:
            return f"http://{self._address or self.engine.host}:{spec.ports[APPLICATION]}"
        return f"http://{address_of(spec)}:{recipe_of(spec.blueprint).port}"

    def ensure(self, spec: Spec, phase: str, progress: Progress) -> None:
        stack = self.engine.stack(spec.ref)
        # A stack that was made as a standby keeps that name.
        spec = replace(spec, name=stack.project or spec.name)
        if phase == "pull_images":
            self._pin(spec, stack, progress)
        elif phase == "copy_template":
            self._copy_template(spec, stack, progress)
        elif phase == "prepare_data":
            self._prepare_data(spec, stack, progress)
        else:
            self._start(spec, stack, progress)

    def _pin(self, spec: Spec, stack: Stack, progress: Progress, *, fresh: bool = False) -> None:
        """Fetches the images, and notes what their names mean now: for this stack they mean it for ever."""
        file = file_of(spec.blueprint, granted=spec.ports)
        named = sorted({_image(spec, service) for service in file.services.values()})
        noted = json.loads(stack.notes.get(labels.SERVICES, "[]"))
        pinned = _pinned(stack)
        if set(named) <= pinned.keys() and noted == sorted(file.services):
            return
        self._refuse_foreign(spec)
        self._check_file(spec)
        pinned = _pinned(self.engine.stack(self._template(spec.blueprint).ref)) | pinned
        for number, image in enumerate(named):
            progress(image, number / len(named))
            report = lambda line: progress(line, None)  # noqa: E731
            resolve = partial(images.resolve, self.engine, credentials=self.registries, fresh=fresh, report=report)
            try:
                pinned[image] = resolve(pinned.get(image, image))
            except ImageMissing:
                # The template's is gone, and nothing of this stack was ever made from it.
                pinned[image] = resolve(image)
        volumes.remove(self.engine, _name(spec, RECORD))
        said = {
            labels.BLUEPRINT: spec.blueprint.name,
            labels.SERVICES: json.dumps(sorted(file.services)),
            labels.DATA: json.dumps(sorted(file.volumes)),
            labels.IMAGES: json.dumps({name: pinned[name] for name in named}),
        }
        volumes.note(self.engine, spec.ref, spec.name, RECORD, said)

    def _check_file(self, spec: Spec) -> None:
        """What compose makes of the file must be what an instance may be."""
        problems = judge(self.compose.config(self._render(spec, {})), spec, publish=self._published(spec))
        if problems:
            raise FileRefused("; ".join(map(str, problems)))

    def _copy_template(self, spec: Spec, stack: Stack, progress: Progress) -> None:
        recipe = recipe_of(spec.blueprint)
        if not recipe.seed_volumes or self._is_prepared(spec, stack):
            return
        template = self._template(spec.blueprint)
        if not self.has_template(spec.blueprint):
            raise ProvisioningError(f"the template of {spec.blueprint.name} is gone from the engine: build it again")
        self.engine.remove_helpers(stack)
        if stack.parts:
            self.compose.down(spec.name, volumes=False, timeout=STOP_SECONDS)
        pinned = _pinned(stack)
        for number, volume in enumerate(recipe.seed_volumes):
            progress(volume, number / len(recipe.seed_volumes))
            volumes.copy(
                self.engine,
                spec.ref,
                self._image_with(spec, volume, pinned),
                source=_name(template, volume),
                destination=volumes.create(self.engine, spec.ref, spec.name, volume),
            )

    def _prepare_data(self, spec: Spec, stack: Stack, progress: Progress) -> None:
        """Makes the data the instance's own, while only what that needs is running."""
        if _name(spec, PREPARED) in stack.volumes:
            return
        commands = _preparing(spec)
        if commands and not self._is_prepared(spec, stack):
            if recipe_of(spec.blueprint).seed_volumes:
                self.engine.remove_helpers(stack)
            else:
                self._clear(stack)
            self._perform(spec, stack, commands, progress)
        volumes.note(self.engine, spec.ref, spec.name, PREPARED)

    def _start(self, spec: Spec, stack: Stack, progress: Progress) -> None:
        lost = [name for name in _seeds(spec) if name not in stack.volumes]
        if lost and _name(spec, PREPARED) in stack.volumes:
            raise ProvisioningError(f"the volume {', '.join(lost)} is gone: bring it back from a backup")
        pinned = _pinned(stack)
        rendered = self._render(spec, pinned)
        if self._observed(stack).status is Status.RUNNING and self._is_unchanged(stack, rendered):
            return
        volumes.remove(self.engine, _name(spec, STARTED))
        progress("", None)
        self._up(spec, rendered, stack, pinned)
        # Compose is content with what was healthy once.
        stack = self.engine.stack(spec.ref)
        seen = self._observed(stack)
        if seen.status is Status.FAILED:
            raise ProvisioningError(seen.detail)
        said = {labels.STARTED: _fingerprint(stack, rendered)}
        volumes.note(self.engine, spec.ref, spec.name, STARTED, said)

    def _is_unchanged(self, stack: Stack, rendered: Rendered) -> bool:
        """Asked before `up`, which runs what runs only once again every time."""
        if stack.notes.get(labels.STARTED) == _fingerprint(stack, rendered):
            return True
        return {part.service: part.config_hash for part in stack.parts} == self.compose.hashes(rendered)

    def _up(self, spec: Spec, rendered: Rendered, stack: Stack, pinned: Mapping[str, str], *services: str) -> None:
        """`docker compose up` with all that it takes for granted."""
        self._refuse_foreign(spec)
        subnets = {f"{spec.name}_{purpose}": subnet for purpose, subnet in spec.subnets.items()}
        if any(subnets.get(name, subnet) != subnet for name, subnet in stack.networks.items()):
            # Compose leaves a network that exists as it is, whatever the file says.
            self.compose.down(spec.name, volumes=False, timeout=STOP_SECONDS)
        self._bring_files(spec, rendered)
        try:
            self.compose.up(rendered, timeout=HEALTHY_SECONDS, services=services)
        except ImageMissing:
            # Somebody tidied up since it was fetched.
            for image in pinned.values():
                images.resolve(self.engine, image, credentials=self.registries)
            self.compose.up(rendered, timeout=HEALTHY_SECONDS, services=services)
        except (SubnetTaken, NameInUse, PortTaken) as error:
            if _is_by_itself(error, self.engine.stack(spec.ref)):
                raise TryAgain(f"something else is still making this stack: {error.detail}") from error
            raise

    def _bring_files(self, spec: Spec, rendered: Rendered) -> None:
        for volume in rendered.file_volumes:
            name = volumes.create(self.engine, spec.ref, spec.name, volume.key)
            folder = "/files"
            volumes.fill(self.engine, spec.ref, volume.image, {folder: name}, volume.archive(folder))

    def _refuse_foreign(self, spec: Spec) -> None:
        file = file_of(spec.blueprint, granted=spec.ports)
        named = [_name(spec, volume) for volume in (*file.volumes, RECORD, PREPARED, STARTED)]
        look = partial(
            self.engine.foreign,
            spec.ref,
            containers=[f"{spec.name}-{service}-1" for service in file.services],
            networks=[f"{spec.name}_{purpose}" for purpose in self.subnet_purposes],
            volumes=named,
        )
        if not look():
            return
        volumes.remove_stillborn(self.engine, spec.ref, named)
        own = {f"volume/{name}" for name in self.engine.stack(spec.ref).unlabelled}
        foreign = look()
        if own and own.issuperset(foreign):
            raise TryAgain(f"something else is still making this stack: {', '.join(foreign)}")
        if foreign:
            raise NameInUse(
                f"{', '.join(foreign)} exists on the engine and is not part of this stack: remove or rename it"
            )

    def _perform(self, spec: Spec, stack: Stack, commands: Sequence[ServiceCommand], progress: Progress) -> None:
        """Runs a recipe's commands, one after the other.

        One for a service that waits for others to run gets a container of its own, because the service itself may
        not be able to run yet. Any other is run inside its service, which is started for that.
        """
        rendered = self._render(spec, _pinned(stack))
        backing = sorted(_backing(spec, commands))
        if backing:
            self._up(spec, rendered, stack, _pinned(stack), *backing)
        else:
            # What the commands' own containers depend on is started by compose.
            self._bring_files(spec, rendered)
        variables = {**spec.variables, **spec.secrets}
        secrets = tuple(spec.secrets.values())
        for number, command in enumerate(commands):
            words = [str(word) for word in fill(command.run, variables)]
            share = number / len(commands)
            report = lambda line, share=share: progress(line, share)  # noqa: E731
            progress(command.service, share)
            if command.service not in backing:
                inside.once(
                    self.compose,
                    rendered,
                    command.service,
                    words,
                    timeout=LONG_SECONDS,
                    user=command.user,
                    report=report,
                )
            else:
                part = self._running_part(spec.ref, command.service)
                inside.run(
                    self.engine, part, words, timeout=LONG_SECONDS, user=command.user, report=report, secrets=secrets
                )

    def _is_prepared(self, spec: Spec, stack: Stack) -> bool:
        if _name(spec, PREPARED) in stack.volumes:
            return True
        web = stack.part(recipe_of(spec.blueprint).service)
        # Where the application itself was started, and not for preparing, the note is what is missing.
        return web is not None and web.was_started and web.service not in _backing(spec, _preparing(spec))

    def _clear(self, stack: Stack) -> None:
        """Removes everything but the notes."""
        self.engine.remove_helpers(stack)
        if stack.parts or stack.networks or set(stack.volumes) - {volumes.name_of(stack.project, RECORD)}:
            self.compose.down(stack.project, volumes=True, timeout=STOP_SECONDS)
        for name in stack.unlabelled:
            volumes.remove(self.engine, name)

    def _image_with(self, spec: Spec, volume: str, pinned: Mapping[str, str]) -> str:
        services = list(file_of(spec.blueprint, granted=spec.ports).services.values())
        using = [service for service in services if any(mount.source == volume for mount in service.volumes)]
        image = _image(spec, (using or services)[0])
        return pinned.get(image, image)

    def _render(self, spec: Spec, pinned: Mapping[str, str]) -> Rendered:
        return render(spec, publish=self._published(spec), images=pinned)

    def _published(self, spec: Spec) -> str:
        """The address of the engine's machine on which the application is published; "" when it is not."""
        if not self.publishes or APPLICATION not in spec.ports:
            return ""
        return settings.TENANTS_BIND if self.engine.is_local else self._address or "0.0.0.0"  # noqa: S104


def _fingerprint(stack: Stack, rendered: Rendered) -> str:
    """Of the file, and of what compose made of it. Keyed with the ref: equal files of two customers do not show."""
    digest = hashlib.sha256(stack.ref.bytes + rendered.text.encode())
    for part in sorted(stack.parts, key=lambda part: part.service):
        digest.update(f"{part.service} {part.config_hash}\n".encode())
    return digest.hexdigest()


def _is_by_itself(error: ProvisioningError, now: Stack) -> bool:
    """Whether a stack is in its own way: what a dead worker had begun goes on, or an engine that was started again."""
    if isinstance(error, SubnetTaken):
        return f"{now.project}_{error.purpose}" in now.networks
    if isinstance(error, PortTaken):
        return any(part.state in {"running", "restarting"} and error.port in part.ports for part in now.parts)
    return any(part.name in error.detail for part in now.parts)


def _image(spec: Spec, service: Service) -> str:
    """As the engine would be asked for it."""
    return filled(service.image, variables_of(spec))


def _pinned(stack: Stack) -> dict[str, str]:
    """image as the blueprint names it -> what it means for this stack."""
    return dict(json.loads(stack.notes.get(labels.IMAGES, "{}")))


def _name(spec: Spec, volume: str) -> str:
    return volumes.name_of(spec.name, volume)


def _seeds(spec: Spec) -> list[str]:
    return [_name(spec, volume) for volume in recipe_of(spec.blueprint).seed_volumes]


def _preparing(spec: Spec) -> Sequence[ServiceCommand]:
    """What makes a stack's data its own."""
    recipe = recipe_of(spec.blueprint)
    return recipe.adopt if recipe.seed_volumes else recipe.initialise


def _backing(spec: Spec, commands: Sequence[ServiceCommand]) -> set[str]:
    """The services in which commands are run, because they wait for no other one to run before they can."""
    services = file_of(spec.blueprint, granted=spec.ports).services
    unknown = {command.service for command in commands} - services.keys()
    if unknown:
        raise BlueprintError(f"{spec.blueprint.name}: commands are for unknown services: {', '.join(sorted(unknown))}")
    waiting = {
        name
        for name, service in services.items()
        if any(of.condition != "service_completed_successfully" for of in service.depends_on.values())
    }
    return {command.service for command in commands} - waiting
