"""Keeps what a process works on its own, for as long as it works on it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, connection

logger = structlog.get_logger(__name__)


class Leases:
    """One thread per process renews all leases of a kind while they are held.

    `renew` gets what is held, as pairs of key and holder, and moves its end to `settings.OPERATION_LEASE_SECONDS`
    from now. Its connection stays open in between: whoever has to wait for one comes too late.
    """

    def __init__(self, renew: Callable[[list[tuple[Any, str]]], None]) -> None:
        self.renew = renew
        self.held: set[tuple[Any, str]] = set()
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None

    @contextlib.contextmanager
    def kept(self, key: Any, holder: str = "") -> Iterator[None]:
        with self.lock:
            self.held.add((key, holder))
            if self.thread is None or not self.thread.is_alive():
                self.thread = threading.Thread(target=self._keep_renewing, name="leases", daemon=True)
                self.thread.start()
        try:
            yield
        finally:
            with self.lock:
                # Only this holder's: another thread of ours may have taken over in the meantime.
                self.held.discard((key, holder))

    def _keep_renewing(self) -> None:
        try:
            while True:
                time.sleep(settings.OPERATION_LEASE_SECONDS / 3)
                with self.lock:
                    held = list(self.held)
                    if not held:
                        self.thread = None
                        return
                try:
                    self.renew(held)
                except DatabaseError as error:
                    logger.warning("leases could not be renewed", reason=type(error).__name__)
                    with contextlib.suppress(DatabaseError):
                        connection.close()
        finally:
            with contextlib.suppress(DatabaseError):
                connection.close()
