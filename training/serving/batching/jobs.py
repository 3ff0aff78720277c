"""What the batch is given, and what it gives out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from training.generation.choose import Choice

GREEDY = Choice()
Finish: TypeAlias = Literal["stop", "length"]


class Chance(NamedTuple):
    """A token with its log-probability (natural, before any temperature), and the likeliest tokens at its place."""

    id: int
    logprob: float | None  # None: the first token of a text has none
    likeliest: list[tuple[int, float]]


class Piece(NamedTuple):
    """What a step adds to an answer."""

    answer: int  # number of the answer to its prompt
    text: str
    tokens: int  # tokens written since the piece before
    chances: list[Chance]  # theirs, if they were asked for
    finish: Finish | None  # why the answer ends with this piece


class PromptRead(NamedTuple):
    """The prompt has been read; the chances of its tokens, if they were asked for."""

    chances: list[Chance]


class Failed(NamedTuple):
    """The job is over without an answer."""

    message: str


Event: TypeAlias = Piece | PromptRead | Failed


@dataclass(eq=False, slots=True)
class Job:
    """A prompt and how it is answered. `emit` is called in the thread of the batch."""

    ids: Sequence[int]  # the row that the model reads
    tokens: int  # most of each answer; 0: the prompt is only read
    seeds: Sequence[int]  # one for each answer
    emit: Callable[[Event], None]
    choice: Choice = GREEDY
    stops: Sequence[str] = ()
    likeliest: int | None = None  # log-probabilities of tokens, with so many alternatives; None: none
    score_prompt: bool = False  # also those of the prompt
    cancelled: bool = False  # set by anyone: the rows leave before the next step


def chances(scores: Tensor, ids: Sequence[int], likeliest: int) -> list[Chance]:
    """Return the chances of ids, given the scores (T, V) of their places."""
    found: list[Chance] = []
    for row, token in zip(scores, ids, strict=True):
        logprobs = row.double().log_softmax(-1)
        best: list[tuple[int, float]] = []
        if likeliest:
            values, places = torch.topk(logprobs, min(likeliest, len(logprobs)))
            best = list(zip(places.tolist(), values.tolist(), strict=True))
        found.append(Chance(token, float(logprobs[token]), best))
    return found
