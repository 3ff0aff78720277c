"""Beam search: an approximation of the answers with the highest score.

Shapes: B rows, N beams, V vocabulary.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch

from pipelines.contract.errors import UserError
from training.generation.limits import Limits
from training.generation.steps import Steps

_DEAD = -1e9  # score of beams that do not exist yet: at the first step a row has one


@dataclass(frozen=True, slots=True)
class Beams:
    """The search of Hugging Face's `generate(num_beams=…)`: the same answers and scores (transformers 5.23, generation/utils.py).

    The score of an answer is the sum of its tokens' log-probabilities divided by tokens ** length_penalty; its end counts as a
    token, the prompt and the decoder's start do not. Raises UserError, naming the number, if one is out of range.
    """

    number: int = 4
    length_penalty: float = 1.0  # above 0 favours long answers, below 0 short ones
    early_stopping: Literal[True, False, "never"] = False
    """When a row with `number` answers is done. True: at once. False: when its best beam would score no better than its worst
    answer if it ended now. "never": … if it ended now or, with a positive penalty, at the last step."""

    def __post_init__(self) -> None:
        if self.number < 1:
            raise UserError(f"beams: must be 1 or more, not {self.number}")
        if not math.isfinite(self.length_penalty):
            raise UserError(f"length_penalty: must be a finite number, not {self.length_penalty}")


class Hypothesis(NamedTuple):
    """An answer: its ids, including the end if it reached one, and its score."""

    ids: list[int]
    score: float


@dataclass(slots=True)
class _Row:
    """The beams and answers of a row."""

    beams: list[list[int]]  # ids so far, the best first
    answers: list[Hypothesis] = field(default_factory=list[Hypothesis])  # the best first, at most as many as beams
    done: bool = False


class _Candidate(NamedTuple):
    """A beam with one more token."""

    beam: int
    token: int
    score: float  # sum of log-probabilities


@torch.inference_mode()
def search(steps: Steps, limits: Limits, beams: Beams) -> list[list[Hypothesis]]:
    """Return the answers of each row, as many as there are beams, the best first. A row that is done leaves the batch."""
    limits, number = limits.within(steps.most), beams.number
    rows = [_Row([[] for _ in range(number)]) for _ in range(steps.rows)]
    live = rows
    scores = steps.next(None)  # (B, V): the beams of a row are still the same
    device = scores.device
    steps.select(torch.arange(len(rows), device=device).repeat_interleave(number))
    scores = scores.repeat_interleave(number, dim=0)
    running = torch.tensor([[0.0] + [_DEAD] * (number - 1)] * len(rows), device=device)
    for step in range(limits.tokens):
        likelihood = limits.apply(scores.log_softmax(-1), step).view(len(live), number, -1) + running[..., None]
        vocabulary = likelihood.shape[-1]
        # enough to continue every beam even if all others end
        wanted = min(max(2, 1 + len(limits.ends)) * number, number * vocabulary)
        best, places = likelihood.flatten(1).topk(wanted)
        going = [
            _advance(row, _candidates(s, p, vocabulary), step, limits, beams)
            for row, s, p in zip(live, best.tolist(), places.tolist(), strict=True)
        ]
        kept = [place for place, row in enumerate(live) if not row.done]
        if not kept:
            break
        live = [live[place] for place in kept]
        going = [going[place] for place in kept]
        running = torch.tensor([[candidate.score for candidate in candidates] for candidates in going], device=device)
        chosen = torch.tensor([candidate.token for candidates in going for candidate in candidates], device=device)
        origins = [place * number + one.beam for place, candidates in zip(kept, going, strict=True) for one in candidates]
        steps.select(torch.tensor(origins, device=device))
        scores = steps.next(chosen)
    return [row.answers for row in rows]


def _candidates(scores: Sequence[float], places: Sequence[int], vocabulary: int) -> list[_Candidate]:
    return [_Candidate(place // vocabulary, place % vocabulary, score) for score, place in zip(scores, places, strict=True)]


def _advance(row: _Row, candidates: list[_Candidate], step: int, limits: Limits, beams: Beams) -> list[_Candidate]:
    """Move the candidates that end to the answers and return those that continue; set `row.done` if none needs to."""
    last = step + 1 == limits.tokens
    length = (step + 1) ** beams.length_penalty
    for candidate in candidates[: beams.number]:  # the others only replace those that end
        if last or candidate.token in limits.ends:
            row.answers.append(Hypothesis([*row.beams[candidate.beam], candidate.token], candidate.score / length))
    row.answers.sort(key=lambda answer: -answer.score)  # stable: ties keep their order
    del row.answers[beams.number :]
    going = [candidate for candidate in candidates if candidate.token not in limits.ends][: beams.number]
    row.beams = [[*row.beams[candidate.beam], candidate.token] for candidate in going]
    row.done = last or (len(row.answers) == beams.number and not _may_improve(row, going[0].score, step + 1, limits, beams))
    return going


def _may_improve(row: _Row, best: float, tokens: int, limits: Limits, beams: Beams) -> bool:
    if beams.early_stopping is True:
        return False
    if beams.early_stopping == "never" and beams.length_penalty > 0:
        tokens = limits.tokens
    return best / tokens**beams.length_penalty > row.answers[-1].score
