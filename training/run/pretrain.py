"""Pretrain a model on a tokens dataset: `corpusmill pretrain configs/pretrain/gpt_demo.toml`.

The same command resumes the run after a crash, a kill or Ctrl-C, and only reports once the run is finished. Several processes:
`torchrun --no-python --nproc-per-node 8 corpusmill pretrain CONFIG`.
"""

import argparse
import json
import math
import shlex
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pipelines.contract import files
from pipelines.contract.settings import ConfigError
from pipelines.contract.tokenizers.loading import Tokenizer
from training.checkpoints import remote
from training.checkpoints.trained import first_weights, weights_for
from training.generation.texts import speller_of
from training.models.families import Model, Shape, layers, make
from training.models.recompute import recompute
from training.models.t5 import T5Shape
from training.run import branch as branches
from training.run.branch import Branch
from training.run.circumstances import circumstances
from training.run.config import PretrainConfig, load
from training.run.device import Device, prepare
from training.run.distributed.processes import World, join, lost
from training.run.feed import open_feed
from training.run.phases import open_course, with_steps
from training.run.pretraining import Pretraining
from training.run.progress import METRICS, REPORT, clock, read_metrics
from training.run.remembered import remembered
from training.run.resources import flops
from training.run.resources.fit import what_fits
from training.run.resources.footprint import empty_model
from training.run.resources.plan import does_not_fit, lines, no_space, plan, refuse_if_too_large
from training.run.resume import refuse_branch
from training.run.state import TrainingError
from training.run.terms import words
from training.run.trainer import train
from training.run.validation import micro_batch, terms_of, unigram_entropy, validation

VALIDATION = "validation"


@dataclass(frozen=True, slots=True)
class Report:
    """The results of a finished run. Losses are nats per target, over the same rows of the validation split."""

    out: str
    steps: int
    tokens: int  # read
    bytes: int  # UTF-8, of the text that was read
    first_validation_loss: float
    last_validation_loss: float
    best_validation_loss: float
    unigram_entropy: float
    first_bits_per_byte: float | None  # for causal_lm
    last_bits_per_byte: float | None
    skipped: int  # skipped updates
    sample: str
    terms: dict[str, float] = field(default_factory=dict[str, float])  # of the last validation, for BERT (run/terms.py)


def pretrain(config_path: str | Path, overrides: tuple[str, ...] = (), *, dry_run: bool = False) -> Report | None:
    """Train or resume the run of a config and return its report; with `dry_run`, only print the plan and return None.

    Started by torchrun, this is one of its processes; only the first returns a report. Raises UserError (ConfigError,
    DatasetError, FeedError, CheckpointError, TrainingError, SpikeError) with one line that names the file or field and the fix;
    SystemExit with 128 + the signal after SIGTERM, SIGINT, SIGHUP or SIGUSR1, once the run is saved.
    """
    config = load(config_path, overrides)
    command = _command(config_path, overrides)
    device = prepare(config.train.device, config.train.dtype, config.train.threads)
    with join(device.name) as world:
        try:
            return _pretrain(config, device, world, dry_run=dry_run, command=command)
        except (RuntimeError, MemoryError, OSError) as error:
            if advice := does_not_fit(error, config) or no_space(error) or lost(error, world):
                raise TrainingError(f"{config.run.out}: {advice}") from error
            raise


def _command(config_path: str | Path, overrides: tuple[str, ...]) -> str:
    """Return the command line of a run, without its folder and its parent."""
    kept = [word for word in overrides if word.partition("=")[0].strip() not in ("run.out", "train.branch_from")]
    return shlex.join(["corpusmill", "pretrain", str(config_path), *(word for one in kept for word in ("--set", one))])


def _pretrain(config: PretrainConfig, device: Device, world: World, *, dry_run: bool, command: str) -> Report | None:
    if not dry_run:
        world.first(lambda: remote.pull(config.run.out, lambda text: print(text, file=sys.stderr)))
    branch = world.first(lambda: branches.begun(config))
    config = branches.placed(config, branch)
    job = replace(_prepared(config, device, world), branch=branch, command=command)
    config, tokenizer = job.config, job.tokenizer
    shape = config.model.shape(tokenizer.size, config.positions)
    refuse_long_prompt(config, shape, tokenizer)
    planned = plan(job, device, world.size)
    if not planned.fits:
        planned = replace(planned, advice=what_fits(job, device, world.size, planned))
    if world.rank == 0:
        for line in lines(planned):
            print(line, flush=True)
        if (warning := flops.slower(device.name, device.dtype)) is not None:
            print(warning, file=sys.stderr)
    if dry_run:
        model = empty_model(shape, device)
        if config.train.init_from is not None:
            first_weights(config.train.init_from, model, tokenizer)
        if branch is not None:
            _print_branch(job, branch, model)
        return None
    refuse_if_too_large(planned)
    model = make(shape, config.train.seed)
    return _run(job, model, device, world)


def refuse_long_prompt(config: PretrainConfig, shape: Shape, tokenizer: Tokenizer) -> None:
    """Raise ConfigError, before anything is trained, for a prompt of [sample] that the finished model could not read."""
    if not config.sample.tokens or isinstance(shape, T5Shape):
        return
    words = speller_of(shape, tokenizer)
    tokens = len(words.row(words.with_mask(config.sample.prompt)))
    if tokens > shape.length:
        raise ConfigError(
            f"sample.prompt: has {tokens:,} tokens, and the model {shape.length:,} positions; give a shorter one, or set "
            "sample.tokens = 0, which writes no sample"
        )


def _print_branch(job: Pretraining, branch: Branch, model: Model) -> None:
    """Check that the model can go on from the parent, and print what is not bit-equal."""
    found = branch.open()
    refuse_branch(found, job)
    weights_for(model, found)
    print("\n".join(branches.lines(branch, found, job.config, job.course.identity())))


def _prepared(config: PretrainConfig, device: Device, world: World) -> Pretraining:
    """Return the job; the first process builds missing row indexes before the others open them."""
    if world.rank:
        world.barrier()
        return prepare_job(config, device, world)
    job = prepare_job(config, device, world)
    world.barrier()
    return job


def _run(job: Pretraining, model: Model, device: Device, world: World) -> Report | None:
    settings = job.config.train
    if settings.activation_checkpointing:
        recompute(layers(model))
    if settings.compile:
        for layer in layers(model):
            layer.compile()
    began = time.monotonic()
    job = replace(job, memory=remembered(job.config, model, job.tokenizer, device, world))
    feed = job.course.last
    peak = flops.peak(device.name, device.dtype, settings.peak_tflops)
    learning = train(
        job,
        model,
        device,
        world,
        flops_per_row=flops.row(model.shape, feed.objective, feed.config.rows.length),
        peak=None if peak is None else peak * world.size,
    )
    _, text = job.sample(learning.learner, world) or ("", "") if job.config.sample.tokens else ("", "")
    if world.rank:
        return None
    report = _report(job, text)
    remote.push(job.config.run.out)
    _print(report, time.monotonic() - began)
    return report


def prepare_job(config: PretrainConfig, device: Device, world: World) -> Pretraining:
    """Open the rows of both splits and assemble what the loop needs.

    Raises UserError, as `open_feed`, for data that cannot be trained on.
    """
    folder = config.data.rows or remote.folder_of(config.run.out) / "rows"
    config = with_steps(config, folder)
    held_out = open_feed(config, folder=folder, split=VALIDATION)
    return Pretraining(
        config=config,
        course=open_course(config, folder),
        validation=validation(held_out, VALIDATION, config.train.eval_rows, micro_batch(config, world.size)),
        circumstances=circumstances(config.train, device, world),
    )


def _report(job: Pretraining, text: str) -> Report:
    metrics = read_metrics(job.out / METRICS)
    lines = [line for line in metrics if "validation_loss" in line]
    if not lines or lines[-1]["step"] != job.course.steps:
        raise TrainingError(
            f"{job.out / METRICS}: has no validation loss of step {job.course.steps:,}, so there is no report; the run is "
            "finished and its checkpoints are whole: put the file back, or measure the model with `corpusmill evaluate`"
        )
    if lines[0]["step"]:
        print(f"{job.out / METRICS}: begins at step {lines[0]['step']:,}, from which the first losses are", file=sys.stderr)
    finite = [line["validation_loss"] for line in lines if math.isfinite(line["validation_loss"])]
    report = Report(
        out=str(job.out) if files.is_local(job.config.run.out) else job.config.run.out,
        steps=lines[-1]["step"],
        tokens=lines[-1]["tokens"],
        bytes=lines[-1]["bytes"],
        first_validation_loss=lines[0]["validation_loss"],
        last_validation_loss=lines[-1]["validation_loss"],
        best_validation_loss=min(finite, default=math.nan),
        unigram_entropy=unigram_entropy(job.course.last, job.validation),
        first_bits_per_byte=lines[0].get("validation_bits_per_byte"),
        last_bits_per_byte=lines[-1].get("validation_bits_per_byte"),
        skipped=sum("skipped" in line for line in metrics),
        sample=text,
        terms=terms_of(lines[-1]),
    )
    files.write_text(str(job.out / REPORT), json.dumps(asdict(report), indent=1, ensure_ascii=False) + "\n")
    return report


def _print(report: Report, seconds: float) -> None:
    print(f"done    {report.steps:,} steps, {report.tokens:,} tokens, {clock(seconds)}; {report.out}")
    print(
        f"loss    validation {report.first_validation_loss:.3f} -> {report.last_validation_loss:.3f} nats per token; "
        f"unigram entropy of the same targets {report.unigram_entropy:.3f}"
    )
    if report.last_bits_per_byte is not None:
        print(f"        validation {report.first_bits_per_byte:.3f} -> {report.last_bits_per_byte:.3f} bits per byte")
    if report.terms:
        print("        validation " + ", ".join(f"{words(name)} {value:.3f}" for name, value in report.terms.items()))
    if report.sample:
        print(f"sample  {report.sample}")


def run(arguments: argparse.Namespace) -> int:
    """Train what the command line names (training.arguments.add_pretrain); return the exit code."""
    branch = () if arguments.branch_from is None else (f"train.branch_from={json.dumps(arguments.branch_from)}",)
    pretrain(arguments.config, (*arguments.set, *branch), dry_run=arguments.dry_run)
    return 0
