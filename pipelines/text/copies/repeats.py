r"""Hash lines and paragraphs by their words, to find those that repeat.

Words are compared as in `pipelines.text.copies.shingles` (without case, diacritics and punctuation, but with digits), so
"Read more »" and "READ MORE" are the same line; the signs of formulas and code count there, too, so "return a + b" is not
"return a - b". A line ends at "\n", a paragraph at a blank line. Lines and paragraphs
without words are ignored.

`pipelines.text.copies.cuts` removes what repeats.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.characters import signs, word_spans
from pipelines.text.characters.code_points import buffers
from pipelines.text.characters.comparison import (
    CODE_MASK,
    FNV_PRIME,
    WINDOW_BASE,
    character_table,
    decode,
    mix,
    sign_table,
)
from pipelines.text.characters.word_spans import Words
from pipelines.text.copies.cuts import most_newlines
from pipelines.text.kernels import jit

VERSION = f"2/signs-{signs.VERSION}"

_NEWLINE = 0x0A

Hashes = NDArray[np.uint64]
Owners = NDArray[np.uint64]  # documents that keep a block that others lose: the first 8 bytes of their ids


@dataclass(frozen=True, slots=True)
class TextBlocks:
    """The lines or the paragraphs of texts, except those without words."""

    hashes: Hashes  # [blocks], of each block's words
    first: NDArray[np.int64]  # [blocks + 1], the first word of each block; it ends where the next one begins
    offsets: NDArray[np.int64]  # [rows + 1], the first block of each text
    half_words: NDArray[np.int64]  # [blocks], the length: a character of a script written without spaces is half a word

    def words(self) -> NDArray[np.int64]:
        """Return the number of words in each block."""
        return np.diff(self.first)

    def at_least(self, words: int) -> NDArray[np.bool_]:
        """Return which blocks are at least this many words long."""
        return self.half_words >= 2 * words

    def rows(self) -> NDArray[np.int64]:
        """Return the row of each block's text."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


@dataclass(frozen=True, slots=True)
class Repeated:
    """Lines or paragraphs that repeat, perhaps memory-mapped."""

    hashes: Hashes  # ascending
    owners: Owners | None = None  # the document that keeps each; None: no document does


def words_with_signs(texts: pa.Array) -> Words:
    r"""Return the words of texts (a StringArray without nulls); the signs beside a word on its line are part of its hash.

    A sign belongs to the next word of its line, after the last word to that one.

    >>> hashes = words_with_signs(pa.array(["a + b\na - b\na b"])).hashes
    >>> bool(hashes[0] == hashes[2] == hashes[4]), len({hashes[1], hashes[3], hashes[5]})
    (True, 3)
    """
    words = word_spans.words(texts)
    data, offsets = buffers(texts)
    hashes = words.hashes.copy()
    _add_signs(data, offsets, words.starts, words.ends, words.offsets, *_sign_tables(), hashes)
    return replace(words, hashes=hashes)


@cache
def _sign_tables() -> tuple[NDArray[np.bool_], NDArray[np.uint32], NDArray[np.uint8]]:
    """Return which bytes a sign may begin with, the compared form of each sign by code point (else 0), and ASCII's classes."""
    entries, classes = sign_table().entries, signs.ascii_classes()
    codes = np.where(entries != character_table().entries, entries & np.uint32(CODE_MASK), 0).astype(np.uint32)
    may_begin = np.zeros(256, np.bool_)
    may_begin[:128] = classes != signs.NONE
    may_begin[[chr(code).encode()[0] for code in np.flatnonzero(codes).tolist()]] = True
    return may_begin, codes, classes


def lines(texts: pa.Array, words: Words) -> TextBlocks:
    r"""Return the lines of texts (a StringArray without nulls), given their words.

    >>> from pipelines.text.characters.word_spans import words
    >>> texts = pa.array(["Read more!\n\n- READ MORE"])
    >>> found = lines(texts, words(texts))
    >>> found.words().tolist(), bool(found.hashes[0] == found.hashes[1])
    ([2, 2], True)
    """
    return _blocks(texts, words, newlines=1)


def paragraphs(texts: pa.Array, words: Words) -> TextBlocks:
    """Return the paragraphs of texts, as `lines`; blank lines separate them."""
    return _blocks(texts, words, newlines=2)


def distinct(blocks: TextBlocks, min_words: int) -> tuple[Hashes, NDArray[np.int64]]:
    """Return the sorted hashes of blocks of at least `min_words`, once for each text that has such a block, and its row."""
    long_enough = blocks.at_least(min_words)
    hashes, rows = blocks.hashes[long_enough], blocks.rows()[long_enough]
    order = np.lexsort((rows, hashes))
    hashes, rows = hashes[order], rows[order]
    is_first = np.ones(len(hashes), np.bool_)
    is_first[1:] = (hashes[1:] != hashes[:-1]) | (rows[1:] != rows[:-1])
    return hashes[is_first], rows[is_first]


def counted(
    hashes: Hashes, counts: NDArray[np.int64], ranks: NDArray[np.int64]
) -> tuple[Hashes, NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct hashes, sorted, each with the sum of its counts and the least of its ranks.

    >>> [column.tolist() for column in counted(np.array([7, 5, 7], np.uint64), np.array([1, 2, 3]), np.array([9, 4, 6]))]
    [[5, 7], [2, 4], [4, 6]]
    """
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    starts = np.flatnonzero(np.concatenate([np.ones(min(1, len(hashes)), np.bool_), hashes[1:] != hashes[:-1]]))
    if not len(starts):
        return hashes, counts[:0], ranks[:0]
    return hashes[starts], np.add.reduceat(counts[order], starts), np.minimum.reduceat(ranks[order], starts)


def among(hashes: Hashes, known: Sequence[Repeated]) -> NDArray[np.bool_]:
    """Return which hashes are known; `known` is an ascending sequence.

    >>> known = [Repeated(np.array([1, 2], np.uint64)), Repeated(np.array([9], np.uint64))]
    >>> among(np.array([9, 2, 3, 9], np.uint64), known).tolist()
    [True, True, False, True]
    """
    unique, inverse = np.unique(hashes, return_inverse=True)
    is_known = np.zeros(len(unique), np.bool_)
    for _part, rows, places in _places(unique, known):
        is_known[rows] = places >= 0
    return is_known[inverse]


def lost(hashes: Hashes, documents: Owners, known: Sequence[Repeated]) -> NDArray[np.bool_]:
    """Return which hashes are known and belong to another document than the one in `documents`, in which they stand.

    >>> known = [Repeated(np.array([1, 2], np.uint64), np.array([50, 60], np.uint64))]
    >>> lost(np.array([2, 2, 3], np.uint64), np.array([60, 50, 50], np.uint64), known).tolist()
    [False, True, False]
    """
    unique, inverse = np.unique(hashes, return_inverse=True)
    is_known, is_kept = np.zeros(len(unique), np.bool_), np.zeros(len(unique), np.bool_)
    owners = np.zeros(len(unique), np.uint64)
    for part, rows, places in _places(unique, known):
        is_known[rows] = places >= 0
        if part.owners is not None:
            is_kept[rows] = True
            owners[rows] = part.owners[places]
    return is_known[inverse] & ~(is_kept[inverse] & (owners[inverse] == documents))


def _places(unique: Hashes, known: Sequence[Repeated]) -> Iterator[tuple[Repeated, slice, NDArray[np.int64]]]:
    """Yield each part of `known`, the ascending hashes within its range, and their places in it (-1: it lacks the hash)."""
    known = [part for part in known if len(part.hashes)]
    if not known:
        return
    bounds = np.searchsorted(unique, np.array([part.hashes[0] for part in known[1:]], np.uint64))
    starts, ends = [0, *bounds.tolist()], [*bounds.tolist(), len(unique)]
    for part, start, end in zip(known, starts, ends, strict=True):
        candidates = unique[start:end]
        places = np.minimum(np.searchsorted(part.hashes, candidates), len(part.hashes) - 1)
        yield part, slice(start, end), np.where(part.hashes[places] == candidates, places, -1)


def mark_words(blocks: TextBlocks, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return for each word whether its block is chosen."""
    return np.repeat(chosen, blocks.words())


def _blocks(texts: pa.Array, words: Words, newlines: int) -> TextBlocks:
    data, offsets = buffers(texts)
    begins = _block_starts(data, offsets, words.starts, words.ends, words.offsets, newlines)
    first = np.append(np.flatnonzero(begins), len(begins))
    halves = np.concatenate([np.zeros(1, np.int64), np.cumsum(2 - words.is_character.astype(np.int64))])
    return TextBlocks(_hashed(words.hashes, first), first, np.searchsorted(first[:-1], words.offsets), np.diff(halves[first]))


# The passes over bytes and words


@jit
def _block_starts(data: Any, texts: Any, starts: Any, ends: Any, offsets: Any, newlines: int) -> Any:
    """Flag the words that begin a block: a text's first, and those after `newlines` line ends with only blanks between."""
    begins = np.zeros(len(starts), np.bool_)
    for row in range(len(offsets) - 1):
        for word in range(offsets[row], offsets[row + 1]):
            begins[word] = (
                word == offsets[row] or most_newlines(data, texts[row] + ends[word - 1], texts[row] + starts[word]) >= newlines
            )
    return begins


@jit
def _add_signs(
    data: Any, texts: Any, starts: Any, ends: Any, offsets: Any, may_begin: Any, codes: Any, classes: Any, hashes: Any
) -> None:
    """Mix each sign into the hash of the next word of its line, else into that of the last one."""
    for row in range(len(offsets) - 1):
        begin, end = texts[row], texts[row + 1]
        line_end, is_dense = begin, False
        word, line, newline = offsets[row], begin, begin - 1  # the next word; the line of the last sign
        for i in range(begin, end):
            if not may_begin[data[i]]:
                continue
            value = np.uint64(data[i])
            if data[i] < 0x80:
                is_sign, line_end, is_dense = signs.is_counted(data, i, begin, end, classes, line_end, is_dense)
            else:
                value = np.uint64(codes[decode(data, i, end)[0]])
                is_sign = value != 0
            if not is_sign:
                continue
            if i > newline:
                line = _line_start(data, i, begin)
                newline = _line_end(data, i, end)
            while word < offsets[row + 1] and begin + starts[word] <= i:
                word += 1
            if word < offsets[row + 1] and begin + starts[word] < newline:
                hashes[word] = mix(hashes[word] ^ value * FNV_PRIME)
            elif word > offsets[row] and begin + ends[word - 1] > line:
                hashes[word - 1] = mix(hashes[word - 1] * WINDOW_BASE ^ value * FNV_PRIME)


@jit
def _line_start(data: Any, i: int, begin: int) -> int:
    while i > begin and data[i - 1] != _NEWLINE:
        i -= 1
    return i


@jit
def _line_end(data: Any, i: int, end: int) -> int:
    while i < end and data[i] != _NEWLINE:
        i += 1
    return i


@jit
def _hashed(hashes: Any, first: Any) -> Any:
    """Hash the words of each block in order."""
    out = np.empty(len(first) - 1, np.uint64)
    for block in range(len(first) - 1):
        rolling = np.uint64(0)
        for word in range(first[block], first[block + 1]):
            rolling = rolling * WINDOW_BASE + hashes[word]
        out[block] = mix(rolling)
    return out
