"""Several tasks of one T5, mixed (Raffel et al. 2020, arXiv 1910.10683, 3.5.2): `[[tasks]]` in a config instead of `[task]`.

    proportional   a task's share is that of its rows, but at most `limit` of them count, so that no task drowns the others
    temperature    the proportional shares, raised to 1 / temperature: from proportional (1) towards equal
    equal          all tasks have the same share
    given          the tasks' own `rate`

Each task reads with a prefix and writes text, so all of them are rows of one kind; a batch has rows of any. Every 1,024 rows have
each task's exact quota, in hashed order, and each task goes through its own epochs (training/data/order): the batch of step k is
a function of (rows, rates, seed, k). Rows of like length share a batch, as in course.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from training.data.order.sampler import VERSION, Sampler, sampler
from training.data.rows.batch import Examples
from training.data.rows.layout import Stream
from training.data.tasks import mixture_rates
from training.models.t5 import T5
from training.models.tuned import Tuned
from training.objectives.sequences import count_targets
from training.tasks.config import MixingSection
from training.tasks.course import Epochs
from training.tasks.errors import TaskError
from training.tasks.input.rows import INPUTS, TARGETS, Numbers, Ragged, Rows

_COLUMNS = (INPUTS, "decoder_inputs", TARGETS)  # what a T5 learns from, whatever the task


def rates(section: MixingSection, rows: Mapping[str, int], given: Mapping[str, float | None]) -> dict[str, float]:
    """Return the share of each task, by its rows and, for the rule "given", its own rate; they add up to 1.

    Raises TaskError for a rate that is missing, or not read by the rule.

    >>> rates(MixingSection(rule="proportional", limit=3000), {"a": 1000, "b": 9000}, {"a": None, "b": None})
    {'a': 0.25, 'b': 0.75}
    >>> rates(MixingSection(rule="temperature", limit=9000, temperature=2.0), {"a": 1000, "b": 9000}, {"a": None, "b": None})
    {'a': 0.25, 'b': 0.75}
    """
    wrong = [name for name, rate in given.items() if (rate is None) == (section.rule == "given")]
    if wrong:
        advice = "give each task one" if section.rule == "given" else f'with mixing.rule = "{section.rule}" leave it out'
        raise TaskError(f"tasks: the rate of {wrong[0]!r}: {advice}")
    limit = section.limit or max(rows.values())
    if section.rule in ("proportional", "temperature"):
        return mixture_rates(rows, limit, section.temperature if section.rule == "temperature" else 1.0)
    size = {name: given[name] or 1.0 for name in rows}
    return {name: value / sum(size.values()) for name, value in size.items()}


@dataclass(frozen=True)
class Together:
    """What the tasks of a mixture share in training: the loss of what is written."""

    label_smoothing: float

    def counts(self, examples: Examples) -> dict[str, int]:
        """Return the number of tokens that are to be written."""
        return count_targets(examples)

    def losses(self, model: Tuned, examples: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the sum of the cross-entropy over these tokens."""
        assert isinstance(model.body, T5)
        return model.body.losses(dict(examples), label_smoothing=self.label_smoothing if model.training else 0.0)


def joined(tasks: Sequence[Rows]) -> Rows:
    """Return the rows of all tasks, one task after the other, with the columns that a T5 learns from."""
    columns = {name: _appended([_ragged(rows, name) for rows in tasks]) for name in _COLUMNS}
    notes: dict[str, int] = {}
    for rows in tasks:
        notes |= {reason: notes.get(reason, 0) + count for reason, count in rows.notes.items()}
    count = sum(map(len, tasks))
    return Rows(columns, np.arange(count), sum(rows.cropped for rows in tasks), notes)


def _ragged(rows: Rows, name: str) -> Ragged:
    column = rows.columns[name]
    assert isinstance(column, Ragged)
    return column


def _appended(parts: Sequence[Ragged]) -> Ragged:
    lengths = np.concatenate([part.lengths for part in parts])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(np.concatenate([part.values for part in parts]), offsets, parts[0].pad)


@dataclass(frozen=True)
class Mixture(Epochs):
    """The course of a mixture's training."""

    rates: Mapping[str, float] = field(default_factory=dict[str, float])  # by task, in the order of their rows
    counts_of_tasks: tuple[int, ...] = ()  # rows of each

    @cached_property
    def sampler(self) -> Sampler:
        """What maps slots to rows."""
        firsts = np.cumsum([0, *self.counts_of_tasks[:-1]]).tolist()
        places = zip(self.rates, firsts, self.counts_of_tasks, strict=True)
        streams = [Stream(name, first, count, 0) for name, first, count in places]
        return sampler(streams, self.seed, dict(self.rates))

    def drawn(self, first: int, count: int) -> Numbers:
        """See Epochs."""
        return self.sampler.rows(first, count)

    def identity(self) -> dict[str, Any]:
        """See Epochs."""
        return {**super().identity(), "mixture": dict(self.rates), "mixture version": VERSION}


def figures_together(each: Mapping[str, Mapping[str, float]], metrics: Mapping[str, str]) -> dict[str, float]:
    """Return the mean loss, the mean of the tasks' metrics, and all figures of each task; BLEU counts as a share.

    >>> figures_together({"a": {"loss": 1.0, "accuracy": 0.5}, "b": {"loss": 2.0, "bleu": 30.0}}, {"a": "accuracy", "b": "bleu"})
    {'loss': 1.5, 'mean': 0.4, 'loss/a': 1.0, 'accuracy/a': 0.5, 'loss/b': 2.0, 'bleu/b': 30.0}
    """
    scores = [found[metrics[task]] / (100 if metrics[task] == "bleu" else 1) for task, found in each.items()]
    named = {f"{name}/{task}": value for task, found in each.items() for name, value in found.items()}
    return {"loss": float(np.mean([found["loss"] for found in each.values()])), "mean": float(np.mean(scores)), **named}
