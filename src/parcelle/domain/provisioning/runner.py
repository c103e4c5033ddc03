"""Runs operations: durable, one at a time per instance, safe to kill at any moment.

An operation is a row with recorded steps. Whoever runs it holds a lease on the row and renews it while
working; every record is written only by the holder. A worker that dies leaves the lease to run out, another
one takes over at the first step that has no record of its end. Steps are therefore safe to run twice.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from parcelle.core import events, faults
from parcelle.core.compiled import Compiled, any_of
from parcelle.core.leases import Leases
from parcelle.core.logs import redact
from parcelle.core.rows import as_json, readable
from parcelle.core.states import IllegalTransition
from parcelle.domain.catalog import blueprints
from parcelle.domain.catalog.blueprints import Blueprint, BlueprintError
from parcelle.domain.provisioning import specs, states
from parcelle.domain.provisioning.errors import DeadlinePassed, LeaseLost, NotYet, ProvisioningError
from parcelle.domain.provisioning.events import OperationFailed
from parcelle.domain.provisioning.models import Finding, Instance, Operation, Step, Target, Template
from parcelle.domain.provisioning.providers.base import Provider, Spec

logger = structlog.get_logger(__name__)

Clock = Callable[[], datetime]

# Seconds before attempt 2, 3, ...; a step that still fails after the last one has failed for good.
BACK_OFF = (0.2, 0.5, 1, 2, 4, 8, 8)
# Undoing must not give up with the operation's deadline: it gets this much more, in seconds.
UNDO_SECONDS = 600
# A pause up to this long is slept through; a longer one frees the worker.
SHORT_PAUSE_SECONDS = 1.0
PROGRESS_EVERY_SECONDS = 0.4
# An operation that our own database cut short is looked at again after so long.
LOOK_AGAIN_SECONDS = 2.0
# These go first: a person waits for them.
URGENT = ("create", "resume", "wake", "unrestrict", "repair", "restart")


@dataclass
class Run:
    """What a step works with: the rows it is about, and the provider."""

    operation: Operation
    clock: Clock
    # How often this step was begun, this time included: above 1, its effect may already be there.
    attempt: int = 1
    _report: Callable[[str, float | None], None] = field(default=lambda _note, _fraction: None)

    @property
    def instance(self) -> Instance:
        assert self.operation.instance is not None
        return self.operation.instance

    @property
    def template(self) -> Template:
        assert self.operation.template is not None
        return self.operation.template

    @property
    def finding(self) -> Finding:
        assert self.operation.finding is not None
        return self.operation.finding

    @property
    def target(self) -> Target:
        if self.operation.template_id:
            return self.template.target
        return self.instance.target if self.operation.instance_id else self.finding.target

    @cached_property
    def provider(self) -> Provider:
        return specs.provider_of(self.target)

    @property
    def blueprint(self) -> Blueprint:
        if self.operation.template_id:
            return blueprints.load(self.template.blueprint)
        return specs.blueprint_of(self.instance)

    def spec(self) -> Spec:
        return specs.spec_of(self.instance, self.provider)

    def now(self) -> datetime:
        return self.clock()

    def seconds_left(self) -> float:
        """Until the operation's deadline; never negative."""
        return max(0.0, (self.operation.deadline_at - self.now()).total_seconds())

    def progress(self, note: str, fraction: float | None) -> None:
        """Shows how far a long step is; cheap to call often."""
        self._report(note, fraction)


@dataclass(frozen=True)
class Work:
    """One step of a workflow. A step named `undo_…` belongs to the way back.

    A `quick` step only looks around and changes rows of ours, and does not ask for its `attempt`: its beginning is
    not written down before it but together with what comes next.
    """

    name: str
    do: Callable[[Run], None]
    quick: bool = False


@dataclass(frozen=True)
class Taken:
    """An operation whose lease is ours now, with its steps."""

    operation: Operation
    steps: list[Step]


@dataclass(frozen=True)
class Workflow:
    """How one kind of operation goes. `succeed` and `fail` run in the transaction that ends the operation."""

    kind: str
    steps: Callable[[Provider], Sequence[Work]]
    succeed: Callable[[Run], None]
    fail: Callable[[Run, str, str], None]
    undo: Sequence[Work] = ()
    seconds: int | None = None

    def deadline(self, now: datetime) -> datetime:
        return now + timedelta(seconds=self.seconds or settings.OPERATION_DEADLINE_SECONDS)


# kind -> workflow; filled by the package `workflows`, which this module must not import.
_registered: dict[str, Workflow] = {}


def register(workflows: dict[str, Workflow]) -> None:
    _registered.update(workflows)


def workflow_of(kind: str) -> Workflow:
    return _registered[kind]


_names = itertools.count()


def _worker_name() -> str:
    """Who takes operations now; no two takings have the same name, not even in one process."""
    return f"{socket.gethostname()}/{os.getpid()}/{next(_names)}"


def run(operation_id: UUID, workflows: dict[str, Workflow], *, clock: Clock = timezone.now) -> None:
    """Carries the operation as far as it can go now; returns at its end, or when it has to wait.

    Returns at once when the operation is finished or in other hands.
    """
    taken = _claim(operation_id, _worker_name(), clock())
    if taken is not None:
        carry_on(taken, workflows, clock=clock)


def carry_on(taken: Taken, workflows: dict[str, Workflow], *, clock: Clock = timezone.now) -> None:
    """The same, for an operation that `take` gave to the caller."""
    operation = taken.operation
    bound = structlog.contextvars.bound_contextvars(
        operation_id=str(operation.pk),
        kind=operation.kind,
        instance_id=str(operation.instance_id or ""),
        template_id=str(operation.template_id or ""),
    )
    with bound, _leases.kept(operation.pk, operation.worker):
        try:
            _Runner(taken, workflows[operation.kind], operation.worker, clock).go()
        except LeaseLost:
            logger.warning("another worker took over")
        except DatabaseError:
            _let_go(operation, clock())
            raise


_TAKE = """
    UPDATE provisioning_operation SET
        worker = %(worker)s, lease_until = %(until)s, resume_at = NULL,
        started_at = COALESCE(started_at, %(now)s),
        state = CASE WHEN state = 'undoing' THEN 'undoing' ELSE 'running' END
    WHERE id = ANY(ARRAY(
        SELECT id FROM provisioning_operation
        WHERE state IN ('queued', 'waiting', 'running', 'undoing') AND (lease_until IS NULL OR lease_until < %(now)s)
          AND (id = %(id)s OR %(id)s IS NULL AND (resume_at IS NULL OR resume_at <= %(now)s))
        ORDER BY kind = ANY(%(urgent)s) DESC, created_at LIMIT %(most)s FOR UPDATE SKIP LOCKED))
    RETURNING id
"""


def take(most: int, *, now: datetime) -> list[Taken]:
    """Takes the leases of up to `most` operations that are due, among them those of workers that died."""
    return _take(_worker_name(), now, most=most)


def _claim(operation_id: UUID, worker: str, now: datetime) -> Taken | None:
    """Takes the lease if nobody holds it; None when the operation is finished or in other hands."""
    taken = _take(worker, now, most=1, operation_id=operation_id)
    return taken[0] if taken else None


def _take(worker: str, now: datetime, *, most: int, operation_id: UUID | None = None) -> list[Taken]:
    values: dict[str, Any] = {
        "worker": worker,
        "now": now,
        "until": now + timedelta(seconds=settings.OPERATION_LEASE_SECONDS),
        "id": operation_id,
        "urgent": list(URGENT),
        "most": most,
    }
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, values)
        taken = [row[0] for row in cursor.fetchall()]
    return readable(_with_steps, taken, of="operation")


_operations = Compiled(
    lambda: Operation.objects.select_related("instance__target", "instance__product", "instance__template").filter(
        any_of("id", "keys")
    )
)
_steps = Compiled(lambda: Step.objects.filter(any_of("operation_id", "keys")))


def _with_steps(keys: list[UUID]) -> list[Taken]:
    steps: dict[UUID, list[Step]] = {key: [] for key in keys}
    for step in _steps(keys=keys):
        steps[step.operation_id].append(step)
    return [Taken(operation, steps[operation.pk]) for operation in _operations(keys=keys)]


def _let_go(operation: Operation, now: datetime) -> None:
    with contextlib.suppress(DatabaseError):
        Operation.objects.filter(pk=operation.pk, worker=operation.worker).update(
            lease_until=None, resume_at=now + timedelta(seconds=LOOK_AGAIN_SECONDS)
        )


def _renew(held: list[tuple[Any, str]]) -> None:
    until = timezone.now() + timedelta(seconds=settings.OPERATION_LEASE_SECONDS)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE provisioning_operation SET lease_until = %s
            FROM unnest(%s::uuid[], %s::text[]) AS held (id, worker)
            WHERE provisioning_operation.id = held.id AND provisioning_operation.worker = held.worker
              AND lease_until IS NOT NULL
            """,
            [until, [key for key, _worker in held], [worker for _key, worker in held]],
        )


_leases = Leases(_renew)


_STEP_COLUMNS = ("id", "state", "attempt", "started_at", "finished_at", "fraction", "note", "error")
# Whoever asks for a change takes the instance first and then looks for an unfinished operation on it. Who ends one
# does the same, or each of them could wait for what the other one has.
_LOCK = "SELECT FROM provisioning_instance WHERE id = %s FOR NO KEY UPDATE"
# By their operation, whose few steps an index gives also where nothing is known yet of how many steps there are.
_WRITTEN = """
    UPDATE provisioning_step AS step SET
        state = now.state, attempt = now.attempt, started_at = now.started_at,
        finished_at = now.finished_at, fraction = now.fraction, note = now.note, error = now.error
    FROM held, json_to_recordset(%s::json) AS now (
        id bigint, state text, attempt int, started_at timestamptz,
        finished_at timestamptz, fraction float8, note text, error text
    )
    WHERE step.operation_id = held.id AND step.id = now.id
"""
# The lock makes whoever takes over wait for this record, and this record fail when somebody took over: without it
# both could believe that they begin the step for the first time.
_WRITE_STEPS = f"""
    WITH held AS MATERIALIZED (
        SELECT id FROM provisioning_operation WHERE id = %s AND worker = %s AND lease_until IS NOT NULL FOR SHARE
    )
    {_WRITTEN}
"""  # noqa: S608 nothing in it comes from outside
_WRITE_SUCCESS = f"""
    WITH locked AS MATERIALIZED (
        {_LOCK}
    ), held AS (
        UPDATE provisioning_operation SET state = 'succeeded', finished_at = %s, lease_until = NULL
        WHERE id = %s AND worker = %s AND lease_until IS NOT NULL AND (SELECT count(*) FROM locked) >= 0 RETURNING id
    ), written AS ({_WRITTEN} RETURNING step.id)
    SELECT (SELECT count(*) FROM held), (SELECT count(*) FROM written)
"""  # noqa: S608 nothing in it comes from outside


class _Paused(Exception):
    """The operation gave its worker back and is due again at `resume_at`."""


class _Runner:
    def __init__(self, taken: Taken, workflow: Workflow, worker: str, clock: Clock) -> None:
        self.operation = operation = taken.operation
        self.workflow = workflow
        self.worker = worker
        self.clock = clock
        self.context = Run(operation, clock)
        self.rows = {row.name: row for row in taken.steps}
        # Steps whose rows do not say yet how far they are.
        self.unwritten: dict[str, Step] = {}

    def go(self) -> None:
        with contextlib.suppress(_Paused):
            try:
                if self._forward():
                    return
                self._undo()
            except IllegalTransition as error:
                # The instance was changed under our hands; taking this up again could only end the same way.
                logger.exception("the operation does not fit the state of things any more")
                self._end_badly("step_failed", str(error), lambda: None)

    def _forward(self) -> bool:
        """True when every step succeeded; False when what was done has to be undone."""
        if self.operation.state == states.UNDOING:
            return False
        try:
            self._walk(self.workflow.steps(self.context.provider), until=self.operation.deadline_at)
        except (ProvisioningError, BlueprintError) as error:
            self._turn_back(error)
            return False
        self._end_well()
        return True

    # --- forward ----------------------------------------------------------------------------------------

    def _walk(self, works: Sequence[Work], *, until: datetime) -> None:
        for work in works:
            row = self.rows.get(work.name) or self._added(work.name)
            if row.state not in {states.SUCCEEDED, states.SKIPPED}:
                self._do(work, row, until=until)

    def _added(self, name: str) -> Step:
        """A row for a step that this version's workflow has and the one that wrote the operation down had not."""
        position = 1 + max((row.position for row in self.rows.values()), default=-1)
        row, _new = Step.objects.get_or_create(operation=self.operation, name=name, defaults={"position": position})
        self.rows[name] = row
        return row

    def _do(self, work: Work, row: Step, *, until: datetime) -> None:
        while True:
            now = self.clock()
            if now > until:
                raise DeadlinePassed(f"step {work.name} was not finished by the deadline")
            self._begin(row, now, quick=work.quick)
            self.context.attempt = row.attempt
            self.context._report = self._reporter(row)
            faults.point(f"{self.operation.kind}.{work.name}:before")
            try:
                work.do(self.context)
            except NotYet as wait:
                # Waiting for something else is nobody's failed attempt and must not eat up the deadline.
                row.attempt -= 1
                self._record(row, attempt=row.attempt, note=_storable(wait.note)[:200])
                self._extend_deadline()
                self._pause(wait.seconds)
            except (ProvisioningError, BlueprintError) as error:
                self._handle(error, row, until=until)
            except DatabaseError:
                raise
            except LeaseLost:
                raise
            except Exception as error:
                logger.exception("a step broke", step=work.name)
                broken = ProvisioningError(f"unexpected {type(error).__name__} in step {work.name}")
                self._handle(broken, row, until=until)
            else:
                faults.point(f"{self.operation.kind}.{work.name}:after")
                self._finish(row)
                return

    def _handle(self, error: Exception, row: Step, *, until: datetime) -> None:
        """Returns when the step should be tried again in a moment, pauses for longer, or raises for good."""
        detail = self._shown(error)
        again = isinstance(error, ProvisioningError) and error.retry and row.attempt <= len(BACK_OFF)
        self._record(row, error=detail)
        logger.warning("step failed", step=row.name, attempt=row.attempt, detail=detail, again=again)
        if not again:
            self._record(row, state=states.FAILED, finished_at=self.clock())
            raise error
        pause = BACK_OFF[row.attempt - 1]
        if self.clock() + timedelta(seconds=pause) > until:
            self._record(row, state=states.FAILED, finished_at=self.clock())
            raise DeadlinePassed(detail)
        self._pause(pause)

    def _pause(self, seconds: float) -> None:
        if seconds <= SHORT_PAUSE_SECONDS:
            time.sleep(seconds)
            return
        undoing = self.operation.state == states.UNDOING
        resume_at = self.clock() + timedelta(seconds=seconds)
        self._write_operation(
            state=states.UNDOING if undoing else states.WAITING, lease_until=None, resume_at=resume_at
        )
        raise _Paused

    def _extend_deadline(self) -> None:
        deadline = self.workflow.deadline(self.clock())
        if deadline - self.operation.deadline_at > timedelta(seconds=5):
            self._write_operation(deadline_at=deadline)

    def _end_well(self) -> None:
        faults.point(f"{self.operation.kind}.end:before")
        with transaction.atomic():
            self._write_success(self.clock())
            self.workflow.succeed(self.context)
        faults.point(f"{self.operation.kind}.end:after")
        logger.info("operation done", seconds=self._seconds())

    # --- the way back -----------------------------------------------------------------------------------

    def _turn_back(self, error: Exception) -> None:
        code = error.code if isinstance(error, ProvisioningError) else "step_failed"
        faults.point(f"{self.operation.kind}.turn_back:before")
        with transaction.atomic():
            self._write_operation(
                state=states.UNDOING,
                error_code=code,
                error_detail=self._shown(error),
                deadline_at=self.clock() + timedelta(seconds=UNDO_SECONDS),
            )
            first = len(self.rows)
            Step.objects.bulk_create(
                Step(operation=self.operation, position=first + number, name=work.name)
                for number, work in enumerate(self.workflow.undo)
            )
        faults.point(f"{self.operation.kind}.turn_back:after")
        self.rows = {row.name: row for row in Step.objects.filter(operation=self.operation)}

    def _undo(self) -> None:
        try:
            self._walk(self.workflow.undo, until=self.operation.deadline_at)
        except ProvisioningError as error:
            # What is left keeps its ports and its name in the target, and the operator sees why.
            logger.exception("something could not be undone", detail=self._shown(error))
        code, detail = self.operation.error_code, self.operation.error_detail
        faults.point(f"{self.operation.kind}.end:before")
        self._end_badly(code, detail, lambda: self.workflow.fail(self.context, code, detail))
        faults.point(f"{self.operation.kind}.end:after")

    def _end_badly(self, code: str, detail: str, consequences: Callable[[], None]) -> None:
        with transaction.atomic():
            now = self.clock()
            with connection.cursor() as cursor:
                cursor.execute(_LOCK, [self.operation.instance_id])
            self._write_steps()
            self._write_operation(
                state=states.FAILED, finished_at=now, lease_until=None, error_code=code, error_detail=detail
            )
            consequences()
            instance = self.operation.instance
            events.record(
                OperationFailed(
                    instance_id=self.operation.instance_id,
                    organization_id=instance.organization_id if instance else None,
                    operation_id=self.operation.pk,
                    kind=self.operation.kind,
                    code=code,
                    detail=detail,
                ),
                now=now,
            )
        logger.warning("operation failed", code=code, detail=detail, seconds=self._seconds())

    # --- records ----------------------------------------------------------------------------------------

    def _finish(self, row: Step) -> None:
        """Notes the end of a step; written together with the beginning of the next, or with the operation's end."""
        row.state, row.finished_at, row.fraction, row.note = states.SUCCEEDED, self.clock(), None, ""
        self.unwritten[row.name] = row
        logger.info(
            "step done",
            step=row.name,
            attempt=row.attempt,
            seconds=round((row.finished_at - (row.started_at or row.finished_at)).total_seconds(), 3),
        )

    def _begin(self, row: Step, now: datetime, *, quick: bool) -> None:
        row.state, row.attempt, row.started_at, row.error = states.RUNNING, row.attempt + 1, row.started_at or now, ""
        self.unwritten[row.name] = row
        if not quick:
            self._write_steps()

    def _record(self, row: Step, **changes: str | float | datetime | None) -> None:
        for name, value in changes.items():
            setattr(row, name, value)
        self.unwritten[row.name] = row
        self._write_steps()

    def _write_steps(self) -> None:
        """Writes what is unwritten, whole rows in one statement, if this worker still holds the lease."""
        rows = list(self.unwritten.values())
        if not rows:
            return
        with connection.cursor() as cursor:
            cursor.execute(_WRITE_STEPS, [self.operation.pk, self.worker, as_json(rows, _STEP_COLUMNS)])
            if cursor.rowcount != len(rows):
                raise LeaseLost
        self.unwritten.clear()

    def _write_success(self, now: datetime) -> None:
        """The operation's end with what is unwritten of its steps."""
        rows = list(self.unwritten.values())
        with connection.cursor() as cursor:
            values = [self.operation.instance_id, now, self.operation.pk, self.worker, as_json(rows, _STEP_COLUMNS)]
            cursor.execute(_WRITE_SUCCESS, values)
            if cursor.fetchone() != (1, len(rows)):
                raise LeaseLost
        self.unwritten.clear()
        self.operation.state, self.operation.finished_at, self.operation.lease_until = states.SUCCEEDED, now, None

    def _write_operation(self, **changes: object) -> None:
        held = Operation.objects.filter(pk=self.operation.pk, worker=self.worker, lease_until__isnull=False)
        if not held.update(**changes):
            raise LeaseLost
        for name, value in changes.items():
            setattr(self.operation, name, value)

    def _reporter(self, row: Step) -> Callable[[str, float | None], None]:
        last = 0.0

        def report(note: str, fraction: float | None) -> None:
            nonlocal last
            if time.monotonic() - last > PROGRESS_EVERY_SECONDS:
                last = time.monotonic()
                self._record(row, note=_storable(note)[:200], fraction=fraction)

        return report

    def _shown(self, error: Exception) -> str:
        secrets: list[str] = []
        instance = self.operation.instance
        template = self.operation.template or (instance.template if instance else None)
        if instance:
            secrets += instance.secrets.values()
        if template:
            secrets += template.secrets.values()
        return _storable(redact(str(error), secrets))[:2000]

    def _seconds(self) -> float:
        return round((self.clock() - (self.operation.started_at or self.operation.created_at)).total_seconds(), 3)


def _storable(text: str) -> str:
    """What a program printed, without what PostgreSQL cannot keep: half characters and NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")
