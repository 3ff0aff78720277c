"""Patterns: texts into which a record and a label are put (PET, Schick and Schütze 2021, arXiv 2001.07676, 3).

    pattern = parse("{text} It was {label}.")
    pattern.filled({"text": "A charming film "})       # Filled(before="A charming film It was ", after=".")

What a record contains is text: braces and names of special pieces in it mean nothing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from training.generation.texts import Speller
from training.tasks.errors import PromptError

FIELDS = ("text", "second")
_SLOT = re.compile(r"\{(\w*)\}")


class Filled(NamedTuple):
    """A pattern with a record in it, up to the label and from there on."""

    before: str
    after: str | None  # None: the label is no part of the text


class Spelled(NamedTuple):
    """The ids of a text, in which the label has the places from `start` up to `end`."""

    ids: Sequence[int]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern, cut at its label."""

    source: str
    before: str
    after: str | None

    def filled(self, record: Mapping[str, str]) -> Filled:
        """Put the fields of a record, without white space at their ends, into the pattern."""

        def field(slot: re.Match[str]) -> str:
            return record[slot[1]].strip()

        return Filled(_SLOT.sub(field, self.before), None if self.after is None else _SLOT.sub(field, self.after))


def parse(source: str, where: str = "prompt.patterns") -> Pattern:
    """Return a pattern; `where` is its field of the config.

    Raises PromptError for an unknown slot, or more than one {label}, or no field of a record.

    >>> parse("{label}: {text}").filled({"text": "who wrote it?"})
    Filled(before='', after=': who wrote it?')
    """
    names = _SLOT.findall(source)
    for name in names:
        if name not in (*FIELDS, "label"):
            raise PromptError(f"{where}: {source!r} has a slot {{{name}}}; known are {{text}}, {{second}} and {{label}}")
    if names.count("label") > 1:
        raise PromptError(f"{where}: {source!r} has {{label}} twice; the model predicts it at one place")
    if not set(names) & set(FIELDS):
        raise PromptError(f"{where}: {source!r} has neither {{text}} nor {{second}}, so it asks nothing of a record")
    before, slot, after = source.partition("{label}")
    return Pattern(source, before, after if slot else None)


def spell(words: Speller, filled: Sequence[Filled], labels: Sequence[str]) -> list[Spelled]:
    """Return the ids of each text with its label: the ids of the whole text, as the model would read it.

    The label's places follow the longest common prefix with the ids of what comes before it. A piece that reaches across a
    border belongs to the label.
    """
    bare = [one.before.rstrip() for one in filled]
    said = [one.before + label for one, label in zip(filled, labels, strict=True)]
    encode = words.tokenizer.encode_batch
    wholes = encode([text + (one.after or "") for text, one in zip(said, filled, strict=True)])
    return [
        _placed(whole, _shared(context, whole), _shared(with_label, whole))
        for whole, context, with_label in zip(wholes, encode(bare), encode(said), strict=True)
    ]


def _placed(ids: Sequence[int], start: int, end: int) -> Spelled:
    if start >= len(ids):
        raise PromptError("prompt.verbalizer: a label has no tokens in this model's vocabulary; give it other words")
    return Spelled(ids, start, max(end, start + 1))


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the length of the common prefix."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
