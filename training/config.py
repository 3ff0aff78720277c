"""The configuration of a pretraining run: a TOML file, typed.

Paths are taken from the folder in which the command runs, not from the config file's: `data.tokens` is what a build
wrote with `--out`, and `run.out` lies beside it.
"""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from pipelines.contract.settings import ConfigError as ConfigError  # also of this module, for its callers
from pipelines.contract.settings import Section, read, validated
from training.data.config import FeedConfig
from training.models import families

OBJECTIVES = {"gpt": "causal_lm", "bert": "masked_lm", "bart": "text_infilling", "t5": "span_corruption", "composed": "causal_lm"}
"""What a family learns by."""


class ModelSection(Section):
    """What is trained: a size of a family, and what is changed of its numbers.

    Which numbers a family has, its shape says: `GPTShape` in training/models/gpt.py, and so on.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    family: Literal["gpt", "bert", "bart", "t5", "composed"]
    size: str = "demo"
    """A name in the family's `SIZES`: demo, and those of its paper."""
    length: int | None = Field(default=None, ge=1, le=2**20)
    """Positions that the model knows, of families that learn them; by default rows.length, and never less."""
    vocabulary_multiple: int = Field(default=1, ge=1, le=4096)
    """The vocabulary is padded to a multiple of this (64 suits tensor cores: 50,257 becomes 50,304); not exported."""

    @property
    def numbers(self) -> dict[str, Any]:
        """What is changed of the size, `length` and the vocabulary apart."""
        return dict(self.model_extra or {})

    def shape(self, vocabulary: int, positions: int) -> families.Shape:
        """All numbers of the model over a vocabulary, padded. Raises ValueError that names one it has not or cannot have."""
        padded = -(-vocabulary // self.vocabulary_multiple) * self.vocabulary_multiple
        numbers = {**self.numbers, "vocabulary": padded}
        if families.has_number(self.family, "length"):
            numbers["length"] = positions
        return families.shape(self.family, self.size, numbers)

    @model_validator(mode="after")
    def _numbers_make_a_model(self) -> Self:
        if "vocabulary" in self.numbers:
            raise ValueError("vocabulary is that of the data; remove it")
        self.shape(1, self.length or 1)
        return self


class TrainSection(Section):
    """How it is trained."""

    steps: int = Field(ge=1)
    accumulate: int = Field(default=1, ge=1)
    """Micro-batches of a step, at most data.batch_rows. More need less memory and give the same gradient."""
    workers: int = Field(default=1, ge=0, le=64)
    """Threads that prepare batches ahead; 0 prepares each when it is asked for. The batches are the same."""
    learning_rate: float = Field(gt=0, le=10)
    """At its peak, after the warm-up."""
    warmup_steps: int = Field(default=0, ge=0)
    min_share: float = Field(default=0.1, ge=0, le=1)
    """Of the peak, what the cosine ends with (Chinchilla, arXiv 2203.15556: 0.1)."""
    weight_decay: float = Field(default=0.1, ge=0)
    """Of matrices and embeddings (GPT-3, arXiv 2005.14165, B: 0.1)."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's decay of both moments (GPT-3, B)."""
    epsilon: float = Field(default=1e-8, gt=0)
    clip: float | None = Field(default=1.0, gt=0)
    """Largest global norm of the gradient (GPT-3, B)."""
    seed: int = Field(default=1, ge=0, lt=2**63)
    """Decides weights and dropout; data.seed decides the order of rows."""
    eval_every: int = Field(default=100, ge=1)
    """Steps between two evaluations; there is one before the first and one after the last step."""
    eval_rows: int = Field(default=512, ge=1)
    """Rows of the validation split that are looked at, always the same; all when there are fewer."""
    save_every: int = Field(default=100, ge=1)
    """Steps between two checkpoints; there is one after the last step."""
    keep: int = Field(default=2, ge=1)
    """Checkpoints that stay; older ones are removed."""
    log_every: int = Field(default=10, ge=1)
    """Steps between two progress lines where no terminal shows them in place."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads; by default one a core. Another number may change the last bits of a loss."""
    device: Literal["cpu", "cuda", "auto"] = "auto"
    """`auto` takes a GPU when there is one."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the forward and backward pass (autocast); weights stay float32."""
    compile: bool = False
    """torch.compile: minutes at the start, faster steps on a GPU."""

    @model_validator(mode="after")
    def _numbers_fit(self) -> Self:
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps ({self.warmup_steps}) must be less than steps ({self.steps})")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError("betas must lie in [0, 1)")
        return self


class RunSection(Section):
    """Where it is written."""

    out: str
    """Folder of the run: checkpoints, metrics.jsonl, the resolved config, row indexes."""


class SampleSection(Section):
    """What the trained model is asked to continue at the end."""

    prompt: str = ""
    tokens: int = Field(default=60, ge=0)
    """0 asks nothing."""
    temperature: float = Field(default=0.8, ge=0)
    """0 takes the likeliest token each time."""
    top_k: int | None = Field(default=50, ge=1)


class PretrainConfig(FeedConfig):
    """A whole run: the feed's sections, and these."""

    model: ModelSection
    train: TrainSection
    run: RunSection
    sample: SampleSection = SampleSection()

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        if self.model.length is not None and self.model.length < self.rows.length:
            raise ValueError(f"model.length ({self.model.length}) must be at least rows.length ({self.rows.length})")
        if self.train.accumulate > self.data.batch_rows:
            raise ValueError(
                f"train.accumulate ({self.train.accumulate}) must be at most data.batch_rows ({self.data.batch_rows}): "
                "a micro-batch has a row"
            )
        if self.objective.name != OBJECTIVES[self.model.family]:
            raise ValueError(
                f"objective.name is {self.objective.name!r}, but {self.model.family} learns by {OBJECTIVES[self.model.family]!r}"
            )
        return self

    @property
    def positions(self) -> int:
        """Positions that the model knows."""
        return self.model.length or self.rows.length


def load(path: str | Path, overrides: tuple[str, ...] = ()) -> PretrainConfig:
    """Read a config; `overrides` are `section.key=value` with a TOML value.

    Raises ConfigError with the file, the field and the fix.
    """
    return validated(PretrainConfig, read(path, overrides), str(path))
