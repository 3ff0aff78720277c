r"""Hash lines and paragraphs by their words, to find those that repeat.

Words are compared as in `pipelines.text.copies.shingles` (without case, diacritics and punctuation, but with digits), so
"Read more »" and "READ MORE" are the same line. A line ends at "\n", a paragraph at a blank line. Lines and paragraphs
without words are ignored.

`pipelines.text.copies.cuts` removes what repeats.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.characters.code_points import buffers
from pipelines.text.characters.comparison import WINDOW_BASE, mix
from pipelines.text.characters.word_spans import Words
from pipelines.text.copies.cuts import most_newlines
from pipelines.text.kernels import jit

VERSION = 1

Hashes = NDArray[np.uint64]


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


def distinct(blocks: TextBlocks, min_words: int) -> Hashes:
    """Return the sorted hashes of blocks of at least `min_words`, once for each text that has such a block."""
    long_enough = blocks.at_least(min_words)
    hashes, rows = blocks.hashes[long_enough], blocks.rows()[long_enough]
    order = np.lexsort((rows, hashes))
    hashes, rows = hashes[order], rows[order]
    is_first = np.ones(len(hashes), np.bool_)
    is_first[1:] = (hashes[1:] != hashes[:-1]) | (rows[1:] != rows[:-1])
    return hashes[is_first]


def counted(hashes: Hashes, counts: NDArray[np.int64] | None = None) -> tuple[Hashes, NDArray[np.int64]]:
    """Return the distinct hashes, sorted, each with the sum of its counts (by default, 1 per occurrence).

    >>> [column.tolist() for column in counted(np.array([7, 5, 7], np.uint64), np.array([1, 2, 3]))]
    [[5, 7], [2, 4]]
    """
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    starts = np.flatnonzero(np.concatenate([np.ones(min(1, len(hashes)), np.bool_), hashes[1:] != hashes[:-1]]))
    if counts is None:
        return hashes[starts], np.diff(starts, append=len(hashes))
    return hashes[starts], np.add.reduceat(counts[order], starts) if len(starts) else counts[:0]


def among(hashes: Hashes, known: Sequence[Hashes]) -> NDArray[np.bool_]:
    """Return which hashes are known; `known` is an ascending sequence of ascending arrays, perhaps memory-mapped.

    >>> among(np.array([9, 2, 3, 9], np.uint64), [np.array([1, 2], np.uint64), np.array([9], np.uint64)]).tolist()
    [True, True, False, True]
    """
    unique, inverse = np.unique(hashes, return_inverse=True)
    is_known = np.zeros(len(unique), np.bool_)
    known = [part for part in known if len(part)]
    bounds = np.searchsorted(unique, np.array([part[0] for part in known[1:]], np.uint64))
    for part, candidates, out in zip(known, np.split(unique, bounds), np.split(is_known, bounds), strict=False):
        places = np.minimum(np.searchsorted(part, candidates), len(part) - 1)
        out[:] = part[places] == candidates
    return is_known[inverse]


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
def _hashed(hashes: Any, first: Any) -> Any:
    """Hash the words of each block in order."""
    out = np.empty(len(first) - 1, np.uint64)
    for block in range(len(first) - 1):
        rolling = np.uint64(0)
        for word in range(first[block], first[block + 1]):
            rolling = rolling * WINDOW_BASE + hashes[word]
        out[block] = mix(rolling)
    return out
