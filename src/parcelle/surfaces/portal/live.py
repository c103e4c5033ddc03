"""Pages that change while somebody looks: server-sent events that carry the same fragment a reload would show."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.http import StreamingHttpResponse
from django.utils import translation

from parcelle.core import context, notify

_HEARTBEAT_SECONDS = 15
# Without any news the state is still read again this often, so that a lost notification costs seconds only.
_LOOK_AGAIN_SECONDS = 5

# Reads the present state: the fragment's HTML, and whether nothing more will happen by itself.
Look = Callable[[], tuple[str, bool]]


def is_stream(path: str) -> bool:
    """Whether a stream is asked for: they are what must not take a thread for as long as it lasts."""
    return path.endswith("/events")


def stream(look: Look, *, topic: str) -> StreamingHttpResponse:
    """Sends `progress` events with the fragment whenever it changed, and `finished` at the end.

    `look` is called in a thread, in the language of the page.
    """
    return StreamingHttpResponse(
        _events(context.carried(look), topic, translation.get_language() or "fr"),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(look: Look, topic: str, language: str) -> AsyncIterator[str]:
    changed = asyncio.Event()
    listening = asyncio.create_task(_wake(changed, topic))
    # Listening begins before the first look: what happens in between is not missed.
    await asyncio.sleep(0)
    sent, last_sign = "", 0.0
    try:
        while True:
            changed.clear()
            html, finished = await in_thread(_in_language)(look, language)
            if html != sent:
                sent, last_sign = html, time.monotonic()
                yield _event("progress", html)
            if finished:
                yield _event("finished", "")
                return
            if time.monotonic() - last_sign >= _HEARTBEAT_SECONDS:
                last_sign = time.monotonic()
                yield ": still here\n\n"
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), _LOOK_AGAIN_SECONDS)
    finally:
        listening.cancel()


async def _wake(changed: asyncio.Event, topic: str) -> None:
    async for _topic in notify.listen(topic):
        changed.set()


def _in_language(look: Look, language: str) -> tuple[str, bool]:
    with translation.override(language):
        return look()


def _event(name: str, data: str) -> str:
    lines = "".join(f"data: {line}\n" for line in data.splitlines() or [""])
    return f"event: {name}\n{lines}\n"


def in_thread(function: Any) -> Any:
    """Runs in a pooled thread and gives the database connection back at once.

    A stream lives for minutes. Were it to keep a thread and a connection of its own, a few dozen open
    pages would use up the pool.
    """

    def call(*args: Any) -> Any:
        try:
            return function(*args)
        finally:
            close_old_connections()

    return sync_to_async(call, thread_sensitive=False)
