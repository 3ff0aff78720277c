"""The sections of a config that determine every batch: what is read, how it becomes rows, what is predicted.

`feed.open_feed` makes batches from them. A run's config has these sections beside those of its model and its optimiser.
"""

from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, model_validator

from pipelines.contract.settings import Section

_T = TypeVar("_T")
_MAY_CHANGE = "may change between a checkpoint and the run that resumes from it"
MayChange = Annotated[_T, _MAY_CHANGE]
"""The type of a field that changes no loss and no weight, except for their last bits."""

Packing = Literal["concatenate", "best_fit", "document", "sentences", "pairs"]


def may_change(section: Section) -> set[str]:
    """Return the names of the fields of a section that may differ when a run resumes."""
    return {name for name, field in type(section).model_fields.items() if _MAY_CHANGE in field.metadata}


class StageSection(Section):
    """A stretch of the training with its own mixture."""

    until_step: int | None = Field(default=None, ge=1)
    """First step after this stage. Only the last stage has none: it lasts to the end."""
    mixture: dict[str, float] = Field(min_length=1)
    """Weight of each source; a source without a weight is not seen."""


class DataSection(Section):
    """What is read, and in which order."""

    tokens: MayChange[str]  # the fingerprint of the dataset is compared instead
    """Folder of a tokens dataset, or of a build whose release.json names the dataset."""
    name: MayChange[str | None] = None
    """Tokens dataset of the release; may be omitted if there is only one."""
    seed: int = Field(default=1, ge=0, lt=2**63)
    """Seed for the order of rows and for the draws of the objective."""
    batch_rows: int = Field(ge=1, le=2**24)
    """Rows per step, over all processes and micro-batches."""
    offset_rows: int = 0
    """Added to the place of every row in the order; a branch with another batch_rows sets it (training/run/branch.py)."""
    mixture: dict[str, float] = Field(default_factory=dict[str, float])
    """Weight of each source. Empty: every row once per epoch, so sources are seen in proportion to their size."""
    temperature: float | None = Field(default=None, ge=1)
    """Weights are rows ** (1 / temperature) (mT5, arXiv 2010.11934, 3.1: alpha = 1 / temperature); 1 is in proportion to size."""
    stages: tuple[StageSection, ...] = ()
    """Mixtures that follow one another during the training."""
    max_epochs: float | None = Field(default=None, gt=0)
    """Upper bound on the epochs of every source; draws beyond it go to the other sources (UniMax, arXiv 2304.09151)."""
    replay: MayChange[str | None] = None  # the fingerprint of both datasets is compared instead
    """An older tokens dataset (or its build) with the same tokenizer, whose text comes again: its sources are `…@replay`."""
    replay_name: MayChange[str | None] = None
    """Tokens dataset of that release; may be omitted if there is only one."""
    replay_share: float | None = Field(default=None, gt=0, lt=1)
    """Share of the rows drawn from `replay`, by source in proportion to size; the others follow the settings above (Ibrahim et
    al., arXiv 2403.08763, 4.2: 5 % for texts of the same kind, 25 to 50 % for others)."""
    rows: MayChange[str | None] = None
    """Folder of the row indexes; default: `rows` under run.out. Runs over the same data may share it."""
    verify: MayChange[Literal["once", "always", "never"]] = "once"
    """When the sha256 of every shard is checked: when a row index is built, at every start, or never (sizes always are).
    The row index itself is checked at every start, unless it is never."""

    @model_validator(mode="after")
    def _one_kind_of_mixture(self) -> Self:
        configured = [name for name in ("mixture", "temperature", "stages") if getattr(self, name)]
        if len(configured) > 1:
            raise ValueError(f"{configured[0]} and {configured[1]} exclude each other; keep one")
        if (self.replay is None) != (self.replay_share is None) or (self.replay is None and self.replay_name):
            raise ValueError("replay (an older tokens dataset) and replay_share go together; give both or neither")
        steps = [stage.until_step for stage in self.stages]
        ends = [step for step in steps[:-1] if step is not None]
        if self.stages and (steps[-1] is not None or len(ends) < len(steps) - 1 or ends != sorted(set(ends))):
            raise ValueError("every stage but the last needs an until_step, and they must increase; the last stage has none")
        return self


class RowsSection(Section):
    """How documents become rows."""

    length: int = Field(ge=8, le=2**20)
    """Tokens that the model sees at once, special ones included (with an encoder and a decoder: the encoder's)."""
    packing: Packing | None = None
    """Default by objective: causal_lm, span_corruption and ul2 concatenate, masked_lm pairs (document without next_sentence),
    text_infilling sentences."""
    document_boundaries: bool = False
    """Separate the documents of a packed row: attention stays within a document, positions restart from 0, and no document is
    predicted from the one before it."""
    long_documents: Literal["split", "crop"] = "split"
    """best_fit, document and sentences only: a document longer than a row becomes several rows, or is cropped (and counted)."""
    copies: int = Field(default=10, ge=1, le=1000)
    """pairs only: how many times each document is cut, with different draws (BERT's dupe_factor)."""
    short_share: float = Field(default=0.1, ge=0, le=1)
    """pairs only: share of rows that are made shorter (BERT's short_seq_prob)."""


class CausalLMSection(Section):
    """Predict every token from those before it (GPT)."""

    name: Literal["causal_lm"]


class MaskedLMSection(Section):
    """Predict masked tokens from both sides (BERT, google-research/bert create_pretraining_data.py)."""

    name: Literal["masked_lm"]
    share: float = Field(default=0.15, gt=0, lt=1)
    """Share of tokens that are predicted."""
    max_predictions: int | None = Field(default=None, ge=1)
    """Most predictions of a row; default: round(length * share), as BERT's README advises."""
    whole_words: bool = False
    """Mask all pieces of a word, or none of them."""
    next_sentence: bool = True
    """Make rows of pairs, and predict whether the second segment follows the first."""


class TextInfillingSection(Section):
    """Restore a text in which spans became single masks and sentences were permuted (BART)."""

    name: Literal["text_infilling"]
    share: float = Field(default=0.3, gt=0, lt=1)
    """Share of words or tokens that are masked (BART, arXiv 1910.13461, 4)."""
    mean_span: float = Field(default=3.0, gt=0, le=50)
    """Mean of the Poisson distribution of span lengths (BART, 2.2)."""
    spans_of: Literal["words", "tokens"] = "words"
    """Unit of span lengths: words (fairseq's code) or tokens (the paper)."""
    permute_share: float = Field(default=1.0, ge=0, le=1)
    """Share of sentences that are permuted among themselves."""
    random_share: float = Field(default=0.0, ge=0, le=1)
    """Share of masked spans that become a random token, not a mask (fairseq's mask_random; 0.1 in the community's recipe)."""


class SpanCorruptionSection(Section):
    """Predict the spans that sentinels replace (T5, arXiv 1910.10683, 3.1.4)."""

    name: Literal["span_corruption"]
    share: float = Field(default=0.15, gt=0, lt=1)
    """Share of tokens that are predicted."""
    mean_span: float = Field(default=3.0, ge=1, le=50)
    """Mean number of tokens in a span."""
    target_length: int | None = Field(default=None, ge=8, le=2**20)
    """Decoder length, if the targets of tasks are longer than spans need (114 for 512 tokens); longer targets are cropped."""
    tasks: tuple["TaskSection", ...] = ()
    """Supervised text-to-text tasks mixed into the training (T5, 3.5.3)."""
    task_limit: int = Field(default=2**19, ge=1)
    """Most examples of a dataset that examples-proportional mixing counts (T5, 3.5.2: K)."""
    task_temperature: float = Field(default=1.0, ge=1)
    """Temperature-scaled mixing: rates ** (1 / temperature) (T5, 3.5.2)."""


class DenoiserSection(Section):
    """A kind of span corruption in a mixture of them."""

    mode: Literal["R", "S", "X"]
    """Which piece announces it: regular, sequential, extreme."""
    share: float = Field(gt=0, lt=1)
    """Share of tokens that are predicted."""
    mean_span: float | None = Field(default=None, ge=1, le=1000)
    """Mean number of tokens in a span; without it, one span at the end of the row (prefix language modelling)."""
    weight: float = Field(default=1.0, gt=0)
    """How often it is drawn, relative to the others."""

    @model_validator(mode="after")
    def _spans_have_a_length(self) -> Self:
        if (self.mode == "S") != (self.mean_span is None):
            raise ValueError("mean_span is of the modes R and X; an S predicts one span, the end of the row")
        return self


def _denoiser(mode: Literal["R", "S", "X"], share: float, mean_span: float | None) -> DenoiserSection:
    return DenoiserSection(mode=mode, share=share, mean_span=mean_span)


class UL2Section(Section):
    """Predict spans by a mixture of denoisers, each announced to the model (UL2, arXiv 2205.05131, 3.1)."""

    name: Literal["ul2"]
    denoisers: tuple[DenoiserSection, ...] = Field(
        default=(
            _denoiser("R", 0.15, 3),
            _denoiser("R", 0.15, 8),
            _denoiser("S", 0.25, None),
            _denoiser("X", 0.5, 3),
            _denoiser("X", 0.5, 8),
            _denoiser("X", 0.15, 64),
            _denoiser("X", 0.5, 64),
        ),
        min_length=1,
    )
    """The seven of the paper's table 1, in equal parts."""


class TaskSection(Section):
    """Text-to-text examples of one task."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    path: str
    """JSON Lines file with the text fields `inputs` and `targets`."""
    prefix: str = ""
    """Text put before every input, e.g. "translate English to German: "."""


ObjectiveSection = Annotated[
    CausalLMSection | MaskedLMSection | TextInfillingSection | SpanCorruptionSection | UL2Section, Field(discriminator="name")
]


class FeedConfig(Section):
    """All sections that determine the batches of a run."""

    data: DataSection
    rows: RowsSection
    objective: ObjectiveSection = CausalLMSection(name="causal_lm")
