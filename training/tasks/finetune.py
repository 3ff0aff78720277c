"""Fine-tune a model on a task: `corpusmill finetune configs/finetune/sst2_bert.toml`.

The trainer is that of pretraining: the same command resumes the run, bit for bit, after a crash, a kill or Ctrl-C. In the
run's folder, beside what every run has: `report.json` (figures, seconds), `judged.json` (the confusion matrix and the hardest
examples of each split), `validation.answers.jsonl` and `test.answers.jsonl` (the answer to each record). With run.seeds the runs
lie in `seed-1`, `seed-2`, …, and the report has means and deviations. `corpusmill runs` shows all this on a page.
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.contract import files
from pipelines.contract.tokenizers.loading import Tokenizer
from training.data.draws import key
from training.models.families import Model, layers
from training.models.tuned import Tuned
from training.run.circumstances import circumstances
from training.run.device import Device, prepare
from training.run.distributed.processes import Learner, World, join
from training.run.progress import METRICS, REPORT, clock, read_metrics
from training.run.state import Job, Learning
from training.run.trainer import train
from training.tasks import tuned as tuning
from training.tasks.config import FinetuneConfig, load
from training.tasks.course import Epochs
from training.tasks.errors import TaskError
from training.tasks.judged import JUDGED, described
from training.tasks.records import Records
from training.tasks.rows import Rows
from training.tasks.task import WritingTask
from training.tasks.tuned import TunedModel

_SPLIT_SEED = 20_261_130  # chooses the validation records among the training records: the same in every run


@dataclass(frozen=True, slots=True)
class Split:
    """Labelled records, encoded."""

    records: Records
    rows: Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Finetuning(Job):
    """Everything that defines a fine-tuning."""

    config: FinetuneConfig
    course: Epochs
    tuned: TunedModel
    validation: Split

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the base."""
        return self.tuned.tokenizer

    def described(self, model: Model | Tuned) -> dict[str, Any]:
        """See Job."""
        return self.tuned.described()

    def measure(self, learner: Learner, device: Device, world: World) -> dict[str, float]:
        """Return the loss and the task's figures on the validation records: validation_loss, and so on."""
        return {f"validation_{name}": value for name, value in figures(self.tuned, self.validation, device, world).items()}

    def rank_of(self, measured: Any) -> float:
        """See Job: the task's metric."""
        return -float(measured[f"validation_{self.tuned.task.metric}"])

    def rate_shares(self, model: Model | Tuned) -> dict[str, float]:
        """Return what model.layer_decay makes of each weight's learning rate."""
        assert isinstance(model, Tuned)
        return layer_shares(model, self.config.model.layer_decay)

    def is_done(self, learning: Learning) -> bool:
        """Return whether the metric has not improved for train.patience evaluations."""
        patience, every = self.config.train.patience, self.config.train.eval_every
        if patience is None or every is None or learning.best_step is None:
            return False
        return learning.step - learning.best_step >= patience * every


def layer_shares(model: Tuned, decay: float) -> dict[str, float]:
    """Return each weight's share of the learning rate: decay ** (layers above it), the embeddings below all (ELECTRA, A).

    The layers of an encoder lie below those of its decoder. What is above all layers (norms, the head) has 1.
    """
    if decay == 1:
        return {}
    stack = layers(model.body)
    depth = {id(weight): number for number, layer in enumerate(stack, start=1) for weight in layer.parameters()}
    below = ("embeddings", "positions", "relative_bias")
    out: dict[str, float] = {}
    for name, weight in model.named_parameters():
        at = depth.get(id(weight), 0 if any(part in name for part in below) else len(stack) + 1)
        out[name] = decay ** (len(stack) + 1 - at)
    return out


def figures(tuned: TunedModel, split: Split, device: Device, world: World) -> dict[str, float]:
    """Return the loss per prediction and the task's figures on labelled records; every process has to call it."""
    return measured(tuned, split, device, world)[0]


def measured(tuned: TunedModel, split: Split, device: Device, world: World) -> tuple[dict[str, float], Sequence[Any]]:
    """Return what `figures` returns, and the output of each row."""
    found, loss, count = tuning.outputs_and_loss(tuned, split.rows, device, share=(world.rank, world.size))
    together: dict[int, Any] = {}
    for part in world.gather(found):
        together.update(part)
    sums = world.sums({"loss": loss, "count": float(count)})
    mean = sums["loss"] / max(1.0, sums["count"])
    found_by_row = tuning.in_order(together)
    of_loss = tuned.task.figures_of_loss(mean) if isinstance(tuned.task, WritingTask) else {}
    return {"loss": mean, **tuned.task.figures(found_by_row, split.rows, split.records), **of_loss}, found_by_row


def finetune(config_path: str | Path, overrides: tuple[str, ...] = ()) -> dict[str, Any]:
    """Train or resume the runs of a config and return their report.

    Started by torchrun, this is one of its processes; only the first reports. Raises UserError with one line that names the
    file or field and the fix; SystemExit with 128 + the signal after a signal to stop, once the run is saved.
    """
    config = load(config_path, overrides)
    command = shlex.join(["corpusmill", "finetune", str(config_path), *(word for one in overrides for word in ("--set", one))])
    device = prepare(config.train.device, config.train.dtype, config.train.threads)
    with join(device.name) as world:
        if config.run.seeds == 1:
            return _one(config, device, world, command)
        reports: list[dict[str, Any]] = []
        for number in range(config.run.seeds):
            train = config.train.model_copy(update={"seed": config.train.seed + number})
            run = config.run.model_copy(update={"out": files.join(config.run.out, f"seed-{number + 1}"), "seeds": 1})
            reports.append(_one(config.model_copy(update={"train": train, "run": run}), device, world, command))
        return _several(config, reports, world)


def _one(config: FinetuneConfig, device: Device, world: World, command: str) -> dict[str, Any]:
    """Train one run and measure it."""
    began = time.monotonic()
    job = _prepared(config, device, world, command)
    if world.rank == 0:
        print(_described(job), flush=True)
    learning = train(job, job.tuned.model, device, world)
    best = tuning.load(job.out) if world.size == 1 or world.rank == 0 else job.tuned
    seconds = time.monotonic() - began
    if world.rank:
        return {}
    report = _report(job, best, learning, device, seconds)
    _print(report, job.tuned.task.metric)
    return report


def _prepared(config: FinetuneConfig, device: Device, world: World, command: str) -> Finetuning:
    tuned, records = tuning.begin(config, config.train.seed)
    section = config.task
    held = tuned.read(section.validation) if section.validation else None
    if held is None:
        records, held = held_out_of(records, section.validation_share)
    rows = tuned.task.rows(records)
    if not len(rows):
        raise TaskError(f"{records.path}: no record can be used ({dict(rows.notes)}); correct the file")
    settings = config.train.planned(len(rows))
    size = sum(int(column.nbytes) for column in records.table.columns)
    course = Epochs(tuned.task, rows, settings.batch_rows, settings.steps, settings.seed, size)
    return Finetuning(
        config=config.model_copy(update={"train": settings}),
        course=course,
        circumstances=circumstances(settings, device, world),
        command=command,
        tuned=tuned,
        validation=Split(held, tuned.task.rows(held)),
    )


def held_out(tuned: TunedModel, path: str | None = None) -> Split:
    """Return labelled records that a tuned model has not learnt from: those of a file, or its test, or its validation records.

    Raises TaskError if they cannot be read.
    """
    section = tuned.section
    if named := path or section.test or section.validation:
        records = tuned.read(named)
    else:
        records = held_out_of(tuned.read(section.train), section.validation_share)[1]
    return Split(records, tuned.task.rows(records))


def held_out_of(records: Records, share: float) -> tuple[Records, Records]:
    """Return the training records without those held out, and these: chosen by hash, the same in every run."""
    held = key(_SPLIT_SEED, np.arange(len(records))) < np.uint64(share * 2.0**64)
    if held.all() or not held.any():
        raise TaskError(f"{records.path}: has {len(records):,} records, too few to hold some out; name task.validation")
    return records.where(~held), records.where(held)


def _described(job: Finetuning) -> str:
    rows, parameters = job.course.rows, list(job.tuned.model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    left_out = "".join(f"; {count:,} {reason}" for reason, count in rows.notes.items() if count)
    return (
        f"task    {job.config.task.name or job.config.task.kind}: {len(rows):,} rows, {rows.lengths.mean():.1f} tokens each, "
        f"{rows.cropped:,} cropped{left_out}; {job.course.steps:,} steps of {job.course.batch_rows} rows\n"
        f"weights {sum(p.numel() for p in parameters):,}, of which {trained:,} are trained"
    )


def _report(job: Finetuning, best: TunedModel, learning: Learning, device: Device, seconds: float) -> dict[str, Any]:
    """Measure the finished run's model on the validation and the test records; write and return the report."""
    config, alone = job.config, World(device=device.name)
    splits = {"validation": job.validation}
    if config.task.test:
        records = best.read(config.task.test)
        splits["test"] = Split(records, best.task.rows(records))
    lines = read_metrics(job.out / METRICS)
    report: dict[str, Any] = {
        "out": str(job.out),
        "task": config.task.name or config.task.kind,
        "base": config.model.beginning,
        "metric": best.task.metric,
        "steps": learning.step,
        "best_step": learning.best_step,
        "seconds": round(seconds, 1),
        "training_rows": len(job.course.rows),
        "cropped_rows": job.course.rows.cropped,
        "left_out": dict(job.course.rows.notes),
        "signatures": best.task.signatures() if isinstance(best.task, WritingTask) else {},
        "first": {
            name: lines[0][f"validation_{name}"] for name in ("loss", best.task.metric) if f"validation_{name}" in lines[0]
        },
    }
    judged: dict[str, Any] = {}
    for name, split in splits.items():
        report[name], found = measured(best, split, device, alone)
        answers = best.task.answers(found, split.rows, split.records)
        text = "".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers)
        files.write_text(str(job.out / f"{name}.answers.jsonl"), text)
        fields = [field for field in best.task.FIELDS if field not in best.task.LABELS]
        found_hard = best.task.judged(found, split.rows, split.records)
        judged[name] = {report["task"]: described(found_hard, split.records, fields)}
    files.write_text(str(job.out / JUDGED), json.dumps(judged, ensure_ascii=False) + "\n")
    files.write_text(str(job.out / REPORT), json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    return report


def _several(config: FinetuneConfig, reports: list[dict[str, Any]], world: World) -> dict[str, Any]:
    """Write and return the report of several seeds: the mean of each figure and its standard deviation (N - 1)."""
    if world.rank:
        return {}
    out: dict[str, Any] = {"out": config.run.out, "seeds": len(reports), "metric": reports[0]["metric"], "runs": reports}
    for split in ("validation", "test"):
        if split in reports[0]:
            out[split] = {
                name: {"mean": float(np.mean(values)), "deviation": float(np.std(values, ddof=1))}
                for name in reports[0][split]
                for values in [[report[split][name] for report in reports]]
            }
    files.write_text(files.join(config.run.out, REPORT), json.dumps(out, indent=1, ensure_ascii=False) + "\n")
    for split in ("validation", "test"):
        if split in out:
            figure = out[split][out["metric"]]
            name = f"{len(reports)} seeds, {split} {out['metric']}"
            print(f"{name}: {figure['mean']:.4f} ± {figure['deviation']:.4f}")
    return out


def _print(report: dict[str, Any], metric: str) -> None:
    print(f"done    {report['steps']:,} steps, {clock(report['seconds'])}; {report['out']}")
    for split in ("validation", "test"):
        if split in report:
            values = sorted(report[split].items(), key=lambda item: item[0] != metric)
            print(f"{split:<10} " + ", ".join(f"{name} {value:.4f}" for name, value in values))
    for name, signature in report["signatures"].items():
        print(f"           {name}: {signature}")


def run(arguments: argparse.Namespace) -> int:
    """Fine-tune what the command line names (training.arguments.add_finetune); return the exit code."""
    report = finetune(arguments.config, tuple(arguments.set))
    if arguments.json and report:
        json.dump(report, sys.stdout, ensure_ascii=False)
        print()
    return 0
