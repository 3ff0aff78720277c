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
from training.data import sampler
from training.data.rows import Layout, RowIndex, open_rows
from training.data.shards import TokenDataset, open_dataset
from training.device import Device, prepare
from training.evaluate import unigram_entropy, validation
from training.generate import continue_text, shape
from training.models.gpt import GPT, make, parameters
from training.progress import clock, read_metrics
from training.trainer import METRICS, Job, TrainingError, train

CONFIG = "config.json"  # in the run's folder: the resolved config
REPORT = "report.json"


@dataclass(frozen=True, slots=True)
class Report:
    """What a finished run came to. Losses are nats per target, over the same rows of the validation split."""

    out: str
    steps: int
    tokens: int
    first_validation_loss: float
    last_validation_loss: float
    unigram_entropy: float
    first_bits_per_byte: float
    last_bits_per_byte: float
    sample: str


def pretrain(config_path: str | Path, overrides: tuple[str, ...] = ()) -> Report:
    """Train what the config says, or go on with it, and report.

    Raises ValueError (ConfigError, DatasetError, CheckpointError, TrainingError) with one line that names the file or
    field and the fix; SystemExit with 143 or 130 after SIGTERM or SIGINT, when the run is saved.
    """
    config = load(config_path, overrides)
    device = prepare(config.train.device, config.train.dtype, config.train.threads)
    dataset = open_dataset(config.data.tokens, config.data.name)
    job = prepare_job(config, dataset, device)
    model = make(shape(config, dataset.tokenizer.size), config.train.seed)
    _introduce(job, dataset, model, device)
    if config.train.compile:
        for layer in model.layers:
            layer.compile()
    began = time.monotonic()
    train(job, model, device)
    report = _report(job, dataset, model)
    _print(report, time.monotonic() - began)
    return report


def prepare_job(config: PretrainConfig, dataset: TokenDataset, device: Device) -> Job:
    """Open the rows of both splits and put together what the loop needs.

    Raises DatasetError for an empty split, TrainingError when there are fewer rows than a batch has.
    """
    train_rows = _rows(config, dataset, "train")
    if len(train_rows) < config.train.batch_rows:
        raise TrainingError(
            f"{dataset.uri}: the train split has {len(train_rows):,} rows of {config.model.length} tokens, fewer than one "
            f"batch of {config.train.batch_rows:,}; lower train.batch_rows or model.length"
        )
    validation_rows = _rows(config, dataset, "validation")
    identity = {
        "tokens dataset": dataset.fingerprint,
        "tokenizer": dataset.tokenizer.sha256,
        "row index": train_rows.fingerprint,
        "sampler version": sampler.VERSION,
    }
    circumstances = {"torch": torch.__version__, "device": device.name, "threads": torch.get_num_threads()}
    return Job(
        config=config,
        index=train_rows,
        sampler=sampler.sampler(train_rows.streams, config.train.seed, config.data.mixture),
        validation=validation(dataset, validation_rows, "validation", config.train.eval_rows),
        identity=identity,
        circumstances=circumstances,
    )


def _rows(config: PretrainConfig, dataset: TokenDataset, split: str) -> RowIndex:
    return open_rows(
        dataset,
        split,
        config.data.rows or Path(config.run.out) / "rows",
        Layout("concatenate", tokens=config.model.length + 1, overlap=1, separator=dataset.end_of_text()),
        seed=config.train.seed,
        verify="always" if config.data.verify else "never",
    )


def _introduce(job: Job, dataset: TokenDataset, model: GPT, device: Device) -> None:
    """Say what is about to be trained on what, and keep the resolved config beside the run."""
    settings = job.config.train
    files.write_text(str(job.out / CONFIG), json.dumps(job.config.model_dump(mode="json"), indent=1) + "\n")
    tokens = settings.steps * settings.batch_rows * job.config.model.length
    epochs = settings.steps * settings.batch_rows / len(job.index)
    totals = dataset.totals("train")
    print(f"data    {dataset.uri}: {totals['rows']:,} documents, {totals['tokens']:,} tokens, {len(job.index):,} rows")
    print(
        f"model   {job.config.model.family}, {parameters(model):,} parameters, vocabulary {dataset.tokenizer.size:,}, "
        f"on {device.name} ({torch.get_num_threads()} threads, {device.dtype})"
    )
    print(f"train   {settings.steps:,} steps of {settings.batch_rows} rows: {tokens:,} tokens, {epochs:.2f} epochs", flush=True)


def _report(job: Job, dataset: TokenDataset, model: GPT) -> Report:
    lines = [line for line in read_metrics(job.out / METRICS) if "validation_loss" in line]
    sample = job.config.sample
    text = ""
    if sample.tokens:
        text = continue_text(
            model,
            dataset.tokenizer,
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
        unigram_entropy=unigram_entropy(job.index, job.validation.batches),
        first_bits_per_byte=lines[0]["validation_bits_per_byte"],
        last_bits_per_byte=lines[-1]["validation_bits_per_byte"],
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
