"""Text to text: a model reads `inputs` and writes `targets`. Summarization, translation and dialogue are kinds of it.

    T5     reads  inputs </s>                  and writes targets </s>                (arXiv 1910.10683, 2.4)
    BART   reads  <s> inputs </s>              and writes <s> targets </s>            (arXiv 1910.13461, 3.3 and 3.4)
    GPT    continues  inputs separator         with targets <|endoftext|>             (GPT-2, Radford et al. 2019, 3.6)

The loss is the cross-entropy of the targets alone, per token. GPT's row of inputs [5 6], separator [3] and targets [8 9]:

    inputs    5 6 3 8 9
    targets   IGNORE IGNORE 8 9 <end>          prompts 3, the tokens that it reads before it writes

Metrics of this task: F1 of words and exact match (see figures.py), and the perplexity of the targets.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from torch import Tensor

from training.data.rows.batch import IGNORE, Examples
from training.models.bart import BART
from training.models.composed import Composed
from training.models.families import Model
from training.models.gpt import GPT
from training.models.t5 import T5
from training.models.tuned import Tuned
from training.objectives.sequences import count_targets
from training.tasks.errors import TaskError
from training.tasks.input.reading import Reader
from training.tasks.input.records import Records
from training.tasks.input.rows import INPUTS, LENGTHS, TARGETS, Numbers, Rows, decoded, ragged
from training.tasks.judged import Judged
from training.tasks.task import prefix_of
from training.tasks.texts.decoding import WritingSettings, write
from training.tasks.texts.figures import exact_match, f1_of_words, word_f1

PROMPTS = "prompts"  # (N,) of GPT's rows: tokens before the targets
_LEAST_PROMPT = 8  # tokens that must be left of GPT's row for what it reads


class TextToTextSection(WritingSettings):
    """The settings of a pair of texts."""

    kind: Literal["text_to_text"] = "text_to_text"


class Pairs(NamedTuple):
    """What the model reads and should write, one entry for each row."""

    prompts: list[list[int]]  # rows that the model reads before it writes, special pieces included
    targets: list[str] | None  # None: they are to be written
    records: Numbers  # (N,) the record of each row
    cropped: list[bool]  # the prompt lost tokens


@dataclass(frozen=True)
class TextToText:
    """A task whose outputs are texts. Subclasses say which fields are read, and measure the texts."""

    FIELDS: ClassVar[tuple[str, ...]] = ("inputs", "targets")
    OPTIONAL: ClassVar[tuple[str, ...]] = ()
    LABELS: ClassVar[tuple[str, ...]] = ("targets",)

    section: Any  # WritingSettings and those of the task
    reader: Reader
    beams: int  # of the search

    @classmethod
    def begin(cls, section: Any, reader: Reader, train: Records) -> Self:
        """See Task; nothing is learned, and answers are greedy.

        Raises TaskError for a model that does not write, or one whose rows are too short.
        """
        if reader.family == "bert":
            raise TaskError(f"task.kind: a BERT does not write, and {section.kind} needs a GPT, BART or T5; name another base")
        if reader.positions is not None and section.target_length > reader.positions:
            raise TaskError(
                f"task.target_length: {section.target_length:,} tokens are more than the model's {reader.positions:,} positions; "
                "lower it"
            )
        task = cls(section, reader, 1)
        if task.room < _LEAST_PROMPT:
            raise TaskError(
                f"task.target_length: of the {reader.length:,} tokens of a row only {max(0, task.room)} are left for the input; "
                "lower it, or raise task.length"
            )
        return task

    @classmethod
    def restore(cls, section: Any, reader: Reader, state: Mapping[str, Any]) -> Self:
        """See Task; answers are searched for with the settings' beams."""
        return cls(section, reader, section.beams)

    def state(self) -> dict[str, Any]:
        """See Task."""
        return {}

    @property
    def metric(self) -> str:
        """See Task."""
        return "f1"

    def head(self, body: Model) -> None:
        """See Task."""
        return None

    @property
    def room(self) -> int:
        """Tokens of what is read, without special pieces and the separator."""
        taken = self.section.target_length if self.reader.family == "gpt" else 0
        return self.reader.length - taken - len(self.framed([]))

    def framed(self, ids: list[int]) -> list[int]:
        """Return the row that the model reads before it writes."""
        if self.reader.family == "gpt":
            return [*self.reader.prompt, *ids, *self.reader.tokenizer.encode(self.section.separator)]
        return [*self._begin, *self.reader.prompt, *ids, self.reader.words.specials.end]

    def pairs(self, records: Records, labelled: bool) -> Pairs:
        """Return the rows of records, one for each."""
        name, answer = self.FIELDS[0], self.FIELDS[-1]
        prefix = prefix_of(self.section) if self.reader.family == "t5" else self.section.prefix or ""
        encoded = self.reader.encode([prefix + text for text in records.texts(name)])
        return Pairs(
            [self.framed(ids[: self.room]) for ids in encoded],
            self._checked(records, answer) if labelled else None,
            np.arange(len(records)),
            [len(ids) > self.room for ids in encoded],
        )

    def rows(self, records: Records, *, labelled: bool = True) -> Rows:
        """See Task. Raises TaskError for an empty target."""
        prompts, written, numbers, cropped = self.pairs(records, labelled)
        specials = self.reader.words.specials
        if written is None:
            return Rows({INPUTS: ragged(prompts, specials.pad)}, numbers, sum(cropped))
        encoded = self.reader.encode(written)
        room = self.section.target_length - 1 - len(self._begin)
        targets = [[*self._begin, *ids[:room]] for ids in encoded]
        lost = sum(cut or len(ids) > room for cut, ids in zip(cropped, encoded, strict=True))
        if specials.decoder_start is not None:
            columns = {INPUTS: ragged(prompts, specials.pad), **decoded(targets, specials.end, specials.decoder_start)}
            return Rows(columns, numbers, lost)
        pairs = list(zip(prompts, targets, strict=True))
        columns = {
            INPUTS: ragged([prompt + target for prompt, target in pairs], specials.pad),
            TARGETS: ragged([[IGNORE] * (len(prompt) - 1) + [*target, specials.end] for prompt, target in pairs], IGNORE),
            PROMPTS: np.array([len(prompt) for prompt in prompts], np.int64),
        }
        return Rows(columns, numbers, lost)

    def counts(self, examples: Examples) -> dict[str, int]:
        """Return the number of tokens of the targets."""
        return count_targets(examples)

    def losses(self, model: Tuned, examples: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See Task; labels are smoothed in training only, so that the loss of an evaluation has a perplexity."""
        assert isinstance(model.body, GPT | Composed | BART | T5)
        read = {name: values for name, values in examples.items() if name != PROMPTS}
        return model.body.losses(read, label_smoothing=self.section.label_smoothing if model.training else 0.0)

    def outputs(self, model: Tuned, examples: Mapping[str, Tensor]) -> Sequence[str]:
        """Return the text that the model writes for each row."""
        lengths = examples[PROMPTS if PROMPTS in examples else LENGTHS].tolist()
        prompts = [row[:length] for row, length in zip(examples[INPUTS].tolist(), lengths, strict=True)]
        return write(model.body, self.reader, prompts, self.section, self.beams)

    def figures(self, outputs: Sequence[str], rows: Rows, records: Records) -> dict[str, float]:
        """See Task."""
        wanted = self.wanted(records)
        return {"f1": word_f1(outputs, wanted), "exact_match": exact_match(outputs, wanted)}

    def figures_of_loss(self, loss: float) -> dict[str, float]:
        """Return the perplexity of the targets for a mean loss per token."""
        return {"perplexity": math.exp(min(loss, 700.0))}

    def signatures(self) -> dict[str, str]:
        """Return how libraries computed the figures, by name."""
        return {}

    def answers(self, outputs: Sequence[str], rows: Rows, records: Records) -> list[dict[str, Any]]:
        """Return the text written for each record."""
        return [{"answer": text} for text in outputs]

    def judged(self, outputs: Sequence[str], rows: Rows, records: Records) -> Judged:
        """See Task: how few of its words each text shares with the wanted one, which needs no second pass of the model."""
        wanted = self.wanted(records)
        missed = 1 - np.array([f1_of_words(one, other) for one, other in zip(outputs, wanted, strict=True)])
        return Judged("1 - F1 of words", missed, lambda n: wanted[n], lambda n: outputs[n], rows.records)

    def wanted(self, records: Records) -> list[str]:
        """Return the text that each row should have written."""
        return records.texts(self.FIELDS[-1])

    @property
    def _begin(self) -> list[int]:
        begin = self.reader.words.specials.begin
        return [begin] if self.reader.family == "bart" and begin is not None else []

    def _checked(self, records: Records, field: str) -> list[str]:
        texts = records.texts(field)
        for row, text in enumerate(texts):
            if not text.strip():
                raise TaskError(f"{records.place(row)}: the field {field!r} is empty; fill it in, or remove the record")
        return texts
