"""How sources share the slots of a training: weights by stage, exact quotas a block, no source too often.

A block is 1,024 slots (rows that are drawn) that follow each other. Every block of a stage gives each source the same
number of them, its quota; only a source whose bound leaves it less than one slot a block has its slot in every n-th
block, and another source, the heir, has it in the others.
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
    """A part of the training with weights of its own."""

    field: str  # of the config, for messages
    until_slot: int | None  # the first slot that is no longer of this stage; None: it goes on to the end
    weights: Mapping[str, float]


def stages(data: DataSection, rows: Mapping[str, int]) -> tuple[Stage, ...]:
    """The stages of a config over sources of so many rows; none when all rows stand in one permutation.

    Raises MixtureError, naming the field, for a source that is not there or a weight that is not above 0.
    """
    if data.temperature is not None:
        weights = {source: count ** (1 / data.temperature) for source, count in rows.items() if count}
        found = (Stage("data.temperature", None, weights),)
    elif data.mixture:
        found = (Stage("data.mixture", None, data.mixture),)
    else:
        found = tuple(
            Stage(f"data.stages.{number}.mixture", stage.until_step and stage.until_step * data.batch_rows, stage.mixture)
            for number, stage in enumerate(data.stages)
        )
    check(found, rows)
    return found


def check(found: Sequence[Stage], rows: Mapping[str, int]) -> None:
    """Raise MixtureError when a stage names a source without rows, a weight is not above 0, or stages do not follow."""
    there = sorted(source for source, count in rows.items() if count)
    for stage in found:
        if not stage.weights or len(stage.weights) > BLOCK_SLOTS:
            raise MixtureError(f"{stage.field}: a mixture needs 1 to {BLOCK_SLOTS} sources, and has {len(stage.weights)}")
        for source, weight in stage.weights.items():
            if source not in there:
                what = f"{source!r} has no rows" if source in rows else f"there is no source {source!r}"
                raise MixtureError(f"{stage.field}: {what}; the sources with rows are {there}")
            if not (weight > 0 and math.isfinite(weight)):
                raise MixtureError(
                    f"{stage.field}: the weight of {source!r} is {weight}; weights are above 0, and a source that is left out "
                    "is not seen"
                )
    ends = [stage.until_slot for stage in found]
    known = [end for end in ends[:-1] if end is not None]
    if found and (ends[-1] is not None or len(known) < len(ends) - 1 or known != sorted(set(known)) or min(known, default=1) < 1):
        raise MixtureError("data.stages: stages need a growing until_step each, but for the last, which has none")


@dataclass(frozen=True, slots=True)
class Quotas:
    """How the slots of a block belong to the sources: source s has the places from sum(slots[:s]) on.

    Blocks are counted within the stage. A source with `every` n > 1 has its one place in the blocks 0, n, 2n, …; in
    the others it belongs to the heir.
    """

    slots: tuple[int, ...]  # by source; 1,024 in all
    every: tuple[int, ...]  # by source; 1 but for rare sources
    heir: int = 0

    def assign(self, blocks: Ints, places: Ints) -> tuple[Ints, Ints]:
        """The source of each place of these blocks (broadcast together), and which of its draws in the block it is."""
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
        """Draws of each source in all blocks before each block (broadcast together)."""
        slots, every = np.asarray(self.slots), np.asarray(self.every)
        out = -(-blocks // every[sources]) * slots[sources]
        for source in self._rare():
            out += np.where(sources == self.heir, blocks - -(-blocks // self.every[source]), 0)
        return out

    def _rare(self) -> list[int]:
        return [source for source, every in enumerate(self.every) if every > 1]


def quotas(weights: Sequence[float], slots: int = BLOCK_SLOTS) -> Ints:
    """Slots for each source: in proportion to the weights, at least one each, `slots` in all.

    >>> quotas([0.5, 0.25, 0.25]).tolist()
    [512, 256, 256]
    """
    if not 0 < len(weights) <= slots or min(weights) <= 0:
        raise MixtureError(f"a mixture needs 1 to {slots} sources with weights above 0, got {list(weights)}")
    wanted = np.asarray(weights, dtype=np.float64) / np.sum(weights) * slots
    out = np.maximum(np.floor(wanted).astype(np.int64), 1)
    while out.sum() < slots:
        out[np.argmax(wanted - out)] += 1
    while out.sum() > slots:  # the minimum of one took too many: from the largest excess
        out[np.argmax(np.where(out > 1, out - wanted, -np.inf))] -= 1
    return out


def unbounded(found: Sequence[Stage], sources: Sequence[str]) -> tuple[Quotas, ...]:
    """The quotas of each stage by its weights alone; a source that a stage leaves out has no slot there."""
    out: list[Quotas] = []
    for stage in found:
        slots = np.zeros(len(sources), dtype=np.int64)
        named = sorted(stage.weights)
        slots[[sources.index(name) for name in named]] = quotas([stage.weights[name] for name in named])
        out.append(Quotas(tuple(slots.tolist()), (1,) * len(sources)))
    return tuple(out)


def bounded(found: Sequence[Stage], sources: Sequence[str], most: Ints, total: int) -> tuple[Quotas, ...]:
    """Quotas by which no source is drawn more than `most` times in `total` slots (UniMax, arXiv 2304.09151, 3).

    A source that its weight would take beyond is held at its bound, with the same factor in all stages, and what it
    loses goes to the others in proportion to their weights; which may take another one to its bound, and so on. Bounds
    hold in whole blocks: a stage that ends inside a block counts all of it. Raises MixtureError when a stage has nobody left.
    """
    blocks = _blocks(found, total)
    weights = np.array([[stage.weights.get(name, 0.0) for name in sources] for stage in found])
    held = np.zeros_like(weights)  # shares of the sources at their bounds
    free = np.ones(len(sources), dtype=np.bool_)
    while True:
        made = tuple(
            _stage_quotas(stage, sources, held[n], weights[n] * free, int(blocks[n]))
            for n, stage in enumerate(found)
            if blocks[n]
        )
        every_source = np.arange(len(sources))
        drawn = sum(
            (
                quota.before(np.full(len(sources), count), every_source)
                for quota, count in zip(made, blocks[blocks > 0], strict=True)
            ),
            start=np.zeros(len(sources), dtype=np.int64),
        )
        over = free & (drawn > most)
        if not over.any():
            return made + tuple(unbounded(found[len(made) :], sources))  # stages behind the last step are never drawn from
        room = 1 - held.sum(axis=1, keepdims=True)
        of_free = weights * free
        shares = of_free / np.maximum(of_free.sum(axis=1, keepdims=True), 1e-300) * room
        floats = (blocks[:, None] * shares).sum(axis=0) * BLOCK_SLOTS  # not @: BLAS may add in another order elsewhere
        held[:, over] = (shares * np.minimum(1, most / np.maximum(floats, 1)))[:, over]
        free &= ~over


def _blocks(found: Sequence[Stage], total: int) -> Ints:
    """Blocks of each stage, the one that its end cuts included; 0 for stages behind the last slot."""
    ends = [total if stage.until_slot is None else min(stage.until_slot, total) for stage in found]
    return np.array([-(-(end - begin) // BLOCK_SLOTS) for begin, end in zip([0, *ends[:-1]], ends, strict=True)])


def _stage_quotas(stage: Stage, sources: Sequence[str], held: Floats, weights: Floats, blocks: int) -> Quotas:
    """Quotas of a stage: held sources rounded down, to one slot in every n-th block where need be; the others share the rest."""
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
            f"{stage.field}: with data.max_epochs its sources {names} have fewer rows than train.steps asks for; lower it,"
            " raise data.max_epochs, or name more sources"
        )
    slots[others] = quotas(weights[others].tolist(), left)
    return Quotas(tuple(slots.tolist()), tuple(every.tolist()), int(others[np.argmax(slots[others])]))
