"""A thread that answers requests one after the other, beside the event loop and the models that write."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from training.serving.errors import busy

_Words = ParamSpec("_Words")
_Answer = TypeVar("_Answer")


class Worker:
    """The thread, and the number of requests that wait for it or are answered by it."""

    def __init__(self, name: str, queue: int) -> None:
        """`queue`: the most requests that wait."""
        self.queue, self.waiting = queue, 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"corpusmill-{name}")

    async def run(self, answer: Callable[_Words, _Answer], *words: _Words.args, **named: _Words.kwargs) -> _Answer:
        """Return what a function returns. Raises ApiError (429) for a full queue. A call that is cancelled leaves the queue."""
        if self.waiting >= self.queue:
            raise busy()
        self.waiting += 1
        try:
            return await asyncio.wrap_future(self._thread.submit(answer, *words, **named))
        finally:
            self.waiting -= 1

    def stop(self) -> None:
        """Finish what waits, then end the thread."""
        self._thread.shutdown(wait=True)
