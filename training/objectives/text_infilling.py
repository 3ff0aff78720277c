"""Text infilling with sentence permutation (BART): restore a text whose spans became one mask each.

    row             5 6 7 8 9 10 11 12, sentences [5 6 7] and [8 .. 12]; <s> 0, </s> 2, <mask> 99
    permuted        8 9 10 11 12 5 6 7
    inputs          0 8 99 12 5 99 6 7 2            the span [9 10 11] became a mask; an empty span is a mask before 6
    targets         0 5 6 7 8 9 10 11 12 2
    decoder_inputs  2 0 5 6 7 8 9 10 11 12          the targets after </s>, as fairseq and Hugging Face shift them

As fairseq/data/denoising_dataset.py (Lewis et al. 2020, arXiv 1910.13461, 2.2 and 4) with replace_length=1: sentences are
permuted, then ceil(words * share) words are to be masked. Span lengths are drawn until they add up to that number; the last
one is cut to fit. Each span that is not empty starts at a different word, covers as many words as its length (or to the end
of the row), and becomes one mask, even if other spans start in it. Spans that only touch give a mask each. Every empty span
is a mask inserted at a random place.
With `spans_of="tokens"` every token counts as a word, as in the paper.

Draws of a row, numbered consecutively. "k of n in random order" takes k draws: draw i chooses one of the n - i that are left
(Fisher-Yates).
1. m = ceil(sentences * permute_share) of the sentences in random order;   2. these m in random order: the new order.
3. Span lengths, including empty ones: the first length whose cumulative probability is above the draw.
4. As many words as there are non-empty spans, in random order: where the spans start.
5. With random_share only, one draw per span: whether it becomes a random token;   6. then one draw per span: which token.
7. As many places of the final text as there are empty spans, in random order;
8. with random_share only, one draw for each of the first ceil(empty spans * random_share): which token (the rest are masks).

Deliberate differences from fairseq:
- Sentences are those of the token shards, not those that full stops delimit.
- A piece after a lone "▁" begins a word, as in contract/tokenizers/pieces.py.
- Word starts are determined before sentences are permuted.
- Products are in float64, where fairseq's float32 budget is one word larger for some word counts; there is exactly
  one mask per empty span (fairseq takes ceil(n * (k / n)), sometimes k + 1), but no more than fit into the width.
- The Poisson probabilities end at the first under 1e-7 *after the mean*: fairseq ends at the first, which for means above
  16 is that of length 0, so it never stops drawing.
"""

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numba
import numpy as np
from numpy.typing import NDArray

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.families import Specials
from training.data.draws import below, unit, word
from training.data.rows.batch import Examples, RowBatch
from training.kernels import jit
from training.objectives.sequences import count_targets, padded

VERSION = 1

LEAST_PROBABILITY = 1e-7  # of a span length (fairseq)
LEAST_MEAN = 0.1  # nine spans in ten are empty at this mean; below it, almost all would be


@dataclass(frozen=True, slots=True, eq=False)
class TextInfilling:
    """The objective; raises ValueError if the mean span length is too small."""

    length: int  # of inputs and targets, including <s> and </s>
    specials: Specials
    vocabulary_size: int
    word_start: NDArray[np.bool_] = field(repr=False)  # (vocabulary,) whether the piece begins a word
    opens_word: NDArray[np.bool_] = field(repr=False)  # (vocabulary,) whether a word begins after the piece, as after a lone "▁"
    share: float = 0.3  # of words that are masked
    mean_span: float = 3.0  # words
    spans_of: Literal["words", "tokens"] = "words"
    permute_share: float = 1.0  # of sentences
    random_share: float = 0.0  # of masks that become a random token

    def __post_init__(self) -> None:
        assert self.length >= 3 and 0 < self.share < 1 and len(self.word_start) == len(self.opens_word) == self.vocabulary_size
        assert 0 <= self.permute_share <= 1 and 0 <= self.random_share <= 1
        if self.mean_span < LEAST_MEAN:
            raise UserError(f"objective.mean_span is {self.mean_span}; raise it to {LEAST_MEAN} or more")

    @property
    def row_tokens(self) -> int:
        """Text tokens of a full row."""
        return self.length - 2

    @property
    def target_length(self) -> int:
        """Width of targets, the same as that of inputs."""
        return self.length

    @property
    def overlap(self) -> int:
        """Tokens that a row shares with the next one."""
        return 0

    def __call__(self, rows: RowBatch, keys: NDArray[np.uint64]) -> Examples:
        """Rows of at most `row_tokens` tokens, one key per row -> inputs (N, S), lengths (N,), decoder_inputs, targets (N, T)."""
        assert len(keys) == len(rows) and np.diff(rows.rows).max(initial=0) <= self.row_tokens
        begin, mask, start = self.specials.begin, self.specials.mask, self.specials.decoder_start
        assert begin is not None and mask is not None and start is not None
        inputs, targets = np.empty((2, len(rows), self.length), dtype=np.int64)
        lengths, target_lengths = np.empty((2, len(rows)), dtype=np.int64)
        # Copies: numba would compile again for mapped arrays.
        starts, opens = np.array(self.word_start), np.array(self.opens_word)
        if self.spans_of == "tokens":
            starts[:] = True
        _infill(
            (rows.ids, rows.rows, rows.sentences, keys),
            starts,
            opens,
            (begin, self.specials.end, mask, self.vocabulary_size),
            (self.permute_share, self.share, self.random_share),
            cumulative_probabilities(self.mean_span),
            (inputs, lengths, targets, target_lengths),
        )
        return padded(inputs, lengths, targets, target_lengths, pad=self.specials.pad, start=start)

    def counts(self, examples: Examples) -> dict[str, int]:
        """Return by how many predictions the loss is divided."""
        return count_targets(examples)


@lru_cache
def cumulative_probabilities(mean_span: float) -> NDArray[np.float64]:
    """Return the cumulative Poisson probabilities of lengths 0, 1, …, up to the first under LEAST_PROBABILITY above the mean."""
    probabilities = [math.exp(-mean_span)]
    while probabilities[-1] >= LEAST_PROBABILITY or len(probabilities) <= mean_span + 1:
        probabilities.append(probabilities[-1] * mean_span / len(probabilities))
    cumulative = np.cumsum(probabilities) / math.fsum(probabilities)
    cumulative[-1] = 1.0
    return cumulative


@jit
def _infill(  # pragma: no cover (compiled)
    batch: Any, word_start: Any, opens_word: Any, pieces: Any, shares: Any, cumulative: Any, out: Any
) -> None:
    """Infill all rows of a batch, with scratch arrays as long as a row."""
    ids, rows, sentences, keys = batch
    inputs, lengths, targets, target_lengths = out
    scratch = np.empty((8, inputs.shape[1] + 1), dtype=np.int64)
    bounds, order, chosen, moved = scratch[0], scratch[1], scratch[2], scratch[3]
    text, reach, words, spans = scratch[4], scratch[5], scratch[6], scratch[7]
    sentence = np.int64(0)
    for n in range(len(rows) - 1):
        first, last = rows[n], rows[n + 1]
        sentence, count = _bounds(sentences, sentence, first, last, bounds)
        draw = _order(keys[n], count, shares[0], order, chosen, moved)
        count = _permuted(ids, bounds, order, count, word_start, opens_word, text, reach, words)
        draw, made, empty = _lengths(keys[n], draw, count, shares[1], cumulative, spans)
        draw = _place(keys[n], draw, words, count, spans, made, shares[2], pieces, text, reach)
        left = _masked(text, reach, last - first)
        empty = min(empty, inputs.shape[1] - 2 - left)
        lengths[n] = _insert(keys[n], draw, text, left, empty, shares[2], pieces, chosen, moved, inputs[n])
        target_lengths[n] = _whole(ids, first, last, pieces, targets[n])


@numba.njit(nogil=True)
def _shuffle(key: Any, draw: Any, values: Any, count: Any, size: Any) -> Any:  # pragma: no cover (compiled)
    """Move `count` of `size` values to the front, in random order; return the number of the next draw."""
    for i in range(count):
        other = i + below(word(key, draw + i), size - i)
        value = values[i]
        values[i] = values[other]
        values[other] = value
    return draw + count


@numba.njit(nogil=True)
def _bounds(sentences: Any, at: Any, first: Any, last: Any, bounds: Any) -> Any:  # pragma: no cover (compiled)
    """Write where the sentences of a row begin, and its end; return the place in `sentences` after the row, and the count."""
    bounds[0] = first
    count = 1
    while at < len(sentences) and sentences[at] < last:
        if sentences[at] > first:
            bounds[count] = sentences[at]
            count += 1
        at += 1
    bounds[count] = last
    return at, count


@numba.njit(nogil=True)
def _order(key: Any, count: Any, share: Any, order: Any, chosen: Any, moved: Any) -> Any:  # pragma: no cover (compiled)
    """Write which sentence comes to each place; return the number of the next draw."""
    for k in range(count):
        order[k] = chosen[k] = k
    some = math.ceil(count * share)
    draw = _shuffle(key, np.int64(0), chosen, some, count)
    for k in range(some):
        moved[k] = chosen[k]
    draw = _shuffle(key, draw, moved, some, some)
    for k in range(some):
        order[chosen[k]] = moved[k]
    return draw


@numba.njit(nogil=True)
def _permuted(
    ids: Any, bounds: Any, order: Any, count: Any, word_start: Any, opens_word: Any, text: Any, reach: Any, words: Any
) -> Any:  # pragma: no cover (compiled)
    """Copy the sentences in their order; return the number of words. `reach` is 0 where a word begins (see `words`), else -1."""
    i = count_words = 0
    for k in range(count):
        for at in range(bounds[order[k]], bounds[order[k] + 1]):
            text[i] = ids[at]
            reach[i] = -1
            if word_start[ids[at]] or (at > bounds[0] and opens_word[ids[at - 1]]):
                reach[i] = 0
                words[count_words] = i
                count_words += 1
            i += 1
    return count_words


@numba.njit(nogil=True)
def _lengths(key: Any, draw: Any, words: Any, share: Any, cumulative: Any, spans: Any) -> Any:  # pragma: no cover (compiled)
    """Draw the lengths of spans, in words; return the next draw, the number of non-empty spans and of empty ones."""
    budget = math.ceil(words * share)
    made = empty = 0
    while budget > 0:
        drawn = unit(word(key, draw))
        draw += 1
        size = 0
        while drawn >= cumulative[size]:
            size += 1
        if size == 0:
            empty += 1
        else:
            spans[made] = min(size, budget)
            budget -= size
            made += 1
    return draw, made, empty


@numba.njit(nogil=True)
def _place(
    key: Any, draw: Any, words: Any, count: Any, spans: Any, made: Any, random: Any, pieces: Any, text: Any, reach: Any
) -> Any:  # pragma: no cover (compiled)
    """Put a mask or a random token where spans start, and the words it covers into `reach`; return the next draw."""
    begin, _, mask, vocabulary = pieces
    draw = _shuffle(key, draw, words, made, count)
    for i in range(made):
        reach[words[i]] = spans[i]
        text[words[i]] = mask
    if random > 0:
        for i in range(made):
            if unit(word(key, draw + i)) < random:
                text[words[i]] = _any(word(key, draw + made + i), vocabulary, begin)
        draw += 2 * made
    return draw


@numba.njit(nogil=True)
def _any(drawn: Any, vocabulary: Any, begin: Any) -> Any:  # pragma: no cover (compiled)
    """Return any piece but <s>: fairseq draws from 1 .. vocabulary - 1, and its <s> is 0."""
    piece = below(drawn, vocabulary - 1)
    return piece + 1 if piece >= begin else piece


@numba.njit(nogil=True)
def _masked(text: Any, reach: Any, count: Any) -> Any:  # pragma: no cover (compiled)
    """Reduce every span to its mask, in place; return the number of tokens left."""
    words = left = 0  # words that the spans so far still cover, including this token's
    for i in range(count):
        if reach[i] >= 0:
            words = max(words - 1, 0)
        if words == 0:
            text[left] = text[i]
            left += 1
        words = max(words, reach[i])
    return left


@numba.njit(nogil=True)
def _insert(
    key: Any, draw: Any, text: Any, count: Any, empty: Any, random: Any, pieces: Any, places: Any, new: Any, out: Any
) -> Any:  # pragma: no cover (compiled)
    """Write the text with the masks of empty spans, between <s> and </s>; return its length."""
    begin, end, mask, vocabulary = pieces
    size = count + empty
    if empty > 0:
        for i in range(size):
            places[i], new[i] = i, -1
        draw = _shuffle(key, draw, places, empty, size)
        random_ones = math.ceil(empty * random)
        for i in range(empty):
            new[places[i]] = _any(word(key, draw + i), vocabulary, begin) if i < random_ones else mask
    else:
        for i in range(size):
            new[i] = -1
    out[0] = begin
    at = 0
    for i in range(size):
        if new[i] >= 0:
            out[i + 1] = new[i]
        else:
            out[i + 1] = text[at]
            at += 1
    out[size + 1] = end
    return size + 2


@numba.njit(nogil=True)
def _whole(ids: Any, first: Any, last: Any, pieces: Any, out: Any) -> Any:  # pragma: no cover (compiled)
    """Write the row between <s> and </s>; return its length."""
    out[0] = pieces[0]
    for at in range(first, last):
        out[at - first + 1] = ids[at]
    out[last - first + 1] = pieces[1]
    return last - first + 2
