"""A sample of all documents, kept and dropped: of every fate (source, stage and reason) those whose ids hash lowest.

Common fates get more documents than rare ones, in proportion to the square root of their number, and every document in the sample
stands for as many as its fate has for each that was drawn (Horvitz and Thompson 1952). A corpus of fewer documents than the
sample may have is in it as a whole.

Limits: a fate of a few documents in millions is drawn with few.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.contract.schema import DROPS, sampling_key
from pipelines.review.rows import Fate, Rows

MOST = 4000  # documents of a sample
COLUMNS = (
    *("id", "source", "language", "language_score", "languages", "measures", "rule", "quality_score", "scores"),
    *("stage", "reason", "detail"),
)
_LEAST = 25  # documents of a fate that has as many, unless there are too many fates
_SPARE = 2  # a fate's candidates are cut back when they are this many times those wanted


@dataclass(frozen=True, slots=True)
class Sample:
    """The documents of a sample, in the order of fates and hashes."""

    rows: pa.Table  # COLUMNS, characters, and the place of each: part, group, row
    weights: NDArray[np.float64]  # documents for which each stands
    documents: int  # of which it was drawn

    @property
    def is_whole(self) -> bool:
        """Whether it holds every document."""
        return self.rows.num_rows == self.documents


def allotted(counts: Mapping[Fate, int], most: int = MOST) -> dict[Fate, int]:
    """Return how many documents of each fate a sample has: all if there are at most `most`, else at least one of each.

    >>> fates = {("web", "", ""): 900, ("web", "read", "empty"): 100, ("web", "language", "language_mixed"): 1}
    >>> list(allotted(fates, 41).values())
    [30, 10, 1]
    """
    if sum(counts.values()) <= most:
        return dict(counts)
    low, high = 0.0, float(most)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if sum(_drawn(counts, middle, most).values()) > most else (middle, high)
    return _drawn(counts, low, most)


def _drawn(counts: Mapping[Fate, int], scale: float, most: int) -> dict[Fate, int]:
    least = max(1, min(_LEAST, most // (4 * len(counts))))
    return {fate: min(count, max(least, round(scale * count**0.5))) for fate, count in counts.items()}


@dataclass(slots=True)
class Drawer:
    """Draws a sample from batches; memory is that of about twice the sample."""

    counts: Mapping[Fate, int]
    most: int = MOST
    _numbers: dict[Fate, int] = field(init=False)
    _sizes: NDArray[np.int64] = field(init=False)
    _bounds: NDArray[np.float64] = field(init=False)  # of each fate: keys above it are not among the lowest
    _held: list[pa.Table] = field(init=False, default_factory=list[pa.Table])
    _pending: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        """Prepare the fates."""
        sizes = allotted(self.counts, self.most)
        self._numbers = {fate: number for number, fate in enumerate(sorted(sizes))}
        self._sizes = np.array([sizes[fate] for fate in self._numbers], np.int64)
        self._bounds = np.full(len(self._numbers), np.inf)

    def add(self, rows: Rows) -> None:
        """Take from a batch what may be among the lowest."""
        columns = rows.columns
        numbers = self._fates(columns)
        keys = sampling_key(columns["id"])
        chosen = np.flatnonzero(keys < self._bounds[numbers])
        if not len(chosen):
            return
        at = pa.array(chosen)
        place = {"part": rows.part, "group": rows.group}
        taken = {name: columns[name].take(at) for name in (*COLUMNS, "characters")}
        taken |= {name: pa.array(np.full(len(chosen), value)) for name, value in place.items()}
        taken |= {"row": at, "fate": pa.array(numbers[chosen]), "key": pa.array(keys[chosen])}
        self._held.append(pa.table(taken))
        self._pending += len(chosen)
        if self._pending > _SPARE * self.most:
            self._cut_back()

    def finish(self) -> Sample:
        """Return the sample."""
        self._cut_back()
        table = self._held[0] if self._held else _nothing()
        fates = table["fate"].to_numpy()
        drawn = np.bincount(fates, minlength=len(self._numbers)) if len(fates) else np.zeros(len(self._numbers), np.int64)
        totals = np.array([self.counts[fate] for fate in self._numbers], np.float64)
        return Sample(table, (totals / np.maximum(drawn, 1))[fates], sum(self.counts.values()))

    def _fates(self, columns: Mapping[str, Any]) -> NDArray[np.int64]:
        """Return the number of each document's fate."""
        stages, reasons = (pc.fill_null(columns[name], "") for name in ("stage", "reason"))
        named = pc.dictionary_encode(pc.binary_join_element_wise(columns["source"], stages, reasons, "\0"))
        known = [self._numbers[tuple(name.split("\0"))] for name in named.dictionary.to_pylist()]  # pyright: ignore[reportArgumentType]
        return np.array(known, np.int64)[named.indices.to_numpy()]

    def _cut_back(self) -> None:
        """Keep of every fate its lowest keys, and set its bound to the highest of them."""
        if not self._held:
            return
        table = pa.concat_tables(self._held).combine_chunks()
        table = table.take(pc.sort_indices(table, [("fate", "ascending"), ("key", "ascending")]))
        fates, keys = table["fate"].to_numpy(), table["key"].to_numpy()
        starts = np.searchsorted(fates, np.arange(len(self._sizes)))
        kept = np.arange(len(fates)) - starts[fates] < self._sizes[fates]
        self._held, self._pending = [table.filter(pa.array(kept))], 0
        full = np.bincount(fates, minlength=len(self._sizes)) >= self._sizes
        last = np.minimum(starts + self._sizes - 1, len(keys) - 1)
        self._bounds[full] = np.nextafter(keys[last[full]], 2.0)


def _nothing() -> pa.Table:
    integers = dict.fromkeys(("characters", "part", "group", "row", "fate"), pa.int64())
    fields = [DROPS.field(name).with_nullable(True) for name in COLUMNS]
    return pa.schema([*fields, *integers.items(), ("key", pa.float64())]).empty_table()
