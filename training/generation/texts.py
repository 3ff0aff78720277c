"""Texts with masks: their ids, and the restored texts.

    BERT  "the [MASK] house"                       each mask is one piece
    BART  "the <mask> by the river"                each mask is any number of words; the answer is the whole text
    T5    "the <extra_id_0> by <extra_id_1> river" likewise; the answer is "<extra_id_0> old house <extra_id_1> the"

A mask spelled out in a text is a mask, as in Hugging Face; other special pieces spelled out are text. White space around masks
is ignored if pieces begin with their space: see pipelines/exports/tokenizer.py.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.contract.tokenizers.families import FAMILIES, SENTINELS, Family, Specials, sentinel, specials
from pipelines.contract.tokenizers.loading import Tokenizer
from training.models.bart import BART
from training.models.bert import BERT
from training.models.families import Model
from training.models.t5 import T5

_SPACE = (
    r"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*"  # the library tokenizers' \s: Unicode's White_Space
)


@dataclass(frozen=True, slots=True)
class Speller:
    """The encoding of texts into the rows that a family's model reads."""

    family: Family
    tokenizer: Tokenizer
    specials: Specials

    @property
    def masks(self) -> Mapping[str, int]:
        """The names of the masks that may replace words in a text, and their ids."""
        if self.family == "t5":
            return {sentinel(n): self.specials.sentinels[n] for n in range(SENTINELS)}
        name = FAMILIES[self.family].mask
        return {} if name is None or self.specials.mask is None else {name: self.specials.mask}

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text and its masks, without begin and end."""
        masks = self.masks
        if not masks:
            return self.tokenizer.encode(text)
        ids: list[int] = []
        for part in re.split(self._cut(), text):
            ids += [masks[part]] if part in masks else self.tokenizer.encode(part) if part else []
        return ids

    def row(self, text: str) -> list[int]:
        """Return the row that the model reads: for GPT as at the beginning of a document, for others between begin and end."""
        ids = self.encode(text)
        begin = [] if self.specials.begin is None else [self.specials.begin]
        return [*begin, *ids] if self.family == "gpt" else [*begin, *ids, self.specials.end]

    def has_mask(self, text: str) -> bool:
        """Whether a text has a mask to fill or restore."""
        return re.search(self._cut(), text) is not None if self.masks else False

    def with_mask(self, text: str) -> str:
        """Return the text, with a mask appended if it has none and the family has masks."""
        return text if not self.masks or self.has_mask(text) else f"{text} {next(iter(self.masks))}".strip()

    def restored(self, text: str, answer: Sequence[int]) -> str:
        """Return the text with its sentinels replaced by the spans of T5's answer; a sentinel that the answer lacks stays.

        A span extends from its sentinel to the next; if a sentinel is repeated, its first span counts.
        """
        names = {i: name for name, i in self.masks.items()}
        spans = spans_of(answer, {*names, self.specials.end})
        parts: list[str] = []
        run: list[int] = []
        for i in self.encode(text):
            if i in names and i not in spans:
                parts += [self.tokenizer.decode(run), names[i]]
                run = []
            else:
                run += spans.get(i, [i])
        parts.append(self.tokenizer.decode(run))
        return " ".join(part for part in parts if part)

    def _cut(self) -> str:
        """Return a pattern for a mask with the white space that belongs to it; the mask is its group."""
        begins_with_space = self.tokenizer.library == "sentencepiece" and self.tokenizer.line_prefix_bytes == 1
        before = _SPACE if begins_with_space or self.family == "bart" else ""
        name = r"(<extra_id_(?:0|[1-9]\d?)>)" if self.family == "t5" else f"({re.escape(next(iter(self.masks)))})"
        return before + name + (_SPACE if begins_with_space else "")


def speller(model: Model, tokenizer: Tokenizer) -> Speller:
    """Return the speller of a model. Raises SpecialsError if the tokenizer lacks the special pieces of its family."""
    family: Family = "gpt"  # and composed models
    if isinstance(model, BERT):
        family = "bert"
    elif isinstance(model, BART):
        family = "bart"
    elif isinstance(model, T5):
        family = "t5"
    return Speller(family, tokenizer, specials(family, tokenizer.special_ids, "the model"))


def spans_of(answer: Sequence[int], marks: set[int]) -> dict[int, list[int]]:
    """Return what follows each of the marks, up to the next.

    >>> spans_of([90, 6, 89, 10, 11], {90, 89})
    {90: [6], 89: [10, 11]}
    """
    spans: dict[int, list[int]] = {}
    span: list[int] = []  # before the first mark: dropped
    for i in answer:
        if i in marks:
            span = []
            spans.setdefault(i, span)
        else:
            span.append(i)
    return spans
