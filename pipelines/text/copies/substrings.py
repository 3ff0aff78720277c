"""Exact runs of words that stand in two places, by the hashes of all windows of N words.

A run of N words or more stands twice exactly if each of its windows of N words does. So the windows' hashes come
into buckets; in each, the best-ranked place stays and the others are repeated; a word goes if it lies in a repeated window.
Nothing is lost by that: a word that goes has the same words around it in a better place, and places can only get better so
often. Of a text that repeats itself with a period below N ("ha ha ha …") one period stays.

A suffix array (Lee et al. 2022, arXiv 2107.06499) finds the same runs: on 3 MB of books, in 50 and in 10 words, the same words
to the last one. pydivsufsort 0.0.20 (libdivsufsort, released in 2026-02; the best of the package index) sorted 88 MB in 13 s
and found the common prefixes in 6 s, in one process with 12 bytes a byte of text, of which 8 are for the prefixes. From 2 GiB
on its numbers have 64 bits, so that 1 TB of text would take a machine of 24 TB. Window rows take 16 bytes a word, about 3 a
byte of English, on disk, and are sorted in as many ranges as there should be.

A place is one number, the rank of a document and the index of a word in it: places compare as they rank.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.text.characters.comparison import WINDOW_BASE, mix
from pipelines.text.kernels import jit

VERSION = 1

WORD_BITS = (
    24  # of a place: a document has at most 2^20 characters (schema.MAX_CHARACTERS_PER_DOCUMENT), few of them several words
)

Hashes = NDArray[np.uint64]
Places = NDArray[np.uint64]


def windows(words: Hashes, offsets: NDArray[np.int64], length: int, ranks: NDArray[np.int64]) -> tuple[Hashes, Places]:
    """The windows of `length` words of each text: their hashes and their places.

    `words` are hashes of the texts' words, text i has `offsets[i]` to `offsets[i + 1]` and the rank `ranks[i]`; a text with
    the rank -1 takes no part.

    >>> _, places = windows(np.arange(5, dtype=np.uint64), np.array([0, 2, 5]), 2, np.array([7, 3]))
    >>> [(place >> WORD_BITS, place % 2**WORD_BITS) for place in places.tolist()]
    [(7, 0), (3, 0), (3, 1)]
    """
    counts = np.where(ranks >= 0, np.maximum(np.diff(offsets) - length + 1, 0), 0)
    hashes, places = np.empty(counts.sum(), np.uint64), np.empty(counts.sum(), np.uint64)
    _windows(words, offsets, length, ranks, hashes, places)
    return hashes, places


def repeated(hashes: Hashes, places: Places) -> Places:
    """The places of the windows that a better place has too, sorted.

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
    """The rank (or the number) of the document of each place."""
    return (places >> np.uint64(WORD_BITS)).astype(np.int64)


def renamed(places: Places, names: NDArray[np.int64]) -> Places:
    """The places with the document of rank r called names[r]."""
    named = names[documents(places)].astype(np.uint64)
    return named << np.uint64(WORD_BITS) | places & np.uint64(2**WORD_BITS - 1)


def spans(places: Places, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The runs of words that windows of `length` words at these sorted places cover: rank, first word, word behind the last.

    Windows that overlap or touch make one run.

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


def covered(offsets: NDArray[np.int64], rows: NDArray[np.int64], first: NDArray[np.int64], behind: NDArray[np.int64]) -> Any:
    """A flag a word (bool[offsets[-1]]): whether it lies in one of the runs, each the text that it is of and its words."""
    change = np.zeros(offsets[-1] + 1, np.int64)
    np.add.at(change, offsets[rows] + first, 1)
    np.add.at(change, offsets[rows] + behind, -1)
    return np.cumsum(change)[:-1] > 0


@jit
def _perhaps_shared(hashes: Any) -> Any:
    """Which hashes occur twice, and a few that do not: most windows stand once, and to sort them all takes ten times as long."""
    slots = 1
    while slots < 8 * len(hashes):
        slots *= 2
    mask = np.uint64(slots - 1)  # the lower bits: the upper ones are alike in a range of hashes
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
    found = 0
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
                hashes[found] = mix(rolling)
                places[found] = place | np.uint64(index)
                found += 1
