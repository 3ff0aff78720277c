"""Supervised tasks that are trained along with span corruption (T5, arXiv 1910.10683, 3.5.3): their examples and their share.

Their examples have the widths of the objective's, so that rows of text and of tasks fit into one batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.config import FeedConfig, SpanCorruptionSection
from training.data.order.mixture import Stage
from training.data.rows.batch import Examples
from training.data.rows.layout import Stream
from training.data.shards import TokenDataset
from training.data.tasks import TaskIndex, open_tasks, task_mixture
from training.objectives.configured import Objective
from training.objectives.span_corruption import SpanCorruption
from training.objectives.text_to_text import TextToText


@dataclass(frozen=True)
class Supervised:
    """The tasks of a run, and how their rates follow from their sizes (see `task_mixture`)."""

    index: TaskIndex
    objective: TextToText
    limit: int
    temperature: float

    def examples(self, numbers: NDArray[np.int64]) -> Examples:
        """Return the examples of these numbers, (N,) from 0 across all tasks."""
        return self.objective(self.index.gather(numbers))

    def streams(self, first: int) -> list[Stream]:
        """Return one stream per task, numbered from `first`."""
        return [Stream(s.source, first + s.first, s.rows, s.tokens) for s in self.index.streams]

    def mixed(self, stages: tuple[Stage, ...], rows: Mapping[str, int]) -> tuple[Stage, ...]:
        """Return the stages of a mixture of text with the tasks mixed into each; `rows` is the rows of each source of text.

        Without stages, sources of text are weighted by their rows.
        """
        by_size = {source: float(count) for source, count in rows.items() if count}
        return tuple(
            Stage(stage.field, stage.until_slot, self._weights(stage.weights, rows))
            for stage in stages or (Stage("data.mixture", None, by_size),)
        )

    def _weights(self, text: Mapping[str, float], rows: Mapping[str, int]) -> dict[str, float]:
        return task_mixture(text, sum(rows[source] for source in text), self.index.streams, self.limit, self.temperature)


def supervised(settings: FeedConfig, objective: Objective, dataset: TokenDataset, folder: str | Path) -> Supervised | None:
    """Return the tasks of a config, encoded in `folder` if they are not yet; None if it has none.

    Raises TaskError, as `open_tasks`.
    """
    match settings.objective, objective:
        case SpanCorruptionSection(tasks=sections) as chosen, SpanCorruption() if sections:
            index = open_tasks(sections, dataset.tokenizer, folder)
            shapes = TextToText(objective.length, objective.target_length, objective.specials)
            return Supervised(index, shapes, chosen.task_limit, chosen.task_temperature)
        case _:
            return None
