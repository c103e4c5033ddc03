"""Instances as stacks of a Portainer environment, from text or from the vendor's Git repository.

A stack is found again by the variable PARCELLE_INSTANCE in its record, whatever it is called; an empty volume on the
engine (the note) remembers ref and name before the first record exists and after the last one is gone, because a server
of the older generation keeps no record of a deployment that failed, but what that left behind blocks the name.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Final
from uuid import UUID

import yaml
from django.conf import settings

from parcelle.core import turns
from parcelle.core.logs import redact
from parcelle.domain.catalog import blueprints
from parcelle.domain.catalog.blueprints import Blueprint, BlueprintError, ComposeRecipe, ServiceCommand, fill
from parcelle.domain.provisioning.compose import answers, labels, render
from parcelle.domain.provisioning.compose.files import FileVolume
from parcelle.domain.provisioning.compose.parts import Part
from parcelle.domain.provisioning.errors import (
    CannotBeSaved,
    EnvironmentUnknown,
    NotYet,
    ProvisioningError,
    SettingsRefuse,
    TargetUnreachable,
    TryAgain,
)
from parcelle.domain.provisioning.providers import portainer_api as api
from parcelle.domain.provisioning.providers import portainer_swarm as swarm
from parcelle.domain.provisioning.providers.base import (
    Found,
    Observation,
    Progress,
    Spec,
    Status,
    TargetHealth,
    TemplateSpec,
)
from parcelle.domain.provisioning.providers.observation import observation
from parcelle.domain.provisioning.providers.portainer_engine import ProxiedEngine

INSTANCE_VARIABLE: Final = "PARCELLE_INSTANCE"
SENT_AT, INITIALISED = f"{labels.NAMESPACE}sent-at", f"{labels.NAMESPACE}initialised"
# Seconds: between two looks at a deployment, the growing gaps' limit; until containers are well; until a creation that
# nobody saw the end of, and of which nothing can be seen either, is asked for again.
POLL_SECONDS, POLL_LIMIT = 0.3, 2.0
WELL_SECONDS: Final = 240.0
GONE_SECONDS: Final = 60.0
PATIENCE_SECONDS: Final = 300.0
_RECORD_SECONDS: Final = 60.0
_PLAIN: Final = re.compile(r"[^\s'\"$#\\`]*")
_ALWAYS_NEEDED: Final = {
    "allowStackManagementForRegularUsers": "stack management",
    "allowContainerCapabilitiesForRegularUsers": "container capabilities (cap_drop counts as one)",
    "allowSecurityOptForRegularUsers": "security options (no-new-privileges is one)",
}


@dataclass(frozen=True)
class Place:
    """What there is of one ref: its notes and its records, the one that counts first."""

    ref: UUID
    name: str = ""
    blueprint: str = ""
    stacks: tuple[api.Stack, ...] = ()
    sent_at: float = 0.0
    initialised: bool = False
    notes: tuple[str, ...] = ()

    @property
    def stack(self) -> api.Stack | None:
        return self.stacks[0] if self.stacks else None


@dataclass(frozen=True)
class Wanted:
    """What a stack is to be made of: a text, or a repository's reference; and all of its variables."""

    env: Mapping[str, str]
    text: str = ""
    repository: Mapping[str, Any] | None = None
    # What must be on the engine before the stack is deployed.
    files: tuple[FileVolume, ...] = ()
    swarm_secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def is_what(self, stack: api.Stack, file: str) -> bool:
        if dict(stack.env) != dict(self.env):
            return False
        if self.repository:
            return bool(stack.reference == self.repository["RepositoryReferenceName"])
        return file.strip() == self.text.strip()

    @property
    def pairs(self) -> list[dict[str, str]]:
        return [{"name": name, "value": value} for name, value in self.env.items()]


class PortainerProvider:
    phases: ClassVar[tuple[str, ...]] = ("claim_name", "deploy_stack", "initialise_stack")
    template_phases: ClassVar[tuple[str, ...]] = ()
    port_purposes: tuple[str, ...] = ("application", "database")
    subnet_purposes: tuple[str, ...] = ("front", "back")
    capabilities: ClassVar[frozenset[str]] = frozenset({"application", "moves"})

    def __init__(self, connection: Mapping[str, Any], *, patience: float = PATIENCE_SECONDS) -> None:
        self.server = api.Portainer(connection)
        self._number = int(connection.get("environment") or 0)
        self._git: Mapping[str, Any] = connection.get("git") or {}
        self._patience = patience

    @classmethod
    def open(cls, connection: Mapping[str, Any]) -> PortainerProvider:
        """From a target's connection: what `portainer_api.Portainer` takes, {"environment": id} and, for repositories
        that are not public, {"git": {"username": …, "password": …, "url": … if not the blueprint's}}.
        """
        return cls(connection)

    @cached_property
    def environment(self) -> api.Environment:
        found = self.server.environment(self._number)
        if not found.up:
            raise TargetUnreachable(f"Portainer calls the environment {found.name} down: start its engine or agent.")
        if not found.usable:
            raise EnvironmentUnknown(f"The environment {found.name} is no Docker Engine: choose another one.")
        return found

    @cached_property
    def engine(self) -> ProxiedEngine:
        return ProxiedEngine(self.server, self._number)

    @property
    def _of_project(self) -> str:
        """The label by which everything of one stack is found on the engine."""
        return labels.SWARM_STACK if self.environment.kind == "swarm" else labels.PROJECT

    # --- the target -------------------------------------------------------------------------------------

    def check(self) -> TargetHealth:
        capabilities, environment = self.server.capabilities, self.environment
        # What binds people who are no administrators would otherwise be found out by the first customer.
        if environment.closed and self.server.is_administrator() is False:
            closed = [told for name, told in _ALWAYS_NEEDED.items() if name.lower() in environment.closed]
            if closed:
                raise SettingsRefuse(
                    f"The environment {environment.name} does not allow {', '.join(closed)} to the owner of the "
                    "credentials: open this in its security settings, or use an administrator's API key."
                )
        stacks = [stack for stack in self.server.stacks(environment.id) if INSTANCE_VARIABLE in stack.env]
        return TargetHealth(
            versions={"portainer": capabilities.version, "docker": self.engine.version()},
            running=sum(stack.status == api.ACTIVE for stack in stacks),
        )

    def port_is_free(self, port: int) -> bool:
        if self.engine.publishes(port):
            return False
        with socket.socket() as probe:
            probe.settimeout(0.5)
            return probe.connect_ex((self.environment.host, port)) != 0

    def build(self, spec: TemplateSpec, phase: str, progress: Progress) -> None:
        """Nothing is built ahead: every stack is initialised by itself."""

    def discard_template(self, blueprint: Blueprint) -> None:
        """There is none."""

    def has_template(self, blueprint: Blueprint) -> bool:
        return True

    # --- making a stack ---------------------------------------------------------------------------------

    def describe(self, spec: Spec) -> Mapping[str, str]:
        return {}

    def endpoint(self, spec: Spec) -> str:
        host = ""
        if self.environment.kind == "swarm":
            name = self._find(spec.ref).name or spec.name
            host = swarm.address(self.engine, name, _recipe(spec.blueprint).service)
        return f"http://{host or self.environment.host}:{spec.ports['application']}"

    def ensure(self, spec: Spec, phase: str, progress: Progress) -> None:
        if phase == "claim_name":
            self._claim_name(spec)
        elif phase == "deploy_stack":
            hidden = [*spec.secrets.values(), *self.server.secrets, str(self._git.get("password") or "")]
            with self._turn():
                stack = self._deploy(spec, progress, hidden)
            self._wait_until_well(stack, progress, hidden)
        else:
            self._initialise(spec, progress)

    def _claim_name(self, spec: Spec) -> None:
        place = self._find(spec.ref)
        if place.name:
            return
        taken = [stack for stack in self.server.stacks(self.environment.id) if stack.name == spec.name]
        left = self.engine.listed(*self._where(spec.name)[0])
        if taken or left:
            raise answers.NameInUse(
                f"The environment {self.environment.name} has {'a stack' if taken else 'containers of a stack'} named "
                f"{spec.name!r} that {'is' if taken else 'are'} not ours: remove it there, or choose another name."
            )
        self._note(spec.ref, "", {labels.STACK: spec.name, labels.BLUEPRINT: spec.blueprint.name})

    def _deploy(self, spec: Spec, progress: Progress, hidden: Sequence[str]) -> api.Stack:
        place = self._find(spec.ref)
        # A stack that was made as a standby keeps that name.
        name = place.name or spec.name
        wanted = self._wanted(replace(spec, name=name))
        try:
            stack = place.stack and self._settled(place.stack, progress)
            if stack and stack.status == api.INACTIVE:
                stack = self._carried_out(stack, lambda stack=stack: self.server.start(stack), progress)
            if stack is None:
                stack = self._create(place, name, wanted, progress)
            elif not wanted.is_what(stack, "" if wanted.repository else self.server.file(stack.id)):
                self._prepare(spec.ref, name, wanted, progress)
                stack = self._change(stack, wanted, progress)
            elif (
                stack.status != api.ACTIVE
                or self._observed(stack).status in {Status.FAILED, Status.STOPPED}
                or (self.environment.kind != "swarm" and self._missing(stack))
            ):
                stack = self._revive(stack, wanted, progress)
        except api.DeploymentFailed as error:
            raise _explained(error.detail, name, hidden) from error
        if stack.status == api.FAILED:
            raise _explained(stack.message, name, hidden)
        return stack

    def _prepare(self, ref: UUID, name: str, wanted: Wanted, progress: Progress) -> None:
        """Files cannot travel in a stack's text."""
        known = {**labels.of(ref), self._of_project: name}
        for content_name, content in wanted.swarm_secrets.items():
            self.engine.make_secret(content_name, content, known)
        for volume in wanted.files:
            progress(volume.service, None)
            self.engine.make_volume(volume.name, {**known, labels.VOLUME: volume.key, labels.FILES: "1"})
            self.engine.fill(volume.name, volume.image, volume.archive(volume.folder), volume.folder, labels.of(ref))

    def _create(self, place: Place, name: str, wanted: Wanted, progress: Progress) -> api.Stack:
        self._refuse_blind(place, name)
        self._prepare(place.ref, name, wanted, progress)
        # Written down before it is sent: whoever takes over must know that an answer may be missing.
        self._forget(place.ref, "sent")
        self._note(place.ref, "sent", {SENT_AT: str(int(time.time()))})
        body = {"Env": wanted.pairs, **(wanted.repository or {"StackFileContent": wanted.text})}
        progress("deploying", None)
        try:
            stack = self.server.create(self.environment, name, body)
        except api.NoAnswer:
            # Perhaps it was made: look. If it cannot be seen yet, the next attempt asks again, or waits.
            found = self._find(place.ref).stack
            if found is None:
                raise
            stack = found
        except api.DeploymentFailed:
            # No record is kept of this, but what was made may still be there and would block the name.
            self._clear(name)
            self._forget(place.ref, "sent")
            raise
        except api.Conflict as error:
            found = self._find(place.ref).stack
            if found is None:
                self._forget(place.ref, "sent")
                raise answers.NameInUse(f"{error.detail}: remove it there, or choose another name.") from error
            stack = found
        except ProvisioningError:
            # Certainly not made.
            with contextlib.suppress(ProvisioningError):
                self._forget(place.ref, "sent")
            raise
        stack = self._settled(stack, progress)
        self._forget(place.ref, "sent")
        return stack

    def _refuse_blind(self, place: Place, name: str) -> None:
        """Never asks a second time while a creation that nobody saw the end of may still be under way."""
        if not place.sent_at:
            return
        since = time.time() - place.sent_at
        containers = self.engine.listed(*self._where(name)[0])
        # A server that deploys in the background shows its record at once, or was never asked.
        unseen = min(self._patience, _RECORD_SECONDS) if self.server.capabilities.background else self._patience
        if since < (api.WRITE_SECONDS if containers else unseen):
            raise NotYet(10, "deploying")
        self._clear(name)

    def _change(self, stack: api.Stack, wanted: Wanted, progress: Progress) -> api.Stack:
        def change() -> None:
            if wanted.repository:
                credentials = {name: wanted.repository[name] for name in _CREDENTIALS if name in wanted.repository}
                reference = wanted.repository["RepositoryReferenceName"]
                self.server.redeploy(stack, reference, wanted.pairs, credentials)
            else:
                self.server.update(stack, wanted.text, wanted.pairs)

        return self._carried_out(stack, change, progress)

    def _revive(self, stack: api.Stack, wanted: Wanted, progress: Progress) -> api.Stack:
        """Brings up what is stopped or broken, as it was: fetching a repository again could bring another version."""
        if stack.status == api.ACTIVE and self._restarted_what_is_ill(stack):
            return stack
        # What never worked has no version that would have to be kept.
        if stack.status == api.FAILED or (stack.status == api.ACTIVE and not wanted.repository):
            return self._change(stack, wanted, progress)
        stopped = self._carried_out(stack, lambda: self.server.stop(stack), progress)
        return self._carried_out(stopped, lambda: self.server.start(stopped), progress)

    def _restarted_what_is_ill(self, stack: api.Stack) -> bool:
        """Deploying again would leave a container alone that runs and is unhealthy. Swarm replaces those itself."""
        ill = [part for part in self._parts(stack.name) if part.health == "unhealthy"]
        for part in ill:
            self.engine.restart(part.id)
        return bool(ill)

    def _carried_out(self, stack: api.Stack, change: Any, progress: Progress) -> api.Stack:
        """Asks for a change and waits for its end. Being refused or not answered says nothing yet: the record does."""
        try:
            change()
        except (api.Conflict, api.Rejected):
            settled = self._settled(stack, progress)
            # Otherwise it had been done already, by an earlier request or by somebody else.
            if settled.status == stack.status:
                raise
            return settled
        except api.NoAnswer:
            self._settled(stack, progress)
            raise
        return self._settled(stack, progress)

    def _settled(self, stack: api.Stack, progress: Progress) -> api.Stack:
        """The record once its deployment has ended. Raises TryAgain when it does not; the runner's deadline decides."""
        give_up, pause = time.monotonic() + WELL_SECONDS, POLL_SECONDS
        while True:
            found = self.server.stack(stack.id)
            if found.status != api.DEPLOYING:
                return found
            if time.monotonic() > give_up:
                raise TryAgain(f"Portainer has been deploying {stack.name} for {WELL_SECONDS:.0f} seconds")
            progress("deploying", None)
            time.sleep(pause)
            pause = min(POLL_LIMIT, pause * 1.5)

    def _wait_until_well(self, stack: api.Stack, progress: Progress, hidden: Sequence[str]) -> None:
        """An active stack is one whose containers were started: whether they are well only they know."""
        stack = self.server.stack(stack.id)
        give_up, pause = time.monotonic() + WELL_SECONDS, POLL_SECONDS
        while True:
            seen = self._observed(stack)
            if seen.status is Status.RUNNING:
                return
            if seen.status is Status.FAILED:
                raise ProvisioningError(redact(seen.detail, hidden))
            if time.monotonic() > give_up:
                told = redact(seen.detail, hidden)
                raise TryAgain(f"{stack.name} is not well after {WELL_SECONDS:.0f} seconds: {told}")
            progress(seen.detail[:200], None)
            time.sleep(pause)
            pause = min(POLL_LIMIT, pause * 1.3)

    def _initialise(self, spec: Spec, progress: Progress) -> None:
        """What a blueprint does once: without a template that is once per instance."""
        place = self._find(spec.ref)
        recipe = _recipe(spec.blueprint)
        if place.initialised:
            return
        variables = {**spec.variables, **spec.secrets}
        for command in recipe.initialise:
            progress(command.service, None)
            words = [str(word) for word in fill(command.run, variables)]
            try:
                self._run_in(place, command.service, words, user=command.user, seconds=WELL_SECONDS)
            except TryAgain as error:
                raise TryAgain(redact(error.detail, spec.secrets.values())) from error
        self._note(spec.ref, "initialised", {INITIALISED: "1"})

    # --- what a stack is made of ------------------------------------------------------------------------

    def _wanted(self, spec: Spec) -> Wanted:
        recipe = _recipe(spec.blueprint)
        env = {INSTANCE_VARIABLE: str(spec.ref)}
        if recipe.repository is None:
            if self.environment.kind == "swarm":
                text, contents = swarm.text(spec, home=self.engine.own_node())
                return Wanted(env, text=text, swarm_secrets=contents)
            rendered = self._rendered(spec)
            return Wanted(env, text=rendered.text, files=rendered.file_volumes)
        known = render.variables_of(spec)
        for name, template in recipe.variables.items():
            env[name] = self._spelled(str(fill(template, known)))
        url = str(self._git.get("url") or fill(recipe.repository.url, known))
        user, password = str(self._git.get("username") or ""), str(self._git.get("password") or "")
        credentials: dict[str, Any] = {"RepositoryAuthentication": bool(password)}
        if password:
            credentials |= {"RepositoryUsername": user, "RepositoryPassword": password}
        source = {
            "RepositoryURL": url,
            "RepositoryReferenceName": recipe.repository.reference,
            "ComposeFile": recipe.repository.path,
            **credentials,
        }
        return Wanted(env, repository=source)

    def _spelled(self, value: str) -> str:
        """A value as it survives the lines that Portainer writes it into unchanged and compose reads like a shell does.

        Swarm is given it as it is.
        """
        if self.environment.kind == "swarm" or _PLAIN.fullmatch(value):
            return value
        escaped = re.sub(r'([\\"$])', r"\\\1", value).replace("\n", "\\n").replace("\r", "\\r")
        return f'"{escaped}"'

    def _rendered(self, spec: Spec) -> render.Rendered:
        # Behind Portainer's own address only this machine needs the port; elsewhere the way in comes from outside.
        inside = self.environment.host in {"localhost", "127.0.0.1", "::1"}
        return render.render(spec, publish="127.0.0.1" if inside else "0.0.0.0")  # noqa: S104

    # --- one stack --------------------------------------------------------------------------------------

    def observe(self, ref: UUID) -> Observation:
        place = self._find(ref)
        if place.stack is None:
            return Observation(Status.CREATING if place.name else Status.ABSENT)
        seen = self._observed(place.stack)
        if seen.status is Status.RUNNING and not place.initialised:
            return Observation(Status.CREATING, "not initialised yet")
        return seen

    def _observed(self, stack: api.Stack) -> Observation:
        if stack.status == api.DEPLOYING:
            return Observation(Status.CREATING, "deploying")
        if stack.status == api.FAILED:
            return Observation(Status.FAILED, _explained(stack.message, stack.name, self.server.secrets).detail[:500])
        # Stopping removes the containers: only the record tells a stopped stack from one that lost them.
        if stack.status == api.INACTIVE:
            return Observation(Status.STOPPED)
        if self.environment.kind == "swarm":
            seen = swarm.observation(self.engine, stack.name)
        else:
            seen = observation(self._parts(stack.name), half_made=False)
            if seen.status is Status.RUNNING and (missing := self._missing(stack)):
                return Observation(Status.CREATING, f"without {', '.join(missing)}")
        if seen.status is Status.ABSENT:
            return Observation(Status.FAILED, "Portainer calls it active, but none of its containers is there")
        return seen

    def _missing(self, stack: api.Stack) -> list[str]:
        """Services of a stack that have no container: what is gone as a whole is not in any list of containers."""
        try:
            services = yaml.safe_load(self.server.file(stack.id))["services"]
        except (ProvisioningError, yaml.YAMLError, KeyError, TypeError):
            # A file that cannot be had, or that only compose understands, accuses nobody.
            return []
        wanted = {name for name, of in services.items() if not _may_be_absent(of or {})}
        return sorted(wanted - {part.service for part in self._parts(stack.name)})

    def inventory(self) -> Sequence[Found]:
        noted = [stack.env.get(INSTANCE_VARIABLE, "") for stack in self.server.stacks(self.environment.id)]
        # Stacks and their notes, not every label: another target may be the same engine by another way.
        for name, known in self.engine.volumes(labels.STACK).items():
            if name.startswith(_NOTE):
                noted.append(known.get(labels.INSTANCE, ""))
        return tuple(self._found(ref) for ref in _refs(noted))

    def _found(self, ref: UUID) -> Found:
        place, seen = self._find(ref), self.observe(ref)
        parts = [*(f"stack/{stack.name}" for stack in place.stacks), *self._parts_of(place.name, ref)]
        return Found(ref=ref, name=place.name, status=seen.status, parts=tuple(parts), detail=seen.detail)

    def _parts_of(self, name: str, ref: UUID) -> list[str]:
        """What of a stack is on the engine, such as "container/client-acme-db-1"."""
        found: dict[str, None] = {}
        for kind, label in self._where(name, ref):
            found |= dict.fromkeys(
                f"{kind.removesuffix('s')}/{one}" for one in self.engine.listed(kind, label).values()
            )
        return list(found)

    def start(self, ref: UUID) -> None:
        with self._turn():
            place = self._find(ref)
            if place.stack is None:
                raise ProvisioningError("this instance was never completed on this environment: create it again")
            stack = self._settled(place.stack, _silent)
            if stack.status == api.INACTIVE:
                stack = self._carried_out(stack, lambda: self.server.start(stack), _silent)
            elif self.environment.kind != "swarm":
                for part in self._parts(stack.name):
                    if part.was_stopped:
                        self.engine.start(part.id)
            if stack.status == api.FAILED:
                raise _explained(stack.message, stack.name, self.server.secrets)
        self._wait_until_well(stack, _silent, self.server.secrets)

    def stop(self, ref: UUID) -> None:
        with self._turn():
            for one in self._find(ref).stacks:
                stack = self._settled(one, _silent)
                if stack.status != api.INACTIVE:
                    stack = self._carried_out(stack, lambda stack=stack: self.server.stop(stack), _silent)
                self._wait_until_gone(stack.name)

    def _wait_until_gone(self, name: str) -> None:
        """A Swarm takes services away after it has said so; starting again meanwhile would meet what is on its way."""
        give_up = time.monotonic() + GONE_SECONDS
        while left := [f"{kind} {one}" for kind, one in self._what_runs(name)]:
            if time.monotonic() > give_up:
                raise TryAgain(f"{name} was stopped, but {', '.join(left[:3])} is still there")
            time.sleep(POLL_SECONDS)

    def _what_runs(self, name: str) -> Iterator[tuple[str, str]]:
        for kind, label in self._where(name):
            if kind in {"services", "containers", "networks"}:
                yield from ((kind.removesuffix("s"), one) for one in self.engine.listed(kind, label).values())

    def run(self, ref: UUID, command: Sequence[str], *, timeout: float) -> str:
        place = self._find(ref)
        recipe = self._recipe_of(place)
        return redact(self._run_in(place, recipe.service, command, user="", seconds=timeout))

    def logs(self, ref: UUID, *, lines: int) -> str:
        place = self._find(ref)
        return self.engine.logs(self._parts(place.name), lines=lines) if place.name else ""

    def dump(self, ref: UUID, into: BinaryIO) -> None:
        place, command = self._backup(ref, "dump")
        with self._serving(place):
            container, node = self._container(place, command.service)
            self.engine.execute(container["Id"], _words(command), user=command.user, node=node, into=into)

    def load(self, ref: UUID, source: BinaryIO) -> None:
        place, command = self._backup(ref, "load")
        with self._serving(place):
            container, node = self._container(place, command.service)
            self.engine.feed(container, _words(command), source, user=command.user, node=node)

    @contextlib.contextmanager
    def _serving(self, place: Place) -> Iterator[None]:
        """A stopped stack has no containers to ask: it is started for as long as this takes."""
        stopped = place.stack is not None and place.stack.status == api.INACTIVE
        if stopped:
            self.start(place.ref)
        try:
            if place.stack is not None:
                self._wait_until_well(place.stack, _silent, self.server.secrets)
            yield
        finally:
            if stopped:
                self.stop(place.ref)

    def destroy(self, ref: UUID) -> None:
        with self._turn():
            place = self._find(ref)
            for stack in place.stacks:
                self._delete(stack)
            self._clear(place.name, ref, kinds=_EVERYTHING)
            # Whatever was still under way may have made something in the meantime.
            left = [f"stack {stack.name}" for stack in self._find(ref).stacks]
            left += self._parts_of(place.name, ref)
        if left:
            raise TryAgain(f"something of the instance is still there: {', '.join(left[:5])}")

    def _delete(self, stack: api.Stack) -> None:
        with contextlib.suppress(api.Gone):
            settled = self._settled(stack, _silent)
            try:
                self.server.delete(settled)
            except (api.Conflict, api.NoAnswer):
                self._settled(stack, _silent)
                raise
            except api.DeploymentFailed as error:
                # Much of it may be gone by now, which makes the next attempt easier.
                raise TryAgain(redact(error.detail, self.server.secrets)[-500:]) from error
            self._settled(stack, _silent)
            raise TryAgain(f"Portainer still has the stack {stack.name}")

    def must_save(self, ref: UUID) -> bool:
        """Portainer hands out no volumes: without a `dump` the recipe has to do without them too."""
        place = self._find(ref)
        if not place.name:
            return False
        if self._recipe_of(place).dump is not None:
            return True
        own = self._data(place)
        if own:
            raise CannotBeSaved(
                f"the blueprint {place.blueprint} has no `dump`, and Portainer hands out no volumes: write how "
                f"{', '.join(own)} can be saved under `compose.dump`, then archive again"
            )
        return False

    def _data(self, place: Place) -> list[str]:
        """The stack's volumes, without those that only bring it files."""
        found = self.engine.volumes(f"{self._of_project}={place.name}")
        return sorted(name for name, known in found.items() if labels.FILES not in known)

    def archive_path(self, ref: UUID) -> Path | None:
        return Path(settings.HOME) / "archives" / f"{ref.hex[:16]}.dump"

    # --- finding ----------------------------------------------------------------------------------------

    def _find(self, ref: UUID) -> Place:
        """Everything that is known of the ref, by its records and notes."""
        stacks = [s for s in self.server.stacks(self.environment.id) if s.env.get(INSTANCE_VARIABLE) == str(ref)]
        stacks.sort(key=lambda stack: (stack.status != api.ACTIVE, stack.id))
        noted: dict[str, str] = {}
        names = []
        for name, known in self.engine.volumes(labels.selector(ref)).items():
            if name.startswith(_note_name(ref, "")):
                names.append(name)
                noted |= known
        return Place(
            ref=ref,
            name=stacks[0].name if stacks else noted.get(labels.STACK, ""),
            blueprint=noted.get(labels.BLUEPRINT, ""),
            stacks=tuple(stacks),
            sent_at=float(noted.get(SENT_AT, 0)),
            initialised=INITIALISED in noted,
            notes=tuple(names),
        )

    def _note(self, ref: UUID, about: str, known: Mapping[str, str]) -> None:
        self.engine.make_volume(_note_name(ref, about), {labels.INSTANCE: str(ref), **known})

    def _forget(self, ref: UUID, about: str) -> None:
        self.engine.remove("volumes", _note_name(ref, about))

    def _parts(self, name: str) -> tuple[Part, ...]:
        return self.engine.parts(f"{self._of_project}={name}") if name else ()

    def _where(self, name: str, ref: UUID | None = None) -> list[tuple[str, str]]:
        """(kind, label) under which something of a stack may be, in the order in which it can be removed."""
        swarm_only = ("services", "secrets", "configs") if self.environment.kind == "swarm" else ()
        first = "services" if swarm_only else "containers"
        kinds = dict.fromkeys([first, *swarm_only, "containers", "networks", "volumes"])
        chosen = [f"{self._of_project}={name}"] if name else []
        chosen += [labels.selector(ref)] if ref else []
        return [(kind, label) for kind in kinds for label in chosen]

    def _clear(self, name: str, ref: UUID | None = None, kinds: frozenset[str] = frozenset()) -> None:
        """Takes away what is left of a stack on the engine; volumes by their exact names, and only when asked."""
        for kind, label in self._where(name, ref):
            if kind != "volumes" or kind in kinds:
                for identifier in self.engine.listed(kind, label):
                    self.engine.remove(kind, identifier)

    # --- inside a stack ---------------------------------------------------------------------------------

    def _recipe_of(self, place: Place) -> ComposeRecipe:
        if not place.name:
            raise ProvisioningError("this instance does not exist on this environment")
        try:
            return _recipe(blueprints.load(place.blueprint))
        except BlueprintError as error:
            raise ProvisioningError(str(error)) from None

    def _backup(self, ref: UUID, direction: str) -> tuple[Place, ServiceCommand]:
        place = self._find(ref)
        command: ServiceCommand | None = getattr(self._recipe_of(place), direction)
        if command is None:
            raise ProvisioningError(f"the blueprint {place.blueprint} does not say how to {direction} a backup")
        return place, command

    def _container(self, place: Place, service: str) -> tuple[Mapping[str, Any], str]:
        """The running container of a service, and the node it must be asked on."""
        if self.environment.kind == "swarm":
            return swarm.container(self.engine, place.name, service, agent=self.environment.agent)
        for container in self.engine.containers(f"{labels.PROJECT}={place.name}"):
            known = container["Config"]["Labels"]
            if known.get(labels.SERVICE) == service and container["State"]["Status"] == "running":
                return container, ""
        raise ProvisioningError(f"the service {service} does not run")

    def _run_in(self, place: Place, service: str, command: Sequence[str], *, user: str, seconds: float) -> str:
        container, node = self._container(place, service)
        return self.engine.run(container["Id"], command, user=user, node=node, seconds=seconds)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """One change at a time per server where deployments block: the others would only queue up inside Portainer."""
        if self.server.capabilities.background:
            yield
            return
        with turns.turn(f"portainer {self.server.url}") as free:
            if not free:
                raise NotYet(3, "another stack is being deployed")
            yield


_EVERYTHING: Final = frozenset({"volumes"})
_CREDENTIALS: Final = ("RepositoryAuthentication", "RepositoryUsername", "RepositoryPassword")


_NOTE: Final = "parcelle-note-"


def _note_name(ref: UUID, about: str) -> str:
    return f"{_NOTE}{ref.hex}" + (f"-{about}" if about else "")


def _recipe(blueprint: Blueprint) -> ComposeRecipe:
    if blueprint.compose is None:
        raise ProvisioningError(f"the blueprint {blueprint.name} has no recipe to run as a compose stack")
    return blueprint.compose


def _may_be_absent(service: Mapping[str, Any]) -> bool:
    return bool(service.get("profiles")) or 0 in (service.get("scale"), (service.get("deploy") or {}).get("replicas"))


def _words(command: ServiceCommand) -> list[str]:
    return [str(word) for word in command.run]


def _refs(texts: Sequence[str]) -> dict[UUID, None]:
    found: dict[UUID, None] = {}
    for text in texts:
        with contextlib.suppress(ValueError):
            found[UUID(text)] = None
    return found


def _explained(text: str, name: str, hidden: Sequence[str]) -> ProvisioningError:
    """What the program behind Portainer said, as the error it means."""
    told = answers.error_of(1, text, project=name, secrets=hidden)
    assert told is not None
    return told


def _silent(_note: str, _fraction: float | None) -> None:
    """Nobody watches."""
