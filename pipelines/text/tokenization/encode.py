r"""Encode columns of texts in one pass over their bytes: a word's ids come from a cache, else from our own BPE or Viterbi.

The reference is `Tokenizer.encode`: SentencePiece line by line, with the piece "\n" between lines. SentencePiece puts "▁"
before a line and replaces every space by "▁", and no piece of our models has a "▁" after its first character. So no piece
crosses a space, and

    the ids of a line are the ids of its words in order, where words are separated by " " (no other character counts as a
    space), and an empty word (between two spaces, or beside a space at an end of the line) is a single "▁".

A long word, such as a line of Chinese, is cut further, between any two characters that are not adjacent in any piece.

For BPE this is exact. For unigram it is exact except for words with two almost equally good segmentations; these are encoded
again with the line's sum of scores so far (`unigram.py`). In a model of the kind char, every character is an id
(`char.py`). If a model does not meet these conditions (another normaliser, a piece with a space inside, no "\n"), the
tokenizer encodes text by text.
"""

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.contract.tokenizers.loading import Tokenizer
from pipelines.contract.tokenizers.sentencepiece_proto import BYTE, CONTROL, UNKNOWN, UNUSED, ModelPiece, model_pieces, normalizer
from pipelines.contract.tokenizers.spelling import SPACE_MARK
from pipelines.text.kernels import jit, jit_internal, load64, lowest_bit, store64
from pipelines.text.tokenization.bpe import Bpe, bpe, bpe_word
from pipelines.text.tokenization.char import char, encode_characters
from pipelines.text.tokenization.unigram import Unigram, unigram, unigram_word

VERSION = 1

# 64 bytes each: 64 MiB. Half as many would halve the speed on text in sixty languages.
_CACHE_WORDS = 2**20
_ENTRY = 8  # numbers of 64 bits: three for a word's bytes, one for facts, four for ids
_WORD_BYTES, _WORD_IDS = 24, 8  # the most that a word in the cache may have
_ALWAYS = 0xFFFF  # any number of tokens may precede the word
_NEIGHBOUR_BITS = 19  # of the hash of two characters: 64 KiB of flags
_NO_BYTE = -1


@dataclass(frozen=True, slots=True)
class Encoded:
    """The ids of N texts."""

    ids: NDArray[np.int32]  # of all texts, in order
    offsets: NDArray[np.int64]  # N + 1: text n has ids[offsets[n]:offsets[n + 1]]

    def lists(self, item: pa.DataType) -> pa.Array:
        """Return the ids as a list column with items of this unsigned type.

        >>> Encoded(np.array([7, 8, 9], np.int32), np.array([0, 2, 3])).lists(pa.uint16()).to_pylist()
        [[7, 8], [9]]
        """
        return as_lists(self.ids, self.offsets, item)


def as_lists(values: NDArray[Any], offsets: NDArray[np.int64], item: pa.DataType) -> pa.Array:
    """Return values and N + 1 offsets as a list column of N rows with non-null items."""
    if len(offsets) and offsets[-1] >= 2**31:
        raise ValueError(f"{offsets[-1]:,} values do not fit one list column; use smaller batches")
    flat = pa.array(values.astype(item.to_pandas_dtype()), item)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat, type=pa.list_(pa.field("item", item, nullable=False)))


@dataclass(frozen=True, slots=True)
class _Tables:
    """The tables of a model whose words are independent; either `bpe` or `unigram` is None."""

    bpe: Bpe | None
    unigram: Unigram | None
    neighbours: NDArray[np.uint64]  # a bit per hash of two characters: set if they may be adjacent in a piece
    newline: int  # id of the piece between lines
    mark: int  # id of "▁"
    merged: int  # id of a run of unknown characters, or -1 if these are encoded as bytes


class Encoder:
    """An encoder of batches of texts with one tokenizer; it caches the words of earlier batches."""

    cache_bytes = 8 * _ENTRY * _CACHE_WORDS

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._tables, self._characters = _tables(tokenizer), char(tokenizer)
        self._cache = _empty_cache() if self._tables is not None else np.empty(0, np.uint64)
        self._sums, self._places = np.empty((2, 0)), np.empty((4, 0), np.int64)

    def __call__(self, texts: pa.Array) -> Encoded:
        """Return the ids of a string column without nulls."""
        if len(texts) == 0:
            return Encoded(np.empty(0, np.int32), np.zeros(1, np.int64))
        if self._characters is not None:
            return Encoded(*encode_characters(self._characters, *text_bytes(spaces_marked_as_spaces(texts))))
        if self._tables is None:
            return _text_by_text(self.tokenizer, texts)
        data, offsets = text_bytes(spaces_marked_as_spaces(texts))
        longest = int(np.diff(offsets).max()) + 8  # room for a "▁" and the place after the word
        if self._places.shape[1] < longest:  # only the pages that the longest word needs are ever touched
            self._sums, self._places = np.empty((2, longest)), np.empty((4, longest), np.int64)
        # Each byte of a word yields at most one id; a space or newline may add a "▁".
        ids, id_offsets = np.empty(2 * (len(data) + len(texts)) + _WORD_IDS, np.int32), np.zeros(len(offsets), np.int64)
        t = self._tables
        _encode(
            data, offsets, t.bpe, t.unigram, t.neighbours, t.newline, t.mark, t.merged,
            self._cache, self._sums, self._places, ids, id_offsets,
        )  # fmt: skip
        return Encoded(ids[: id_offsets[-1]], id_offsets)


def words_are_independent(tokenizer: Tokenizer) -> bool:
    """Return whether a text's ids are those of its words: no normaliser, "▁" before a line, no piece across a space."""
    return _tables(tokenizer) is not None


def _tables(tokenizer: Tokenizer) -> _Tables | None:
    if tokenizer.library != "sentencepiece" or tokenizer.newline_id is None or not tokenizer.by_lines:
        return None
    if tokenizer.processor.normalize(" a  b ") != "\u2581\u2581a\u2581\u2581b\u2581":
        return None
    pieces = model_pieces(tokenizer.model)
    if normalizer(tokenizer.model).charsmap or not _are_words(pieces):
        return None
    fallback = np.full(256, _NO_BYTE, np.int32)
    for i, piece in enumerate(pieces):
        if piece.type == BYTE:
            fallback[int(piece.text[3:5], 16)] = i  # <0x41>
    unknown = next(i for i, piece in enumerate(pieces) if piece.type == UNKNOWN)
    by_merges = bpe(pieces, fallback, unknown) if tokenizer.kind == "bpe" else None
    by_scores = unigram(pieces, fallback, unknown) if tokenizer.kind == "unigram" else None
    if by_merges is None and by_scores is None:
        return None
    mark = next(i for i, piece in enumerate(pieces) if piece.text == SPACE_MARK.encode())
    merged = unknown if fallback[0] == _NO_BYTE else -1
    return _Tables(by_merges, by_scores, _neighbours(pieces), tokenizer.newline_id, mark, merged)


def _are_words(pieces: list[ModelPiece]) -> bool:
    """Return whether no piece crosses a space or newline, none is unused, and no special one is a single character."""
    mark = SPACE_MARK.encode()
    for piece in pieces:
        if piece.type == UNUSED:
            return False
        if piece.type in (BYTE, CONTROL, UNKNOWN):
            if len(piece.text.decode()) == 1:
                return False
        elif mark in piece.text[1:] or (b"\n" in piece.text and piece.text != b"\n"):
            return False
    return True


def spaces_marked_as_spaces(texts: pa.Array) -> pa.Array:
    """Return the texts with U+2581 replaced by a space, as the tokenizer reads them."""
    values = texts.buffers()[2]
    if values is None or values.to_pybytes().find(SPACE_MARK.encode()) < 0:  # all rows at once: twice as fast as row by row
        return texts
    return pc.replace_substring(texts, SPACE_MARK, " ")


def text_bytes(texts: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the UTF-8 bytes of a string column without nulls, and N + 1 offsets into them, from 0."""
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


def _empty_cache() -> NDArray[np.uint64]:
    """Return an empty cache of sets of two entries; each entry is aligned to one cache line of the processor."""
    room = np.zeros((_CACHE_WORDS + 1) * _ENTRY, np.uint64)
    first = -room.ctypes.data % 64 // 8
    return room[first : first + _CACHE_WORDS * _ENTRY]


def _neighbours(pieces: list[ModelPiece]) -> NDArray[np.uint64]:
    """Return the bits of all pairs of adjacent characters in pieces."""
    texts = [piece.text.decode() for piece in pieces if piece.type not in (BYTE, CONTROL, UNKNOWN)]
    joined = "\n".join(texts)  # adds no pairs of two characters of pieces: no piece has a "\n" and another character
    points = np.frombuffer(joined.encode("utf-32-le"), np.uint32).astype(np.uint64)
    bits = np.zeros(2**_NEIGHBOUR_BITS, np.bool_)
    _mark(points, bits)
    return np.packbits(bits, bitorder="little").view(np.uint64)


@jit_internal
def _neighbour_bit(first: Any, second: Any) -> Any:  # pragma: no cover (compiled)
    mixed = (np.uint64(first) << np.uint64(21) | np.uint64(second)) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64(mixed >> np.uint64(64 - _NEIGHBOUR_BITS))


@jit
def _mark(points: Any, bits: Any) -> None:  # pragma: no cover (compiled)
    for i in range(len(points) - 1):
        bits[_neighbour_bit(points[i], points[i + 1])] = True


@jit
def _encode(  # pragma: no cover (compiled)
    data: Any, offsets: Any, bpe: Any, unigram: Any, neighbours: Any, newline: int, mark: int, merged: int,
    cache: Any, sums: Any, places: Any, ids: Any, id_offsets: Any,
) -> None:  # fmt: skip
    """Write the ids of all texts and the end of each text's ids.

    `line` holds the position of the line's first id, the position of the first id whose score is not yet in the line's sum,
    and the number of unknown characters without a separate id. sums[0, 0] holds the sum, if it is needed.
    """
    line, o = np.zeros(3, np.int64), offsets[0]
    for text in range(len(offsets) - 1):
        position, end, begins_line = offsets[text], offsets[text + 1], True
        line[0], line[1], line[2], sums[0, 0] = o, o, 0, 0.0
        while True:
            begin = position
            position = _word_end(data, position, end)
            if position == begin and (not begins_line or (position < end and data[position] == 0x20)):
                ids[o] = mark
                o += 1
            start = begin
            while start < position:
                stop = _first_cut(data, start, position, neighbours)
                count, place = _from_cache(data, start, stop, start == begin, cache, o - line[0] + line[2], ids, o)
                after = o + count
                if count == 0:
                    after = _encode_word(
                        data, start, stop, start == begin, place, bpe, unigram, merged, cache, sums, places, line, ids, o
                    )
                if merged >= 0 and start > begin and ids[o] == merged and ids[o - 1] == merged:
                    for i in range(o, after - 1):  # one id for a run of unknown characters
                        ids[i] = ids[i + 1]
                    after -= 1
                    line[1] = min(line[1], after)
                o = after
                start = stop
            if position == end:
                break
            begins_line = data[position] == 0x0A
            if begins_line:
                ids[o] = newline
                o += 1
                line[0], line[1], line[2], sums[0, 0] = o, o, 0, 0.0
            position += 1
        id_offsets[text + 1] = o


@jit_internal
def _load_eight(data: Any, position: int) -> Any:  # pragma: no cover (compiled)
    """Return the next eight bytes, the first one lowest, padded with zeros at the end of the data."""
    if position + 8 <= len(data):
        return load64(data, position)
    value = np.uint64(0)
    for i in range(len(data) - position):
        value |= np.uint64(data[position + i]) << np.uint64(8 * i)
    return value


@jit_internal
def _word_end(data: Any, position: int, end: int) -> int:  # pragma: no cover (compiled)
    """Return the next space or newline, or the end; the lowest zero byte of `spaces` is the first space."""
    ones, tops = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
    while position < end:
        eight = _load_eight(data, position)
        spaces, newlines = eight ^ (ones * np.uint64(0x20)), eight ^ (ones * np.uint64(0x0A))
        ends = (((spaces - ones) & ~spaces) | ((newlines - ones) & ~newlines)) & tops
        if ends:
            return min(position + (lowest_bit(ends) >> 3), end)
        position += 8
    return end


@jit_internal
def _load_up_to(data: Any, begin: int, end: int) -> Any:  # pragma: no cover (compiled)
    """Return eight bytes from `begin` on, zero from `end` on."""
    if begin >= end:
        return np.uint64(0)
    eight = _load_eight(data, begin)
    if end - begin < 8:
        eight &= (np.uint64(1) << np.uint64(8 * (end - begin))) - np.uint64(1)
    return eight


@jit_internal
def _from_cache(  # pragma: no cover (compiled)
    data: Any, begin: int, end: int, marked: bool, cache: Any, before: int, ids: Any, o: int
) -> Any:  # fmt: skip
    """Write the ids of a word or a part of one, if the cache has them and they are valid after `before` tokens of its line.

    Return the number of ids and the place in the cache; if the number is 0, the word is to be stored there (-1: nowhere). Two
    words share a place, the newer one first. An entry's facts are the word's size in bytes and whether it has a "▁" (6 bits),
    its number of ids (4 bits from bit 8 on), and the number of tokens that may precede it (16 bits from bit 16 on; _ALWAYS:
    any).
    """
    if end - begin > _WORD_BYTES:
        return 0, -1
    first, second, third, tag = _key(data, begin, end, marked)
    place = _cache_place(first, second, third, tag, len(cache))
    for way in range(2):
        entry = place + way * _ENTRY
        facts = cache[entry + 3]
        if cache[entry] == first and cache[entry + 1] == second and cache[entry + 2] == third and facts & np.uint64(0x3F) == tag:
            safe = np.int64(facts >> np.uint64(16))
            if before >= safe and safe != _ALWAYS:
                return 0, -1
            count = np.int64((facts >> np.uint64(8)) & np.uint64(0xF))
            store64(ids, o, cache[entry + 4])
            if count > 2:
                store64(ids, o + 2, cache[entry + 5])
                store64(ids, o + 4, cache[entry + 6])
                store64(ids, o + 6, cache[entry + 7])
            return count, place
    return 0, place


@jit_internal
def _key(data: Any, begin: int, end: int, marked: bool) -> Any:  # pragma: no cover (compiled)
    """Return a word of at most _WORD_BYTES as numbers; the last one holds its size and whether a "▁" precedes it."""
    tag = np.uint64((end - begin) | (0x20 if marked else 0))
    return _load_up_to(data, begin, end), _load_up_to(data, begin + 8, end), _load_up_to(data, begin + 16, end), tag


@jit_internal
def _cache_place(first: Any, second: Any, third: Any, tag: Any, size: int) -> Any:  # pragma: no cover (compiled)
    """Return the start of a word's set of two entries."""
    mixed = (first * np.uint64(0x9E3779B97F4A7C15)) ^ ((second + tag) * np.uint64(0xC2B2AE3D27D4EB4F))
    mixed = (mixed ^ (third * np.uint64(0x165667B19E3779F9)) ^ (mixed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return (np.int64(mixed >> np.uint64(32)) & (size // (2 * _ENTRY) - 1)) * 2 * _ENTRY


@jit_internal
def _encode_word(  # pragma: no cover (compiled)
    data: Any, begin: int, end: int, marked: bool, place: int, bpe: Any, unigram: Any, merged: int,
    cache: Any, sums: Any, places: Any, line: Any, ids: Any, o: int,
) -> int:  # fmt: skip
    """Write the ids of a word that is not in the cache, and store them there unless `place` is -1."""
    stop, safe = _segment(data, begin, end, marked, place >= 0, bpe, unigram, merged, sums, places, line, ids, o)
    if place >= 0 and safe >= 0 and stop - o <= _WORD_IDS:
        first, second, third, tag = _key(data, begin, end, marked)
        for i in range(_ENTRY):
            cache[place + _ENTRY + i] = cache[place + i]
        cache[place], cache[place + 1], cache[place + 2] = first, second, third
        cache[place + 3] = tag | np.uint64(stop - o) << np.uint64(8) | np.uint64(safe) << np.uint64(16)
        for i in range(_WORD_IDS // 2):  # numbers after the last id are never read
            low, high = np.uint64(ids[o + 2 * i]) & np.uint64(0xFFFFFFFF), np.uint64(ids[o + 2 * i + 1])
            cache[place + 4 + i] = low | high << np.uint64(32)
    return stop


@jit_internal
def _segment(  # pragma: no cover (compiled)
    data: Any, begin: int, end: int, marked: bool, is_cached: bool, bpe: Any, unigram: Any, merged: int,
    sums: Any, places: Any, line: Any, ids: Any, o: int,
) -> Any:  # fmt: skip
    """Write the ids of a word; return their end and how many tokens may precede it in a line (-1: do not cache).

    A word that will not be cached is segmented in its line's context straight away.
    """
    stop, safe, total, in_context = o, o - o, sums[0, 0], 0 if is_cached else 1
    if bpe is not None:  # numba drops this branch if the argument is None
        stop, safe = bpe_word(bpe, data, begin, end, marked, places, ids, o), _ALWAYS
    if unigram is not None:
        while True:
            for i in range(line[1], o if in_context else line[1]):
                total = np.float64(np.float32(total + unigram.scores[ids[i]]))
            sums[0, 0] = total if in_context else 0.0
            stop, total_after, limit, unknown = unigram_word(unigram, data, begin, end, marked, in_context, sums, places, ids, o)
            if in_context:
                break
            safe = limit
            if o - line[0] + line[2] < safe:
                sums[0, 0] = total
                return stop, safe
            in_context = 1
        sums[0, 0], line[1] = total_after, stop
        line[2] += unknown if merged >= 0 else 0
        if safe > 0:
            safe = o - o - 1  # these ids depend on the line
    return stop, safe


@jit_internal
def _first_cut(data: Any, begin: int, end: int, neighbours: Any) -> int:  # pragma: no cover (compiled)
    """Return the first place to cut a long word, between two characters that are not adjacent in any piece; else its end."""
    position, before = begin, np.int64(-1)
    while end - begin > _WORD_BYTES and position < end:
        lead = np.int64(data[position])
        width = 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
        point = lead if width == 1 else lead & (0xFF >> (width + 1))
        for i in range(1, width):
            point = point << 6 | np.int64(data[position + i] & 0x3F)
        if position > begin and not _may_join(neighbours, before, point):
            return position
        before, position = point, position + width
    return end


@jit_internal
def _may_join(neighbours: Any, first: Any, second: Any) -> Any:  # pragma: no cover (compiled)
    bit = _neighbour_bit(first, second)
    return (neighbours[bit >> 6] >> np.uint64(bit & 63)) & np.uint64(1) != np.uint64(0)
