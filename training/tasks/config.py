"""The configuration of a fine-tuning: a TOML file, typed.

Paths are relative to the folder in which the command runs, not to the config file.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, cast

from pydantic import Field, model_validator

from pipelines.contract.settings import Section, read, validated
from training.data.config import MayChange
from training.run.config import ModelSection, RunConfig, RunSection, TrainSection
from training.tasks.kinds import TaskSection
from training.tasks.task import Tuning, prefix_of


class NewModel(ModelSection):
    """A model from scratch: a size of a family, the numbers that differ from it, and its vocabulary."""

    family: Literal["gpt", "bert", "bart", "t5"]  # pyright: ignore[reportIncompatibleVariableOverride]
    vocabulary: int = Field(ge=300, le=2**20)
    """Pieces that SentencePiece learns from the training records, bytes and special pieces included."""
    pieces: Literal["bpe", "unigram"] = "bpe"


class BodySection(Section):
    """The model that is tuned."""

    base: str | None = None
    """A run of ours, an import or a checkpoint; its family and tokenizer are the task's."""
    new: NewModel | None = None
    """Instead of a base: a model from scratch, with a vocabulary from the training records."""
    weights: Literal["pretrained", "new"] = "pretrained"
    """new: the base's shape and tokenizer with new weights, to see what pretraining gave."""
    tuning: Tuning = "full"
    """full: all weights. head: the head alone, on a frozen body. lora: low-rank adapters and the head (arXiv 2106.09685).
    prompt, prefix: vectors that a frozen body reads before the row (arXiv 2104.08691), or keys and values that every token sees
    in each layer (arXiv 2101.00190), and the head. They want a higher rate than the body: 1e-3 to 0.3."""
    layers: int | None = Field(default=None, ge=1, le=1024)
    """Only so many layers of each stack of the base, evenly spaced from first to last (training/tasks/tuning/distill.py)."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Replaces the body's dropout."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """The learning rate of each layer is this share of that of the layer above it (ELECTRA, arXiv 2003.10555, A)."""
    soft_tokens: int = Field(default=20, ge=1, le=4096)
    """Vectors of a prompt; keys and values of a prefix in each layer."""
    lora_rank: int = Field(default=8, ge=1, le=1024)
    lora_alpha: float = Field(default=16.0, gt=0)
    """The adapters' product is multiplied by lora_alpha / lora_rank."""
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    lora_layers: tuple[str, ...] = ("query_key_value", "query", "key_value")
    """Names of the linear layers that get an adapter."""

    @property
    def beginning(self) -> str:
        """What the model begins from, for reports."""
        return self.base or f"a new {self.new.family if self.new else 'model'}"

    @model_validator(mode="after")
    def _one_beginning(self) -> Self:
        if (self.base is None) == (self.new is None):
            raise ValueError("give either base, a trained model, or [model.new], the numbers of a new one")
        if self.new is not None and self.tuning != "full":
            raise ValueError('tuning must be "full" for a new model: it has nothing to keep')
        return self


class TuneSection(TrainSection):
    """The training of a task. The defaults are those of BERT's fine-tuning (arXiv 1810.04805, A.3)."""

    epochs: float | None = Field(default=None, gt=0, le=10_000)
    """Times that every record is read, instead of steps; 3 if neither is given."""
    batch_rows: int = Field(default=32, ge=1, le=2**20)
    """Rows per step, over all processes and micro-batches."""
    warmup_share: float | None = Field(default=0.1, ge=0, lt=1)
    """Share of the steps that are warm-up, instead of warmup_steps."""
    learning_rate: float = Field(default=5e-5, gt=0, le=10)
    schedule: Literal["cosine", "linear", "inverse_sqrt", "wsd", "constant"] = "linear"
    min_share: float = Field(default=0.0, ge=0, le=1)
    weight_decay: float = Field(default=0.01, ge=0, le=100)
    betas: tuple[float, float] = (0.9, 0.999)
    eval_every: MayChange[int | None] = Field(default=None, ge=1)  # pyright: ignore[reportIncompatibleVariableOverride]
    """Steps between evaluations; by default an epoch."""
    save_every: MayChange[int | None] = Field(default=None, ge=1)  # pyright: ignore[reportIncompatibleVariableOverride]
    """Steps between checkpoints; by default as evaluations."""
    keep_best: MayChange[bool] = True
    """Keep the checkpoint with the best metric on the validation records; it is the model of the run."""
    keep: MayChange[int] = Field(default=1, ge=1)
    patience: MayChange[int | None] = Field(default=None, ge=1)
    """End the training after this many evaluations without a better one (early stopping)."""

    @model_validator(mode="after")
    def _numbers_fit(self) -> Self:
        if self.bytes is not None or self.phases or self.init_from or self.branch_from:
            name = next(n for n in ("bytes", "phases", "init_from", "branch_from") if getattr(self, n))
            raise ValueError(f"{name} is for pretraining; a fine-tuning has epochs or steps, and model.base")
        if self.steps and self.epochs is not None:
            raise ValueError("give either steps or epochs")
        if self.warmup_steps and self.warmup_share:
            raise ValueError("give either warmup_steps or warmup_share; set warmup_share = 0.0 to use warmup_steps")
        if self.steps and self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps ({self.warmup_steps}) must be less than steps ({self.steps})")
        if self.patience is not None and not self.keep_best:
            raise ValueError("patience needs keep_best = true")
        if (self.batch_scaling == "none") != (self.base_batch_rows is None):
            raise ValueError("batch_scaling and base_batch_rows go together; give both or neither")
        return self

    def planned(self, rows: int) -> "TuneSection":
        """Return the section with steps, warm-up and evaluations as numbers of steps, for this many training rows."""
        per_epoch = max(1, math.ceil(rows / self.batch_rows))
        epochs = 3.0 if self.epochs is None else self.epochs
        steps = self.steps or max(1, round(epochs * rows / self.batch_rows))
        every = self.eval_every or min(steps, per_epoch)
        return self.model_copy(
            update={
                "steps": steps,
                "epochs": None,
                "warmup_steps": min(steps - 1, round(steps * (self.warmup_share or 0)) or self.warmup_steps),
                "warmup_share": 0.0,
                "eval_every": every,
                "save_every": self.save_every or every,
            }
        )


class TunedRunSection(RunSection):
    """The output of the run."""

    seeds: int = Field(default=1, ge=1, le=100)
    """Runs with this many seeds, from train.seed on, each in a folder of its own; the report has mean and deviation."""


class DistillSection(Section):
    """What a student learns from, beside the labels (training/tasks/tuning/distill.py)."""

    teacher: str
    """A fine-tuning of the same task, with the same labels and tokenizer."""
    temperature: float = Field(default=2.0, gt=0, le=100)
    """Logits of both are divided by it (Hinton et al. 2015; 2 in DistilBERT's code)."""
    labels_share: float = Field(default=0.5, ge=0, le=1000)
    """Weight of the task's own loss,"""
    logits_share: float = Field(default=0.5, ge=0, le=1000)
    """of the divergence of the logits,"""
    hidden_share: float = Field(default=0.5, ge=0, le=1000)
    """and of the squared difference of hidden states."""


class FinetuneConfig(RunConfig):
    """A whole fine-tuning."""

    COMPARED: ClassVar[tuple[str, ...]] = ("task", "model", "distill", "train")

    task: TaskSection
    model: BodySection
    distill: DistillSection | None = None
    train: TuneSection = TuneSection()  # pyright: ignore[reportIncompatibleVariableOverride]
    run: TunedRunSection  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _no_rate(self) -> Self:
        if self.task.rate is not None:
            raise ValueError("task.rate is for several tasks, each in [[tasks]]; remove it")
        return self


class MixingSection(Section):
    """How several tasks share the training (training/tasks/mixed.py)."""

    rule: Literal["proportional", "temperature", "equal", "given"] = "proportional"
    """The first three are T5's (arXiv 1910.10683, 3.5.2); given: the tasks' own rates."""
    limit: int | None = Field(default=2**19, ge=1)
    """Most rows of a task that count for its share: K, of which 2**19 was best in the paper (table 11)."""
    temperature: float = Field(default=2.0, ge=1)
    """For the rule "temperature"; 2 was best there, with K = 2**21."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of a target's probability spread over all pieces, in training, for all tasks."""


class MixedConfig(RunConfig):
    """A fine-tuning on several tasks, for a T5."""

    COMPARED: ClassVar[tuple[str, ...]] = ("tasks", "mixing", "model", "train")

    tasks: tuple[TaskSection, ...] = Field(min_length=2)
    mixing: MixingSection = MixingSection()
    model: BodySection
    train: TuneSection = TuneSection()  # pyright: ignore[reportIncompatibleVariableOverride]
    run: TunedRunSection  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _tasks_differ(self) -> Self:
        for what, found in (("name", self.names), ("prefix", [prefix_of(task) for task in self.tasks])):
            if twice := [one for number, one in enumerate(found) if one in found[:number]]:
                raise ValueError(f"tasks: two have the {what} {twice[0]!r}; give each its own {what}")
        if smoothed := [name for name, task in zip(self.names, self.tasks, strict=True) if getattr(task, "label_smoothing", 0)]:
            raise ValueError(f"tasks: {smoothed[0]!r} sets label_smoothing; set mixing.label_smoothing, which is for all tasks")
        return self

    @property
    def names(self) -> list[str]:
        """The tasks' names."""
        return [task.name or task.kind for task in self.tasks]


def load(path: str | Path, overrides: tuple[str, ...] = ()) -> FinetuneConfig:
    """Read the config of one task; `overrides` are `section.key=value` with a TOML value.

    Raises ConfigError with the file, the field and the fix.
    """
    return validated(FinetuneConfig, read(path, overrides, "finetune"), str(path))


def load_any(path: str | Path, overrides: tuple[str, ...] = ()) -> FinetuneConfig | MixedConfig:
    """Read the config of one task or, with `[[tasks]]`, of several. Raises ConfigError, as `load`."""
    data = read(path, overrides, "finetune")
    return validated(MixedConfig if "tasks" in data else FinetuneConfig, data, str(path))


def as_toml(config: Mapping[str, Any]) -> str:
    """Return a config as a TOML file; what is None, and so absent, is left out."""
    import tomli_w

    return tomli_w.dumps(_there(config))


def _there(value: Any) -> Any:
    """Return a value without what is None in its tables."""
    if isinstance(value, Mapping):
        return {name: _there(one) for name, one in cast(Mapping[str, Any], value).items() if one is not None}
    return [_there(one) for one in cast(Sequence[Any], value)] if isinstance(value, list | tuple) else value
