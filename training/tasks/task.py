"""What a task is: rows of its records, a head, a loss, outputs, and figures. One file a task implements it.

    task = Classification.begin(section, reader, train)      # learns its labels from the training records
    rows = task.rows(train)                                  # columns of numbers
    model = Tuned(body, task.head(body), task.losses)
    outputs = task.outputs(model, examples)                  # one for each row of a batch
    task.figures(outputs, rows, test)                        # {"accuracy": 0.91, …}
    task.answers(outputs, rows, test)                        # what `corpusmill predict` writes, one for each record
    task.judged(outputs, rows, test)                         # what is hard and what is mixed up, for the page of the run

To add a task: write a file like classification.py, and add its class to KINDS in kinds.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable

from pydantic import Field
from torch import Tensor, nn

from pipelines.contract.settings import Section
from training.data.config import MayChange
from training.data.rows.batch import Examples
from training.models.families import Model
from training.models.tuned import Tuned
from training.tasks.input.reading import Reader
from training.tasks.input.records import Records
from training.tasks.input.rows import Rows
from training.tasks.judged import Judged

Files = str | Mapping[str, str]
"""Where records are: a file, or a plain text for each field, e.g. { source = "train.en.gz", target = "train.de.gz" }."""


class TaskSettings(Section):
    """The settings that every task has; each adds its `kind`."""

    name: str = Field(default="", pattern=r"^[a-z0-9._-]*$")
    """For reports; by default the kind."""
    train: MayChange[Files] = ""
    """File of the training records: JSON Lines, CSV, TSV or Parquet; or for each field a text with a line for each record."""
    validation: MayChange[Files | None] = None
    """Records that checkpoints are compared on; by default `validation_share` of the training records, chosen by hash."""
    test: MayChange[Files | None] = None
    """Records that the finished model is measured on, once."""
    validation_share: float = Field(default=0.1, gt=0, lt=1)
    limit: int | None = Field(default=None, ge=1)
    """Only the first records of each file, for a trial."""
    fields: Mapping[str, str] = {}
    """The file's names of the task's fields, where they differ, e.g. { text = "sentence" }."""
    length: int | None = Field(default=None, ge=8, le=2**20)
    """Most tokens of a row, special ones included; by default the model's positions, at most 512."""
    prefix: str | None = None
    """For T5: words before every input that name the task."""
    rate: float | None = Field(default=None, gt=0)
    """In `[[tasks]]` with mixing.rule = "given": the task's share of the rows, in proportion to the others' rates."""


def prefix_of(section: Any) -> str:
    """Return the words that a T5 reads before every input."""
    return f"{section.name or section.kind}: " if section.prefix is None else section.prefix


class Task(Protocol):
    """A task for one model and its tokenizer. Outputs are one value for each row of a batch, in memory of the CPU."""

    FIELDS: ClassVar[tuple[str, ...]]
    """Fields of a record that the task reads."""
    OPTIONAL: ClassVar[tuple[str, ...]]
    """Those that a record may lack."""
    LABELS: ClassVar[tuple[str, ...]]
    """Those that only training and measuring need."""

    @property
    def metric(self) -> str:
        """The name of the figure by which checkpoints are compared; higher is better."""
        ...

    @classmethod
    def begin(cls, section: Any, reader: Reader, train: Records) -> Self:
        """Return the task, with what it learns from the training records (the labels). Raises TaskError for unusable ones."""
        ...

    @classmethod
    def restore(cls, section: Any, reader: Reader, state: Mapping[str, Any]) -> Self:
        """Return the task of a checkpoint, from what `state` returned."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what `begin` learned, as JSON."""
        ...

    def head(self, body: Model) -> nn.Module | None:
        """Return a new head; None for a task whose answers are text."""
        ...

    def rows(self, records: Records, *, labelled: bool = True) -> Rows:
        """Encode records. Raises TaskError for a label that the training records lack."""
        ...

    def counts(self, examples: Examples) -> dict[str, int]:
        """Return the number of predictions by which each term of the loss is divided."""
        ...

    def losses(self, model: Tuned, examples: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the sums of the loss by term."""
        ...

    def outputs(self, model: Tuned, examples: Mapping[str, Tensor]) -> Sequence[Any]:
        """Return what the model makes of each row of a batch."""
        ...

    def figures(self, outputs: Sequence[Any], rows: Rows, records: Records) -> dict[str, float]:
        """Return the metrics of these outputs, `metric` among them."""
        ...

    def answers(self, outputs: Sequence[Any], rows: Rows, records: Records) -> list[dict[str, Any]]:
        """Return the answer to each record, for people and programs."""
        ...

    def judged(self, outputs: Sequence[Any], rows: Rows, records: Records) -> Judged:
        """Return how hard each labelled row or record was for the model, and which labels it mixes up."""
        ...


@runtime_checkable
class WritingTask(Protocol):
    """What a task whose answers are text has, too."""

    def figures_of_loss(self, loss: float) -> dict[str, float]:
        """Return the figures that follow from the mean loss per token (the perplexity)."""
        ...

    def signatures(self) -> dict[str, str]:
        """Return how libraries compute the figures, by name."""
        ...


Tuning = Literal["full", "head", "lora", "prompt", "prefix"]
