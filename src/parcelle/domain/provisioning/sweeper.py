"""Finds the jobs that a dead worker left behind and has them done by a living one.

Operations need no sweeping: one whose lease ran out is taken like any other.
"""

from __future__ import annotations

import structlog
from asgiref.sync import async_to_sync
from procrastinate import exceptions, utils
from procrastinate.contrib.django import app as queue
from procrastinate.jobs import Status

logger = structlog.get_logger(__name__)

DEAD_WORKER_SECONDS = 30.0


def sweep() -> None:
    """Offers again what dead workers had begun; all jobs of ours are safe to run twice."""
    async_to_sync(_retry_stalled_jobs)()


async def _retry_stalled_jobs() -> None:
    jobs = queue.job_manager
    for job in await jobs.get_stalled_jobs(seconds_since_heartbeat=DEAD_WORKER_SECONDS):
        logger.warning("job of a dead worker offered again", job_id=job.id, task=job.task_name)
        try:
            await jobs.retry_job(job, retry_at=utils.utcnow())
        except exceptions.UniqueViolation:
            # Its twin, asked for since, waits in the queue already and will do the same.
            await jobs.finish_job(job, status=Status.ABORTED, delete_job=False)
        except exceptions.ConnectorException:
            logger.info("another sweeper was faster", job_id=job.id)
