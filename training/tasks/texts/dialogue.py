"""Dialogue: a model reads the turns so far and writes the next. A record is a dialogue; each turn after the first is a reply.

    turns    ["Hi !", "How are you ?", "Fine ."]       or one text: "Hi ! __eou__ How are you ? __eou__ Fine ."
    rows     Hi ! <end>                                -> How are you ? <end>
             Hi ! <end> How are you ? <end>            -> Fine . <end>

<end> is the family's end piece, for GPT <|endoftext|> (DialoGPT, arXiv 1911.00536, 3.1). A history that is too long loses its
oldest turns; a last turn that is too long by itself, its beginning. `corpusmill predict` answers the last turn of each record.

Metrics: perplexity of the replies (per token, so only models with one tokenizer are comparable), F1 of words against the reply
(ParlAI's), distinct-1 and -2. Checkpoints are compared by the log-likelihood.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from training.tasks.errors import TaskError
from training.tasks.input.records import Records
from training.tasks.input.rows import Rows
from training.tasks.texts.decoding import WritingSettings
from training.tasks.texts.figures import distinct, word_f1
from training.tasks.texts.text_to_text import Pairs, TextToText


class DialogueSection(WritingSettings):
    """The settings of a dialogue."""

    kind: Literal["dialogue"] = "dialogue"
    separator: str = ""
    turn_end: str = "__eou__"
    """What divides the turns of a dialogue that is one text (DailyDialog, arXiv 1710.03957)."""


class Dialogue(TextToText):
    """A dialogue. The outputs are the replies."""

    FIELDS: ClassVar[tuple[str, ...]] = ("turns",)
    LABELS: ClassVar[tuple[str, ...]] = ()

    @property
    def metric(self) -> str:
        """See Task."""
        return "log_likelihood"

    def framed(self, ids: list[int]) -> list[int]:
        """Return the row of a history that already has its ends."""
        return [*self._begin, *ids]

    def pairs(self, records: Records, labelled: bool) -> Pairs:
        """Return a row for each reply; without `labelled` one for each dialogue, whose next turn is to be written."""
        prompts: list[list[int]] = []
        targets: list[str] = []
        numbers: list[int] = []
        cropped: list[bool] = []
        for number, turns in enumerate(self.turns(records)):
            ended = [[*ids, self.reader.words.specials.end] for ids in self.reader.encode(turns)]
            for reply in range(1, len(turns)) if labelled else [len(turns)]:
                history, cut = newest(ended[:reply], self.room)
                prompts.append(self.framed(history))
                targets += turns[reply : reply + 1]
                numbers.append(number)
                cropped.append(cut)
        return Pairs(prompts, targets if labelled else None, np.array(numbers, np.int64), cropped)

    def turns(self, records: Records) -> list[list[str]]:
        """Return the turns of each dialogue. Raises TaskError for one without any, or an empty turn."""
        found: list[list[str]] = []
        for row, value in enumerate(records.values("turns")):
            given: list[Any] = value.split(self.section.turn_end) if isinstance(value, str) else list(value or [])
            if isinstance(value, str) and len(given) > 1 and not given[-1].strip():
                given.pop()  # a text may also end in the mark
            turns = [turn.strip() if isinstance(turn, str) else "" for turn in given]
            if not turns or not all(turns):
                what = f"turn {turns.index('') + 1} is empty" if turns else "has no turns"
                raise TaskError(f"{records.place(row)}: {what}; fill it in, or remove the record")
            found.append(turns)
        return found

    def figures(self, outputs: Sequence[str], rows: Rows, records: Records) -> dict[str, float]:
        """See Task."""
        return {"f1": word_f1(outputs, self.wanted(records)), **distinct(outputs)}

    def wanted(self, records: Records) -> list[str]:
        """Return all replies."""
        return [turn for turns in self.turns(records) for turn in turns[1:]]

    def figures_of_loss(self, loss: float) -> dict[str, float]:
        """Return the perplexity of the replies, and the mean log-likelihood of their tokens in nats."""
        return {**super().figures_of_loss(loss), "log_likelihood": -loss}

    def answers(self, outputs: Sequence[str], rows: Rows, records: Records) -> list[dict[str, Any]]:
        """Return the reply to the last turn of each dialogue; of labelled ones, whose last turn is a reply, all replies."""
        replies: list[list[str]] = [[] for _ in range(len(records))]
        for number, text in zip(rows.records.tolist(), outputs, strict=True):
            replies[number].append(text)
        if "targets" in rows.columns:
            return [{"answers": found} for found in replies]
        return [{"answer": found[0]} for found in replies]


def newest(turns: Sequence[list[int]], room: int) -> tuple[list[int], bool]:
    """Return the newest turns that fit into `room` tokens, or the end of the last one, and whether something was left out.

    >>> newest([[1, 2, 0], [3, 0], [4, 5, 0]], room=5)
    ([3, 0, 4, 5, 0], True)
    >>> newest([[1, 2, 0]], room=2)
    ([2, 0], True)
    """
    kept: list[int] = []
    for turn in reversed(turns):
        if len(kept) + len(turn) > room:
            return kept or turn[-room:], True
        kept = [*turn, *kept]
    return kept, False
