"""Causal language modelling (GPT): every token is predicted from those before it in its row.

    row      [5 6 7 0]
    inputs   [5 6 7]
    targets  [6 7 0]

A row of concatenated documents is by default not masked at document ends, as in GPT-2 and nanoGPT: the first token of a
document is predicted from the end-of-text before it and, through attention, from the document before that.

With `document_boundaries` no document sees another. Two documents [5 6] and [8 9] with end-of-text 0 in a row of `length` 6:

    row        [5 6 0 8 9 0]
    inputs     [5 6 0 8 9 pad]
    targets    [6 0 IGNORE 9 0 IGNORE]
    documents  [0 0 0 1 1 -1]
    positions  [0 1 2 0 1 0]

The end-of-text is predicted from its document, and predicts nothing: what would follow it is another document. So the
first token of a document is not a target (nor is the first of a row, which may lie inside a document). The end-of-text is
still an input, with its document's number and the next position.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from training.data.rows.batch import IGNORE, Examples, RowBatch
from training.kernels import jit

VERSION = 1


@dataclass(frozen=True, slots=True)
class CausalLM:
    """Rows of up to `length + 1` tokens as inputs and targets, each (N, length) int64.

    With `document_boundaries` also `documents` (N, length) int32, the number of the document within its row (padding -1),
    and `positions` (N, length) int64, from 0 in every document (padding 0).

        >>> batch = RowBatch(np.array([5, 6, 7, 0, 8, 9], np.int32), rows=np.array([0, 4, 6]), spans=np.array([0, 4, 6]),
        ...                  row_spans=np.array([0, 1, 2]), sentences=np.empty(0, np.int64))
        >>> examples = CausalLM(length=3, pad=0)(batch, np.zeros(2, np.uint64))
        >>> examples["inputs"].tolist()
        [[5, 6, 7], [8, 0, 0]]
        >>> examples["targets"].tolist()
        [[6, 7, 0], [9, -100, -100]]
    """

    length: int  # of inputs and targets
    pad: int  # of inputs; targets are padded with IGNORE
    document_boundaries: bool = False

    overlap: ClassVar[int] = 1  # the last token of a row is a target only: the next row begins with it

    @property
    def row_tokens(self) -> int:
        """Most tokens of a row."""
        return self.length + 1

    def __call__(self, rows: RowBatch, keys: NDArray[np.uint64]) -> Examples:
        """Make N examples from a RowBatch of N rows. Nothing is drawn: `keys` are there because every objective takes them."""
        count = len(rows)
        assert int(np.diff(rows.rows).max(initial=0)) <= self.row_tokens, "a row is longer than row_tokens"
        inputs = np.full((count, self.length), self.pad, np.int64)
        targets = np.full((count, self.length), IGNORE, np.int64)
        _shift(rows.ids, rows.rows, inputs, targets)
        if not self.document_boundaries:
            return {"inputs": inputs, "targets": targets}
        documents = np.full((count, self.length), -1, np.int32)
        positions = np.zeros((count, self.length), np.int64)
        _separate(rows.rows, rows.spans, rows.row_spans, targets, documents, positions)
        return {"inputs": inputs, "targets": targets, "documents": documents, "positions": positions}

    def counts(self, examples: Examples) -> dict[str, int]:
        """Return by how many predictions the loss is divided: the targets that are not IGNORE."""
        return {"tokens": int(np.count_nonzero(examples["targets"] != IGNORE))}


@jit
def _shift(ids: Any, rows: Any, inputs: Any, targets: Any) -> None:  # pragma: no cover (compiled)
    for row in range(len(rows) - 1):
        first = rows[row]
        for at in range(rows[row + 1] - first - 1):
            inputs[row, at] = ids[first + at]
            targets[row, at] = ids[first + at + 1]


@jit
def _separate(
    rows: Any, spans: Any, row_spans: Any, targets: Any, documents: Any, positions: Any
) -> None:  # pragma: no cover (compiled)
    for row in range(len(rows) - 1):
        first, last = rows[row], rows[row + 1] - 1  # the last token is not an input
        for span in range(row_spans[row], row_spans[row + 1]):
            begin, end = spans[span], spans[span + 1]
            for token in range(begin, min(end, last)):
                documents[row, token - first] = span - row_spans[row]
                positions[row, token - first] = token - begin
            if begin < end <= last:
                targets[row, end - 1 - first] = IGNORE  # the next token is of another document
