"""The order of rows, by arithmetic: the batch of step k is a pure function of (row index, mixture, seed, k).

Nothing is drawn, stored or skipped over: to resume, one integer is enough, and any worker can compute any batch.

Without a mixture, slot s of the run is row `permute(s mod n)` of epoch `s div n`: every row once an epoch. With a
mixture every block of 1,024 slots gives each source its exact quota in a hashed order, and every source goes through
its own epochs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.draws import GOLDEN, Words, key, mix
from training.data.rows import Stream

VERSION = 1  # another order gets another number
BLOCK_SLOTS = 1024
_ROUNDS = 8  # Luby and Rackoff need 4 for a pseudorandom permutation of random functions; small halves profit from more
_ROUND_KEYS = np.arange(1, _ROUNDS + 1, dtype=np.uint64) * GOLDEN


def permute(positions: NDArray[np.int64], size: int, keys: Words) -> NDArray[np.int64]:
    """Where these positions of 0 .. size-1 come to lie in the permutation that `keys` (one, or one a position) names.

    A Feistel network permutes 0 .. 4^h - 1 >= size; an image outside is permuted again until it falls inside (cycle
    walking, Black and Rogaway 2002), which keeps it a bijection and takes under four rounds on average.
    """
    assert size >= 1
    half = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
    out = positions.astype(np.uint64)
    keys = np.broadcast_to(keys, out.shape)
    walking = np.arange(out.size)
    while walking.size:
        out[walking] = _feistel(out[walking], half, keys[walking])
        walking = walking[out[walking] >= size]
    return out.astype(np.int64)


def _feistel(words: Words, half: np.uint64, keys: Words) -> Words:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = words >> half, words & mask
    for turn in range(_ROUNDS):
        left, right = right, left ^ (mix(mix(keys + _ROUND_KEYS[turn]) + right) & mask)
    return (left << half) | right


def quotas(weights: Sequence[float]) -> NDArray[np.int64]:
    """Slots of a block for each source: proportional to the weights, 1,024 in all, at least one each.

    >>> quotas([0.5, 0.25, 0.25]).tolist()
    [512, 256, 256]
    """
    if not weights or len(weights) > BLOCK_SLOTS or min(weights) <= 0:
        raise ValueError(f"a mixture needs 1 to {BLOCK_SLOTS} sources with weights above 0, got {list(weights)}")
    wanted = np.asarray(weights, dtype=np.float64) / np.sum(weights) * BLOCK_SLOTS
    slots = np.maximum(np.floor(wanted).astype(np.int64), 1)
    while slots.sum() < BLOCK_SLOTS:
        slots[np.argmax(wanted - slots)] += 1
    while slots.sum() > BLOCK_SLOTS:  # the minimum of one took too many: from the largest excess
        slots[np.argmax(np.where(slots > 1, slots - wanted, -np.inf))] -= 1
    return slots


@dataclass(frozen=True, slots=True)
class Sampler:
    """Slots to row numbers."""

    streams: tuple[Stream, ...]
    seed: int
    quotas: tuple[int, ...] | None  # slots of each stream in a block; None: all rows in one permutation

    def batch(self, step: int, rows: int) -> NDArray[np.int64]:
        """Row numbers of the batch of step `step` (from 0): (rows,)."""
        return self.rows(step * rows, rows)

    def rows(self, first: int, count: int) -> NDArray[np.int64]:
        """Row numbers of the slots first .. first + count - 1: (count,)."""
        slots = np.arange(first, first + count, dtype=np.int64)
        if self.quotas is None:
            total = sum(stream.rows for stream in self.streams)
            return permute(slots % total, total, key(self.seed, 0, slots // total))
        return self._mixed(slots, self.quotas)

    def _mixed(self, slots: NDArray[np.int64], quotas: tuple[int, ...]) -> NDArray[np.int64]:
        """A slot's block permutes its places; the place says which stream, and which of its draws in this block."""
        blocks, places = np.divmod(slots, BLOCK_SLOTS)
        places = permute(places, BLOCK_SLOTS, key(self.seed, 1, blocks))
        ends = np.cumsum(quotas)
        chosen = np.searchsorted(ends, places, side="right")
        out = np.empty(len(slots), dtype=np.int64)
        for number in np.unique(chosen):
            mine = chosen == number
            stream, quota = self.streams[number], quotas[number]
            draws = blocks[mine] * quota + places[mine] - (ends[number] - quota)
            keys = key(self.seed, 2 + int(number), draws // stream.rows)
            out[mine] = stream.first + permute(draws % stream.rows, stream.rows, keys)
        return out


def sampler(streams: Sequence[Stream], seed: int, mixture: Mapping[str, float] | None = None) -> Sampler:
    """The sampler of these streams; `mixture` weighs sources by name (a source that it leaves out is not seen).

    Without it every row is seen once an epoch, so that sources stand in proportion to their size. Raises ValueError
    when the mixture names a source that has no rows.
    """
    filled = {stream.source: stream for stream in streams if stream.rows}
    if not mixture:
        return Sampler(tuple(filled.values()), seed, None)
    unknown = sorted(set(mixture) - set(filled))
    if unknown:
        raise ValueError(f"data.mixture: {unknown[0]!r} has no rows; the sources with rows are {sorted(filled)}")
    names = sorted(mixture)
    return Sampler(tuple(filled[name] for name in names), seed, tuple(quotas([mixture[name] for name in names]).tolist()))
