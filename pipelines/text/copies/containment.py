r"""Which texts hold a run of words of a reference text: containment of consecutive words, however long the texts are.

A reference item (a question, a passage of a benchmark) gives its windows of `ngram` words; a text that has one of these
windows shares that many consecutive words with the item (GPT-3, arXiv 2005.14165, appendix C: 13). Words are compared as
`comparison` normalises them, so case, punctuation, line breaks and diacritics do not matter. An item shorter than a window,
but not than `min_words`, is one window: it must be there whole. Similarity (Jaccard) would not do: a question inside a
book is next to nothing of the book.

A character of a script written without spaces is half a word, so 26 are asked for: 13 characters of Chinese are about 7
words, and many a name is longer ("中华人民共和国全国人民代表大会" has 15). Measured on Japanese tales, pages of 2,000
characters against as many others: 14 characters in a row are shared by 43 pages of 529, mostly phrases such as "I asked him,
whereupon"; 26 by 20 pages, all of them notes of the same editor. A window is the shortest run from its first word that
weighs enough, in texts that mix scripts too; as that depends on nothing but its words, both sides cut the same windows.

    >>> items = pa.array(["The quick brown fox jumps over the lazy dog.", "Too short"])
    >>> known, too_short = windows(items, ngram=4, min_words=3)
    >>> reference = index(known)
    >>> found = matches(pa.array(["Nothing.", "He wrote: QUICK BROWN FOX\njumps over a dog"]), reference)
    >>> found.rows.tolist(), found.items.tolist(), found.first.tolist(), found.last.tolist()
    ([1], [0], [2], [6])

Every window begins with a run of `min_words` words, its anchor. The anchors of a text are looked up in a bitmap of some 12
bits an anchor, in a loop that does nothing else, so that the processor waits for many of them at once; the few words that
pass are compared with the windows. With the 2.1 million windows of 100,000 items, English text goes through at 90 MB/s on one
core; the index takes 30 bytes a window.

Windows are known by a hash of 64 bits (a polynomial in the words' hashes, mixed) and not compared again: a corpus of 10^9
words against 10^6 windows meets a false one with probability 10^15 / 2^64 = 5e-5.

Limits: of items that have a window in common only the first is named for it. Runs of more than `ngram` words that start
or end within a character's weight of a window may be shown one character short.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.characters import word_spans
from pipelines.text.characters.comparison import WINDOW_BASE, mix
from pipelines.text.characters.word_spans import Words
from pipelines.text.copies.clusters import distinct
from pipelines.text.kernels import jit

VERSION = f"1/words-{word_spans.VERSION}"

_WORD_WEIGHT, _CHARACTER_WEIGHT = 2, 1
_FILTER_BITS = 8  # for an anchor, at least; two are set, so a strange one passes in one of 15 at most


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of some items, each window once."""

    hashes: NDArray[np.uint64]  # [windows] ascending
    items: NDArray[np.uint32]  # [windows] the first item that has it
    anchors: NDArray[np.uint64]  # [anchors] ascending: how windows begin
    weights: NDArray[np.int64]  # ascending: of an anchor, of the short items that there are, of a full window


@dataclass(frozen=True, slots=True)
class Index:
    """Windows, laid out to be looked up."""

    windows: Windows
    buckets: NDArray[np.uint32]  # [2^k + 1] where the hashes with these upper bits begin
    filter: NDArray[np.uint64]  # [2^m] two bits of each anchor, in the word that its upper bits name


@dataclass(frozen=True, slots=True)
class Matches:
    """Runs of words that texts share with items, by row, item and place; overlapping windows are one run."""

    rows: NDArray[np.int64]  # [runs] the text
    items: NDArray[np.int64]  # [runs] the item
    first: NDArray[np.int64]  # [runs] the first shared word, counted in the text
    last: NDArray[np.int64]  # [runs] the last one
    words: Words  # of all texts

    @property
    def starts(self) -> NDArray[np.int64]:
        """The first byte of each run, counted in its text."""
        return self.words.starts[self.words.offsets[self.rows] + self.first]

    @property
    def ends(self) -> NDArray[np.int64]:
        """The byte behind each run."""
        return self.words.ends[self.words.offsets[self.rows] + self.last]


def windows(items: pa.Array, *, ngram: int, min_words: int) -> tuple[Windows, NDArray[np.bool_]]:
    """The windows of items (a StringArray; item i is row i), and which items are too short to have one."""
    words = word_spans.words(items)
    least, full = _WORD_WEIGHT * min(min_words, ngram), _WORD_WEIGHT * ngram
    room = len(words.hashes)
    hashes, owners, anchors = np.empty(room, np.uint64), np.empty(room, np.uint32), np.empty(room, np.uint64)
    weights = np.zeros(len(items), np.int64)
    found = _item_windows(words.hashes, words.is_character, words.offsets, least, full, hashes, owners, anchors, weights)
    known_hashes, first = np.unique(hashes[:found], return_index=True)
    known = np.unique(np.append(weights[weights > 0], [least, full]))
    return Windows(known_hashes, owners[first], distinct(anchors[:found]), known), weights == 0


def joined(parts: Sequence[Windows], counts: Sequence[int]) -> Windows:
    """The windows of lists of items, one list behind the other; `counts` says how many items each list has."""
    before = np.cumsum([0, *counts[:-1]]).astype(np.uint32)
    items = np.concatenate([part.items + start for part, start in zip(parts, before, strict=True)])
    # Of equal hashes `unique` gives the place of the first, which is the first item's.
    hashes, first = np.unique(np.concatenate([part.hashes for part in parts]), return_index=True)
    anchors = distinct(np.concatenate([part.anchors for part in parts]))
    return Windows(hashes, items[first], anchors, np.unique(np.concatenate([part.weights for part in parts])))


def index(windows: Windows) -> Index:
    """Lay out the windows (at least one)."""
    assert len(windows.hashes), "an index needs a window"
    size = _power_of_two(len(windows.hashes))
    buckets = np.zeros(size + 1, np.uint32)
    upper = (windows.hashes >> _shift(size)).astype(np.int64)
    buckets[1:] = np.cumsum(np.bincount(upper, minlength=size))
    filled = np.zeros(_power_of_two(len(windows.anchors) * _FILTER_BITS // 64), np.uint64)
    _fill(windows.anchors, filled)
    return Index(windows, buckets, filled)


def _power_of_two(least: int) -> int:
    return max(2, 1 << (least - 1).bit_length())


def matches(texts: pa.Array, index: Index) -> Matches:
    """The runs of words that texts (a StringArray) share with the items of an index."""
    words = word_spans.words(texts)
    room = 1024
    while True:
        out = np.empty((4, room), np.int64)
        found = _match(
            words.hashes,
            words.is_character,
            words.offsets,
            index.windows.hashes,
            index.windows.items,
            index.windows.weights,
            index.buckets,
            index.filter,
            out,
        )
        if found <= room:
            break
        room = found
    hits = out[:, :found]
    hits = hits[:, np.lexsort([hits[3], hits[2], hits[1], hits[0]])]
    runs = _merged(hits)
    rows, items, first, last = (np.ascontiguousarray(column) for column in runs)
    return Matches(rows, items, first, last, words)


@jit
def _powers(most: int) -> Any:
    powers = np.ones(most + 1, np.uint64)
    for i in range(1, most + 1):
        powers[i] = powers[i - 1] * WINDOW_BASE
    return powers


@jit
def _runs(hashes: Any, is_character: Any, begin: int, end: int, least: int, powers: Any, out: Any) -> int:
    """The hash of the shortest run of words from each word on that weighs `least`; how many words have one, from the first on."""
    found, rolling, weight, first = 0, np.uint64(0), 0, begin
    for i in range(begin, end):
        rolling = rolling * WINDOW_BASE + hashes[i]
        weight += _CHARACTER_WEIGHT if is_character[i] else _WORD_WEIGHT
        while weight >= least:
            out[found] = mix(rolling)
            rolling -= hashes[first] * powers[i - first]
            weight -= _CHARACTER_WEIGHT if is_character[first] else _WORD_WEIGHT
            found, first = found + 1, first + 1
    return found


@jit
def _item_windows(
    hashes: Any, is_character: Any, offsets: Any, least: int, full: int, out: Any, owners: Any, anchors: Any, weights: Any
) -> int:
    """Write the windows of every item, their anchors, and the weight at which they end (0: none); how many there are."""
    powers = _powers(full)
    found = 0
    for row in range(len(offsets) - 1):
        begin, end = offsets[row], offsets[row + 1]
        count = _runs(hashes, is_character, begin, end, full, powers, out[found:])
        weights[row] = full if count else 0
        if count == 0:
            weight = 0
            for i in range(begin, end):
                weight += _CHARACTER_WEIGHT if is_character[i] else _WORD_WEIGHT
            if weight < least:
                continue
            weights[row] = weight
            count = _runs(hashes, is_character, begin, end, weight, powers, out[found:])  # the whole item
        _runs(hashes, is_character, begin, end, least, powers, anchors[found:])  # more of them than windows; those stay unread
        owners[found : found + count] = row
        found += count
    return found


@jit
def _shift(size: int) -> Any:
    """How far a hash goes to the right to be a place in an array of 2^k."""
    bits = 0
    while 1 << bits < size:
        bits += 1
    return np.uint64(64 - bits)


@jit
def _fill(hashes: Any, filled: Any) -> None:
    shift = _shift(len(filled))
    for h in hashes:
        filled[h >> shift] |= _two_bits(h)


@jit
def _two_bits(h: Any) -> Any:
    one = np.uint64(1)
    return (one << (h & np.uint64(63))) | (one << ((h >> np.uint64(6)) & np.uint64(63)))


@jit
def _match(
    hashes: Any, is_character: Any, offsets: Any, known: Any, items: Any, weights: Any, buckets: Any, filled: Any, out: Any
) -> int:
    """Write row, item, first and last word of every window that is known; how many there are (more than fit are counted)."""
    powers, shift = _powers(weights[0]), _shift(len(filled))
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    anchors, chosen = np.empty(longest + 1, np.uint64), np.empty(longest + 1, np.int64)
    found = 0
    for row in range(len(offsets) - 1):
        begin, end = offsets[row], offsets[row + 1]
        passed = 0
        for j in range(_runs(hashes, is_character, begin, end, weights[0], powers, anchors)):
            bits = _two_bits(anchors[j])
            chosen[passed] = j  # no branch: the next one takes its place
            passed += filled[anchors[j] >> shift] & bits == bits
        for j in range(passed):
            first = begin + chosen[j]
            found = _match_from(hashes, is_character, first, end, known, items, weights, buckets, out, found, row, chosen[j])
    return found


@jit
def _match_from(
    hashes: Any,
    is_character: Any,
    first: int,
    end: int,
    known: Any,
    items: Any,
    weights: Any,
    buckets: Any,
    out: Any,
    found: int,
    row: int,
    place: int,
) -> int:
    """Write the known windows that begin at a word."""
    rolling, weight, k, i = np.uint64(0), 0, 0, first
    shift = _shift(len(buckets) - 1)
    while i < end and k < len(weights):
        rolling = rolling * WINDOW_BASE + hashes[i]
        weight += _CHARACTER_WEIGHT if is_character[i] else _WORD_WEIGHT
        if weight >= weights[k]:
            while k < len(weights) and weight >= weights[k]:
                k += 1
            at = _place(mix(rolling), known, buckets, shift)
            if at >= 0:
                found = _noted(out, found, row, items[at], place, place + i - first)
        i += 1
    return found


@jit
def _place(h: Any, known: Any, buckets: Any, shift: Any) -> int:
    bucket = h >> shift
    for place in range(np.int64(buckets[bucket]), np.int64(buckets[bucket + np.uint64(1)])):
        if known[place] == h:
            return place
    return -1


@jit
def _noted(out: Any, found: int, row: int, item: int, first: int, last: int) -> int:
    """Make the last run longer if this window goes on where it is, else begin another."""
    before = found - 1
    if 0 <= before < out.shape[1] and out[0, before] == row and out[1, before] == item and first <= out[3, before] + 1:
        # A window that begins at a word behind the run's first: they come in order.
        out[3, before] = max(out[3, before], last)
        return found
    if found < out.shape[1]:
        out[0, found], out[1, found], out[2, found], out[3, found] = row, item, first, last
    return found + 1


@jit
def _merged(hits: Any) -> Any:
    """Ordered runs, those of a row and an item that overlap or touch made one."""
    out = np.empty(hits.shape, np.int64)
    found = 0
    for i in range(hits.shape[1]):
        found = _noted(out, found, hits[0, i], hits[1, i], hits[2, i], hits[3, i])
    return out[:, :found]
