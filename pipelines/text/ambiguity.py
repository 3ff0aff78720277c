"""Which words SentencePiece's unigram model may cut in two ways that are (almost) equally good.

SentencePiece adds path scores in float32 along a whole line. Where the best two ways to cut a word differ by less than
the rounding ("...." as "..." "." or "." "..." is a tie), the text before the word decides which one comes out. So the ids
of such a word depend on its line, and only theirs do.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from pipelines.contract.tokenizer import SPACE_MARK, Tokenizer

# Of path scores. A token adds about 10 to a path score, float32 has 24 bits: after 5,000 tokens the rounding is 0.004.
_NEARLY_EQUAL = 0.02
_UNKNOWN_PENALTY = 10.0  # below the least score of a piece (SentencePiece's kUnkPenalty)
_MARK = SPACE_MARK.encode()


class Ambiguity:
    """Judges words by the pieces and scores of a unigram model."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        special = set(tokenizer.special_ids.values())
        processor = tokenizer.processor
        normal = [i for i in range(tokenizer.size) if i not in special and not processor.is_byte(i)]
        pieces = [str(processor.id_to_piece(i)).encode() for i in normal]
        scores = [float(processor.get_score(i)) for i in normal]
        self._unknown = min(scores) - _UNKNOWN_PENALTY
        self._keys, self._values, self._scores = _trie(pieces, scores)

    def __call__(self, data: NDArray[np.uint8], starts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each of N words is ambiguous; word n is data[starts[n]:starts[n + 1]], without its "▁"."""
        mark = np.frombuffer(_MARK, np.uint8)
        return _ambiguous(data, starts, mark, self._keys, self._values, self._scores, self._unknown, _NEARLY_EQUAL)


def _trie(pieces: list[bytes], scores: list[float]) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
    """A trie as a hash table from (node, byte) to a node (open addressing), and each node's score (NaN: no piece)."""
    edges: dict[int, int] = {}
    ends: dict[int, float] = {}
    for piece, score in zip(pieces, scores, strict=True):
        node = 0
        for byte in piece:
            node = edges.setdefault(node << 8 | byte, len(edges) + 1)
        ends[node] = score
    size = 1 << (2 * len(edges) + 2).bit_length()
    keys, values = np.full(size, -1, np.int64), np.zeros(size, np.int32)
    _fill(np.fromiter(edges.keys(), np.int64, len(edges)), np.fromiter(edges.values(), np.int32, len(edges)), keys, values)
    by_node = np.full(len(edges) + 1, np.nan)
    by_node[list(ends)] = list(ends.values())
    return keys, values, by_node


@numba.njit(cache=True, nogil=True)
def _slot(key: Any, keys: Any) -> Any:  # pragma: no cover (compiled)
    """Where a key is, or belongs."""
    mask = len(keys) - 1
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    slot = np.int64((mixed >> np.uint64(20)) & np.uint64(mask))
    while keys[slot] != key and keys[slot] >= 0:
        slot = (slot + 1) & mask
    return slot


@numba.njit(cache=True, nogil=True)
def _fill(new_keys: Any, new_values: Any, keys: Any, values: Any) -> None:  # pragma: no cover (compiled)
    for i in range(len(new_keys)):
        slot = _slot(new_keys[i], keys)
        keys[slot], values[slot] = new_keys[i], new_values[i]


@numba.njit(cache=True, nogil=True)
def _edges(  # pragma: no cover (compiled)
    word: Any, size: int, keys: Any, values: Any, by_node: Any, unknown: float, begins: Any, ends: Any, scores: Any
) -> int:  # fmt: skip
    """Every piece that fits the word somewhere, by its first byte; a character that is no piece is unknown."""
    count, begin = 0, 0
    while begin < size:
        lead = word[begin]
        width = 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
        known, node, end = False, 0, begin
        while end < size:
            slot = _slot(np.int64(node) << 8 | np.int64(word[end]), keys)
            if keys[slot] < 0:
                break
            node = values[slot]
            end += 1
            if not np.isnan(by_node[node]):
                begins[count], ends[count], scores[count] = begin, end, by_node[node]
                count += 1
                known = known or end == begin + width
        if not known:
            begins[count], ends[count], scores[count] = begin, min(begin + width, size), unknown
            count += 1
        begin += width
    return count


@numba.njit(cache=True, nogil=True)
def _margin(size: int, count: int, begins: Any, ends: Any, scores: Any) -> float:  # pragma: no cover (compiled)
    """How much worse the second-best path is: every other path has an edge that the best one has not."""
    forward, backward = np.full(size + 1, -np.inf), np.full(size + 1, -np.inf)
    chosen = np.full(size + 1, -1, np.int64)  # the last edge of the best path to a place
    forward[0], backward[size] = 0.0, 0.0
    for e in range(count):
        score = forward[begins[e]] + scores[e]
        if score > forward[ends[e]]:
            forward[ends[e]], chosen[ends[e]] = score, e
    for e in range(count - 1, -1, -1):
        backward[begins[e]] = max(backward[begins[e]], backward[ends[e]] + scores[e])
    best = np.zeros(count, np.bool_)
    place = size
    while place > 0:
        best[chosen[place]] = True
        place = begins[chosen[place]]
    second = -np.inf
    for e in range(count):
        if not best[e]:
            second = max(second, forward[begins[e]] + scores[e] + backward[ends[e]])
    return forward[size] - second


@numba.njit(cache=True, nogil=True)
def _ambiguous(  # pragma: no cover (compiled)
    data: Any, starts: Any, mark: Any, keys: Any, values: Any, by_node: Any, unknown: float, nearly_equal: float
) -> Any:  # fmt: skip
    found = np.zeros(len(starts) - 1, np.bool_)
    room = 0
    for n in range(len(starts) - 1):
        room = max(room, starts[n + 1] - starts[n] + len(mark))
    word = np.empty(room, np.uint8)
    for j in range(len(mark)):  # no slices: they take seconds to compile, for their error message
        word[j] = mark[j]
    begins, ends, scores = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64)
    for n in range(len(starts) - 1):
        size = starts[n + 1] - starts[n] + len(mark)
        for j in range(starts[n], starts[n + 1]):
            word[len(mark) + j - starts[n]] = data[j]
        if len(begins) < size * 65:  # a piece has at most 64 bytes (16 characters)
            begins, ends, scores = np.empty(size * 65, np.int64), np.empty(size * 65, np.int64), np.empty(size * 65, np.float64)
        count = _edges(word, size, keys, values, by_node, unknown, begins, ends, scores)
        found[n] = _margin(size, count, begins, ends, scores) < nearly_equal
    return found
