"""A fine-tuning as the trainer runs it: one task, or several of a T5 (`Finetuning`); and what is measured on labelled records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pipelines.contract.tokenizers.loading import Tokenizer
from training.data.draws import key
from training.models.families import Model, layers
from training.models.tuned import Tuned
from training.run.device import Device
from training.run.distributed.processes import Learner, World
from training.run.state import Job, Learning
from training.tasks import tuned as tuning
from training.tasks.config import FinetuneConfig, MixedConfig
from training.tasks.course import Epochs
from training.tasks.errors import TaskError
from training.tasks.input.records import Records
from training.tasks.input.rows import Rows
from training.tasks.mixed import figures_together
from training.tasks.sweep import Watch
from training.tasks.task import WritingTask
from training.tasks.tuned import TunedModel

_SPLIT_SEED = 20_261_130  # chooses the validation records among the training records: the same in every run


class Split(NamedTuple):
    """Labelled records, encoded."""

    records: Records
    rows: Rows


class Part(NamedTuple):
    """A task of a fine-tuning; the models of all share one body."""

    name: str
    tuned: TunedModel
    validation: Split
    test: Split | None  # encoded before training: what cannot be used is refused before it


@dataclass(frozen=True, slots=True, kw_only=True)
class Finetuning(Job):
    """Everything that defines a fine-tuning."""

    config: FinetuneConfig | MixedConfig
    course: Epochs
    model: Tuned  # what is trained
    parts: tuple[Part, ...]
    watch: Watch | None = None  # of a sweep

    @property
    def name(self) -> str:
        """The task's name, or those of a mixture."""
        return " + ".join(part.name for part in self.parts)

    @property
    def metric(self) -> str:
        """The figure by which checkpoints are compared."""
        return metric(self.parts)

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the base."""
        return self.parts[0].tuned.tokenizer

    def described(self, model: Model | Tuned) -> dict[str, Any]:
        """See Job."""
        if len(self.parts) == 1:
            return self.parts[0].tuned.described()
        return tuning.described_several([part.tuned for part in self.parts])

    def measure(self, learner: Learner, device: Device, world: World) -> dict[str, float]:
        """Return the loss and the tasks' figures on the validation records: validation_loss, and so on."""
        each = {part.name: figures(part.tuned, part.validation, device, world) for part in self.parts}
        found = {f"validation_{name}": value for name, value in together(each, self.parts).items()}
        if self.watch is not None:
            self.watch.measured(found, self.metric)
        return found

    def rank_of(self, measured: Any) -> float:
        """See Job: the task's metric, or the mean of the tasks'."""
        return -float(measured[f"validation_{self.metric}"])

    def rate_shares(self, model: Model | Tuned) -> dict[str, float]:
        """Return what model.layer_decay makes of each weight's learning rate."""
        assert isinstance(model, Tuned)
        return layer_shares(model, self.config.model.layer_decay)

    def is_done(self, learning: Learning) -> bool:
        """Return whether the metric has not improved for train.patience evaluations, or the run's trial of a sweep is over."""
        if self.watch is not None and self.watch.is_over(learning):
            return True
        patience, every = self.config.train.patience, self.config.train.eval_every
        if patience is None or every is None or learning.best_step is None:
            return False
        return learning.step - learning.best_step >= patience * every


def metric(parts: Sequence[Part]) -> str:
    """Return the figure by which models of these tasks are compared."""
    return "mean" if len(parts) > 1 else parts[0].tuned.task.metric


def together(each: Mapping[str, Mapping[str, float]], parts: Sequence[Part]) -> dict[str, float]:
    """Return the figures of one task as they are, of several with the mean of their metrics (mixed.py)."""
    if len(parts) == 1:
        return dict(each[parts[0].name])
    return figures_together(each, {part.name: part.tuned.task.metric for part in parts if part.name in each})


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
