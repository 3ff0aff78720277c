"""How each family reads the texts of a record: one text, or two.

    BERT   [CLS] a [SEP] b [SEP], segments 0 and 1 (arXiv 1810.04805, 4.1); RoBERTa <s> a </s></s> b </s>
    GPT    a <|endoftext|> b <|endoftext|>: the last token has seen all (GPT, Radford et al. 2018, 3.3)
    BART   <s> a </s></s> b </s>, read by the encoder and, shifted, by the decoder (arXiv 1910.13461, 3.1)
    T5     a </s>, after a prefix that names the task (arXiv 1910.10683, 2.4)

A row that is too long loses tokens at the end of its longer text, one by one (google-research/bert, _truncate_seq_pair).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipelines.contract.tokenizers.families import Family
from pipelines.contract.tokenizers.loading import Tokenizer
from training.generation.texts import Speller, speller
from training.models.families import Model
from training.tasks.errors import TaskError
from training.tasks.input.rows import Ragged, ragged

LONGEST = 512  # tokens of a row unless the task says otherwise; T5 has no positions of its own


class Read(NamedTuple):
    """Texts as rows of ids."""

    inputs: Ragged
    segments: Ragged | None  # for a model that has two kinds
    cropped: int  # rows that lost tokens


@dataclass(frozen=True, slots=True)
class Reader:
    """The encoding of texts into rows for one model."""

    words: Speller
    length: int  # most tokens of a row, special ones included
    segments: bool  # the model tells a first from a second text
    doubled: bool  # two ends between texts, as RoBERTa and BART have
    positions: int | None  # of the model, if it numbers its tokens
    prompt: tuple[int, ...] = ()  # ids of a trained prompt, which every row has before its text (soft_prompts.py)

    @property
    def family(self) -> Family:
        """The family whose rows these are."""
        return self.words.family

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the model."""
        return self.words.tokenizer

    @property
    def before(self) -> int:
        """The number of special pieces before the text of a row."""
        return len(self.row([])) - 1

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of texts without special pieces: the name of a special piece in them is text."""
        return self.tokenizer.encode_batch(texts)

    def read(self, first: Sequence[str], second: Sequence[str] | None = None) -> Read:
        """Return rows of one text each, or of two."""
        a = self.encode(first)
        if second is None:
            room = self.length - len(self.row([]))
            cropped = sum(len(ids) > room for ids in a)
            inputs = ragged([self.row(ids[:room]) for ids in a], self.words.specials.pad)
            return Read(inputs, ragged([[0] * n for n in inputs.lengths], 0) if self.segments else None, cropped)
        room = self.length - len(self.row([], []))
        kept = [_longest_first(one, two, room) for one, two in zip(a, self.encode(second), strict=True)]
        inputs = ragged([self.row(one, two) for one, two, _ in kept], self.words.specials.pad)
        firsts = [len(self.row(one)) for one, _, _ in kept]
        segments = [[0] * n + [1] * (m - n) for n, m in zip(firsts, inputs.lengths.tolist(), strict=True)]
        return Read(inputs, ragged(segments, 0) if self.segments else None, sum(cut for _, _, cut in kept))

    def row(self, a: list[int], b: list[int] | None = None) -> list[int]:
        """Return the row of the ids of one text, or of two, with the special pieces of the family."""
        begin = [] if self.words.specials.begin is None or self.family == "gpt" else [self.words.specials.begin]
        begin, end = [*begin, *self.prompt], self.words.specials.end
        if b is None:
            return [*begin, *a, end]
        return [*begin, *a, end, *([end] if self.doubled else []), *b, end]


def reader(model: Model, tokenizer: Tokenizer, length: int | None, prompt: Sequence[int] = ()) -> Reader:
    """Return the reader of a model; `length` does not count the prompt.

    Raises TaskError for more tokens than the model has positions.
    """
    words = speller(model, tokenizer)
    positions = getattr(model.shape, "length", None)
    if positions is not None and (length or 8) + len(prompt) > positions:
        beside = f" and a prompt of {len(prompt):,}" if prompt else ""
        raise TaskError(
            f"task.length: {length or 8:,} tokens{beside} are more than the model's {positions:,} positions; lower it"
        )
    most = (length or LONGEST) + len(prompt)
    most = most if positions is None else min(most, positions)
    kinds = getattr(model.shape, "segments", 0)
    doubled = words.family == "bart" or (words.family == "bert" and kinds < 2 and "</s>" in tokenizer.special_ids)
    segments = words.family == "bert" and kinds > 1
    return Reader(words, most, segments=segments, doubled=doubled, positions=positions, prompt=tuple(prompt))


def _longest_first(a: list[int], b: list[int], room: int) -> tuple[list[int], list[int], bool]:
    """Crop two texts to `room` tokens together, each time the longer one (the second, if they are equal)."""
    excess = len(a) + len(b) - room
    if excess <= 0:
        return a, b, False
    short = min(len(a), len(b))
    if short > room - short:  # both are cropped: from equal lengths on, the second first
        return a[: (room + 1) // 2], b[: room // 2], True
    return (a[: room - short], b, True) if len(a) > len(b) else (a, b[: room - short], True)
