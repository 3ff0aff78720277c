"""Sets of hashed word n-grams for columns of texts, the input of MinHash, and digests of whole texts for exact comparison.

Two passes over the bytes, without making strings: the first normalises (pipelines/text/characters/comparison.py; the signs of
formulas and code are words), the second hashes words and windows of n words. A text of fewer than n words is one shingle. A
text without words (only symbols) is hashed as written.
"""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.characters import comparison, signs
from pipelines.text.characters.comparison import (
    FNV_PRIME,
    FNV_START,
    SPACE,
    WINDOW_BASE,
    bytes_and_offsets,
    mix,
    normalised_bytes,
)
from pipelines.text.kernels import jit

VERSION = f"{comparison.VERSION}/signs-{signs.VERSION}"


@dataclass(frozen=True, slots=True)
class Scan:
    """The shingles and the normalised form of texts; row i is text i."""

    shingles: NDArray[np.uint64]  # [sum of shingles], row after row; each row has at least one
    offsets: NDArray[np.int64]  # [rows + 1] into `shingles`
    text: NDArray[np.uint8]  # the normalised texts, UTF-8, row after row
    text_offsets: NDArray[np.int64]  # [rows + 1] into `text`

    def words(self) -> pa.Array:
        """Return the words of each text in order, as list<uint32>: the upper halves of their hashes, at least one per text.

        One in ten thousand pairs of documents with a thousand distinct words has two different words with equal halves.
        Shingles keep all 64 bits.
        """
        hashes = np.empty((len(self.text) + 1) // 2 + 2 * len(self.text_offsets), np.uint32)
        offsets = np.zeros(len(self.text_offsets), np.int32)
        _write_words(self.text, self.text_offsets, _room_for_words(self.text_offsets), hashes, offsets)
        kind = pa.list_(pa.field("item", pa.uint32(), nullable=False))
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(hashes[: offsets[-1]].copy()), type=kind)


def scan(texts: pa.Array, ngram: int) -> Scan:
    """Normalise the texts of a StringArray (null counts as empty) and hash every window of `ngram` words to 64 bits."""
    text, ends = normalised_bytes(texts, signs=True)
    # A word and the space after it take two bytes; a text without words is one shingle. Unwritten memory costs nothing.
    shingles = np.empty((len(text) + 1) // 2 + 2 * len(ends), np.uint64)
    offsets = np.zeros(len(ends), np.int64)
    _windows(text, ends, ngram, _room_for_words(ends), shingles, offsets)
    return Scan(shingles[: offsets[-1]], offsets, text, ends)


def digests(texts: pa.Array) -> pa.Array:
    """Return the blake2b-16 of each text of a StringArray as it is written, as binary(16); null counts as empty."""
    data, starts = bytes_and_offsets(texts)
    return _digests(data.data, starts.tolist())


def letters(texts: pa.Array) -> pa.Array:
    """Return the blake2b-16 of each normalised text, as binary(16): equal for texts of the same words, whatever their signs."""
    text, ends = normalised_bytes(texts)
    return _digests(text.data, ends.tolist())


def _digests(data: memoryview, bounds: Sequence[int]) -> pa.Array:
    """Hash the bytes between successive bounds.

    One Python call per text takes a sixth of the time of a whole signature (measured), nearly all of it in BLAKE2b.
    """
    found = [hashlib.blake2b(data[a:b], digest_size=16).digest() for a, b in itertools.pairwise(bounds)]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(found), [None, pa.py_buffer(b"".join(found))])


def hashes(strings: pa.Array) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each string of a StringArray, without normalising; null counts as empty."""
    data, starts = bytes_and_offsets(strings)
    out = np.empty(len(strings), np.uint64)
    _hashes(data, starts, out)
    return out


def _room_for_words(ends: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return an array for the words of the longest row."""
    return np.empty(int(np.diff(ends).max(initial=0)) // 2 + 2, np.uint64)


# The passes


@jit
def _windows(text: Any, ends: Any, ngram: int, words: Any, shingles: Any, offsets: Any) -> None:
    """Hash every window of `ngram` words in each row of normalised text; no window crosses rows."""
    oldest = np.uint64(1)
    for _ in range(ngram):
        oldest *= WINDOW_BASE
    size = 0
    for row in range(len(ends) - 1):
        count = _hash_words(text[ends[row] : ends[row + 1]], words)
        rolling = np.uint64(0)
        for i in range(count):
            # A polynomial in the words' hashes, so that a window costs the same whatever its length.
            rolling = rolling * WINDOW_BASE + words[i]
            if i >= ngram:
                rolling -= words[i - ngram] * oldest
            shingles[size] = mix(rolling)
            size += i >= ngram - 1
        size += count < ngram  # a short text is one shingle: the last hash, that of all its words
        offsets[row + 1] = size


@jit
def _write_words(text: Any, ends: Any, words: Any, hashes: Any, offsets: Any) -> None:
    """Write the upper half of every word's hash for each row of normalised text."""
    size = 0
    for row in range(len(ends) - 1):
        count = _hash_words(text[ends[row] : ends[row + 1]], words)
        for i in range(count):
            hashes[size + i] = words[i] >> np.uint64(32)
        size += count
        offsets[row + 1] = size


@jit
def _hash_words(text: Any, words: Any) -> int:
    """Hash every word of a text; return their number, at least one. No branches: word ends are unpredictable."""
    size, word, last = 0, FNV_START, SPACE
    for byte in text:
        words[size] = word
        size += (byte == SPACE) & (last != SPACE)  # only a text without a word has consecutive spaces
        word = FNV_START if byte == SPACE else (word ^ np.uint64(byte)) * FNV_PRIME
        last = byte
    words[size] = word
    size += (last != SPACE) | (size == 0)
    for i in range(size):
        words[i] = mix(words[i])
    return size


@jit
def _hashes(data: Any, starts: Any, out: Any) -> None:
    for row in range(len(starts) - 1):
        h = FNV_START
        for i in range(starts[row], starts[row + 1]):
            h = (h ^ np.uint64(data[i])) * FNV_PRIME
        out[row] = mix(h)
