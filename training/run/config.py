"""The configuration of a pretraining run: a TOML file, typed.

Paths are relative to the folder in which the command runs, not to the config file: `data.tokens` is what a build wrote with
`--out`, and `run.out` lies beside it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import ConfigDict, Field, model_validator

from pipelines.contract.settings import ConfigError as ConfigError  # part of this module's interface
from pipelines.contract.settings import Section, read, validated
from training.data.config import FeedConfig, MaskedLMSection, MayChange
from training.models import families
from training.models.bert import BERTShape
from training.models.composed import ComposedShape
from training.models.t5 import T5Shape
from training.run.remember.section import RememberSection

OBJECTIVES = {
    "gpt": ("causal_lm",),
    "bert": ("masked_lm",),
    "bart": ("text_infilling",),
    "t5": ("span_corruption", "ul2"),
    "composed": ("causal_lm",),
}
"""The objectives of each family; a composed model that is not causal has BERT's."""


class ModelSection(Section):
    """The model: a size of a family, and the numbers that differ from it.

    The numbers of a family are the fields of its shape: `GPTShape` in training/models/gpt.py, and so on.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    family: Literal["gpt", "bert", "bart", "t5", "composed"]
    size: str = "demo"
    """A name in the family's `SIZES`: demo, or a size of its paper."""
    length: int | None = Field(default=None, ge=1, le=2**20)
    """Positions of a model that learns them; rows.length by default, and never less."""
    vocabulary_multiple: int = Field(default=1, ge=1, le=4096)
    """Pad the vocabulary to a multiple of this (64 suits tensor cores: 50,257 becomes 50,304); padding is not exported."""

    @property
    def numbers(self) -> dict[str, Any]:
        """The numbers that differ from the size, without `length` and the vocabulary."""
        return dict(self.model_extra or {})

    def shape(self, vocabulary: int, positions: int) -> families.Shape:
        """Return the shape of the model over a vocabulary, padded.

        Raises ValueError for a number that the family does not have or that is out of range.
        """
        padded = -(-vocabulary // self.vocabulary_multiple) * self.vocabulary_multiple
        numbers = {**self.numbers, "vocabulary": padded}
        if families.has_number(self.family, "length"):
            numbers["length"] = positions
        return families.shape(self.family, self.size, numbers)

    def parameters(self, vocabulary: int, positions: int) -> int:
        """Count the weights of this model over a vocabulary, without allocating them. Raises ValueError, as `shape`."""
        with torch.device("meta"):
            return families.parameters(families.build(self.shape(vocabulary, positions)))

    @model_validator(mode="after")
    def _numbers_make_a_model(self) -> Self:
        if "vocabulary" in self.numbers:
            raise ValueError("vocabulary follows from the data; remove it")
        self.shape(1, self.length or 1)
        return self


class PhaseSection(Section):
    """A part of the training with rows of another length, before the rows that [rows] describes."""

    until_step: int = Field(ge=1)
    """The first step after this phase."""
    length: int = Field(ge=8, le=2**20)
    """Replaces rows.length."""
    batch_rows: int | None = Field(default=None, ge=1)
    """Replaces data.batch_rows."""


class TrainSection(Section):
    """The training of the model."""

    steps: int = Field(default=0, ge=0, le=2**31)
    """Updates of the weights."""
    bytes: int | None = Field(default=None, ge=1, le=2**50)
    """Instead of steps: UTF-8 bytes of text to read, a fair budget across families and vocabularies."""
    phases: tuple[PhaseSection, ...] = ()
    """Row lengths that come first (BERT, arXiv 1810.04805, A.2: 128 tokens for 90 % of the steps, then 512)."""
    init_from: str | None = None
    """A run or a checkpoint (an imported one, too) whose weights this run starts from, with a new optimiser."""
    branch_from: MayChange[str | None] = None
    """RUN, RUN@STEP or a checkpoint: go on from there with this config (`--branch-from`). `steps` counts the parent's, too."""

    accumulate: MayChange[int] = Field(default=1, ge=1)
    """Micro-batches of a step in each process. More need less memory and give the same gradient."""
    activation_checkpointing: MayChange[bool] = False
    """Recompute the activations of each layer in the backward pass: a third more time, far less memory."""
    strategy: MayChange[Literal["ddp", "fsdp"]] = "ddp"
    """With several processes (torchrun): `ddp` keeps a whole model in each, `fsdp` (FSDP2) a share of it."""

    optimizer: Literal["adamw", "google_adam", "adafactor", "rms_adamw", "muon"] = "adamw"
    """The optimiser; training/run/updates/optimizers.py cites their sources."""
    learning_rate: float = Field(gt=0, le=10)
    """The peak, reached after the warm-up."""
    batch_scaling: Literal["none", "linear", "sqrt"] = "none"
    """Multiply learning_rate by data.batch_rows / base_batch_rows, or by its square root."""
    base_batch_rows: int | None = Field(default=None, ge=1)
    """For batch_scaling: the rows of a step for which learning_rate was tuned."""
    warmup_steps: int = Field(default=0, ge=0)
    warmup: Literal["linear", "constant"] = "linear"
    """Before the peak is left: a straight line up to it, or the peak from the first step. T5 (arXiv 1910.10683, 3.1.2) has
    1 / sqrt(max(step, 10^4)): inverse_sqrt with learning_rate 0.01, 10,000 constant warmup_steps and min_share 0."""
    schedule: Literal["cosine", "linear", "inverse_sqrt", "wsd", "constant"] = "cosine"
    """After the peak: half a cosine, a straight line, one over the square root of the step, wsd (warm-up, stable, decay):
    constant, with a decay over the last cooldown_steps, or constant (T5's fine-tuning, 3.1.2: 0.001)."""
    min_share: float = Field(default=0.1, ge=0, le=1)
    """The final learning rate as a share of the peak (Chinchilla, arXiv 2203.15556: 0.1)."""
    cooldown_steps: int = Field(default=0, ge=0)
    """For wsd: steps of the decay; 0 means a tenth of all steps."""
    cooldown: Literal["linear", "sqrt"] = "linear"
    """For wsd: the form of the decay (arXiv 2405.18392: 1 - sqrt)."""
    weight_decay: float = Field(default=0.1, ge=0, le=100)
    """Applied to matrices and embeddings (GPT-3, arXiv 2005.14165, B: 0.1)."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay rates of the two moments (GPT-3, B)."""
    epsilon: float = Field(default=1e-8, gt=0)

    clip: float | None = Field(default=1.0, gt=0)
    """Maximum global norm of the gradient (GPT-3, B)."""
    skip_above: float | None = Field(default=None, gt=0)
    """Skip an update whose loss or gradient norm has a z-score above this; an update that is not finite is always skipped."""
    spike_window: int = Field(default=128, ge=16, le=2**20)
    """Updates that a z-score is computed over."""
    max_skipped: MayChange[int] = Field(default=20, ge=1)
    """End the run after this many skipped updates in a row."""
    seed: int = Field(default=1, ge=0, lt=2**63)
    """Decides initial weights and dropout; data.seed decides the order of rows."""

    eval_every: MayChange[int] = Field(default=100, ge=1)
    """Steps between evaluations; there is one before the first step and one after the last."""
    eval_rows: MayChange[int] = Field(default=512, ge=1)
    """Rows of the validation split to evaluate on, the same each time; all if there are fewer."""
    sample_every: MayChange[int | None] = Field(default=None, ge=1)
    """Steps between samples of the model's text ([sample]), kept in samples.jsonl; there is one after the last step."""
    save_every: MayChange[int] = Field(default=100, ge=1)
    """Steps between checkpoints; there is one after the last step."""
    keep: MayChange[int] = Field(default=2, ge=1)
    """Checkpoints to keep; older ones are removed."""
    keep_best: MayChange[bool] = False
    """Also save after each evaluation with the lowest validation loss so far, and keep that checkpoint."""
    log_every: MayChange[int] = Field(default=10, ge=1)
    """Steps between progress lines when the output is not a terminal."""
    tensorboard: MayChange[bool] = True
    """Also write metrics for TensorBoard."""

    workers: MayChange[int] = Field(default=1, ge=0, le=64)
    """Threads that prepare batches ahead; 0 prepares each when it is needed. The batches are the same."""
    threads: MayChange[int | None] = Field(default=None, ge=1, le=1024)
    """CPU threads; one per core by default. Another number may change the last bits of a loss."""
    device: MayChange[Literal["cpu", "cuda", "auto"]] = "auto"
    """`auto` takes a GPU if there is one."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the forward and backward pass (autocast); weights stay float32."""
    compile: MayChange[bool] = False
    """torch.compile: minutes at the start, faster steps on a GPU."""
    peak_tflops: MayChange[float | None] = Field(default=None, gt=0)
    """Peak of one device, 10^12 operations per second, for MFU; by default known for GPUs and measured on a CPU."""

    @model_validator(mode="after")
    def _numbers_fit(self) -> Self:
        if (self.steps == 0) == (self.bytes is None):
            raise ValueError("give either steps or bytes")
        if self.steps and self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps ({self.warmup_steps}) must be less than steps ({self.steps})")
        if self.steps and self.warmup_steps + self.cooldown_steps > self.steps:
            raise ValueError(f"warmup_steps and cooldown_steps ({self.cooldown_steps}) must fit into steps ({self.steps})")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError("betas must lie in [0, 1)")
        if (self.batch_scaling == "none") != (self.base_batch_rows is None):
            raise ValueError("batch_scaling and base_batch_rows go together; give both or neither")
        return self

    @model_validator(mode="after")
    def _phases_follow_each_other(self) -> Self:
        ends = [phase.until_step for phase in self.phases]
        if ends != sorted(set(ends)) or (self.steps and ends and ends[-1] >= self.steps):
            raise ValueError(f"phases need increasing until_step values below steps ({self.steps})")
        if self.phases and self.bytes is not None:
            raise ValueError("phases count steps; give steps instead of bytes")
        return self


class RunSection(Section):
    """The output of the run."""

    out: str = Field(min_length=1)
    """Folder of the run: checkpoints, metrics.jsonl, the resolved config, row indexes."""


class SampleSection(Section):
    """The text that the model writes after training, and during it with train.sample_every."""

    prompt: str = ""
    tokens: int = Field(default=60, ge=0)
    """Maximum length; 0 writes none."""
    temperature: float = Field(default=0.8, ge=0)
    """0 takes the likeliest token each time."""
    top_k: int | None = Field(default=50, ge=1)


class RunConfig(Section):
    """What the trainer reads of a config, whatever is trained."""

    COMPARED: ClassVar[tuple[str, ...]] = ("train",)
    """The sections that a run may not change when it resumes, except for fields that are marked `MayChange`."""

    train: TrainSection
    run: RunSection

    def compared(self) -> dict[str, Section]:
        """Return these sections by name, without those that are absent; each of a list has its number: "tasks.0"."""
        out: dict[str, Section] = {}
        for name in self.COMPARED:
            found: Section | Sequence[Section] | None = getattr(self, name)
            if isinstance(found, Section):
                out[name] = found
            else:
                out |= {f"{name}.{number}": one for number, one in enumerate(found or ())}
        return out


class PretrainConfig(FeedConfig, RunConfig):
    """A whole pretraining run: the sections of its feed and its own."""

    COMPARED: ClassVar[tuple[str, ...]] = ("data", "rows", "objective", "model", "train", "remember")

    model: ModelSection
    remember: RememberSection = RememberSection()
    sample: SampleSection = SampleSection()

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        if self.model.length is not None and self.model.length < self._longest:
            raise ValueError(f"model.length ({self.model.length}) must be at least that of all rows ({self._longest})")
        if self.train.accumulate > self.data.batch_rows:
            raise ValueError(
                f"train.accumulate ({self.train.accumulate}) must be at most data.batch_rows ({self.data.batch_rows}): "
                "a micro-batch has a row"
            )
        if self.remember.method is not None and self.train.init_from is None:
            raise ValueError("remember.method needs an older model to remember; name its run in train.init_from")
        self._refuse_missing_heads()
        self._refuse_other_objectives()
        return self

    def _refuse_other_objectives(self) -> None:
        """Raise ValueError for an objective that the model does not learn by."""
        model, known = self.model.family, OBJECTIVES[self.model.family]
        shape = self.model.shape(1, 1)
        if isinstance(shape, ComposedShape) and not shape.causal:
            model, known = "a composed model that is not causal", OBJECTIVES["bert"]
        if self.objective.name not in known:
            raise ValueError(f"objective.name is {self.objective.name!r}, but {model} learns by {' or '.join(map(repr, known))}")

    def _refuse_missing_heads(self) -> None:
        """Raise ValueError for a model without what its objective trains."""
        shape = self.model.shape(1, 1)
        pairs = isinstance(self.objective, MaskedLMSection) and self.objective.next_sentence
        if pairs and isinstance(shape, BERTShape) and not (shape.pooled and shape.segments > 1):
            raise ValueError(
                f"objective.next_sentence needs a head for pairs and two segments, and the model has pooled = "
                f"{str(shape.pooled).lower()} and segments = {shape.segments}; set it to false"
            )
        if pairs and isinstance(shape, ComposedShape):
            raise ValueError("objective.next_sentence needs a head for pairs, which a composed model lacks; set it to false")
        if isinstance(shape, T5Shape) and not shape.decoder_layers:
            raise ValueError("model.decoder_layers: a T5 encoder alone cannot be trained here; set at least 1")

    @property
    def positions(self) -> int:
        """Positions of the model."""
        return self.model.length or self._longest

    @property
    def _longest(self) -> int:
        return max(self.rows.length, *(phase.length for phase in self.train.phases), 0)


def load(path: str | Path, overrides: tuple[str, ...] = ()) -> PretrainConfig:
    """Read a config; `overrides` are `section.key=value` with a TOML value.

    Raises ConfigError with the file, the field and the fix.
    """
    config = validated(PretrainConfig, read(path, overrides, "pretrain"), str(path))
    if config.train.cooldown_steps and config.train.schedule != "wsd":
        raise ConfigError(
            f'{path}: train.cooldown_steps: is for train.schedule = "wsd", and the schedule is "{config.train.schedule}", which '
            "would not cool down; set the schedule, or remove it"
        )
    return config
