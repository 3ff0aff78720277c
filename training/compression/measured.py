"""Accuracy, bytes and speed of models beside each other.

                        accuracy    macro_f1    loss           bytes           rows/s
    original              0.9120      0.9119  0.2651      90,912,345  1.00     61.2  1.00
    int8                  0.9106      0.9105  0.2660      23,456,789  0.26    118.9  1.94

A tuned model is measured on records of its task: those that are named, or its test records, or its validation records. A
pretrained one on the held-out rows of its run; an import has none, and its speed is that of random rows. Models take turns, and
the best turn of each counts: other load on the machine slows all, and rarely all turns.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from training.checkpoints import trained
from training.checkpoints.trained import TASK
from training.generation.answers import evaluated
from training.models.bart import BART
from training.models.families import Model
from training.models.t5 import T5
from training.run.config import PretrainConfig
from training.run.device import Device
from training.run.distributed.processes import Learner, World
from training.run.feed import open_feed
from training.run.pretrain import VALIDATION
from training.run.state import CONFIG
from training.run.validation import BITS, LOSS, measure, micro_batch, validation
from training.tasks import job
from training.tasks import tuned as tuning

ROUNDS = 3  # turns of each model
_RANDOM_ROWS, _RANDOM_LENGTH = 32, 128


@dataclass(frozen=True, slots=True)
class Measured:
    """A model's line of the table."""

    figures: Mapping[str, float]
    bytes: int  # of the weights' file
    rows_per_second: float


class _Side(Protocol):
    """A loaded model and the rows that it is measured on."""

    rows: int

    def figures(self) -> dict[str, float]: ...
    def turn(self) -> None: ...


def beside(runs: Mapping[str, Path], records: str | None, rows: int, device: Device) -> dict[str, Measured]:
    """Measure the models of these folders on the same rows: at most `rows` of the held-out, or the records of a task.

    Raises CheckpointError, TaskError, DatasetError.
    """
    sides = {name: _side(folder, next(iter(runs.values())), records, rows, device) for name, folder in runs.items()}
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(ROUNDS):
        for name, side in sides.items():
            best[name] = min(best[name], _seconds(side.turn))
    return {
        name: Measured(side.figures(), (trained.find(runs[name]).path / "model.pt").stat().st_size, side.rows / best[name])
        for name, side in sides.items()
    }


def _seconds(turn: Callable[[], None]) -> float:
    began = time.perf_counter()
    turn()
    return time.perf_counter() - began


def _side(folder: Path, original: Path, records: str | None, rows: int, device: Device) -> _Side:
    found = trained.find(folder)
    if TASK in found.state:
        return _OnTask(folder, original, records, device)
    if (original / CONFIG).exists():
        return _OnHeldOut(folder, original, rows, device)
    return _OnRandom(folder, device)


class _OnTask:
    def __init__(self, folder: Path, original: Path, records: str | None, device: Device) -> None:
        self.device, self.tuned = device, tuning.load(folder)
        self.tuned.model.to(device.name)
        self.split = job.held_out(tuning.load(original) if folder != original else self.tuned, records)
        self.rows = len(self.split.rows)

    def figures(self) -> dict[str, float]:
        found = job.figures(self.tuned, self.split, self.device, World(device=self.device.name))
        metric = self.tuned.task.metric
        return {metric: found[metric], **{name: value for name, value in found.items() if name != metric}}

    def turn(self) -> None:
        tuning.outputs(self.tuned, self.split.rows, self.device)


class _OnHeldOut:
    def __init__(self, folder: Path, original: Path, rows: int, device: Device) -> None:
        config = PretrainConfig.model_validate_json((original / CONFIG).read_bytes())
        feed = open_feed(config, folder=config.data.rows or original / "rows", split=VALIDATION)
        self.examples = validation(feed, VALIDATION, rows, micro_batch(config))
        self.rows = sum(len(next(iter(batch.examples.values()))) for batch in self.examples.batches)
        self.learner, self.device = Learner(trained.load(folder, compressed=True).model.to(device.name)), device

    def figures(self) -> dict[str, float]:
        found = measure(self.learner, self.examples, self.device, World(device=self.device.name))
        return {name: found[name] for name in (LOSS, BITS) if name in found}

    def turn(self) -> None:
        measure(self.learner, self.examples, self.device, World(device=self.device.name))


class _OnRandom:
    def __init__(self, folder: Path, device: Device) -> None:
        self.rows, self.model = _RANDOM_ROWS, trained.load(folder, compressed=True).model.to(device.name)
        length = min(_RANDOM_LENGTH, getattr(self.model.shape, "length", None) or _RANDOM_LENGTH)
        draws = np.random.default_rng(1)
        self.ids = torch.from_numpy(draws.integers(0, self.model.shape.vocabulary, (self.rows, length))).to(device.name)

    def figures(self) -> dict[str, float]:
        return {}

    def turn(self) -> None:
        with evaluated(self.model), torch.inference_mode():
            _read(self.model, self.ids)


def _read(model: Model, ids: Any) -> None:
    """Run the stacks of a model, without its head over the vocabulary."""
    if isinstance(model, BART | T5):
        memory = model.encode(ids)
        if not isinstance(model, T5) or model.decoder is not None:
            model.decode(ids, memory)
    else:
        model.hidden(ids)


def table(lines: Mapping[str, Measured]) -> str:
    """Format models for people: the module shows an example. Shares are of the first model."""
    first = next(iter(lines.values()))
    names = list(first.figures)
    width = max(12, *(len(name) + 2 for name in lines))
    out = [" " * width + "".join(f"{name:>{max(10, len(name) + 2)}}" for name in names) + f"{'bytes':>16}{'':>6}{'rows/s':>10}"]
    for name, line in lines.items():
        figures = "".join(f"{line.figures[one]:>{max(10, len(one) + 2)}.4f}" for one in names)
        shares = line.bytes / first.bytes, line.rows_per_second / first.rows_per_second
        out.append(f"{name:<{width}}{figures}{line.bytes:>16,}{shares[0]:>6.2f}{line.rows_per_second:>10.1f}{shares[1]:>6.2f}")
    return "\n".join(out)
