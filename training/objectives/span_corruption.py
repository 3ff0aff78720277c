"""Span corruption (T5): spans of a row become sentinels, and the targets spell out each sentinel.

    row             5 6 7 8 9 10 11 12       spans [6] and [10 11 12], sentinels 90 (number 0) and 89 (number 1), end 1, pad 0
    inputs          5 90 7 8 9 89 1
    targets         90 6 89 10 11 12 1
    decoder_inputs  0 90 6 89 10 11 12

As in t5/data/preprocessors.py (Raffel et al. 2020, arXiv 1910.10683, 3.1.4): the length of a row determines its
numbers of noise tokens and noise spans; non-noise and noise alternate, non-noise first; the mask is drawn uniformly from
those possible. There is no sentinel after the last span. Rows are used as they are: documents in a row are not
distinguished, and an end of text in a row is a token like any other.

Draws of a row of n tokens, of which d are noise: draw i < d - 1 decides whether a span ends after noise token i, draw
d - 1 + i whether a non-noise span ends after non-noise token i. Each is taken with probability ends left / tokens left
(selection sampling, Knuth 3.4.2 S), which makes every set of ends equally likely, as T5's shuffled flags do.

Where T5's formulas break their own limits:
- Rounding is in float64 as in its `random_spans_helper`, half to even. Its noise mask multiplies in float32, which gives a
  row of 190 tokens 29 noise tokens instead of 28 (190 * .15 = 28.5), likewise other short rows.
- A row of one token is handled as in T5: counted as two, then cut, so nothing is noise: inputs [x end], targets
  [sentinel 0, end].
- Short rows, small shares: its helper counts no span where its mask makes one; `row_tokens` is then one smaller and
  `target_length` larger, so that every row fits. With shares so large that no text would be left between spans, there are
  fewer spans.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.families import Specials
from training.data.draws import below, word
from training.data.rows.batch import Examples, RowBatch
from training.kernels import jit
from training.objectives.sequences import count_targets, padded

VERSION = 1

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SpanCorruption:
    """The objective; raises ValueError when a full row has more spans than there are sentinels."""

    length: int  # of inputs, including their end
    specials: Specials
    share: float = 0.15  # of tokens that are noise
    mean_span: float = 3.0  # tokens
    least_target_length: int = 0  # for tasks in the same batches with longer targets

    def __post_init__(self) -> None:
        assert self.length >= 2 and 0 < self.share < 1 and self.mean_span >= 1
        spans = int(noise_counts(self.row_tokens, self.share, self.mean_span)[1].max())
        if spans > len(self.specials.sentinels):
            raise UserError(
                f"span corruption of {self.row_tokens:,} tokens makes {spans} spans, but the vocabulary has "
                f"{len(self.specials.sentinels)} sentinels; lower rows.length (now {self.length}) or objective.share "
                f"({self.share}), or raise objective.mean_span ({self.mean_span})"
            )

    @property
    def row_tokens(self) -> int:
        """Tokens of a full row, whose inputs fill `length`."""
        return widths(self.length, self.share, self.mean_span)[0]

    @property
    def target_length(self) -> int:
        """Width of targets, including their end."""
        return max(widths(self.length, self.share, self.mean_span)[1], self.least_target_length)

    @property
    def overlap(self) -> int:
        """Tokens that a row shares with the next one."""
        return 0

    def __call__(self, rows: RowBatch, keys: NDArray[np.uint64]) -> Examples:
        """Rows of at most `row_tokens` tokens, one key per row -> inputs (N, S), lengths (N,), decoder_inputs, targets (N, T)."""
        assert len(keys) == len(rows) and np.diff(rows.rows).max(initial=0) <= self.row_tokens
        start = self.specials.decoder_start
        assert start is not None
        noise, spans = noise_counts(self.row_tokens, self.share, self.mean_span)
        sentinels = np.array(self.specials.sentinels, dtype=np.int64)
        inputs = np.empty((len(rows), self.length), dtype=np.int64)
        targets = np.empty((len(rows), self.target_length), dtype=np.int64)
        lengths, target_lengths = np.empty((2, len(rows)), dtype=np.int64)
        arrays = (inputs, lengths, targets, target_lengths)
        _corrupt(rows.ids, rows.rows, keys, noise, spans, sentinels, self.specials.end, *arrays)
        return padded(*arrays, pad=self.specials.pad, start=start)

    def counts(self, examples: Examples) -> dict[str, int]:
        """Return by how many predictions the loss is divided."""
        return count_targets(examples)


@lru_cache
def widths(length: int, share: float, mean_span: float) -> tuple[int, int]:
    """Return tokens of a row and width of its targets so that inputs are `length` wide, ends included (random_spans_helper).

    >>> widths(512, 0.15, 3.0)
    (568, 114)
    """

    def helper(tokens: int) -> tuple[int, int]:
        noise = round(tokens * share)
        spans = round(noise / mean_span)
        return tokens - noise + spans + 1, noise + spans + 1

    tokens = length - 1
    while helper(tokens + 1)[0] <= length:
        tokens += 1
    inputs, targets = helper(tokens)
    if share == 0.5 and targets > inputs:  # T5 wants both to be equally long
        tokens, targets = tokens - 1, targets - 1
    noise, spans = noise_counts(tokens, share, mean_span)
    while tokens - noise[tokens] + spans[tokens] + 1 > length:
        tokens -= 1
    return tokens, max(targets, int(noise[tokens] + spans[tokens]) + 1)


@lru_cache
def noise_counts(row_tokens: int, share: float, mean_span: float) -> tuple[Counts, Counts]:
    """Return noise tokens and spans of rows of 0 .. row_tokens tokens (random_spans_noise_mask), each (row_tokens + 1,)."""
    tokens = np.maximum(np.arange(row_tokens + 1), 2)
    noise = np.clip(np.rint(tokens * share), 1, tokens - 1).astype(np.int64)
    spans = np.clip(np.rint(noise / mean_span), 1, tokens - noise).astype(np.int64)
    noise[:2], spans[0] = 0, 0
    return noise, spans


@numba.njit(nogil=True)
def next_span(key: Any, draw: Any, left: Any, ends: Any) -> Any:  # pragma: no cover (compiled)
    """Return the tokens of the next span, then the updated draw, `left` and `ends`.

    `left` tokens may still end a span, and `ends` of them do; after them comes the last span's end.
    """
    size = 1
    while left > 0:
        if ends == 0:
            return size + left, draw + left, 0, 0
        last = below(word(key, draw), left) < ends
        draw, left = draw + 1, left - 1
        if last:
            return size, draw, left, ends - 1
        size += 1
    return size, draw, left, ends


@jit
def _corrupt(  # pragma: no cover (compiled)
    ids: Any,
    rows: Any,
    keys: Any,
    noise_of: Any,
    spans_of: Any,
    sentinels: Any,
    end: int,
    inputs: Any,
    lengths: Any,
    targets: Any,
    target_lengths: Any,
) -> None:
    for n in range(len(rows) - 1):
        at, count = rows[n], rows[n + 1] - rows[n]
        noise, spans = noise_of[count], spans_of[count]
        noise_draw, noise_left, noise_ends = 0, noise - 1, spans - 1
        text_draw, text_left, text_ends = noise - 1, count - noise - 1, spans - 1
        i = t = 0
        for number in range(spans):
            size, text_draw, text_left, text_ends = next_span(keys[n], text_draw, text_left, text_ends)
            for _ in range(size):
                inputs[n, i] = ids[at]
                i, at = i + 1, at + 1
            targets[n, t] = sentinels[number]
            t += 1
            if noise:
                inputs[n, i] = sentinels[number]
                i += 1
                size, noise_draw, noise_left, noise_ends = next_span(keys[n], noise_draw, noise_left, noise_ends)
                for _ in range(size):
                    targets[n, t] = ids[at]
                    t, at = t + 1, at + 1
        inputs[n, i] = targets[n, t] = end
        lengths[n], target_lengths[n] = i + 1, t + 1
