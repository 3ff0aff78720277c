"""Work that threads do ahead of who wants it, handed over in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def in_order(make: Callable[[Item], Made], items: Iterable[Item], *, workers: int, ahead: int) -> Generator[tuple[Item, Made]]:
    """Each item and what `make` makes of it, in the order of the items, `ahead` of them made before they are asked for.

    Without workers everything is made here, when it is asked for. An error of `make` is raised where its item's turn is.
    Closing the iterator, or an error, ends the threads: what has not begun is never begun. A thread only ever waits for
    work, never for the reader, so that nothing has to be closed when the program ends.
    """
    if workers == 0:
        for item in items:
            yield item, make(item)
        return
    coming = iter(items)
    executor = ThreadPoolExecutor(workers, thread_name_prefix="feed")
    try:
        waiting: deque[tuple[Item, Future[Made]]] = deque(
            (item, executor.submit(make, item)) for item in islice(coming, max(ahead, workers))
        )
        while waiting:
            item, future = waiting.popleft()
            made = future.result()
            waiting.extend((following, executor.submit(make, following)) for following in islice(coming, 1))
            yield item, made
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
