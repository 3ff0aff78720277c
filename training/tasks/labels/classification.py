"""Text classification: one label for a text or for a pair of texts (sentiment, topic, entailment, paraphrase), or a number.

A record has `text`, perhaps `second`, and `label`. BERT, GPT and BART put a linear layer on the vector of the row
(features.py), trained by cross-entropy, or by the squared error if `regression` is set. T5 answers in words (text_labels.py).

Metrics: accuracy, macro F1, with two labels also F1 of the second and Matthews' correlation; for numbers Pearson's and
Spearman's correlation (GLUE, arXiv 1804.07461, 3).
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
from training.models.families import Model
from training.models.tuned import Tuned
from training.tasks import features
from training.tasks.errors import TaskError
from training.tasks.input.reading import Reader
from training.tasks.input.records import Records
from training.tasks.input.rows import INPUTS, Ragged, Rows
from training.tasks.judged import Judged, of_classes
from training.tasks.task import TaskSettings

LABELS = "labels"  # (N,) numbers of the labels, or the values themselves
TERM = "labels"  # of the loss


class LabelSettings(TaskSettings):
    """The settings of a task whose answer is one label."""

    shots: int | None = Field(default=None, ge=1)
    """Only so many training records of each label, drawn by a hash of train.seed, to see what few records teach."""
    regression: bool = False
    """The labels are numbers, and the model predicts one."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of a target's probability that is spread over all labels (Szegedy et al. 2016, arXiv 1512.00567, 7)."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: a label's examples weigh the more the fewer they are; each label has the same sum."""


class ClassificationSection(LabelSettings):
    """The settings of a classification."""

    kind: Literal["classification"] = "classification"


@dataclass(frozen=True)
class Classification:
    """A classification by a head. The outputs are logits (C,) of the labels, or the number (1,)."""

    FIELDS: ClassVar[tuple[str, ...]] = ("text", "second", "label")
    OPTIONAL: ClassVar[tuple[str, ...]] = ("second",)
    LABELS: ClassVar[tuple[str, ...]] = ("label",)

    section: LabelSettings
    reader: Reader
    labels: tuple[str, ...]  # empty for a regression
    weights: tuple[float, ...]  # of the labels in the loss

    @classmethod
    def begin(cls, section: LabelSettings, reader: Reader, train: Records) -> Self:
        """See Task."""
        if section.regression:
            return cls(section, reader, (), ())
        given = train.texts("label")
        labels, counts = np.unique(given, return_counts=True)
        if len(labels) < 2:
            raise TaskError(f"{train.path}: every record has the label {given[0]!r}; a classification needs at least two")
        if len(labels) > len(given) // 2 and len(labels) > 100:
            raise TaskError(
                f"{train.path}: has {len(labels):,} labels in {len(given):,} records; if they are numbers, set task.regression"
            )
        weights = len(given) / (len(labels) * counts) if section.class_weights == "balanced" else np.ones(len(labels))
        return cls(section, reader, tuple(labels.tolist()), tuple(weights.tolist()))

    @classmethod
    def restore(cls, section: LabelSettings, reader: Reader, state: Mapping[str, Any]) -> Self:
        """See Task."""
        return cls(section, reader, tuple(state["labels"]), tuple(state["weights"]))

    def state(self) -> dict[str, Any]:
        """See Task."""
        return {"labels": self.labels, "weights": self.weights}

    @property
    def metric(self) -> str:
        """See Task."""
        return "spearman" if self.section.regression else "accuracy"

    def head(self, body: Model) -> nn.Module:
        """See Task."""
        return features.head(body, len(self.labels) or 1)

    def rows(self, records: Records, *, labelled: bool = True) -> Rows:
        """See Task."""
        read = self.reader.read(records.texts("text"), records.texts("second") if records.has("second") else None)
        columns: dict[str, Ragged | NDArray[Any]] = {INPUTS: read.inputs}
        if read.segments is not None:
            columns["segments"] = read.segments
        if labelled:
            columns[LABELS] = self._values(records) if self.section.regression else label_numbers(self.labels, records)
        return Rows(columns, np.arange(len(records)), read.cropped)

    def counts(self, examples: Examples) -> dict[str, int]:
        """See Task."""
        return {TERM: len(examples[INPUTS])}

    def losses(self, model: Tuned, examples: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the sum over rows of the cross-entropy, or of the squared error, and how many rows are right."""
        logits, labels = self._logits(model, examples), examples[LABELS]
        if self.section.regression:
            return {TERM: functional.mse_loss(logits[:, 0], labels, reduction="sum")}
        weights = None if len(set(self.weights)) == 1 else logits.new_tensor(self.weights)
        loss = functional.cross_entropy(logits, labels, weights, reduction="sum", label_smoothing=self.section.label_smoothing)
        return {TERM: loss}

    def outputs(self, model: Tuned, examples: Mapping[str, Tensor]) -> Sequence[NDArray[np.float32]]:
        """See Task."""
        return list(self._logits(model, examples).cpu().numpy())

    def figures(self, outputs: Sequence[Any], rows: Rows, records: Records) -> dict[str, float]:
        """See Task."""
        wanted = rows.columns[LABELS]
        assert isinstance(wanted, np.ndarray)
        if self.section.regression:
            return correlations(np.stack(outputs)[:, 0], wanted)
        return scores(np.stack(outputs).argmax(1), wanted, len(self.labels))

    def answers(self, outputs: Sequence[Any], rows: Rows, records: Records) -> list[dict[str, Any]]:
        """Return label, probability, and the probabilities of all labels; for a regression the value."""
        if self.section.regression:
            return [{"value": round(float(output[0]), 4)} for output in outputs]
        shares = torch.softmax(torch.from_numpy(np.stack(outputs)), 1).numpy()
        return [
            {
                "label": self.labels[int(row.argmax())],
                "probability": round(float(row.max()), 4),
                "probabilities": {label: round(float(p), 4) for label, p in zip(self.labels, row, strict=True)},
            }
            for row in shares
        ]

    def judged(self, outputs: Sequence[Any], rows: Rows, records: Records) -> Judged:
        """See Task; of numbers the squared error."""
        wanted, given = rows.columns[LABELS], np.stack(outputs)
        assert isinstance(wanted, np.ndarray)
        if not self.section.regression:
            return of_classes(self.labels, given, wanted)
        errors = (given[:, 0].astype(np.float64) - wanted) ** 2
        return Judged("squared error", errors, lambda n: f"{wanted[n]:g}", lambda n: f"{given[n, 0]:.4g}")

    def _logits(self, model: Tuned, examples: Mapping[str, Tensor]) -> Tensor:
        assert model.head is not None
        return model.head(features.vectors(model.body, examples)).float()

    def _values(self, records: Records) -> NDArray[np.float32]:
        values: list[float] = []
        for row, text in enumerate(records.texts("label")):
            try:
                values.append(float(text))
            except ValueError:
                raise TaskError(f"{records.place(row)}: the label {text!r} is not a number; task.regression needs one") from None
        return np.array(values, np.float32)


def label_numbers(labels: Sequence[str], records: Records) -> NDArray[np.int64]:
    """Return the number of each record's label. Raises TaskError for one that training has not seen."""
    known = {label: number for number, label in enumerate(labels)}
    given = records.texts("label")
    for row, label in enumerate(given):
        if label not in known:
            names = ", ".join(map(repr, labels[:10])) + (" …" if len(labels) > 10 else "")
            raise TaskError(
                f"{records.place(row)}: the label {label!r} is not one of the training records' ({names}); correct it"
            )
    return np.array([known[label] for label in given], np.int64)


def scores(predicted: NDArray[np.int64], wanted: NDArray[np.int64], labels: int) -> dict[str, float]:
    """Return accuracy and macro F1; with two labels also F1 of the second and Matthews' correlation."""
    from sklearn import metrics as library

    metrics: Any = library  # whose types say that zero_division is a text

    out = {
        "accuracy": float(metrics.accuracy_score(wanted, predicted)),
        "macro_f1": float(metrics.f1_score(wanted, predicted, labels=range(labels), average="macro", zero_division=0)),
    }
    if labels == 2:
        out["f1"] = float(metrics.f1_score(wanted, predicted, zero_division=0))
        out["matthews"] = float(metrics.matthews_corrcoef(wanted, predicted))
    return out


def correlations(predicted: NDArray[np.float32], wanted: NDArray[np.float32]) -> dict[str, float]:
    """Return Pearson's and Spearman's correlation, 0 where one side is constant, and the mean squared error."""
    from scipy import stats as library

    stats: Any = library

    constant = np.ptp(predicted) == 0 or np.ptp(wanted) == 0
    return {
        "spearman": 0.0 if constant else float(stats.spearmanr(predicted, wanted).statistic),
        "pearson": 0.0 if constant else float(stats.pearsonr(predicted, wanted).statistic),
        "squared_error": float(np.mean((predicted - wanted) ** 2)),
    }
