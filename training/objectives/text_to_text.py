"""Text to text (T5): predict the targets of a task from its inputs; nothing is drawn.

    inputs [5 6 7], targets [8 9], end 1, pad 0; length 5, target_length 4
    inputs          5 6 7 1 0
    decoder_inputs  0 8 9 0
    targets         8 9 1 IGNORE

With the widths of a `SpanCorruption` the examples have its shapes, so one batch holds rows of both. Text that is too long is
cropped and still ends with the end piece, as with seqio's append_eos_after_trim; `cropped` counts such examples.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.contract.tokenizers.families import Specials
from training.data.rows.batch import Examples
from training.data.tasks import TaskBatch, TaskIndex
from training.kernels import jit
from training.objectives.sequences import count_targets, padded

VERSION = 1


@dataclass(frozen=True, slots=True)
class TextToText:
    """The objective of supervised tasks."""

    length: int  # of inputs, including their end
    target_length: int  # of targets, including their end
    specials: Specials

    def __post_init__(self) -> None:
        assert self.length >= 1 and self.target_length >= 2 and self.specials.decoder_start is not None

    def __call__(self, batch: TaskBatch) -> Examples:
        """N examples -> inputs (N, S), lengths (N,), decoder_inputs, targets (N, T)."""
        inputs = np.empty((len(batch), self.length), dtype=np.int64)
        targets = np.empty((len(batch), self.target_length), dtype=np.int64)
        lengths, target_lengths = np.empty((2, len(batch)), dtype=np.int64)
        _ended(batch.inputs, batch.input_offsets, self.specials.end, inputs, lengths)
        _ended(batch.targets, batch.target_offsets, self.specials.end, targets, target_lengths)
        start = self.specials.decoder_start
        assert start is not None
        return padded(inputs, lengths, targets, target_lengths, pad=self.specials.pad, start=start)

    def counts(self, examples: Examples) -> dict[str, int]:
        """Return by how many predictions the loss is divided."""
        return count_targets(examples)

    def cropped(self, index: TaskIndex) -> dict[str, int]:
        """Return how many examples of each task (by the source's name) lose tokens of their inputs or targets."""
        out: dict[str, int] = {}
        for stream, task in zip(index.streams, index.tasks, strict=True):
            long = (task.examples["inputs"] >= self.length) | (task.examples["targets"] >= self.target_length)
            out[stream.source] = int(np.count_nonzero(long))
        return out


@jit
def _ended(ids: Any, offsets: Any, end: int, out: Any, lengths: Any) -> None:  # pragma: no cover (compiled)
    """Copy ragged ids into rows, cropped to the width, each followed by the end piece."""
    for n in range(len(offsets) - 1):
        count = min(offsets[n + 1] - offsets[n], out.shape[1] - 1)
        for i in range(count):
            out[n, i] = ids[offsets[n] + i]
        out[n, count] = end
        lengths[n] = count + 1
