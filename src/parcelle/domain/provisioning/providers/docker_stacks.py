"""Stacks that are there: watched, started, stopped, spoken to, saved, brought back and removed, all by their ref."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final
from uuid import UUID

from django.conf import settings

from parcelle.domain.catalog import blueprints
from parcelle.domain.catalog.blueprints import ComposeRecipe, ServiceCommand, fill
from parcelle.domain.provisioning.compose import inside, labels, volumes
from parcelle.domain.provisioning.compose.answers import FileRefused, ServiceFailed
from parcelle.domain.provisioning.compose.cli import Compose
from parcelle.domain.provisioning.compose.engine import Engine, Stack
from parcelle.domain.provisioning.compose.parts import Part
from parcelle.domain.provisioning.compose.render import recipe_of
from parcelle.domain.provisioning.errors import ProvisioningError, TryAgain
from parcelle.domain.provisioning.providers.base import Found, Observation, Status
from parcelle.domain.provisioning.providers.observation import observation

# How long a stack may take to become healthy before the step is tried again.
HEALTHY_SECONDS: Final = 240
STOP_SECONDS: Final = 90
COMMAND_SECONDS: Final = 120
# Initialising a template, writing and reading a backup.
LONG_SECONDS: Final = 1500
TEMPLATE_PREFIX: Final = "template-"


class DockerStacks:
    """The half of the provider `docker` that needs no spec. `providers/docker.py` makes what is watched here."""

    def __init__(self, engine: Engine, compose: Compose) -> None:
        self.engine = engine
        self.compose = compose

    # --- what runs --------------------------------------------------------------------------------------

    def observe(self, ref: UUID) -> Observation:
        return self._observed(self.engine.stack(ref))

    def _observed(self, stack: Stack) -> Observation:
        services = json.loads(stack.notes.get(labels.SERVICES, "[]"))
        return observation(stack.parts, services=services, half_made=stack.is_there)

    def inventory(self) -> Sequence[Found]:
        found = []
        for stack in self.engine.stacks():
            if stack.project.startswith(TEMPLATE_PREFIX):
                continue
            seen = self._observed(stack)
            found.append(
                Found(ref=stack.ref, name=stack.project, status=seen.status, parts=stack.names, detail=seen.detail)
            )
        return found

    def start(self, ref: UUID) -> None:
        stack = self._made(ref)
        if self._observed(stack).status is Status.RUNNING:
            return
        self.compose.start(stack.project, timeout=HEALTHY_SECONDS)
        self._wait_for(ref)

    def _wait_for(self, ref: UUID, *services: str) -> None:
        """Until all services are well, or those that are named."""
        give_up = time.monotonic() + HEALTHY_SECONDS
        while True:
            stack = self._made(ref)
            if services:
                stack = replace(stack, parts=tuple(filter(None, map(stack.part, services))), notes={})
            seen = self._observed(stack)
            if seen.status is Status.RUNNING:
                return
            if seen.status is Status.FAILED:
                raise ProvisioningError(seen.detail)
            if time.monotonic() > give_up:
                raise TryAgain(f"not healthy after {HEALTHY_SECONDS} s: {seen.detail}")
            time.sleep(0.2)

    def stop(self, ref: UUID) -> None:
        stack = self.engine.stack(ref)
        if any(part.state in {"running", "restarting", "paused"} for part in stack.parts):
            self.compose.stop(stack.project, timeout=STOP_SECONDS)

    def run(self, ref: UUID, command: Sequence[str], *, timeout: float = COMMAND_SECONDS, service: str = "") -> str:
        """In the web service unless another one is named."""
        part = self._running_part(ref, service or self._recipe(ref).service)
        return inside.run(self.engine, part, command, timeout=timeout)

    def logs(self, ref: UUID, *, lines: int) -> str:
        return self.engine.logs(self.engine.stack(ref), lines=lines)

    def stats(self, ref: UUID) -> Mapping[str, Mapping[str, int]]:
        """What each service uses now, as `Engine.stats` has it."""
        return self.engine.stats(self.engine.stack(ref))

    # --- backups ----------------------------------------------------------------------------------------

    def dump(self, ref: UUID, into: BinaryIO) -> None:
        """As the recipe's command writes it; without one, a tar of the volumes, read while the stack stands still."""
        stack = self._made(ref)
        command = self._recipe(ref).dump
        if command:
            with self._serving(stack, command.service) as part:
                inside.run(self.engine, part, _plain(command), timeout=LONG_SECONDS, user=command.user, into=into)
            return
        mounts = self._data(stack)
        with (
            self._standing_still(stack),
            volumes.reading(self.engine, ref, _any_image(stack), mounts, folder=volumes.TOGETHER) as stream,
        ):
            into.writelines(stream)

    def load(self, ref: UUID, source: BinaryIO) -> None:
        stack = self._made(ref)
        command = self._recipe(ref).load
        if command:
            with self._serving(stack, command.service):
                inside.feed(
                    self.compose,
                    stack.project,
                    command.service,
                    _plain(command),
                    source,
                    timeout=LONG_SECONDS,
                    user=command.user,
                )
            return
        mounts = self._data(stack)
        with tempfile.TemporaryFile() as whole:
            shutil.copyfileobj(source, whole)
            volumes.refuse_broken(whole, set(mounts))
            with self._standing_still(stack):
                volumes.empty(self.engine, ref, _any_image(stack), mounts.values())
                whole.seek(0)
                volumes.fill(self.engine, ref, _any_image(stack), mounts, whole)

    def _data(self, stack: Stack) -> dict[str, str]:
        """Where each volume of the application is in an archive -> its name on the engine. Given files are not data."""
        own = json.loads(stack.notes.get(labels.DATA, "[]"))
        return {f"{volumes.TOGETHER}/{volume}": volumes.name_of(stack.project, volume) for volume in own}

    @contextlib.contextmanager
    def _serving(self, stack: Stack, service: str) -> Iterator[Part]:
        """The service running, started for as long as this takes if the stack is stopped."""
        part = stack.part(service)
        if part is not None and part.state == "running":
            yield part
            return
        self.compose.start(stack.project, service, timeout=HEALTHY_SECONDS)
        self._wait_for(stack.ref, service)
        try:
            yield self._running_part(stack.ref, service)
        finally:
            self.compose.stop(stack.project, timeout=STOP_SECONDS)

    @contextlib.contextmanager
    def _standing_still(self, stack: Stack) -> Iterator[None]:
        """Files of a program that writes to them are no backup."""
        runs = any(part.state == "running" for part in stack.parts)
        self.stop(stack.ref)
        try:
            yield
        finally:
            if runs:
                self.start(stack.ref)

    # --- the end ----------------------------------------------------------------------------------------

    def destroy(self, ref: UUID) -> None:
        stack = self.engine.stack(ref)
        if not stack.is_there:
            return
        if stack.project and (stack.parts or stack.networks):
            # What it leaves is seen below, by label.
            with contextlib.suppress(ServiceFailed, FileRefused):
                self.compose.down(stack.project, volumes=True, timeout=STOP_SECONDS)
        self.engine.remove(replace(self.engine.stack(ref), unlabelled=stack.unlabelled))
        left = self.engine.stack(ref)
        if left.is_there:
            raise TryAgain(f"something of the instance is still there: {', '.join(left.names)}")

    def must_save(self, ref: UUID) -> bool:
        """Volumes of a recipe without a `dump` are copied as they are."""
        stack = self.engine.stack(ref)
        return bool(self._data(stack)) or (bool(stack.parts) and self._recipe(ref).dump is not None)

    def archive_path(self, ref: UUID) -> Path | None:
        return Path(settings.HOME) / "archives" / f"{ref.hex[:16]}.dump"

    # --- look-ups ---------------------------------------------------------------------------------------

    def _made(self, ref: UUID) -> Stack:
        stack = self.engine.stack(ref)
        if not stack.parts:
            raise ProvisioningError("this instance was never completed on this engine: create it again")
        return stack

    def _running_part(self, ref: UUID, service: str) -> Part:
        part = self._made(ref).part(service)
        if part is None or part.state != "running":
            raise ProvisioningError(f"the service {service!r} does not run")
        return part

    def _recipe(self, ref: UUID) -> ComposeRecipe:
        return recipe_of(blueprints.load(self._made(ref).notes.get(labels.BLUEPRINT, "")))


def _plain(command: ServiceCommand) -> list[str]:
    """Its words, where nobody's secrets are at hand: what a backup needs is in the service's environment."""
    return [str(word) for word in fill(command.run, {})]


def _any_image(stack: Stack) -> str:
    return next(part.image for part in stack.parts)
