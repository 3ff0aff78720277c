"""Named entities, or any labels of words: B-person, I-person, O, or for example parts of speech.

A record has `words` and `labels`, or is a sentence of a CoNLL file (formats.py); to predict, `text` is enough. A word may
have several pieces; the first carries its label, the others have none (arXiv 1810.04805, 5.3). A sentence that is longer
than the model is read in windows that overlap by half, and each word is labelled where it has the more context.

Metrics: precision, recall and F1 of spans, with type and both ends right (seqeval, which counts as CoNLL-2003's conlleval:
an I- after another type begins a span). Predicted labels never have such an I-, so strict counting gives the same for them.
Labels without B- and I- are measured by accuracy.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.data.rows.batch import IGNORE, Examples
from training.models.bert import at_positions
from training.models.families import Model
from training.models.tuned import Tuned
from training.tasks import features
from training.tasks.errors import TaskError
from training.tasks.input.reading import Reader
from training.tasks.input.records import Records
from training.tasks.input.rows import INPUTS, TARGETS, Ragged, Rows, ragged
from training.tasks.judged import Judged, confusion, of_classes
from training.tasks.task import TaskSettings

FIRSTS = "firsts"  # positions of the first pieces of the words that a row labels; 0 is padding, where [CLS] is
TERM = "words"  # of the loss
OUTSIDE = "O"
_WORD = re.compile(r"https?://\S+|[@#]\w+|\w+(?:[.\-]\w+)*|['’]\w+|[^\w\s]")


class NamedEntitiesSection(TaskSettings):
    """The settings of labels of words."""

    kind: Literal["named_entities"] = "named_entities"


class Sentence(NamedTuple):
    """A text and its words, with the characters at which each begins and ends."""

    text: str
    words: list[str]
    spans: list[tuple[int, int]]


class Window(NamedTuple):
    """Words `first` to `end` of a sentence are a row, which labels those from `own` to `own_end`."""

    first: int
    end: int
    own: int
    own_end: int


@dataclass(frozen=True)
class NamedEntities:
    """Labels of words by a linear layer on each first piece. The outputs are logits (W, C) of the words of a row."""

    FIELDS: ClassVar[tuple[str, ...]] = ("words", "text", "labels")
    OPTIONAL: ClassVar[tuple[str, ...]] = ("words", "text")
    LABELS: ClassVar[tuple[str, ...]] = ("labels",)

    section: NamedEntitiesSection
    reader: Reader
    labels: tuple[str, ...]

    @classmethod
    def begin(cls, section: NamedEntitiesSection, reader: Reader, train: Records) -> Self:
        """See Task. If all labels are O, B- or I-, both B- and I- of each type are known."""
        seen = sorted({label for labels in labels_of(train, [len(words) for words in words_of(train)]) for label in labels})
        marked = [label for label in seen if label[:2] in ("B-", "I-")]
        others = [label for label in seen if label not in marked and label != OUTSIDE]
        if marked and others:
            raise TaskError(f"{train.path}: the label {others[0]!r} has no B- or I-, and {marked[0]!r} has; write all alike")
        if len(seen) < 2:
            raise TaskError(f"{train.path}: every word has the label {seen[0]!r}; at least two are needed")
        types = sorted({label[2:] for label in marked})
        spans = (OUTSIDE, *(f"{mark}-{name}" for name in types for mark in "BI"))
        return cls(section, reader, spans if marked else tuple(seen))

    @classmethod
    def restore(cls, section: NamedEntitiesSection, reader: Reader, state: Mapping[str, Any]) -> Self:
        """See Task."""
        return cls(section, reader, tuple(state["labels"]))

    def state(self) -> dict[str, Any]:
        """See Task."""
        return {"labels": self.labels}

    @property
    def has_spans(self) -> bool:
        """Whether the labels are B-, I- and O."""
        return any(label.startswith("B-") for label in self.labels)

    @property
    def metric(self) -> str:
        """See Task."""
        return "f1" if self.has_spans else "accuracy"

    def head(self, body: Model) -> nn.Module:
        """See Task."""
        return features.token_head(body, len(self.labels))

    def rows(self, records: Records, *, labelled: bool = True) -> Rows:
        """See Task. A record without words has no row."""
        sentences = sentences_of(records)
        pieces = self._pieces(sentences)
        numbers = self._numbers(records) if labelled else None
        room = self.reader.length - len(self.reader.row([]))
        inputs: list[list[int]] = []
        firsts: list[list[int]] = []
        targets: list[list[int]] = []
        of_record: list[int] = []
        for record, sentence in enumerate(sentences):
            sizes = [len(pieces[word]) for word in sentence.words]
            for window in windows(sizes, room):
                words = sentence.words[window.first : window.end]
                begins = np.concatenate([[0], np.cumsum([len(pieces[word]) for word in words])]) + self.reader.before
                inputs.append(self.reader.row([i for word in words for i in pieces[word]][:room]))
                firsts.append(begins[window.own - window.first : window.own_end - window.first].tolist())
                of_record.append(record)
                if numbers is not None:
                    targets.append(numbers[record][window.own : window.own_end])
        read = ragged(inputs, self.reader.words.specials.pad)
        columns: dict[str, Ragged | NDArray[Any]] = {INPUTS: read, FIRSTS: ragged(firsts, 0)}
        if labelled:
            columns[TARGETS] = ragged(targets, IGNORE)
        cropped = sum(any(len(pieces[word]) > room for word in sentence.words) for sentence in sentences)
        return Rows(columns, np.array(of_record, np.int64), cropped)

    def counts(self, examples: Examples) -> dict[str, int]:
        """See Task."""
        return {TERM: int(np.count_nonzero(examples[TARGETS] != IGNORE))}

    def losses(self, model: Tuned, examples: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the sum over words of the cross-entropy."""
        logits = self._logits(model, examples)
        return {TERM: functional.cross_entropy(logits.flatten(0, 1), examples[TARGETS].flatten(), reduction="sum")}

    def outputs(self, model: Tuned, examples: Mapping[str, Tensor]) -> Sequence[NDArray[np.float32]]:
        """See Task."""
        logits = self._logits(model, examples).cpu().numpy()
        counts = (examples[FIRSTS] > 0).sum(1).tolist()
        return [row[:count] for row, count in zip(logits, counts, strict=True)]

    def figures(self, outputs: Sequence[Any], rows: Rows, records: Records) -> dict[str, float]:
        """Return precision, recall and F1 of spans, or the accuracy of plain labels."""
        wanted = labels_of(records, [len(words) for words in words_of(records)])
        predicted = [[self.labels[n] for n in self.decoded(logits)] for logits in self._by_record(outputs, rows, len(records))]
        if self.has_spans:
            return span_scores(wanted, predicted)
        right = [one == two for a, b in zip(wanted, predicted, strict=True) for one, two in zip(a, b, strict=True)]
        return {"accuracy": float(np.mean(right))}

    def answers(self, outputs: Sequence[Any], rows: Rows, records: Records) -> list[dict[str, Any]]:
        """Return the spans: text, label, begin and end (characters of `text`, or of the words with spaces between), score.

        The score is the mean probability of the labels of a span's words. Plain labels are returned by word.
        """
        answers: list[dict[str, Any]] = []
        for sentence, logits in zip(sentences_of(records), self._by_record(outputs, rows, len(records)), strict=True):
            numbers = self.decoded(logits)
            labels = [self.labels[n] for n in numbers]
            if not self.has_spans:
                answers.append({"words": sentence.words, "labels": labels})
                continue
            chances = torch.from_numpy(logits).softmax(1).numpy()[np.arange(len(numbers)), numbers]
            answers.append({"entities": [_entity(sentence, span, chances) for span in spans_of(labels)]})
        return answers

    def judged(self, outputs: Sequence[Any], rows: Rows, records: Records) -> Judged:
        """See Task; a record is as hard as its hardest word, and the confusion is that of words."""
        by_record, numbers, words = self._by_record(outputs, rows, len(records)), self._numbers(records), words_of(records)
        given = [self.decoded(logits) for logits in by_record]
        of_words = of_classes(self.labels, np.concatenate(by_record), np.concatenate(numbers, dtype=np.int64))
        of_record = np.repeat(np.arange(len(records)), [len(one) for one in numbers])
        costs = np.zeros(len(records))
        np.maximum.at(costs, of_record, of_words.costs)

        def marked(chosen: Sequence[int], n: int) -> str:
            labels = [self.labels[number] for number in chosen]
            spans = spans_of(labels) if self.has_spans else [(label, at, at + 1) for at, label in enumerate(labels)]
            return ", ".join(f"{' '.join(words[n][first:end])} [{name}]" for name, first, end in spans)

        mixed = confusion(self.labels, np.concatenate(numbers, dtype=np.int64), np.concatenate(given, dtype=np.int64))
        return Judged(
            "loss of the hardest word",
            costs,
            lambda n: marked(numbers[n], n),
            lambda n: marked(given[n], n),
            confusion=mixed,
        )

    def decoded(self, logits: NDArray[np.float32]) -> list[int]:
        """Return the likeliest labels of words (W, C) in which every I- follows a B- or I- of its type (Viterbi)."""
        if not len(logits) or not self.has_spans:
            return logits.argmax(1).tolist()
        allowed = np.array([[may_follow(one, two) for two in self.labels] for one in self.labels])
        barred = np.where(allowed, 0.0, -np.inf)
        best = logits[0] + barred[0]  # before the first word stands O
        back: list[NDArray[np.int64]] = []
        for scores in logits[1:]:
            paths = best[:, None] + barred
            back.append(paths.argmax(0))
            best = paths.max(0) + scores
        labels = [int(best.argmax())]
        for before in reversed(back):
            labels.append(int(before[labels[-1]]))
        return labels[::-1]

    def _logits(self, model: Tuned, examples: Mapping[str, Tensor]) -> Tensor:
        assert model.head is not None
        return model.head(at_positions(features.tokens(model.body, examples), examples[FIRSTS])).float()

    def _pieces(self, sentences: Sequence[Sentence]) -> dict[str, list[int]]:
        """Return the ids of each word; a word without pieces (a control character, say) is the unknown piece."""
        words = sorted({word for sentence in sentences for word in sentence.words})
        space = " " if self.reader.tokenizer.kind == "byte_bpe" else ""  # a word's pieces there begin with its space
        unknown = self.reader.words.tokenizer.unknown_id
        none = [self.reader.words.specials.pad if unknown is None else unknown]
        return {word: ids or none for word, ids in zip(words, self.reader.encode([space + w for w in words]), strict=True)}

    def _numbers(self, records: Records) -> list[list[int]]:
        known = {label: number for number, label in enumerate(self.labels)}
        given = labels_of(records, [len(words) for words in words_of(records)])
        for row, labels in enumerate(given):
            for label in labels:
                if label not in known:
                    names = ", ".join(map(repr, self.labels[:13]))
                    raise TaskError(f"{records.place(row)}: the label {label!r} is not one of training's ({names}); correct it")
        return [[known[label] for label in labels] for labels in given]

    def _by_record(self, outputs: Sequence[NDArray[np.float32]], rows: Rows, count: int) -> list[NDArray[np.float32]]:
        """Return the logits of all words of each record: (W, C)."""
        parts: list[list[NDArray[np.float32]]] = [[] for _ in range(count)]
        for output, record in zip(outputs, rows.records.tolist(), strict=True):
            parts[record].append(output)
        return [np.concatenate(part) if part else np.zeros((0, len(self.labels)), np.float32) for part in parts]


def windows(sizes: Sequence[int], room: int) -> list[Window]:
    """Cut words of these sizes in pieces into windows of at most `room` pieces; a longer word is alone, and is cropped.

    >>> windows([1, 1, 1, 1, 1, 1], 4)
    [Window(first=0, end=4, own=0, own_end=3), Window(first=2, end=6, own=3, own_end=6)]
    """
    if not sizes:
        return []
    at = np.concatenate([[0], np.cumsum(sizes)])  # the piece at which each word begins
    cuts: list[tuple[int, int]] = []
    first = 0
    while first < len(sizes):
        end = max(first + 1, int(np.searchsorted(at, at[first] + room, side="right")) - 1)
        cuts.append((first, end))
        if end == len(sizes):
            break
        first = max(first + 1, int(np.searchsorted(at, at[end] - room // 2)))
    middles = [0, *((second[0] + one[1]) // 2 for one, second in pairwise(cuts)), len(sizes)]
    return [Window(*cut, *own) for cut, own in zip(cuts, pairwise(middles), strict=True)]


def sentences_of(records: Records) -> list[Sentence]:
    """Return the words of each record, given or cut from its text by a rule: words, numbers, links, @names, each other sign."""
    if records.has("words"):
        return [_joined(words) for words in words_of(records)]
    if not records.has("text"):
        raise TaskError(f"{records.path}: has neither the field 'words' nor 'text'; set task.fields.words or task.fields.text")
    found = [(text, list(_WORD.finditer(text))) for text in records.texts("text")]
    return [Sentence(text, [m.group() for m in words], [m.span() for m in words]) for text, words in found]


def words_of(records: Records) -> list[list[str]]:
    """Return the words of labelled records. Raises TaskError unless they are lists of texts."""
    if not records.has("words"):
        raise TaskError(f"{records.path}: has no field 'words', a list with a label for each; set task.fields.words")
    return _lists(records, "words")


def labels_of(records: Records, sizes: Sequence[int]) -> list[list[str]]:
    """Return the labels of each record. Raises TaskError unless there is one for each word."""
    labels = _lists(records, "labels")
    for row, (given, size) in enumerate(zip(labels, sizes, strict=True)):
        if len(given) != size:
            raise TaskError(f"{records.place(row)}: has {len(given):,} labels for {size:,} words; give one for each word")
    return labels


def span_scores(wanted: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return precision, recall and F1 of spans over all sentences, as seqeval counts them.

    >>> span_scores([["B-a", "I-a", "O", "B-b"]], [["B-a", "O", "O", "B-b"]])
    {'f1': 0.5, 'precision': 0.5, 'recall': 0.5}
    """
    from seqeval import metrics

    names: dict[str, Any] = {"f1": metrics.f1_score, "precision": metrics.precision_score, "recall": metrics.recall_score}
    return {name: float(score(wanted, predicted, zero_division=0)) for name, score in names.items()}


def spans_of(labels: Sequence[str]) -> list[tuple[str, int, int]]:
    """Return type, first word and end of each span.

    >>> spans_of(["B-a", "I-a", "B-a", "O", "I-b"])
    [('a', 0, 2), ('a', 2, 3), ('b', 4, 5)]
    """
    spans: list[tuple[str, int, int]] = []
    for at, label in enumerate(labels):
        if label == OUTSIDE:
            continue
        name = label[2:]
        if label.startswith("I-") and spans and spans[-1][0] == name and spans[-1][2] == at:
            spans[-1] = (name, spans[-1][1], at + 1)
        else:
            spans.append((name, at, at + 1))
    return spans


def may_follow(before: str, label: str) -> bool:
    """Return whether a label may follow another: an I- only a B- or I- of its type."""
    return not label.startswith("I-") or (before != OUTSIDE and before[2:] == label[2:])


def _entity(sentence: Sentence, span: tuple[str, int, int], chances: NDArray[np.float32]) -> dict[str, Any]:
    name, first, end = span
    begin, until = sentence.spans[first][0], sentence.spans[end - 1][1]
    score = round(float(chances[first:end].mean()), 4)
    return {"text": sentence.text[begin:until], "label": name, "begin": begin, "end": until, "score": score}


def _joined(words: list[str]) -> Sentence:
    ends = np.cumsum([len(word) + 1 for word in words]).tolist()
    return Sentence(" ".join(words), words, [(end - 1 - len(word), end - 1) for word, end in zip(words, ends, strict=True)])


def _lists(records: Records, field: str) -> list[list[str]]:
    values = records.values(field)
    for row, value in enumerate(values):
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise TaskError(f"{records.place(row)}: the field {field!r} must hold a list of texts; correct the record")
    return values
