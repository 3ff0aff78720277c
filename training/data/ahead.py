"""Work that threads do ahead of the consumer, handed over in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    make: Callable[[Item], Result], items: Iterable[Item], *, workers: int, ahead: int
) -> Generator[tuple[Item, Result]]:
    """Yield each item and `make(item)`, in the order of the items; up to `ahead` results are computed in advance.

    Without workers, `make` runs here when its result is requested. An error of `make` is raised at its item's turn. Closing
    the iterator, or an error, ends the threads: work that has not started never starts. A thread waits only for work, never
    for the reader, so nothing has to be closed when the program ends.
    """
    if workers == 0:
        for item in items:
            yield item, make(item)
        return
    upcoming = iter(items)
    executor = ThreadPoolExecutor(workers, thread_name_prefix="feed")
    try:
        waiting: deque[tuple[Item, Future[Result]]] = deque(
            (item, executor.submit(make, item)) for item in islice(upcoming, max(ahead, workers))
        )
        while waiting:
            item, future = waiting.popleft()
            result = future.result()
            waiting.extend((following, executor.submit(make, following)) for following in islice(upcoming, 1))
            yield item, result
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
