"""Encoded rows of a task, and the padded batches that models read.

rows = Rows({"inputs": ragged([[5, 6, 7], [8]], pad=0), "labels": np.array([1, 0])}, records=np.array([0, 1]))
rows.batch(np.array([1, 0]))
# {"inputs": [[8 0 0] [5 6 7]], "lengths": [1 3], "labels": [0 1]}
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.rows.batch import IGNORE, Examples

INPUTS, LENGTHS = "inputs", "lengths"
TARGETS = "targets"  # of a decoder, or of each token; padded with IGNORE
_MULTIPLE = 8  # widths of batches, so that memory is used again and tensor cores are fed

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ragged:
    """Sequences of numbers, one for each row: row n is `values[offsets[n] : offsets[n + 1]]`."""

    values: NDArray[np.int64]
    offsets: Numbers  # (N + 1,)
    pad: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Numbers:
        """Length of each row: (N,)."""
        return np.diff(self.offsets)

    def row(self, number: int) -> NDArray[np.int64]:
        """Return a row."""
        return self.values[self.offsets[number] : self.offsets[number + 1]]

    def padded(self, numbers: Numbers) -> NDArray[np.int64]:
        """Return rows (N,), padded on the right: (N, T), where T is the longest of them, rounded up to a multiple of 8."""
        lengths = self.lengths[numbers]
        width = -(-int(lengths.max(initial=1)) // _MULTIPLE) * _MULTIPLE
        out = np.full((len(numbers), width), self.pad, np.int64)
        place = np.arange(width)
        inside = place < lengths[:, None]
        out[inside] = self.values[(self.offsets[numbers][:, None] + place)[inside]]
        return out


def ragged(rows: Sequence[Sequence[int]], pad: int) -> Ragged:
    """Return sequences as one array with offsets."""
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)]).astype(np.int64)
    return Ragged(np.fromiter(chain.from_iterable(rows), np.int64, int(offsets[-1])), offsets, pad)


@dataclass(frozen=True, slots=True)
class Rows:
    """What a task makes of its records: columns by name, one entry for each row. A record may give several rows, or none."""

    columns: Mapping[str, Ragged | NDArray[Any]]  # INPUTS is one of them
    records: Numbers  # (N,) the record of each row
    cropped: int = 0  # rows that lost tokens because they were longer than the model reads
    notes: Mapping[str, int] = field(default_factory=dict[str, int])  # counts of what was left out, by reason

    def __len__(self) -> int:
        return len(self.records)

    @property
    def lengths(self) -> Numbers:
        """Tokens of each row that the model reads first: (N,)."""
        inputs = self.columns[INPUTS]
        assert isinstance(inputs, Ragged)
        return inputs.lengths

    def batch(self, numbers: Numbers) -> Examples:
        """Return rows as padded arrays, with the lengths of their inputs (N,)."""
        out: Examples = {LENGTHS: self.lengths[numbers]}
        for name, column in self.columns.items():
            out[name] = column.padded(numbers) if isinstance(column, Ragged) else column[numbers]
        return out

    def digest(self) -> str:
        """Return a hash (hex) of all columns."""
        made = hashlib.sha256()
        for name, column in sorted(self.columns.items()):
            arrays = (column.values, column.offsets) if isinstance(column, Ragged) else (column,)
            for array in arrays:
                made.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
                made.update(np.ascontiguousarray(array).data)
        return made.hexdigest()


def decoded(targets: Sequence[Sequence[int]], end: int, start: int) -> dict[str, Ragged]:
    """Return the columns of a decoder that learns to write these ids and then the end.

    >>> {name: column.values.tolist() for name, column in decoded([[8, 9]], end=1, start=0).items()}
    {'decoder_inputs': [0, 8, 9], 'targets': [8, 9, 1]}
    """
    return {
        "decoder_inputs": ragged([[start, *row] for row in targets], pad=0),
        TARGETS: ragged([[*row, end] for row in targets], pad=IGNORE),
    }
