r"""Which texts hold an item of a benchmark: whole, edited here and there, or as a large share of it.

A fixed number of shared words (13 in GPT-3, arXiv 2005.14165, appendix C) loses an item in which every twelfth word was changed,
cannot look for questions of eight words, and takes a famous quotation for the passage that quotes it. So the n-grams that a
text shares with an item are weighed by how rare they are, an inverse document frequency:

    weight = 1 / items that have it / (1 + documents of the corpus that have it / 3)

and 0 if it is in more documents than `frequent` (the public domain, licences, templates). In a place of a text of about the
item's length, the weights of the shared n-grams are added up:

- An item of `short_words` words or more that is not frequent as a whole is found if the place has `share` of the item's weight
  and is about as long (a quoted sentence is not), or has LONG_MATCH in all: a large piece of a long passage.
- A shorter or frequent one is found if the place has all its n-grams, and there is a second sign: one of the n-grams is rare, or
  one of the texts beside the item (its answer, its options) occurs within SIGN_WORDS words before or after.

    >>> from pipelines.text.copies.item_grams import collected, grams, index
    >>> question = "Which of the two rivers that meet below the old town carries more water in the spring and in the autumn?"
    >>> items = collected([grams(pa.array([question, "Name all of the seas there."]), ngram=5)])
    >>> rules = Rules(share=0.4, short_words=13, frequent=20)
    >>> found = matches(
    ...     pa.array([question.replace("town", "mill"), "He can name all of the seas there.", "Name all of the seas here."]),
    ...     Benchmarks(index(items, ngram=5), no_signs(2), weights(items, None, rules)),
    ...     rules,
    ... )
    >>> found.rows.tolist(), found.items.tolist(), found.first.tolist(), found.last.tolist()
    ([0, 1], [0, 1], [0, 2], [20, 7])
    >>> found.shares.round(2).tolist()
    [0.71, 1.0]
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.characters.comparison import WINDOW_BASE, mix
from pipelines.text.characters.word_spans import Words
from pipelines.text.copies import item_grams
from pipelines.text.copies.item_grams import WORD_WEIGHT, Index, Items, hits
from pipelines.text.kernels import jit

VERSION = f"1/grams-{item_grams.VERSION}"

LONG_MATCH = 50.0  # of weight: about 54 words in a row that no other document has
SIGN_WORDS = 60
SIGN_LENGTH = 8  # words of another text that are compared
_DOCUMENTS_OF_HALF_WEIGHT = 3
_RARE = 0.2  # the least weight of a sign: an n-gram of one item in at most 12 documents
_LEAST_WEIGHT = 1.0  # of an item's n-grams that are not frequent, by items alone; an item of less is a template
_ROOM, _ROOM_WORDS = 1.6, 20  # a place has so many times the words of the item, and so many more
_GAP_WORDS = 25  # between two shared n-grams at the end of a place
_MOST = 0.65  # of an item's weight or words: a quoted sentence has less of both
_EPSILON = 1e-9
_FREQUENT_SHARE = 1e-5  # of a large corpus's documents


@dataclass(frozen=True, slots=True)
class Rules:
    """When a text holds an item."""

    share: float
    short_words: int
    frequent: int


@dataclass(frozen=True, slots=True)
class Signs:
    """The texts that stand beside the items, as the hashes of their first words."""

    starts: NDArray[np.int64]  # [items + 1]
    hashes: NDArray[np.uint64]  # [signs] of the first SIGN_LENGTH words
    words: NDArray[np.int32]  # [signs] how many words those are


@dataclass(frozen=True, slots=True)
class Frequencies:
    """How many documents of a corpus have each n-gram."""

    documents: NDArray[np.int64]  # [n-grams]
    all_documents: int


@dataclass(frozen=True, slots=True)
class Weights:
    """The worth of n-grams, and what follows for the items."""

    grams: NDArray[np.float64]  # [n-grams]
    items: NDArray[np.float64]  # [items] the sum over the item's n-grams
    is_short: NDArray[np.bool_]  # [items] found only as a whole and with a second sign


@dataclass(frozen=True, slots=True)
class Benchmarks:
    """The items to find."""

    index: Index
    signs: Signs
    weights: Weights


@dataclass(frozen=True, slots=True)
class Matches:
    """The places of texts that hold items, by row, item and place."""

    rows: NDArray[np.int64]  # [matches] the text
    items: NDArray[np.int64]  # [matches]
    first: NDArray[np.int64]  # [matches] the first shared word, by its number in the text
    last: NDArray[np.int64]  # [matches] the last one
    shares: NDArray[np.float64]  # [matches] of the item's weight (of its n-grams, if it is short)
    words: Words  # of all texts

    @property
    def starts(self) -> NDArray[np.int64]:
        """The start of each place in its text, in bytes."""
        return self.words.starts[self.words.offsets[self.rows] + self.first]

    @property
    def ends(self) -> NDArray[np.int64]:
        """The end of each place in its text, in bytes."""
        return self.words.ends[self.words.offsets[self.rows] + self.last]


def no_signs(items: int) -> Signs:
    """Return the signs of items that have none."""
    return Signs(np.zeros(items + 1, np.int64), np.empty(0, np.uint64), np.empty(0, np.int32))


def weights(items: Items, frequencies: Frequencies | None, rules: Rules) -> Weights:
    """Return the weights of n-grams and items; without frequencies, no n-gram is known to be in a document."""
    owners = np.diff(items.starts)
    grams = 1.0 / np.maximum(owners, 1)
    if frequencies is not None:
        grams[frequencies.documents > max(rules.frequent, _FREQUENT_SHARE * frequencies.all_documents)] = 0
    is_short = (items.weights < WORD_WEIGHT * rules.short_words) | (_by_item(grams, items) < _LEAST_WEIGHT)
    if frequencies is not None:
        grams /= 1 + frequencies.documents / _DOCUMENTS_OF_HALF_WEIGHT
    return Weights(grams, _by_item(grams, items), is_short)


def _by_item(values: NDArray[np.float64], items: Items) -> NDArray[np.float64]:
    """Return the sum of each item's n-grams."""
    return np.bincount(items.owners, np.repeat(values, np.diff(items.starts)), len(items.weights)).astype(np.float64)


def matches(texts: pa.Array, benchmarks: Benchmarks, rules: Rules) -> Matches:
    """Return where texts (a StringArray without nulls) hold items."""
    found, items = hits(texts, benchmarks.index), benchmarks.index.items
    counts = items.starts[found.grams + 1] - items.starts[found.grams]
    hit = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(hit)) - np.repeat(np.cumsum(counts) - counts, counts)
    item = items.owners[items.starts[found.grams[hit]] + within].astype(np.int64)
    worth = benchmarks.weights
    counted = (worth.grams[found.grams[hit]] > 0) | worth.is_short[item]
    hit, item = hit[counted], item[counted]
    order = np.lexsort((hit, item, found.rows[hit]))  # hits are in the order of their places
    hit, item = hit[order], item[order]
    places = _places(
        found.rows[hit],
        item,
        found.first[hit],
        found.last[hit],
        found.grams[hit],
        worth.grams,
        worth.items,
        worth.is_short,
        items.sizes,
        items.words,
        rules.share,
    )
    rows, owners, first, last, shares, rarest = places
    signs, words = benchmarks.signs, found.words
    certain = ~worth.is_short[owners] | (rarest >= _RARE)
    _look_for_signs(certain, rows, owners, first, last, signs.starts, signs.hashes, signs.words, words.hashes, words.offsets)
    return Matches(rows[certain], owners[certain], first[certain], last[certain], shares[certain], words)


@jit
def _places(
    rows: Any,
    items: Any,
    first: Any,
    last: Any,
    grams: Any,
    worth: Any,
    totals: Any,
    is_short: Any,
    sizes: Any,
    words: Any,
    share: float,
) -> Any:
    """Return the places with enough of an item: row, item, first and last word, share, and the largest weight of an n-gram.

    The hits are ordered by row, item and place. A window slides over those of a row and an item; as soon as it has enough, it is
    extended as far as the item can reach, and the search goes on after it.
    """
    out = np.empty((4, len(rows)), np.int64)
    shares, rarest = np.empty(len(rows)), np.empty(len(rows))
    seen = np.zeros(len(worth), np.int32)  # in the window
    size, begin = 0, 0
    while begin < len(rows):
        row, item, end = rows[begin], items[begin], begin
        while end < len(rows) and rows[end] == row and items[end] == item:
            end += 1
        room = _ROOM * words[item] + _ROOM_WORDS
        whole = np.float64(sizes[item]) if is_short[item] else totals[item]
        enough = whole if is_short[item] else min(share * whole, LONG_MATCH)
        shortest = min(_MOST * words[item], LONG_MATCH)
        value, oldest, after, free = 0.0, begin, begin, begin  # `free`: the first hit after the last place
        while after < end:
            value += _entered(seen, grams[after], worth, is_short[item])
            after += 1
            while first[oldest] < first[after - 1] - room or seen[grams[oldest]] > 1:
                value -= _left(seen, grams[oldest], worth, is_short[item])
                oldest += 1
            is_long = value >= _MOST * whole or last[after - 1] - first[oldest] + 1 >= shortest
            if value < enough - _EPSILON or not is_long:
                continue
            while after < end and first[after] <= first[oldest] + room and first[after] - last[after - 1] <= _GAP_WORDS:
                value += _entered(seen, grams[after], worth, is_short[item])
                after += 1
            start = oldest  # an n-gram that the item has twice was dropped from the window, and belongs to the place
            while start > free and first[after - 1] - first[start - 1] <= room and first[start] - last[start - 1] <= _GAP_WORDS:
                start -= 1
            out[0, size], out[1, size], out[2, size], out[3, size] = row, item, first[start], last[after - 1]
            shares[size], rarest[size] = min(1.0, value / whole), worth[grams[oldest:after]].max()
            size += 1
            seen[grams[oldest:after]] = 0
            value, oldest, free = 0.0, after, after
        seen[grams[oldest:end]] = 0
        begin = end
    return out[0, :size], out[1, :size], out[2, :size], out[3, :size], shares[:size], rarest[:size]


@jit
def _entered(seen: Any, gram: int, worth: Any, is_short: bool) -> float:
    """Count an n-gram that enters the window; return what it adds."""
    seen[gram] += 1
    return (1.0 if is_short else worth[gram]) if seen[gram] == 1 else 0.0


@jit
def _left(seen: Any, gram: int, worth: Any, is_short: bool) -> float:
    """Count an n-gram that leaves the window; return what it takes away."""
    seen[gram] -= 1
    return (1.0 if is_short else worth[gram]) if seen[gram] == 0 else 0.0


@jit
def _look_for_signs(
    certain: Any,
    rows: Any,
    items: Any,
    first: Any,
    last: Any,
    starts: Any,
    signs: Any,
    lengths: Any,
    words: Any,
    offsets: Any,
) -> None:
    """Make a match certain if one of its item's signs stands near it, outside the match."""
    for k in range(len(rows)):
        if certain[k]:
            continue
        base, end = offsets[rows[k]], offsets[rows[k] + 1]
        low, high = max(base, base + first[k] - SIGN_WORDS), min(end, base + last[k] + 1 + SIGN_WORDS)
        for s in range(starts[items[k]], starts[items[k] + 1]):
            for begin in range(low, high - lengths[s] + 1):
                if begin + lengths[s] > base + first[k] and begin <= base + last[k]:
                    continue
                rolling = np.uint64(0)
                for i in range(begin, begin + lengths[s]):
                    rolling = rolling * WINDOW_BASE + words[i]
                certain[k] |= mix(rolling) == signs[s]
