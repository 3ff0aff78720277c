r"""Find runs of words that texts share with reference items, whatever the lengths of both.

A reference item (a question or a passage of a benchmark) has windows of `ngram` words. A text that has one of them shares
that many consecutive words with the item (GPT-3, arXiv 2005.14165, appendix C: 13). Words are compared as `comparison`
normalises them: without case, punctuation, line breaks and diacritics. An item shorter than a window, but of at least
`min_words`, is one window and must be contained whole. Jaccard similarity does not help here: a question is a tiny share of
a book that contains it.

A character of a script written without spaces counts as half a word, so 13 words are 26 characters: 13 characters of Chinese
are about 7 words, and some names are longer ("中华人民共和国全国人民代表大会" has 15). Measured on Japanese tales, pages of
2,000 characters against as many others: 43 of 529 pages share 14 characters in a row, mostly phrases such as "I asked him,
whereupon"; 20 pages share 26, all of them notes of one editor. A window is the shortest run from its first word on that
weighs enough, also in texts of mixed scripts. It depends only on its words, so items and texts have the same windows.

    >>> items = pa.array(["The quick brown fox jumps over the lazy dog.", "Too short"])
    >>> known, too_short = windows(items, ngram=4, min_words=3)
    >>> reference = index(known)
    >>> found = matches(pa.array(["Nothing.", "He wrote: QUICK BROWN FOX\njumps over a dog"]), reference)
    >>> found.rows.tolist(), found.items.tolist(), found.first.tolist(), found.last.tolist()
    ([1], [0], [2], [6])

Every window begins with a run of `min_words` words, its anchor. The anchors of a text are looked up in a bitmap of about 12
bits per anchor, in a loop that does nothing else, so that the processor waits for many of them at once; the few words that
pass are compared with the windows. With the 2.1 million windows of 100,000 items, one core processes 90 MB/s of English; the
index takes 30 bytes per window.

Windows are equal if their 64-bit hashes are (a polynomial in the words' hashes, mixed); the words are not compared. A corpus of
10^9 words and 10^6 windows has a false match with probability 10^15 / 2^64 = 5e-5.

Limits: if items share a window, only the first is reported for it. A run of more than `ngram` words may be reported one
character short at an end that lies within one character's weight of a window.
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
_FILTER_BITS = 8  # per anchor, at least; two are set, so at most one of 15 unknown anchors passes


@dataclass(frozen=True, slots=True)
class Windows:
    """The distinct windows of items."""

    hashes: NDArray[np.uint64]  # [windows] ascending
    items: NDArray[np.uint32]  # [windows] the first item that has it
    anchors: NDArray[np.uint64]  # [anchors] ascending: the beginnings of windows
    weights: NDArray[np.int64]  # ascending: the weights of an anchor, of short items and of a full window


@dataclass(frozen=True, slots=True)
class Index:
    """Windows and the tables to look them up."""

    windows: Windows
    buckets: NDArray[np.uint32]  # [2^k + 1] the first hash with these upper bits
    filter: NDArray[np.uint64]  # [2^m] two bits per anchor, in the number chosen by its upper bits


@dataclass(frozen=True, slots=True)
class Matches:
    """Runs of words that texts share with items, sorted by row, item and place; overlapping windows form one run."""

    rows: NDArray[np.int64]  # [runs] the text
    items: NDArray[np.int64]  # [runs] the item
    first: NDArray[np.int64]  # [runs] the first shared word, by its number in the text
    last: NDArray[np.int64]  # [runs] the last one
    words: Words  # of all texts

    @property
    def starts(self) -> NDArray[np.int64]:
        """The start of each run in its text, in bytes."""
        return self.words.starts[self.words.offsets[self.rows] + self.first]

    @property
    def ends(self) -> NDArray[np.int64]:
        """The end of each run in its text, in bytes."""
        return self.words.ends[self.words.offsets[self.rows] + self.last]


def windows(items: pa.Array, *, ngram: int, min_words: int) -> tuple[Windows, NDArray[np.bool_]]:
    """Return the windows of items (rows of a StringArray), and for each item whether it is too short to have one."""
    words = word_spans.words(items)
    least, full = _WORD_WEIGHT * min(min_words, ngram), _WORD_WEIGHT * ngram
    room = len(words.hashes)
    hashes, owners, anchors = np.empty(room, np.uint64), np.empty(room, np.uint32), np.empty(room, np.uint64)
    weights = np.zeros(len(items), np.int64)
    count = _item_windows(words.hashes, words.is_character, words.offsets, least, full, hashes, owners, anchors, weights)
    known_hashes, first = np.unique(hashes[:count], return_index=True)
    known = np.unique(np.append(weights[weights > 0], [least, full]))
    return Windows(known_hashes, owners[first], distinct(anchors[:count]), known), weights == 0


def joined(parts: Sequence[Windows], counts: Sequence[int]) -> Windows:
    """Return the windows of several lists of items as those of one list; `counts` is the number of items in each list."""
    before = np.cumsum([0, *counts[:-1]]).astype(np.uint32)
    items = np.concatenate([part.items + start for part, start in zip(parts, before, strict=True)])
    # `unique` returns the first of equal hashes, which belongs to the first item.
    hashes, first = np.unique(np.concatenate([part.hashes for part in parts]), return_index=True)
    anchors = distinct(np.concatenate([part.anchors for part in parts]))
    return Windows(hashes, items[first], anchors, np.unique(np.concatenate([part.weights for part in parts])))


def index(windows: Windows) -> Index:
    """Return the index of at least one window."""
    assert len(windows.hashes), "an index needs a window"
    size = _power_of_two(len(windows.hashes))
    buckets = np.zeros(size + 1, np.uint32)
    upper = (windows.hashes >> _shift(size)).astype(np.int64)
    buckets[1:] = np.cumsum(np.bincount(upper, minlength=size))
    filled = np.zeros(_power_of_two(len(windows.anchors) * _FILTER_BITS // 64), np.uint64)
    _fill_filter(windows.anchors, filled)
    return Index(windows, buckets, filled)


def _power_of_two(least: int) -> int:
    return max(2, 1 << (least - 1).bit_length())


def matches(texts: pa.Array, index: Index) -> Matches:
    """Return the runs of words that texts (a StringArray) share with the items of an index."""
    words = word_spans.words(texts)
    room = 1024
    while True:
        out = np.empty((4, room), np.int64)
        count = _match(
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
        if count <= room:
            break
        room = count
    hits = out[:, :count]
    hits = hits[:, np.lexsort([hits[3], hits[2], hits[1], hits[0]])]
    runs = _merge_runs(hits)
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
    """Hash the shortest run that begins at each word and weighs `least`; return the number of words that have one."""
    count, rolling, weight, first = 0, np.uint64(0), 0, begin
    for i in range(begin, end):
        rolling = rolling * WINDOW_BASE + hashes[i]
        weight += _CHARACTER_WEIGHT if is_character[i] else _WORD_WEIGHT
        while weight >= least:
            out[count] = mix(rolling)
            rolling -= hashes[first] * powers[i - first]
            weight -= _CHARACTER_WEIGHT if is_character[first] else _WORD_WEIGHT
            count, first = count + 1, first + 1
    return count


@jit
def _item_windows(
    hashes: Any, is_character: Any, offsets: Any, least: int, full: int, out: Any, owners: Any, anchors: Any, weights: Any
) -> int:
    """Write each item's windows, their anchors and their weight (0: no window); return the number of windows."""
    powers = _powers(full)
    size = 0  # windows so far
    for row in range(len(offsets) - 1):
        begin, end = offsets[row], offsets[row + 1]
        count = _runs(hashes, is_character, begin, end, full, powers, out[size:])
        weights[row] = full if count else 0
        if count == 0:
            weight = 0
            for i in range(begin, end):
                weight += _CHARACTER_WEIGHT if is_character[i] else _WORD_WEIGHT
            if weight < least:
                continue
            weights[row] = weight
            count = _runs(hashes, is_character, begin, end, weight, powers, out[size:])  # the whole item
        _runs(hashes, is_character, begin, end, least, powers, anchors[size:])  # those beyond `count` are overwritten or unused
        owners[size : size + count] = row
        size += count
    return size


@jit
def _shift(size: int) -> Any:
    """Return the right shift that makes a hash an index into an array of 2^k."""
    bits = 0
    while 1 << bits < size:
        bits += 1
    return np.uint64(64 - bits)


@jit
def _fill_filter(hashes: Any, filled: Any) -> None:
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
    """Write row, item, first and last word of each known window; return their number, including those that do not fit."""
    powers, shift = _powers(weights[0]), _shift(len(filled))
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    anchors, chosen = np.empty(longest + 1, np.uint64), np.empty(longest + 1, np.int64)
    runs = 0
    for row in range(len(offsets) - 1):
        begin, end = offsets[row], offsets[row + 1]
        passed = 0
        for j in range(_runs(hashes, is_character, begin, end, weights[0], powers, anchors)):
            bits = _two_bits(anchors[j])
            chosen[passed] = j  # without a branch: the next one overwrites it
            passed += filled[anchors[j] >> shift] & bits == bits
        for j in range(passed):
            first = begin + chosen[j]
            runs = _match_at(hashes, is_character, first, end, known, items, weights, buckets, out, runs, row, chosen[j])
    return runs


@jit
def _match_at(
    hashes: Any,
    is_character: Any,
    first: int,
    end: int,
    known: Any,
    items: Any,
    weights: Any,
    buckets: Any,
    out: Any,
    runs: int,
    row: int,
    place: int,
) -> int:
    """Write the known windows that begin at a word; return the number of runs so far."""
    rolling, weight, k, i = np.uint64(0), 0, 0, first
    shift = _shift(len(buckets) - 1)
    while i < end and k < len(weights):
        rolling = rolling * WINDOW_BASE + hashes[i]
        weight += _CHARACTER_WEIGHT if is_character[i] else _WORD_WEIGHT
        if weight >= weights[k]:
            while k < len(weights) and weight >= weights[k]:
                k += 1
            at = _find(mix(rolling), known, buckets, shift)
            if at >= 0:
                runs = _add_run(out, runs, row, items[at], place, place + i - first)
        i += 1
    return runs


@jit
def _find(h: Any, known: Any, buckets: Any, shift: Any) -> int:
    """Return the place of a hash among the known ones; -1 if it is unknown."""
    bucket = h >> shift
    for place in range(np.int64(buckets[bucket]), np.int64(buckets[bucket + np.uint64(1)])):
        if known[place] == h:
            return place
    return -1


@jit
def _add_run(out: Any, runs: int, row: int, item: int, first: int, last: int) -> int:
    """Extend the last run if this window overlaps or touches it, else add a run; return the number of runs."""
    before = runs - 1
    if 0 <= before < out.shape[1] and out[0, before] == row and out[1, before] == item and first <= out[3, before] + 1:
        # Windows come in order, so this one begins after the run's first word.
        out[3, before] = max(out[3, before], last)
        return runs
    if runs < out.shape[1]:
        out[0, runs], out[1, runs], out[2, runs], out[3, runs] = row, item, first, last
    return runs + 1


@jit
def _merge_runs(hits: Any) -> Any:
    """Merge ordered runs of the same row and item that overlap or touch."""
    out = np.empty(hits.shape, np.int64)
    runs = 0
    for i in range(hits.shape[1]):
        runs = _add_run(out, runs, hits[0, i], hits[1, i], hits[2, i], hits[3, i])
    return out[:, :runs]
