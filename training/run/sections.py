"""The sections of a pretraining config that say what is trained, how, and where it is written."""

from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from pipelines.contract.settings import Section
from training.models import families


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


class PhaseSection(Section):
    """A part of the training with rows of another length, before the rows that [rows] describes."""

    until_step: int = Field(ge=1)
    """The first step that is no longer of this phase."""
    length: int = Field(ge=8, le=2**20)
    """Instead of rows.length."""
    batch_rows: int | None = Field(default=None, ge=1)
    """Instead of data.batch_rows."""


class TrainSection(Section):
    """How it is trained."""

    steps: int = Field(default=0, ge=0)
    """Updates of the weights."""
    bytes: int | None = Field(default=None, ge=1)
    """Instead of steps: UTF-8 bytes of text to see, by which families and vocabularies are compared fairly."""
    phases: tuple[PhaseSection, ...] = ()
    """Row lengths that come first (BERT, arXiv 1810.04805, A.2: 128 tokens for 90 % of the steps, then 512)."""
    init_from: str | None = None
    """A run or a checkpoint (an imported one, too) whose weights are the start of this run; its optimiser is not taken."""

    accumulate: int = Field(default=1, ge=1)
    """Micro-batches of a step in each process. More need less memory and give the same gradient."""
    activation_checkpointing: bool = False
    """Compute each layer twice instead of keeping what it computed: a third more time, far less memory."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """Of several processes (torchrun): `ddp` has a whole copy of the model in each, `fsdp` (FSDP2) a share of it."""

    optimizer: Literal["adamw", "google_adam", "adafactor", "rms_adamw", "muon"] = "adamw"
    """How a gradient becomes an update; training/run/optimizers.py says where each comes from."""
    learning_rate: float = Field(gt=0, le=10)
    """At its peak, after the warm-up."""
    batch_scaling: Literal["none", "linear", "sqrt"] = "none"
    """Multiply learning_rate by data.batch_rows / base_batch_rows, or by its root."""
    base_batch_rows: int | None = Field(default=None, ge=1)
    """Of batch_scaling: the rows of a step for which learning_rate was found."""
    warmup_steps: int = Field(default=0, ge=0)
    schedule: Literal["cosine", "linear", "inverse_sqrt", "wsd"] = "cosine"
    """From the peak on: down by half a cosine, a straight line, one over the root of the step, or (warm-up, stable, decay)
    flat and down only over the last cooldown_steps."""
    min_share: float = Field(default=0.1, ge=0, le=1)
    """Of the peak, what the schedule ends with (Chinchilla, arXiv 2203.15556: 0.1)."""
    cooldown_steps: int = Field(default=0, ge=0)
    """Of wsd: the steps of its decay; 0 is a tenth of all."""
    cooldown: Literal["linear", "sqrt"] = "linear"
    """Of wsd: how it decays (arXiv 2405.18392: 1 - sqrt)."""
    weight_decay: float = Field(default=0.1, ge=0)
    """Of matrices and embeddings (GPT-3, arXiv 2005.14165, B: 0.1)."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay of both moments (GPT-3, B)."""
    epsilon: float = Field(default=1e-8, gt=0)

    clip: float | None = Field(default=1.0, gt=0)
    """Largest global norm of the gradient (GPT-3, B)."""
    skip_above: float | None = Field(default=None, gt=0)
    """z-score of the loss or of the gradient's norm beyond which an update is skipped; not finite ones always are."""
    spike_window: int = Field(default=128, ge=16)
    """Updates to which a z-score compares."""
    max_skipped: int = Field(default=20, ge=1)
    """So many skipped updates in a row end the run."""
    seed: int = Field(default=1, ge=0, lt=2**63)
    """Decides weights and dropout; data.seed decides the order of rows."""

    eval_every: int = Field(default=100, ge=1)
    """Steps between two evaluations; there is one before the first and one after the last step."""
    eval_rows: int = Field(default=512, ge=1)
    """Rows of the validation split that are looked at, always the same; all when there are fewer."""
    sample_every: int | None = Field(default=None, ge=1)
    """Steps between two samples of what the model writes ([sample]), kept in samples.jsonl; there is one after the last step."""
    save_every: int = Field(default=100, ge=1)
    """Steps between two checkpoints; there is one after the last step."""
    keep: int = Field(default=2, ge=1)
    """Checkpoints that stay; older ones are removed."""
    keep_best: bool = False
    """Save after an evaluation with the lowest validation loss so far, too, and keep that checkpoint besides."""
    log_every: int = Field(default=10, ge=1)
    """Steps between two progress lines where no terminal shows them in place."""
    tensorboard: bool = True
    """Write metrics for TensorBoard, too."""

    workers: int = Field(default=1, ge=0, le=64)
    """Threads that prepare batches ahead; 0 prepares each when it is asked for. The batches are the same."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads; by default one a core. Another number may change the last bits of a loss."""
    device: Literal["cpu", "cuda", "auto"] = "auto"
    """`auto` takes a GPU when there is one."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the forward and backward pass (autocast); weights stay float32."""
    compile: bool = False
    """torch.compile: minutes at the start, faster steps on a GPU."""
    peak_tflops: float | None = Field(default=None, gt=0)
    """What one device could compute, 10^12 operations a second, for MFU; by default known for GPUs and measured on a CPU."""

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
            raise ValueError(f"phases need a growing until_step each, below steps ({self.steps})")
        if self.phases and self.bytes is not None:
            raise ValueError("phases count steps; give steps instead of bytes")
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
