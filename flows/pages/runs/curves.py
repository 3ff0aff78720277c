"""The curves of a run, thinned: thousands of steps become a few hundred columns, each with its mean and extremes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Line: TypeAlias = Mapping[str, Any]  # one line of metrics.jsonl
Floats: TypeAlias = NDArray[np.float64]

COLUMNS = 500  # about one per pixel of a chart
MARKS = 200  # skipped updates and spikes drawn for a run: the strongest
SPIKE = 6.0  # z-score of a loss or gradient norm from which an update that was made is marked
AXES = {"steps": "step", "tokens": "tokens", "bytes": "bytes"}
TERMS = {  # of the loss of BERT, in training and, after "validation_", in evaluations (training/run/terms.py)
    "tokens_loss": ("loss of masked tokens", "nats per target"),
    "pairs_loss": ("loss of next sentences", "nats per pair"),
    "tokens_accuracy": ("accuracy of masked tokens", "share right"),
    "pairs_accuracy": ("accuracy of next sentences", "share right"),
}
_TRAINING = ("loss", *TERMS, "learning_rate", "gradient_norm", "tokens_per_second", "mfu")
_DIGITS = 5  # significant digits of a drawn number: finer than a pixel


def curves(lines: Sequence[Line], columns: int = COLUMNS) -> dict[str, Any]:
    """Return the curves of a run: `training` and `evaluations` (`x` by axis, `series` by metric), and `marks`.

    Up to `columns` lines are kept as they are. With more, each column has the mean of its steps, and `low` and `high`, over the
    finite values (None if there is none).

    >>> curves([{"step": n, "tokens": 8 * n, "bytes": 30 * n, "loss": 9.0 - n} for n in (1, 2, 3, 4)], 2)["training"]["series"]
    {'loss': {'mean': [7.5, 5.5], 'low': [7.0, 5.0], 'high': [8.0, 6.0]}}
    """
    training = [line for line in lines if "loss" in line]
    evaluations = [line for line in lines if "validation_loss" in line]
    measured = sorted({key for line in evaluations for key in line if key.startswith("validation_")})
    return {
        "training": _points(training, _TRAINING, columns),
        "evaluations": _points(evaluations, measured, columns),
        "marks": marks(training),
    }


def _points(lines: Sequence[Line], keys: Sequence[str], columns: int) -> dict[str, Any]:
    """Return the axes and the series of one kind of line."""
    starts = _starts(len(lines), columns)
    series = {key: _series(column(lines, key), starts) for key in keys if any(key in line for line in lines)}
    ends = [*(start - 1 for start in starts[1:]), len(lines) - 1] if lines else []
    return {"x": {axis: [lines[end].get(key) for end in ends] for axis, key in AXES.items()}, "series": series}


def _starts(lines: int, columns: int) -> list[int]:
    """Return the first line of each column; columns differ by at most one line."""
    if lines <= columns:
        return list(range(lines))
    return [number * lines // columns for number in range(columns)]


def column(lines: Sequence[Line], key: str) -> Floats:
    """Return one metric of all lines; NaN where it is missing, no number or not finite."""
    values = np.array([value if isinstance(value := line.get(key), int | float) else math.nan for line in lines], np.float64)
    return np.where(np.isfinite(values), values, math.nan)


def _series(values: Floats, starts: Sequence[int]) -> dict[str, list[float | None]]:
    if len(values) == len(starts):
        return {"mean": _numbers(values)}
    there = np.isfinite(values)
    counts = np.add.reduceat(there, starts, dtype=np.int64)
    sums = np.add.reduceat(np.where(there, values, 0.0), starts)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), math.nan)
    low, high = np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)
    return {"mean": _numbers(means), "low": _numbers(low), "high": _numbers(high)}


def _numbers(values: Floats) -> list[float | None]:
    return [float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None for value in values.tolist()]


def marks(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Return the skipped updates, and the updates made although their loss or gradient was `SPIKE` deviations too large.

    At most the `MARKS` strongest, in the order of the steps.
    """
    marked = [line for line in lines if "skipped" in line or _strength(line) >= SPIKE]
    strongest = sorted(marked, key=_strength, reverse=True)[:MARKS]
    return [_mark(line) for line in sorted(strongest, key=lambda line: line["step"])]


def _mark(line: Line) -> dict[str, Any]:
    loss, norm = _numbers(column([line], "loss")), _numbers(column([line], "gradient_norm"))
    z = {"loss": line.get("loss_z"), "gradient norm": line.get("gradient_norm_z")}
    high = ", ".join(f"{name} {value:.1f}" for name, value in z.items() if value is not None and value >= SPIKE)
    return {
        **{axis: line.get(key) for axis, key in AXES.items()},
        "loss": loss[0],
        "gradient_norm": norm[0],
        "skipped": "skipped" in line,
        "why": f"skipped: {line['skipped']}" if "skipped" in line else f"spike: z-score of {high}",
    }


def _strength(line: Line) -> float:
    """Return the larger z-score; infinite if the loss or the norm is not finite."""
    if not all(math.isfinite(value) for key in ("loss", "gradient_norm") if (value := line.get(key)) is not None):
        return math.inf
    scores = (line.get("loss_z"), line.get("gradient_norm_z"))
    return max((value for value in scores if value is not None), default=-math.inf)
