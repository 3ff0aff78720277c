"""What a row index hands to an objective: the tokens of some rows, ragged, and where documents and sentences begin."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

IGNORE = -100  # a target that is not predicted (PyTorch's ignore_index)


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Tokens of N rows, one row after the other.

    A span is the piece of one document in a row. Where rows hold ends of text, a span includes the one after its document,
    unless the row is cut before it; the end of text may be a span alone. Two rows of the documents [5 6 7]
    and [8 9], concatenated with end-of-text 0, rows of 4:

        ids        5 6 7 0  8 9 0
        rows       0 4 7
        spans      0 4 7
        row_spans  0 1 2
        sentences  0 2 4           if one starts at 5, 7 and 8
    """

    ids: NDArray[np.int32]  # (tokens,)
    rows: NDArray[np.int64]  # (N + 1,): row n is ids[rows[n] : rows[n + 1]]
    spans: NDArray[np.int64]  # (S + 1,): span s is ids[spans[s] : spans[s + 1]]; spans of a row are consecutive, none is empty
    row_spans: NDArray[np.int64]  # (N + 1,): row n has the spans row_spans[n] .. row_spans[n + 1] - 1
    sentences: NDArray[np.int64]  # (K,) places in ids where a sentence starts, ascending; empty unless the layout wants them.
    # Every span's first token is one, even where a span begins within a sentence.
    random_next: NDArray[np.bool_] | None = None  # (N,) pairs only: whether the second span is of a random document (NSP label 1)

    def __len__(self) -> int:
        return len(self.rows) - 1


Examples = dict[str, NDArray[Any]]  # what an objective makes from a RowBatch: padded arrays by name, see training/objectives
