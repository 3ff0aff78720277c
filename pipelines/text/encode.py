r"""Texts to ids, by columns: every distinct word is encoded by SentencePiece once, and its ids are gathered.

The reference is `Tokenizer.encode`: SentencePiece line by line, the piece "\n" between lines. SentencePiece puts "▁"
before a line and makes "▁" of every space, and no piece of our models has a "▁" behind its first character; so no
piece reaches over a space, and

    ids of a line = the ids of its words, one after the other, where a word is what lies between two spaces (" " only,
    nothing else is a space here), and an empty word (two spaces, or a space at an end of the line) is a lone "▁".

For BPE this is exact. For unigram it is but for words that can be cut in two equally good ways (`ambiguity.py`): the
lines that hold one are encoded whole. A model for which this does not hold (another normaliser, a piece with a space
inside, no "\n") is used text by text.
"""

from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.contract.tokenizer import NEWLINE, SPACE_MARK, Tokenizer
from pipelines.text.ambiguity import Ambiguity

VERSION = 1

_CACHE_WORDS = 2**20  # beyond, the cache starts anew: it never decides what the ids are
_CACHE_BYTES = 2**26
_EMPTY, _NOTHING = 0, -1  # word numbers: the lone "▁"; no word at all (an empty line)


@dataclass(frozen=True, slots=True)
class Encoded:
    """The ids of N texts."""

    ids: NDArray[np.int32]  # of all texts, one after the other
    offsets: NDArray[np.int64]  # N + 1: text n has ids[offsets[n]:offsets[n + 1]]

    def lists(self, item: pa.DataType) -> pa.Array:
        """The ids as a list column with items of this unsigned type.

        >>> Encoded(np.array([7, 8, 9], np.int32), np.array([0, 2, 3])).lists(pa.uint16()).to_pylist()
        [[7, 8], [9]]
        """
        return as_lists(self.ids, self.offsets, item)


def as_lists(values: NDArray[Any], offsets: NDArray[np.int64], item: pa.DataType) -> pa.Array:
    """Flat values and N + 1 offsets as a list column whose items are not null."""
    if len(offsets) and offsets[-1] >= 2**31:
        raise ValueError(f"{offsets[-1]:,} values do not fit one list column; use smaller batches")
    flat = pa.array(values.astype(item.to_pandas_dtype()), item)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat, type=pa.list_(pa.field("item", item, nullable=False)))


class Encoder:
    """Encodes batches of texts with one tokenizer; words of earlier batches are remembered."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._by_words = words_are_independent(tokenizer)
        self._is_ambiguous = Ambiguity(tokenizer) if self._by_words and tokenizer.kind == "unigram" else None
        self._forget()

    def __call__(self, texts: pa.Array) -> Encoded:
        """The ids of a string column without nulls."""
        if len(texts) == 0:
            return Encoded(np.empty(0, np.int32), np.zeros(1, np.int64))
        if not self._by_words:
            return _text_by_text(self.tokenizer, texts)
        data, offsets = text_bytes(spaces_marked_as_spaces(texts))
        self._make_room(len(data))
        known = self._count
        words = self._word_numbers(data, offsets)
        self._encode_words(known)
        word_ids, word_offsets = self._whole_lines(data, *words)
        assert self.tokenizer.newline_id is not None
        ids, id_offsets = _gather(*words, word_ids, word_offsets, self.tokenizer.newline_id)
        if self._count > _CACHE_WORDS or self._used > _CACHE_BYTES:
            self._forget()
        return Encoded(ids, id_offsets)

    def _forget(self) -> None:
        """An empty cache, but for the empty word, whose number is 0."""
        self._slots = np.full(2**16, -1, np.int32)  # hash table: word numbers, open addressing
        self._hashes = np.zeros(2**15, np.uint64)  # by word number
        self._starts = np.zeros(2**15 + 1, np.int64)  # by word number, in the arena
        self._arena = np.zeros(2**20, np.uint8)  # the words' bytes, one after the other
        self._count, self._used = 1, 0
        lone = _lone_mark(self.tokenizer)
        self._word_ids = np.array(lone, np.int32)
        self._word_ids_offsets = np.array([0, len(lone)], np.int64)
        self._ambiguous = np.zeros(1, np.bool_)

    def _make_room(self, new_bytes: int) -> None:
        """Room for a batch's new words: at most one a two bytes (a word that is not empty, and a separator)."""
        self._arena = _grown(self._arena, self._used + new_bytes)
        self._hashes = _grown(self._hashes, self._count + new_bytes // 2 + 2)
        self._starts = _grown(self._starts, self._count + new_bytes // 2 + 3)

    def _word_numbers(self, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> tuple[Any, Any, Any]:
        separators = int(np.count_nonzero((data == 0x20) | (data == 0x0A)))
        room = separators + len(offsets) - 1
        numbers, ends = np.empty(room, np.int32), np.empty(room, np.bool_)
        fragments = np.empty(len(offsets), np.int64)
        self._slots, self._count, self._used = _number_words(
            data, offsets, self._slots, self._hashes, self._starts, self._arena, self._count, self._used, numbers, ends, fragments
        )
        return numbers, ends, fragments

    def _encode_words(self, known: int) -> None:
        """Ask SentencePiece for the words from number `known` on."""
        if self._count == known:
            return
        starts = self._starts[known : self._count + 1]
        if self._is_ambiguous is not None:
            self._ambiguous = np.concatenate([self._ambiguous, self._is_ambiguous(self._arena, starts)])
        raw = self._arena[starts[0] : starts[-1]].tobytes()
        cuts = (starts - starts[0]).tolist()
        words = [raw[a:b].decode() for a, b in pairwise(cuts)]
        new, lengths = self._reference(words)
        base = self._word_ids_offsets[-1]
        self._word_ids = np.concatenate([self._word_ids, new])
        self._word_ids_offsets = np.concatenate([self._word_ids_offsets, base + np.cumsum(lengths)])

    def _reference(self, lines: list[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """SentencePiece's ids of lines, one after the other, and how many each has."""
        encoded = self.tokenizer.processor.encode(lines, num_threads=1)
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        return np.fromiter(chain.from_iterable(encoded), np.int32, int(lengths.sum())), lengths

    def _whole_lines(
        self, data: NDArray[np.uint8], numbers: NDArray[np.int32], ends: NDArray[np.bool_], fragments: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Words and their ids for this batch: a line with an ambiguous word becomes one word, in its first fragment."""
        if self._is_ambiguous is None or not self._ambiguous[numbers].any():
            return self._word_ids, self._word_ids_offsets
        firsts, lasts, begins, stops = _ambiguous_lines(numbers, ends, fragments, self._ambiguous, self._starts)
        new, lengths = self._reference([data[a:b].tobytes().decode() for a, b in zip(begins, stops, strict=True)])
        number = len(self._word_ids_offsets) - 1
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
            numbers[first : last + 1] = _NOTHING
            numbers[first] = number
            number += 1
        later = self._word_ids_offsets[-1] + np.cumsum(lengths)
        return np.concatenate([self._word_ids, new]), np.concatenate([self._word_ids_offsets, later])


def words_are_independent(tokenizer: Tokenizer) -> bool:
    """Whether a text's ids are its words' ids: no normaliser, "▁" before a line, no piece reaches over a space."""
    if tokenizer.newline_id is None:
        return False
    characters = "".join(map(chr, chain(range(1, 0xD800), range(0xE000, 0x10000)))).replace(NEWLINE, "").replace(SPACE_MARK, " ")
    probe = f" a  {characters} "
    if tokenizer.processor.normalize(probe) != SPACE_MARK + probe.replace(" ", SPACE_MARK):
        return False
    names = (str(tokenizer.processor.id_to_piece(i)) for i in range(tokenizer.size))
    special = tokenizer.special_ids
    return not any(name not in special and (SPACE_MARK in name[1:] or (NEWLINE in name and name != NEWLINE)) for name in names)


def spaces_marked_as_spaces(texts: pa.Array) -> pa.Array:
    """The texts as the tokenizer reads them: U+2581 is a space."""
    if not pc.any(pc.match_substring(texts, SPACE_MARK)).as_py():
        return texts
    return pc.replace_substring(texts, SPACE_MARK, " ")


def text_bytes(texts: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The UTF-8 bytes of a string column without nulls, and its N + 1 offsets into them (from 0)."""
    if texts.null_count:
        raise ValueError(f"{texts.null_count} texts are null; a document has a text")
    wide = pa.types.is_large_string(texts.type)
    raw = np.frombuffer(texts.buffers()[1], np.int64 if wide else np.int32)[texts.offset : texts.offset + len(texts) + 1]
    offsets = raw.astype(np.int64)
    values = texts.buffers()[2]
    data = np.frombuffer(values, np.uint8) if values is not None and values.size else np.empty(0, np.uint8)
    return data[offsets[0] : offsets[-1]], offsets - offsets[0]


def _text_by_text(tokenizer: Tokenizer, texts: pa.Array) -> Encoded:
    encoded = [tokenizer.encode(text) for text in texts.to_pylist()]
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    ids = np.fromiter(chain.from_iterable(encoded), np.int32, int(lengths.sum()))
    return Encoded(ids, np.concatenate([[0], np.cumsum(lengths)]))


def _lone_mark(tokenizer: Tokenizer) -> list[int]:
    """The ids of an empty word: SentencePiece reads the line " " as two of them."""
    twice = tokenizer.processor.encode(" ")
    return list(twice[: len(twice) // 2])


def _grown(array: NDArray[Any], size: int) -> NDArray[Any]:
    if len(array) >= size:
        return array
    larger = np.empty(max(size, 2 * len(array)), array.dtype)
    larger[: len(array)] = array
    return larger


@numba.njit(cache=True, nogil=True)
def _number_words(  # pragma: no cover (compiled)
    data: Any, offsets: Any, slots: Any, hashes: Any, starts: Any, arena: Any, count: int, used: int, numbers: Any, ends: Any,
    fragments: Any,
) -> Any:  # fmt: skip
    r"""One pass over the bytes. Per fragment (what lies between separators): its word's number, and whether "\n" ends it.

    `fragments` gets the N + 1 offsets of the texts' fragments. New words are added to the table; returns the (perhaps
    larger) slots, and how many words and bytes there are.
    """
    n = 0
    fragments[0] = 0
    for text in range(len(offsets) - 1):
        position, end = offsets[text], offsets[text + 1]
        line_start = True
        while True:
            begin, key = position, np.uint64(0xCBF29CE484222325)
            while position < end and data[position] != 0x20 and data[position] != 0x0A:
                key = (key ^ np.uint64(data[position])) * np.uint64(0x100000001B3)  # FNV-1a
                position += 1
            newline = position < end and data[position] == 0x0A
            if position > begin:
                key ^= key >> np.uint64(29)
                number = _find(data, begin, position, key, slots, hashes, starts, arena)
                if number < 0:
                    slot = -number - 1
                    number = count
                    slots[slot] = number
                    hashes[number] = key
                    starts[number] = used
                    for i in range(begin, position):  # a slice would take seconds to compile, for its error message
                        arena[used] = data[i]
                        used += 1
                    starts[number + 1] = used
                    count += 1
                    if 2 * count > len(slots):
                        slots = _rehashed(hashes, count, len(slots) * 2)
            else:
                number = _NOTHING if line_start and (newline or position >= end) else _EMPTY
            numbers[n] = number
            ends[n] = newline
            n += 1
            if position >= end:
                break
            line_start = newline
            position += 1
        fragments[text + 1] = n
    return slots, count, used


@numba.njit(cache=True, nogil=True)
def _find(  # pragma: no cover (compiled)
    data: Any, begin: int, end: int, key: Any, slots: Any, hashes: Any, starts: Any, arena: Any
) -> Any:  # fmt: skip
    """The number of a word, or -1 - (the free slot where it belongs)."""
    mask = len(slots) - 1
    slot = np.int64(key & np.uint64(mask))
    while slots[slot] >= 0:
        number = slots[slot]
        if hashes[number] == key:
            start = starts[number]
            if starts[number + 1] - start == end - begin:
                i = 0
                while i < end - begin and arena[start + i] == data[begin + i]:
                    i += 1
                if i == end - begin:
                    return number
        slot = (slot + 1) & mask
    return -1 - slot


@numba.njit(cache=True, nogil=True)
def _rehashed(hashes: Any, count: int, size: int) -> Any:  # pragma: no cover (compiled)
    """A table of `size` slots (a power of 2) with all words but the empty one, which is never looked up."""
    slots = np.full(size, -1, np.int32)
    for number in range(1, count):
        slot = np.int64(hashes[number] & np.uint64(size - 1))
        while slots[slot] >= 0:
            slot = (slot + 1) & (size - 1)
        slots[slot] = number
    return slots


@numba.njit(cache=True, nogil=True)
def _ambiguous_lines(  # pragma: no cover (compiled)
    numbers: Any, ends: Any, fragments: Any, ambiguous: Any, starts: Any
) -> Any:  # fmt: skip
    """The lines of several words of which one is ambiguous: first and last fragment, first byte and the byte behind."""
    found, count = np.empty((4, len(numbers)), np.int64), 0
    position, begin = np.int64(0), np.int64(0)
    for text in range(len(fragments) - 1):
        first, wanted = fragments[text], False
        begin = position
        for n in range(fragments[text], fragments[text + 1]):
            number = numbers[n]
            if number > 0:
                position += starts[number + 1] - starts[number]
                wanted = wanted or ambiguous[number]
            last = n + 1 == fragments[text + 1]
            if ends[n] or last:
                if wanted and n > first:
                    found[0, count], found[1, count], found[2, count], found[3, count] = first, n, begin, position
                    count += 1
                first, wanted, begin = n + 1, False, position + 1
            if not last:
                position += 1
    return found[0, :count], found[1, :count], found[2, :count], found[3, :count]


@numba.njit(cache=True, nogil=True)
def _gather(  # pragma: no cover (compiled)
    numbers: Any, ends: Any, fragments: Any, word_ids: Any, word_offsets: Any, newline_id: int
) -> Any:  # fmt: skip
    """The ids of all texts and their offsets, from the word numbers."""
    total = np.int64(0)
    for n in range(len(numbers)):
        if numbers[n] >= 0:
            total += word_offsets[numbers[n] + 1] - word_offsets[numbers[n]]
        total += ends[n]
    ids, offsets = np.empty(total, np.int32), np.zeros(len(fragments), np.int64)
    place = np.int64(0)
    for text in range(len(fragments) - 1):
        for n in range(fragments[text], fragments[text + 1]):
            if numbers[n] >= 0:
                for i in range(word_offsets[numbers[n]], word_offsets[numbers[n] + 1]):
                    ids[place] = word_ids[i]
                    place += 1
            if ends[n]:
                ids[place] = newline_id
                place += 1
        offsets[text + 1] = place
    return ids, offsets
