"""UL2's mixture of denoisers (T5): span corruption of several kinds, each announced by a piece at the start of the inputs.

    row      5 6 7 8 9 10 11 12; sentinels 90 and 89 (numbers 0 and 1), modes R 50, S 51, X 52, end 1
    R        share .25, spans of 2 on average             inputs 50 5 6 7 8 9 90 12 1     targets 90 10 11 1
    S        share .25, the end of the row                inputs 51 5 6 7 8 9 10 90 1     targets 90 11 12 1
    X        share .5, spans of 2 on average              inputs 52 5 6 90 10 89 12 1     targets 90 7 8 9 89 11 1

The seven denoisers of table 1 in Tay et al. 2022 (arXiv 2205.05131), here in equal parts, are the default (data/config.py):
R, regular: spans of 3 or 8 tokens, 15 % of the row. S, sequential: the last quarter of the row from what precedes it, which is
prefix language modelling. X, extreme: half of the row in spans of 3, 8 or 64, or 15 % in spans of 64. Every row draws one.

How much of a row is noise, and in how many spans, follows span_corruption.py. Lengths and places do not:

- The paper draws lengths from a normal distribution about the mean. It gives no deviation; here it is half of the mean, cut at
  1 and at twice the mean less 1, so that the mean stays. The lengths are then moved one by one, in turn from a drawn span on,
  until they add up to the noise. A single span is all of the noise.
- Spans of R and X are anywhere, all sets of places being equally likely, with text between two of them. In T5's mask the row
  ends with one, so that a single span of 64 would be what S predicts.

Modes: [NLU] for R, [S2S] for S, [NLG] for X, as the published UL2 spells them, if the vocabulary has these special pieces
(`control_pieces` of its [[vocabularies]] section); else the last three sentinels, <extra_id_99>, <extra_id_98> and <extra_id_97>
in this order, which are then not used for spans.

Draws of a row: 0 the denoiser; 1 + s the length of span s of n; 1 + n the span whose length is moved first; from 2 + n on
whether a span of text ends after a token, as in span_corruption.py, of a text with one token more at its start and its end.

Limits: rows are as long as the denoiser whose inputs are longest allows, so the inputs of the others end with padding.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.families import Specials
from training.data.draws import below, unit, word, words
from training.data.rows.batch import Examples, RowBatch
from training.kernels import jit
from training.objectives.sequences import count_targets, padded
from training.objectives.span_corruption import Counts, next_span, noise_counts

VERSION = 1

Mode = Literal["R", "S", "X"]


class Denoiser(NamedTuple):
    """A kind of span corruption."""

    mode: Mode
    share: float  # of tokens that are noise
    mean_span: float | None  # tokens; None: one span, at the end of the row
    weight: float = 1.0


@dataclass(frozen=True)
class MixtureOfDenoisers:
    """The objective; raises UserError when a full row has more spans than there are sentinels.

    >>> row = RowBatch(np.arange(5, 13, dtype=np.int32), np.array([0, 8]), np.array([0, 8]), np.array([0, 1]), np.empty(0, int))
    >>> specials = Specials(pad=0, begin=None, end=1, mask=None, decoder_start=0, sentinels=(90, 89))
    >>> s = MixtureOfDenoisers(9, specials, {"R": 50, "S": 51, "X": 52}, (Denoiser("S", 0.25, None),))
    >>> {name: array[0].tolist() for name, array in s(row, np.zeros(1, np.uint64)).items() if name != "lengths"}
    {'inputs': [51, 5, 6, 7, 8, 9, 10, 90, 1], 'decoder_inputs': [0, 90, 11, 12], 'targets': [90, 11, 12, 1]}
    """

    length: int  # of inputs, including the mode and their end
    specials: Specials
    modes: dict[Mode, int]  # ids
    denoisers: tuple[Denoiser, ...]

    overlap = 0  # rows have no token in common

    def __post_init__(self) -> None:
        spans = int(self._spans.max())
        if spans > len(self.sentinels):
            raise UserError(
                f"ul2: the denoisers make up to {spans} spans of {self.row_tokens:,} tokens, but the vocabulary has "
                f"{len(self.sentinels)} sentinels for them; lower rows.length (now {self.length}) or raise a denoiser's mean_span"
            )

    @cached_property
    def sentinels(self) -> tuple[int, ...]:
        """Sentinels that stand for spans: those that stand for no mode."""
        return tuple(sentinel for sentinel in self.specials.sentinels if sentinel not in self.modes.values())

    @cached_property
    def row_tokens(self) -> int:
        """Tokens of a full row: as many as every denoiser can take, of rows of any length up to it."""
        return min(_most(self.length, *_numbers(denoiser)) for denoiser in self.denoisers)

    @cached_property
    def target_length(self) -> int:
        """Width of targets, including their end."""
        return int((self._noise + self._spans).max()) + 1

    def __call__(self, rows: RowBatch, keys: NDArray[np.uint64]) -> Examples:
        """Rows of at most `row_tokens` tokens, one key per row -> inputs (N, S), lengths (N,), decoder_inputs, targets (N, T)."""
        assert len(keys) == len(rows) and np.diff(rows.rows).max(initial=0) <= self.row_tokens
        start = self.specials.decoder_start
        assert start is not None
        inputs = np.empty((len(rows), self.length), dtype=np.int64)
        targets = np.empty((len(rows), self.target_length), dtype=np.int64)
        lengths, target_lengths = np.empty((2, len(rows)), dtype=np.int64)
        arrays = (inputs, lengths, targets, target_lengths)
        modes = np.array([self.modes[denoiser.mode] for denoiser in self.denoisers], dtype=np.int64)
        pieces = (modes, np.array(self.sentinels, dtype=np.int64), self.specials.end)
        ends_row = np.array([denoiser.mean_span is None for denoiser in self.denoisers])
        lengths_of = _cumulative_lengths(tuple(denoiser.mean_span or 1.0 for denoiser in self.denoisers))
        tables = (self._noise, self._spans, ends_row, lengths_of)
        _denoise(rows.ids, rows.rows, keys, self.drawn(keys), tables, pieces, arrays)
        return padded(*arrays, pad=self.specials.pad, start=start)

    def drawn(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the number of the denoiser of each row, by the rows' keys: (N,) -> (N,)."""
        cumulative = np.cumsum([denoiser.weight for denoiser in self.denoisers])
        drawn = (words(keys, 1)[:, 0] >> np.uint64(11)) * 2.0**-53  # as draws.unit
        return np.searchsorted(cumulative[:-1] / cumulative[-1], drawn, side="right")

    def counts(self, examples: Examples) -> dict[str, int]:
        """Return by how many predictions the loss is divided."""
        return count_targets(examples)

    @cached_property
    def _noise(self) -> Counts:
        """Noise tokens by denoiser and tokens of the row."""
        return np.stack([noise_counts(self.row_tokens, *_numbers(denoiser))[0] for denoiser in self.denoisers])

    @cached_property
    def _spans(self) -> Counts:
        """Noise spans by denoiser and tokens of the row."""
        return np.stack([noise_counts(self.row_tokens, *_numbers(denoiser))[1] for denoiser in self.denoisers])


def _numbers(denoiser: Denoiser) -> tuple[float, float]:
    """Return share and mean span: one that is infinite makes one span."""
    return denoiser.share, math.inf if denoiser.mean_span is None else denoiser.mean_span


@lru_cache
def _most(length: int, share: float, mean_span: float) -> int:
    """Return the most tokens of a row with which it and all shorter ones make inputs of at most `length`, with mode and end."""
    tokens = math.ceil(length / (1 - share)) + 1  # without a single sentinel
    noise, spans = noise_counts(tokens, share, mean_span)
    widths = np.arange(tokens + 1) - noise + spans + 2
    return int(np.argmax(widths > length)) - 1


@lru_cache
def _cumulative_lengths(means: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the cumulative probabilities of the lengths 1, 2, … for each mean: normal, cut at 1 and 2 mean - 1, then 1.0."""
    most = [max(1, round(2 * mean) - 1) for mean in means]
    table = np.ones((len(means), max(most)))
    for row, mean, longest in zip(table, means, most, strict=True):
        bounds = [math.erf((length + 0.5 - mean) / (mean / 2) / math.sqrt(2)) for length in range(longest + 1)]
        row[:longest] = (np.array(bounds[1:]) - bounds[0]) / (bounds[-1] - bounds[0])
        row[longest - 1] = 1.0
    return table


@numba.njit(nogil=True)
def _lengths(key: Any, noise: Any, spans: Any, cumulative: Any, sizes: Any) -> None:  # pragma: no cover (compiled)
    """Draw the lengths of the spans, which add up to the noise."""
    left = noise
    for span in range(spans):
        drawn = unit(word(key, 1 + span))
        sizes[span] = 1
        while drawn >= cumulative[sizes[span] - 1]:
            sizes[span] += 1
        left -= sizes[span]
    span = below(word(key, 1 + spans), spans) if spans else 0
    while left != 0 and noise:
        if left > 0:
            sizes[span] += 1
            left -= 1
        elif sizes[span] > 1:
            sizes[span] -= 1
            left += 1
        span = (span + 1) % spans


@jit
def _denoise(  # pragma: no cover (compiled)
    ids: Any, rows: Any, keys: Any, drawn: Any, tables: Any, pieces: Any, arrays: Any
) -> None:
    """Corrupt every row by its denoiser."""
    noise_of, spans_of, ends_row, cumulative = tables
    modes, sentinels, end = pieces
    inputs, lengths, targets, target_lengths = arrays
    sizes = np.empty(spans_of.max() + 1, np.int64)
    for n in range(len(rows) - 1):
        at, count, kind = rows[n], rows[n + 1] - rows[n], drawn[n]
        noise, spans = noise_of[kind, count], spans_of[kind, count]
        _lengths(keys[n], noise, spans, cumulative[kind], sizes)
        draw, left, ends = 2 + spans, count - noise + 1, spans
        inputs[n, 0] = modes[kind]
        i, t = 1, 0
        for number in range(spans):
            size = count - noise
            if not ends_row[kind]:
                size, draw, left, ends = next_span(keys[n], draw, left, ends)
                size -= number == 0  # the token before the text
            for _ in range(size):
                inputs[n, i] = ids[at]
                i, at = i + 1, at + 1
            targets[n, t] = sentinels[number]
            t += 1
            if noise:
                inputs[n, i] = sentinels[number]
                i += 1
                for _ in range(sizes[number]):
                    targets[n, t] = ids[at]
                    t, at = t + 1, at + 1
        for place in range(at, rows[n + 1]):
            inputs[n, i] = ids[place]
            i += 1
        inputs[n, i] = targets[n, t] = end
        lengths[n], target_lengths[n] = i + 1, t + 1
