"""Relations between two entities that are marked in a sentence, as in SemEval-2010 task 8 (Hendrickx et al. 2010).

    text    The <e1>author</e1> of a keygen uses a <e2>disassembler</e2>.
    label   Instrument-Agency(e2,e1)
    row     [CLS] the $ author $ of a key ##gen uses a # di ##sas ##se ##mbler # . [SEP]

The vector of a row is that of both markers that begin an entity, beside each other ("entity start" of Baldini Soares et al.
2019, arXiv 1906.03158, 3). The markers are pieces that the vocabulary has, such as $ and # (Wu and He 2019, arXiv 1905.08284),
since the tokenizer is that of the base and gets no new ones. A row that is too long is cut around the entities.

Metric: macro F1 of the relations without `no_relation`, in which a relation in the wrong direction is wrong (the official
score of the task's scorer, version 1.2).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from training.data.rows.batch import Examples
from training.models.bert import at_positions
from training.models.families import Model
from training.models.tuned import Tuned
from training.tasks import features
from training.tasks.errors import TaskError
from training.tasks.input.reading import Reader
from training.tasks.input.records import Records
from training.tasks.input.rows import INPUTS, Ragged, Rows, ragged
from training.tasks.judged import Judged, of_classes
from training.tasks.labels.classification import LABELS, label_numbers
from training.tasks.task import TaskSettings

STARTS = "starts"  # (N, 2) positions of the markers that begin the first and the second entity
TERM = "labels"  # of the loss
_MARKS = re.compile(r"<(/?e[12])>")
_ORDERS = (["e1", "/e1", "e2", "/e2"], ["e2", "/e2", "e1", "/e1"])


class RelationsSection(TaskSettings):
    """The settings of relations."""

    kind: Literal["relations"] = "relations"
    markers: tuple[str, str] = ("$", "#")
    """Around the first and around the second entity: pieces of the vocabulary, or short texts."""
    no_relation: str = "Other"
    """The label of pairs without a relation, which the metric leaves out."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)


class Marked(NamedTuple):
    """A sentence without its marks: the five texts before, in and between the entities, in the order of the sentence."""

    parts: tuple[str, str, str, str, str]
    swapped: bool  # the second entity comes first

    @property
    def entities(self) -> tuple[str, str]:
        """The texts of the first and of the second entity."""
        one, two = self.parts[1], self.parts[3]
        return (two, one) if self.swapped else (one, two)


@dataclass(frozen=True)
class Relations:
    """A relation by a linear layer on two markers' states. The outputs are logits (C,) of the labels."""

    FIELDS: ClassVar[tuple[str, ...]] = ("text", "label")
    OPTIONAL: ClassVar[tuple[str, ...]] = ()
    LABELS: ClassVar[tuple[str, ...]] = ("label",)

    section: RelationsSection
    reader: Reader
    labels: tuple[str, ...]

    @classmethod
    def begin(cls, section: RelationsSection, reader: Reader, train: Records) -> Self:
        """See Task."""
        labels = sorted(set(train.texts("label")))
        if not set(labels) - {section.no_relation} or len(labels) < 2:
            raise TaskError(f"{train.path}: has only the label {labels[0]!r}; at least two are needed")
        return cls(section, reader, tuple(labels))

    @classmethod
    def restore(cls, section: RelationsSection, reader: Reader, state: Mapping[str, Any]) -> Self:
        """See Task."""
        return cls(section, reader, tuple(state["labels"]))

    def state(self) -> dict[str, Any]:
        """See Task."""
        return {"labels": self.labels}

    @property
    def metric(self) -> str:
        """See Task."""
        return "macro_f1"

    def head(self, body: Model) -> nn.Module:
        """See Task."""
        return features.token_head(body, len(self.labels), vectors=2)

    def rows(self, records: Records, *, labelled: bool = True) -> Rows:
        """See Task. Raises TaskError for a text without both entities."""
        marked = [marked_text(text, records.place(row)) for row, text in enumerate(records.texts("text"))]
        markers = [self._marker(text) for text in self.section.markers]
        space = " " if self.reader.tokenizer.kind == "byte_bpe" else ""  # a word's pieces there begin with its space
        pieces = self.reader.encode([part and space + part for one in marked for part in one.parts])
        room = self.reader.length - len(self.reader.row([]))
        begin = self.reader.before
        inputs: list[list[int]] = []
        starts: list[tuple[int, int]] = []
        cropped = 0
        for number, one in enumerate(marked):
            ids, at = _with_markers(pieces[5 * number : 5 * number + 5], markers[::-1] if one.swapped else markers)
            kept, at = _around(ids, at, room)
            cropped += len(kept) < len(ids)
            inputs.append(self.reader.row(kept))
            starts.append((at[1] + begin, at[0] + begin) if one.swapped else (at[0] + begin, at[1] + begin))
        read = ragged(inputs, self.reader.words.specials.pad)
        columns: dict[str, Ragged | NDArray[Any]] = {INPUTS: read, STARTS: np.array(starts, np.int64).reshape(-1, 2)}
        if labelled:
            columns[LABELS] = label_numbers(self.labels, records)
        return Rows(columns, np.arange(len(records)), cropped)

    def counts(self, examples: Examples) -> dict[str, int]:
        """See Task."""
        return {TERM: len(examples[INPUTS])}

    def losses(self, model: Tuned, examples: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the sum over rows of the cross-entropy."""
        logits, smoothing = self._logits(model, examples), self.section.label_smoothing
        return {TERM: functional.cross_entropy(logits, examples[LABELS], reduction="sum", label_smoothing=smoothing)}

    def outputs(self, model: Tuned, examples: Mapping[str, Tensor]) -> Sequence[NDArray[np.float32]]:
        """See Task."""
        return list(self._logits(model, examples).cpu().numpy())

    def figures(self, outputs: Sequence[Any], rows: Rows, records: Records) -> dict[str, float]:
        """See `relation_scores`."""
        predicted = [self.labels[n] for n in np.stack(outputs).argmax(1).tolist()]
        return relation_scores(records.texts("label"), predicted, self.section.no_relation)

    def answers(self, outputs: Sequence[Any], rows: Rows, records: Records) -> list[dict[str, Any]]:
        """Return label, probability, and the texts of both entities."""
        shares = torch.from_numpy(np.stack(outputs)).softmax(1).numpy()
        found: list[dict[str, Any]] = []
        for row, (text, share) in enumerate(zip(records.texts("text"), shares, strict=True)):
            first, second = marked_text(text, records.place(row)).entities
            label = self.labels[int(share.argmax())]
            found.append({"label": label, "probability": round(float(share.max()), 4), "first": first, "second": second})
        return found

    def judged(self, outputs: Sequence[Any], rows: Rows, records: Records) -> Judged:
        """See Task."""
        return of_classes(self.labels, np.stack(outputs), label_numbers(self.labels, records))

    def _logits(self, model: Tuned, examples: Mapping[str, Tensor]) -> Tensor:
        """Return logits (B, C)."""
        assert model.head is not None
        return model.head(at_positions(features.tokens(model.body, examples), examples[STARTS]).flatten(1)).float()

    def _marker(self, text: str) -> list[int]:
        """Return the ids of a marker: the piece of this name, as [unused1], or those of the text."""
        names = self.reader.tokenizer.piece_names()
        ids = [names.index(text)] if text in names else self.reader.encode([text])[0]
        if not ids:
            raise TaskError(f"task.markers: {text!r} has no pieces in the model's vocabulary; choose another")
        return ids


def marked_text(text: str, place: str) -> Marked:
    """Return a sentence cut at its marks.

    >>> marked_text("The <e1> author </e1> uses <e2>it</e2>.", "a.tsv, line 1")
    Marked(parts=('The', 'author', 'uses', 'it', '.'), swapped=False)
    """
    pieces = _MARKS.split(text)  # text and mark in turn
    order = pieces[1::2]
    if order not in _ORDERS:
        raise TaskError(f"{place}: the text needs one <e1>…</e1> and one <e2>…</e2>, one after the other; correct it")
    before, one, between, two, after = (part.strip() for part in pieces[::2])
    if not one or not two:
        raise TaskError(f"{place}: an entity is empty; put the marks around words")
    return Marked((before, one, between, two, after), order == _ORDERS[1])


def with_marks(text: str, first: tuple[int, int], second: tuple[int, int]) -> str:
    """Return a text with marks around two spans (characters) that do not overlap. Marks that it has itself become text.

    >>> with_marks("It uses <e1> and ink.", (17, 20), (0, 2))
    '<e2>It</e2> uses <e1 > and <e1>ink</e1>.'
    """
    marks = sorted([(first, "e1"), (second, "e2")])
    out, at = "", 0
    for (begin, end), name in marks:
        out += f"{_as_text(text[at:begin])}<{name}>{_as_text(text[begin:end])}</{name}>"
        at = end
    return out + _as_text(text[at:])


def _as_text(text: str) -> str:
    return _MARKS.sub(r"<\1 >", text)


def relation_scores(wanted: Sequence[str], predicted: Sequence[str], no_relation: str) -> dict[str, float]:
    """Return the official macro F1, and accuracy over all labels."""
    right = np.mean([one == two for one, two in zip(wanted, predicted, strict=True)])
    return {"macro_f1": directed_macro_f1(wanted, predicted, no_relation), "accuracy": float(right)}


def directed_macro_f1(wanted: Sequence[str], predicted: Sequence[str], no_relation: str = "Other") -> float:
    """Return the mean F1 over the relations of `wanted`, as semeval2010_task8_scorer-v1.2.pl counts them.

    Both directions are one relation; predicted in the wrong direction it is a false positive and a false negative of it.

    >>> round(directed_macro_f1(["A(e1,e2)", "A(e2,e1)", "B(e1,e2)"], ["A(e1,e2)", "A(e1,e2)", "B(e1,e2)"]), 4)
    0.75
    """
    names = sorted({relation_of(label) for label in wanted} - {no_relation})
    scores: list[float] = []
    for name in names:
        right = sum(one == two and relation_of(one) == name for one, two in zip(wanted, predicted, strict=True))
        of_wanted = sum(relation_of(label) == name for label in wanted)
        of_predicted = sum(relation_of(label) == name for label in predicted)
        scores.append(2 * right / (of_wanted + of_predicted))  # the harmonic mean of right / predicted and right / wanted
    return float(np.mean(scores)) if scores else 0.0


def relation_of(label: str) -> str:
    """Return a label without its direction.

    >>> relation_of("Cause-Effect(e2,e1)"), relation_of("Other")
    ('Cause-Effect', 'Other')
    """
    return re.sub(r"\(e[12],e[12]\)$", "", label)


def _with_markers(parts: Sequence[list[int]], markers: Sequence[list[int]]) -> tuple[list[int], tuple[int, int, int]]:
    """Return the ids of a sentence with markers; and where the first and the second entity begin, and the second ends."""
    before, one, between, two, after = parts
    head = [*before, *markers[0], *one, *markers[0], *between]
    through = [*head, *markers[1], *two, *markers[1]]
    return [*through, *after], (len(before), len(head), len(through))


def _around(ids: list[int], at: tuple[int, int, int], room: int) -> tuple[list[int], tuple[int, int]]:
    """Crop ids to `room` around both entities; if they are too far apart, half of the room begins at each."""
    first, second, end = at
    if len(ids) <= room:
        return ids, (first, second)
    if second - first >= room:
        half = room // 2
        tail = min(second, len(ids) - (room - half))
        return [*ids[first : first + half], *ids[tail : tail + room - half]], (0, half + second - tail)
    spare = max(0, room - (end - first))
    begin = min(max(0, first - spare // 2), len(ids) - room)
    return ids[begin : begin + room], (first - begin, second - begin)
