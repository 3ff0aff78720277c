"""A thread that works on a batch; the server's event loop gives it jobs, and cancels them."""

import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress

from training.serving.batching.batch import Batch
from training.serving.batching.jobs import Job
from training.serving.errors import busy


class Engine:
    """Runs the steps of a batch while it has work. All methods may be called from any thread."""

    def __init__(self, batch: Batch, queue: int, stepped: Callable[[int, float], None] = lambda rows, seconds: None) -> None:
        """`queue`: the most prompts that wait. `stepped` hears of every step: its rows and its time in seconds."""
        self.batch, self.queue, self.stepped = batch, queue, stepped
        self._changed, self._stopping = threading.Condition(), False
        self._thread = threading.Thread(target=self._run, name="corpusmill-serve", daemon=True)
        self._thread.start()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Let jobs wait for their turn. Raises ApiError (429) if that were too many; then none of them waits."""
        with self._changed:
            if len(self.batch.waiting) + len(jobs) > self.queue:
                raise busy()
            self.batch.waiting.extend(jobs)
            self._changed.notify()

    def cancel(self, jobs: Sequence[Job]) -> None:
        """Give up jobs, waiting or not: their rows are free before the next step. What is finished already stays so."""
        with self._changed:
            for job in jobs:
                job.cancelled = True
                with suppress(ValueError):
                    self.batch.waiting.remove(job)

    def stop(self) -> None:
        """Finish all jobs, then end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether jobs are worked on."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                while self.batch.idle and not self._stopping:
                    self._changed.wait()
                if self.batch.idle:
                    return
            begin = time.perf_counter()
            try:
                self.batch.step()
            except Exception:  # whatever fails, memory above all: these answers are lost, the next ones need not be
                traceback.print_exc(file=sys.stderr)
                self.batch.fail("the model failed")
            self.stepped(len(self.batch.rows), time.perf_counter() - begin)
