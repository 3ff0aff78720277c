"""Sentence similarity and search: texts that belong together are near each other, by the contrast with others of the batch.

A record has `first` and `second`, a pair that belongs together (a question and its answer, a title and its text); records to
measure on may have `score`, how like the two are. The vector of a text is the mean of its tokens' states, at length 1 (Reimers
and Gurevych 2019, arXiv 1908.10084, 3). The loss is the cross-entropy of each first text's own second text among those of
all rows of the batch, and the other way round, with cosines divided by a temperature (SimCLR, arXiv 2002.05709; in-batch
negatives: DPR, arXiv 2004.04906, 3.2).

Metrics: recall@1 and @10 and the mean reciprocal rank of each first text's own second text among all of the file; with scores,
Spearman's correlation of the cosines and these.

Limits: negatives are those of one process's micro-batch, so a step in several parts has fewer of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from training.data.rows.batch import Examples
from training.models import attention
from training.models.families import Model
from training.models.tuned import Tuned
from training.tasks import features
from training.tasks.errors import TaskError
from training.tasks.input.reading import Reader
from training.tasks.input.records import Records
from training.tasks.input.rows import INPUTS, LENGTHS, Ragged, Rows
from training.tasks.judged import Judged
from training.tasks.labels.classification import correlations
from training.tasks.task import TaskSettings

SECOND, SECOND_LENGTHS = "second_inputs", "second_lengths"
TERM = "pairs"  # of the loss
_AT = (1, 10)  # ranks of recall
_BLOCK = 1024  # texts that are compared with all others at once


class SimilaritySection(TaskSettings):
    """The settings of similarity."""

    kind: Literal["similarity"] = "similarity"
    temperature: float = Field(default=0.05, gt=0, le=10)
    """Divides the cosines (SimCSE, arXiv 2104.08821, A)."""


@dataclass(frozen=True)
class Similarity:
    """Vectors of texts. The outputs are the vectors of a row's texts: (2, D), or (1, D) without a second."""

    FIELDS: ClassVar[tuple[str, ...]] = ("first", "second", "score")
    OPTIONAL: ClassVar[tuple[str, ...]] = ("second", "score")
    LABELS: ClassVar[tuple[str, ...]] = ("score",)

    section: SimilaritySection
    reader: Reader
    scored: bool  # checkpoints are compared by Spearman's correlation

    @classmethod
    def begin(cls, section: SimilaritySection, reader: Reader, train: Records) -> Self:
        """See Task. Records with scores are measured by them."""
        if not train.has("second"):
            raise TaskError(f"{train.path}: has no field 'second', the text that belongs to 'first'; set task.fields.second")
        return cls(section, reader, train.has("score"))

    @classmethod
    def restore(cls, section: SimilaritySection, reader: Reader, state: Mapping[str, Any]) -> Self:
        """See Task."""
        return cls(section, reader, bool(state["scored"]))

    def state(self) -> dict[str, Any]:
        """See Task."""
        return {"scored": self.scored}

    @property
    def metric(self) -> str:
        """See Task."""
        return "spearman" if self.scored else "mrr"

    def head(self, body: Model) -> nn.Module | None:
        """Return None: the vectors are the body's. Raises TaskError for a family whose tokens do not see both sides."""
        features.need_encoder(body)
        return None

    def rows(self, records: Records, *, labelled: bool = True) -> Rows:
        """See Task."""
        read = self.reader.read(records.texts("first"))
        columns: dict[str, Ragged | NDArray[Any]] = {INPUTS: read.inputs}
        cropped = read.cropped
        if records.has("second"):
            second = self.reader.read(records.texts("second"))
            columns |= {SECOND: second.inputs, SECOND_LENGTHS: second.inputs.lengths}
            cropped += second.cropped
        return Rows(columns, np.arange(len(records)), cropped)

    def counts(self, examples: Examples) -> dict[str, int]:
        """See Task."""
        return {TERM: len(examples[INPUTS])}

    def losses(self, model: Tuned, examples: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the sum over rows of the mean of both directions' cross-entropy."""
        first, second = (vectors.float() for vectors in self._vectors(model, examples))
        cosines = first @ second.T / self.section.temperature
        own = torch.arange(len(first), device=first.device)
        loss = functional.cross_entropy(cosines, own, reduction="sum")
        return {TERM: (loss + functional.cross_entropy(cosines.T, own, reduction="sum")) / 2}

    def outputs(self, model: Tuned, examples: Mapping[str, Tensor]) -> Sequence[NDArray[np.float32]]:
        """See Task."""
        return list(torch.stack(self._vectors(model, examples), 1).float().cpu().numpy())

    def figures(self, outputs: Sequence[Any], rows: Rows, records: Records) -> dict[str, float]:
        """See the module. Raises TaskError for a score that is no number."""
        first, second = np.stack(outputs).swapaxes(0, 1)
        found = ranks_scores(first, second)
        if not records.has("score"):
            return found
        try:
            scores = np.array([float(score) for score in records.texts("score")], np.float32)
        except ValueError as error:
            raise TaskError(f"{records.path}: the field 'score' must hold numbers: {error}") from None
        return {"spearman": correlations((first * second).sum(1), scores)["spearman"], **found}

    def answers(self, outputs: Sequence[Any], rows: Rows, records: Records) -> list[dict[str, Any]]:
        """Return the cosine of each pair; for a record without a second text its vector."""
        if not records.has("second"):
            return [{"vector": [round(float(value), 6) for value in output[0]]} for output in outputs]
        return [{"similarity": round(float(output[0] @ output[1]), 4)} for output in outputs]

    def judged(self, outputs: Sequence[Any], rows: Rows, records: Records) -> Judged:
        """See Task: the rank of each first text's own second text."""
        first, second = np.stack(outputs).swapaxes(0, 1)
        places, cosines = ranks(first, second), (first * second).sum(1)
        return Judged(
            "rank of the own second text", places.astype(np.float64), lambda n: "rank 1", lambda n: f"cosine {cosines[n]:.3f}"
        )

    def _vectors(self, model: Tuned, examples: Mapping[str, Tensor]) -> list[Tensor]:
        """Return the vectors (B, D) of the first texts, and of the second where there are any."""
        found = [mean_of_tokens(model.body, examples)]
        if SECOND in examples:
            second = {INPUTS: examples[SECOND], LENGTHS: examples[SECOND_LENGTHS]}
            found.append(mean_of_tokens(model.body, second))
        return found


def mean_of_tokens(body: Model, examples: Mapping[str, Tensor]) -> Tensor:
    """Return the mean of the states of each row's tokens, special ones included, at length 1: (B, D)."""
    states = features.tokens(body, examples)
    real = attention.real_tokens(examples[LENGTHS], states.shape[1])[:, :, None]
    return functional.normalize((states * real).sum(1), dim=1)


def ranks_scores(first: NDArray[np.float32], second: NDArray[np.float32]) -> dict[str, float]:
    """Return recall@1 and @10 and the mean reciprocal rank of second text n for first text n, by vectors (N, D) of length 1.

    A text that is as near as the own one is before it: equal vectors for all texts do not score.
    """
    found = ranks(first, second)
    return {"mrr": float(np.mean(1 / found)), **{f"recall@{k}": float(np.mean(found <= k)) for k in _AT}}


def ranks(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the rank, from 1, of second text n for first text n: (N,)."""
    return np.concatenate([_ranks(first[at : at + _BLOCK], second, at) for at in range(0, len(first), _BLOCK)])


def _ranks(first: NDArray[np.float32], second: NDArray[np.float32], at: int) -> NDArray[np.int64]:
    cosines = first @ second.T
    rows = np.arange(len(first))
    own = cosines[rows, at + rows]
    return (cosines >= own[:, None]).sum(1)
