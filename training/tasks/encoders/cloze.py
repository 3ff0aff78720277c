"""Classification by a cloze: a BERT fills a pattern's place, and is tuned to fill it with the words of the right label.

    pattern     "{text} It was {label}."                 verbalizer  { "0" = "terrible", "1" = "great" }
    row         [CLS] a charming film It was [MASK] . [SEP]
    logits      those of the token head at the mask, of the pieces "terrible" and "great" alone

This is the training of PET (Schick and Schütze 2021, arXiv 2001.07676, 3.1): the softmax is over the labels' pieces, there is no
new head, and the model begins with what pretraining taught it about these words. With few records the
paper found it ahead of a new head; `shots` draws so many of each label. A text that is too long loses its end, the pattern stays.

Metrics: those of classification. Limits: one pattern, one piece for each label; without PET's auxiliary loss of masked tokens,
and without its soft labels for unlabelled texts (3.3). `corpusmill prompt` asks the same without training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from training.models.bert import at_positions
from training.models.families import Model
from training.models.tuned import Tuned
from training.tasks import features
from training.tasks.errors import TaskError
from training.tasks.input.reading import Reader
from training.tasks.input.records import Records
from training.tasks.input.rows import INPUTS, Ragged, Rows, ragged
from training.tasks.labels.classification import LABELS, Classification, LabelSettings, label_numbers
from training.tasks.labels.patterns import FIELDS, Pattern, Spelled, parse, spell

MASKS = "masks"  # (N, 1) the place of each row's mask


class ClozeSection(LabelSettings):
    """The settings of a cloze."""

    kind: Literal["cloze"] = "cloze"
    pattern: str
    """A text with {text}, perhaps {second}, and {label}."""
    verbalizer: Mapping[str, Annotated[str, Field(pattern=r"\S")]] = {}
    """The word for each label, of one piece; by default the label itself."""


@dataclass(frozen=True)
class Cloze(Classification):
    """A classification by the words of a masked model. The outputs are logits (C,) of the labels' pieces."""

    section: ClozeSection

    @classmethod
    def begin(cls, section: Any, reader: Reader, train: Records) -> Self:
        """See Task. Raises TaskError for a pattern without {label}, and a label whose word is not one piece."""
        if section.regression:
            raise TaskError("task.regression: a cloze answers in words; use classification")
        if reader.family != "bert":
            raise TaskError(f"task.kind: a cloze is filled by a BERT, and this is a {reader.family}; use classification")
        if parse(section.pattern, "task.pattern").after is None:
            raise TaskError(f"task.pattern: {section.pattern!r} has no {{label}}, the place that the model fills")
        task = super().begin(section, reader, train)
        if unknown := sorted(set(section.verbalizer) - set(task.labels)):
            raise TaskError(f"task.verbalizer: {unknown[0]!r} is no label of {train.path}; there are {', '.join(task.labels)}")
        assert task.pieces
        return task

    @property
    def pattern(self) -> Pattern:
        """The pattern, cut at its label."""
        return parse(self.section.pattern, "task.pattern")

    @cached_property
    def pieces(self) -> list[int]:
        """The piece of each label: (C,). Raises TaskError for a word of several."""
        words = [self.section.verbalizer.get(label, label) for label in self.labels]
        filled = [self.pattern.filled(dict.fromkeys(FIELDS, "a"))] * len(words)
        spelled = spell(self.reader.words, filled, words)
        found = [list(one.ids[one.start : one.end]) for one in spelled]
        for label, word, ids in zip(self.labels, words, found, strict=True):
            if len(ids) != 1:
                raise TaskError(
                    f"task.verbalizer: {word!r} for {label!r} is {len(ids)} pieces of this vocabulary; choose a word of one piece"
                )
        if len({ids[0] for ids in found}) < len(found):
            raise TaskError("task.verbalizer: two labels have the same piece; give each its own word")
        return [ids[0] for ids in found]

    def head(self, body: Model) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return None: the pretrained head of tokens answers. Raises TaskError for a model without one."""
        features.need_encoder(body)
        return None

    def rows(self, records: Records, *, labelled: bool = True) -> Rows:
        """See Task."""
        fields = [name for name in FIELDS if f"{{{name}}}" in self.section.pattern]
        texts = [dict(zip(fields, values, strict=True)) for values in zip(*(records.texts(one) for one in fields), strict=True)]
        spelled = self._spelled(texts)
        read = [self._row(one, text, records.place(row)) for row, (one, text) in enumerate(zip(spelled, texts, strict=True))]
        columns: dict[str, Ragged | NDArray[Any]] = {
            INPUTS: ragged([ids for ids, _, _ in read], self.reader.words.specials.pad),
            MASKS: np.array([[at] for _, at, _ in read], np.int64),
        }
        if self.reader.segments:
            columns["segments"] = ragged([[0] * len(ids) for ids, _, _ in read], 0)
        if labelled:
            columns[LABELS] = label_numbers(self.labels, records)
        return Rows(columns, np.arange(len(records)), sum(cropped for _, _, cropped in read))

    def _spelled(self, texts: Sequence[Mapping[str, str]]) -> list[Spelled]:
        """Return the ids of records in the pattern, with the first label's word in its place."""
        said = self.section.verbalizer.get(self.labels[0], self.labels[0])
        return spell(self.reader.words, [self.pattern.filled(text) for text in texts], [said] * len(texts))

    def _row(self, spelled: Spelled, text: Mapping[str, str], place: str) -> tuple[list[int], int, bool]:
        """Return the ids of a record in the pattern, the place of the mask, and whether a text was cropped."""
        mask, room = self.reader.words.specials.mask, self.reader.length - len(self.reader.row([]))
        assert mask is not None
        shorter = dict(text)
        while True:
            ids = [*spelled.ids[: spelled.start], mask, *spelled.ids[spelled.end :]]
            if (excess := len(ids) - room) <= 0:
                return self.reader.row(ids), spelled.start + self.reader.before, shorter != text
            longest = max(shorter, key=lambda name: len(shorter[name]))
            kept = self.reader.tokenizer.encode(shorter[longest])[:-excess]
            if not kept:
                raise TaskError(f"{place}: the pattern alone has more than {self.reader.length} tokens; shorten it")
            shorter[longest] = self.reader.tokenizer.decode(kept)
            (spelled,) = self._spelled([shorter])

    def _logits(self, model: Tuned, examples: Mapping[str, Tensor]) -> Tensor:
        states = at_positions(features.tokens(model.body, examples), examples[MASKS])[:, 0]
        return features.token_logits(model.body, states)[:, self.pieces].float()
