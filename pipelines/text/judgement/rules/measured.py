"""The basis of all publishers' rules: texts with their measures, and the form of a rule."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.contract.reasons import DropReason
from pipelines.text.characters.counts import Counts, count
from pipelines.text.judgement import repetition
from pipelines.text.judgement.repetition import Repetition

# A rule's reason for a drop, which texts break it [rows], and the value that it measured of each text [rows].
Rule = tuple[DropReason, NDArray[np.bool_], NDArray[np.float64]]


@dataclass(slots=True)
class Texts:
    """Texts and their measures, each computed at its first use."""

    texts: pa.Array  # string[rows], normalised
    english: NDArray[np.bool_]  # [rows]
    _counts: Counts | None = field(default=None)
    _repetition: Repetition | None = field(default=None)

    @property
    def counts(self) -> Counts:
        """Words, lines, sentences."""
        self._counts = self._counts or count(self.texts)
        return self._counts

    @property
    def repetition(self) -> Repetition:
        """Duplicate lines, paragraphs and n-grams."""
        self._repetition = self._repetition or repetition.measure(self.texts)
        return self._repetition


def share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return part / whole; 0 where the whole is 0."""
    return part / np.maximum(whole, 1)


def has_sentence_marks(counts: Counts) -> NDArray[np.bool_]:
    """Return which texts are mostly in scripts that mark the end of a sentence (Thai and Lao do not)."""
    return 2 * counts.unpunctuated_letters <= counts.letters
