r"""Gopher's measures of repetition (arXiv 2112.11446, A1.1): duplicate lines and paragraphs, frequent and duplicate n-grams.

How the paper's words are read here:

- A line or paragraph is a duplicate when the same one stands before it; the first one is none. Runs of whitespace count as
  one space. Blank lines are not lines; they separate paragraphs.
- The top n-gram is the most frequent one (the longest of those); its share is occurrences times its characters. One that
  occurs once has the share 0.
- Duplicate n-grams are found from left to right: an n-gram that was there before counts, and the search goes on behind it,
  so no character counts twice.
- n-grams are of tokens as pipelines.text.words finds them; characters are those of the tokens, without whitespace.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.characters import buffers, decode
from pipelines.text.words import BLANK, DIGIT, LETTER, NEWLINE, SPACELESS, begins_token, table

TOP = (2, 3, 4)
DUPLICATE = (5, 6, 7, 8, 9, 10)

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd; 2^64 divided by the golden ratio


@dataclass(frozen=True, slots=True)
class Repetition:
    """Shares of each text, 0 to 1."""

    lines: NDArray[np.float64]  # [rows] duplicates among lines
    line_characters: NDArray[np.float64]  # [rows] characters in them
    paragraphs: NDArray[np.float64]  # [rows]
    paragraph_characters: NDArray[np.float64]  # [rows]
    top: NDArray[np.float64]  # [rows, 3] characters in the top 2-, 3- and 4-gram
    duplicate: NDArray[np.float64]  # [rows, 6] characters in duplicate 5- to 10-grams


def measure(texts: pa.Array) -> Repetition:
    """Measure all texts of a StringArray without nulls."""
    data, offsets = buffers(texts)
    out = _measure(data, offsets, table())
    return Repetition(out[:, 0], out[:, 1], out[:, 2], out[:, 3], out[:, 4:7], out[:, 7:13])


@numba.njit(cache=True, nogil=True)
def _mix(value: Any) -> Any:
    """A bijection of 64 bits whose output looks random (the finaliser of MurmurHash3)."""
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xFF51AFD7ED558CCD)
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


@numba.njit(cache=True, nogil=True)
def _slot(keys: Any, stamps: Any, stamp: int, key: Any, bits: int) -> Any:
    """Where the key is, or would be, in a table of 2^bits slots; a slot is empty unless it bears the stamp."""
    mask = (1 << bits) - 1
    slot: Any = np.int64((key * _BASE) >> np.uint64(64 - bits))  # int() would stay unsigned in numba
    while stamps[slot] == stamp and keys[slot] != key:
        slot = (slot + 1) & mask
    return slot


@numba.njit(cache=True, nogil=True)
def _bits_for(items: int) -> int:
    bits = 4
    while (1 << bits) < 2 * items:
        bits += 1
    return bits


@numba.njit(cache=True, nogil=True)
def _duplicates(hashes: Any, lengths: Any, size: int, keys: Any, stamps: Any, stamp: int) -> tuple[float, float]:
    """The share of items that are duplicates of an earlier one, and of their characters."""
    if size == 0:
        return 0.0, 0.0
    bits = _bits_for(size)
    items, characters, total = 0, 0, 0
    for i in range(size):
        slot = _slot(keys, stamps, stamp, hashes[i], bits)
        total += lengths[i]
        if stamps[slot] == stamp:
            items += 1
            characters += lengths[i]
        else:
            keys[slot], stamps[slot] = hashes[i], stamp
    return items / size, characters / total


@numba.njit(cache=True, nogil=True)
def _top(prefix: Any, ends: Any, size: int, n: int, keys: Any, stamps: Any, counts: Any, stamp: int) -> float:
    """The share of characters in the most frequent n-gram; `prefix` and `ends` are sums before each token."""
    if size < n:
        return 0.0
    bits = _bits_for(size)
    power = _power(n)
    best, length = 1, 0
    for i in range(size - n + 1):
        key = _mix(prefix[i + n] - prefix[i] * power)
        slot = _slot(keys, stamps, stamp, key, bits)
        if stamps[slot] == stamp:
            counts[slot] += 1
        else:
            keys[slot], stamps[slot], counts[slot] = key, stamp, 1
        characters = ends[i + n] - ends[i]
        if counts[slot] > best or (counts[slot] == best and characters > length):
            best, length = counts[slot], characters
    return min(1.0, best * length / ends[size]) if best > 1 else 0.0


@numba.njit(cache=True, nogil=True)
def _duplicate_ngrams(prefix: Any, ends: Any, size: int, n: int, keys: Any, stamps: Any, stamp: int) -> float:
    """The share of characters in n-grams that were there before."""
    if size < n:
        return 0.0
    bits = _bits_for(size)
    power = _power(n)
    found, i = 0, 0
    while i <= size - n:
        key = _mix(prefix[i + n] - prefix[i] * power)
        slot = _slot(keys, stamps, stamp, key, bits)
        if stamps[slot] == stamp:
            found += ends[i + n] - ends[i]
            i += n
        else:
            keys[slot], stamps[slot] = key, stamp
            i += 1
    return found / ends[size]


@numba.njit(cache=True, nogil=True)
def _power(n: int) -> Any:
    power = np.uint64(1)
    for _ in range(n):
        power *= _BASE
    return power


@numba.njit(cache=True, nogil=True)
def _measure(data: Any, offsets: Any, table: Any) -> Any:
    rows = offsets.size - 1
    out = np.zeros((rows, 13), np.float64)
    most = 0
    for row in range(rows):
        most = max(most, offsets[row + 1] - offsets[row])
    prefix, ends = np.zeros(most + 2, np.uint64), np.zeros(most + 2, np.int64)  # over tokens
    line, line_length = np.empty(most + 1, np.uint64), np.empty(most + 1, np.int64)
    paragraph, paragraph_length = np.empty(most + 1, np.uint64), np.empty(most + 1, np.int64)
    capacity = 1 << _bits_for(most + 1)
    keys, stamps, counts = np.empty(capacity, np.uint64), np.zeros(capacity, np.int64), np.empty(capacity, np.int64)
    stamp = 0
    for row in range(rows):
        tokens, lines, paragraphs = _split(
            data, offsets[row], offsets[row + 1], table, prefix, ends, line, line_length, paragraph, paragraph_length
        )
        out[row, 0], out[row, 1] = _duplicates(line, line_length, lines, keys, stamps, stamp + 1)
        out[row, 2], out[row, 3] = _duplicates(paragraph, paragraph_length, paragraphs, keys, stamps, stamp + 2)
        stamp += 2
        for n in range(2, 5):
            stamp += 1
            out[row, n + 2] = _top(prefix, ends, tokens, n, keys, stamps, counts, stamp)
        for n in range(5, 11):
            stamp += 1
            out[row, n + 2] = _duplicate_ngrams(prefix, ends, tokens, n, keys, stamps, stamp)
    return out


@numba.njit(cache=True, nogil=True)
def _split(
    data: Any,
    at: int,
    end: int,
    table: Any,
    prefix: Any,
    ends: Any,
    line: Any,
    line_length: Any,
    paragraph: Any,
    paragraph_length: Any,
) -> tuple[int, int, int]:
    """Hashes and lengths of one text's tokens (as running sums), lines and paragraphs; returns how many there are."""
    tokens, lines, paragraphs = 0, 0, 0
    in_token, has_alnum, spaceless = False, False, False
    token_hash, line_hash, paragraph_hash = np.uint64(0), np.uint64(0), np.uint64(0)
    token_characters, line_characters, paragraph_characters = 0, 0, 0
    gap = False
    while at <= end:
        code, size = (10, 1) if at == end else decode(data, at)
        at += size
        bits = int(table[code])
        blank = bits & BLANK != 0
        if in_token and (blank or begins_token(bits, True, has_alnum, spaceless)):
            prefix[tokens + 1] = prefix[tokens] * _BASE + _mix(token_hash)
            ends[tokens + 1] = ends[tokens] + token_characters
            tokens += 1
            in_token = False
        if blank and not bits & NEWLINE:
            gap = line_characters > 0
        elif blank:
            if line_characters:
                line[lines], line_length[lines] = _mix(line_hash), line_characters
                paragraph_hash = paragraph_hash * _BASE + line[lines]
                paragraph_characters += line_characters
                lines += 1
            if paragraph_characters and (line_characters == 0 or at > end):
                paragraph[paragraphs], paragraph_length[paragraphs] = _mix(paragraph_hash), paragraph_characters
                paragraph_hash, paragraph_characters = np.uint64(0), 0
                paragraphs += 1
            line_hash, line_characters, gap = np.uint64(0), 0, False
        else:
            if not in_token:
                in_token, has_alnum, spaceless, token_hash, token_characters = True, False, False, np.uint64(0), 0
            has_alnum |= bits & (LETTER | DIGIT) != 0
            spaceless |= bits & SPACELESS != 0
            token_hash = token_hash * _BASE + np.uint64(code + 1)
            token_characters += 1
            if gap:
                line_hash = line_hash * _BASE + np.uint64(33)
                line_characters += 1
                gap = False
            line_hash = line_hash * _BASE + np.uint64(code + 1)
            line_characters += 1
    return tokens, lines, paragraphs
