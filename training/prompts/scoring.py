"""The scores of all labels for records in a pattern: (N, C), in nats.

Shapes: N records, C labels, P patterns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from training.evaluation.likelihood import Question, likelihoods
from training.generation.texts import Speller
from training.models.families import Model
from training.prompts.questions import about_answer, about_label
from training.tasks.errors import PromptError
from training.tasks.labels.patterns import FIELDS, Filled, Pattern, spell

Record = Mapping[str, str]  # fields of patterns.FIELDS
Scores = NDArray[np.float64]
CONTENT_FREE = ("N/A", "", "[MASK]")  # Zhao et al. 2021, arXiv 2102.09690, 5: the mean over these; "[MASK]" is text here, too


class Shot(NamedTuple):
    """A solved record."""

    record: Record
    label: int


class Scored(NamedTuple):
    """The scores of records, and how many did not fit into the model's row."""

    scores: Scores  # (N, C)
    cropped: int  # records whose text lost its end
    without_shots: int  # records whose prompt lost some of its first shots


@dataclass(frozen=True, slots=True)
class Scorer:
    """A model, and the words of each label."""

    model: Model
    words: Speller
    said: Sequence[str]  # (C,)
    length: int  # most tokens of a row
    separator: str
    per_token: bool

    def scores(self, pattern: Pattern, records: Sequence[Record], shots: Sequence[Shot] = ()) -> Scored:
        """Return the score of each label for each record. A prompt that is too long loses its first shots, then text.

        Raises PromptError for a pattern that the model cannot answer, or that leaves no room for text.
        """
        if shots and pattern.after is None:
            raise PromptError(f"prompt.shots: the pattern {pattern.source!r} has no {{label}} to show solved records with")
        prompts = self._questions(pattern, records, shots)
        cropped = without_shots = 0
        for number, questions in enumerate(prompts):
            if self._excess(questions) > 0:
                prompts[number], is_cropped = self._fitted(pattern, records[number], shots, questions)
                cropped += is_cropped
                without_shots += bool(shots)
        return Scored(self._answered(prompts), cropped, without_shots)

    def _questions(self, pattern: Pattern, records: Sequence[Record], shots: Sequence[Shot]) -> list[list[list[Question]]]:
        """Return the questions about each label for each record."""
        filled = [pattern.filled(record) for record in records]
        if pattern.after is None:
            answers = self.words.tokenizer.encode_batch(list(self.said))
            texts = self.words.tokenizer.encode_batch([one.before for one in filled])
            return [[about_answer(self.words, text, answer) for answer in answers] for text in texts]
        solved = [self._solved(pattern.filled(shot.record), shot.label) for shot in shots]
        prompts = [Filled(self.separator.join([*solved, one.before]), one.after) for one in filled for _ in self.said]
        spelled = iter(spell(self.words, prompts, [*self.said] * len(filled)))
        return [[about_label(self.words, next(spelled)) for _ in self.said] for _ in filled]

    def _solved(self, filled: Filled, label: int) -> str:
        return f"{filled.before}{self.said[label]}{filled.after}"

    def _excess(self, questions: Sequence[Sequence[Question]]) -> int:
        return max(question.tokens for question in chain.from_iterable(questions)) - self.length

    def _fitted(
        self, pattern: Pattern, record: Record, shots: Sequence[Shot], questions: list[list[Question]]
    ) -> tuple[list[list[Question]], bool]:
        """Return the questions of a record that fit, and whether its text lost something."""
        kept, shorter = list(shots), record
        while (excess := self._excess(questions)) > 0:
            if kept:
                kept.pop(0)
            else:
                shorter = self._cropped(pattern, shorter, excess)
            questions = self._questions(pattern, [shorter], kept)[0]
        return questions, shorter is not record

    def _cropped(self, pattern: Pattern, record: Record, excess: int) -> Record:
        """Return a record whose longest text lost this many tokens at its end."""
        tokenizer = self.words.tokenizer
        ids = {name: tokenizer.encode(record[name]) for name in FIELDS if name in record and f"{{{name}}}" in pattern.source}
        longest = max(ids, key=lambda name: len(ids[name]))
        if not ids[longest]:
            raise PromptError(f"prompt.patterns: {pattern.source!r} alone has more than {self.length} tokens; shorten it")
        return {**record, longest: tokenizer.decode(ids[longest][: max(0, len(ids[longest]) - excess)])}

    def _answered(self, prompts: Sequence[Sequence[Sequence[Question]]]) -> Scores:
        labels = list(chain.from_iterable(prompts))
        answers = likelihoods(self.model, list(chain.from_iterable(labels)), self.words.tokenizer.size)
        owners = np.repeat(np.arange(len(labels)), [len(questions) for questions in labels])
        sums = np.zeros(len(labels))
        np.add.at(sums, owners, [answer.log_probability for answer in answers])
        if self.per_token:
            sums /= [sum(len(question.targets) for question in questions) for questions in labels]
        return sums.reshape(len(prompts), len(self.said))


def content_free(pattern: Pattern, scorer: Scorer, shots: Sequence[Shot]) -> Scores:
    """Return the log-probability of each label for a text without content: (C,)."""
    scored = scorer.scores(pattern, [{name: text for name in FIELDS} for text in CONTENT_FREE], shots).scores
    return logsumexp(log_softmax(scored, 1), 0) - np.log(len(CONTENT_FREE))


def normalized(scores: Scores, bias: Scores | None) -> Scores:
    """Return log-probabilities over the labels (N, C), after the bias (C,) is subtracted (contextual calibration).

    >>> normalized(np.log([[0.2, 0.6]]), np.log([0.25, 0.75])).round(3).tolist()
    [[-0.693, -0.693]]
    """
    return log_softmax(scores if bias is None else log_softmax(scores, 1) - bias, 1)
