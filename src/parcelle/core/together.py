"""Many who ask at once are served together: one call for all who came while the one before it was being made.

A commit costs the same for one row and for fifty. Nobody waits for others to come: who comes alone is served at once,
and the more come, the more are served by each call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor


class Together[Item, Answer]:
    """Calls `serve`, which answers each of up to `most` items in their order, in a thread of its own.

    What it raises goes to everybody it was called for.
    """

    def __init__(self, serve: Callable[[Sequence[Item]], Sequence[Answer]], *, most: int, name: str) -> None:
        self.serve = serve
        self.most = most
        self.thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self.waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self.serving: asyncio.Task[None] | None = None

    async def ask(self, item: Item) -> Answer:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self.waiting.append((item, answer))
        if self.serving is None:
            self.serving = loop.create_task(self._serve())
        return await answer

    async def _serve(self) -> None:
        try:
            while self.waiting:
                now, self.waiting = self.waiting[: self.most], self.waiting[self.most :]
                await self._serve_these(now)
        finally:
            self.serving = None

    async def _serve_these(self, asked: Sequence[tuple[Item, asyncio.Future[Answer]]]) -> None:
        items = [item for item, _answer in asked]
        served = asyncio.get_running_loop().run_in_executor(self.thread, self.serve, items)
        await asyncio.wait([served])
        # Whoever asked may have gone.
        still_here = [(number, answer) for number, (_item, answer) in enumerate(asked) if not answer.done()]
        for number, answer in still_here:
            if (error := served.exception()) is not None:
                answer.set_exception(error)
            else:
                answer.set_result(served.result()[number])
