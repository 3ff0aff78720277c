"""One model or several that vote: the probability of a language is the mean of those models that know it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.text.judgement.languages.codes import codes_of
from pipelines.text.judgement.languages.fasttext_model import FastTextModel
from pipelines.text.kernels import jit


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of the vectors of N texts, by model: float32[N, dimensions], and how many vectors each is the sum of."""

    vectors: tuple[NDArray[np.float32], ...]
    counts: tuple[NDArray[np.int64], ...]

    def by(self, key: NDArray[np.int64], count: int) -> "Sums":
        """Return the sums of the texts with the same key, for the keys 0 to `count` - 1."""
        added = tuple(np.zeros((count, vectors.shape[1]), np.float32) for vectors in self.vectors)
        for vectors, out in zip(self.vectors, added, strict=True):
            add_rows(vectors, key, out)
        return Sums(added, tuple(np.bincount(key, counts, count).astype(np.int64) for counts in self.counts))

    def take(self, rows: NDArray[Any]) -> "Sums":
        """Return some of the texts."""
        return Sums(tuple(vectors[rows] for vectors in self.vectors), tuple(counts[rows] for counts in self.counts))


class Voters:
    """Models, and the languages that they know together."""

    def __init__(self, models: Sequence[FastTextModel]) -> None:
        """Map the models' labels to codes; several labels may be one code."""
        self._models = tuple(models)
        known = [codes_of(model.labels) for model in models]
        self.codes = list(dict.fromkeys(code for codes in known for code in codes))
        columns = {code: column for column, code in enumerate(self.codes)}
        self._columns = [np.array([columns[code] for code in codes]) for codes in known]
        self._voices = np.zeros(len(self.codes), np.float32)  # how many models know a language
        for chosen in self._columns:
            self._voices[np.unique(chosen)] += 1

    def sums(self, data: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Sums:
        """Return the sums of passages: the bytes from each start to its end."""
        each = [model.sums(data, starts, ends) for model in self._models]
        return Sums(tuple(vectors for vectors, _ in each), tuple(counts for _, counts in each))

    def probabilities(self, sums: Sums) -> NDArray[np.float32]:
        """Return float32[N, codes]; zeros for a text of which no model knows anything."""
        total = np.zeros((len(sums.counts[0]), len(self.codes)), np.float32)
        for model, columns, vectors, counts in zip(self._models, self._columns, sums.vectors, sums.counts, strict=True):
            add_columns(model.probabilities(vectors, counts), columns, total)
        if len(self._models) > 1:
            total /= self._voices
            total /= np.maximum(total.sum(axis=1, keepdims=True), np.float32(1e-9))
        return np.minimum(total, 1, out=total)


@jit
def add_columns(values: Any, columns: Any, out: Any) -> None:
    """Add each column of float32[N, A] to the one of `out` that `columns` names."""
    for row in range(values.shape[0]):
        for i in range(columns.size):
            out[row, columns[i]] += values[row, i]


@jit
def add_rows(values: Any, rows: Any, out: Any) -> None:
    """Add each row of [N, A] to the one of `out` that `rows` names."""
    for row in range(values.shape[0]):
        for i in range(values.shape[1]):
            out[rows[row], i] += values[row, i]
