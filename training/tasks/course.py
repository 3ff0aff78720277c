"""The steps of a fine-tuning: every record once an epoch, in hashed order, rows of like length together.

Row numbers of slot 0, 1, 2, … are those of a permutation of all rows for each epoch. The slots of 64 batches are sorted by
length and cut into batches, and these are permuted: a batch then has little padding, and its rows are still drawn from the
whole epoch. The batch of step k is a function of (rows, seed, batch_rows, steps, k).
"""

from collections.abc import Generator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from training.data.ahead import in_order
from training.data.draws import key
from training.data.order.sampler import permute
from training.data.rows.batch import Examples
from training.run.feed import shares
from training.tasks.input.rows import Numbers, Rows

VERSION = 1  # of the order
_WINDOW = 64  # batches that are sorted by length together
_AHEAD = 2
_ORDER, _BATCHES = 0, 1  # in the keys


class Counting(Protocol):
    """What a course needs of a task."""

    def counts(self, examples: Examples) -> dict[str, int]:
        """Return the number of predictions by which each term of the loss is divided."""
        ...


@dataclass(frozen=True)
class Epochs:
    """The course of a task's training."""

    task: Counting
    rows: Rows
    batch_rows: int
    steps: int
    seed: int
    text_bytes: int  # UTF-8, of all records

    def numbers(self, step: int) -> Numbers:
        """Return the rows of a step: (batch_rows,)."""
        window, place = divmod(step, _WINDOW)
        batches = min(_WINDOW, self.steps - window * _WINDOW)
        drawn = self.drawn(window * _WINDOW * self.batch_rows, batches * self.batch_rows)
        by_length = drawn[np.argsort(self.rows.lengths[drawn], kind="stable")]
        batch = int(permute(np.array([place]), batches, key(self.seed, _BATCHES, window))[0])
        return by_length[batch * self.batch_rows : (batch + 1) * self.batch_rows]

    def drawn(self, first: int, count: int) -> Numbers:
        """Return the rows of `count` slots from `first` on: (count,)."""
        epoch, at = np.divmod(np.arange(first, first + count), len(self.rows))
        return permute(at, len(self.rows), key(self.seed, _ORDER, epoch))

    def batches(
        self, first_step: int, *, rank: int, world: int, workers: int, micro_batches: int
    ) -> Generator[tuple[int, "Epochs", list[Examples]]]:
        """See training/run/state.py, Course."""
        first, end = shares(self.batch_rows, world)[rank : rank + 2]
        places = [first + place for place in shares(end - first, micro_batches)]

        def make(step: int) -> list[Examples]:
            numbers = self.numbers(step)
            return [self.rows.batch(numbers[begin:until]) for begin, until in pairwise(places)]

        for step, examples in in_order(make, range(first_step, self.steps), workers=workers, ahead=_AHEAD):
            yield step, self, examples

    def counts(self, examples: Examples) -> dict[str, int]:
        """See training/run/state.py, Batches."""
        return self.task.counts(examples)

    def tokens(self, examples: Examples) -> int:
        """Count the tokens that the model reads; for an encoder-decoder, those of the encoder."""
        return int(examples["lengths"].sum())

    def bytes(self, steps: int) -> int:
        """Return the UTF-8 bytes of text of the first `steps` steps, by the mean of a row."""
        return round(steps * self.batch_rows * self.text_bytes / len(self.rows))

    def identity(self) -> dict[str, Any]:
        """Return everything that decides the batches."""
        return {
            "rows": self.rows.digest(),
            "order version": VERSION,
            "planned steps": self.steps,
            "batch_rows": self.batch_rows,
            "seed": self.seed,
        }
