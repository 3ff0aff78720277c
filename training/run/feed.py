"""Batches for a config: the rows of each step, and the examples that an objective makes of them.

    feed = open_feed(config, folder="run/rows", steps=1000)
    feed.batch(7)                                                # the whole global batch of step 7
    for step, pieces in feed.batches(7, rank=1, world=4, workers=2, micro_batches=2):
        ...                                                      # what rank 1 of 4 trains on, in two pieces

An example is a pure function of (row index, mixture, seed, step, place in the global batch). Nothing else enters: neither the
number of processes or threads nor earlier steps. The state to resume from is one integer, on any number of machines.

Each process of `world` takes a slice of the global batch. Slices are contiguous and differ by at most one row, so `world`
need not divide `batch_rows`; the loss of a step is divided by the counts of all slices. Micro-batches divide a slice in the
same way.

With data.replay the sources of an older dataset follow those of data.tokens, in one row index and one order; the mixture gives
them their share.

Mixtures, tasks and the bound on epochs apply to the train split only; another split is read in one hashed order.
"""

import hashlib
from collections.abc import Generator
from dataclasses import asdict, dataclass
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import manifest
from pipelines.contract.errors import UserError
from training.data.ahead import in_order
from training.data.config import DataSection, FeedConfig
from training.data.draws import Words, key
from training.data.order import sampler as samplers
from training.data.order.mixture import Stage, replaying, stages
from training.data.order.sampler import Sampler, Share, sampler
from training.data.rows.batch import Examples
from training.data.rows.index import RowIndex, open_rows
from training.data.rows.layout import Figures, Stream
from training.data.shards import REPLAYED, TokenDataset, open_dataset
from training.objectives import text_to_text
from training.objectives.configured import KINDS, Objective, layout, objective
from training.objectives.supervised import Supervised, supervised

OBJECTIVE_STREAM = 2**32  # in the keys of examples; the sampler's are 0 .. 2 + sources
TRAIN = "train"


class FeedError(UserError):
    """Batches cannot be made as configured; the message names the field and the fix."""


@dataclass(frozen=True, slots=True)
class SourceFigures:
    """The share of a source in a run, and the cost of packing. None: unknown, or no steps are planned."""

    source: str
    rows: int
    padding_share: float | None  # share of the positions in its rows
    cropped_share: float | None  # share of its tokens (for a task: of its examples) that are cut off
    draws: int | None = None  # rows drawn over the planned steps
    epochs: float | None = None  # times that they read its text; with pairs, each row is one of several cuts of it
    tokens: int | None = None  # tokens of text that they read


@dataclass(frozen=True)
class Feed:
    """The batches of a split."""

    config: FeedConfig
    dataset: TokenDataset
    index: RowIndex
    objective: Objective
    sampler: Sampler
    tasks: Supervised | None = None
    steps: int | None = None  # planned; None: unlimited

    @property
    def batch_rows(self) -> int:
        """Rows of a global batch."""
        return self.config.data.batch_rows

    def slots(self, steps: int) -> int:
        """Return the rows drawn by the first `steps` steps; in a branch, by its parent and itself."""
        return steps * self.batch_rows + self.config.data.offset_rows

    def rows(self, step: int, first: int = 0, count: int | None = None) -> NDArray[np.int64]:
        """Return the row numbers of the places first .. first + count - 1 of the global batch (by default all): (count,).

        Numbers from len(index) on are examples of tasks.
        """
        count = self.batch_rows - first if count is None else count
        assert 0 <= first <= first + count <= self.batch_rows
        return self.sampler.rows(self.slots(step) + first, count)

    def batch(self, step: int, first: int = 0, count: int | None = None) -> Examples:
        """Return the examples at these places of the global batch of a step (from 0)."""
        numbers = self.rows(step, first, count)
        return self.examples(numbers, key(self.config.data.seed, OBJECTIVE_STREAM, step, np.arange(first, first + len(numbers))))

    def examples(self, numbers: NDArray[np.int64], keys: Words) -> Examples:
        """Return what the objective makes of these rows with these keys, (N,) each."""
        if self.tasks is None or not (is_task := numbers >= len(self.index)).any():
            return self.objective(self.index.gather(numbers), keys)
        of_tasks = self.tasks.examples(numbers[is_task] - len(self.index))
        if is_task.all():
            return of_tasks
        return _merged(is_task, of_tasks, self.objective(self.index.gather(numbers[~is_task]), keys[~is_task]))

    def counts(self, examples: Examples) -> dict[str, int]:
        """Return the number of predictions by which each term of the loss is divided (over a step: summed over all ranks)."""
        return self.objective.counts(examples)

    def tokens(self, examples: Examples) -> int:
        """Count the tokens that a model reads; for an encoder-decoder, those of the encoder."""
        return int(examples["lengths"].sum()) if "lengths" in examples else self.counts(examples)["tokens"]

    def batches(
        self, first_step: int = 0, *, rank: int = 0, world: int = 1, workers: int = 0, micro_batches: int = 1, ahead: int = 2
    ) -> Generator[tuple[int, list[Examples]]]:
        """Yield each step and the micro-batches of this rank, from `first_step` to the last planned step.

        `workers` threads prepare `ahead` steps (at least one each) in advance; with none, a step is made when it is needed.
        Closing the iterator ends the threads. An error in a thread is raised here, at its step. Raises FeedError if there
        are fewer rows than ranks or micro-batches.
        """
        assert 0 <= rank < world and first_step >= 0 and workers >= 0 and ahead >= 1
        if self.batch_rows < world * micro_batches:
            raise FeedError(
                f"data.batch_rows: {self.batch_rows} rows are too few for {world} processes with {micro_batches} micro-batches "
                "each; raise it"
            )
        first, end = shares(self.batch_rows, world)[rank : rank + 2]
        places = [first + place for place in shares(end - first, micro_batches)]

        def make(step: int) -> list[Examples]:
            return [self.batch(step, begin, until - begin) for begin, until in pairwise(places)]

        steps = count(first_step) if self.steps is None else range(first_step, self.steps)
        return in_order(make, steps, workers=workers, ahead=ahead)

    def figures(self) -> tuple[SourceFigures, ...]:
        """Return the rows, padding and cropping of each source (tasks last) and, with planned steps, draws and epochs."""
        plan = {} if self.steps is None else {share.source: share for share in self.sampler.plan(self.slots(self.steps))}
        nothing = (None, None, None) if self.steps is None else (0, 0.0, 0)
        figures: list[SourceFigures] = []
        for source in self.index.figures()[:-1]:  # the last is the total
            known = (str(source.source), source.rows, source.padding_share, source.cropped_share)
            figures.append(SourceFigures(*known, *(self._drawn(source, plan[known[0]]) if known[0] in plan else nothing)))
        if self.tasks:
            cropped = self.tasks.objective.cropped(self.tasks.index)
            for stream in self.tasks.index.streams:
                share = plan.get(stream.source)
                known = (stream.source, stream.rows, None, cropped[stream.source] / stream.rows)
                figures.append(SourceFigures(*known, *((share.draws, share.epochs, share.tokens) if share else nothing)))
        return tuple(figures)

    def _drawn(self, source: Figures, share: Share) -> tuple[int, float, int]:
        """Return the rows drawn from a source, the times that they read its text, and their tokens of text."""
        tokens = round(share.epochs * self.text_tokens(source))
        return share.draws, tokens / source.tokens if self.index.layout.packing == "pairs" else share.epochs, tokens

    def text_tokens(self, source: Figures) -> int:
        """Count the tokens of text in all rows of a source: overlaps of neighbours count once, repetitions in pairs again."""
        return source.tokens_in_rows if self.index.layout.packing == "pairs" else source.tokens - source.cropped

    def identity(self) -> dict[str, Any]:
        """Return everything that decides the batches, as JSON, for a checkpoint to compare."""
        settings = self.config
        mixture = [{"first_slot": s.first_slot, **asdict(s.quotas)} for s in self.sampler.segments]
        return {
            "tokens dataset": self.dataset.fingerprint,
            "tokenizer": self.dataset.tokenizer.sha256,
            "row index": self.index.fingerprint,
            "task index": self.tasks.index.fingerprint if self.tasks else None,
            "sampler version": samplers.VERSION,
            "sources": [stream.source for stream in self.sampler.streams],
            "mixture": manifest.fingerprint({"segments": mixture})[: manifest.FINGERPRINT_CHARACTERS] if mixture else None,
            "planned steps": self.steps if settings.data.max_epochs is not None else None,  # the bound spreads over them
            "seed": settings.data.seed,
            "batch_rows": settings.data.batch_rows,
            "objective version": KINDS[settings.objective.name].version,
            "text to text version": text_to_text.VERSION if self.tasks else None,
            "objective": settings.objective.model_dump(mode="json", exclude={"tasks"}),
            "document_boundaries": settings.rows.document_boundaries,
        }

    @property
    def fingerprint(self) -> str:
        """The sha256 (hex) of `identity`."""
        return manifest.fingerprint(self.identity())


def open_feed(config: FeedConfig, *, folder: str | Path, split: str = TRAIN, steps: int | None = None) -> Feed:
    """Open and check the data of a config, so that every error that can be known before the first step is raised here.

    `folder` holds row indexes and encoded tasks, which are built if missing; `steps` is the number of planned steps.
    Raises UserError (DatasetError, ShardError, SpecialsError, MixtureError, ObjectiveError, TaskError, FeedError) with the
    file or field and the fix.
    """
    data, train = config.data, split == TRAIN
    dataset = open_data(data)
    chosen = objective(config, dataset)
    index = open_rows(dataset, split, folder, layout(config, chosen, dataset), seed=data.seed, verify=data.verify)
    if train and len(index) < data.batch_rows:
        raise FeedError(
            f"{dataset.uri}: the {split} split has {len(index):,} rows of {config.rows.length} tokens, fewer than one batch of "
            f"{data.batch_rows:,}; lower data.batch_rows or rows.length"
        )
    tasks = supervised(config, chosen, dataset, folder) if train else None
    slots = None if steps is None else steps * data.batch_rows + data.offset_rows
    mixture, bound = (_mixture(config, index, tasks), data.max_epochs) if train else (None, None)
    order = sampler(_streams(index, tasks), data.seed, mixture, max_epochs=bound, slots=slots)
    return Feed(config, dataset, index, chosen, order, tasks, steps)


def open_data(data: DataSection) -> TokenDataset:
    """Open the tokens dataset of a config, with the one that it replays, if any. Raises DatasetError, as `replaying`."""
    dataset = open_dataset(data.tokens, data.name)
    return dataset if data.replay is None else dataset.replaying(open_dataset(data.replay, data.replay_name))


def shares(rows: int, parts: int) -> list[int]:
    """Return where each of `parts` nearly equal parts of the rows begins, and the end of the last.

    >>> shares(10, 4)
    [0, 2, 5, 7, 10]
    """
    return [rows * part // parts for part in range(parts + 1)]


def digest(examples: Examples) -> str:
    """Return the hash (hex) of all arrays, sorted by name: equal if names, types, shapes and values are equal."""
    made = hashlib.blake2b(digest_size=16)
    for name in sorted(examples):
        values = np.ascontiguousarray(examples[name])
        made.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        made.update(values.data)
    return made.hexdigest()


def _streams(index: RowIndex, tasks: Supervised | None) -> list[Stream]:
    """Return all sources; tasks are numbered after the rows of the index."""
    return [*index.streams, *(tasks.streams(len(index)) if tasks else ())]


def _mixture(config: FeedConfig, index: RowIndex, tasks: Supervised | None) -> tuple[Stage, ...]:
    """Return the stages of the config, with tasks mixed into each."""
    rows = {stream.source: stream.rows for stream in index.streams}
    share = config.data.replay_share
    fresh = {source: count for source, count in rows.items() if share is None or not source.endswith(REPLAYED)}
    text = stages(config.data, fresh)
    if share is not None:
        text = replaying(text, fresh, {source: count for source, count in rows.items() if source not in fresh}, share)
    return tasks.mixed(text, rows) if tasks else text


def _merged(is_task: NDArray[np.bool_], of_tasks: Examples, of_text: Examples) -> Examples:
    """Put examples of tasks and of text into their places."""
    out: Examples = {}
    for name, values in of_text.items():
        out[name] = np.empty((len(is_task), *values.shape[1:]), dtype=values.dtype)
        out[name][is_task], out[name][~is_task] = of_tasks[name], values
    return out
