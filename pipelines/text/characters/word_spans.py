"""Where the words of texts lie: the words that `shingles` compares, hashed, each with its bytes in the text as it stands.

One pass over the bytes, by the same rules as `comparison.normalised`, but nothing is written except a word's hash and bounds.
What removes runs of words (repeats, texts of benchmarks) finds them among the hashes and cuts by the bounds.

    >>> found = words(pa.array(["Über  den Café!", "漢字 b"]))
    >>> found.starts.tolist(), found.ends.tolist(), found.offsets.tolist()
    ([0, 7, 11, 0, 3, 7], [5, 10, 16, 3, 6, 8], [0, 3, 6])
    >>> found.is_character.tolist()
    [False, False, False, True, True, False]

A span goes from a word's first character to its last, with the marks on it and the invisible characters within and behind
it. Spans are in order and do not overlap, but for the words that one character stands for ("㍿" is four, "½" is two): each
of them has that character. A text without a word has none here (`shingles` takes it as it is).
"""

# The rules of what a word is, and the kernels that read and hash it, are those of shingles.
# pyright: reportPrivateUsage=false

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
    """The words of some texts, in order; those of text i are `offsets[i]` to `offsets[i + 1]`."""

    hashes: NDArray[np.uint64]  # [words] equal for words that compare equal
    starts: NDArray[np.int64]  # [words] first byte, counted from the beginning of its text
    ends: NDArray[np.int64]  # [words] the byte behind it
    offsets: NDArray[np.int64]  # [texts + 1]
    is_character: NDArray[np.bool_]  # [words] a character of a script that is written without spaces


def words(texts: pa.Array) -> Words:
    """The words of a StringArray (null counts as empty). Takes 25 bytes a word, a few times the text."""
    data, offsets = bytes_and_offsets(texts)
    table = character_table()
    room = _room(data, offsets, table.entries)
    hashes, is_character = np.empty(room, np.uint64), np.empty(room, np.bool_)
    starts, ends = np.empty(room, np.int64), np.empty(room, np.int64)
    by_text = _spans(data, offsets, table.entries, table.expansions, hashes, starts, ends, is_character)
    found = by_text[-1]
    return Words(hashes[:found], starts[:found], ends[:found], by_text, is_character[:found])


def word_spans(texts: pa.Array) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Hashes, starts, ends and offsets of `words`."""
    found = words(texts)
    return found.hashes, found.starts, found.ends, found.offsets


@jit
def _room(data: Any, texts: Any, entries: Any) -> Any:
    """As many words as there are, or a few more: every ASCII separator and every other character may end one."""
    is_separator = np.zeros(256, np.uint8)
    for j in range(128):
        is_separator[j] = entries[j] >> CLASS_SHIFT != WORD
    is_separator[0xC0:] = 1  # the first byte of a character that is no ASCII
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
    """Fill in the words; the offsets of the texts among them."""
    ascii_bytes = np.zeros(128, np.uint8)  # what an ASCII byte becomes; 0 separates words
    for j in range(128):
        if entries[j] >> CLASS_SHIFT == WORD:
            ascii_bytes[j] = entries[j] & np.uint32(0x7F)
    offsets = np.zeros(len(texts), np.int64)
    found = 0
    for row in range(len(texts) - 1):
        i, begin, behind = texts[row], texts[row], texts[row + 1]
        word, is_open, is_single = FNV_START, False, False
        while i < behind:
            if data[i] < 0x80:
                byte = ascii_bytes[data[i]]
                if is_open and (is_single or byte == 0):
                    hashes[found], singles[found] = mix(word), is_single
                    found, is_open, word = found + 1, False, FNV_START
                is_single = False
                if byte:
                    if not is_open:
                        starts[found], is_open = i - begin, True
                    while byte:
                        word = (word ^ np.uint64(byte)) * FNV_PRIME
                        i += 1
                        byte = ascii_bytes[data[i]] if i < behind and data[i] < 0x80 else np.uint8(0)
                    ends[found] = i - begin
                else:
                    i += 1
                continue
            code, length = decode(data, i, behind)
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
                        ends[found] = i - begin
                    continue
                if is_open and (kind in (SEPARATOR, SINGLE) or (kind == WORD and is_single)):
                    hashes[found], singles[found] = mix(word), is_single
                    found, is_open, word = found + 1, False, FNV_START
                if kind == SEPARATOR:
                    is_single = False
                    continue
                is_single = kind == SINGLE or (kind == MARK and is_single and is_open)
                if not is_open:
                    starts[found], is_open = i - length - begin, True
                word = _hashed(word, character & np.uint32(CODE_MASK))
                ends[found] = i - begin
        if is_open:
            hashes[found], singles[found] = mix(word), is_single
            found += 1
        offsets[row + 1] = found
    return offsets


@numba.njit(cache=True, nogil=True, inline="always")
def _hashed(word: Any, code: Any) -> Any:
    """The word's hash with one more character, as UTF-8."""
    if code < 0x80:
        return (word ^ np.uint64(code)) * FNV_PRIME
    length = 2 if code < 0x800 else 3 if code < 0x10000 else 4
    lead = ((0xF00 >> length) & 0xFF) | (code >> np.uint32(6 * (length - 1)))
    word = (word ^ np.uint64(lead)) * FNV_PRIME
    for j in range(length - 2, -1, -1):
        byte = 0x80 | ((code >> np.uint32(6 * j)) & np.uint32(0x3F))
        word = (word ^ np.uint64(byte)) * FNV_PRIME
    return word
