"""The course of a run: phases with rows of one length each, one after the other (BERT: 128 tokens first, then 512).

Each phase has a feed of its own, with the steps counted from the phase's first one. What a step is trained on is still a
function of (data, config, step) alone.
"""

import math
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data.rows.batch import Examples
from training.run.config import PretrainConfig
from training.run.feed import TRAIN, Feed, FeedError, open_feed


@dataclass(frozen=True, slots=True)
class Phase:
    """Steps over rows of one length."""

    first_step: int
    end_step: int
    feed: Feed

    @property
    def bytes_per_row(self) -> float:
        """UTF-8 bytes of text in a row, in the mean of all rows; documents that a row repeats are counted again."""
        return bytes_per_row(self.feed)


@dataclass(frozen=True, slots=True)
class Course:
    """All phases of a run, and at least one."""

    phases: tuple[Phase, ...]

    @property
    def last(self) -> Feed:
        """The feed of the rows that the run ends with: what [rows] and [data] describe."""
        return self.phases[-1].feed

    @property
    def steps(self) -> int:
        """Of all phases."""
        return self.phases[-1].end_step

    def at(self, step: int) -> Phase:
        """The phase of a step (from 0)."""
        assert 0 <= step < self.steps
        return next(phase for phase in self.phases if step < phase.end_step)

    def bytes(self, steps: int) -> int:
        """UTF-8 bytes of text in the rows of the first so many steps, by the mean row of each phase."""
        return round(sum(_steps_of(phase, steps) * phase.feed.batch_rows * phase.bytes_per_row for phase in self.phases))

    def batches(
        self, first_step: int, *, rank: int, world: int, workers: int, micro_batches: int
    ) -> Generator[tuple[int, Feed, list[Examples]]]:
        """Step, its feed, and the micro-batches of this rank, from `first_step` to the end: `Feed.batches` phase by phase.

        Closing the iterator ends its threads.
        """
        for phase in self.phases:
            if first_step >= phase.end_step:
                continue
            begin = max(first_step, phase.first_step) - phase.first_step
            made = phase.feed.batches(begin, rank=rank, world=world, workers=workers, micro_batches=micro_batches)
            try:
                for step, examples in made:
                    yield phase.first_step + step, phase.feed, examples
            finally:
                made.close()

    def identity(self) -> dict[str, Any]:
        """Everything that decides the batches; of a run with several phases, by phase."""
        if len(self.phases) == 1:
            return self.last.identity()
        return {
            f"{name} (phase {number})": value
            for number, phase in enumerate(self.phases, start=1)
            for name, value in {"first step": phase.first_step, **phase.feed.identity()}.items()
        }


def open_course(config: PretrainConfig, folder: str | Path) -> Course:
    """Open the feed of every phase. `folder` holds row indexes, built where they are missing.

    Raises ValueError, as `open_feed`, for what cannot be trained on.
    """
    if config.train.phases and config.data.stages:
        raise FeedError("data.stages: cannot be used together with train.phases; keep one of them")
    begin, phases = 0, list[Phase]()
    for section in config.train.phases:
        rows = config.rows.model_copy(update={"length": section.length})
        data = config.data.model_copy(update={"batch_rows": section.batch_rows or config.data.batch_rows})
        short = config.model_copy(update={"rows": rows, "data": data})
        phases.append(Phase(begin, section.until_step, open_feed(short, folder=folder, steps=section.until_step - begin)))
        begin = section.until_step
    phases.append(Phase(begin, config.train.steps, open_feed(config, folder=folder, steps=config.train.steps - begin)))
    return Course(tuple(phases))


def with_steps(config: PretrainConfig, folder: str | Path) -> PretrainConfig:
    """The config with the steps that see train.bytes of text, rounded up; as it is when it names its steps.

    Raises ValueError when they are too few for the warm-up.
    """
    budget, train = config.train.bytes, config.train
    if budget is None:
        return config
    feed = open_feed(config, folder=folder)
    steps = math.ceil(budget / (feed.batch_rows * bytes_per_row(feed)))
    if train.warmup_steps + train.cooldown_steps >= steps:
        raise FeedError(
            f"train.bytes: {budget:,} bytes are {steps:,} steps here, too few for train.warmup_steps ({train.warmup_steps:,}) "
            f"and train.cooldown_steps ({train.cooldown_steps:,}); raise it"
        )
    return config.model_copy(update={"train": train.model_copy(update={"steps": steps, "bytes": None})})


def bytes_per_row(feed: Feed) -> float:
    """UTF-8 bytes of text in a row of the train split, in the mean; what a pair repeats is counted again."""
    totals = feed.dataset.totals(TRAIN)
    tokens_per_row = feed.text_tokens(feed.index.figures()[-1]) / len(feed.index)
    return tokens_per_row * totals["utf8_bytes"] / totals["tokens"]


def _steps_of(phase: Phase, steps: int) -> int:
    """How many of the first so many steps of the run are of the phase."""
    return max(0, min(steps, phase.end_step) - phase.first_step)
