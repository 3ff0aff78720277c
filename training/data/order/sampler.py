"""The order of rows, computed: the batch of step k is a pure function of (row index, mixture, seed, k).

Nothing is drawn, stored or skipped: one integer is enough to resume, and any worker can compute any batch.

Without a mixture, slot s of the run is row `permute(s mod n)` of epoch `s div n`: every row once per epoch. With a
mixture every block of 1,024 slots gives each source its exact quota in a hashed order (training/data/order/mixture.py), and
every source goes through its own epochs: draws are counted over the whole training, and draw d is row
`permute(d mod n)` of its epoch `d div n`.

Where a stage of the mixture ends, its last block is cut: the next stage begins a new block at exactly its first step.
What the cut block gave to each source is counted once, when the sampler is made, so the change neither loses nor repeats
a row. With `max_epochs` the end of the training is such a cut too.

Limits: slots, rows and draws are counted in int64: a training has fewer than 2^63 slots.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from pipelines.contract.errors import UserError
from training.data.draws import GOLDEN, Words, key, mix
from training.data.order.mixture import BLOCK_SLOTS, MixtureError, Quotas, Stage, bounded, check, unbounded
from training.data.rows.layout import Stream
from training.kernels import jit

VERSION = 1  # a change of the order needs a new number
MAX_SLOT = 2**63 - 1
_ROUNDS = 8  # Luby and Rackoff need 4 with random round functions; narrow halves profit from more

Numbers = NDArray[np.int64]


def permute(positions: Numbers, size: int | Numbers, keys: Words) -> Numbers:
    """Return the images of positions in 0 .. size - 1 under the permutation of `keys`; size and keys: one, or one per position.

    A Feistel network permutes 0 .. 4^h - 1 >= size. An image outside the range is permuted again until it is inside (cycle
    walking, Black and Rogaway 2002), which keeps the map a bijection and takes under four rounds on average.
    """
    out = positions.astype(np.uint64)
    sizes = np.ascontiguousarray(np.broadcast_to(np.asarray(size, dtype=np.uint64), out.shape))
    assert not sizes.size or int(sizes.min()) >= 1
    _walk(out, sizes, np.ascontiguousarray(np.broadcast_to(keys, out.shape)))
    return out.astype(np.int64)


_mix = numba.njit(inline="always")(mix)


@jit
def _walk(words: Any, sizes: Any, keys: Any) -> None:  # pragma: no cover (compiled)
    """Permute each word in place. Round keys and width are reused while key and size stay the same."""
    round_keys = np.empty(_ROUNDS, dtype=np.uint64)
    half, mask = np.uint64(1), np.uint64(1)
    for n in range(len(words)):
        if n == 0 or keys[n] != keys[n - 1]:
            for turn in range(_ROUNDS):
                round_keys[turn] = _mix(keys[n] + np.uint64(turn + 1) * GOLDEN)
        if n == 0 or sizes[n] != sizes[n - 1]:
            half = np.uint64(1)
            while half < np.uint64(32) and (sizes[n] - np.uint64(1)) >> (half + half) != np.uint64(0):
                half += np.uint64(1)
            mask = (np.uint64(1) << half) - np.uint64(1)
        inside = False
        while not inside:
            left, right = words[n] >> half, words[n] & mask
            for turn in range(_ROUNDS):
                left, right = right, left ^ (_mix(round_keys[turn] + right) & mask)
            words[n] = (left << half) | right
            inside = words[n] < sizes[n]


@dataclass(frozen=True, slots=True)
class Share:
    """What a training draws from one source."""

    source: str
    rows: int  # of the source
    draws: int  # drawn rows, repeated ones counted again
    epochs: float  # draws / rows
    tokens: int  # of the draws, at the source's mean row length


@dataclass(frozen=True, slots=True)
class _Segment:
    """A stage with its position: where it begins, and what was drawn before it."""

    first_slot: int
    first_block: int
    quotas: Quotas
    drawn: Numbers  # (sources,) before this segment
    cut_block: int  # the block of this segment that its end cuts; -1: none
    cut_ranks: Numbers  # (slots used of that block,) which of its source's draws in the block each slot is


@dataclass(frozen=True, slots=True)
class Sampler:
    """Maps slots to row numbers."""

    streams: tuple[Stream, ...]
    seed: int
    segments: tuple[_Segment, ...]  # empty: all rows in one permutation
    end: int = MAX_SLOT  # the planned end, where the order depends on it (max_epochs)

    def batch(self, step: int, rows: int) -> Numbers:
        """Return the row numbers of the batch of step `step` (from 0): (rows,)."""
        return self.rows(step * rows, rows)

    def rows(self, first: int, count: int) -> Numbers:
        """Return the row numbers of the slots first .. first + count - 1: (count,). Raises UserError beyond the last slot."""
        if first < 0 or first + count > self.end:
            raise UserError(f"slots {first:,} to {first + count:,} were requested; this training has the slots 0 to {self.end:,}")
        if self.segments:
            pieces = [self._mixed(segment, begin, end) for segment, begin, end in self._pieces(first, first + count)]
            return np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int64)
        total = sum(stream.rows for stream in self.streams)
        epochs, places = np.divmod(np.arange(first, first + count, dtype=np.int64), total)
        return permute(places, total, _keys(self.seed, 0, epochs))

    def draws(self, slots: int) -> Numbers:
        """Return the draws of each stream in the first `slots` slots: (streams,), exact; without a mixture to within an epoch."""
        if self.segments:
            *_, (segment, _, _) = self._pieces(0, max(slots, 1))
            return segment.drawn + _drawn(segment.quotas, self.seed, segment.first_block, slots - segment.first_slot)[0]
        rows = [stream.rows for stream in self.streams]
        return np.array([slots * count // sum(rows) for count in rows], dtype=np.int64)

    def plan(self, slots: int) -> tuple[Share, ...]:
        """Return what a training of `slots` slots (steps * rows of a batch) draws from each source.

        Draws are exact; without a mixture, the incomplete last epoch is counted in proportion.
        """
        return tuple(
            Share(stream.source, stream.rows, drawn, drawn / stream.rows, round(drawn * stream.tokens / stream.rows))
            for stream, drawn in zip(self.streams, self.draws(slots).tolist(), strict=True)
        )

    def _pieces(self, first: int, end: int) -> Iterator[tuple[_Segment, int, int]]:
        """Yield the segments that slots first .. end - 1 touch, each with the range of these slots inside it."""
        edges = [*(segment.first_slot for segment in self.segments), self.end]
        for segment, (begin, after) in zip(self.segments, pairwise(edges), strict=True):
            if max(begin, first) < min(after, end):
                yield segment, max(begin, first), min(after, end)

    def _mixed(self, segment: _Segment, begin: int, end: int) -> Numbers:
        """Return the rows of slots of one segment: a block permutes its places, and a place means a stream and a draw of it."""
        blocks, slots = np.divmod(np.arange(begin, end, dtype=np.int64) - segment.first_slot, BLOCK_SLOTS)
        chosen, ranks = segment.quotas.assign(blocks, _places(self.seed, segment.first_block + blocks, slots))
        cut = blocks == segment.cut_block
        ranks[cut] = segment.cut_ranks[slots[cut]]
        draws = segment.drawn[chosen] + segment.quotas.before(blocks, chosen) + ranks
        rows = np.array([stream.rows for stream in self.streams])[chosen]
        epochs, places = np.divmod(draws, rows)
        firsts = np.array([stream.first for stream in self.streams])
        return firsts[chosen] + permute(places, rows, key(self.seed, 2 + chosen, epochs))


def _places(seed: int, blocks: Numbers, slots: Numbers) -> Numbers:
    return permute(slots, BLOCK_SLOTS, _keys(seed, 1, blocks))


def _keys(seed: int, stream: int, ascending: Numbers) -> Words:
    """Return `key(seed, stream, number)` of ascending numbers; each distinct one is hashed once."""
    if not len(ascending):
        return np.empty(0, dtype=np.uint64)
    return key(seed, stream, np.arange(ascending[0], ascending[-1] + 1))[ascending - ascending[0]]


def _drawn(quotas: Quotas, seed: int, first_block: int, slots: int) -> tuple[Numbers, Numbers]:
    """Return the draws by source in the first `slots` slots of a segment, and the ranks in their source of the cut block's."""
    block, count = divmod(slots, BLOCK_SLOTS)
    sources = np.arange(len(quotas.slots))
    places = _places(seed, np.full(BLOCK_SLOTS, first_block + block), np.arange(BLOCK_SLOTS))[:count]
    chosen, ranks = quotas.assign(np.full(count, block), places)
    counts = np.bincount(chosen, minlength=len(sources))
    order = np.lexsort((ranks, chosen))
    closed = np.empty(count, dtype=np.int64)  # ranks without the gaps that the slots after the cut leave
    closed[order] = np.arange(count) - (np.cumsum(counts) - counts)[chosen[order]]
    return quotas.before(np.full(len(sources), block), sources) + counts, closed


def sampler(
    streams: Sequence[Stream],
    seed: int,
    mixture: Mapping[str, float] | Sequence[Stage] | None = None,
    *,
    max_epochs: float | None = None,
    slots: int | None = None,
) -> Sampler:
    """Return the sampler of these streams; `mixture` has the weight of each source by name (others are not seen).

    Without a mixture every row is seen once per epoch, so sources are seen in proportion to their size. `max_epochs`
    bounds the draws of each source in the whole training, whose number of `slots` must then be known. Raises
    MixtureError, naming the field, for a source without rows, a weight that is not above 0, or a bound that leaves too
    few rows.
    """
    filled = {stream.source: stream for stream in streams if stream.rows}
    if max_epochs is not None and slots is None:
        raise MixtureError("data.max_epochs: needs the planned number of steps; set train.steps")
    stages = _stages(mixture)
    check(stages, {stream.source: stream.rows for stream in streams})
    names = sorted({name for stage in stages for name in stage.weights}) or list(filled)
    chosen = tuple(filled[name] for name in names)
    if max_epochs is None or slots is None:
        return Sampler(chosen, seed, _segments(stages, unbounded(stages, names), seed, None))
    most = np.array([int(max_epochs * stream.rows) for stream in chosen])
    rows = sum(stream.rows for stream in chosen)
    if slots > (most.sum() if stages else int(max_epochs * rows)):
        raise MixtureError(
            f"train.steps: the training draws {slots:,} rows, more than data.max_epochs = {max_epochs:g} allows with the "
            f"{rows:,} rows of {', '.join(names)}; lower train.steps or raise data.max_epochs"
        )
    by_weight = Sampler(chosen, seed, _segments(stages, unbounded(stages, names), seed, slots), slots)
    if not stages or (by_weight.draws(slots) <= most).all():
        return by_weight
    return Sampler(chosen, seed, _segments(stages, bounded(stages, names, most, slots), seed, slots), slots)


def _stages(mixture: Mapping[str, float] | Sequence[Stage] | None) -> list[Stage]:
    if isinstance(mixture, Mapping):
        return [Stage("data.mixture", None, mixture)] if mixture else []
    return list(mixture or ())


def _segments(stages: Sequence[Stage], quotas: Sequence[Quotas], seed: int, end: int | None) -> tuple[_Segment, ...]:
    """Place the stages one after the other; `end` is the end of the training if it is known: then the last block is cut too."""
    slot, block, out = 0, 0, list[_Segment]()
    drawn = np.zeros(len(quotas[0].slots) if quotas else 0, dtype=np.int64)
    for stage, quota in zip(stages, quotas, strict=True):
        until = min((limit for limit in (stage.until_slot, end) if limit is not None), default=None)
        if until is None:
            out.append(_Segment(slot, block, quota, drawn, -1, np.empty(0, dtype=np.int64)))
        elif until > slot:
            length = until - slot
            added, ranks = _drawn(quota, seed, block, length)
            out.append(_Segment(slot, block, quota, drawn, length // BLOCK_SLOTS, ranks))
            slot, block, drawn = until, block - (-length // BLOCK_SLOTS), drawn + added
    return tuple(out)
