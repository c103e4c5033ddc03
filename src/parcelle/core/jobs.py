"""What happens around every background job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog

logger = structlog.get_logger(__name__)


def log_failures(call_next: Callable[[], Any], context: Any, _worker: Any) -> Any:
    """A job that fails is loud, also when it will be tried again; its retries are the queue's business."""
    job = context.job
    with structlog.contextvars.bound_contextvars(job_id=job.id, task=job.task_name):
        try:
            return call_next()
        except Exception:
            logger.exception("job failed", attempt=job.attempts + 1, arguments=job.task_kwargs)
            raise
