"""What the process that test workers are forked from imports once: all of Parcelle, without any connection."""

from __future__ import annotations

import os

import django
from django.conf import settings

django.setup()
from parcelle.core import context

context.of_process(context.Platform.JOBS)
# Shorter than the environment can say: tests wait for many leases to end.
settings.OPERATION_LEASE_SECONDS = float(os.environ["PARCELLE_TEST_LEASE"])

from asgiref.sync import sync_to_async

from parcelle.domain.notifications import actions as notifications
from parcelle.domain.provisioning import runner, sweeper
from parcelle.surfaces.cli import worker

# The same kinds of pauses, slept through and waited for, but not for half a minute.
runner.BACK_OFF = (0.1, 0.2, 1.5)  # type: ignore[assignment]
# A worker that was killed is called dead at once, and what it had begun is offered again.
sweeper.DEAD_WORKER_SECONDS = 0.5
notifications.LEASE_SECONDS = 0.5


async def work(queues: list[str]) -> None:
    await sync_to_async(sweeper.sweep)()
    await worker.work(concurrency=4, queues=queues, wait=False)
