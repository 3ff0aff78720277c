"""Exact runs of words that occur more than once, found by the hashes of all windows of N words.

A run of N words or more can repeat only if each of its windows of N words does. Windows of equal hashes form a bucket, in
which the best-ranked place is kept and the others are repeats; a word is removed if it is in a repeated window. No text is
lost: a removed word has the same words around it in a better place, and a chain of better places must end. Of a text that
repeats itself with a period below N ("ha ha ha …"), one period is kept.

A suffix array (Lee et al. 2022, arXiv 2107.06499) finds exactly the same words (checked on 3 MB of books with N = 50 and 10).
pydivsufsort 0.0.20 (libdivsufsort, released in 2026-02; the best on the package index) sorted 88 MB in 13 s and found the
common prefixes in 6 s, in one process, with 12 bytes per byte of text, 8 of them for the prefixes. From 2 GiB on, its numbers
have 64 bits, so 1 TB of text would need a machine with 24 TB. Windows take 16 bytes per word on disk, about 3 per byte of
English, and can be sorted in any number of ranges.

A place is a number made of a document's rank and the index of a word in it, so places sort by rank.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.text.characters.comparison import WINDOW_BASE, mix
from pipelines.text.kernels import jit

VERSION = 1

# The bits of a place that hold the word's index: a document has at most schema.MAX_CHARACTERS_PER_DOCUMENT = 2^20 characters,
# and few characters are several words.
WORD_BITS = 24

Hashes = NDArray[np.uint64]
Places = NDArray[np.uint64]


def windows(words: Hashes, offsets: NDArray[np.int64], length: int, ranks: NDArray[np.int64]) -> tuple[Hashes, Places]:
    """Return the hashes and places of all windows of `length` words.

    `words` are the hashes of the texts' words: text i has words `offsets[i]` to `offsets[i + 1]` and rank `ranks[i]`. A text
    of rank -1 is skipped.

    >>> _, places = windows(np.arange(5, dtype=np.uint64), np.array([0, 2, 5]), 2, np.array([7, 3]))
    >>> [(place >> WORD_BITS, place % 2**WORD_BITS) for place in places.tolist()]
    [(7, 0), (3, 0), (3, 1)]
    """
    counts = np.where(ranks >= 0, np.maximum(np.diff(offsets) - length + 1, 0), 0)
    hashes, places = np.empty(counts.sum(), np.uint64), np.empty(counts.sum(), np.uint64)
    _windows(words, offsets, length, ranks, hashes, places)
    return hashes, places


def repeated(hashes: Hashes, places: Places) -> Places:
    """Return the sorted places of windows that also occur in a better place.

    >>> repeated(np.array([5, 9, 5, 5], np.uint64), np.array([8, 1, 4, 6], np.uint64)).tolist()
    [6, 8]
    """
    shared = _perhaps_shared(hashes)
    hashes, places = hashes[shared], places[shared]
    order = np.lexsort((places, hashes))
    worse = np.zeros(len(order), np.bool_)
    worse[1:] = hashes[order[1:]] == hashes[order[:-1]]
    return np.sort(places[order[worse]])


def documents(places: Places) -> NDArray[np.int64]:
    """Return the rank (or the number, after `renumber`) of each place's document."""
    return (places >> np.uint64(WORD_BITS)).astype(np.int64)


def renumber(places: Places, numbers: NDArray[np.int64]) -> Places:
    """Return the places with each document's rank r replaced by numbers[r]."""
    renumbered = numbers[documents(places)].astype(np.uint64)
    return renumbered << np.uint64(WORD_BITS) | places & np.uint64(2**WORD_BITS - 1)


def spans(places: Places, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the runs of words covered by windows of `length` words at sorted places: rank, first word, end.

    The end is the word after the last one. Windows that overlap or touch form one run.

    >>> at = np.array([3, 4, 6, 9, 2**WORD_BITS], np.uint64)
    >>> [column.tolist() for column in spans(at, 2)]
    [[0, 0, 1], [3, 9, 0], [8, 11, 2]]
    """
    rank = documents(places)
    word = (places & np.uint64(2**WORD_BITS - 1)).astype(np.int64)
    is_first = np.ones(len(places), np.bool_)
    is_first[1:] = (rank[1:] != rank[:-1]) | (word[1:] > word[:-1] + length)
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], len(places))[: len(first)] - 1
    return rank[first], word[first], word[last] + length


def covered(offsets: NDArray[np.int64], rows: NDArray[np.int64], first: NDArray[np.int64], end: NDArray[np.int64]) -> Any:
    """Return bool[offsets[-1]]: whether each word is in a run; run i is words first[i] to end[i] of text rows[i]."""
    change = np.zeros(offsets[-1] + 1, np.int64)
    np.add.at(change, offsets[rows] + first, 1)
    np.add.at(change, offsets[rows] + end, -1)
    return np.cumsum(change)[:-1] > 0


@jit
def _perhaps_shared(hashes: Any) -> Any:
    """Flag the hashes that repeat, and a few others. Most windows occur once; sorting all would take ten times as long."""
    slots = 1
    while slots < 8 * len(hashes):
        slots *= 2
    mask = np.uint64(slots - 1)  # the lower bits: the upper ones are equal within a range of hashes
    seen = np.zeros(slots, np.uint8)
    for value in hashes:
        seen[value & mask] += seen[value & mask] < 2
    shared = np.empty(len(hashes), np.bool_)
    for i in range(len(hashes)):
        shared[i] = seen[hashes[i] & mask] == 2
    return shared


@jit
def _windows(words: Any, offsets: Any, length: int, ranks: Any, hashes: Any, places: Any) -> None:
    oldest = np.uint64(1)
    for _ in range(length):
        oldest *= WINDOW_BASE
    size = 0
    for row in range(len(offsets) - 1):
        if ranks[row] < 0 or offsets[row + 1] - offsets[row] < length:
            continue
        rolling = np.uint64(0)
        place = np.uint64(ranks[row]) << np.uint64(WORD_BITS)
        for i in range(offsets[row], offsets[row + 1]):
            rolling = rolling * WINDOW_BASE + words[i]
            index = i - offsets[row] - length + 1
            if index > 0:
                rolling -= words[i - length] * oldest
            if index >= 0:
                hashes[size] = mix(rolling)
                places[size] = place | np.uint64(index)
                size += 1
