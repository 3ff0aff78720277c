"""The runs of a split: the counts of all are in memory, and runs are mapped when they are needed.

A run is a record batch of a part (see shards.py). A stream of any size costs a table of one line per run. Kernels reach
the mapped columns by their addresses, so one call reads from any number of runs.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import files, shards
from pipelines.contract.manifest import DatasetError, Part
from pipelines.contract.shards import ShardError, ShardRun
from training.data.shards import TokenDataset

RUN = np.dtype(
    [
        ("part", "<u4"),  # number of the part, over all sources of the split in stream order
        ("documents", "<u4"),
        ("tokens", "<i8"),
    ]
)
EAGER_PARTS = 256  # up to so many are opened at the start: a broken part fails before the first step


@dataclass(frozen=True, slots=True)
class PartOfStream:
    """A part and the stream that it belongs to."""

    part: Part
    source: str
    language: str


def parts_of(dataset: TokenDataset, split: str) -> list[PartOfStream]:
    """Return the parts of a split in stream order: sources by name, languages by name, parts by path."""
    return [
        PartOfStream(part, source, part.table.split("/")[3])
        for source in dataset.sources(split)
        for part in dataset.parts(split, source)
    ]


def run_table(dataset: TokenDataset, parts: list[PartOfStream], *, verify: bool, sentences: bool = False) -> NDArray[Any]:
    """Open every part in turn and return one line per run: (R,) of RUN.

    `verify` also checks sha256, `sentences` every sentence start. Raises ShardError.
    """
    lines: list[tuple[int, int, int]] = []
    for number, entry in enumerate(parts):
        for run in _runs(dataset, entry, verify=verify):
            if sentences:
                check_sentences(run)
            lines.append(line_of(number, run))
    return np.array(lines, dtype=RUN)


def line_of(part: int, run: ShardRun) -> tuple[int, int, int]:
    """Return a run's line of the table."""
    return part, run.documents, _tokens(run)


def check_sentences(run: ShardRun) -> None:
    """Raise ShardError unless the sentence starts of each document begin with 0, ascend and stay within it."""
    bounds = run.sentence_offsets.astype(np.int64) - run.sentence_offsets[0]
    starts = run.sentences[run.sentence_offsets[0] : run.sentence_offsets[-1]]
    has_any = np.diff(bounds) > 0
    heads, tails = bounds[:-1][has_any], bounds[1:][has_any] - 1
    rises = np.ones(len(starts), np.bool_)
    rises[1:] = starts[1:] > starts[:-1]
    rises[heads] = starts[heads] == 0
    if not rises.all() or (starts[tails] > np.maximum(np.diff(run.offsets)[has_any] - 1, 0)).any():
        raise ShardError(
            f"{run.path}: the sentence starts of a document do not ascend from 0 within its tokens; build the tokens again"
        )


@dataclass(slots=True)
class Addresses:
    """Addresses of the mapped columns by run, (R,) uint64 each: 0 where the part is not open."""

    tokens: NDArray[np.uint64]
    offsets: NDArray[np.uint64]
    sentence_offsets: NDArray[np.uint64]
    sentences: NDArray[np.uint64]


@dataclass(slots=True, eq=False, repr=False)
class Maps:
    """The runs of a split. `documents` and `joined` count over all runs, in stream order."""

    parts: list[PartOfStream]
    open_part: Callable[[PartOfStream], list[ShardRun]]
    part: NDArray[np.int64]  # (R,): the part of each run
    documents: NDArray[np.int64]  # (R + 1,): run r has the documents documents[r] .. documents[r + 1] - 1
    joined: NDArray[np.int64]  # (R + 1,): tokens before run r, including a separator after every document if there is one
    separated: bool  # whether there is a separator
    sources: dict[str, range]  # runs of each source's stream
    addresses: Addresses
    _opened: dict[int, list[ShardRun]] = field(default_factory=dict[int, list[ShardRun]])  # by part; keeps the maps
    _is_open: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))  # (parts,)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def need(self, runs: NDArray[np.int64]) -> None:
        """Open the parts of these runs that are not open yet. Raises ShardError."""
        wanted = self.part[runs]
        closed = ~self._is_open[wanted]
        if closed.any():
            with self._lock:
                for number in sorted(set(wanted[closed].tolist())):
                    self._open(number)

    def opened(self) -> int:
        """Return the number of open parts."""
        return len(self._opened)

    def runs_of(self, part: int) -> range:
        """Return the numbers of the runs of a part."""
        first, last = np.searchsorted(self.part, [part, part + 1])
        return range(int(first), int(last))

    def run(self, number: int) -> ShardRun:
        """Return a run; opens its part if needed."""
        self.need(np.array([number]))
        part = int(self.part[number])
        return self._opened[part][number - self.runs_of(part).start]

    def groups(self, runs: range) -> list[range]:
        """Split these runs of a source by language."""
        languages = [self.parts[part].language for part in self.part[runs.start : runs.stop].tolist()]
        ends = [runs.start + at for at in range(1, len(languages)) if languages[at] != languages[at - 1]]
        return [range(first, last) for first, last in pairwise([runs.start, *ends, runs.stop])]

    def path(self, run: int) -> str:
        """Return the file of a run."""
        return self.run(run).path

    def _open(self, number: int) -> None:
        if self._is_open[number]:
            return
        runs = self.open_part(self.parts[number])
        numbers = self.runs_of(number)
        documents, joined = (np.diff(counts[numbers.start : numbers.stop + 1]) for counts in (self.documents, self.joined))
        sizes = [(run.documents, _tokens(run) + run.documents * self.separated) for run in runs]
        if sizes != list(zip(documents.tolist(), joined.tolist(), strict=True)):
            raise ShardError(
                f"{self.parts[number].part.path}: does not hold the documents that the row index was built from; remove the index"
            )
        for place, run in zip(numbers, runs, strict=True):
            self.addresses.tokens[place] = run.tokens.ctypes.data
            self.addresses.offsets[place] = run.offsets.ctypes.data
            self.addresses.sentence_offsets[place] = run.sentence_offsets.ctypes.data
            self.addresses.sentences[place] = run.sentences.ctypes.data
        self._opened[number] = runs
        self._is_open[number] = True


def open_maps(dataset: TokenDataset, parts: list[PartOfStream], table: NDArray[Any], *, separated: bool) -> Maps:
    """Return the runs of a table. Checks the sizes of all files; opens the parts now if there are at most EAGER_PARTS.

    Raises ShardError for a file that is missing or has another size; DatasetError if the table has other parts.
    """
    if not np.array_equal(np.unique(table["part"]), np.flatnonzero([entry.part.rows > 0 for entry in parts])):
        raise DatasetError("the table of runs names other parts than the manifest")
    maps = maps_of_table(parts, table, lambda entry: _runs(dataset, entry), separated=separated)
    if len(parts) <= EAGER_PARTS:
        maps.need(np.arange(len(table)))
    else:
        for entry in parts:
            shards.check_size(files.join(dataset.home(entry.source).uri, entry.part.path), entry.part)
    return maps


def maps_of_table(
    parts: list[PartOfStream], table: NDArray[Any], open_part: Callable[[PartOfStream], list[ShardRun]], *, separated: bool
) -> Maps:
    """Return the runs of a table, none of them open; `open_part` returns the runs of a part that are in the table."""
    documents = table["documents"].astype(np.int64)
    return Maps(
        parts,
        open_part,
        table["part"].astype(np.int64),
        _cumulated(documents),
        _cumulated(table["tokens"] + documents * separated),
        separated,
        _runs_by_source(parts, table["part"]),
        Addresses(*(np.zeros(len(table), np.uint64) for _ in range(4))),
        _is_open=np.zeros(len(parts), np.bool_),
    )


def _runs_by_source(parts: list[PartOfStream], part: NDArray[np.uint32]) -> dict[str, range]:
    runs: dict[str, range] = {}
    bounds = np.searchsorted(part, np.arange(len(parts) + 1, dtype=part.dtype)).tolist()
    for entry, (first, last) in zip(parts, pairwise(bounds), strict=True):
        source = entry.source
        runs[source] = range(runs[source].start if source in runs else first, last)
    return runs


def _cumulated(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def _runs(dataset: TokenDataset, entry: PartOfStream, *, verify: bool = False) -> list[ShardRun]:
    """Return the runs of a part that are not empty, under the name that its source has in the dataset."""
    home = dataset.home(entry.source)
    runs = shards.open_part(home.uri, home.manifest, entry.part, verify=verify)
    return [run if run.source == entry.source else replace(run, source=entry.source) for run in runs if run.documents]


def _tokens(run: ShardRun) -> int:
    return int(run.offsets[-1]) - int(run.offsets[0])
