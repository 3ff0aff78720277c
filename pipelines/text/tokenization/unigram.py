r"""One word to ids, as SentencePiece's unigram model does it (unigram_model.cc, EncodeOptimized).

The way to cut it whose scores add up to the most is found from left to right.

SentencePiece adds scores in float32 along a whole line, so what lies before a word may decide between ways of cutting
it that are (almost) equally good ("...." as "..." "." or "." "..."). Where a word begins, all ways meet: what lies before
it comes down to one number, the sum so far. So a word is cut in one of two manners:

    in context: from the line's sum so far, in float32, exactly as SentencePiece rounds;
    alone: from 0, without rounding; and found with it is, up to which sum rounding cannot change the outcome.

The outcome changes only if, at some place of the best way, another way to that place catches up. `margin` is the least
lead that the best way has over the second best at its places. A way of n pieces is rounded n times, each time by at most
2^-24 of the sum.

SentencePiece 0.2.3 keeps sums small: where the best one of a place is below -100,000, it is taken off that place and
those behind it (found by experiment, on lines of up to 180,000 tokens). Older ones do not.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.contract.tokenizers.sentencepiece_proto import NORMAL, USER_DEFINED, ModelPiece
from pipelines.contract.tokenizers.spelling import SPACE_MARK
from pipelines.text.kernels import jit_internal
from pipelines.text.tokenization import trie
from pipelines.text.tokenization.bpe import write_unknown

_UNKNOWN_PENALTY = np.float32(10.0)  # below the least score of a piece (kUnkPenalty)
_USER_DEFINED = 0.1  # the score of a piece of n bytes that the user defined is .1 n - .1 (found by experiment, version 0.2.3)
_MARK_BYTES = 3
_LEAST_SUM = -100_000.0  # see above
_ROUNDING = 2.0**-23  # twice 2^-24: one way may be rounded down and the other up


class Unigram(NamedTuple):
    """What the kernels know of a model."""

    cells: NDArray[np.int32]  # the trie of the pieces
    mark_node: int  # its node of "▁"
    scores: NDArray[np.float64]  # by id
    unknown_score: float
    largest: float  # the largest amount of a score
    fallback: NDArray[np.int32]  # by byte, the id of an unknown character's byte; -1: it has none
    unknown: int  # id


def unigram(pieces: list[ModelPiece], fallback: NDArray[np.int32], unknown: int) -> Unigram | None:
    """The tables of a model, or None when it is not of the kind that these kernels know."""
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
    """Write the ids of data[begin:end], with a "▁" before it if `marked`, from ids[o] on.

    `sums` is float64 and has two rows of end - begin + 4 or more, `places` int64 and three rows; sums[0, 0] is the line's
    sum so far (0 for a word alone). Returns where the ids end, the sum behind the word, how many tokens of the line may
    lie before it without changing the outcome (0: it must be cut in context), and how many characters are unknown.
    """
    ways(model, data, begin, end, marked, in_context, sums, places)
    size = end - begin + (_MARK_BYTES * marked)
    count, margin, place = 0, np.inf, size
    while place > 0:  # the way back
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
def ways(  # pragma: no cover (compiled)
    model: Any, data: Any, begin: int, end: int, marked: bool, in_context: int, sums: Any, places: Any
) -> None:  # fmt: skip
    """For each place: the best and the second-best sum of a way to it, where the best one's last piece starts, and its id."""
    shift = _MARK_BYTES * marked
    size, cells, scores = end - begin + shift, model.cells, model.scores  # an attribute costs a reference each time
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
    """A way to `stop` whose last piece starts at `start`. SentencePiece rounds, compares, and keeps the first of equals."""
    if in_context:
        total = np.float64(np.float32(total))
    if total > sums[0, stop]:
        sums[1, stop] = sums[0, stop]
        sums[0, stop] = total
        places[0, stop], places[1, stop] = start, piece
    elif total > sums[1, stop]:
        sums[1, stop] = total
