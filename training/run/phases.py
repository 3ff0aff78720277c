"""The course of a run: consecutive phases, each with rows of one length (BERT: 128 tokens first, then 512).

Each phase has its own feed, whose steps are counted from the phase's first. The batch of a step remains a function of
(data, config, step) alone.
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
        """Mean UTF-8 bytes of text in a row; repeated text counts again."""
        return bytes_per_row(self.feed)


@dataclass(frozen=True, slots=True)
class Course:
    """All phases of a run, at least one."""

    phases: tuple[Phase, ...]

    @property
    def last(self) -> Feed:
        """The feed of the last phase, which [rows] and [data] describe."""
        return self.phases[-1].feed

    @property
    def steps(self) -> int:
        """Steps of all phases."""
        return self.phases[-1].end_step

    @property
    def batch_rows(self) -> int:
        """Rows of a global batch of the last phase."""
        return self.last.batch_rows

    def at(self, step: int) -> Phase:
        """Return the phase of a step (from 0)."""
        assert 0 <= step < self.steps
        return next(phase for phase in self.phases if step < phase.end_step)

    def bytes(self, steps: int) -> int:
        """Return the UTF-8 bytes of text in the rows of the first `steps` steps, by the mean row of each phase."""
        return round(sum(phase.feed.slots(_steps_of(phase, steps)) * phase.bytes_per_row for phase in self.phases))

    def batches(
        self, first_step: int, *, rank: int, world: int, workers: int, micro_batches: int
    ) -> Generator[tuple[int, Feed, list[Examples]]]:
        """Yield each step, its feed and the micro-batches of this rank, from `first_step` on: `Feed.batches` phase by phase.

        Closing the iterator ends its threads.
        """
        for phase in self.phases:
            if first_step >= phase.end_step:
                continue
            begin = max(first_step, phase.first_step) - phase.first_step
            batches = phase.feed.batches(begin, rank=rank, world=world, workers=workers, micro_batches=micro_batches)
            try:
                for step, examples in batches:
                    yield phase.first_step + step, phase.feed, examples
            finally:
                batches.close()

    def identity(self) -> dict[str, Any]:
        """Return everything that decides the batches; with several phases, by phase."""
        if len(self.phases) == 1:
            return self.last.identity()
        return {
            f"{name} (phase {number})": value
            for number, phase in enumerate(self.phases, start=1)
            for name, value in {"first step": phase.first_step, **phase.feed.identity()}.items()
        }


def open_course(config: PretrainConfig, folder: str | Path) -> Course:
    """Open the feed of every phase. `folder` holds row indexes, which are built if missing.

    Raises UserError, as `open_feed`, for data that cannot be trained on.
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
    """Return the config with train.bytes converted to steps, rounded up; unchanged if it gives steps.

    Raises FeedError if they are too few for the warm-up.
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
    """Return the mean UTF-8 bytes of text in a row of the train split; text that pairs repeat counts again."""
    totals = feed.dataset.totals(TRAIN)
    tokens_per_row = feed.text_tokens(feed.index.figures()[-1]) / len(feed.index)
    return tokens_per_row * totals["utf8_bytes"] / totals["tokens"]


def _steps_of(phase: Phase, steps: int) -> int:
    """Count the steps of a phase among the first `steps` steps of the run."""
    return max(0, min(steps, phase.end_step) - phase.first_step)
