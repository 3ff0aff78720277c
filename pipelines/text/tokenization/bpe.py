"""Encode one word as SentencePiece's BPE does (bpe_model.cc).

Of the neighbouring pairs whose concatenation is a piece, the one whose piece has the highest score is joined (the leftmost of
equals), until no pair is a piece.

A symbol is the id of a piece or, for a character without a piece, -1 minus the place of its first byte in the data.
User-defined pieces are cut out first, the longest at each place, and are never joined: their symbols have a bit that no pair
has.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.contract.tokenizers.sentencepiece_proto import NORMAL, USER_DEFINED, ModelPiece
from pipelines.contract.tokenizers.spelling import SPACE_MARK
from pipelines.text.kernels import jit, jit_internal
from pipelines.text.tokenization import trie

_NONE = (1 << 63) - 1  # no pair
_FROZEN = 1 << 30
_FEW = 48  # symbols: up to here, scanning all pairs is faster than a heap
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class Bpe(NamedTuple):
    """The tables of a model for the kernels."""

    mark: int  # the symbol of the "▁" before a word
    characters: NDArray[np.int32]  # by code point, the id of its piece, or -1
    pairs: NDArray[np.int64]  # hash table, two numbers per slot: left << 32 | right, and rank << 32 | joined
    shift: int  # right shift from a hash to a slot
    user: NDArray[np.int32]  # the trie of the user-defined pieces; may be empty
    user_mark: int  # its node of "▁", or -1
    fallback: NDArray[np.int32]  # by byte, the id of its byte piece, or -1
    unknown: int  # id


def bpe(pieces: list[ModelPiece], fallback: NDArray[np.int32], unknown: int) -> Bpe | None:
    """Return the tables of a model, or None if these kernels do not support it."""
    own = {p.text.decode(): i for i, p in enumerate(pieces) if p.type in (NORMAL, USER_DEFINED)}
    normal = [(p.text.decode(), i) for i, p in enumerate(pieces) if p.type == NORMAL]
    if SPACE_MARK not in own or not all(c in own for c in set("".join(text for text, _ in normal))):
        return None
    characters = np.full(0x110000, -1, np.int32)
    single = [(ord(text), i) for text, i in own.items() if len(text) == 1]
    characters[[c for c, _ in single]] = [i for _, i in single]
    joined = [
        (own[text[:cut]], own[text[cut:]], i)
        for text, i in own.items()
        for cut in range(1, len(text))
        if text[:cut] in own and text[cut:] in own
    ]
    scores = np.array([p.score for p in pieces], np.float32)
    ranks = np.searchsorted(np.unique(-scores), -scores)  # 0 is the highest score; equal scores share a rank
    left, right, piece = np.array(joined, np.int64).reshape(-1, 3).T
    pairs, shift = _table(left << 32 | right, ranks[piece] << 32 | piece)
    users = [(p.text, i) for i, p in enumerate(pieces) if p.type == USER_DEFINED and p.text != b"\n"]
    cells = trie.build(*zip(*users, strict=True)) if users else np.empty(0, np.int32)
    user_mark = trie.node_of(cells, SPACE_MARK.encode()) if users else -1
    return Bpe(own[SPACE_MARK], characters, pairs, shift, cells, user_mark, fallback, unknown)


def _table(keys: NDArray[np.int64], values: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Return a hash table, at most half full, and the right shift from a hash to a slot."""
    bits = max(4, (2 * len(keys)).bit_length())
    table = np.full(2 << bits, _NONE, np.int64)
    _fill(keys, values, table, 64 - bits)
    return table, 64 - bits


@jit
def _fill(keys: Any, values: Any, pairs: Any, shift: int) -> None:  # pragma: no cover (compiled)
    for i in range(len(keys)):
        slot = np.int64((np.uint64(keys[i]) * _MULTIPLIER) >> np.uint64(shift)) * 2
        while pairs[slot] != _NONE:
            slot = (slot + 2) & (len(pairs) - 1)
        pairs[slot], pairs[slot + 1] = keys[i], values[i]


@jit_internal
def _joined_pair(table: Any, shift: int, left: Any, right: Any) -> Any:  # pragma: no cover (compiled)
    """Return rank << 32 | joined for a pair, or _NONE."""
    if left < 0 or right < 0:
        return _NONE
    key = left << 32 | right
    slot = np.int64((np.uint64(key) * _MULTIPLIER) >> np.uint64(shift)) * 2
    while True:
        slot_key = table[slot]
        if slot_key == key:
            return table[slot + 1]
        if slot_key == _NONE:
            return _NONE
        slot = (slot + 2) & (len(table) - 1)


@jit_internal
def bpe_word(  # pragma: no cover (compiled)
    model: Any, data: Any, begin: int, end: int, marked: bool, scratch: Any, ids: Any, o: int
) -> int:  # fmt: skip
    """Write the ids of data[begin:end], after a "▁" if `marked`, from ids[o] on; return the end of the ids.

    `scratch` is int64 with four rows of at least end - begin + 1; its content does not matter.
    """
    count = _symbols(model, data, begin, end, marked, scratch[0])
    if count <= _FEW:
        count = _join_few(model.pairs, model.shift, scratch[0], scratch[1], count)
    else:
        count = _join_many(model.pairs, model.shift, scratch[0], scratch[1], scratch[2], scratch[3], count)
    return _write(model, data, scratch[0], count, ids, o)


@jit_internal
def _symbols(model: Any, data: Any, begin: int, end: int, marked: bool, symbols: Any) -> int:  # pragma: no cover (compiled)
    """Write the symbols of the characters; return their number."""
    count, position = 0, begin
    user, characters = model.user, model.characters  # reading an attribute in the loop costs a reference count
    if marked:
        symbols[0], count = model.mark, 1
        if model.user_mark >= 0:
            frozen, stop = _longest(user, model.user_mark, data, begin, end)
            if frozen >= 0:
                symbols[0], position = frozen | _FROZEN, stop
    while position < end:
        if len(user):
            frozen, stop = _longest(user, 0, data, position, end)
            if frozen >= 0:
                symbols[count] = frozen | _FROZEN
                count, position = count + 1, stop
                continue
        start, point = position, np.int64(data[position])
        position += 1
        if point >= 0x80:
            point &= 0x1F if point < 0xE0 else 0x0F if point < 0xF0 else 0x07
            while position < end and data[position] & 0xC0 == 0x80:
                point = point << 6 | np.int64(data[position] & 0x3F)
                position += 1
        symbol = np.int64(characters[point])
        symbols[count] = symbol if symbol >= 0 else -1 - start
        count += 1
    return count


@jit_internal
def _longest(cells: Any, node: int, data: Any, position: int, end: int) -> Any:  # pragma: no cover (compiled)
    """Return the value and the end of the longest string from a node on that the data matches; the value is -1 if none does."""
    value, stop = cells[node * trie.WIDTH + trie.VALUE], position
    while position < end:
        child = cells[node * trie.WIDTH + trie.BASE] + data[position]
        if cells[child * trie.WIDTH + trie.PARENT] != node:
            break
        node, position = child, position + 1
        if cells[node * trie.WIDTH + trie.VALUE] >= 0:
            value, stop = cells[node * trie.WIDTH + trie.VALUE], position
    return value, stop


@jit_internal
def _join_few(table: Any, shift: int, symbols: Any, pairs: Any, count: int) -> int:  # pragma: no cover (compiled)
    """Join in place, scanning all pairs each time; return the number of remaining symbols."""
    for i in range(count - 1):
        pairs[i] = _joined_pair(table, shift, symbols[i], symbols[i + 1])
    while True:
        best, at = np.int64(_NONE >> 32), -1
        for i in range(count - 1):
            if pairs[i] >> 32 < best:
                best, at = pairs[i] >> 32, i
        if at < 0:
            return count
        symbols[at] = pairs[at] & 0xFFFFFFFF
        count -= 1
        for i in range(at + 1, count):
            symbols[i] = symbols[i + 1]
            pairs[i] = pairs[i + 1]
        if at > 0:
            pairs[at - 1] = _joined_pair(table, shift, symbols[at - 1], symbols[at])
        if at + 1 < count:
            pairs[at] = _joined_pair(table, shift, symbols[at], symbols[at + 1])


@jit_internal
def _join_many(  # pragma: no cover (compiled)
    table: Any, shift: int, symbols: Any, pairs: Any, following: Any, previous: Any, count: int
) -> int:  # fmt: skip
    """Join as `_join_few` does, with a heap of rank << 32 | place: n symbols take n log n steps."""
    size = 0
    heap = np.empty(3 * count, np.int64)
    for i in range(count):
        previous[i], following[i] = i - 1, i + 1
        pairs[i] = _joined_pair(table, shift, symbols[i], symbols[i + 1]) if i + 1 < count else _NONE
        size = _push(heap, size, pairs[i], i)
    while size:
        size, entry = _pop(heap, size)
        at = entry & 0xFFFFFFFF
        if pairs[at] >> 32 != entry >> 32:
            continue  # one of the two has been joined with another
        symbols[at] = pairs[at] & 0xFFFFFFFF
        absorbed = following[at]
        pairs[absorbed] = _NONE
        following[at] = following[absorbed]
        pairs[at] = _NONE
        if following[at] < count:
            previous[following[at]] = at
            pairs[at] = _joined_pair(table, shift, symbols[at], symbols[following[at]])
            size = _push(heap, size, pairs[at], at)
        before = previous[at]
        if before >= 0:
            pairs[before] = _joined_pair(table, shift, symbols[before], symbols[at])
            size = _push(heap, size, pairs[before], before)
    remaining, i = 0, np.int64(0)
    while i < count:
        symbols[remaining] = symbols[i]
        remaining, i = remaining + 1, following[i]
    return remaining


@jit_internal
def _push(heap: Any, size: int, pair: Any, place: int) -> int:  # pragma: no cover (compiled)
    if pair == _NONE:
        return size
    entry = (pair >> 32) << 32 | place
    at = size
    while at > 0 and heap[(at - 1) >> 1] > entry:
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = entry
    return size + 1


@jit_internal
def _pop(heap: Any, size: int) -> Any:  # pragma: no cover (compiled)
    top, size = heap[0], size - 1
    entry, at = heap[size], 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= entry:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = entry
    return size, top


@jit_internal
def _write(model: Any, data: Any, symbols: Any, count: int, ids: Any, o: int) -> int:  # pragma: no cover (compiled)
    previous = np.int64(-1)
    for i in range(count):
        if symbols[i] >= 0:
            previous = symbols[i] & (_FROZEN - 1)
            ids[o] = previous
            o += 1
        else:
            o = write_unknown(model, data, -1 - symbols[i], previous, ids, o)
            previous = np.int64(model.unknown)
    return o


@jit_internal
def write_unknown(model: Any, data: Any, position: int, previous: int, ids: Any, o: int) -> int:  # pragma: no cover (compiled)
    """Write the ids of an unknown character: its bytes' ids, or one id for a run of unknown characters."""
    fallback = model.fallback
    if fallback[0] < 0:
        if previous == model.unknown:
            return o
        ids[o] = model.unknown
        return o + 1
    ids[o] = fallback[data[position]]
    o, position = o + 1, position + 1
    while position < len(data) and data[position] & 0xC0 == 0x80:
        ids[o] = fallback[data[position]]
        o, position = o + 1, position + 1
    return o
