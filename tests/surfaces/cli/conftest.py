from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.people import Cast


@pytest.fixture
def committed(transactional_db: None, cast: Cast) -> Cast:
    """The cast, where other threads and processes see it."""
    return cast


@pytest.fixture
def worker(committed: Cast) -> Iterator[None]:
    """Somebody who works on operations while a command waits for them."""
    from django.db import connection

    from parcelle.domain.provisioning import runner, states
    from parcelle.domain.provisioning.models import Operation
    from parcelle.domain.provisioning.workflows import WORKFLOWS

    ended = threading.Event()

    def work() -> None:
        try:
            while not ended.wait(0.05):
                for pk in Operation.objects.filter(state__in=states.UNFINISHED).values_list("pk", flat=True):
                    runner.run(pk, WORKFLOWS)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    ended.set()
    thread.join()
