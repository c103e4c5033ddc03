"""Work without a worker: it is done here, in this process and this transaction, when a test says so."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import time_machine
from django.db import connection
from procrastinate.contrib.django import app as queue
from procrastinate.contrib.django.models import ProcrastinateJob
from procrastinate.job_context import JobContext
from procrastinate.jobs import Job

from parcelle.surfaces.cli.worker import SOURCES


def work_off(now: datetime) -> None:
    """Does everything that is due at `now`, also what comes of it, in a worker's order.

    The schedule's own jobs are not among them: nobody defers them here.
    """
    with time_machine.travel(now, tick=False):
        while True:
            piece = next((pieces[0] for source in SOURCES if (pieces := source.take(1))), None)
            if piece is not None:
                piece()
            elif (job := _take(now)) is not None:
                name, arguments = job
                task = queue.tasks[name]
                task(*([_context(name, arguments)] if task.pass_context else []), **arguments)
            else:
                break
    # Here a reaction that failed is a mistake, not something to be tried again later.
    assert not ProcrastinateJob.objects.filter(task_name="core.react", status="todo").exists()


def _context(name: str, arguments: dict[str, Any]) -> JobContext:
    """What a worker hands to a task that asks for it; always the first attempt."""
    job = Job(id=0, queue="", lock=None, queueing_lock=None, task_name=name, task_kwargs=arguments)
    return JobContext(app=queue, job=job, start_timestamp=0.0, abort_reason=lambda: None)


def _take(now: datetime) -> tuple[str, dict[str, Any]] | None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            DELETE FROM procrastinate_jobs WHERE id = (
                SELECT id FROM procrastinate_jobs WHERE status = 'todo' AND (scheduled_at IS NULL OR scheduled_at <= %s)
                ORDER BY priority DESC, id LIMIT 1)
            RETURNING task_name, args::text
            """,
            [now],
        )
        found = cursor.fetchone()
    return (found[0], json.loads(found[1])) if found else None
