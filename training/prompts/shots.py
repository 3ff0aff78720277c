"""Shots: the solved records that stand before a question. Which are drawn depends on the seed alone, not on the questions."""

import numpy as np
from numpy.typing import NDArray

from training.data.draws import key
from training.tasks.errors import PromptError

Numbers = NDArray[np.int64]


def draw(labels: Numbers, count: int, seed: int, number: int, *, balanced: bool) -> Numbers:
    """Return the records of a set of shots in their order in the prompt: (count,), from the labels of all records (N,).

    `number` is that of the set. Balanced sets take a record of each label in turn; in each turn, labels are in hashed order.
    Raises PromptError for more shots than records.
    """
    if count > len(labels):
        raise PromptError(f"prompt.shots: {count:,} are more than the training file's {len(labels):,} records; lower it")
    order = np.argsort(key(seed, number, np.arange(len(labels))), kind="stable")
    if not balanced:
        return order[:count]
    turns = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        of_label = labels[order] == label
        turns[of_label] = np.arange(of_label.sum())
    return order[np.argsort(turns, kind="stable")][:count]
