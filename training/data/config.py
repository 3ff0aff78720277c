"""The part of a config that decides every batch: what is read, how it becomes rows, what is predicted.

`feed.open_feed` makes batches of it; a run's config has the same sections beside those of its model and its optimiser.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.contract.settings import Section

Packing = Literal["concatenate", "best_fit", "document", "sentences", "pairs"]


class StageSection(Section):
    """A part of the training with a mixture of its own."""

    until_step: int | None = Field(default=None, ge=1)
    """The first step that is no longer of this stage; only the last stage goes on to the end (no number)."""
    mixture: dict[str, float] = Field(min_length=1)
    """Weight of each source; a source that is left out is not seen."""


class DataSection(Section):
    """What is read, in which order."""

    tokens: str
    """Folder of a tokens dataset, or of a build: then its release.json names the dataset."""
    name: str | None = None
    """Which tokens dataset of the release; by default the only one."""
    seed: int = Field(default=1, ge=0, lt=2**63)
    """Decides the order of rows and what objectives draw."""
    batch_rows: int = Field(ge=1)
    """Rows of one step, over all processes and micro-batches."""
    mixture: dict[str, float] = Field(default_factory=dict[str, float])
    """Weight of each source. Empty: every row once an epoch, so that sources stand in proportion to their size."""
    temperature: float | None = Field(default=None, ge=1)
    """Weights are rows ** (1 / temperature) (mT5, arXiv 2010.11934, 3.1: alpha = 1 / temperature); 1 is in proportion to size."""
    stages: tuple[StageSection, ...] = ()
    """Mixtures that follow each other over the training."""
    max_epochs: float | None = Field(default=None, gt=0)
    """No source is seen more often: what it would be given beyond goes to the others (UniMax, arXiv 2304.09151)."""
    rows: str | None = None
    """Folder of the row indexes; by default `rows` below run.out. Runs over the same data may share it."""
    verify: Literal["once", "always", "never"] = "once"
    """When the sha256 of every shard is compared: when a row index is built, at every start, or never (sizes always are)."""

    @model_validator(mode="after")
    def _one_kind_of_mixture(self) -> Self:
        given = [name for name in ("mixture", "temperature", "stages") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{given[0]} and {given[1]} exclude each other; keep one")
        steps = [stage.until_step for stage in self.stages]
        ends = [step for step in steps[:-1] if step is not None]
        if self.stages and (steps[-1] is not None or len(ends) < len(steps) - 1 or ends != sorted(set(ends))):
            raise ValueError("stages need a growing until_step each, but for the last, which has none")
        return self


class RowsSection(Section):
    """How documents become rows."""

    length: int = Field(ge=8, le=2**20)
    """Tokens that the model sees at once, special ones included (of an encoder and a decoder: of the encoder)."""
    packing: Packing | None = None
    """By default the objective's: causal_lm and span_corruption concatenate, masked_lm pairs (document without next_sentence),
    text_infilling sentences."""
    document_boundaries: bool = False
    """Give the model the documents of a packed row: attention stays within, positions start anew, no document is predicted
    from the one before it."""
    long_documents: Literal["split", "crop"] = "split"
    """Of best_fit, document and sentences: a document longer than a row gives several rows, or loses its rest (counted)."""
    copies: int = Field(default=10, ge=1, le=1000)
    """Of pairs: how often each document is cut anew (BERT's dupe_factor)."""
    short_share: float = Field(default=0.1, ge=0, le=1)
    """Of pairs: share of rows that are made shorter (BERT's short_seq_prob)."""


class CausalLMSection(Section):
    """Every token from those before it (GPT)."""

    name: Literal["causal_lm"]


class MaskedLMSection(Section):
    """Masked tokens from both sides (BERT, google-research/bert create_pretraining_data.py)."""

    name: Literal["masked_lm"]
    share: float = Field(default=0.15, gt=0, lt=1)
    """Of tokens, to be predicted."""
    max_predictions: int | None = Field(default=None, ge=1)
    """Of a row; by default round(length * share), as BERT's README advises."""
    whole_words: bool = False
    """Mask all pieces of a word or none."""
    next_sentence: bool = True
    """Rows are pairs; whether the second follows the first is predicted too."""


class TextInfillingSection(Section):
    """The text from one whose spans became one mask each and whose sentences are permuted (BART)."""

    name: Literal["text_infilling"]
    share: float = Field(default=0.3, gt=0, lt=1)
    """Of words or tokens, to be masked (BART, arXiv 1910.13461, 4)."""
    mean_span: float = Field(default=3.0, gt=0, le=50)
    """Of the Poisson distribution of span lengths (BART, 2.2)."""
    spans_of: Literal["words", "tokens"] = "words"
    """What spans are counted in: words (fairseq's code), tokens (the paper)."""
    permute_share: float = Field(default=1.0, ge=0, le=1)
    """Of sentences, that change places among themselves."""
    random_share: float = Field(default=0.0, ge=0, le=1)
    """Of masked spans, that become a random token instead of a mask (fairseq's mask_random; 0.1 in the community's recipe)."""


class SpanCorruptionSection(Section):
    """The spans that sentinels stand for (T5, arXiv 1910.10683, 3.1.4)."""

    name: Literal["span_corruption"]
    share: float = Field(default=0.15, gt=0, lt=1)
    """Of tokens, to be predicted."""
    mean_span: float = Field(default=3.0, ge=1, le=50)
    """Tokens of a span."""
    target_length: int | None = Field(default=None, ge=8, le=2**20)
    """Tokens of the decoder, if tasks have longer targets than spans need (of 512 tokens, 114); beyond it they are cropped."""
    tasks: tuple["TaskSection", ...] = ()
    """Supervised tasks in text that are trained along (T5, 3.5.3)."""
    task_limit: int = Field(default=2**19, ge=1)
    """Examples-proportional mixing counts at most so many examples of a dataset (T5, 3.5.2: K)."""
    task_temperature: float = Field(default=1.0, ge=1)
    """Temperature-scaled mixing: rates ** (1 / temperature) (T5, 3.5.2)."""


class TaskSection(Section):
    """Examples of a task, as text to text."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    path: str
    """JSON Lines with the fields `inputs` and `targets`, a text each."""
    prefix: str = ""
    """Put before every input, e.g. "translate English to German: "."""


ObjectiveSection = Annotated[
    CausalLMSection | MaskedLMSection | TextInfillingSection | SpanCorruptionSection, Field(discriminator="name")
]


class FeedConfig(Section):
    """All that decides the batches of a run."""

    data: DataSection
    rows: RowsSection
    objective: ObjectiveSection = CausalLMSection(name="causal_lm")
