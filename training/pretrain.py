"""Pretrain a model on a tokens dataset: `python -m training.pretrain configs/pretrain/gpt_demo.toml`.

The same command goes on after a crash, a kill or Ctrl-C, and only reports when the run is finished.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from pipelines.contract import files
from training.config import PretrainConfig, load
from training.device import Device, prepare
from training.evaluate import unigram_entropy, validation
from training.feed import Feed, open_feed
from training.generate import sample_text
from training.models.families import Model, layers, make, parameters
from training.progress import clock, read_metrics
from training.trainer import METRICS, Job, train

CONFIG = "config.json"  # in the run's folder: the resolved config
REPORT = "report.json"
VALIDATION = "validation"


@dataclass(frozen=True, slots=True)
class Report:
    """What a finished run came to. Losses are nats per target, over the same rows of the validation split."""

    out: str
    steps: int
    tokens: int
    first_validation_loss: float
    last_validation_loss: float
    unigram_entropy: float
    first_bits_per_byte: float | None  # of causal_lm
    last_bits_per_byte: float | None
    sample: str


def pretrain(config_path: str | Path, overrides: tuple[str, ...] = ()) -> Report:
    """Train what the config says, or go on with it, and report.

    Raises ValueError (ConfigError, DatasetError, FeedError, CheckpointError, TrainingError) with one line that names the file or
    field and the fix; SystemExit with 143 or 130 after SIGTERM or SIGINT, when the run is saved.
    """
    config = load(config_path, overrides)
    device = prepare(config.train.device, config.train.dtype, config.train.threads)
    job = prepare_job(config, device)
    model = make(config.model.shape(job.feed.dataset.tokenizer.size, config.positions), config.train.seed)
    _introduce(job, model, device)
    if config.train.compile:
        for layer in layers(model):
            layer.compile()
    began = time.monotonic()
    train(job, model, device)
    report = _report(job, model)
    _print(report, time.monotonic() - began)
    return report


def prepare_job(config: PretrainConfig, device: Device) -> Job:
    """Open the rows of both splits and put together what the loop needs.

    Raises ValueError, as `open_feed`, for data that cannot be trained on.
    """
    folder = config.data.rows or Path(config.run.out) / "rows"
    held_out = open_feed(config, folder=folder, split=VALIDATION)
    return Job(
        config=config,
        feed=open_feed(config, folder=folder, steps=config.train.steps),
        validation=validation(held_out, VALIDATION, config.train.eval_rows),
        circumstances={"torch": torch.__version__, "device": device.name, "threads": torch.get_num_threads()},
    )


def _introduce(job: Job, model: Model, device: Device) -> None:
    """Say what is about to be trained on what, and keep the resolved config beside the run."""
    config, feed = job.config, job.feed
    files.write_text(str(job.out / CONFIG), json.dumps(config.model_dump(mode="json"), indent=1) + "\n")
    totals = feed.dataset.totals("train")
    rows, places = config.train.steps * feed.batch_rows, config.train.steps * feed.batch_rows * config.rows.length
    print(f"data    {feed.dataset.uri}: {totals['rows']:,} documents, {totals['tokens']:,} tokens, {len(feed.index):,} rows")
    for line in feed_lines(feed):
        print(line)
    print(
        f"model   {config.model.family}, {parameters(model):,} parameters, vocabulary {feed.dataset.tokenizer.size:,}, "
        f"on {device.name} ({torch.get_num_threads()} threads, {device.dtype})"
    )
    epochs = rows / len(feed.index)
    print(
        f"train   {config.train.steps:,} steps of {feed.batch_rows} rows: {places:,} tokens at most, {epochs:.2f} epochs",
        flush=True,
    )


def feed_lines(feed: Feed) -> list[str]:
    """What each source gives, for a person."""
    return [
        f"        {of.source}: {of.rows:,} rows, {of.padding_share or 0:.1%} padding, {of.cropped_share or 0:.1%} cropped"
        + ("" if of.draws is None else f"; {of.draws:,} are drawn, {of.epochs:.2f} epochs")
        for of in feed.figures()
    ]


def _report(job: Job, model: Model) -> Report:
    lines = [line for line in read_metrics(job.out / METRICS) if "validation_loss" in line]
    sample = job.config.sample
    text = ""
    if sample.tokens:
        text = sample_text(
            model,
            job.feed.dataset.tokenizer,
            sample.prompt,
            sample.tokens,
            temperature=sample.temperature,
            top_k=sample.top_k,
            seed=job.config.train.seed,
        )
    report = Report(
        out=str(job.out),
        steps=lines[-1]["step"],
        tokens=lines[-1]["tokens"],
        first_validation_loss=lines[0]["validation_loss"],
        last_validation_loss=lines[-1]["validation_loss"],
        unigram_entropy=unigram_entropy(job.feed, job.validation),
        first_bits_per_byte=lines[0].get("validation_bits_per_byte"),
        last_bits_per_byte=lines[-1].get("validation_bits_per_byte"),
        sample=text,
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
    if report.sample:
        print(f"sample  {report.sample}")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.pretrain", description=__doc__)
    parser.add_argument("config", help="TOML file, e.g. configs/pretrain/gpt_demo.toml")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="replaces a value of the config")
    given = parser.parse_args(arguments)
    pretrain(given.config, tuple(given.set))


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(str(error))
