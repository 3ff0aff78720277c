"""How sources share the slots of a training: weights per stage, exact quotas per block, bounded epochs.

A slot is one drawn row; a block is 1,024 consecutive slots. Every block of a stage gives each source the same number of
slots, its quota. A source whose bound leaves it less than one slot per block has one slot in every n-th block; in the
other blocks another source, the heir, has it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.contract.errors import UserError
from training.data.config import DataSection

BLOCK_SLOTS = 1024

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class MixtureError(UserError):
    """A mixture cannot be drawn as it is configured; the message names the field and the fix."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of the training with its own weights."""

    field: str  # of the config, for messages
    until_slot: int | None  # the first slot after this stage; None: the stage lasts to the end
    weights: Mapping[str, float]


def stages(data: DataSection, rows: Mapping[str, int]) -> tuple[Stage, ...]:
    """Return the stages of a config over sources with these numbers of rows; none if all rows form one permutation.

    Raises MixtureError, naming the field, for a source that does not exist or a weight that is not above 0.
    """
    if data.temperature is not None:
        weights = {source: count ** (1 / data.temperature) for source, count in rows.items() if count}
        chosen = (Stage("data.temperature", None, weights),)
    elif data.mixture:
        chosen = (Stage("data.mixture", None, data.mixture),)
    else:
        chosen = tuple(
            Stage(f"data.stages.{number}.mixture", stage.until_step and stage.until_step * data.batch_rows, stage.mixture)
            for number, stage in enumerate(data.stages)
        )
    check(chosen, rows)
    return chosen


def replaying(stages: Sequence[Stage], rows: Mapping[str, int], again: Mapping[str, int], share: float) -> tuple[Stage, ...]:
    """Return stages in each of which the sources `again` have a share of the slots, in proportion to their rows.

    The others keep the rest, in proportion to the stage's weights, or to their `rows` where there is no stage. Raises
    MixtureError if one of the groups has no rows.

    >>> replaying((), {"wiki": 30, "books": 10}, {"wiki@replay": 5}, 0.5)[0].weights
    {'wiki': 0.375, 'books': 0.125, 'wiki@replay': 0.5}
    """
    for name, group in (("data.tokens", rows), ("data.replay", again)):
        if not any(group.values()):
            raise MixtureError(f"{name}: has no rows of this length in its train split; name another dataset")
    fresh = stages or (Stage("data.replay_share", None, {source: count for source, count in rows.items() if count}),)
    old = {source: share * count / sum(again.values()) for source, count in again.items() if count}
    return tuple(
        Stage(
            stage.field,
            stage.until_slot,
            {source: (1 - share) * weight / sum(stage.weights.values()) for source, weight in stage.weights.items()} | old,
        )
        for stage in fresh
    )


def check(stages: Sequence[Stage], rows: Mapping[str, int]) -> None:
    """Raise MixtureError if a stage names a source without rows, a weight is not above 0, or ends of stages do not increase."""
    available = sorted(source for source, count in rows.items() if count)
    for stage in stages:
        if not stage.weights or len(stage.weights) > BLOCK_SLOTS:
            raise MixtureError(f"{stage.field}: a mixture needs 1 to {BLOCK_SLOTS} sources, and has {len(stage.weights)}")
        for source, weight in stage.weights.items():
            if source not in available:
                what = f"{source!r} has no rows" if source in rows else f"there is no source {source!r}"
                raise MixtureError(f"{stage.field}: {what}; the sources with rows are {available}")
            if not (weight > 0 and math.isfinite(weight)):
                raise MixtureError(
                    f"{stage.field}: the weight of {source!r} is {weight}; weights must be above 0; leave a source out "
                    "if it should not be seen"
                )
    ends = [stage.until_slot for stage in stages]
    known = [end for end in ends[:-1] if end is not None]
    increasing = len(known) == len(ends[:-1]) and known == sorted(set(known)) and min(known, default=1) >= 1
    if stages and (ends[-1] is not None or not increasing):
        raise MixtureError(
            "data.stages: every stage but the last needs an until_step, and they must increase; the last stage has none"
        )


@dataclass(frozen=True, slots=True)
class Quotas:
    """How the places of a block are divided among the sources: source s has `slots[s]` places from sum(slots[:s]) on.

    Blocks are counted within the stage. A source with `every` n > 1 has its one place in the blocks 0, n, 2n, …; in the
    other blocks the place belongs to the heir.
    """

    slots: tuple[int, ...]  # by source; 1,024 in all
    every: tuple[int, ...]  # by source; 1 but for rare sources
    heir: int = 0

    def assign(self, blocks: Ints, places: Ints) -> tuple[Ints, Ints]:
        """Return the source of each place of these blocks (broadcast together), and which of its draws in the block it is."""
        slots = np.array(self.slots, dtype=np.int64)
        ends = np.cumsum(slots)
        chosen = np.searchsorted(ends, places, side="right")
        ranks = places - (ends - slots)[chosen]
        inherited = np.zeros(len(places), dtype=np.int64)
        for source in self._rare():
            absent = blocks % self.every[source] != 0
            mine = absent & (chosen == source)
            chosen[mine] = self.heir
            ranks[mine] = self.slots[self.heir] + inherited[mine]
            inherited += absent
        return chosen, ranks

    def before(self, blocks: Ints, sources: Ints) -> Ints:
        """Return the draws of each source in all blocks before each block (broadcast together)."""
        slots, every = np.asarray(self.slots), np.asarray(self.every)
        out = -(-blocks // every[sources]) * slots[sources]
        for source in self._rare():
            out += np.where(sources == self.heir, blocks - -(-blocks // self.every[source]), 0)
        return out

    def _rare(self) -> list[int]:
        return [source for source, every in enumerate(self.every) if every > 1]


def quotas(weights: Sequence[float], slots: int = BLOCK_SLOTS) -> Ints:
    """Return the slots of each source: in proportion to the weights, at least one each, `slots` in total.

    >>> quotas([0.5, 0.25, 0.25]).tolist()
    [512, 256, 256]
    """
    if not 0 < len(weights) <= slots or min(weights) <= 0:
        raise MixtureError(f"a mixture needs 1 to {slots} sources with weights above 0, got {list(weights)}")
    wanted = np.asarray(weights, dtype=np.float64) / np.sum(weights) * slots
    out = np.maximum(np.floor(wanted).astype(np.int64), 1)
    while out.sum() < slots:
        out[np.argmax(wanted - out)] += 1
    while out.sum() > slots:  # the minimum of one took too many: take from the largest excess
        out[np.argmax(np.where(out > 1, out - wanted, -np.inf))] -= 1
    return out


def unbounded(stages: Sequence[Stage], sources: Sequence[str]) -> tuple[Quotas, ...]:
    """Return the quotas of each stage by its weights alone; a source that a stage does not name has no slot there."""
    out: list[Quotas] = []
    for stage in stages:
        slots = np.zeros(len(sources), dtype=np.int64)
        named = sorted(stage.weights)
        slots[[sources.index(name) for name in named]] = quotas([stage.weights[name] for name in named])
        out.append(Quotas(tuple(slots.tolist()), (1,) * len(sources)))
    return tuple(out)


def bounded(stages: Sequence[Stage], sources: Sequence[str], most: Ints, total: int) -> tuple[Quotas, ...]:
    """Return quotas by which no source is drawn more than `most` times in `total` slots (UniMax, arXiv 2304.09151, 3).

    A source whose weight would exceed its bound is held at the bound, with the same factor in all stages. What it loses
    goes to the others in proportion to their weights, which may take another source to its bound, and so on. Bounds hold
    in whole blocks: a stage that ends inside a block counts all of it. Raises MixtureError if a stage has no source left.
    """
    blocks = _blocks(stages, total)
    weights = np.array([[stage.weights.get(name, 0.0) for name in sources] for stage in stages], dtype=np.float64)
    held = np.zeros_like(weights)  # shares of the sources at their bounds
    free = np.ones(len(sources), dtype=np.bool_)
    while True:
        bound = tuple(
            _stage_quotas(stage, sources, held[n], weights[n] * free, int(blocks[n]))
            for n, stage in enumerate(stages)
            if blocks[n]
        )
        every_source = np.arange(len(sources))
        drawn = sum(
            (
                quota.before(np.full(len(sources), count), every_source)
                for quota, count in zip(bound, blocks[blocks > 0], strict=True)
            ),
            start=np.zeros(len(sources), dtype=np.int64),
        )
        over = free & (drawn > most)
        if not over.any():
            return bound + tuple(unbounded(stages[len(bound) :], sources))  # stages after the last step are never drawn from
        room = 1 - held.sum(axis=1, keepdims=True)
        free_weights = weights * free
        shares = free_weights / np.maximum(free_weights.sum(axis=1, keepdims=True), 1e-300) * room
        floats = (blocks[:, None] * shares).sum(axis=0) * BLOCK_SLOTS  # not @: BLAS may add in another order on another machine
        held[:, over] = (shares * np.minimum(1, most / np.maximum(floats, 1)))[:, over]
        free &= ~over


def _blocks(stages: Sequence[Stage], total: int) -> Ints:
    """Return the blocks of each stage, including the one that its end cuts; 0 for stages after the last slot."""
    ends = [total if stage.until_slot is None else min(stage.until_slot, total) for stage in stages]
    return np.array([-(-(end - begin) // BLOCK_SLOTS) for begin, end in zip([0, *ends[:-1]], ends, strict=True)])


def _stage_quotas(stage: Stage, sources: Sequence[str], held: Floats, weights: Floats, blocks: int) -> Quotas:
    """Return the quotas of a stage: held sources are rounded down, at worst to a slot in n blocks; the others share the rest."""
    slots = np.floor(held * BLOCK_SLOTS).astype(np.int64)
    draws = np.floor(held * BLOCK_SLOTS * blocks).astype(np.int64)
    rare = (slots == 0) & (draws > 0)
    every = np.where(rare, -(-blocks // np.maximum(draws, 1)), 1)
    slots[rare] = 1
    (others,) = np.nonzero(weights)
    left = BLOCK_SLOTS - int(slots.sum())
    if not len(others) or left < len(others):
        names = [source for source, share in zip(sources, held, strict=True) if share > 0]
        raise MixtureError(
            f"{stage.field}: with data.max_epochs its sources {names} have fewer rows than train.steps needs; lower it,"
            " raise data.max_epochs, or name more sources"
        )
    slots[others] = quotas(weights[others].tolist(), left)
    return Quotas(tuple(slots.tolist()), tuple(every.tolist()), int(others[np.argmax(slots[others])]))
