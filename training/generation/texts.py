"""Prompts: their ids, and the texts that models make of them.

    GPT   "In the beginning"                       taken as it is, and continued; "<|endoftext|>" begins a document
    BERT  "the [MASK] house"                       each mask is one piece
    BART  "the <mask> by the river"                each mask is any number of words; the answer is the whole text
    T5    "the <extra_id_0> by <extra_id_1> river" likewise; the answer is "<extra_id_0> old house <extra_id_1> the"
    UL2   "[NLU] the <extra_id_0> by the river"    a mode before it, if the vocabulary has these pieces; else <extra_id_99> …

A mask spelled out in a text is a mask, as in Hugging Face, and takes white space around it along (contract/tokenizers/masks.py);
other special pieces spelled out are text.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.contract.tokenizers.families import FAMILIES, MODES, Family, Specials, specials
from pipelines.contract.tokenizers.loading import Tokenizer
from pipelines.contract.tokenizers.masks import mask_names, mask_spaces
from training.models.families import Model, Shape, pieces_of

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
        return {name: self.tokenizer.special_ids[name] for name in mask_names(self.family, self.tokenizer.special_ids)}

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text and its masks (GPT: and its ends of text), without begin and end."""
        spelled = {FAMILIES["gpt"].end: self.specials.end} if self.family == "gpt" else {**self.masks, **self._modes}
        ids: list[int] = []
        for part in re.split("|".join(filter(None, (self._cut(), *self._mode_cuts()))), text):
            ids += [spelled[part]] if part in spelled else self.tokenizer.encode(part) if part else []
        return ids

    def row(self, text: str) -> list[int]:
        """Return the row that the model reads: for GPT the text alone, for others between begin and end.

        An empty text is for GPT the beginning of a document.
        """
        ids = self.encode(text)
        if self.family == "gpt":
            return ids or [self.specials.end]
        return [*([] if self.specials.begin is None else [self.specials.begin]), *ids, self.specials.end]

    def continued(self, prompt: str, ids: Sequence[int]) -> str:
        """Return the prompt, unchanged, with the text of the ids that continue it.

        That text is the rest of the whole row's: the ids alone would lose the space before their first word.
        """
        row = self.row(prompt)
        before, whole = self.tokenizer.decode(row), self.tokenizer.decode([*row, *ids])
        return prompt + (whole[len(before) :] if whole.startswith(before) else self.tokenizer.decode(ids))

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

    @property
    def _modes(self) -> Mapping[str, int]:
        """UL2's modes that the vocabulary has, and their ids."""
        known = self.tokenizer.special_ids
        return {name: known[name] for name in MODES if self.family == "t5" and name in known}

    def _mode_cuts(self) -> list[str]:
        """Return a pattern for each mode, with the white space around it: in training a mode is followed by a piece of text."""
        return [f"{_SPACE}({re.escape(name)}){_SPACE}" for name in self._modes]

    def _cut(self) -> str:
        """Return a pattern for a mask with the white space that belongs to it; the mask alone is in a group."""
        if self.family == "gpt":
            return f"({re.escape(FAMILIES['gpt'].end)})"
        names: dict[tuple[bool, bool], list[str]] = {}
        for name, sides in mask_spaces(self.tokenizer, self.family).items():
            names.setdefault(sides, []).append(re.escape(name))
        return "|".join(
            f"{_SPACE if before else ''}({'|'.join(alike)}){_SPACE if after else ''}" for (before, after), alike in names.items()
        )


def speller(model: Model, tokenizer: Tokenizer) -> Speller:
    """Return the speller of a model. Raises SpecialsError if the tokenizer lacks the special pieces of its family."""
    return speller_of(model.shape, tokenizer)


def speller_of(shape: Shape, tokenizer: Tokenizer) -> Speller:
    """Return the speller of the models of a shape. Raises SpecialsError, as `speller`."""
    family = pieces_of(shape)
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
