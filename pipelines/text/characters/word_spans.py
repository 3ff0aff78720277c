"""The words of texts as `shingles` compares them: their hashes and their bounds in the original text.

One pass over the bytes, by the rules of `comparison.normalised`, writes only each word's hash and bounds. Modules that remove
runs of words (repeats, texts of benchmarks) find them by the hashes and cut at the bounds.

    >>> spans = words(pa.array(["Über  den Café!", "漢字 b"]))
    >>> spans.starts.tolist(), spans.ends.tolist(), spans.offsets.tolist()
    ([0, 7, 11, 0, 3, 7], [5, 10, 16, 3, 6, 8], [0, 3, 6])
    >>> spans.is_character.tolist()
    [False, False, False, True, True, False]

A span reaches from a word's first character to its last, including marks and the invisible characters within and after them.
Spans are in order and do not overlap, except where one character is several words ("㍿" is four, "½" is two): each of these
has that character as its span. A text without words has no span here (`shingles` takes it whole).
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.characters.comparison import (
    CLASS_SHIFT,
    CODE_MASK,
    EXPANDED,
    FNV_PRIME,
    FNV_START,
    LENGTH_SHIFT,
    MARK,
    REMOVED,
    SEPARATOR,
    SINGLE,
    WORD,
    bytes_and_offsets,
    character_table,
    decode,
    mix,
)
from pipelines.text.characters.comparison import VERSION as _COMPARISON_VERSION
from pipelines.text.kernels import jit

VERSION = f"1/comparison-{_COMPARISON_VERSION}"


@dataclass(frozen=True, slots=True)
class Words:
    """The words of texts, in order; text i has the words `offsets[i]` to `offsets[i + 1]`."""

    hashes: NDArray[np.uint64]  # [words] equal for words that compare equal
    starts: NDArray[np.int64]  # [words] first byte, counted from the start of the text
    ends: NDArray[np.int64]  # [words] the byte after the last
    offsets: NDArray[np.int64]  # [texts + 1]
    is_character: NDArray[np.bool_]  # [words] a character of a script written without spaces


def words(texts: pa.Array) -> Words:
    """Return the words of a StringArray (null counts as empty). At 25 bytes per word, they take a few times the text's size."""
    data, offsets = bytes_and_offsets(texts)
    table = character_table()
    room = _room(data, offsets, table.entries)
    hashes, is_character = np.empty(room, np.uint64), np.empty(room, np.bool_)
    starts, ends = np.empty(room, np.int64), np.empty(room, np.int64)
    by_text = _spans(data, offsets, table.entries, table.expansions, hashes, starts, ends, is_character)
    size = by_text[-1]
    return Words(hashes[:size], starts[:size], ends[:size], by_text, is_character[:size])


def word_spans(texts: pa.Array) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the hashes, starts, ends and offsets of `words`."""
    spans = words(texts)
    return spans.hashes, spans.starts, spans.ends, spans.offsets


@jit
def _room(data: Any, texts: Any, entries: Any) -> Any:
    """Return an upper bound of the number of words: every separator and every character beyond ASCII may end one."""
    is_separator = np.zeros(256, np.uint8)
    for j in range(128):
        is_separator[j] = entries[j] >> CLASS_SHIFT != WORD
    is_separator[0xC0:] = 1  # the first byte of a character beyond ASCII
    room, several = len(texts), 0
    for i in range(texts[0], texts[-1]):
        room += is_separator[data[i]]
        several += data[i] >= 0xE3  # characters that become several words take three bytes or more
    if several:
        for row in range(len(texts) - 1):
            i = texts[row]
            while i < texts[row + 1]:
                if data[i] < 0xC0:
                    i += 1
                    continue
                code, length = decode(data, i, texts[row + 1])
                if entries[code] >> CLASS_SHIFT == EXPANDED:
                    room += np.int64((entries[code] >> LENGTH_SHIFT) & 0xFF)
                i += length
    return room


@jit
def _spans(data: Any, texts: Any, entries: Any, expansions: Any, hashes: Any, starts: Any, ends: Any, singles: Any) -> Any:
    """Write the words; return the offset of each text's first word."""
    ascii_bytes = np.zeros(128, np.uint8)  # what an ASCII byte becomes; 0 separates words
    for j in range(128):
        if entries[j] >> CLASS_SHIFT == WORD:
            ascii_bytes[j] = entries[j] & np.uint32(0x7F)
    offsets = np.zeros(len(texts), np.int64)
    size = 0  # words so far
    for row in range(len(texts) - 1):
        i, begin, end = texts[row], texts[row], texts[row + 1]
        word, is_open, is_single = FNV_START, False, False
        while i < end:
            if data[i] < 0x80:
                byte = ascii_bytes[data[i]]
                if is_open and (is_single or byte == 0):
                    size = _end_word(hashes, singles, size, word, is_single)
                    is_open, word = False, FNV_START
                is_single = False
                if byte:
                    if not is_open:
                        starts[size], is_open = i - begin, True
                    while byte:
                        word = (word ^ np.uint64(byte)) * FNV_PRIME
                        i += 1
                        byte = ascii_bytes[data[i]] if i < end and data[i] < 0x80 else np.uint8(0)
                    ends[size] = i - begin
                else:
                    i += 1
                continue
            code, length = decode(data, i, end)
            i += length
            entry = entries[code]
            is_expanded = entry >> CLASS_SHIFT == EXPANDED
            first = np.int64(entry & CODE_MASK) if is_expanded else 0
            count = np.int64((entry >> LENGTH_SHIFT) & 0xFF) if is_expanded else 1
            for k in range(first, first + count):
                character = expansions[k] if is_expanded else entry
                kind = character >> CLASS_SHIFT
                if kind == REMOVED:
                    if is_open:
                        ends[size] = i - begin
                    continue
                if is_open and (kind in (SEPARATOR, SINGLE) or (kind == WORD and is_single)):
                    size = _end_word(hashes, singles, size, word, is_single)
                    is_open, word = False, FNV_START
                if kind == SEPARATOR:
                    is_single = False
                    continue
                is_single = kind == SINGLE or (kind == MARK and is_single and is_open)
                if not is_open:
                    starts[size], is_open = i - length - begin, True
                word = _hashed(word, character & np.uint32(CODE_MASK))
                ends[size] = i - begin
        if is_open:
            size = _end_word(hashes, singles, size, word, is_single)
        offsets[row + 1] = size
    return offsets


@jit
def _end_word(hashes: Any, singles: Any, size: int, word: Any, is_single: bool) -> int:
    """Write a word's hash and kind after the first `size` words; return the number of words."""
    hashes[size], singles[size] = mix(word), is_single
    return size + 1


@numba.njit(cache=True, nogil=True, inline="always")
def _hashed(word: Any, code: Any) -> Any:
    """Return a word's hash extended by one character's UTF-8."""
    if code < 0x80:
        return (word ^ np.uint64(code)) * FNV_PRIME
    length = 2 if code < 0x800 else 3 if code < 0x10000 else 4
    lead = ((0xF00 >> length) & 0xFF) | (code >> np.uint32(6 * (length - 1)))
    word = (word ^ np.uint64(lead)) * FNV_PRIME
    for j in range(length - 2, -1, -1):
        byte = 0x80 | ((code >> np.uint32(6 * j)) & np.uint32(0x3F))
        word = (word ^ np.uint64(byte)) * FNV_PRIME
    return word
