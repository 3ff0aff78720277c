"""From a config to batches: which rows a step has, and the examples that an objective makes of them.

    feed = open_feed(config, folder="run/rows", steps=1000)
    feed.batch(7)                                                # the whole global batch of step 7
    for step, pieces in feed.batches(7, rank=1, world=4, workers=2, micro_batches=2):
        ...                                                      # what rank 1 of 4 trains on, in two pieces

An example is a pure function of (row index, mixture, seed, step, place in the global batch). Nothing else enters: not the
number of processes or threads, nor the steps before. So to resume is to go on with a number, on any number of machines.

Each process of `world` takes a slice of the global batch; slices follow each other and differ by at most one row, so
that `world` need not divide `batch_rows`; the loss of a step is divided by the counts of all of them. Micro-batches
divide a slice in the same way.

Only the train split has a mixture, tasks and a bound on epochs; another split is gone through in one hashed order.
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
from training.data.config import FeedConfig, SpanCorruptionSection
from training.data.draws import Words, key
from training.data.order import sampler as samplers
from training.data.order.mixture import Stage, stages
from training.data.order.sampler import Sampler, Share, sampler
from training.data.rows.batch import Examples
from training.data.rows.index import RowIndex, open_rows
from training.data.rows.layout import Figures, Stream
from training.data.shards import TokenDataset, open_dataset
from training.data.tasks import TaskIndex, open_tasks, task_mixture
from training.objectives import span_corruption, text_to_text
from training.objectives.configured import KINDS, Objective, layout, objective
from training.objectives.text_to_text import TextToText

OBJECTIVE_STREAM = 2**32  # of the keys of examples; the sampler's are 0 .. 2 + sources
TRAIN = "train"


class FeedError(UserError):
    """Batches cannot be made as they are configured; the message names the field and the fix."""


@dataclass(frozen=True, slots=True)
class SourceFigures:
    """What a source gives to a training, and what packing costs it. None: not known, or nothing planned."""

    source: str
    rows: int
    padding_share: float | None  # of the places in its rows
    cropped_share: float | None  # of its tokens (of a task: of its examples) that are cut off
    draws: int | None = None  # rows, over the steps that are planned
    epochs: float | None = None  # times that its text is read by them: of pairs, each row is one of several cuts of it
    tokens: int | None = None  # of text, that they read


@dataclass(frozen=True)
class Feed:
    """The batches of a split."""

    config: FeedConfig
    dataset: TokenDataset
    index: RowIndex
    objective: Objective
    sampler: Sampler
    tasks: tuple[TaskIndex, TextToText] | None = None
    steps: int | None = None  # that are planned; None: without an end

    @property
    def batch_rows(self) -> int:
        """Rows of a global batch."""
        return self.config.data.batch_rows

    def rows(self, step: int, first: int = 0, count: int | None = None) -> NDArray[np.int64]:
        """Row numbers of the places first .. first + count - 1 of the global batch (by default all): (count,).

        Numbers from len(index) on are examples of tasks.
        """
        count = self.batch_rows - first if count is None else count
        assert 0 <= first <= first + count <= self.batch_rows
        return self.sampler.rows(step * self.batch_rows + first, count)

    def batch(self, step: int, first: int = 0, count: int | None = None) -> Examples:
        """The examples at these places of the global batch of a step (from 0)."""
        numbers = self.rows(step, first, count)
        return self.examples(numbers, key(self.config.data.seed, OBJECTIVE_STREAM, step, np.arange(first, first + len(numbers))))

    def examples(self, numbers: NDArray[np.int64], keys: Words) -> Examples:
        """What the objective makes of these rows with these keys, (N,) each."""
        if self.tasks is None or not (is_task := numbers >= len(self.index)).any():
            return self.objective(self.index.gather(numbers), keys)
        index, text_to_text = self.tasks
        of_tasks = text_to_text(index.gather(numbers[is_task] - len(self.index)))
        if is_task.all():
            return of_tasks
        return _merged(is_task, of_tasks, self.objective(self.index.gather(numbers[~is_task]), keys[~is_task]))

    def counts(self, examples: Examples) -> dict[str, int]:
        """By how many predictions each term of the loss is divided, of these examples (of a step: summed over all ranks)."""
        return self.objective.counts(examples)

    def tokens(self, examples: Examples) -> int:
        """Tokens that a model reads of these examples; of an encoder-decoder those of the encoder."""
        return int(examples["lengths"].sum()) if "lengths" in examples else self.counts(examples)["tokens"]

    def batches(
        self, first_step: int = 0, *, rank: int = 0, world: int = 1, workers: int = 0, micro_batches: int = 1, ahead: int = 2
    ) -> Generator[tuple[int, list[Examples]]]:
        """Step and micro-batches of this rank, from `first_step` on, to the last planned step or without an end.

        `workers` threads prepare `ahead` steps (at least one each) before they are asked for; without any, a step is made
        when it is asked for. Closing the iterator ends the threads. Raises FeedError when there are fewer rows than ranks
        or micro-batches; what goes wrong in a thread is raised here, at its step.
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

        asked = count(first_step) if self.steps is None else range(first_step, self.steps)
        return in_order(make, asked, workers=workers, ahead=ahead)

    def figures(self) -> tuple[SourceFigures, ...]:
        """By source (tasks last): rows, padding, what is cut off and, where steps are planned, draws and epochs."""
        drawn = {} if self.steps is None else {s.source: s for s in self.sampler.plan(self.steps * self.batch_rows)}
        nothing = (None, None, None) if self.steps is None else (0, 0.0, 0)
        shown: list[SourceFigures] = []
        for of in self.index.figures()[:-1]:  # the last one is of all
            known = (str(of.source), of.rows, of.padding_share, of.cropped_share)
            shown.append(SourceFigures(*known, *(self._drawn(of, drawn[known[0]]) if known[0] in drawn else nothing)))
        if self.tasks:
            index, text_to_text = self.tasks
            cropped = text_to_text.cropped(index)
            for stream in index.streams:
                share = drawn.get(stream.source)
                known = (stream.source, stream.rows, None, cropped[stream.source] / stream.rows)
                shown.append(SourceFigures(*known, *((share.draws, share.epochs, share.tokens) if share else nothing)))
        return tuple(shown)

    def _drawn(self, of: Figures, share: Share) -> tuple[int, float, int]:
        """Rows of text that are drawn of a source, the times that they read it, and their tokens."""
        tokens = round(share.epochs * self.text_tokens(of))
        return share.draws, tokens / of.tokens if self.index.layout.packing == "pairs" else share.epochs, tokens

    def text_tokens(self, of: Figures) -> int:
        """Tokens of text that all rows of a source read together: what neighbours share is read once, pairs read it again."""
        return of.tokens_in_rows if self.index.layout.packing == "pairs" else of.tokens - of.cropped

    def identity(self) -> dict[str, Any]:
        """Everything that decides the batches, for a checkpoint to compare; JSON."""
        settings = self.config
        mixture = [{"first_slot": s.first_slot, **asdict(s.quotas)} for s in self.sampler.segments]
        return {
            "tokens dataset": self.dataset.fingerprint,
            "tokenizer": self.dataset.tokenizer.sha256,
            "row index": self.index.fingerprint,
            "task index": self.tasks[0].fingerprint if self.tasks else None,
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
    """Open what a config names and check it: nothing that can be known before the first step goes wrong later.

    `folder` holds row indexes and encoded tasks, built where they are missing; `steps` are those that are planned.
    Raises ValueError (DatasetError, ShardError, SpecialsError, MixtureError, ObjectiveError, TaskError, FeedError) with the
    file or field and the fix.
    """
    data, train = config.data, split == TRAIN
    dataset = open_dataset(data.tokens, data.name)
    made = objective(config, dataset)
    index = open_rows(dataset, split, folder, layout(config, made, dataset), seed=data.seed, verify=data.verify)
    if train and len(index) < data.batch_rows:
        raise FeedError(
            f"{dataset.uri}: the {split} split has {len(index):,} rows of {config.rows.length} tokens, fewer than one batch of "
            f"{data.batch_rows:,}; lower data.batch_rows or rows.length"
        )
    tasks = _tasks(config, dataset, made, folder) if train else None
    slots = None if steps is None else steps * data.batch_rows
    mixture, bound = (_mixture(config, index, tasks), data.max_epochs) if train else (None, None)
    order = sampler(_streams(index, tasks), data.seed, mixture, max_epochs=bound, slots=slots)
    return Feed(config, dataset, index, made, order, tasks, steps)


def shares(rows: int, parts: int) -> list[int]:
    """Where each part of so many rows begins, and the end of the last.

    >>> shares(10, 4)
    [0, 2, 5, 7, 10]
    """
    return [rows * part // parts for part in range(parts + 1)]


def digest(examples: Examples) -> str:
    """The hash (hex) of all arrays in the order of their names: equal when names, types, shapes and values are."""
    made = hashlib.blake2b(digest_size=16)
    for name in sorted(examples):
        values = np.ascontiguousarray(examples[name])
        made.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        made.update(values.data)
    return made.hexdigest()


def _tasks(config: FeedConfig, dataset: TokenDataset, made: Objective, folder: str | Path) -> tuple[TaskIndex, TextToText] | None:
    if not isinstance(config.objective, SpanCorruptionSection) or not config.objective.tasks:
        return None
    assert isinstance(made, span_corruption.SpanCorruption)
    index = open_tasks(config.objective.tasks, dataset.tokenizer, folder)
    return index, TextToText(made.length, made.target_length, made.specials)


def _streams(index: RowIndex, tasks: tuple[TaskIndex, TextToText] | None) -> list[Stream]:
    """All sources, those of tasks behind the rows of the index."""
    following = tasks[0].streams if tasks else ()
    return [*index.streams, *(Stream(s.source, len(index) + s.first, s.rows, s.tokens) for s in following)]


def _mixture(config: FeedConfig, index: RowIndex, tasks: tuple[TaskIndex, TextToText] | None) -> tuple[Stage, ...]:
    """The stages of the config, tasks mixed into each."""
    rows = {stream.source: stream.rows for stream in index.streams}
    found = stages(config.data, rows)
    if not tasks:
        return found
    chosen = config.objective
    assert isinstance(chosen, SpanCorruptionSection)
    by_size = {source: float(n) for source, n in rows.items() if n}
    return tuple(
        Stage(
            stage.field,
            stage.until_slot,
            task_mixture(
                stage.weights,
                sum(rows[source] for source in stage.weights),
                tasks[0].streams,
                chosen.task_limit,
                chosen.task_temperature,
            ),
        )
        for stage in found or (Stage("data.mixture", None, by_size),)
    )


def _merged(is_task: NDArray[np.bool_], of_tasks: Examples, of_text: Examples) -> Examples:
    """Examples of tasks and of text, each in its place."""
    out: Examples = {}
    for name, values in of_text.items():
        out[name] = np.empty((len(is_task), *values.shape[1:]), dtype=values.dtype)
        out[name][is_task], out[name][~is_task] = of_tasks[name], values
    return out
