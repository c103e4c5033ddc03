"""`parcelle worker`: one process that does what is to be done in the background."""

from __future__ import annotations

import asyncio
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import typer
from django.conf import settings
from django.db import connection
from django.utils import timezone
from procrastinate.contrib.django import app as queue
from procrastinate.contrib.django.django_connector import DjangoConnector

from parcelle.core import context, events
from parcelle.core.dispatch import Dispatcher, Source
from parcelle.domain.billing import intake, webhooks
from parcelle.domain.notifications import actions as notifications
from parcelle.domain.provisioning import operations
from parcelle.domain.provisioning import tasks as provisioning
from parcelle.domain.tenancy import actions as tenancy

# What the queue holds is rare: the schedule, the keeping of pools, what failed and is tried again.
JOBS_AT_ONCE = 4
# In the order in which people wait for them.
SOURCES = (
    Source(operations.SOURCE, provisioning.take),
    Source(events.SOURCE, events.take),
    Source(intake.SOURCE, webhooks.take, at_once=JOBS_AT_ONCE),
    Source(notifications.SOURCE, notifications.take),
)


def worker(
    concurrency: Annotated[
        int, typer.Option(help="How many operations run at once.", min=1, max=200)
    ] = settings.WORKER_CONCURRENCY,
    queues: Annotated[str, typer.Option(help="Only these queues, separated by commas.")] = "",
    once: Annotated[bool, typer.Option("--once", help="End when no job is due.")] = False,
) -> None:
    asyncio.run(work(concurrency=concurrency, queues=[q for q in queues.split(",") if q] or None, wait=not once))


async def work(*, concurrency: int, queues: list[str] | None = None, wait: bool = True) -> None:
    """Works until SIGTERM or SIGINT, or with `wait=False` until nothing is due."""
    context.of_process(context.Platform.JOBS)
    dispatcher = Dispatcher([s for s in SOURCES if queues is None or s.name in queues], threads=concurrency)
    if wait:
        await asyncio.to_thread(_note_scope)
        dispatcher.start()
        await _do_jobs(queues, wait=True)
        await asyncio.to_thread(dispatcher.stop, seconds=settings.WORKER_GRACE_SECONDS)
        return
    while True:
        await _do_jobs(queues, wait=False)
        if not await asyncio.to_thread(dispatcher.drain):
            break
    dispatcher.end()


def _note_scope() -> None:
    actor = f"worker:{socket.gethostname()}:{os.getpid()}"
    tenancy.note_scope(context.Platform.JOBS, actor=actor[:80], now=timezone.now())
    connection.close()


async def _do_jobs(queues: list[str] | None, *, wait: bool) -> None:
    # Jobs that do not use asyncio run in threads; fewer threads than jobs would make some wait unseen.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=JOBS_AT_ONCE + 4))
    connector = queue.connector
    assert isinstance(connector, DjangoConnector)
    # An app of its own around the same tasks: inside a job, the global app must go on deferring through
    # Django's connection, so that a job still commits with the row that asked for it.
    app = queue.with_connector(connector.get_worker_connector())
    only: dict[str, Any] = {"queues": queues} if queues else {}
    async with app.open_async():
        await app.run_worker_async(
            **only,
            concurrency=JOBS_AT_ONCE,
            wait=wait,
            listen_notify=wait,
            fetch_job_polling_interval=1.0,
            shutdown_graceful_timeout=settings.WORKER_GRACE_SECONDS,
        )
