"""The table of the runs' numbers, side by side."""

import json
import math
from collections.abc import Callable, Iterable, Sequence

from flows.pages.elements import table, text
from flows.pages.runs.cells import NOTHING, count, decimal, fingerprint, megabytes, names, share
from flows.pages.runs.curves import TERMS
from flows.pages.runs.loading import Run

NUMBERS_NOTE = (
    "Losses are nats per target. Families predict different targets: to compare them, see how far a loss is below the unigram"
    " entropy of its own targets (dashed), or bits per byte. Among runs that predict the same targets, the best is bold."
)


def numbers(runs: Sequence[Run]) -> str:
    """Return a table with a row for every number and a column for every run."""
    rows: list[list[str]] = [
        ["model", *(text(f"{run.config['model']['family']} {run.config['model'].get('size', '')}") for run in runs)],
        ["parameters", *(count(run.numbers["parameters"]) for run in runs)],
        ["state", *map(_state, runs)],
        ["branch of", *(_parent(run) or NOTHING for run in runs)],
        ["text seen", *(megabytes(run.numbers["bytes"]) for run in runs)],
        ["tokens seen", *(count(run.numbers["tokens"]) for run in runs)],
        *_losses(runs),
        ["updates skipped", *(count(run.numbers["skipped"]) for run in runs)],
        ["tokens/s, median", *(decimal(run.numbers["tokens_per_second"], 0) for run in runs)],
        ["MFU, median", *(share(run.numbers["mfu"]) for run in runs)],
        ["trained on", *("<br>".join(map(text, _circumstances(run))) or NOTHING for run in runs)],
    ]
    shown = [row for row in rows if any(cell != NOTHING for cell in row[1:])]
    return table(["", *names(runs)], shown, numbers=range(1, len(runs) + 1))


def _losses(runs: Sequence[Run]) -> list[list[str]]:
    first, last, best = ([run.numbers[which] for run in runs] for which in ("first", "last", "best"))
    sources = sorted({key for line in last for key in line if key.startswith("validation_loss/")})
    bits, bits_of = "validation_bits_per_byte", [run.numbers["best_bits"] for run in runs]
    entropy = [run.numbers["unigram_entropy"] for run in runs]
    below = [
        None if reference is None or "validation_loss" not in line else reference - line["validation_loss"]
        for reference, line in zip(entropy, best, strict=True)
    ]
    rows = [
        ["validation loss, first", *_row(runs, [line.get("validation_loss") for line in first])],
        ["validation loss, last", *_row(runs, [line.get("validation_loss") for line in last], min)],
        ["validation loss, best", *_row(runs, [line.get("validation_loss") for line in best], min)],
        ["… at step", *(count(line.get("step")) for line in best)],
        *([f"… last, {text(key.split('/', 1)[1])}", *_row(runs, [line.get(key) for line in last], min)] for key in sources),
        ["unigram entropy", *_row(runs, entropy)],
        ["… minus the best loss", *_row(runs, below, max)],
        *(
            [f"{title}, last", *_row(runs, [line.get(f"validation_{name}") for line in last], _better(name))]
            for name, (title, _) in TERMS.items()
            if name != "tokens_loss"
        ),
        ["bits per byte, first", *_row(runs, [line.get(bits) for line in first])],
        ["bits per byte, last", *_row(runs, [line.get(bits) for line in last], min)],
        ["bits per byte, best", *_row(runs, [line.get(bits) for line in bits_of], min)],
    ]
    return [row for row in rows if any(cell != NOTHING for cell in row[1:])]


def _better(term: str) -> Callable[[Iterable[float]], float]:
    return max if term.endswith("accuracy") else min


def _row(
    runs: Sequence[Run], values: Sequence[float | None], best: Callable[[Iterable[float]], float] | None = None
) -> list[str]:
    """Return the cells of a row; the best of comparable runs is bold."""
    cells = [decimal(value, 3) for value in values]
    for group in _comparable(runs) if best else []:
        there = {number: value for number in group if (value := values[number]) is not None and math.isfinite(value)}
        if best and len(there) > 1:
            top = best(there.values())
            cells = [f"<b>{cell}</b>" if there.get(number) == top else cell for number, cell in enumerate(cells)]
    return cells


def _comparable(runs: Sequence[Run]) -> list[list[int]]:
    """Group the runs that predict the same targets of the same rows."""
    groups: dict[str, list[int]] = {}
    for number, run in enumerate(runs):
        same = (run.config["objective"], run.config["rows"], run.config["train"].get("eval_rows"), fingerprint(run) or number)
        groups.setdefault(json.dumps(same, sort_keys=True), []).append(number)
    return list(groups.values())


def _state(run: Run) -> str:
    reached = run.numbers
    if reached["finished"]:
        return f"finished, {reached['step']:,} steps"
    return f"step {reached['step']:,} of {reached['steps']:,}"


def _parent(run: Run) -> str:
    """Return the parent of a branch, from the run's newest checkpoint."""
    parent = run.state.get("branch", {}).get("parent")
    return text(f"run {parent['run'][:12]}, step {parent['step']:,}, checkpoint {parent['checkpoint'][:12]}") if parent else ""


def _circumstances(run: Run) -> list[str]:
    """Return what the run's last bits depend on, from its newest checkpoint or its config."""
    known, config = run.state.get("circumstances", {}), run.config["train"]
    processes, threads = known.get("processes", 1), known.get("threads", config.get("threads"))
    lines = [
        ", ".join(str(part) for part in (known.get("device", config.get("device")), config.get("dtype")) if part),
        str(known.get("machine", "")),
        f"{processes} processes ({known.get('strategy')})" if processes and processes > 1 else "",
        f"{threads} thread{'s' if threads > 1 else ''}" if threads else "",
        f"torch {known['torch']}" if "torch" in known else "",
        f"corpusmill {known['code']}" if "code" in known else "",
    ]
    return [line for line in lines if line]
