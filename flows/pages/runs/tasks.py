"""What fine-tunings reached: figures by split and by step, confusion matrices, the hardest examples.

The seeds of one fine-tuning are a column: the mean of each figure and its standard deviation (N - 1). Confusions and examples are
those of the first seed.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, stdev
from typing import Any, NamedTuple

from flows.pages.elements import table, text
from flows.pages.runs.cells import NOTHING, count, named
from flows.pages.runs.loading import Run

RESULTS_NOTE = (
    "The figure by which checkpoints are compared is bold. Of several seeds the mean and the standard deviation (N - 1). A run"
    " that is not finished has the validation figures of its last evaluation; the others have those of their best checkpoint."
)
CONFUSION_NOTE = (
    "A row for each label of the records, a column for each that the model gave; darker for a larger share of the row."
)
HARDEST_NOTE = "Those with the highest cost first: what a model is sure of and gets wrong, or what is labelled wrongly."
SPLITS = ("test", "validation")
_STEPS = 40  # rows of the table by step, spread over the evaluations
_LABELS = 30  # of a confusion; rarer ones are one row and one column


class Seeds(NamedTuple):
    """A fine-tuning: its runs, one for each seed, and their numbers on the page."""

    name: str
    numbers: list[int]
    runs: list[Run]

    @property
    def head(self) -> str:
        """The name for the head of a column."""
        more = f", {len(self.runs)} seeds" if len(self.runs) > 1 else ""
        one = self.runs[0] if len(self.runs) == 1 else self.runs[0].called(self.name)
        return named(self.numbers[0], one) + more

    @property
    def metric(self) -> str:
        """The figure by which checkpoints are compared; empty as long as no seed is finished."""
        return next((run.report["metric"] for run in self.runs if "metric" in run.report), "")


def seeds(runs: Sequence[Run], first: int) -> list[Seeds]:
    """Return the fine-tunings among runs, whose numbers begin at `first`."""
    found: dict[str, Seeds] = {}
    for number, run in enumerate(runs, start=first):
        one = found.setdefault(run.group, Seeds(run.group, [], []))
        one.numbers.append(number)
        one.runs.append(run)
    return list(found.values())


def results(tunings: Sequence[Seeds]) -> str:
    """Return the table of figures, and folded those of each evaluation."""
    rows = [[name, *cells] for name, cells in _facts(tunings)]
    for split in reversed(SPLITS):
        by_run = [[_of_split(run, split) for run in one.runs] for one in tunings]
        for figure in _in_order((name for runs in by_run for of_run in runs for name in of_run), {one.metric for one in tunings}):
            cells = [_spread([of_run.get(figure) for of_run in runs]) for runs in by_run]
            marked = [f"<b>{cell}</b>" if one.metric == figure else cell for one, cell in zip(tunings, cells, strict=True)]
            rows.append([text(f"{split}, {_spelled(figure)}"), *marked])
    shown = [row for row in rows if any(cell not in ("", NOTHING) for cell in row[1:])]
    main = table(["", *(one.head for one in tunings)], shown, numbers=range(1, len(tunings) + 1))
    return main + "".join(map(_by_step, tunings))


def _facts(tunings: Sequence[Seeds]) -> Iterable[tuple[str, list[str]]]:
    def of(value: Any) -> str:
        return NOTHING if value in (None, "") else text(value)

    def column(name: str) -> list[str]:
        return [_spread([run.report.get(name) for run in one.runs], digits=1) for one in tunings]

    first = [one.runs[0] for one in tunings]
    models = [run.config["model"] for run in first]
    yield "task", [of(_task(run)) for run in first]
    yield "base", [of(model.get("base") or f"new {(model.get('new') or {}).get('family', '')}") for model in models]
    yield "trained", [of(model.get("tuning")) for model in models]
    yield "weights", [count(run.numbers["parameters"]) for run in first]
    yield "state", [_state(one) for one in tunings]
    yield "training rows", [count(run.report.get("training_rows")) for run in first]
    yield "best step", column("best_step")
    yield "seconds", column("seconds")


def _task(run: Run) -> str:
    sections = run.config.get("tasks") or [run.config["task"]]
    return " + ".join(section.get("name") or section.get("kind", "") for section in sections)


def _state(one: Seeds) -> str:
    done = sum(run.numbers["finished"] for run in one.runs)
    last = [f"{run.numbers['step']:,}" for run in one.runs]
    steps = ", ".join(dict.fromkeys(last))
    return f"finished, {steps} steps" if done == len(one.runs) else f"{done} of {len(one.runs)} finished, step {steps}"


def _of_split(run: Run, split: str) -> Mapping[str, float]:
    """Return the figures of a split, from the report or, for a run that goes on, from its last evaluation."""
    if split in run.report:
        return run.report[split]
    return _evaluated(run.numbers["last"]) if split == "validation" else {}


def _evaluated(line: Mapping[str, Any]) -> dict[str, float]:
    return {key.removeprefix("validation_"): value for key, value in line.items() if key.startswith("validation_")}


def _in_order(figures: Iterable[str], first: set[str]) -> list[str]:
    """Return each figure once, those by which checkpoints are compared first, losses last."""
    return sorted(dict.fromkeys(figures), key=lambda name: (name not in first, "/" in name, name.partition("/")[0] == "loss"))


def _spelled(figure: str) -> str:
    name, _, task = figure.partition("/")
    return f"{name.replace('_', ' ')}{f' of {task}' if task else ''}"


def _spread(values: Sequence[Any], digits: int = 4) -> str:
    """Return one value, or the mean and the deviation of those that are there."""
    there = [float(value) for value in values if isinstance(value, int | float) and math.isfinite(value)]
    if not there:
        return NOTHING
    if len(there) == 1:
        return f"{there[0]:,.{digits}f}".removesuffix(".0")
    return f"{mean(there):,.{digits}f} ± {stdev(there):.{digits}f}"


def _by_step(one: Seeds) -> str:
    """Return the figures of each evaluation, over the seeds that have it."""
    at: dict[int, list[dict[str, float]]] = {}
    for run in one.runs:
        for line in run.evaluations:
            at.setdefault(line["step"], []).append(_evaluated(line))
    if not at:
        return ""
    figures = _in_order((name for found in at.values() for line in found for name in line), {one.metric})
    steps = sorted(at)
    kept = steps if len(steps) <= _STEPS else [steps[n * (len(steps) - 1) // (_STEPS - 1)] for n in range(_STEPS)]
    rows = [[f"{step:,}", *(_spread([line.get(name) for line in at[step]]) for name in figures)] for step in kept]
    left = f", {len(kept)} of {len(steps)}" if len(kept) < len(steps) else ""
    listed = table(["step", *(text(_spelled(name)) for name in figures)], rows, numbers=range(len(figures) + 1))
    return f"<details open><summary>{one.head}: validation by step{left}</summary>{listed}</details>"


def confusions(tunings: Sequence[Seeds]) -> str:
    """Return the confusion matrix of each task and split that has one."""
    return "".join(
        f"<article><h3>{head}, {len(found['confusion']['labels'])} labels</h3>{_matrix(found['confusion'])}</article>"
        for head, found in _judged(tunings)
        if "confusion" in found
    )


def hardest(tunings: Sequence[Seeds]) -> str:
    """Return the hardest examples of each task and split."""
    return "".join(
        f"<details open><summary>{head}: {len(found['hardest'])} of {found['items']:,}</summary>{_examples(found)}</details>"
        for head, found in _judged(tunings)
    )


def _judged(tunings: Sequence[Seeds]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Yield a heading and what was judged, for each task and split of the first seed."""
    for one in tunings:
        for split in SPLITS:
            by_task = one.runs[0].judged.get(split, {})
            for task, found in by_task.items():
                yield f"{named(one.numbers[0], one.runs[0])} {split}{f', {text(task)}' if len(by_task) > 1 else ''}", found


def _examples(found: Mapping[str, Any]) -> str:
    rows = [
        [
            f"{one['cost']:,.3f}",
            f'<div class="excerpt">{text(one["text"])}</div>',
            f'<div class="answer">{text(one["wanted"])}</div>',
            f'<div class="answer">{text(one["given"])}</div>',
            f'<span class="id">{text(one["place"].rpartition("/")[2])}</span>',
        ]
        for one in found["hardest"]
    ]
    return f'<div class="hardest">{table((text(found["measure"]), "text", "right", "given", "record"), rows, numbers=(0,))}</div>'


def _matrix(confusion: Mapping[str, Any]) -> str:
    """Return a confusion as a table, with the rarest of many labels as one."""
    labels, counts = _cut(confusion["labels"], confusion["counts"])
    columns = range(len(labels))
    head = "".join(f'<th class="label"><span>{text(label)}</span></th>' for label in labels)
    rows: list[str] = []
    for n, label in enumerate(labels):
        total = sum(counts[n])
        cells = "".join(_cell(counts[n][m], total, right=n == m) for m in columns)
        recall = f"{counts[n][n] / total:.1%}" if total else NOTHING
        rows.append(f'<tr><th>{text(label)}</th>{cells}<td class="number">{total:,}</td><td class="number">{recall}</td></tr>')
    given = [sum(counts[n][m] for n in columns) for m in columns]
    sums = "".join(f'<td class="number">{value:,}</td>' for value in given)
    precision = "".join(
        f'<td class="number">{f"{counts[m][m] / value:.1%}" if value else NOTHING}</td>' for m, value in enumerate(given)
    )
    end = f"<tr class=total><th>given</th>{sums}<td></td><td></td></tr><tr><th>precision</th>{precision}<td></td><td></td></tr>"
    first = f'<tr><th></th>{head}<th class="number">in all</th><th class="number">recall</th></tr>'
    return f'<div class="wide confusion"><table>{first}{"".join(rows)}{end}</table></div>'


def _cut(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> tuple[list[str], list[list[int]]]:
    if len(labels) <= _LABELS:
        return list(labels), [list(row) for row in counts]
    seen = [sum(row) for row in counts]
    kept = sorted(sorted(range(len(labels)), key=lambda n: -seen[n])[: _LABELS - 1])
    place = {label: n for n, label in enumerate(kept)}
    out = [[0] * _LABELS for _ in range(_LABELS)]
    for n, row in enumerate(counts):
        for m, value in enumerate(row):
            out[place.get(n, _LABELS - 1)][place.get(m, _LABELS - 1)] += value
    return [*(labels[n] for n in kept), f"{len(labels) - len(kept)} others"], out


def _cell(value: int, total: int, *, right: bool) -> str:
    share = value / total if total else 0.0
    colour = "42,138,88" if right else "212,88,28"
    shade = f' style="background:rgba({colour},{0.08 + 0.72 * share:.2f})"' if value else ""
    return f'<td class="number"{shade}>{f"{value:,}" if value else NOTHING}</td>'
