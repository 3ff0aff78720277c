"""Measures of each text's words: their variety, their length, and how many are in lists (stop words, bad words).

Words are those of pipelines.text.characters.counts, compared by their letters, digits and marks without case: "Don't," is
"dont". A letter of a script without spaces is a word.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.characters import counts
from pipelines.text.characters.code_points import CODE_POINTS, buffers, categories, decode
from pipelines.text.characters.comparison import mix
from pipelines.text.characters.counts import BLANK, DIGIT, LETTER, SPACELESS, begins_token
from pipelines.text.judgement.slots import BASE, bits_for, put_key, slot_of
from pipelines.text.kernels import jit, jit_internal

UPPER, MARK = 1 << 12, 1 << 13  # bits of the character table, beside those of counts
_LONGEST = 63  # words are as long as this at most, for the median

# The columns of the kernel's matrix.
FIELDS = ("characters", "upper_letters", "digits", "capital_words", "longest_word", "median_word_length", "unique_words", "marks")
STOP_WORDS, DISTINCT_STOP_WORDS = range(8, 10)  # after FIELDS


@dataclass(frozen=True, slots=True)
class WordLists:
    """Lists of words or of phrases by language, hashed."""

    languages: tuple[str, ...]
    hashes: NDArray[np.uint64]  # of all lists, each sorted
    ends: NDArray[np.int64]  # [languages + 1] where each list begins and the last ends
    lengths: NDArray[np.int64]  # [languages] a bit for each length in words that an entry of the list has

    @classmethod
    def of(cls, lists: Mapping[str, Sequence[str]]) -> Self:
        """Hash the lists. Entries without a letter or digit are left out."""
        languages = tuple(sorted(lists))
        hashed = [_phrases(pa.array(lists[language], pa.string())) for language in languages]
        ends = np.cumsum([0, *(len(hashes) for hashes, _ in hashed)])
        lengths = np.array([length for _, length in hashed], np.int64)
        return cls(languages, np.concatenate([np.empty(0, np.uint64), *(hashes for hashes, _ in hashed)]), ends, lengths)

    def numbers(self, languages: pa.Array) -> NDArray[np.int64]:
        """Return the number of each language's list; -1 if it has none."""
        known = {language: number for number, language in enumerate(self.languages)}
        return np.array([known.get(language, -1) for language in languages.to_pylist()], np.int64)


def measure(
    texts: pa.Array, stop_lists: WordLists, stop_list: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return int64[rows, FIELDS, stop words, different stop words], and the entropy of the words in nats [rows].

    `stop_list` has the number of each text's list, or -1.
    """
    data, offsets = buffers(texts)
    return _measure(data, offsets, table(), lower(), stop_lists.hashes, stop_lists.ends, stop_list)


def occurrences(texts: pa.Array, lists: WordLists, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how often an entry of each text's list occurs in it [rows]; entries may have several words."""
    data, offsets = buffers(texts)
    return _occurrences(data, offsets, table(), lower(), lists.hashes, lists.ends, lists.lengths, chosen)


def hashes(texts: pa.Array) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the hashes of all words, and where the words of each text end [rows]."""
    data, offsets = buffers(texts)
    return _hashes(data, offsets, table(), lower())


def _phrases(entries: pa.Array) -> tuple[NDArray[np.uint64], int]:
    """Return the sorted hashes of a list's entries, and a bit for each length in words."""
    words, ends = hashes(entries)
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    phrases, lengths = set[int](), 0
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if 0 < end - start < 63:
            value = 0
            for word in words[start:end].tolist():
                value = (value * int(BASE) + word) % 2**64
            phrases.add(value)
            lengths |= 1 << (end - start)
    return np.array(sorted(phrases), np.uint64), lengths


@functools.cache
def table() -> NDArray[np.uint16]:
    """Return the bits of every code point: those of counts, UPPER and MARK."""
    bits, kinds = counts.table().copy(), categories()
    bits[(kinds == "Lu") | (kinds == "Lt")] |= UPPER
    bits[kinds.astype("U1") == "M"] |= MARK
    return bits


@functools.cache
def lower() -> NDArray[np.uint32]:
    """Return the lower case of every code point, if it is a single one, else the code point."""
    codes = np.arange(CODE_POINTS, dtype=np.uint32)
    for code in np.flatnonzero(table() & UPPER).tolist():
        small = chr(code).lower()
        codes[code] = ord(small) if len(small) == 1 else code
    return codes


@jit
def _words(data: Any, at: int, end: int, table: Any, lower: Any, words: Any, lengths: Any, fields: Any) -> int:
    """Write the hash of each word; add the lengths of tokens to a histogram, and count characters. Return the words."""
    size, length, letters, uppers, hash_ = 0, 0, 0, 0, np.uint64(0)
    has_alnum, spaceless = False, False
    while at <= end:
        code, width = (10, 1) if at == end else decode(data, at)
        bits = int(table[code])
        fields[0] += at < end
        at += width
        if length > 0 and (bits & BLANK or begins_token(bits, has_alnum, spaceless)):
            if has_alnum:
                words[size] = mix(hash_)
                size += 1
                fields[3] += uppers > 0 and uppers == letters
                fields[4] = max(fields[4], length)
                lengths[min(length, _LONGEST)] += 1
            length, letters, uppers, hash_ = 0, 0, 0, np.uint64(0)
            has_alnum, spaceless = False, False
        if bits & BLANK:
            continue
        length += 1
        spaceless |= bits & SPACELESS != 0
        if bits & (LETTER | DIGIT | MARK):
            hash_ = hash_ * BASE + np.uint64(lower[code] + 1)
            has_alnum |= bits & (LETTER | DIGIT) != 0
            letters += bits & LETTER != 0
            uppers += bits & UPPER != 0
            fields[1] += bits & UPPER != 0
            fields[2] += bits & DIGIT != 0
            fields[7] += bits & MARK != 0
    return size


@jit
def _measure(data: Any, offsets: Any, table: Any, lower: Any, stops: Any, ends: Any, chosen: Any) -> Any:
    rows = offsets.size - 1
    out, entropy = np.zeros((rows, 10), np.int64), np.zeros(rows)
    most = _longest(offsets)
    words, lengths = np.empty(most + 1, np.uint64), np.empty(_LONGEST + 1, np.int64)
    slots = np.zeros((1 << bits_for(most // 2 + 1), 4), np.uint64)
    repeated = np.empty(most // 2 + 1, np.int64)
    seen = np.zeros(stops.size, np.int64)  # the row after which each stop word was last seen
    for row in range(rows):
        lengths[:] = 0
        size = _words(data, offsets[row], offsets[row + 1], table, lower, words, lengths, out[row])
        out[row, 5] = _median(lengths, size)
        out[row, 6], entropy[row] = _variety(words, size, slots, row + 1, repeated)
        if chosen[row] >= 0:
            _count_stops(words, size, stops, ends[chosen[row]], ends[chosen[row] + 1], seen, row + 1, out[row])
    return out, entropy


@jit_internal
def _longest(offsets: Any) -> int:
    longest = 0
    for row in range(offsets.size - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    return longest


@jit_internal
def _median(lengths: Any, size: int) -> int:
    """Return the (lower) median of a histogram of lengths."""
    before = 0
    for length in range(lengths.size):
        before += lengths[length]
        if 2 * before >= size and size:
            return length
    return 0


@jit_internal
def _variety(words: Any, size: int, slots: Any, stamp: int, repeated: Any) -> tuple[int, float]:
    """Return how many words are different, and the entropy of their frequencies in nats; `repeated` is overwritten."""
    bits = bits_for(size)
    different, several, total = 0, 0, 0.0  # words; those that occur again; the sum of n log n
    for i in range(size):
        slot = slot_of(slots, stamp, words[i], bits)
        if slots[slot, 1] != stamp:
            put_key(slots, slot, stamp, words[i], i)
            different += 1
        else:
            if slots[slot, 2] == 1:
                repeated[several] = slot
                several += 1
            slots[slot, 2] += np.uint64(1)
    for i in range(several):
        times = float(slots[repeated[i], 2])
        total += times * np.log(times)
    return different, np.log(size) - total / size if size else 0.0


@jit_internal
def _count_stops(words: Any, size: int, stops: Any, start: int, end: int, seen: Any, stamp: int, counts: Any) -> None:
    for i in range(size):
        place = _find(stops, start, end, words[i])
        if place >= 0:
            counts[STOP_WORDS] += 1
            counts[DISTINCT_STOP_WORDS] += seen[place] != stamp
            seen[place] = stamp


@jit_internal
def _find(entries: Any, start: int, end: int, key: Any) -> int:
    """Return the place of a key in sorted entries; -1 if it is not there."""
    last = end
    while start < end:
        middle = (start + end) >> 1
        if entries[middle] < key:
            start = middle + 1
        else:
            end = middle
    return start if start < last and entries[start] == key else -1


@jit
def _occurrences(data: Any, offsets: Any, table: Any, lower: Any, entries: Any, ends: Any, lengths: Any, chosen: Any) -> Any:
    out = np.zeros(offsets.size - 1, np.int64)
    most = _longest(offsets)
    words, histogram, fields = np.empty(most + 1, np.uint64), np.empty(_LONGEST + 1, np.int64), np.empty(10, np.int64)
    for row in range(offsets.size - 1):
        number = chosen[row]
        if number < 0:
            continue
        size = _words(data, offsets[row], offsets[row + 1], table, lower, words, histogram, fields)
        for i in range(size):
            phrase, length = np.uint64(0), 0
            while i + length < size and lengths[number] >> (length + 1):
                phrase = phrase * BASE + words[i + length]
                length += 1
                if lengths[number] >> length & 1:
                    out[row] += _find(entries, ends[number], ends[number + 1], phrase) >= 0
    return out


@jit
def _hashes(data: Any, offsets: Any, table: Any, lower: Any) -> Any:
    rows = offsets.size - 1
    words, ends = np.empty(offsets[rows] - offsets[0] + 1, np.uint64), np.empty(rows, np.int64)
    histogram, fields = np.empty(_LONGEST + 1, np.int64), np.empty(10, np.int64)
    size = 0
    for row in range(rows):
        size += _words(data, offsets[row], offsets[row + 1], table, lower, words[size:], histogram, fields)
        ends[row] = size
    return words[:size], ends
