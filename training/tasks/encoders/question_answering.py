"""Extractive question answering: the answer is a span of the context, or there is none (SQuAD 1.1 and 2.0).

A record has `question`, `context` and `answers`: texts, or objects with `text` and `answer_start` (characters), none if the
question has no answer; or it is a question of a SQuAD file (formats.py). A row is [CLS] question [SEP] context [SEP]; a long
context is read in windows, each `stride` tokens after the one before (arXiv 1810.04805, 4.2 and google-research/bert,
run_squad.py). Each token has a score as the first and one as the last of the answer, and a span has their sum.

No answer has the scores of [CLS]; a span is an answer if it is above them by more than `threshold` (the same paper, 4.3). Answers
that are not in their context are counted, and no loss is taken of them.

Metrics: exact match and F1 of words, each against the nearest of the answers, after SQuAD's normalisation (evaluate-v2.0.py).
"""

import re
import string
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from pipelines.contract.tokenizers.loading import Tokenizer
from training.data.rows.batch import IGNORE, Examples
from training.models.families import Model
from training.models.tuned import Tuned
from training.tasks import features
from training.tasks.errors import TaskError
from training.tasks.input.reading import Reader
from training.tasks.input.records import Records
from training.tasks.input.rows import INPUTS, Ragged, Rows, ragged
from training.tasks.judged import Judged
from training.tasks.task import TaskSettings

BEGINS, ENDS = "begins", "ends"  # characters of the context where each token begins and ends; 0 and 0 if it is not of it
FIRST, LAST = "first", "last"  # (N,) positions of the answer's first and last token; 0 if it is not in the row
TERM = "answers"  # of the loss
NOT_FOUND = "answers not in their context"
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class QuestionAnsweringSection(TaskSettings):
    """The settings of extractive question answering."""

    kind: Literal["question_answering"] = "question_answering"
    stride: int = Field(default=128, ge=1)
    """Tokens between the beginnings of two windows of a context."""
    question_length: int = Field(default=64, ge=4)
    """Most tokens of a question; the rest is cropped."""
    answer_length: int = Field(default=30, ge=1)
    """Most tokens of an answer."""
    no_answer: bool | None = None
    """Whether there may be no answer; by default, whether a training record has none."""
    threshold: float = 0.0
    """By how much the score of an answer has to be above that of no answer."""


class Encoded(NamedTuple):
    """The tokens of a context, and the characters at which each begins and ends."""

    ids: list[int]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]


class Span(NamedTuple):
    """The best span of a context, by all of its windows."""

    begin: int  # characters
    end: int
    margin: float  # score above that of no answer
    probability: float


@dataclass(frozen=True)
class QuestionAnswering:
    """Answers by two scores for each token. The outputs are (score, score of no answer, log normaliser, begin, end) of a row."""

    FIELDS: ClassVar[tuple[str, ...]] = ("question", "context", "answers")
    OPTIONAL: ClassVar[tuple[str, ...]] = ()
    LABELS: ClassVar[tuple[str, ...]] = ("answers",)

    section: QuestionAnsweringSection
    reader: Reader
    no_answer: bool

    @classmethod
    def begin(cls, section: QuestionAnsweringSection, reader: Reader, train: Records) -> Self:
        """See Task. Raises TaskError if no answer is in its context."""
        answers = answers_of(train)
        if not any(place_of(context, given) for context, given in zip(train.texts("context"), answers, strict=True)):
            raise TaskError(f"{train.path}: no record has an answer that is in its context; correct the answers")
        unanswered = any(not given for given in answers)
        return cls(section, reader, unanswered if section.no_answer is None else section.no_answer)

    @classmethod
    def restore(cls, section: QuestionAnsweringSection, reader: Reader, state: Mapping[str, Any]) -> Self:
        """See Task."""
        return cls(section, reader, bool(state["no_answer"]))

    def state(self) -> dict[str, Any]:
        """See Task."""
        return {"no_answer": self.no_answer}

    @property
    def metric(self) -> str:
        """See Task."""
        return "f1"

    def head(self, body: Model) -> nn.Module:
        """See Task."""
        return features.token_head(body, 2)

    def rows(self, records: Records, *, labelled: bool = True) -> Rows:
        """See Task. A record has a row for each window of its context."""
        most = min(self.section.question_length, self.reader.length // 2)
        questions = self.reader.encode(records.texts("question"))
        texts = records.texts("context")
        contexts = {text: with_characters(self.reader.tokenizer, text) for text in dict.fromkeys(texts)}
        answers = answers_of(records) if labelled else [[] for _ in texts]
        made: dict[str, list[Any]] = {name: [] for name in (INPUTS, "segments", BEGINS, ENDS, FIRST, LAST)}
        of_record: list[int] = []
        lost = 0
        for record, (question, text, given) in enumerate(zip(questions, texts, answers, strict=True)):
            context, place = contexts[text], place_of(text, given)
            lost += bool(given) and place is None
            for row in self._windows(question[:most], context):
                first, last = (IGNORE, IGNORE) if given and place is None else row.positions(place)
                for name, values in zip(made, (row.inputs, row.segments, row.begins, row.ends, first, last), strict=True):
                    made[name].append(values)
                of_record.append(record)
        pads = {INPUTS: self.reader.words.specials.pad, BEGINS: 0, ENDS: 0} | ({"segments": 0} if self.reader.segments else {})
        columns: dict[str, Ragged | NDArray[Any]] = {name: ragged(made[name], pad) for name, pad in pads.items()}
        if labelled:
            columns |= {name: np.array(made[name], np.int64) for name in (FIRST, LAST)}
        cropped = sum(len(question) > most for question in questions)
        return Rows(columns, np.array(of_record, np.int64), cropped, {NOT_FOUND: lost})

    def counts(self, examples: Examples) -> dict[str, int]:
        """See Task."""
        return {TERM: int(np.count_nonzero(examples[FIRST] != IGNORE))}

    def losses(self, model: Tuned, examples: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the sum over rows of the mean cross-entropy of first and last token, among the context's and [CLS]."""
        first, last, _ = self._scores(model, examples)
        loss = functional.cross_entropy(first, examples[FIRST], reduction="sum")
        return {TERM: (loss + functional.cross_entropy(last, examples[LAST], reduction="sum")) / 2}

    def outputs(self, model: Tuned, examples: Mapping[str, Tensor]) -> Sequence[NDArray[np.float64]]:
        """See Task."""
        first, last, context = self._scores(model, examples)
        score, begin, end = best_spans(first, last, context, self.section.answer_length)
        normaliser = first.logsumexp(1) + last.logsumexp(1)
        begins = examples[BEGINS].gather(1, begin[:, None])[:, 0]
        ends = examples[ENDS].gather(1, end[:, None])[:, 0]
        made = torch.stack([score.double(), (first[:, 0] + last[:, 0]).double(), normaliser.double(), begins, ends], 1)
        return list(made.cpu().numpy())

    def figures(self, outputs: Sequence[Any], rows: Rows, records: Records) -> dict[str, float]:
        """See `answer_scores`."""
        given = [[text for text, _ in one] for one in answers_of(records)]
        return answer_scores([answer["answer"] for answer in self.answers(outputs, rows, records)], given)

    def answers(self, outputs: Sequence[Any], rows: Rows, records: Records) -> list[dict[str, Any]]:
        """Return the answer ("" for none), its begin and end in the context (characters), its probability and margin."""
        found: list[dict[str, Any]] = []
        for text, span in zip(records.texts("context"), best_of_rows(outputs, rows, len(records)), strict=True):
            if span is None or (self.no_answer and span.margin <= self.section.threshold):
                margin = None if span is None else round(span.margin, 4)
                found.append({"answer": "", "begin": None, "end": None, "probability": None, "margin": margin})
                continue
            begin = span.begin + len(text[span.begin : span.end]) - len(text[span.begin : span.end].lstrip())
            end = begin + len(text[begin : span.end].rstrip())
            numbers = {"probability": round(span.probability, 4), "margin": round(span.margin, 4)}
            found.append({"answer": text[begin:end], "begin": begin, "end": end, **numbers})
        return found

    def judged(self, outputs: Sequence[Any], rows: Rows, records: Records) -> Judged:
        """See Task; of answers that are as wrong, the surer is the harder."""
        wanted = [[text for text, _ in one] for one in answers_of(records)]
        given = self.answers(outputs, rows, records)
        chances = np.array([answer["probability"] or 0.0 for answer in given])
        missed = 1 - _best_f1([answer["answer"] for answer in given], wanted)
        return Judged(
            "(1 - F1 of words) x (1 + probability)",
            missed * (1 + chances),
            lambda n: " | ".join(dict.fromkeys(wanted[n])) or "no answer",
            lambda n: f"{given[n]['answer']} ({chances[n]:.3f})" if given[n]["answer"] else "no answer",
        )

    def _windows(self, question: list[int], context: Encoded) -> Iterator["_Row"]:
        """Yield the rows of a question and its context."""
        head = self.reader.row(question, [])[:-1]
        room = self.reader.length - len(head) - 1
        step = min(self.section.stride, room)
        count = 1 + max(0, -(-(len(context.ids) - room) // step))
        for number in range(count):
            part = slice(number * step, number * step + room)
            inputs = self.reader.row(question, context.ids[part])
            segments = [0] * len(self.reader.row(question))
            before, after = [0] * len(head), [0]
            yield _Row(
                inputs,
                segments + [1] * (len(inputs) - len(segments)),
                [*before, *context.begins[part].tolist(), *after],
                [*before, *context.ends[part].tolist(), *after],
            )

    def _scores(self, model: Tuned, examples: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the scores of first and last tokens (B, T), lowest outside context and [CLS]; and what is context (B, T)."""
        assert model.head is not None
        scores = model.head(features.tokens(model.body, examples)).float()
        context = examples[ENDS] > 0
        allowed = context.clone()
        allowed[:, 0] = True
        scores = scores.masked_fill(~allowed[:, :, None], torch.finfo(scores.dtype).min)
        return scores[..., 0], scores[..., 1], context


def answer_scores(predicted: Sequence[str], given: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return F1 and exact match; with questions that have no answer, also F1 of those that have one."""
    f1 = _best_f1(predicted, given)
    exact = [
        any(normalised(one) == normalised(text) for text in any_of or [""]) for one, any_of in zip(predicted, given, strict=True)
    ]
    found = {"f1": float(f1.mean()), "exact_match": float(np.mean(exact))}
    answered = np.array([bool(any_of) for any_of in given])
    return found if answered.all() or not answered.any() else {**found, "f1_answered": float(f1[answered].mean())}


def _best_f1(predicted: Sequence[str], given: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """Return the F1 of words of each answer against the nearest of those given; none given is the empty answer."""
    return np.array([max(f1_of(one, text) for text in any_of or [""]) for one, any_of in zip(predicted, given, strict=True)])


class _Row(NamedTuple):
    inputs: list[int]
    segments: list[int]
    begins: list[int]
    ends: list[int]

    def positions(self, place: tuple[int, int] | None) -> tuple[int, int]:
        """Return the first and the last token of an answer; that of [CLS] twice if it is not wholly in the row."""
        if place is None:
            return 0, 0
        begins, ends = np.array(self.begins), np.array(self.ends)
        inside = np.flatnonzero((ends > place[0]) & (begins < place[1]) & (ends > begins))
        if not len(inside) or begins[inside[0]] > place[0] or ends[inside[-1]] < place[1]:
            return 0, 0
        return int(inside[0]), int(inside[-1])


def best_spans(first: Tensor, last: Tensor, context: Tensor, longest: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best span of each row: scores (B, T), context (B, T) -> its score, first and last token, each (B,).

    The score of a row without context is that of the lowest number.
    """
    lowest = torch.finfo(first.dtype).min
    first, last = first.masked_fill(~context, lowest / 4), last.masked_fill(~context, lowest / 4)
    width = first.shape[1]
    best, begin = (first + last).max(1)
    end = begin
    for more in range(1, min(longest, width)):
        score, at = (first[:, : width - more] + last[:, more:]).max(1)
        better = score > best
        best, begin = torch.where(better, score, best), torch.where(better, at, begin)
        end = torch.where(better, at + more, end)
    return best, begin, end


def best_of_rows(outputs: Sequence[NDArray[np.float64]], rows: Rows, count: int) -> list[Span | None]:
    """Return the best span of each record; None if it has no context. No answer has its least score of all windows."""
    spans: list[Span | None] = [None] * count
    scores = np.full(count, -np.inf)
    none = np.full(count, np.inf)
    for (score, of_none, normaliser, begin, end), record in zip(outputs, rows.records.tolist(), strict=True):
        none[record] = min(none[record], of_none)
        if end > 0 and score > scores[record]:
            scores[record] = score
            spans[record] = Span(int(begin), int(end), 0.0, float(np.exp(score - normaliser)))
    return [span and span._replace(margin=float(scores[n] - none[n])) for n, span in enumerate(spans)]


def with_characters(tokenizer: Tokenizer, text: str) -> Encoded:
    """Return the tokens of a text with their characters. Raises TaskError for a tokenizer that does not say where they are."""
    ids, begins, ends = tokenizer.encode_with_offsets(text)
    if ids and text.strip() and not ends.any():
        raise TaskError("the base's tokenizer does not say where its pieces are in a text; use a base with another tokenizer")
    octets = np.frombuffer(text.encode(), np.uint8)
    at = np.concatenate([[0], np.cumsum((octets & 0xC0) != 0x80)])  # characters before each byte
    return Encoded(ids, at[begins], at[ends])


def answers_of(records: Records) -> list[list[tuple[str, int | None]]]:
    """Return the answers of each record, and where each begins if the record says so. Raises TaskError for an empty one."""
    found: list[list[tuple[str, int | None]]] = []
    for row, value in enumerate(records.values("answers")):
        if isinstance(value, dict):  # as in the datasets of Hugging Face
            fields: Any = value
            value = [{"text": t, "answer_start": s} for t, s in zip(fields["text"], fields["answer_start"], strict=True)]
        listed = [] if value is None else [value] if isinstance(value, str) else value
        pairs: list[tuple[str, int | None]] = [
            (one, None) if isinstance(one, str) else (one["text"], one.get("answer_start")) for one in listed
        ]
        if any(not text.strip() for text, _ in pairs):
            raise TaskError(f"{records.place(row)}: an answer is empty; a question without an answer has the answers []")
        found.append(pairs)
    return found


def place_of(context: str, answers: Sequence[tuple[str, int | None]]) -> tuple[int, int] | None:
    """Return begin and end (characters) of the first answer that is in its context: where it is said to be, or nearest to it.

    >>> place_of("a cat and a cat", [("dog", None), ("cat", 11)])
    (12, 15)
    """
    for text, start in answers:
        places = [match.start() for match in re.finditer(f"(?={re.escape(text)})", context)]
        if places:
            begin = min(places, key=lambda place: abs(place - (start or 0)))
            return begin, begin + len(text)
    return None


def normalised(answer: str) -> str:
    """Return an answer without case, punctuation, articles and superfluous space, as SQuAD's script compares them.

    >>> normalised("The  U.S. Senate, an office")
    'us senate office'
    """
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def f1_of(predicted: str, wanted: str) -> float:
    """Return the F1 of the words of two answers; if one has none, whether both have none.

    >>> f1_of("the old house", "house of stone")
    0.4
    """
    one, two = normalised(predicted).split(), normalised(wanted).split()
    if not one or not two:
        return float(one == two)
    return 2 * sum((Counter(one) & Counter(two)).values()) / (len(one) + len(two))
