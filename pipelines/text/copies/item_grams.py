r"""The n-grams of reference items (questions and passages of benchmarks), and where texts have them.

Words are compared as `comparison` normalises them: without case, punctuation, line breaks and diacritics; what is left of HTML
tags and entities is no word. A character of a script written without spaces counts as half a word. An n-gram is the shortest run
from its first word on that weighs enough, so it depends only on its words: items and texts have the same ones.

    >>> items = pa.array(["The quick brown fox jumps over it.", "One quick brown fox jumps."])
    >>> reference = index(collected([grams(items, ngram=4)]))
    >>> found = hits(pa.array(["Nothing.", "He wrote: QUICK BROWN FOX\njumps over"]), reference)
    >>> found.rows.tolist(), found.first.tolist(), found.last.tolist()
    ([1, 1], [2, 3], [5, 6])
    >>> [reference.items.owners_of(gram).tolist() for gram in found.grams]
    [[0, 1], [0]]

N-grams are equal if their 64-bit hashes are (a polynomial in the words' hashes, mixed). A text's n-grams are looked up in a
bitmap of about 8 bits per n-gram, in a loop that does nothing else; what passes is looked up among the hashes.

An n-gram of more than OWNERS_LIMIT items is part of a template ("which of the following statements is true") and not listed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.characters import markup, word_spans
from pipelines.text.characters.comparison import WINDOW_BASE, mix
from pipelines.text.characters.markup import without_markup
from pipelines.text.characters.word_spans import Words
from pipelines.text.kernels import jit

VERSION = f"1/words-{word_spans.VERSION}/markup-{markup.VERSION}"

OWNERS_LIMIT = 16
WORD_WEIGHT, _CHARACTER_WEIGHT = 2, 1
_FILTER_BITS = 8  # per n-gram, at least; two are set, so at most one of 15 unknown n-grams passes


class TextGrams(NamedTuple):
    """The n-grams of a list of texts, and the texts' weights."""

    hashes: NDArray[np.uint64]  # [n-grams] in order
    texts: NDArray[np.uint32]  # [n-grams] the text's number
    words: NDArray[np.int64]  # [texts] the number of words
    weights: NDArray[np.int64]  # [texts] WORD_WEIGHT for a word, half of it for a character written without spaces


@dataclass(frozen=True, slots=True)
class Items:
    """The distinct n-grams of all items, and the items that have each."""

    hashes: NDArray[np.uint64]  # [n-grams] ascending
    starts: NDArray[np.int64]  # [n-grams + 1] into `owners`
    owners: NDArray[np.uint32]  # ascending by n-gram
    sizes: NDArray[np.int32]  # [items] the number of distinct listed n-grams
    words: NDArray[np.int64]  # [items] as in TextGrams
    weights: NDArray[np.int64]  # [items] as in TextGrams

    def owners_of(self, gram: int) -> NDArray[np.uint32]:
        """Return the items that have an n-gram."""
        return self.owners[self.starts[gram] : self.starts[gram + 1]]


@dataclass(frozen=True, slots=True)
class Index:
    """Items and the tables to look their n-grams up."""

    items: Items
    ngram: int
    buckets: NDArray[np.uint32]  # [2^k + 1] the first hash with these upper bits
    filter: NDArray[np.uint64]  # [2^m] two bits per n-gram, in the number chosen by its upper bits


class Hits(NamedTuple):
    """The known n-grams of texts, by row and place."""

    rows: NDArray[np.int64]  # [hits] the text
    first: NDArray[np.int64]  # [hits] the n-gram's first word, by its number in the text
    last: NDArray[np.int64]  # [hits] its last word
    grams: NDArray[np.int64]  # [hits] the n-gram's number in `Items`
    words: Words  # of all texts, without those of markup


def words_of(texts: pa.Array) -> Words:
    """Return the words of a StringArray without nulls that are compared."""
    return without_markup(texts, word_spans.words(texts))


def grams(texts: pa.Array, *, ngram: int) -> TextGrams:
    """Return the n-grams of the rows of a StringArray."""
    words = words_of(texts)
    hashes, owners = np.empty(len(words.hashes), np.uint64), np.empty(len(words.hashes), np.uint32)
    weights = np.zeros(len(texts), np.int64)
    count = _all_grams(words.hashes, words.is_character, words.offsets, WORD_WEIGHT * ngram, hashes, owners, weights)
    return TextGrams(hashes[:count], owners[:count], np.diff(words.offsets), weights)


def run_hashes(texts: pa.Array, most_words: int) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """Return the hash of each text's first words, at most so many, and their number (0: a text without words)."""
    words = words_of(texts)
    hashes, counts = np.zeros(len(texts), np.uint64), np.zeros(len(texts), np.int32)
    _beginnings(words.hashes, words.offsets, most_words, hashes, counts)
    return hashes, counts


def collected(lists: Sequence[TextGrams]) -> Items:
    """Return the items of several lists as those of one: the first item of a list follows the last one of the list before."""
    before = np.cumsum([0, *(len(part.weights) for part in lists)])
    hashes = np.concatenate([np.empty(0, np.uint64), *(part.hashes for part in lists)])
    owners = np.concatenate([np.empty(0, np.int64), *(part.texts + start for part, start in zip(lists, before, strict=False))])
    order = np.lexsort((owners, hashes))
    hashes, owners = hashes[order], owners[order].astype(np.uint32)
    is_new = np.ones(len(hashes), np.bool_)
    is_new[1:] = (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])
    hashes, owners = hashes[is_new], owners[is_new]
    first = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]])) if len(hashes) else np.empty(0, np.int64)
    counts = np.diff(np.append(first, len(hashes)))
    listed = counts <= OWNERS_LIMIT
    owners = owners[np.repeat(listed, counts)]
    words = np.concatenate([np.empty(0, np.int64), *(part.words for part in lists)])
    weights = np.concatenate([np.empty(0, np.int64), *(part.weights for part in lists)])
    sizes = np.bincount(owners, minlength=len(weights)).astype(np.int32)
    return Items(hashes[first[listed]], np.concatenate([[0], np.cumsum(counts[listed])]), owners, sizes, words, weights)


def index(items: Items, *, ngram: int = 4) -> Index:
    """Return the index of items of at least one n-gram."""
    assert len(items.hashes), "an index needs an n-gram"
    size = _power_of_two(len(items.hashes))
    buckets = np.zeros(size + 1, np.uint32)
    buckets[1:] = np.cumsum(np.bincount((items.hashes >> _shift(size)).astype(np.int64), minlength=size))
    filled = np.zeros(_power_of_two(len(items.hashes) * _FILTER_BITS // 64), np.uint64)
    _fill_filter(items.hashes, filled)
    return Index(items, ngram, buckets, filled)


def _power_of_two(least: int) -> int:
    return max(2, 1 << (least - 1).bit_length())


def hits(texts: pa.Array, index: Index) -> Hits:
    """Return the known n-grams of texts (a StringArray without nulls)."""
    words = words_of(texts)
    room = 1024 + len(words.hashes) // 16
    while True:
        out = np.empty((4, room), np.int64)
        count = _hits(
            words.hashes,
            words.is_character,
            words.offsets,
            WORD_WEIGHT * index.ngram,
            index.items.hashes,
            index.buckets,
            index.filter,
            out,
        )
        if count <= room:
            break
        room = count
    return Hits(out[0, :count], out[1, :count], out[2, :count], out[3, :count], words)


# The passes


@jit
def _powers(most: int) -> Any:
    powers = np.ones(most + 1, np.uint64)
    for i in range(1, most + 1):
        powers[i] = powers[i - 1] * WINDOW_BASE
    return powers


@jit
def _runs(hashes: Any, is_character: Any, begin: int, end: int, least: int, powers: Any, out: Any, last: Any) -> int:
    """Hash the shortest run from each word on that weighs `least`; return how many words have one, and their last words."""
    count, rolling, weight, first = 0, np.uint64(0), 0, begin
    for i in range(begin, end):
        rolling = rolling * WINDOW_BASE + hashes[i]
        weight += _CHARACTER_WEIGHT if is_character[i] else WORD_WEIGHT
        while weight >= least:
            out[count], last[count] = mix(rolling), i - begin
            rolling -= hashes[first] * powers[i - first]
            weight -= _CHARACTER_WEIGHT if is_character[first] else WORD_WEIGHT
            count, first = count + 1, first + 1
    return count


@jit
def _all_grams(hashes: Any, is_character: Any, offsets: Any, least: int, out: Any, owners: Any, weights: Any) -> int:
    """Write the n-grams of all texts, their texts and the texts' weights; return the number of n-grams."""
    powers, last = _powers(least), np.empty(len(hashes), np.int64)
    size = 0
    for row in range(len(offsets) - 1):
        begin, end = offsets[row], offsets[row + 1]
        for i in range(begin, end):
            weights[row] += _CHARACTER_WEIGHT if is_character[i] else WORD_WEIGHT
        count = _runs(hashes, is_character, begin, end, least, powers, out[size:], last)
        owners[size : size + count] = row
        size += count
    return size


@jit
def _beginnings(words: Any, offsets: Any, most: int, hashes: Any, counts: Any) -> None:
    for row in range(len(offsets) - 1):
        rolling = np.uint64(0)
        for i in range(offsets[row], min(offsets[row] + most, offsets[row + 1])):
            rolling = rolling * WINDOW_BASE + words[i]
            counts[row] += 1
        hashes[row] = mix(rolling)


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
def _hits(hashes: Any, is_character: Any, offsets: Any, least: int, known: Any, buckets: Any, filled: Any, out: Any) -> int:
    """Write row, first and last word and number of each known n-gram; return their number, including those without room."""
    powers, filter_shift, shift = _powers(least), _shift(len(filled)), _shift(len(buckets) - 1)
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    runs, last, chosen = np.empty(longest + 1, np.uint64), np.empty(longest + 1, np.int64), np.empty(longest + 1, np.int64)
    size = 0
    for row in range(len(offsets) - 1):
        count = _runs(hashes, is_character, offsets[row], offsets[row + 1], least, powers, runs, last)
        passed = 0
        for j in range(count):
            bits = _two_bits(runs[j])
            chosen[passed] = j  # without a branch: the next one overwrites it
            passed += filled[runs[j] >> filter_shift] & bits == bits
        for j in chosen[:passed]:
            gram = _find(runs[j], known, buckets, shift)
            if gram >= 0:
                if size < out.shape[1]:
                    out[0, size], out[1, size], out[2, size], out[3, size] = row, j, last[j], gram
                size += 1
    return size


@jit
def _find(h: Any, known: Any, buckets: Any, shift: Any) -> int:
    """Return the place of a hash among the known ones; -1 if it is unknown."""
    bucket = h >> shift
    for place in range(np.int64(buckets[bucket]), np.int64(buckets[bucket + np.uint64(1)])):
        if known[place] == h:
            return place
    return -1
