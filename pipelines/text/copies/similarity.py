"""Exact similarity of two texts: Jaccard similarity of their word n-grams, and edit similarity in words.

Texts are columns of word hashes (`shingles.Scan.words`); pairs are two such columns, compared row by row.

Edit similarity is that of Lee et al. 2022 (arXiv 2107.06499, section 4.2 and appendix A): 1 - edit distance / length of the
longer, in tokens; they call a pair above 0.8 duplicates.

    >>> texts = Sequences.of(pa.array([[1, 2, 3, 4], [1, 2, 3, 5]], pa.list_(pa.uint32())))
    >>> first, second = texts.take(np.array([0, 0])), texts.take(np.array([0, 1]))
    >>> jaccard(first, second, ngram=2).tolist(), edit_similarity(first, second, threshold=0.7).tolist()
    ([1.0, 0.5], [1.0, 0.75])
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.kernels import jit

_START = np.uint64(0x9E3779B97F4A7C15)
_FACTOR = np.uint64(0xFF51AFD7ED558CCD)  # odd
_NOWHERE = -(2**40)  # before any word


@dataclass(frozen=True, slots=True)
class Sequences:
    """Texts as word hashes; row i is `words[starts[i] : starts[i] + lengths[i]]`, and rows may share words."""

    words: NDArray[np.uint32]
    starts: NDArray[np.int64]  # [rows]
    lengths: NDArray[np.int64]  # [rows]

    @classmethod
    def of(cls, lists: pa.Array) -> Self:
        """Return the rows of a list<uint32> array, without copying the words."""
        offsets = lists.offsets.to_numpy().astype(np.int64) if len(lists) else np.zeros(1, np.int64)
        return cls(np.asarray(lists.values.to_numpy()), offsets[:-1], np.diff(offsets))

    @classmethod
    def joined(cls, parts: Sequence["Sequences"]) -> Self:
        """Return the rows of all parts, copying the words of each row."""
        lengths = np.concatenate([np.empty(0, np.int64), *(part.lengths for part in parts)])
        starts = np.cumsum(lengths) - lengths
        words = np.empty(int(lengths.sum()), np.uint32)
        row = 0
        for part in parts:
            _copy_rows(part.words, part.starts, part.lengths, words, starts[row : row + len(part.starts)])
            row += len(part.starts)
        return cls(words, starts, lengths)

    def take(self, rows: NDArray[np.int64]) -> "Sequences":
        """Return some of the rows, without copying the words."""
        return Sequences(self.words, self.starts[rows], self.lengths[rows])


def jaccard(first: Sequences, second: Sequences, ngram: int) -> NDArray[np.float32]:
    """Return the Jaccard similarity of the sets of word n-grams, row by row.

    A text of fewer than `ngram` words is one n-gram. N-grams are compared by 64-bit hashes of their word hashes. For
    consecutive rows with the same first text, it is read once. Memory beyond the texts: 72 bytes per word of the longest.
    """
    out = np.empty(len(first.starts), np.float32)
    longest = int(np.concatenate([first.lengths, second.lengths]).max(initial=1))
    slots = 1 << (2 * longest - 1).bit_length()  # at most half full
    windows, keys, stamps = np.empty(longest, np.uint64), np.empty(slots, np.uint64), np.zeros(slots, np.int64)
    _jaccard(*_columns(first), *_columns(second), ngram, windows, keys, stamps, out)
    return out


def edit_similarity(first: Sequences, second: Sequences, threshold: float) -> NDArray[np.float32]:
    """Return 1 - Levenshtein distance in words / words of the longer text, row by row; 1 for two empty texts.

    Values of at least `threshold` are exact; smaller ones are upper bounds below the threshold, because the search stops when
    no path within the band of (1 - threshold) × length diagonals is good enough. Time grows with the length plus the square
    of the distance (Ukkonen 1985, Myers 1986); memory is 32 bytes per word in which a pair may differ.
    """
    longest = np.maximum(first.lengths, second.lengths)
    most = _most_edits(longest, np.float32(threshold))
    reach = np.empty((2, 2 * int(most.max(initial=0)) + 5), np.int64)
    distances = np.empty(len(longest), np.int64)
    _edit_distances(*_columns(first), *_columns(second), most, reach, distances)
    return _similarity(distances, longest)


def _columns(texts: Sequences) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]:
    return texts.words, texts.starts, texts.starts + texts.lengths


def _similarity(distances: NDArray[np.int64], longest: NDArray[np.int64]) -> NDArray[np.float32]:
    return (1 - distances / np.maximum(longest, 1)).astype(np.float32)


def _most_edits(longest: NDArray[np.int64], threshold: np.float32) -> NDArray[np.int64]:
    """Return the greatest distance whose similarity, rounded to float32, is not below the threshold."""
    most = np.floor((1 - np.float64(threshold)) * longest).astype(np.int64) + 1
    for _ in range(2):  # rounding puts it off by one at most
        most -= _similarity(most, longest) < threshold
    return np.clip(most, 0, longest)


@jit
def _copy_rows(words: Any, starts: Any, lengths: Any, out: Any, places: Any) -> None:
    for row in range(len(starts)):
        for i in range(lengths[row]):
            out[places[row] + i] = words[starts[row] + i]


@jit
def _jaccard(
    words: Any, starts: Any, ends: Any, others: Any, other_starts: Any, other_ends: Any,
    ngram: int, windows: Any, keys: Any, stamps: Any, out: Any,
) -> None:  # fmt: skip
    """Write the similarities. A set is a table with open addressing; slots have increasing stamps, so none is ever cleared."""
    sizes = np.empty(len(other_starts), np.int64)  # of the second sets
    stamp = 0
    for row in range(len(sizes)):
        stamp += 1
        count = _windows(others[other_starts[row] : other_ends[row]], ngram, windows)
        sizes[row] = _fill(windows[:count], keys, stamps, stamp)
    size, oldest, slots = 0, 0, 0  # of the table: distinct windows, the stamp of its filling, slots in use
    for row in range(len(starts)):
        stamp += 1
        if row == 0 or starts[row] != starts[row - 1] or ends[row] != ends[row - 1]:
            count = _windows(words[starts[row] : ends[row]], ngram, windows)
            size, oldest, slots = _fill(windows[:count], keys, stamps, stamp), stamp, _slots_for(count)
            stamp += 1
        count = _windows(others[other_starts[row] : other_ends[row]], ngram, windows)
        shared = _shared(windows[:count], keys, stamps, slots, oldest, stamp)
        out[row] = shared / (size + sizes[row] - shared)


@jit
def _windows(words: Any, ngram: int, windows: Any) -> int:
    """Hash every window of `ngram` words; return the number of windows."""
    count = max(len(words) - ngram + 1, 1)
    for i in range(count):
        h = _START
        for j in range(i, min(i + ngram, len(words))):
            h = (h ^ np.uint64(words[j])) * _FACTOR
            h ^= h >> np.uint64(32)
        windows[i] = h
    return count


@jit
def _slots_for(count: int) -> int:
    slots = 1
    while slots < 2 * count:
        slots *= 2
    return slots


@jit
def _fill(windows: Any, keys: Any, stamps: Any, stamp: int) -> int:
    """Put the windows into the table; return the number of distinct windows."""
    slots, different = _slots_for(len(windows)), 0
    for h in windows:
        slot = np.int64(h & np.uint64(slots - 1))
        while stamps[slot] == stamp and keys[slot] != h:
            slot = (slot + 1) & (slots - 1)
        different += stamps[slot] != stamp
        keys[slot], stamps[slot] = h, stamp
    return different


@jit
def _shared(windows: Any, keys: Any, stamps: Any, slots: int, oldest: int, stamp: int) -> int:
    """Count the distinct windows that are in the table filled with stamp `oldest`; hits get the new stamp."""
    shared = 0
    for h in windows:
        slot = np.int64(h & np.uint64(slots - 1))
        while stamps[slot] >= oldest and keys[slot] != h:
            slot = (slot + 1) & (slots - 1)
        if stamps[slot] >= oldest:
            shared += stamps[slot] != stamp
            stamps[slot] = stamp
    return shared


@jit
def _edit_distances(
    words: Any, starts: Any, ends: Any, others: Any, other_starts: Any, other_ends: Any, most: Any, reach: Any, out: Any
) -> None:
    for row in range(len(starts)):
        a, b = words[starts[row] : ends[row]], others[other_starts[row] : other_ends[row]]
        start = _common_prefix(a, b)
        end = _common_prefix(a[start:][::-1], b[start:][::-1])
        out[row] = _edit_distance(a[start : len(a) - end], b[start : len(b) - end], most[row], reach)


@jit
def _common_prefix(a: Any, b: Any) -> int:
    """Return the number of equal words at the start of two texts."""
    i, end = 0, min(len(a), len(b))
    while i < end and a[i] == b[i]:
        i += 1
    return i


@jit
def _edit_distance(a: Any, b: Any, most: int, reach: Any) -> int:
    """Return the Levenshtein distance, or most + 1 if it is greater than `most`.

    reach[e % 2, diagonal + most + 2] is how many words of `a` can be passed with e edits on a diagonal (words of `b` minus
    words of `a`). Diagonals from which the last one cannot be reached are skipped.
    """
    last = len(b) - len(a)
    if abs(last) > most:
        return most + 1
    centre = most + 2
    reach[:, : 2 * centre + 1] = _NOWHERE
    for edits in range(most + 1):
        before, now = reach[(edits + 1) % 2], reach[edits % 2]
        spare = most - edits
        for diagonal in range(max(-edits, -len(a), last - spare), min(edits, len(b), last + spare) + 1):
            at = centre + diagonal
            i = max(max(before[at] + 1, before[at + 1] + 1), before[at - 1]) if edits else 0
            i = min(i, min(len(a), len(b) - diagonal))
            while i < len(a) and i + diagonal < len(b) and a[i] == b[i + diagonal]:
                i += 1
            now[at] = i
            if diagonal == last and i == len(a):
                return edits
    return most + 1
