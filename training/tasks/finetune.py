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
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.contract import files
from pipelines.contract.settings import read, validated
from training.data.draws import key
from training.models.tuned import Tuned
from training.run.circumstances import circumstances
from training.run.device import Device, prepare
from training.run.distributed.processes import World, join
from training.run.progress import METRICS, REPORT, clock, read_metrics
from training.run.state import Learning
from training.run.trainer import train
from training.tasks import tuned as tuning
from training.tasks.config import FinetuneConfig, MixedConfig, TuneSection, load_any
from training.tasks.course import Epochs
from training.tasks.errors import TaskError
from training.tasks.input.records import Records, few
from training.tasks.input.rows import Rows
from training.tasks.job import Finetuning, Part, Split, held_out_of, measured, together
from training.tasks.judged import JUDGED, described
from training.tasks.mixed import Mixture, Together, joined, rates
from training.tasks.sweep import SweepSection, Watch, search
from training.tasks.task import WritingTask
from training.tasks.tuned import TunedModel

_SHOTS_SEED = 20_261_131  # with train.seed, chooses the records of task.shots


def finetune(config_path: str | Path, overrides: tuple[str, ...] = (), sweep: str | None = None) -> dict[str, Any]:
    """Train or resume the runs of a config and return their report; with a section `sweep`, here or in another file, a sweep.

    Started by torchrun, this is one of its processes; only the first reports. Raises UserError with one line that names the
    file or field and the fix; SystemExit with 128 + the signal after a signal to stop, once the run is saved.
    """
    data = read(config_path, overrides, "finetune")
    swept = read(sweep).get("sweep", {}) if sweep else data.pop("sweep", None)
    command = shlex.join(["corpusmill", "finetune", str(config_path), *(word for one in overrides for word in ("--set", one))])
    if swept is not None:
        section = validated(SweepSection, swept, f"{sweep or config_path}: sweep")
        return search(data, section, str(config_path), lambda config, watch: _trial(config, watch, command))
    config = load_any(config_path, overrides)
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


def _trial(config: FinetuneConfig | MixedConfig, watch: Watch, command: str) -> dict[str, Any]:
    """Train and measure a run of a sweep; the report is empty if it ended early."""
    device = prepare(config.train.device, config.train.dtype, config.train.threads)
    with join(device.name) as world:
        if world.size > 1:
            raise TaskError("sweep: runs in one process; start it without torchrun")
        return _one(config, device, world, command, watch)


def _one(
    config: FinetuneConfig | MixedConfig, device: Device, world: World, command: str, watch: Watch | None = None
) -> dict[str, Any]:
    """Train one run and measure it, unless its trial ended early."""
    began = time.monotonic()
    job = replace(_prepared(config, device, world, command), watch=watch)
    if world.rank == 0:
        print(_described(job), flush=True)
    learning = train(job, job.model, device, world)
    seconds = time.monotonic() - began
    if world.rank or (watch is not None and watch.pruned):
        return {}
    best = tuning.load_several(job.out)
    report = _report(job, best, learning, device, seconds)
    _print(report)
    return report


def _prepared(config: FinetuneConfig | MixedConfig, device: Device, world: World, command: str) -> Finetuning:
    if isinstance(config, MixedConfig):
        begun = tuning.begin_several(config, config.train.seed)
    else:
        begun = {config.task.name or config.task.kind: tuning.begin(config, config.train.seed)}
    parts: list[Part] = []
    rows: list[Rows] = []
    text_bytes = 0
    for name, (tuned, records) in begun.items():
        learnt, held = _split(tuned, records, config.train.seed)
        rows.append(tuned.task.rows(learnt))
        if not len(rows[-1]):
            raise TaskError(f"{records.path}: no record can be used ({dict(rows[-1].notes)}); correct the file")
        tested = tuned.read(tuned.section.test) if tuned.section.test else None
        test = None if tested is None else Split(tested, tuned.task.rows(tested))
        parts.append(Part(name, tuned, Split(held, tuned.task.rows(held)), test))
        text_bytes += sum(int(column.nbytes) for column in learnt.table.columns)
    settings = config.train.planned(sum(map(len, rows)))
    course, model = _course(config, settings, parts, rows, text_bytes)
    return Finetuning(
        config=config.model_copy(update={"train": settings}),
        course=course,
        circumstances=circumstances(settings, device, world),
        command=command,
        model=model,
        parts=tuple(parts),
    )


def _split(tuned: TunedModel, records: Records, seed: int) -> tuple[Records, Records]:
    """Return the records to train on and those to validate on."""
    section = tuned.section
    held = tuned.read(section.validation) if section.validation else None
    if held is None:
        records, held = held_out_of(records, section.validation_share)
    if (shots := getattr(section, "shots", None)) is not None:
        records = records.where(few(records.texts("label"), shots, key(_SHOTS_SEED, seed, np.arange(len(records)))))
    return records, held


def _course(
    config: FinetuneConfig | MixedConfig, settings: TuneSection, parts: Sequence[Part], rows: Sequence[Rows], text_bytes: int
) -> tuple[Epochs, Tuned]:
    """Return the course of the training, and the model that is trained."""
    order = (settings.batch_rows, settings.steps, settings.seed, text_bytes)
    first = parts[0].tuned
    if not isinstance(config, MixedConfig):
        return Epochs(first.task, rows[0], *order), first.model
    sizes = {part.name: len(one) for part, one in zip(parts, rows, strict=True)}
    shares = rates(config.mixing, sizes, {part.name: part.tuned.section.rate for part in parts})
    both = Together(config.mixing.label_smoothing)
    return Mixture(both, joined(rows), *order, shares, tuple(sizes.values())), Tuned(first.model.body, None, both.losses)


def _described(job: Finetuning) -> str:
    rows, parameters = job.course.rows, list(job.model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    shares = job.course.rates.items() if isinstance(job.course, Mixture) else ()
    mixed = f"rates   {', '.join(f'{name} {rate:.3f}' for name, rate in shares)}\n" * bool(shares)
    left_out = "".join(f"; {count:,} {reason}" for reason, count in rows.notes.items() if count)
    return (
        f"task    {job.name}: {len(rows):,} rows, {rows.lengths.mean():.1f} tokens each, "
        f"{rows.cropped:,} cropped{left_out}; {job.course.steps:,} steps of {job.course.batch_rows} rows\n{mixed}"
        f"weights {sum(p.numel() for p in parameters):,}, of which {trained:,} are trained"
    )


def _report(
    job: Finetuning, best: Mapping[str, TunedModel], learning: Learning, device: Device, seconds: float
) -> dict[str, Any]:
    """Measure the finished run's model on the validation and the test records; write and return the report."""
    lines = read_metrics(job.out / METRICS)
    report: dict[str, Any] = {
        "out": str(job.out),
        "task": job.name,
        "base": job.config.model.beginning,
        "metric": job.metric,
        "steps": learning.step,
        "best_step": learning.best_step,
        "seconds": round(seconds, 1),
        "training_rows": len(job.course.rows),
        "cropped_rows": job.course.rows.cropped,
        "left_out": dict(job.course.rows.notes),
        "signatures": {name: signature for one in best.values() for name, signature in _signatures(one).items()},
        "first": {name: lines[0][f"validation_{name}"] for name in ("loss", job.metric) if f"validation_{name}" in lines[0]},
    }
    if isinstance(job.course, Mixture):
        report |= {"rates": dict(job.course.rates), "rows": dict(zip(best, job.course.counts_of_tasks, strict=True))}
    judged: dict[str, Any] = {}
    for split in ("validation", "test"):
        each: dict[str, dict[str, float]] = {}
        for part in job.parts:
            if (records := part.validation if split == "validation" else part.test) is not None:
                name = f"{split}.{part.name}" if len(job.parts) > 1 else split
                each[part.name], hard = _measure(job.out / f"{name}.answers.jsonl", best[part.name], records, device)
                judged.setdefault(split, {})[part.name] = hard
        if each:
            report[split] = together(each, job.parts)
    files.write_text(str(job.out / JUDGED), json.dumps(judged, ensure_ascii=False) + "\n")
    files.write_text(str(job.out / REPORT), json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    return report


def _signatures(tuned: TunedModel) -> Mapping[str, str]:
    return tuned.task.signatures() if isinstance(tuned.task, WritingTask) else {}


def _measure(path: Path, tuned: TunedModel, split: Split, device: Device) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the figures of a task on a split, and what is hard; write its answers."""
    records, rows = split
    found, outputs = measured(tuned, split, device, World(device=device.name))
    answers = tuned.task.answers(outputs, rows, records)
    files.write_text(str(path), "".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers))
    fields = [field for field in tuned.task.FIELDS if field not in tuned.task.LABELS]
    return found, described(tuned.task.judged(outputs, rows, records), records, fields)


def _several(config: FinetuneConfig | MixedConfig, reports: list[dict[str, Any]], world: World) -> dict[str, Any]:
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


def _print(report: dict[str, Any]) -> None:
    print(f"done    {report['steps']:,} steps, {clock(report['seconds'])}; {report['out']}")
    for split in ("validation", "test"):
        if split in report:
            values = sorted(report[split].items(), key=lambda item: item[0] != report["metric"])
            print(f"{split:<10} " + ", ".join(f"{name} {value:.4f}" for name, value in values))
    for name, signature in report["signatures"].items():
        print(f"           {name}: {signature}")


def run(arguments: argparse.Namespace) -> int:
    """Fine-tune what the command line names (training.arguments.add_finetune); return the exit code."""
    report = finetune(arguments.config, tuple(arguments.set), arguments.sweep)
    if arguments.json and report:
        json.dump(report, sys.stdout, ensure_ascii=False)
        print()
    return 0
