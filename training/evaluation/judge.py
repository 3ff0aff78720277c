"""Compare a candidate with the model it would replace, on the same rows: `corpusmill judge CANDIDATE CURRENT`.

    held out          rows  candidate   current
    enwiki              96      4.021     4.033
    enwiki@2026-12      32      4.410     4.702
    all                128      4.118     4.200

Rows are those of the validation split that the candidate's run evaluated on; losses are nats per target. Both models are loaded
from their newest checkpoints and measured by the same code, so equal weights have equal losses.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.contract import files
from pipelines.contract.errors import UserError
from training.checkpoints import trained
from training.checkpoints.remote import here
from training.run.config import PretrainConfig
from training.run.device import prepare
from training.run.distributed.processes import Learner, World
from training.run.feed import open_feed
from training.run.pretrain import VALIDATION
from training.run.state import CONFIG
from training.run.validation import LOSS, measure, micro_batch, validation


class JudgeError(UserError):
    """Two models cannot be compared; the message names the folder and the fix."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The losses of both models on the same rows, in nats per target, for all rows and by source."""

    rows: int
    candidate: float
    current: float
    sources: dict[str, tuple[float, float]]  # candidate, current


def judge(candidate: str | Path, current: str | Path, rows: int | None = None) -> Judgement:
    """Measure the newest checkpoints of two runs on the validation split of the first.

    Use `rows` rows, or all if there are fewer; by default as many as in the candidate's training. Raises UserError (JudgeError,
    CheckpointError, DatasetError) with the folder and the fix.
    """
    folder, other = here(candidate), here(current)
    config = _config(folder)
    device = prepare(config.train.device, config.train.dtype, config.train.threads)
    feed = open_feed(config, folder=config.data.rows or folder / "rows", split=VALIDATION)
    rows = config.train.eval_rows if rows is None else rows
    if rows < 1:
        raise JudgeError(f"rows: must be 1 or more, not {rows}; leave it out for the {config.train.eval_rows} of the training")
    held_out = validation(feed, VALIDATION, rows, micro_batch(config))  # cut as in training: sums round alike
    figures: list[dict[str, float]] = []
    for path in (folder, other):
        model = trained.load(path)
        if model.family != config.model.family or model.tokenizer.sha256 != feed.dataset.tokenizer.sha256:
            raise JudgeError(
                f"{model.where}: is a {model.family} of {model.tokenizer.size:,} pieces, which is not what {folder} was trained "
                f"as ({config.model.family}, {feed.dataset.tokenizer.size:,} pieces, the same tokenizer); name another model"
            )
        positions = getattr(model.model.shape, "length", None)
        if positions is not None and positions < config.rows.length:
            raise JudgeError(
                f"{model.where}: has {positions:,} positions, and the held-out rows of {folder} have {config.rows.length:,} "
                "tokens (rows.length); name a model with as many"
            )
        model.model.to(device.name)
        figures.append(measure(Learner(model.model), held_out, device, World(device=device.name)))
    mine, theirs = figures
    return Judgement(
        rows=sum(len(next(iter(batch.examples.values()))) for batch in held_out.batches),
        candidate=mine[LOSS],
        current=theirs[LOSS],
        sources={source: (mine[f"{LOSS}/{source}"], theirs[f"{LOSS}/{source}"]) for source in held_out.sources},
    )


def table(judgement: Judgement) -> list[str]:
    """Format a judgement for people; the module shows an example."""
    width = max(8, *(len(source) for source in judgement.sources))
    lines = [f"{'held out':<{width}}  candidate    current"]
    rows = [*judgement.sources.items(), ("all", (judgement.candidate, judgement.current))]
    return lines + [f"{name:<{width}}  {mine:9.4f}  {theirs:9.4f}" for name, (mine, theirs) in rows]


def as_json(judgement: Judgement) -> dict[str, Any]:
    """Return the fields as JSON; a loss that is not finite is null."""
    return json.loads(json.dumps(asdict(judgement)), parse_constant=lambda _name: None)


def _config(folder: Path) -> PretrainConfig:
    path = folder / CONFIG
    try:
        return PretrainConfig.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise JudgeError(f"{folder}: has no {CONFIG}; the candidate has to be a pretraining run") from None
    except ValueError as error:
        raise JudgeError(f"{path}: is not a config of this release ({' '.join(str(error).split())})") from None


def run(arguments: argparse.Namespace) -> int:
    """Judge the two models of the command line (training.arguments.add_judge); return the exit code."""
    judgement = judge(arguments.candidate, arguments.current, arguments.rows)
    if arguments.out:
        files.write_text(arguments.out, json.dumps(as_json(judgement), indent=1, ensure_ascii=False) + "\n")
    print("\n".join(table(judgement)))
    return 0
