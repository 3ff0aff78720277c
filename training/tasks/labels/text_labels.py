"""Classification by a T5: the text of the label is what it answers (arXiv 1910.10683, 2.4).

A prefix names the task, and two texts are one ("sst sentence: …", "mnli premise: … hypothesis: …"). The answer is the label
whose text the model finds likeliest, by the sum of the log-probabilities of its tokens and its end, so it is always a label.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.data.rows.batch import IGNORE, Examples
from training.models import attention
from training.models.families import Model
from training.models.t5 import T5
from training.models.tuned import Tuned
from training.objectives.sequences import count_targets
from training.tasks.errors import TaskError
from training.tasks.input.records import Records
from training.tasks.input.rows import INPUTS, LENGTHS, Rows, decoded
from training.tasks.labels.classification import LABELS, Classification, label_numbers
from training.tasks.task import prefix_of


@dataclass(frozen=True)
class TextLabels(Classification):
    """A classification in words. The outputs are log-probabilities (C,) of the labels' texts."""

    def head(self, body: Model) -> nn.Module | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """See Task."""
        if self.section.regression:
            raise TaskError("task.regression: a T5 answers in words; use another family")
        return None

    def rows(self, records: Records, *, labelled: bool = True) -> Rows:
        """See Task."""
        prefix = prefix_of(self.section)
        texts = [prefix + text for text in records.texts("text")]
        if records.has("second"):
            texts = [f"{one} second: {two}" for one, two in zip(texts, records.texts("second"), strict=True)]
        read = self.reader.read(texts)
        rows = Rows({INPUTS: read.inputs}, np.arange(len(records)), read.cropped)
        if not labelled:
            return rows
        numbers = label_numbers(self.labels, records)
        written = self._written()
        specials = self.reader.words.specials
        assert specials.decoder_start is not None
        targets = decoded([written[n] for n in numbers.tolist()], specials.end, specials.decoder_start)
        return Rows({**rows.columns, **targets, LABELS: numbers}, rows.records, rows.cropped)

    def counts(self, examples: Examples) -> dict[str, int]:
        """Return the number of tokens of the labels."""
        return count_targets(examples)

    def losses(self, model: Tuned, examples: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See Task."""
        return model.body.losses({name: values for name, values in examples.items() if name != LABELS})

    def outputs(self, model: Tuned, examples: Mapping[str, Tensor]) -> Sequence[NDArray[np.float32]]:
        """See Task."""
        body = model.body
        assert isinstance(body, T5)
        real = attention.real_tokens(examples[LENGTHS], examples[INPUTS].shape[1])
        memory = body.encode(examples[INPUTS], real=real)
        found = [self._log_probability(body, written, memory, real) for written in self._written()]
        return list(torch.stack(found, 1).cpu().numpy())

    def _log_probability(self, body: T5, written: list[int], memory: Tensor, real: Tensor) -> Tensor:
        """Return the log-probability of a label's text and its end for each row: (B,)."""
        specials = self.reader.words.specials
        assert specials.decoder_start is not None
        inputs = memory.new_tensor([specials.decoder_start, *written], dtype=torch.int64).expand(len(memory), -1)
        targets = memory.new_tensor([*written, specials.end], dtype=torch.int64).expand(len(memory), -1)
        logits = body.logits(body.decode(inputs, memory, real=real)).float()
        return -functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none", ignore_index=IGNORE).sum(1)

    def _written(self) -> list[list[int]]:
        """Return the ids of each label's text."""
        return self.reader.encode(self.labels)
