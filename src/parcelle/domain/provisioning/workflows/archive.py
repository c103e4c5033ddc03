"""Taking an instance out of service for good: a last dump, then nothing of it keeps running."""

from __future__ import annotations

import os
from collections.abc import Sequence

from parcelle.core import events
from parcelle.core.states import move
from parcelle.domain.provisioning import states
from parcelle.domain.provisioning.errors import TryAgain
from parcelle.domain.provisioning.events import InstanceArchived
from parcelle.domain.provisioning.providers.base import Provider, Status
from parcelle.domain.provisioning.runner import Run, Work, Workflow
from parcelle.domain.provisioning.workflows.common import destroy, release


def steps(_provider: Provider) -> Sequence[Work]:
    return [
        Work("stop", stop),
        Work("dump", dump),
        Work("destroy", destroy),
        Work("release", release),
    ]


def stop(run: Run) -> None:
    # Asked while everything still serves: what cannot be saved is not destroyed, so it need not be stopped either.
    run.provider.must_save(run.instance.ref)
    run.provider.stop(run.instance.ref)


def dump(run: Run) -> None:
    """Keeps what is needed to bring the data back. Written under another name until it is whole."""
    path = run.provider.archive_path(run.instance.ref)
    if path is None or path.exists() or run.provider.observe(run.instance.ref).status is Status.ABSENT:
        return
    if not run.provider.must_save(run.instance.ref):
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_suffix(".part")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            run.provider.dump(run.instance.ref, file)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise TryAgain(f"the archive cannot be written: {error.strerror}") from error
    draft.replace(path)


def succeed(run: Run) -> None:
    now = run.now()
    move(run.instance, states.ARCHIVED, table=states.INSTANCE_TRANSITIONS, archived_at=now, secrets={})
    events.record(
        InstanceArchived(
            instance_id=run.instance.pk,
            organization_id=run.instance.organization_id,
            operation_id=run.operation.pk,
            reason=run.instance.reason,
        ),
        now=now,
        actor=run.operation.actor,
    )


def fail(_run: Run, _code: str, _detail: str) -> None:
    """The instance keeps its state; the failed operation is shown to the operator."""


WORKFLOW = Workflow(kind="archive", steps=steps, succeed=succeed, fail=fail, seconds=1800)
