"""Masked language modelling (BERT): some tokens of a row are hidden and predicted from both sides.

    row               A [10 11 12], B [13 14] of a random document; length 10, share .25, [PAD] 0 [CLS] 2 [SEP] 3 [MASK] 4
    inputs            [2 10 11 19 3 13 4 3 0 0]      12 and 14 are predicted: 12 became another piece, 14 the mask
    segments          [0 0 0 0 0 1 1 1 0 0]
    lengths           8                              of which round(8 * .25) = 2 are predicted
    masked_positions  [3 6 0]                        three at most
    targets           [12 14 IGNORE]
    next_sentence     1

The semantics are those of `create_masked_lm_predictions` in google-research/bert, create_pretraining_data.py:

- A row is [CLS] A [SEP] (segment 0), or for a pair [CLS] A [SEP] B [SEP] (A and its separator segment 0, B and its 1).
- Candidates are all tokens but [CLS] and [SEP], alone or, with whole words, in words. They are shuffled and taken in
  this order until `to_predict = min(max_predictions, max(1, round(tokens * share)))` are masked; `tokens` counts [CLS] and
  [SEP], and halves are rounded to even. A word with more pieces than are still to be masked is skipped.
- Each chosen piece on its own, even within a word, becomes [MASK] (80 %), stays as it is (10 %), or becomes any piece of the
  vocabulary, special ones included (10 %).

What is drawn: step i of the shuffle (Fisher-Yates from the front: candidate i is swapped with one of the candidates i,
i + 1, …) takes draw i of the row's key; the piece at position p takes draw T + 3p (under .8: [MASK]), then T + 3p + 1
(under .5: as it is), then T + 3p + 2 (which piece), with T = `length`.

Words: a piece of `word_start` begins one, and so does any piece after one of `opens_word` (a lone "▁"; both are columns of
contract/tokenizers/pieces.py). As in Google's code a word continues over a [SEP]: a piece at the start of B that begins no
word belongs to the last word of A.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.families import Specials
from training.data.draws import below, unit, word
from training.data.rows.batch import IGNORE, Examples, RowBatch
from training.kernels import jit

VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class MaskedLM:
    """Rows of text ids as BERT's examples, padded to `length`.

    `inputs` and `segments` (N, length), `lengths` (N,), `masked_positions` (N, P) ascending and padded with 0, `targets` (N, P)
    the original ids, padded with IGNORE; with pairs `next_sentence` (N,): 1 random, 0 the next one. All int64.

    Raises ValueError if `specials` has no [CLS] or [MASK].
    """

    length: int  # tokens of an example, [CLS] and [SEP] included
    specials: Specials
    vocabulary_size: int  # random pieces are drawn from it
    share: float = 0.15  # of the tokens is predicted (BERT, arXiv 1810.04805, 3.1)
    max_predictions: int | None = None  # P, per example; default: round(length * share), the advice of BERT's README
    word_start: NDArray[np.bool_] | None = None  # (vocabulary_size,) by piece; if given, words are masked whole
    opens_word: NDArray[np.bool_] | None = None  # (vocabulary_size,) by piece; given with word_start
    pairs: bool = True  # whether rows have two spans, A and B

    overlap: ClassVar[int] = 0  # rows have no token in common

    def __post_init__(self) -> None:
        if self.specials.begin is None or self.specials.mask is None:
            raise UserError("masked_lm needs the pieces [CLS] and [MASK]; use a vocabulary of the family bert")
        assert all(flags is None or len(flags) == self.vocabulary_size for flags in (self.word_start, self.opens_word))
        assert self.opens_word is None or self.word_start is not None
        assert self.row_tokens >= 1

    @property
    def row_tokens(self) -> int:
        """Most text tokens of a row: what [CLS] and the [SEP]s leave of `length`."""
        return self.length - (3 if self.pairs else 2)

    @property
    def predictions(self) -> int:
        """P, the width of `masked_positions` and `targets`."""
        return self.max_predictions if self.max_predictions is not None else max(1, round(self.length * self.share))

    def __call__(self, rows: RowBatch, keys: NDArray[np.uint64]) -> Examples:
        """Make N examples from a RowBatch of N rows and their N keys."""
        assert len(keys) == len(rows)
        assert int(np.diff(rows.rows).max(initial=0)) <= self.row_tokens, "a row is longer than row_tokens"
        inputs, segments, lengths = self._assemble(rows)
        to_predict = np.minimum(np.maximum(np.rint(lengths * self.share), 1), self.predictions).astype(np.int64)
        positions = np.zeros((len(rows), self.predictions), np.int64)
        targets = np.full((len(rows), self.predictions), IGNORE, np.int64)
        starts, opens = self._starts()
        special = (self.specials.begin, self.specials.end, self.specials.mask)
        _mask(keys, lengths, to_predict, starts, opens, special, self.vocabulary_size, inputs, positions, targets)
        out = {"inputs": inputs, "segments": segments, "lengths": lengths, "masked_positions": positions, "targets": targets}
        if self.pairs:
            assert rows.random_next is not None
            out["next_sentence"] = rows.random_next.astype(np.int64)
        return out

    def counts(self, examples: Examples) -> dict[str, int]:
        """Return by how many predictions each term of the loss is divided: the masked tokens and, with pairs, the rows."""
        tokens = {"tokens": int(np.count_nonzero(examples["targets"] != IGNORE))}
        return {**tokens, "pairs": len(examples["next_sentence"])} if self.pairs else tokens

    def _starts(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which pieces begin a word, and after which one begins; without whole words every piece is a word."""
        opens = np.zeros(self.vocabulary_size, np.bool_)
        if self.word_start is None:
            return ~opens, opens
        if self.opens_word is not None:
            opens |= self.opens_word
            opens[self.specials.end] = False
        return np.array(self.word_start), opens  # copies: numba would compile again for mapped arrays

    def _assemble(self, rows: RowBatch) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return inputs before masking, segments, lengths."""
        assert not self.pairs or bool((np.diff(rows.row_spans) == 2).all()), "a pair has two spans"
        inputs = np.full((len(rows), self.length), self.specials.pad, np.int64)
        segments = np.zeros((len(rows), self.length), np.int64)
        lengths = np.empty(len(rows), np.int64)
        special = (self.specials.begin, self.specials.end)
        _assemble(rows.ids, rows.spans, rows.row_spans, special, self.pairs, inputs, segments, lengths)
        return inputs, segments, lengths


@jit
def _assemble(
    ids: Any, spans: Any, row_spans: Any, special: Any, pairs: Any, inputs: Any, segments: Any, lengths: Any
) -> None:  # pragma: no cover (compiled)
    """Put [CLS] before the row, [SEP] after it and between the spans of a pair (never twice, if the text has one there)."""
    begin, end = special
    for row in range(len(row_spans) - 1):
        inputs[row, 0] = begin
        at, segment = 1, 0
        for span in range(row_spans[row], row_spans[row + 1]):
            if pairs and span > row_spans[row]:
                if inputs[row, at - 1] != end:
                    inputs[row, at] = end
                    at += 1
                segment = at
            first, size = spans[span], spans[span + 1] - spans[span]
            for place in range(size):
                inputs[row, at + place] = ids[first + place]
            at += size
        if inputs[row, at - 1] != end:
            inputs[row, at] = end
            at += 1
        if segment > 0:
            for place in range(segment, at):
                segments[row, place] = 1
        lengths[row] = at


@jit
def _mask(
    keys: Any, lengths: Any, to_predict: Any, word_start: Any, opens_word: Any, special: Any, vocabulary: Any,
    inputs: Any, positions: Any, targets: Any,
) -> None:  # fmt: skip # pragma: no cover (compiled)
    """Choose the pieces of every row, record them as targets, and replace them."""
    begin, end, mask = special
    length = inputs.shape[1]
    candidates = np.empty(length, np.int64)  # positions, ascending
    firsts = np.empty(length + 1, np.int64)  # word w has the candidates firsts[w] .. firsts[w + 1] - 1
    order = np.empty(length, np.int64)  # of words, while they are shuffled
    chosen = np.zeros(length, np.bool_)  # by position
    for row in range(len(keys)):
        words = _words(inputs[row], lengths[row], begin, end, word_start, opens_word, candidates, firsts)
        _choose(keys[row], words, to_predict[row], candidates, firsts, order, chosen)
        _replace(keys[row], lengths[row], mask, vocabulary, chosen, inputs[row], positions[row], targets[row])


@jit
def _words(
    tokens: Any, length: Any, begin: Any, end: Any, word_start: Any, opens_word: Any, candidates: Any, firsts: Any
) -> Any:  # pragma: no cover (compiled)
    """Find the candidates and words of a row; return the number of words."""
    count, words = 0, 0
    for at in range(length):
        piece = tokens[at]
        if piece in (begin, end):
            continue
        firsts[words] = count  # right if a word begins here; otherwise the next word overwrites it
        words += (count == 0) | word_start[piece] | opens_word[tokens[at - 1]]
        candidates[count] = at
        count += 1
    firsts[words] = count
    return words


@jit
def _choose(
    key: Any, words: Any, to_predict: Any, candidates: Any, firsts: Any, order: Any, chosen: Any
) -> None:  # pragma: no cover (compiled)
    """Take words in random order until enough pieces are chosen; a word with too many pieces is skipped."""
    for place in range(words):
        order[place] = place
    left = to_predict
    for step in range(words):
        if left == 0:
            break
        other = step + below(word(key, step), words - step)
        taken = order[other]
        order[other] = order[step]
        size = firsts[taken + 1] - firsts[taken]
        if size > left:
            continue
        for candidate in range(firsts[taken], firsts[taken] + size):
            chosen[candidates[candidate]] = True
        left -= size


@jit
def _replace(
    key: Any, length: Any, mask: Any, vocabulary: Any, chosen: Any, tokens: Any, positions: Any, targets: Any
) -> None:  # pragma: no cover (compiled)
    """Replace chosen pieces: 80 % [MASK], 10 % unchanged, 10 % any piece; `chosen` is all false again for the next row."""
    masked = 0
    for at in range(length):
        if not chosen[at]:
            continue
        chosen[at] = False
        positions[masked] = at
        targets[masked] = tokens[at]
        masked += 1
        draw = len(tokens) + 3 * at
        if unit(word(key, draw)) < 0.8:
            tokens[at] = mask
        elif unit(word(key, draw + 1)) >= 0.5:
            tokens[at] = below(word(key, draw + 2), vocabulary)
