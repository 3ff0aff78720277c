"""Compare a candidate with the model it would replace, on the same rows: `corpusmill judge CANDIDATE CURRENT`.

    held out        candidate    current
    enwiki             4.0210     4.0330
    enwiki@2026-12     4.4100     4.7020
    all                4.1180     4.2000

    forgetting      candidate    current  difference
    enwiki             4.0180     4.0290     -0.0110

The first rows are those of the validation split that the candidate's run evaluated on; the second are those of the data that
the current model was trained on (training/evaluation/forgetting.py). Losses are nats per target. Both models are loaded from
their newest checkpoints and measured by the same code, so equal weights have equal losses.
"""

import argparse
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipelines.contract import files
from training.checkpoints.remote import here
from training.evaluation import forgetting
from training.evaluation.forgetting import JudgeError as JudgeError  # part of this module's interface
from training.evaluation.forgetting import losses, read_config
from training.run.validation import LOSS


@dataclass(frozen=True, slots=True)
class Judgement:
    """The losses of both models on the same rows, in nats per target, for all rows and by source."""

    rows: int
    candidate: float
    current: float
    sources: dict[str, tuple[float, float]]  # candidate, current
    forgetting: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])  # by old source
    notes: tuple[str, ...] = ()  # what of the current model's data could not be measured


def judge(candidate: str | Path, current: str | Path, rows: int | None = None) -> Judgement:
    """Measure the newest checkpoints of two runs on the validation split of the first, and on that of the second one's data.

    Use `rows` rows, or all if there are fewer; by default as many as in the candidate's training. Raises UserError (JudgeError,
    CheckpointError, DatasetError) with the folder and the fix.
    """
    folder, other = here(candidate), here(current)
    found = losses(read_config(folder), folder, (folder, other), rows)
    mine, theirs = found.models
    old, notes = forgetting.forgetting(folder, other, rows, found)
    return Judgement(
        rows=found.rows,
        candidate=mine[LOSS],
        current=theirs[LOSS],
        sources={source: (mine[f"{LOSS}/{source}"], theirs[f"{LOSS}/{source}"]) for source in found.sources},
        forgetting=old,
        notes=notes,
    )


def table(judgement: Judgement) -> list[str]:
    """Format a judgement for people; the module shows an example."""
    width = max(8, *(len(source) for source in judgement.sources))
    lines = [f"{'held out':<{width}}  candidate    current"]
    rows = [*judgement.sources.items(), ("all", (judgement.candidate, judgement.current))]
    lines += [f"{name:<{width}}  {mine:9.4f}  {theirs:9.4f}" for name, (mine, theirs) in rows]
    old = forgetting.table(judgement.forgetting, judgement.notes)
    return [*lines, "", *old] if old else lines


def as_json(judgement: Judgement) -> dict[str, Any]:
    """Return the fields as JSON; a loss that is not finite is null."""
    return json.loads(json.dumps(asdict(judgement)), parse_constant=lambda _name: None)


def run(arguments: argparse.Namespace) -> int:
    """Judge the two models of the command line (training.arguments.add_judge); return the exit code."""
    judgement = judge(arguments.candidate, arguments.current, arguments.rows)
    if arguments.out:
        files.write_text(arguments.out, json.dumps(as_json(judgement), indent=1, ensure_ascii=False) + "\n")
    print("\n".join(table(judgement)))
    return 0
