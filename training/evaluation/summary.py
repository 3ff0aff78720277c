"""Evaluation of a trained or imported model: `corpusmill evaluate RUN --blimp PATH`.

    model    gpt, 1,316,864 parameters, 4,096 pieces: build/demo-gpt/checkpoints/step-00000546

    validation     rows  predictions      bytes  nats each  bits a byte
    bible            52        6,655     25,401      4.021        1.520
    …
    all             128       16,384     68,904      4.512        1.548

    BLiMP                              pairs  accuracy
    adjunct_island                        50     0.540
    …
    mean of 34 sets                    1,700     0.561 ± 0.012

Held-out text is the run's own: the validation split of its tokens dataset, with the rows of its evaluations in training, so that
the newest checkpoint has the figures of the last line of metrics.jsonl. An import has no data; only BLiMP applies to it.
training/run/validation.py and training/evaluation/blimp.py define the figures.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipelines.contract import files
from pipelines.contract.errors import UserError
from training.arguments import BEST, NEWEST, PAIRS
from training.checkpoints import store as checkpoints
from training.checkpoints import trained
from training.checkpoints.remote import here
from training.checkpoints.store import CHECKPOINTS, MANIFEST, Checkpoint
from training.checkpoints.trained import Trained
from training.evaluation import blimp as minimal_pairs
from training.evaluation.blimp import BlimpReport
from training.run.config import PretrainConfig
from training.run.device import Device, prepare
from training.run.distributed.processes import Learner, World
from training.run.feed import open_feed
from training.run.pretrain import VALIDATION
from training.run.state import CONFIG
from training.run.validation import BITS, LOSS, Validation, measure, micro_batch, terms_of, validation

_TERMS = {
    "tokens_accuracy": "right",
    "pairs_loss": "nats a pair",
    "pairs_accuracy": "pairs right",
}  # columns of the table, for BERT
EVALUATIONS = "evaluations"  # in the folder of a run or an import: one <checkpoint>.json for each checkpoint


class EvaluationError(UserError):
    """A model cannot be evaluated; the message names the folder and the fix."""


@dataclass(frozen=True, slots=True)
class SourceScore:
    """A model's result on held-out rows of a source."""

    source: str
    rows: int
    predictions: int
    utf8_bytes: float | None  # of the text of the predictions; for causal_lm
    loss: float  # nats per prediction
    bits_per_byte: float | None  # for causal_lm
    terms: dict[str, float] = field(default_factory=dict[str, float])  # for BERT, see training/run/terms.py


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The results of a model."""

    checkpoint: str  # its folder
    step: int
    family: str
    parameters: int
    vocabulary: int  # pieces of the tokenizer
    tokens: str | None  # the dataset of the held-out text; None: not evaluated
    sources: tuple[SourceScore, ...]  # by name
    validation: SourceScore | None  # of all sources, named "all"
    blimp: BlimpReport | None  # None: not evaluated

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON, with the mean, the standard error and the number of pairs of BLiMP."""
        facts = {**asdict(self), "sources": [asdict(source) for source in self.sources]}
        if self.blimp is not None:
            figures = {"mean": self.blimp.mean, "standard_error": self.blimp.standard_error, "pairs": self.blimp.pairs}
            facts["blimp"] = {**figures, "sets": [asdict(one) for one in self.blimp.sets]}
        return facts


def evaluate(
    run: str | Path,
    *,
    blimp: str | Path | None = None,
    pairs: int | None = PAIRS,
    checkpoint: str = NEWEST,
    rows: int | None = None,
    device: Literal["cpu", "cuda", "auto"] = "auto",
    threads: int | None = None,
) -> Evaluation:
    """Load a model and evaluate it.

    Args:
        run: folder of a pretraining run, of an import, or of a checkpoint; the last two have no held-out text.
        blimp: a folder of BLiMP's sets (training/evaluation/blimp.py); None skips them.
        pairs: number of pairs of each set, from the first; None takes all.
        checkpoint: "newest", "best" (what train.keep_best kept), a name below the run's checkpoints, or a path.
        rows: number of validation rows, or all if there are fewer; by default as in training; 0 skips them.
        device: where the model runs.
        threads: CPU threads; by default the run's.

    Raises UserError (EvaluationError, CheckpointError, ConfigError, DatasetError, BlimpError) that names the file and the fix.
    """
    folder = here(run)
    chosen = find(folder, checkpoint)
    model = trained.load(chosen.path, compressed=True)
    config = _config(folder)
    settings = None if config is None else config.train
    where = prepare(device, "float32" if settings is None else settings.dtype, threads or (settings and settings.threads))
    if blimp is not None:  # report a wrong folder before computing anything
        minimal_pairs.read_sets(blimp, pairs)
    model.model.to(where.name)
    wants_text = config is not None and rows != 0
    sources, total = _held_out(folder, config, model, where, rows) if config is not None and wants_text else ((), None)
    return Evaluation(
        checkpoint=str(chosen.path),
        step=chosen.step,
        family=model.family,
        parameters=trained.parameters_described(chosen.fact("model")),
        vocabulary=model.tokenizer.size,
        tokens=config.data.tokens if config is not None and wants_text else None,
        sources=sources,
        validation=total,
        blimp=None if blimp is None else minimal_pairs.score(model, blimp, pairs),
    )


def save(run: str | Path, evaluation: Evaluation) -> Path | None:
    """Write the evaluation as RUN/evaluations/<checkpoint>.json, replacing an earlier one; return its path.

    The folder of a single checkpoint is left unchanged, as is an earlier evaluation if nothing was measured; None is returned.
    """
    if not (Path(run) / CHECKPOINTS).is_dir() or (evaluation.validation is None and evaluation.blimp is None):
        return None
    path = Path(run) / EVALUATIONS / f"{Path(evaluation.checkpoint).name}.json"
    files.write_text(str(path), json.dumps(evaluation.as_json(), indent=1, ensure_ascii=False) + "\n")
    return path


def table(evaluation: Evaluation) -> str:
    """Format an evaluation for people; the module shows an example."""
    facts = f"{evaluation.family}, {evaluation.parameters:,} parameters, {evaluation.vocabulary:,} pieces"
    parts = [f"model    {facts}: {evaluation.checkpoint}"]
    if evaluation.validation is not None:
        names = ("validation", "rows", "predictions", "bytes", "nats each", "bits a byte", *_TERMS.values())
        shown = [_cells(score) for score in (*evaluation.sources, evaluation.validation)]
        kept = [n for n in range(len(names)) if n < 3 or any(cells[n] for cells in shown)]
        parts.append(_columns([[line[n] for n in kept] for line in (names, *shown)]))
    if (blimp := evaluation.blimp) is not None:
        lines = [("BLiMP", "pairs", "accuracy"), *((s.name, f"{s.pairs:,}", f"{s.accuracy:.3f}") for s in blimp.sets)]
        sets = f"mean of {len(blimp.sets)} sets"
        mean = (sets, f"{blimp.pairs:,}", f"{blimp.mean:.3f}")
        parts.append(f"{_columns([*lines, mean])} ± {blimp.standard_error:.3f}")
    return "\n\n".join(parts)


def find(folder: Path, which: str) -> Checkpoint:
    """Find the newest or best checkpoint of a folder, or one by name or path. Raises CheckpointError, EvaluationError."""
    if which == NEWEST:
        return trained.find(folder)
    if which == BEST:
        best = checkpoints.best(folder / CHECKPOINTS)
        if best is None:
            raise EvaluationError(f"{folder}: keeps no best checkpoint; train with train.keep_best = true, or take the newest")
        return best
    for path in (folder / CHECKPOINTS / which, Path(which)):
        if path.is_dir():
            return checkpoints.read(path)
    raise EvaluationError(f"{which}: is not a checkpoint of {folder}; give newest, best, one of {_names(folder)}, or a folder")


def _names(folder: Path) -> str:
    return ", ".join(sorted(path.parent.name for path in folder.glob(f"{CHECKPOINTS}/step-*[0-9]/{MANIFEST}"))) or "none"


def _config(folder: Path) -> PretrainConfig | None:
    """Read the resolved config of a run; None if the folder is not a run's. Raises EvaluationError if it is invalid."""
    path = folder / CONFIG
    try:
        return PretrainConfig.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:  # pydantic's has several lines
        message = " ".join(str(error).split())
        raise EvaluationError(
            f"{path}: is not a config of this release ({message}); give rows = 0 to skip held-out text"
        ) from None


def _held_out(
    folder: Path, config: PretrainConfig, model: Trained, device: Device, rows: int | None
) -> tuple[tuple[SourceScore, ...], SourceScore]:
    """Evaluate held-out rows by source and together."""
    feed = open_feed(config, folder=config.data.rows or folder / "rows", split=VALIDATION)
    theirs = feed.dataset.tokenizer
    if theirs.sha256 != model.tokenizer.sha256:
        raise EvaluationError(
            f"{feed.dataset.uri}: has another tokenizer ({theirs.size:,} pieces) than {model.where} ({model.tokenizer.size:,}); "
            "it was rebuilt after the run. Build it as it was, or give rows = 0 to skip held-out text"
        )
    examples = validation(feed, VALIDATION, config.train.eval_rows if rows is None else rows, micro_batch(config))
    figures = measure(Learner(model.model), examples, device, World(device=device.name))
    by_source = tuple(_score(examples, (source,), source, figures, f"/{source}") for source in examples.sources)
    return by_source, _score(examples, examples.sources, "all", figures, "")


def _score(examples: Validation, sources: tuple[str, ...], name: str, figures: dict[str, float], suffix: str) -> SourceScore:
    rows = sum(len(next(iter(batch.examples.values()))) for batch in examples.batches if batch.source in sources)
    loss, bits = figures[LOSS + suffix], figures.get(BITS + suffix)
    terms = terms_of({key.removesuffix(suffix): value for key, value in figures.items() if key.endswith(suffix)})
    return SourceScore(name, rows, examples.targets_of(sources), examples.bytes_of(sources), loss, bits, terms)


def _cells(score: SourceScore) -> tuple[str, ...]:
    size = "" if score.utf8_bytes is None else f"{score.utf8_bytes:,.0f}"
    bits = "" if score.bits_per_byte is None else f"{score.bits_per_byte:.3f}"
    terms = (f"{score.terms[name]:.3f}" if name in score.terms else "" for name in _TERMS)
    return (score.source, f"{score.rows:,}", f"{score.predictions:,}", size, f"{score.loss:.3f}", bits, *terms)


def _columns(lines: Sequence[Sequence[str]]) -> str:
    """Align lines of cells: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )


def run(arguments: argparse.Namespace) -> int:
    """Evaluate the model of the command line (training.arguments.add_evaluate), print and save it; return the exit code."""
    evaluation = evaluate(
        arguments.folder,
        blimp=arguments.blimp,
        pairs=arguments.pairs or None,
        checkpoint=arguments.checkpoint,
        rows=arguments.rows,
        device=arguments.device,
        threads=arguments.threads or None,
    )
    path = save(arguments.folder, evaluation)
    print(json.dumps(evaluation.as_json(), indent=1, ensure_ascii=False) if arguments.json else table(evaluation))
    if evaluation.validation is None and evaluation.blimp is None:
        print("nothing was measured: only a run has held-out text; name a folder of BLiMP sets with --blimp", file=sys.stderr)
    if path is not None and not arguments.json:
        print(f"\nkept     {path}")
    return 0
