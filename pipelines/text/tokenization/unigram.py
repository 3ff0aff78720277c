"""Encode one word as SentencePiece's unigram model does (unigram_model.cc, EncodeOptimized).

A search from left to right (Viterbi) finds the segmentation with the highest sum of scores; a *path* is a segmentation of
the word up to a place.

SentencePiece adds scores in float32 along a whole line, so the text before a word may decide between segmentations that are
(almost) equally good ("...." as "..." "." or "." "..."). All paths meet at the start of a word, so the text before it has only
one effect, the sum so far. A word is therefore segmented in one of two ways:

    in context: from the line's sum so far, in float32, rounded exactly as in SentencePiece;
    alone: from 0, without rounding, together with the largest sum up to which rounding cannot change the result.

The result changes only if, at some place of the best path, another path to that place catches up. `margin` is the smallest
lead of the best path over the second best at its places. A path of n pieces is rounded n times, each time by at most 2^-24 of
the sum.

SentencePiece 0.2.3 keeps sums small: if the best sum at a place is below -100,000, it is subtracted there and at all later
places (seen in experiments with lines of up to 180,000 tokens). Older versions do not.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.contract.tokenizers.sentencepiece_proto import NORMAL, USER_DEFINED, ModelPiece
from pipelines.contract.tokenizers.spelling import SPACE_MARK
from pipelines.text.kernels import jit_internal
from pipelines.text.tokenization import trie
from pipelines.text.tokenization.bpe import write_unknown

_UNKNOWN_PENALTY = np.float32(10.0)  # below the lowest score of a piece (kUnkPenalty)
_USER_DEFINED = 0.1  # a user-defined piece of n bytes has the score .1 n - .1 (by experiment, version 0.2.3)
_MARK_BYTES = 3
_LEAST_SUM = -100_000.0  # see above
_ROUNDING = 2.0**-23  # twice 2^-24: one path may be rounded down and the other up


class Unigram(NamedTuple):
    """The tables of a model for the kernels."""

    cells: NDArray[np.int32]  # the trie of the pieces
    mark_node: int  # its node of "▁"
    scores: NDArray[np.float64]  # by id
    unknown_score: float
    largest: float  # the largest absolute value of a score
    fallback: NDArray[np.int32]  # by byte, the id of its byte piece, or -1
    unknown: int  # id


def unigram(pieces: list[ModelPiece], fallback: NDArray[np.int32], unknown: int) -> Unigram | None:
    """Return the tables of a model, or None if these kernels do not support it."""
    own = [i for i, p in enumerate(pieces) if p.type in (NORMAL, USER_DEFINED) and p.text != b"\n"]
    cells = trie.build([pieces[i].text for i in own], own)
    mark_node = trie.node_of(cells, SPACE_MARK.encode())
    normal = [p.score for p in pieces if p.type == NORMAL]
    if max(normal) > 0 or mark_node < 0 or cells[mark_node * trie.WIDTH + trie.VALUE] < 0:
        return None
    scores = np.array([p.score for p in pieces])
    for i, piece in enumerate(pieces):
        if piece.type == USER_DEFINED:
            scores[i] = np.float32(_USER_DEFINED * len(piece.text) - _USER_DEFINED)
    unknown_score = float(np.float32(min(normal)) - _UNKNOWN_PENALTY)
    return Unigram(cells, mark_node, scores, unknown_score, max(-unknown_score, float(scores.max())), fallback, unknown)


@jit_internal
def unigram_word(  # pragma: no cover (compiled)
    model: Any, data: Any, begin: int, end: int, marked: bool, in_context: int, sums: Any, places: Any, ids: Any, o: int
) -> Any:  # fmt: skip
    """Write the ids of data[begin:end], after a "▁" if `marked`, from ids[o] on.

    `sums` is float64 with two rows of at least end - begin + 4, `places` is int64 with three; sums[0, 0] is the line's sum
    so far (0 for a word alone). Return the end of the ids, the sum after the word, the number of tokens that may precede the
    word in its line without changing the result (0: it must be segmented in context), and the number of unknown characters.
    """
    search(model, data, begin, end, marked, in_context, sums, places)
    size = end - begin + (_MARK_BYTES * marked)
    count, margin, place = 0, np.inf, size
    while place > 0:  # back along the best path
        margin = min(margin, sums[0, place] - sums[1, place])
        places[2, count], count = place, count + 1
        place = places[0, place]
    start, unknown, previous = place, place, place - 1
    for i in range(count - 1, -1, -1):
        place = places[2, i]
        piece = places[1, place]
        if piece == model.unknown:
            unknown += 1
            o = write_unknown(model, data, begin + start - (_MARK_BYTES * marked), previous, ids, o)
        else:
            ids[o] = piece
            o += 1
        start, previous = place, piece
    safe = min(margin / (_ROUNDING * size * model.largest), -_LEAST_SUM / model.largest) - size
    return o, sums[0, size], np.int64(max(0.0, min(safe, 65534.0))) if unknown == 0 else 0, unknown


@jit_internal
def search(  # pragma: no cover (compiled)
    model: Any, data: Any, begin: int, end: int, marked: bool, in_context: int, sums: Any, places: Any
) -> None:  # fmt: skip
    """Write for each place the two best sums of paths to it, and the start and id of the best path's last piece."""
    shift = _MARK_BYTES * marked
    size = end - begin + shift
    cells, scores = model.cells, model.scores  # reading an attribute in the loop costs a reference count
    for place in range(1, size + 1):
        sums[0, place], sums[1, place] = -np.inf, -np.inf
    place = 0
    while place < size:
        if in_context and sums[0, place] < _LEAST_SUM:
            for i in range(size, place - 1, -1):
                sums[0, i] = np.float64(np.float32(sums[0, i] - sums[0, place]))
        node, stop, width = 0, place, _MARK_BYTES
        if place == 0 and marked:
            node, stop = model.mark_node, _MARK_BYTES
        else:
            lead = data[begin + place - shift]
            width = 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
        known = False
        while True:
            piece = cells[node * trie.WIDTH + trie.VALUE]
            if piece >= 0:
                _reach(sums, places, place, stop, piece, sums[0, place] + scores[piece], in_context)
                known = known or stop == place + width
            if stop == size:
                break
            child = cells[node * trie.WIDTH + trie.BASE] + data[begin + stop - shift]
            if cells[child * trie.WIDTH + trie.PARENT] != node:
                break
            node, stop = child, stop + 1
        if not known:
            _reach(sums, places, place, place + width, model.unknown, sums[0, place] + model.unknown_score, in_context)
        place += width


@jit_internal
def _reach(  # pragma: no cover (compiled)
    sums: Any, places: Any, start: int, stop: int, piece: int, total: float, in_context: int
) -> None:  # fmt: skip
    """Record a path to `stop` by a piece from `start`; sums are rounded and ties keep the first, as in SentencePiece."""
    if in_context:
        total = np.float64(np.float32(total))
    if total > sums[0, stop]:
        sums[1, stop] = sums[0, stop]
        sums[0, stop] = total
        places[0, stop], places[1, stop] = start, piece
    elif total > sums[1, stop]:
        sums[1, stop] = total
