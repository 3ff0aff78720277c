"""What a model gets wrong: a confusion matrix and the hardest examples, for `judged.json` in the run's folder.

    {"test": {"sst2": {"items": 1821, "measure": "loss",
                       "confusion": {"labels": ["0", "1"], "counts": [[853, 59], [71, 838]]},
                       "hardest": [{"place": "test.tsv, line 7", "text": "…", "wanted": "0", "given": "1 (.998)", "cost": 6.3}]}}}

A confusion has a row for each label of the data and a column for each that the model gave. An item is a row or a record, as
the task has it; only the hardest ones are spelled out. A high loss is a wrong answer with high confidence, or a wrong label.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from training.tasks.input.records import Records

JUDGED = "judged.json"
_HARDEST = 20  # examples
_TEXT = 400  # most characters of a text, of an example


class Confusion(NamedTuple):
    """How often each label of the data (rows) was given each label (columns): counts (C, C)."""

    labels: Sequence[str]
    counts: NDArray[np.int64]


class Judged(NamedTuple):
    """How hard each item was for a model."""

    measure: str  # what a cost is
    costs: NDArray[np.float64]  # (N,) the higher, the harder
    wanted: Callable[[int], str]  # the right answer of an item, for people
    given: Callable[[int], str]  # the model's
    records: NDArray[np.int64] | None = None  # (N,) the record of each item; None: item n is record n
    confusion: Confusion | None = None


def of_classes(labels: Sequence[str], logits: NDArray[np.float32], wanted: NDArray[np.int64]) -> Judged:
    """Return the loss of each row by logits (N, C) and the numbers of the right labels (N,)."""
    chances = log_softmax(logits.astype(np.float64), axis=1)
    given = logits.argmax(1)
    return Judged(
        "loss",
        -chances[np.arange(len(wanted)), wanted],
        wanted=lambda n: labels[int(wanted[n])],
        given=lambda n: f"{labels[int(given[n])]} ({np.exp(chances[n, given[n]]):.3f})",
        confusion=confusion(labels, wanted, given),
    )


def confusion(labels: Sequence[str], wanted: NDArray[np.int64], given: NDArray[np.int64]) -> Confusion:
    """Return how often each label was given for each.

    >>> confusion(("no", "yes"), np.array([0, 1, 1]), np.array([1, 1, 1])).counts.tolist()
    [[0, 1], [0, 2]]
    """
    size = len(labels)
    return Confusion(labels, np.bincount(wanted * size + given, minlength=size * size).reshape(size, size))


def described(judged: Judged, records: Records, fields: Sequence[str]) -> dict[str, Any]:
    """Return what was judged as JSON; `fields` are those of a record that a model reads."""
    made: dict[str, Any] = {"items": len(judged.costs), "measure": judged.measure}
    if judged.confusion is not None:
        made["confusion"] = {"labels": list(judged.confusion.labels), "counts": judged.confusion.counts.tolist()}
    hardest = np.argsort(-judged.costs, kind="stable")[:_HARDEST]
    of_item = hardest if judged.records is None else judged.records[hardest]
    shown = records.table.select([name for name in fields if records.has(name)]).take(of_item).to_pylist()
    made["hardest"] = [
        {
            "place": records.place(record),
            "text": "\n".join(_shortened(_spelled(value)) for value in fields_of.values() if value is not None),
            "wanted": _shortened(judged.wanted(item)),
            "given": _shortened(judged.given(item)),
            "cost": round(float(judged.costs[item]), 4),
        }
        for item, record, fields_of in zip(hardest.tolist(), of_item.tolist(), shown, strict=True)
    ]
    return made


def _spelled(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _shortened(text: str) -> str:
    return text if len(text) <= _TEXT else f"{text[:_TEXT].rstrip()} … ({len(text) - _TEXT:,} more characters)"
